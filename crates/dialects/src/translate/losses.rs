//! What becomes of fields that only the agent's dialect has, when its request goes to another: one table.
//!
//! A field that is not in the table is refused by name, because nobody can say what leaving it out changes.

use crate::Dialect;

/// What is lost with a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// Nothing: it is about the provider's storage, cache or abuse tracking, or says what we do anyway.
    Nothing,
    /// A wish: the answer is another one, but as good an answer. Left out with a warning.
    Wish,
}

/// The last part of a field's path, list indexes left out, and what is lost with it.
const LOSSES: &[(Dialect, &str, Loss)] = &[
    (Dialect::Chat, "store", Loss::Nothing),
    (Dialect::Chat, "safety_identifier", Loss::Nothing),
    (Dialect::Chat, "prompt_cache_retention", Loss::Nothing),
    (Dialect::Chat, "prompt_cache_options", Loss::Nothing),
    (Dialect::Chat, "client_metadata", Loss::Nothing),
    // Padding against eavesdropping, and cost in the usage.
    (Dialect::Chat, "stream_options.include_obfuscation", Loss::Nothing),
    (Dialect::Chat, "usage", Loss::Nothing),
    // What an agent sends back of an earlier answer; the text itself is sent.
    (Dialect::Chat, "messages.annotations", Loss::Nothing),
    (Dialect::Chat, "messages.id", Loss::Nothing),
    (Dialect::Chat, "messages.status", Loss::Nothing),
    (Dialect::Chat, "messages.tool_calls.index", Loss::Nothing),
    // Who of several users spoke.
    (Dialect::Chat, "messages.name", Loss::Wish),
    // A guess at the answer that only makes it faster.
    (Dialect::Chat, "prediction", Loss::Nothing),
    (Dialect::Responses, "store", Loss::Nothing),
    (Dialect::Responses, "safety_identifier", Loss::Nothing),
    (Dialect::Responses, "prompt_cache_retention", Loss::Nothing),
    (Dialect::Responses, "prompt_cache_options", Loss::Nothing),
    (Dialect::Responses, "client_metadata", Loss::Nothing),
    (Dialect::Responses, "stream_options.include_obfuscation", Loss::Nothing),
    // Encrypted reasoning comes anyway; the other things to include belong to hosted tools, refused by themselves.
    (Dialect::Responses, "include", Loss::Nothing),
    // Cutting off the oldest turns: without it, a conversation too long is an error, which says so.
    (Dialect::Responses, "truncation", Loss::Wish),
    (Dialect::Responses, "input.id", Loss::Nothing),
    (Dialect::Responses, "input.status", Loss::Nothing),
    (Dialect::Responses, "input.phase", Loss::Nothing),
    (Dialect::Responses, "input.content.annotations", Loss::Nothing),
    (Dialect::Responses, "input.content.logprobs", Loss::Nothing),
    // What a namespace is about; its tools are described themselves.
    (Dialect::Responses, "tools.description", Loss::Wish),
    (Dialect::Responses, "tools.defer_loading", Loss::Nothing),
    (Dialect::Responses, "tools.tools.defer_loading", Loss::Nothing),
    // Caching what comes last.
    (Dialect::Messages, "cache_control", Loss::Nothing),
    (Dialect::Messages, "betas", Loss::Nothing),
    // Forgetting old thinking and results: without it, a conversation too long is an error, which says so.
    (Dialect::Messages, "context_management", Loss::Wish),
    (Dialect::Messages, "speed", Loss::Wish),
    (Dialect::Messages, "output_config.effort", Loss::Wish),
    // What an agent sends back of an earlier answer.
    (Dialect::Messages, "messages.id", Loss::Nothing),
    (Dialect::Messages, "messages.content.caller", Loss::Nothing),
    // All tools are given from the start, and arguments come when they come.
    (Dialect::Messages, "tools.defer_loading", Loss::Nothing),
    (Dialect::Messages, "tools.eager_input_streaming", Loss::Nothing),
    (Dialect::Messages, "tools.input_examples", Loss::Wish),
    (Dialect::Gemini, "safetySettings", Loss::Wish),
    (Dialect::Gemini, "labels", Loss::Nothing),
    (Dialect::Gemini, "generationConfig.mediaResolution", Loss::Wish),
    (Dialect::Gemini, "contents.parts.mediaResolution", Loss::Wish),
    // What an agent sends back of an earlier answer.
    (Dialect::Gemini, "contents.parts.citationMetadata", Loss::Nothing),
];

/// What is lost with the field at `path` of `dialect`; `None` if nobody can say.
pub(super) fn loss(dialect: Dialect, path: &str) -> Option<Loss> {
    let path = plain(path);
    LOSSES.iter().find(|(of, field, _)| *of == dialect && *field == path).map(|(_, _, loss)| *loss)
}

/// The path without list indexes: `messages[2].name` is `messages.name`.
pub(super) fn plain(path: &str) -> String {
    let mut plain = String::with_capacity(path.len());
    let mut inside = false;
    for letter in path.chars() {
        match letter {
            '[' => inside = true,
            ']' => inside = false,
            other if !inside => plain.push(other),
            _ => {}
        }
    }
    plain
}
