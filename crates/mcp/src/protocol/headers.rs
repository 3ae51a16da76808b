//! The HTTP headers of MCP, and how a mirrored value is spelled in one.
//!
//! Modern requests repeat parts of their body in headers so that a load balancer can route on
//! them: `Mcp-Method`, `Mcp-Name` and one `Mcp-Param-{Name}` per annotated argument. Values a
//! header cannot carry travel as `=?base64?…?=`.

use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::HeaderValue;

/// The revision spoken on this request.
pub const PROTOCOL_VERSION: &str = "mcp-protocol-version";
/// The session, in the legacy era.
pub const SESSION_ID: &str = "mcp-session-id";
/// What the agent calls its run, in either era.
pub const RUN_ID: &str = "x-preloop-session-id";
/// The last event a client saw of a stream, in the legacy era.
pub const LAST_EVENT_ID: &str = "last-event-id";
/// Mirrors `method`.
pub const METHOD: &str = "mcp-method";
/// Mirrors the member [`mirrored_member`] names.
pub const NAME: &str = "mcp-name";
/// Begins the header that mirrors one argument.
pub const PARAM_PREFIX: &str = "mcp-param-";

const OPENING: &str = "=?base64?";
const CLOSING: &str = "?=";

/// Which member of `params` a request of `method` repeats in `Mcp-Name`.
pub fn mirrored_member(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" => Some("uri"),
        _ => None,
    }
}

/// Spells `value` as a header value.
pub fn encode(value: &str) -> HeaderValue {
    if is_plain(value)
        && let Ok(header) = HeaderValue::from_str(value)
    {
        return header;
    }
    let text = format!("{OPENING}{}{CLOSING}", STANDARD.encode(value));
    // Base64 and the markers are visible ASCII.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Reads a header value; `None` when it holds characters it must not, or broken base64.
pub fn decode(header: &HeaderValue) -> Option<Cow<'_, str>> {
    let text = header.to_str().ok()?;
    match text.strip_prefix(OPENING).and_then(|rest| rest.strip_suffix(CLOSING)) {
        None => Some(Cow::Borrowed(text)),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok().map(Cow::Owned),
    }
}

fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
        && value.trim() == value
        && !(value.starts_with(OPENING) && value.ends_with(CLOSING))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_a_header_whatever_they_hold() {
        for (value, header) in [
            ("us-west1", "us-west1"),
            ("", ""),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
        ] {
            let encoded = encode(value);
            assert_eq!(encoded, header, "{value:?}");
            assert_eq!(decode(&encoded).as_deref(), Some(value));
        }
    }

    #[test]
    fn broken_values_are_not_read() {
        assert_eq!(decode(&HeaderValue::from_static("=?base64?%%%?=")), None);
        assert_eq!(decode(&HeaderValue::from_bytes(b"caf\xe9").unwrap()), None);
    }
}
