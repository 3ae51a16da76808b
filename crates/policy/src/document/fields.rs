//! Reading the members of a YAML mapping, noting everything that is wrong on the way.

use std::cell::RefCell;

use serde_json::Value as Json;

use super::{
    model::JsonObject,
    problem::Problem,
    source::Source,
    tree::{Node, Value},
};
use crate::suggest::nearest;

/// Collects problems while a document is read.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    pub(super) source: &'a Source,
    pub(super) text: &'a str,
    pub(super) errors: RefCell<Vec<Problem>>,
    pub(super) warnings: RefCell<Vec<Problem>>,
}

impl<'a> Notes<'a> {
    pub(super) fn new(source: &'a Source, text: &'a str) -> Self {
        Self { source, text, errors: RefCell::default(), warnings: RefCell::default() }
    }

    pub(super) fn error(&self, problem: Problem) {
        self.errors.borrow_mut().push(self.source.locate(problem));
    }

    pub(super) fn warn(&self, problem: Problem) {
        self.warnings.borrow_mut().push(self.source.locate(problem));
    }
}

/// A mapping being read.
pub(super) struct Object<'a> {
    pub(super) path: String,
    members: &'a [(super::tree::Key, Node)],
    notes: &'a Notes<'a>,
}

/// One member of a mapping.
#[derive(Clone)]
pub(super) struct Field<'a> {
    pub(super) path: String,
    pub(super) node: &'a Node,
}

impl<'a> Object<'a> {
    /// Reads `node` as a mapping whose keys are among `known`; others are errors.
    pub(super) fn of(notes: &'a Notes<'a>, path: String, node: &'a Node, known: &[&str]) -> Option<Self> {
        let Value::Map(members) = &node.value else {
            notes.error(Problem::new(path, format!("expected a mapping, found {}", kind(&node.value))));
            return None;
        };
        for (key, _) in members {
            if !known.contains(&key.name.as_str()) {
                let mut problem = Problem::new(format!("{path}.{}", key.name), format!("unknown key `{}`", key.name));
                problem.place = notes.source.place_of(key.span.clone());
                problem.help = Some(match nearest(&key.name, known.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the keys here are {}", list(known)),
                });
                notes.error(problem);
            }
        }
        Some(Self { path, members, notes })
    }

