//! What was consumed, in the words of chat completions: the prompt includes what a cache served, the
//! completion includes reasoning.

use preloop_types::Tokens;
use serde_json::{Map, Value, json};

/// Writes `usage`.
pub(crate) fn write(tokens: &Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.prompt(),
        "completion_tokens": tokens.completion(),
        "total_tokens": tokens.total(),
        "prompt_tokens_details": input_details(tokens, true),
        "completion_tokens_details": {
            "reasoning_tokens": tokens.reasoning,
            "audio_tokens": tokens.output_audio,
        },
    })
}

/// What the prompt consists of. Cache writes are only said where there are any: OpenAI itself bills none.
pub(crate) fn input_details(tokens: &Tokens, audio: bool) -> Value {
    let mut details = Map::new();
    details.insert("cached_tokens".to_owned(), tokens.cache_read.into());
    if audio {
        details.insert("audio_tokens".to_owned(), tokens.input_audio.into());
    }
    let written = tokens.cache_write_5m.saturating_add(tokens.cache_write_1h);
    if written > 0 {
        details.insert("cache_write_tokens".to_owned(), written.into());
    }
    Value::Object(details)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, translate::tokens_of};

    #[test]
    fn what_is_written_reads_the_same() {
        let tokens = Tokens {
            input: 55,
            cache_read: 40,
            cache_write_5m: 3,
            input_audio: 5,
            output: 29,
            reasoning: 20,
            ..Tokens::default()
        };
        assert_eq!(tokens_of(Dialect::Chat, &write(&tokens)), Some(tokens));
    }
}
