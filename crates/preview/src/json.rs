//! Arguments as renderers read them.
//!
//! Numbers keep their spelling (an approver of `1000000000000000001` must not read a rounded
//! amount), and what stands under a secret's name is hidden before any renderer can see it.

use std::{borrow::Cow, fmt};

use preloop_types::redact::is_secret_name;
use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// Largest arguments that are read, in bytes.
const BYTES_MAX: usize = 1024 * 1024;
/// Most values read, at any depth.
const VALUES_MAX: usize = 20_000;
/// Deepest nesting read.
const DEPTH_MAX: usize = 16;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    /// As it was spelled.
    Number(&'a str),
    String(Cow<'a, str>),
    List(Vec<Json<'a>>),
    Map(Vec<(Cow<'a, str>, Json<'a>)>),
    /// A value under a secret's name: good for nothing but comparing.
    Secret(&'a str),
}

impl<'a> Json<'a> {
    /// Reads an object; the error says why it cannot be, and quotes none of it.
    pub(crate) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if text.len() > BYTES_MAX {
            return Err("they are larger than 1 MiB");
        }
        let raw: &RawValue = serde_json::from_str(text).map_err(|_| "they are not JSON")?;
        let mut values = 0;
        match read(raw.get(), 0, &mut values)? {
            map @ Json::Map(_) => Ok(map),
            _ => Err("they are not an object"),
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Json::String(text) = self { Some(text) } else { None }
    }

    /// The members of an object; none of anything else.
    pub(crate) fn members(&self) -> &[(Cow<'a, str>, Json<'a>)] {
        if let Json::Map(members) = self { members } else { &[] }
    }

    /// The items of a list; none of anything else.
    pub(crate) fn items(&self) -> &[Json<'a>] {
        if let Json::List(items) = self { items } else { &[] }
    }

    /// The member of the first of `names` that there is; names are compared as words, so that
    /// `oldString` is `old_string`.
    pub(crate) fn get(&self, names: &[&str]) -> Option<&Json<'a>> {
        names.iter().find_map(|name| {
            let found = self.members().iter().find(|(key, _)| crate::names::same(key, name));
            found.map(|(_, value)| value)
        })
    }

    /// The text under the first of `names` that there is.
    pub(crate) fn text(&self, names: &[&str]) -> Option<&str> {
        self.get(names)?.as_str()
    }

    /// The value in one line, as it is shown; secrets stay hidden.
    pub(crate) fn shown(&self) -> String {
        match self {
            Json::Null => "null".to_owned(),
            Json::Bool(value) => value.to_string(),
            Json::Number(digits) => (*digits).to_owned(),
            Json::String(text) => text.to_string(),
            Json::List(items) => {
                let shown: Vec<_> = items.iter().take(16).map(Json::shown).collect();
                let more = if items.len() > 16 { ", …" } else { "" };
                format!("[{}{more}]", shown.join(", "))
            }
            Json::Map(members) => {
                let shown: Vec<_> =
                    members.iter().take(16).map(|(key, value)| format!("{key}: {}", value.shown())).collect();
                let more = if members.len() > 16 { ", …" } else { "" };
                format!("{{{}{more}}}", shown.join(", "))
            }
            Json::Secret(_) => preloop_types::redact::REDACTED.to_owned(),
        }
    }

    /// Every value that holds no other, with the path to it, in order.
    pub(crate) fn leaves(&self) -> Vec<(String, &Json<'a>)> {
        let mut leaves = Vec::new();
        self.walk(&mut String::new(), &mut leaves);
        leaves
    }

    fn walk<'s>(&'s self, path: &mut String, leaves: &mut Vec<(String, &'s Json<'a>)>) {
        let length = path.len();
        match self {
            Json::List(items) if !items.is_empty() => {
                for (at, item) in items.iter().enumerate() {
                    path.push('[');
                    path.push_str(&at.to_string());
                    path.push(']');
                    item.walk(path, leaves);
                    path.truncate(length);
                }
            }
            Json::Map(members) if !members.is_empty() => {
                for (key, value) in members {
                    if length > 0 {
                        path.push('.');
                    }
                    path.push_str(&key[..key.floor_char_boundary(64)]);
                    value.walk(path, leaves);
                    path.truncate(length);
                }
            }
            leaf => leaves.push((path.clone(), leaf)),
        }
    }
}

fn read<'a>(text: &'a str, depth: usize, values: &mut usize) -> Result<Json<'a>, &'static str> {
    const NOT_JSON: &str = "they are not JSON";
    *values += 1;
    if *values > VALUES_MAX {
        return Err("they hold more than 20,000 values");
    }
    if depth > DEPTH_MAX {
        return Err("they are nested deeper than 16 levels");
    }
    Ok(match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text).map_err(|_| NOT_JSON)?;
            let mut read_members = Vec::with_capacity(members.len());
            for (Key(key), value) in members {
                let secret = is_secret_name(&key) && value.get() != "null";
                let value = if secret { Json::Secret(value.get()) } else { read(value.get(), depth + 1, values)? };
                read_members.push((key, value));
            }
            Json::Map(read_members)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| NOT_JSON)?;
            let items: Result<_, _> = items.into_iter().map(|item| read(item.get(), depth + 1, values)).collect();
            Json::List(items?)
        }
        Some(b'"') => {
            let Key(text) = serde_json::from_str(text).map_err(|_| NOT_JSON)?;
            Json::String(text)
        }
        Some(b't') => Json::Bool(true),
        Some(b'f') => Json::Bool(false),
        Some(b'n') => Json::Null,
        _ => Json::Number(text),
    })
}

/// A string that borrows where it can.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The members of an object in order, repeated keys included.
struct Members<'a>(Vec<(Key<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}
