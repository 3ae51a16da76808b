//! The YAML text as a tree that remembers where everything stands.

use std::{fmt, ops::Range};

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::problem::{Place, Problem};
use crate::engine::BigStack;

/// Largest document, in bytes.
pub(super) const BYTES_MAX: usize = 256 * 1024;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) span: Range<usize>,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) name: String,
    pub(super) span: Range<usize>,
}

/// Reads `text` (YAML, and so JSON) within bounds.
pub(super) fn read(text: &str, _: &BigStack) -> Result<Node, Problem> {
    if text.len() > BYTES_MAX {
        return Err(Problem::new("$", format!("the document is larger than {} KiB", BYTES_MAX / 1024)));
    }
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 50_000,
            max_aliases: 500,
            max_anchors: 100,
            max_recorded_anchor_events: 10_000,
            max_depth: 32,
            max_nodes: 20_000,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: 10_000 },
        strict_booleans: true,
        with_snippet: false,
    };
    match serde_saphyr::from_str_with_options::<Option<Spanned<Raw>>>(text, options) {
        Ok(Some(root)) => Ok(root.into()),
        Ok(None) => Err(Problem::new("$", "empty policy document")),
        Err(error) => {
            let message = error.to_string();
            let mut problem = Problem::new("$", format!("invalid YAML: {message}"));
            if let Some(location) = error.location() {
                let (line, column) = (to_usize(location.line()), to_usize(location.column()));
                problem.message = format!("invalid YAML at line {line}, column {column}: {}", reason(&message));
                problem.place = Place::at_line(text, line, column).map(Box::new);
            }
            Err(problem)
        }
    }
}

/// The error's own words, without the position that is reported apart.
fn reason(message: &str) -> &str {
    let first = message.lines().next().unwrap_or_default();
    // Advice to programmers, not to authors of policies.
    let first = first.split(", set DuplicateKeyPolicy").next().unwrap_or(first);
    first.split(" at line ").next().unwrap_or(first)
}

fn to_usize(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn range(location: Location) -> Range<usize> {
    let span = location.span();
    let start = span.byte_offset().map_or(0, to_usize);
    start..start + span.byte_len().map_or(0, to_usize)
}

impl From<Spanned<Raw>> for Node {
    fn from(spanned: Spanned<Raw>) -> Self {
        let value = match spanned.value {
            Raw::Null => Value::Null,
            Raw::Bool(truth) => Value::Bool(truth),
            Raw::Int(number) => Value::Int(number),
            Raw::Float(number) => Value::Float(number),
            Raw::Text(text) => Value::Text(text),
            Raw::List(items) => Value::List(items.into_iter().map(Node::from).collect()),
            Raw::Map(members) => Value::Map(
                members
                    .into_iter()
                    .map(|(key, value)| (Key { name: key.value, span: range(key.referenced) }, value.into()))
                    .collect(),
            ),
        };
        Node { value, span: range(spanned.referenced) }
    }
}

enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers above 2^63 are only ever out of range here")]
    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        Ok(i64::try_from(value).map_or(Raw::Float(value as f64), Raw::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Raw, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Raw::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Raw::Map(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Node, Problem> {
        crate::engine::on_big_stack(|stack| super::read(text, stack)).unwrap()
    }

    fn outline(text: &str, node: &Node) -> String {
        let raw = &text[node.span.clone()];
        match &node.value {
            Value::List(items) => {
                format!("[{}]", items.iter().map(|i| outline(text, i)).collect::<Vec<_>>().join(", "))
            }
            Value::Map(members) => {
                let members = members
                    .iter()
                    .map(|(key, value)| format!("{}={}:{}", key.name, &text[key.span.clone()], outline(text, value)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
            scalar => format!("{scalar:?}<{raw}>"),
        }
    }

    #[test]
    fn spans_cover_the_text_of_each_scalar() {
        let text = "a: 1.0\nb: 'it''s'\n\"c\": [yes, \"x\\ty\", ~]\ne: &k {f: true}\ng: *k\nh:\n";
        let root = read(text).unwrap();
        assert_eq!(
            outline(text, &root),
            r#"{a=a:Float(1.0)<1.0>, b=b:Text("it's")<'it''s'>, c="c":[Text("yes")<yes>, Text("x\ty")<"x\ty">, Null<~>], e=e:{f=f:Bool(true)<true>}, g=g:{f=*k:Bool(true)<*k>}, h=h:Null<>}"#
        );
    }

    #[test]
    fn hostile_yaml_is_refused_quickly() {
        let bomb: String = (1..20).fold("a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned(), |text, i| {
            let before = format!("*a{},", i - 1).repeat(9);
            format!("{text}a{i}: &a{i} [{before}]\n")
        });
        let start = std::time::Instant::now();
        for text in [bomb, "[".repeat(5_000), format!("a: {}", "{b: ".repeat(200)), "a: 1\na: 2".to_owned()] {
            let problem = read(&text).unwrap_err();
            assert!(problem.message.starts_with("invalid YAML at line"), "{problem:?}");
        }
        assert!(read(&" ".repeat(300_000)).unwrap_err().message.contains("larger than 256 KiB"));
        assert_eq!(read("").unwrap_err().message, "empty policy document");
        assert!(start.elapsed() < std::time::Duration::from_secs(20));
    }
}
