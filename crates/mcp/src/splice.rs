//! JSON objects, read and edited where they lie.
//!
//! What agents and servers say passes through byte for byte; only named members are looked at, added,
//! replaced or left out. A name counts however it is spelled (`"\u0061"` is `"a"`), so that nobody
//! hides a member from us and shows it to whoever reads next. The text must be valid JSON: everything
//! here comes out of a [`RawValue`].

use std::{borrow::Cow, fmt, ops::Range, sync::Arc};

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

/// One member of an object: where it lies in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Span {
    /// The key without quotes, as it is spelled.
    pub(crate) key: Range<usize>,
    /// The value.
    pub(crate) value: Range<usize>,
}

impl Span {
    /// The key, read: two spellings of one name are one name.
    pub(crate) fn name<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let spelled = &text[self.key.clone()];
        if !spelled.contains('\\') {
            return Cow::Borrowed(spelled);
        }
        let quoted = &text[self.key.start - 1..=self.key.end];
        serde_json::from_str(quoted).map_or(Cow::Borrowed(spelled), Cow::Owned)
    }
}

/// The members of the object `text` holds, outermost level only; `None` when it is no object.
pub(crate) fn spans(text: &str) -> Option<Spans<'_>> {
    let bytes = text.as_bytes();
    let start = skip_space(bytes, 0);
    (bytes.get(start) == Some(&b'{')).then_some(Spans { bytes, at: start + 1 })
}

/// Iterator over [`Span`]s.
pub(crate) struct Spans<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Spans<'_> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        let mut at = skip_space(self.bytes, self.at);
        if self.bytes.get(at) == Some(&b',') {
            at = skip_space(self.bytes, at + 1);
        }
        if self.bytes.get(at) != Some(&b'"') {
            return None;
        }
        let key_end = skip_string(self.bytes, at);
        let colon = skip_space(self.bytes, key_end);
        let value = skip_space(self.bytes, colon + 1);
        let value_end = skip_value(self.bytes, value);
        self.at = value_end;
        Some(Span { key: at + 1..key_end - 1, value: value..value_end })
    }
}

/// The value of the member called `name`, as it is spelled. Of a repeated name the last counts, as
/// everywhere in serde.
pub(crate) fn get<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let found = spans(text)?.filter(|span| span.name(text) == name).last()?;
    Some(&text[found.value])
}

/// The object with the JSON text `value` as member `name`: in place where it exists, else in front.
/// Of a repeated name one is left, so that nobody reads another.
pub(crate) fn set(text: &str, name: &str, value: &str) -> String {
    let Some(all) = spans(text) else { return text.to_owned() };
    let found: Vec<Span> = all.filter(|span| span.name(text) == name).collect();
    let mut out = String::with_capacity(text.len() + name.len() + value.len() + 5);
    match found.as_slice() {
        [] => push_front(&mut out, text, &[(name, value)]),
        [only] => out.extend([&text[..only.value.start], value, &text[only.value.end..]]),
        _ => push_front(&mut out, &without(text, |key| key == name), &[(name, value)]),
    }
    out
}

/// [`set`] on a value; `None` when it is no object.
pub(crate) fn replace(object: &RawValue, name: &str, value: &str) -> Option<Arc<RawValue>> {
    spans(object.get())?;
    Some(raw(set(object.get(), name, value)))
}

/// The object without the member `name`, and that member.
pub(crate) fn take<'a>(object: &'a RawValue, name: &str) -> Option<(Arc<RawValue>, Option<&'a RawValue>)> {
    let members = Members::of(object)?;
    Some((raw(without(object.get(), |key| key == name)), members.get(name)))
}

/// Appends the object with `new` members in front of its own.
pub(crate) fn push_front(out: &mut String, text: &str, new: &[(&str, &str)]) {
    let open = skip_space(text.as_bytes(), 0) + 1;
    let rest = &text[open..];
    out.push('{');
    for (i, (key, value)) in new.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        string(out, key);
        out.push(':');
        out.push_str(value);
    }
    if !new.is_empty() && !rest.trim_start().starts_with('}') {
        out.push(',');
    }
    out.push_str(rest);
}

