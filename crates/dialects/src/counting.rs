//! How many tokens a prompt has, as each API says it.

use serde_json::{Value, json};

use crate::{Dialect, translate::BadAnswer};

/// Writes the answer to an agent.
pub fn encode_response(dialect: Dialect, tokens: u64) -> Vec<u8> {
    let body = match dialect {
        Dialect::Gemini => json!({ "totalTokens": tokens }),
        Dialect::Responses | Dialect::Chat => {
            json!({ "object": "response.input_tokens", "input_tokens": tokens })
        }
        Dialect::Messages => json!({ "input_tokens": tokens }),
        Dialect::Converse => json!({ "inputTokens": tokens }),
    };
    body.to_string().into_bytes()
}

/// Reads a provider's answer.
pub fn decode_response(dialect: Dialect, body: &[u8]) -> Result<u64, BadAnswer> {
    let body: Value = serde_json::from_slice(body).map_err(|error| BadAnswer(format!("it is not JSON: {error}")))?;
    let name = match dialect {
        Dialect::Gemini => "totalTokens",
        Dialect::Responses | Dialect::Chat | Dialect::Messages => "input_tokens",
        Dialect::Converse => "inputTokens",
    };
    body[name].as_u64().ok_or_else(|| BadAnswer(format!("`{name}` is missing")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_read_as_it_is_written() {
        for dialect in [Dialect::Chat, Dialect::Responses, Dialect::Messages, Dialect::Gemini, Dialect::Converse] {
            assert_eq!(decode_response(dialect, &encode_response(dialect, 7)), Ok(7));
        }
        assert_eq!(encode_response(Dialect::Messages, 7), br#"{"input_tokens":7}"#);
        assert_eq!(encode_response(Dialect::Gemini, 7), br#"{"totalTokens":7}"#);
        assert!(decode_response(Dialect::Gemini, b"{}").is_err());
    }
}
