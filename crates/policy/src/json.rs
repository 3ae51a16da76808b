//! A call's arguments as conditions read them.
//!
//! Borrowed from the text, in which every reader must agree on what it says: an object that
//! repeats a key and a number no rule can compare exactly are refused, because the tool behind
//! the rule might read them differently.

use std::{borrow::Cow, cell::Cell, fmt};

use serde::{
    Deserialize,
    de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};

/// Largest arguments a rule is evaluated on, in bytes.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most values (members and items, at any depth) a rule is evaluated on.
const VALUES_MAX: usize = 50_000;
/// Deepest nesting a rule is evaluated on.
const DEPTH_MAX: usize = 64;

/// A JSON value whose strings borrow from the text where they can.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`; smaller numbers are always `Int`.
    Uint(u64),
    Double(f64),
    String(Cow<'a, str>),
    List(Vec<Json<'a>>),
    /// Sorted by key; no key twice.
    Map(Vec<(Cow<'a, str>, Json<'a>)>),
}

impl<'a> Json<'a> {
    /// Reads `text`; the error says why no rule can be evaluated on it and quotes no value.
    pub(crate) fn parse(text: &'a str) -> Result<Self, String> {
        if text.len() > BYTES_MAX {
            return Err(format!("arguments are larger than {BYTES_MAX} bytes"));
        }
        let values = Cell::new(0);
        let mut reader = serde_json::Deserializer::from_str(text);
        let value = Read { depth: 0, values: &values }.deserialize(&mut reader).map_err(|error| describe(&error))?;
        reader.end().map_err(|error| describe(&error))?;
        Ok(value)
    }

    /// The member called `name`, if this is an object that has one.
    pub(crate) fn get(&self, name: &str) -> Option<&Json<'a>> {
        if let Json::Map(members) = self { member(members, name) } else { None }
    }

    /// The value at `path`, by member names.
    pub(crate) fn at(&self, path: &[String]) -> Option<&Json<'a>> {
        path.iter().try_fold(self, |value, name| value.get(name))
    }
}

/// The member called `name` of an object's `members`.
pub(crate) fn member<'m, 'a>(members: &'m [(Cow<'a, str>, Json<'a>)], name: &str) -> Option<&'m Json<'a>> {
    // Few members, as nearly always: a scan beats a binary search.
    if members.len() <= 8 {
        return members.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    }
    let at = members.binary_search_by(|(key, _)| (**key).cmp(name)).ok()?;
    Some(&members[at].1)
}

fn describe(error: &serde_json::Error) -> String {
    // serde_json appends a position that means nothing to a reader of decisions.
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => format!("arguments cannot be read: {}", &text[..end]),
        None => format!("arguments cannot be read: {text}"),
    }
}

#[derive(Clone, Copy)]
struct Read<'c> {
    depth: usize,
    values: &'c Cell<usize>,
}

impl<'de> DeserializeSeed<'de> for Read<'_> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        self.values.set(self.values.get() + 1);
        if self.values.get() > VALUES_MAX {
            return Err(D::Error::custom(format_args!("more than {VALUES_MAX} values")));
        }
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom(format_args!("nested deeper than {DEPTH_MAX} levels")));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Read<'_> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(value).map_or(Json::Uint(value), Json::Int))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json<'de>, E> {
        // An integer of more than 64 bits arrives here already rounded: comparing it would
        // compare another number.
        if value.abs() >= 9_223_372_036_854_775_808.0 {
            return Err(E::custom("a number is beyond 64 bits and cannot be compared exactly"));
        }
        Ok(Json::Double(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Json<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(Read { depth: self.depth + 1, ..self })? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let mut members = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            members.push((key, map.next_value_seed(Read { depth: self.depth + 1, ..self })?));
        }
        members.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if let Some(pair) = members.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(A::Error::custom(format_args!("key `{}` appears twice", pair[0].0)));
        }
        Ok(Json::Map(members))
    }
}

/// A key that borrows where it can; `Cow` alone always copies.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_path() {
        let json = Json::parse(r#"{"b": {"c": [1, 2.5, "x\n"]}, "a": null}"#).unwrap();
        let path = ["b".to_owned(), "c".to_owned()];
        assert_eq!(
            json.at(&path),
            Some(&Json::List(vec![Json::Int(1), Json::Double(2.5), Json::String("x\n".into())]))
        );
        assert_eq!(json.get("a"), Some(&Json::Null));
        assert_eq!(json.get("z"), None);
    }

    #[test]
    fn what_readers_disagree_on_is_refused() {
        for (text, why) in [
            (r#"{"amount": 1, "\u0061mount": 1000000}"#, "key `amount` appears twice"),
            (r#"{"amount": 18446744073709551616}"#, "beyond 64 bits"),
            (r#"{"amount": -9223372036854775809}"#, "beyond 64 bits"),
            (r#"{"amount": 1e999}"#, "number out of range"),
        ] {
            let error = Json::parse(text).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(Json::parse(r#"{"a": 18446744073709551615}"#).unwrap().get("a"), Some(&Json::Uint(u64::MAX)));
    }

    #[test]
    fn size_is_bounded() {
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(Json::parse(&deep).unwrap_err().contains("nested deeper"));
        let wide = format!("[{}1]", "1,".repeat(60_000));
        assert!(Json::parse(&wide).unwrap_err().contains("more than"));
        let long = format!("\"{}\"", "x".repeat(BYTES_MAX));
        assert!(Json::parse(&long).unwrap_err().contains("larger than"));
    }
}