/// The object without the members `drop` picks by key.
pub(crate) fn without(text: &str, drop: impl Fn(&str) -> bool) -> String {
    let Some(all) = spans(text) else { return text.to_owned() };
    let mut out = String::with_capacity(text.len());
    out.push('{');
    for member in all.filter(|member| !drop(&member.name(text))) {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&text[member.key.start - 1..member.value.end]);
    }
    out.push('}');
    out
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
        at += 1;
    }
    at
}

/// The end of the string that opens at `at`.
fn skip_string(bytes: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The end of the value that starts at `at`. Iterative: depth is not limited here.
fn skip_value(bytes: &[u8], mut at: usize) -> usize {
    let mut depth = 0usize;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => {
                at = skip_string(bytes, at);
                if depth == 0 {
                    return at;
                }
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// Whether `body` nests arrays and objects deeper than `max`. Needs no valid JSON.
pub(crate) fn deeper_than(body: &[u8], max: usize) -> bool {
    let mut depth = 0usize;
    let mut at = 0;
    while let Some(&byte) = body.get(at) {
        match byte {
            b'"' => {
                at = skip_string(body, at);
                continue;
            }
            b'{' | b'[' => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        at += 1;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_however_they_are_spelled() {
        let text = " { \"a\" : 1 ,\n\"b\\\"c\": [ {\"x\": \"]}\"} , 2 ], \"d\":\"e\\\\\",\"f\":null } ";
        let found: Vec<_> = spans(text).unwrap().map(|m| (&text[m.key], &text[m.value])).collect();
        assert_eq!(found, [("a", "1"), ("b\\\"c", "[ {\"x\": \"]}\"} , 2 ]"), ("d", "\"e\\\\\""), ("f", "null")]);
        assert!(spans("[1]").is_none());
        assert_eq!(spans("{}").unwrap().count(), 0);
    }

    #[test]
    fn a_member_is_set_where_it_is_or_in_front() {
        assert_eq!(set(r#"{"a":1,"b":2}"#, "b", "3"), r#"{"a":1,"b":3}"#);
        assert_eq!(set(r#"{"a":{"b":1}}"#, "b", "3"), r#"{"b":3,"a":{"b":1}}"#);
        assert_eq!(set("{ }", "b", "3"), r#"{"b":3 }"#);
    }

    #[test]
    fn a_name_counts_however_it_is_spelled_and_often() {
        let hidden = r#"{"\u0061":1,"b":2,"a":3}"#;
        assert_eq!(get(hidden, "a"), Some("3"));
        assert_eq!(set(hidden, "a", "9"), r#"{"a":9,"b":2}"#);
        assert_eq!(without(hidden, |key| key == "a"), r#"{"b":2}"#);
        assert_eq!(Members::of(&raw(hidden)).unwrap().get("a").unwrap().get(), "3");
    }

    #[test]
    fn a_member_is_replaced_and_the_rest_kept_as_it_was() {
        let object = raw(r#"{"b" : 1.50, "message":"hi","a":{"x": []}}"#);
        let replaced = replace(&object, "message", r#""new""#).unwrap();
        assert_eq!(replaced.get(), r#"{"b" : 1.50, "message":"new","a":{"x": []}}"#);
        assert_eq!(replace(&raw("{}"), "k", "null").unwrap().get(), r#"{"k":null}"#);
        assert!(replace(&raw("[]"), "k", "null").is_none());
        let (rest, taken) = take(&object, "message").unwrap();
        assert_eq!((rest.get(), taken.unwrap().get()), (r#"{"b" : 1.50,"a":{"x": []}}"#, r#""hi""#));
    }

    #[test]
    fn members_are_dropped_and_the_rest_is_untouched() {
        let drop = |key: &str| matches!(key, "x" | "y");
        assert_eq!(without(r#"{"x":1,"a": 1.0e5 ,"y":{"x":2}}"#, drop), r#"{"a": 1.0e5}"#);
        assert_eq!(without(r#"{"x":1}"#, drop), "{}");
        assert_eq!(without(r#"{"a":{"x":1}}"#, drop), r#"{"a":{"x":1}}"#);
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        assert!(deeper_than(b"[[[", 2));
        assert!(!deeper_than(b"[[]]", 2));
        assert!(!deeper_than(br#"["[[[[\"[[["]"#, 2));
    }
}
