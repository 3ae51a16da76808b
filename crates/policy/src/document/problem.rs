//! What is wrong with a document, where, and what to do about it.

use std::{fmt::Write as _, ops::Range};

use serde::Serialize;

/// An error or a warning about a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Where in the document: `$.tools.0.source`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// The offending value, if it is a plain one; never a secret.
    pub value: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// Where in the text, when the document came from one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub place: Option<Box<Place>>,
}

/// A stretch of one line of the text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// Its length, in characters.
    #[serde(skip)]
    pub width: usize,
    /// The whole line.
    #[serde(skip)]
    pub text: String,
}

impl Problem {
    /// A problem with what stands at `path`.
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into(), value: None, help: None, place: None }
    }

    /// With what to do about it.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// For people, with the line it is about:
    ///
    /// ```text
    /// policy.yaml:14:21: condition reads `args.comand`, but tool `bash` has no such argument
    ///    14 |       - expression: "args.comand.contains('deploy')"
    ///       |                      ^^^^^^^^^^^
    ///    help: did you mean `args.command`?
    /// ```
    pub fn render(&self, file: &str) -> String {
        let mut out = match self.place.as_deref() {
            None => format!("{file}: {}: {}\n", self.path, self.message),
            Some(Place { line, column, width, text }) => {
                // Tabs would put the carets in the wrong place.
                let text = text.replace('\t', " ");
                let (before, carets) = (" ".repeat(column.saturating_sub(1)), "^".repeat((*width).max(1)));
                format!("{file}:{line}:{column}: {}\n{line:>5} | {text}\n      | {before}{carets}\n", self.message)
            }
        };
        if let Some(help) = &self.help {
            let _ = writeln!(out, "   help: {help}");
        }
        out
    }
}

impl Place {
    /// The part of `span` on its first line.
    pub(crate) fn of_span(text: &str, span: Range<usize>) -> Option<Self> {
        let start = span.start.min(text.len());
        let before = text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end = span.end.clamp(start, line_end);
        Some(Self {
            line: before.matches('\n').count() + 1,
            column: text.get(line_start..start)?.chars().count() + 1,
            width: text.get(start..end)?.trim_end().chars().count().max(1),
            text: text.get(line_start..line_end)?.trim_end().to_owned(),
        })
    }

    /// One character at `line` and `column`, from 1.
    pub(crate) fn at_line(text: &str, line: usize, column: usize) -> Option<Self> {
        let found = text.lines().nth(line.checked_sub(1)?).unwrap_or_default();
        Some(Self { line, column, width: 1, text: found.to_owned() })
    }
}
