//! Looks into JSON objects without taking them apart.

use std::{borrow::Cow, fmt, sync::Arc};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

/// The members of a JSON object in their order, values as they came.
pub(crate) struct Members<'a>(pub(crate) Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> Members<'a> {
    /// `None` when it is not an object.
    pub(crate) fn of(object: &'a RawValue) -> Option<Self> {
        serde_json::from_str(object.get()).ok()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a RawValue> {
        // Of a repeated name the last counts, as everywhere in serde.
        self.0.iter().rev().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(map.size_hint().unwrap_or(8));
                while let Some(Name(name)) = map.next_key()? {
                    members.push((name, map.next_value()?));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Each).map(Members)
    }
}

/// A member's name, borrowed where it needs no unescaping.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Valid JSON text as a value.
pub(crate) fn raw(text: impl Into<String>) -> Arc<RawValue> {
    let text = text.into();
    debug_assert!(serde_json::from_str::<&RawValue>(&text).is_ok(), "not JSON: {text}");
    RawValue::from_string(text).map_or_else(|_| Arc::from(RawValue::NULL.to_owned()), Arc::from)
}

/// Appends `"name":value` to an object under construction.
pub(crate) fn append(object: &mut String, name: &str, value: &str) {
    if !object.ends_with('{') {
        object.push(',');
    }
    string(object, name);
    object.push(':');
    object.push_str(value);
}

/// Appends a JSON string.
pub(crate) fn string(out: &mut String, text: &str) {
    // Serialising a string cannot fail.
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// The same object with the JSON text `value` as member `name`, in its old place or at the end.
pub(crate) fn replace(object: &RawValue, name: &str, value: &str) -> Option<Arc<RawValue>> {
    let members = Members::of(object)?;
    let mut out = String::with_capacity(object.get().len() + value.len() + name.len() + 4);
    let mut written = false;
    out.push('{');
    for (key, old) in &members.0 {
        if key != name {
            append(&mut out, key, old.get());
        } else if !std::mem::replace(&mut written, true) {
            append(&mut out, key, value);
        }
    }
    if !written {
        append(&mut out, name, value);
    }
    out.push('}');
    Some(raw(out))
}

/// The object without the member `name`, and that member.
pub(crate) fn take<'a>(object: &'a RawValue, name: &str) -> Option<(Arc<RawValue>, Option<&'a RawValue>)> {
    let members = Members::of(object)?;
    let mut out = String::with_capacity(object.get().len());
    out.push('{');
    for (key, value) in members.0.iter().filter(|(key, _)| key != name) {
        append(&mut out, key, value.get());
    }
    out.push('}');
    Some((raw(out), members.get(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_replaced_and_the_rest_kept_as_it_was() {
        let object = raw(r#"{"b" : 1.50, "message":"hi","a":{"x": []}}"#);
        assert_eq!(
            replace(&object, "message", r#""new""#).unwrap().get(),
            r#"{"b":1.50,"message":"new","a":{"x": []}}"#
        );
        assert_eq!(replace(&raw("{}"), "k", "null").unwrap().get(), r#"{"k":null}"#);
        assert!(replace(&raw("[]"), "k", "null").is_none());
    }

    #[test]
    fn escaped_names_are_found() {
        let object = raw(r#"{"\u0061":1,"a":2}"#);
        assert_eq!(Members::of(&object).unwrap().get("a").unwrap().get(), "2");
    }
}
