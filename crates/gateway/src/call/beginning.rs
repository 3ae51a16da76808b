//! What an answer with a status of success begins like: some providers send their errors so.

/// What the first bytes of an answer say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beginning {
    /// An answer.
    Answer,
    /// An error instead of one.
    Error,
    /// Too few of them to tell.
    Unclear,
}

/// Members that only an error begins with.
const ERRORS: [&[u8]; 3] = [b"\"error\":", b"\"type\":\"error\"", b"\"object\":\"error\""];
/// Whoever begins with an empty member of that name gives an answer.
const NONE: &[u8] = b"\"error\":null";

/// Reads the first bytes of a JSON document, of Gemini's array, or of a stream of events. Bytes are never held
/// longer than the first name of a member needs.
pub(super) fn beginning(bytes: &[u8]) -> Beginning {
    let mut rest = trimmed(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    for name in [&b"event:"[..], b"data:"] {
        match after(rest, name) {
            Part::Whole(value) if name == b"event:" => {
                let Some(end) = value.iter().position(|byte| b"\r\n".contains(byte)) else { return Beginning::Unclear };
                if value[..end].trim_ascii() == b"error" {
                    return Beginning::Error;
                }
                rest = trimmed(&value[end..]);
            }
            Part::Whole(value) => rest = trimmed(value),
            Part::Begun => return Beginning::Unclear,
            Part::Other => {}
        }
    }
    let rest = match rest.first() {
        Some(b'[') => trimmed(&rest[1..]),
        _ => rest,
    };
    let member = match rest {
        [] => return Beginning::Unclear,
        [b'{', member @ ..] => member,
        _ => return Beginning::Answer,
    };
    let longest = ERRORS.iter().map(|error| error.len()).max().unwrap_or_default();
    let dense: Vec<u8> = member.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).take(longest).collect();
    if dense.starts_with(NONE) || ERRORS.iter().all(|error| !dense.starts_with(error) && !error.starts_with(&dense)) {
        return Beginning::Answer;
    }
    // `null` may still come.
    let is_named = dense.starts_with(ERRORS[0]) && (dense.len() < NONE.len() && NONE.starts_with(&dense));
    if !is_named && ERRORS.iter().any(|error| dense.starts_with(error)) { Beginning::Error } else { Beginning::Unclear }
}

/// The document in an error: what the first event says, where it came as one.
pub(super) fn document(bytes: &[u8]) -> &[u8] {
    let mut lines = bytes.split(|byte| b"\r\n".contains(byte));
    lines.find_map(|line| line.strip_prefix(b"data:")).map_or(bytes, trimmed)
}

enum Part<'b> {
    Whole(&'b [u8]),
    Begun,
    Other,
}

fn after<'b>(bytes: &'b [u8], name: &[u8]) -> Part<'b> {
    match bytes.strip_prefix(name) {
        Some(rest) => Part::Whole(rest),
        None if name.starts_with(bytes) => Part::Begun,
        None => Part::Other,
    }
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii_start()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_told_from_answers_by_their_first_member() {
        for error in [
            r#"{"error":{"message":"no"}}"#,
            "\u{feff} {\n  \"error\" : \"no\"}",
            r#"{"type":"error","error":{}}"#,
            r#"{"object":"error","message":"no"}"#,
            r#"[{"error":{"code":429}}]"#,
            "data: {\"error\":{}}\n\n",
            "event: error\ndata: {\"type\":\"overloaded_error\"}\n\n",
            "event: message\r\ndata:{\"type\":\"error\"}\r\n\r\n",
        ] {
            assert_eq!(beginning(error.as_bytes()), Beginning::Error, "{error}");
        }
        for answer in [
            r#"{"id":"1","error":null}"#,
            r#"{"error":null,"id":"1"}"#,
            r#"{"type":"message"}"#,
            r#"{"object":"chat.completion"}"#,
            r#"{"errors":[]}"#,
            r#"[{"candidates":[]}]"#,
            "[]",
            ": comment\n\n",
            "data: [DONE]\n\n",
            "data: {\"id\":1}\n\n",
            "event: message_start\ndata: {\"type\":\"message_start\"}\n\n",
            "id: 7\ndata: {}",
            "\u{0}\u{1}binary",
        ] {
            assert_eq!(beginning(answer.as_bytes()), Beginning::Answer, "{answer}");
        }
        for unclear in [
            "",
            " ",
            "{",
            "d",
            "data:",
            "event: err",
            "{\"er",
            "{\"error\":",
            "{\"error\": nul",
            "{\"type\": \"",
            "[",
            "[ {",
        ] {
            assert_eq!(beginning(unclear.as_bytes()), Beginning::Unclear, "{unclear}");
        }
    }

    #[test]
    fn an_errors_document_is_found_in_its_event() {
        assert_eq!(document(b"event: error\r\ndata: {\"a\":1}\r\n\r\n"), b"{\"a\":1}");
        assert_eq!(document(b"{\"a\":1}"), b"{\"a\":1}");
    }
}