    /// The member called `name`, unless it is null.
    pub(super) fn get(&self, name: &str) -> Option<Field<'a>> {
        let (_, node) = self.members.iter().find(|(key, _)| key.name == name)?;
        let field = Field { path: format!("{}.{name}", self.path), node };
        (!matches!(node.value, Value::Null)).then_some(field)
    }

    /// The member under one of its spellings; two of them at once are an error.
    pub(super) fn get_any(&self, names: &[&str]) -> Option<Field<'a>> {
        let mut found = names.iter().filter_map(|name| self.get(name));
        let first = found.next()?;
        if let Some(second) = found.next() {
            let key = second.path.rsplit('.').next().unwrap_or_default().to_owned();
            self.notes.error(Problem::new(second.path, format!("`{key}` says again what `{}` says", names[0])));
        }
        Some(first)
    }

    pub(super) fn error(&self, name: &str, message: impl Into<String>) {
        self.notes.error(Problem::new(format!("{}.{name}", self.path), message));
    }

    /// A text; a plain number or `true` counts as the text it is written as.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).and_then(|field| self.read_text(&field))
    }

    pub(super) fn read_text(&self, field: &Field<'_>) -> Option<String> {
        let written = self.notes.text.get(field.node.span.clone()).filter(|raw| !raw.starts_with('*'));
        match (&field.node.value, written) {
            (Value::Text(text), _) => Some(text.clone()),
            (Value::Bool(_) | Value::Int(_) | Value::Float(_), Some(written)) => Some(written.to_owned()),
            (other, _) => {
                self.notes.error(Problem::new(&field.path, format!("expected a text, found {}", kind(other))));
                None
            }
        }
    }

    /// A text that must be there and hold something.
    pub(super) fn required(&self, name: &str) -> Option<String> {
        if self.get(name).is_none() {
            self.notes.error(Problem::new(&self.path, format!("`{name}` is missing")));
            return None;
        }
        self.named(name)
    }

    /// A text that holds something, if it is there.
    pub(super) fn named(&self, name: &str) -> Option<String> {
        let text = self.text(name)?.trim().to_owned();
        if text.is_empty() {
            self.error(name, format!("`{name}` is empty"));
            return None;
        }
        Some(text)
    }

    pub(super) fn boolean(&self, name: &str, default: bool) -> bool {
        let Some(field) = self.get(name) else { return default };
        if let Value::Bool(truth) = field.node.value {
            return truth;
        }
        self.error(name, format!("expected `true` or `false`, found {}", kind(&field.node.value)));
        default
    }

    pub(super) fn integer(&self, names: &[&str], default: u32, range: std::ops::RangeInclusive<u32>) -> u32 {
        let Some(field) = self.get_any(names) else { return default };
        let number = match field.node.value {
            Value::Int(number) => u32::try_from(number).ok().filter(|number| range.contains(number)),
            _ => None,
        };
        number.unwrap_or_else(|| {
            let message = format!("`{}` is a whole number from {} to {}", names[0], range.start(), range.end());
            self.notes.error(Problem::new(field.path, message));
            default
        })
    }

    /// One of a few words.
    pub(super) fn word<T>(&self, name: &str, words: &[(&str, T)], default: T) -> T
    where
        T: Clone,
    {
        let Some(field) = self.get(name) else { return default };
        let Some(text) = self.read_text(&field) else { return default };
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return value.clone();
        }
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let mut problem = Problem::new(field.path, format!("`{name}` is one of {}, not `{text}`", list(&known)));
        problem.value = Some(text.clone());
        problem.help = nearest(&text, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
        self.notes.error(problem);
        default
    }

    /// Texts, or one text alone.
    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        let field = self.get(name)?;
        let Value::List(items) = &field.node.value else {
            return self.read_text(&field).map(|text| vec![text]);
        };
        let read = items
            .iter()
            .enumerate()
            .filter_map(|(at, node)| self.read_text(&Field { path: format!("{}.{at}", field.path), node }));
        Some(read.collect())
    }

    /// The items of a list, each with its path.
    pub(super) fn items(&self, name: &str) -> Vec<Field<'a>> {
        let Some(field) = self.get(name) else { return Vec::new() };
        let Value::List(items) = &field.node.value else {
            self.error(name, format!("expected a list, found {}", kind(&field.node.value)));
            return Vec::new();
        };
        items.iter().enumerate().map(|(at, node)| Field { path: format!("{}.{at}", field.path), node }).collect()
    }

    /// Any mapping, as JSON.
    pub(super) fn json(&self, name: &str) -> Option<JsonObject> {
        let field = self.get(name)?;
        if let Json::Object(object) = to_json(field.node) {
            return Some(object);
        }
        self.error(name, format!("expected a mapping, found {}", kind(&field.node.value)));
        None
    }

    /// Whether the member is there and says something: not null, `false`, empty.
    pub(super) fn says_something(&self, name: &str) -> bool {
        self.get(name).is_some_and(|field| match &field.node.value {
            Value::Null | Value::Bool(false) => false,
            Value::List(items) => !items.is_empty(),
            Value::Map(members) => !members.is_empty(),
            _ => true,
        })
    }
}

pub(super) fn to_json(node: &Node) -> Json {
    match &node.value {
        Value::Null => Json::Null,
        Value::Bool(truth) => Json::Bool(*truth),
        Value::Int(number) => Json::from(*number),
        Value::Float(number) => Json::from(*number),
        Value::Text(text) => Json::String(text.clone()),
        Value::List(items) => Json::Array(items.iter().map(to_json).collect()),
        Value::Map(members) => {
            Json::Object(members.iter().map(|(key, member)| (key.name.clone(), to_json(member))).collect())
        }
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "a boolean",
        Value::Int(_) | Value::Float(_) => "a number",
        Value::Text(_) => "a text",
        Value::List(_) => "a list",
        Value::Map(_) => "a mapping",
    }
}

/// `` `a`, `b` ``
pub(super) fn list(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}
