//! The text a document came from, to say where in it something stands.

use std::{collections::HashMap, ops::Range};

use super::{
    problem::{Place, Problem},
    tree::{Node, Value},
};

/// Finds the places of a document's parts in its text, by path (`$.tools.0.conditions.1`).
#[derive(Clone, Default)]
pub struct Source {
    text: String,
    spans: HashMap<String, Range<usize>>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The text may hold secrets.
        write!(f, "Source({} bytes)", self.text.len())
    }
}

impl Source {
    pub(super) fn new(text: &str, root: &Node) -> Self {
        let mut source = Self { text: text.to_owned(), spans: HashMap::new() };
        source.index("$", root, None);
        source
    }

    fn index(&mut self, path: &str, node: &Node, key: Option<&Range<usize>>) {
        let scalar = !matches!(node.value, Value::List(_) | Value::Map(_) | Value::Null);
        let first_line = || node.span.start..node.span.start + 1;
        let span = if scalar { node.span.clone() } else { key.cloned().unwrap_or_else(first_line) };
        self.spans.insert(path.to_owned(), span);
        match &node.value {
            Value::List(items) => {
                for (at, item) in items.iter().enumerate() {
                    self.index(&format!("{path}.{at}"), item, None);
                }
            }
            Value::Map(members) => {
                for (key, member) in members {
                    self.index(&format!("{path}.{}", key.name), member, Some(&key.span));
                }
            }
            _ => {}
        }
    }

    /// Where the value at `path` stands; where its nearest holder does, if it has no place.
    pub fn place(&self, path: &str) -> Option<Box<Place>> {
        self.place_of(self.span(path)?)
    }

    pub(super) fn place_of(&self, span: Range<usize>) -> Option<Box<Place>> {
        Place::of_span(&self.text, span).map(Box::new)
    }

    /// Where `chars` of the text at `path` stand. The whole value if it is spelled in a way that
    /// hides them (escapes, folded lines).
    pub fn place_in(&self, path: &str, value: &str, chars: (usize, usize)) -> Option<Box<Place>> {
        let span = self.spans.get(path)?.clone();
        let written = self.text.get(span.clone())?;
        let byte = |at: usize| value.char_indices().nth(at).map_or(value.len(), |(byte, _)| byte);
        let inner = written.find(value).map(|at| {
            let start = span.start + at;
            start + byte(chars.0)..start + byte(chars.1)
        });
        self.place_of(inner.unwrap_or(span))
    }

    fn span(&self, path: &str) -> Option<Range<usize>> {
        let mut path = path;
        loop {
            if let Some(span) = self.spans.get(path) {
                return Some(span.clone());
            }
            path = &path[..path.rfind('.')?];
        }
    }

    /// `problem` with its place.
    pub fn locate(&self, mut problem: Problem) -> Problem {
        problem.place = problem.place.take().or_else(|| self.place(&problem.path));
        problem
    }
}
