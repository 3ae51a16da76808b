//! A preview in the making: renderers only add to it, and it keeps to its size.

use crate::{Fact, Finding, Level, Line, Mark, Section, Text};

/// Most findings shown.
const FINDINGS_MAX: usize = 24;
/// Most facts shown.
const FACTS_MAX: usize = 32;
/// Most sections shown.
const SECTIONS_MAX: usize = 12;
/// Most lines shown, of all sections together.
const LINES_MAX: usize = 600;

/// What renderers found out about one call.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) headline: Option<String>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) facts: Vec<Fact>,
    pub(crate) sections: Vec<Section>,
    /// Something is not accounted for.
    pub(crate) incomplete: bool,
    /// A renderer accounted for all a tool of its kind can do.
    pub(crate) understood: bool,
    lines: usize,
}

impl Draft {
    /// Says what the call does; the first renderer that knows has the word.
    pub(crate) fn headline(&mut self, text: impl Into<String>) {
        self.headline.get_or_insert_with(|| text.into());
    }

    /// Says why the call is not harmless.
    pub(crate) fn finding(&mut self, level: Level, text: &str) {
        let finding = Finding { level, text: Text::of(text) };
        if self.findings.contains(&finding) {
            return;
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        } else if let Some(lesser) =
            self.findings.iter_mut().min_by_key(|kept| kept.level).filter(|kept| kept.level < level)
        {
            // The worst must be seen, however many lesser ones came before it.
            *lesser = finding;
        } else {
            self.incomplete = true;
        }
    }

    /// Says what cannot be accounted for.
    pub(crate) fn unread(&mut self, level: Level, text: &str) {
        self.incomplete = true;
        self.finding(level, text);
    }

    /// Adds a name and its value.
    pub(crate) fn fact(&mut self, name: &str, value: &str) {
        let fact = Fact { name: Text::of(name), value: Text::of(value) };
        if self.facts.len() >= FACTS_MAX {
            self.incomplete = true;
        } else if !self.facts.contains(&fact) {
            self.facts.push(fact);
        }
    }

    /// Adds lines under a title, as many as there is room for.
    pub(crate) fn section<'l>(&mut self, title: &str, lines: impl IntoIterator<Item = (Mark, &'l str)>) {
        let full = self.sections.len() >= SECTIONS_MAX;
        let room = if full { 0 } else { LINES_MAX - self.lines };
        let mut section = Section { title: Text::of(title), lines: Vec::new(), omitted: 0 };
        for (mark, text) in lines {
            if section.lines.len() < room {
                section.lines.push(Line { mark, text: Text::of(text) });
            } else {
                section.omitted += 1;
            }
        }
        self.incomplete |= section.omitted > 0;
        self.lines += section.lines.len();
        if !full && (!section.lines.is_empty() || section.omitted > 0) {
            self.sections.push(section);
        }
    }
}
