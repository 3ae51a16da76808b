use preloop_types::Tokens;
use serde_json::{Value, json};

use crate::chat::usage::input_details;

/// What was consumed, in the words of Responses: input includes what a cache served, output includes reasoning.
pub(super) fn write(tokens: &Tokens) -> Value {
    json!({
        "input_tokens": tokens.prompt(),
        "input_tokens_details": input_details(tokens, false),
        "output_tokens": tokens.completion(),
        "output_tokens_details": {"reasoning_tokens": tokens.reasoning},
        "total_tokens": tokens.total(),
    })
}
