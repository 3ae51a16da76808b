//! Adds and removes members of a JSON object that is otherwise left as it came.
//!
//! Results pass through byte for byte; only the members the eras disagree on are touched. The
//! text must be valid JSON: everything here comes out of a [`serde_json::value::RawValue`].

use std::ops::Range;

/// One member of an object: where it lies in the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Member {
    /// The key without quotes, escapes not decoded.
    pub(super) key: Range<usize>,
    /// The value.
    pub(super) value: Range<usize>,
}

/// The members of the object `text` holds, outermost level only; `None` when it is no object.
pub(super) fn members(text: &str) -> Option<Members<'_>> {
    let bytes = text.as_bytes();
    let start = skip_space(bytes, 0);
    (bytes.get(start) == Some(&b'{')).then_some(Members { bytes, at: start + 1 })
}

/// Iterator over [`Member`]s.
pub(super) struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
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
        Some(Member { key: at + 1..key_end - 1, value: value..value_end })
    }
}

/// The value of the member `key`, as it is spelled.
pub(super) fn get<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    members(text)?.find(|member| &text[member.key.clone()] == key).map(|member| &text[member.value])
}

/// The object with `key` set to `value`, in place where it exists, else in front.
pub(super) fn with(text: &str, key: &str, value: &str) -> String {
    let mut out = String::with_capacity(text.len() + key.len() + value.len() + 5);
    let Some(mut all) = members(text) else { return text.to_owned() };
    if let Some(member) = all.find(|member| &text[member.key.clone()] == key) {
        out.push_str(&text[..member.value.start]);
        out.push_str(value);
        out.push_str(&text[member.value.end..]);
    } else {
        push_front(&mut out, text, &[(key, value)]);
    }
    out
}

/// Appends the object with `new` members in front of its own.
pub(super) fn push_front(out: &mut String, text: &str, new: &[(&str, &str)]) {
    let open = skip_space(text.as_bytes(), 0) + 1;
    let rest = &text[open..];
    out.push('{');
    for (i, (key, value)) in new.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push('"');
        out.push_str(key);
        out.push_str("\":");
        out.push_str(value);
    }
    if !new.is_empty() && !rest.trim_start().starts_with('}') {
        out.push(',');
    }
    out.push_str(rest);
}

/// The object without the members `drop` picks by key.
pub(super) fn without(text: &str, drop: impl Fn(&str) -> bool) -> String {
    let Some(all) = members(text) else { return text.to_owned() };
    let mut out = String::with_capacity(text.len());
    out.push('{');
    for member in all.filter(|member| !drop(&text[member.key.clone()])) {
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
pub(super) fn deeper_than(body: &[u8], max: usize) -> bool {
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
        let found: Vec<_> = members(text).unwrap().map(|m| (&text[m.key], &text[m.value])).collect();
        assert_eq!(found, [("a", "1"), ("b\\\"c", "[ {\"x\": \"]}\"} , 2 ]"), ("d", "\"e\\\\\""), ("f", "null")]);
        assert!(members("[1]").is_none());
        assert_eq!(members("{}").unwrap().count(), 0);
    }

    #[test]
    fn a_member_is_set_where_it_is_or_in_front() {
        assert_eq!(with(r#"{"a":1,"b":2}"#, "b", "3"), r#"{"a":1,"b":3}"#);
        assert_eq!(with(r#"{"a":{"b":1}}"#, "b", "3"), r#"{"b":3,"a":{"b":1}}"#);
        assert_eq!(with("{ }", "b", "3"), r#"{"b":3 }"#);
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
