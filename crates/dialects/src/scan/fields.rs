//! The members of a request body that mean something to governance, by dialect. Data, no logic.

use crate::{Dialect, Operation};

/// What a member of the body says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Model,
    Stream,
    StreamOptions,
    /// Longest answer, in tokens.
    MaxOutput,
    /// How many answers.
    Choices,
    /// What is said to the model, with media and cache marks in it.
    Conversation,
    Tools,
    /// Tools the provider runs, by a member of their own; with how many uses, if that is bounded.
    Hosted(Option<u64>),
    /// The bound on all uses of the provider's tools.
    HostedMax,
    /// Gemini's knobs.
    Generation,
    /// Kinds of answers (`audio`, `image`).
    Modalities,
    /// Prompt that the body does not hold.
    Elsewhere,
    /// The same, and only the provider that keeps it can serve the request.
    Native,
    /// What only the dialect's own provider can do, if it is `true`.
    NativeIfTrue,
    /// A mark that the prompt shall be cached.
    CacheMark,
    /// What the provider does with a long context.
    ContextManagement,
    Metadata,
    User,
    CacheKey,
    /// A class of service with its own prices.
    Tier,
    /// Gemini's requests within a request, each with its model.
    Nested,
}

/// The members of a body that are read.
pub(super) const fn fields(dialect: Dialect, operation: Operation) -> &'static [(&'static str, Field)] {
    match (dialect, operation) {
        (Dialect::Chat, Operation::Embed) => EMBEDDINGS,
        (Dialect::Chat, _) => CHAT,
        (Dialect::Responses, _) => RESPONSES,
        (Dialect::Messages, _) => MESSAGES,
        (Dialect::Gemini, _) => GEMINI,
        (Dialect::Converse, _) => &[],
    }
}

const EMBEDDINGS: &[(&str, Field)] = &[("model", Field::Model), ("user", Field::User)];

const CHAT: &[(&str, Field)] = &[
    ("model", Field::Model),
    ("messages", Field::Conversation),
    ("stream", Field::Stream),
    ("stream_options", Field::StreamOptions),
    ("max_completion_tokens", Field::MaxOutput),
    ("max_tokens", Field::MaxOutput),
    ("n", Field::Choices),
    ("tools", Field::Tools),
    ("modalities", Field::Modalities),
    ("web_search_options", Field::Hosted(Some(1))),
    // OpenRouter, xAI, Alibaba.
    ("plugins", Field::Hosted(None)),
    ("search_parameters", Field::Hosted(None)),
    ("enable_search", Field::Hosted(None)),
    ("user", Field::User),
    ("safety_identifier", Field::User),
    ("prompt_cache_key", Field::CacheKey),
    ("service_tier", Field::Tier),
];

const RESPONSES: &[(&str, Field)] = &[
    ("model", Field::Model),
    ("input", Field::Conversation),
    ("stream", Field::Stream),
    ("max_output_tokens", Field::MaxOutput),
    ("tools", Field::Tools),
    ("max_tool_calls", Field::HostedMax),
    ("previous_response_id", Field::Native),
    ("conversation", Field::Native),
    ("prompt", Field::Native),
    ("background", Field::NativeIfTrue),
    ("context_management", Field::ContextManagement),
    ("user", Field::User),
    ("safety_identifier", Field::User),
    ("prompt_cache_key", Field::CacheKey),
    ("service_tier", Field::Tier),
];

const MESSAGES: &[(&str, Field)] = &[
    ("model", Field::Model),
    ("messages", Field::Conversation),
    ("system", Field::Conversation),
    ("stream", Field::Stream),
    ("max_tokens", Field::MaxOutput),
    ("tools", Field::Tools),
    ("mcp_servers", Field::Hosted(None)),
    ("container", Field::Elsewhere),
    ("cache_control", Field::CacheMark),
    ("context_management", Field::ContextManagement),
    ("metadata", Field::Metadata),
    ("service_tier", Field::Tier),
    ("speed", Field::Tier),
];

/// Google reads both spellings of each name.
const GEMINI: &[(&str, Field)] = &[
    ("model", Field::Model),
    ("contents", Field::Conversation),
    ("content", Field::Conversation),
    ("systemInstruction", Field::Conversation),
    ("system_instruction", Field::Conversation),
    ("generationConfig", Field::Generation),
    ("generation_config", Field::Generation),
    ("tools", Field::Tools),
    ("cachedContent", Field::Elsewhere),
    ("cached_content", Field::Elsewhere),
    ("requests", Field::Nested),
    ("generateContentRequest", Field::Nested),
    ("generate_content_request", Field::Nested),
    ("serviceTier", Field::Tier),
    ("service_tier", Field::Tier),
];

/// Who runs a tool of this `type`.
pub(super) fn runner(dialect: Dialect, kind: &[u8]) -> Runner {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| kind.starts_with(prefix.as_bytes()));
    match (dialect, kind) {
        (_, b"function" | b"custom") | (Dialect::Responses, b"namespace") => Runner::Agent,
        (Dialect::Messages, _) if starts(&["bash_", "text_editor_", "computer_", "memory_"]) => Runner::AgentKnown,
        (Dialect::Responses, b"local_shell" | b"apply_patch") => Runner::AgentKnown,
        (Dialect::Responses, _) if starts(&["computer"]) => Runner::AgentKnown,
        _ => Runner::Provider,
    }
}

/// Who runs a tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Runner {
    /// The agent, by the definition in the body.
    Agent,
    /// The agent, by a definition that the provider adds to the prompt.
    AgentKnown,
    /// The provider, or nobody knows.
    Provider,
}
