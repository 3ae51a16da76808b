//! One spelling for equal JSON, so that a hash can stand for it.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use serde::{
    Deserialize,
    de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// Why a text has no canonical form.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// Not JSON, or an object with the same key twice.
    #[error("not canonicalisable JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Nested deeper than 128 levels.
    #[error("JSON is nested deeper than {DEPTH_MAX} levels")]
    Depth,
}

/// Deepest nesting accepted.
const DEPTH_MAX: usize = 128;

/// The canonical spelling of a JSON text: object keys sorted by their UTF-8 bytes, no white
/// space, strings with the fewest escapes, numbers exactly as they were spelled (so no digit of
/// a large number is lost). An object with a repeated key is refused: readers disagree on it.
pub fn canonical_json(text: &str) -> Result<String, CanonicalError> {
    let mut out = String::with_capacity(text.len());
    write(text.trim(), &mut out, 0)?;
    Ok(out)
}

/// Refuses JSON in which an object has a key twice. Readers disagree on which one counts, so what was
/// decided about would not be what is carried out.
pub fn unambiguous(text: &str) -> Result<(), CanonicalError> {
    serde_json::from_str::<Unambiguous>(text)?;
    Ok(())
}

fn write(text: &str, out: &mut String, depth: usize) -> Result<(), CanonicalError> {
    if depth > DEPTH_MAX {
        return Err(CanonicalError::Depth);
    }
    match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text)?;
            out.push('{');
            for (i, (key, value)) in members.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                out.push_str(&serde_json::to_string(key)?);
                out.push(':');
                write(value.get(), out, depth + 1)?;
            }
            out.push('}');
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',');
                }
                write(item.get(), out, depth + 1)?;
            }
            out.push(']');
        }
        Some(b'"') => out.push_str(&serde_json::to_string(&serde_json::from_str::<Cow<'_, str>>(text)?)?),
        _ => {
            let scalar: &RawValue = serde_json::from_str(text)?;
            out.push_str(scalar.get());
        }
    }
    Ok(())
}

struct Members<'a>(BTreeMap<String, &'a RawValue>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if members.contains_key(&key) {
                        return Err(A::Error::custom(format!("key `{key}` appears twice")));
                    }
                    members.insert(key, value);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// JSON whose keys were looked at and whose values were thrown away.
struct Unambiguous;

impl<'de> Deserialize<'de> for Unambiguous {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Look;
        impl<'de> Visitor<'de> for Look {
            type Value = Unambiguous;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("JSON")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unambiguous, A::Error> {
                let mut seen = HashSet::new();
                while let Some(Key(key)) = map.next_key()? {
                    if let Some(key) = seen.replace(key) {
                        return Err(A::Error::custom(format!("key `{key}` appears twice")));
                    }
                    map.next_value::<Unambiguous>()?;
                }
                Ok(Unambiguous)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unambiguous, A::Error> {
                while seq.next_element::<Unambiguous>()?.is_some() {}
                Ok(Unambiguous)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_str<E>(self, _: &str) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }

            fn visit_unit<E>(self) -> Result<Unambiguous, E> {
                Ok(Unambiguous)
            }
        }
        deserializer.deserialize_any(Look)
    }
}

/// A key, borrowed where its spelling holds no escape.
#[derive(Deserialize)]
#[serde(transparent)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_spell_the_same() {
        let a = canonical_json(r#" {"b": [1, 2.50, "\u0041\/"], "a": {"y": null, "x": true}} "#).unwrap();
        assert_eq!(a, r#"{"a":{"x":true,"y":null},"b":[1,2.50,"A/"]}"#);
    }

    #[test]
    fn large_numbers_keep_every_digit() {
        assert_eq!(canonical_json("[12345678901234567890123, 1e400]").unwrap(), "[12345678901234567890123,1e400]");
    }

    #[test]
    fn a_repeated_key_is_refused() {
        assert!(canonical_json(r#"{"a":1,"\u0061":2}"#).is_err());
    }

    #[test]
    fn a_repeated_key_is_ambiguous_at_any_depth() {
        assert!(unambiguous(r#"{"a":[{"b":1.5,"c":{"b":null}},"b",-1,true]}"#).is_ok());
        assert!(unambiguous(r#"{"a":[1,{"b":1,"c":2,"\u0062":3}]}"#).is_err());
    }

    #[test]
    fn bottomless_nesting_is_refused() {
        let text = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(canonical_json(&text).is_err());
    }
}
