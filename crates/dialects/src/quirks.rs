use serde::{Deserialize, Serialize};

/// How a provider that speaks chat completions deviates from OpenAI. Data of a provider's file,
/// overridden by a model's settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, spelled like this in settings")]
pub struct Quirks {
    /// The field that limits the answer: `max_completion_tokens` or `max_tokens`.
    pub max_tokens_field: String,
    /// The field of the seed: `seed` or `random_seed`.
    pub seed_field: String,
    /// Knows `stream_options.include_usage`.
    pub stream_usage: bool,
    /// Knows `parallel_tool_calls`.
    pub parallel_tool_calls: bool,
    /// Knows `response_format: json_schema`.
    pub json_schema: bool,
    /// Knows the role `developer`; otherwise it is written as `system`.
    pub developer_role: bool,
    /// The word that demands a tool call: `required` or `any`; `None` where it cannot be demanded.
    pub tool_choice_required: Option<String>,
    /// The field that carries thinking, and takes it back in the conversation.
    pub reasoning_field: Option<String>,
    /// Demands the thinking of earlier tool calls back.
    pub reasoning_echo: bool,
    /// Knows `reasoning_effort`.
    pub reasoning_effort: bool,
    /// Parameters it refuses: left out.
    pub drop_params: Vec<String>,
    /// JSON Schema keywords it refuses: left out.
    pub strip_schema_keywords: Vec<String>,
    /// Tool call ids have to be of exactly this many letters and digits.
    pub tool_id_length: Option<usize>,
    /// Knows OpenAI's later additions: custom tools and `allowed_tools` (otherwise wrapped into functions,
    /// and filtered), `verbosity` and `prompt_cache_key` (otherwise left out).
    pub openai_additions: bool,
    /// Takes a list of text parts where a plain text would do; otherwise they are joined.
    pub content_parts: bool,
    /// Thinking comes between `<think>` tags in the text.
    pub split_think_tags: bool,
}

impl Default for Quirks {
    /// OpenAI's own behaviour.
    fn default() -> Self {
        Self {
            max_tokens_field: "max_completion_tokens".to_owned(),
            seed_field: "seed".to_owned(),
            stream_usage: true,
            parallel_tool_calls: true,
            json_schema: true,
            developer_role: true,
            tool_choice_required: Some("required".to_owned()),
            reasoning_field: None,
            reasoning_echo: false,
            reasoning_effort: true,
            drop_params: Vec::new(),
            strip_schema_keywords: Vec::new(),
            tool_id_length: None,
            openai_additions: true,
            content_parts: true,
            split_think_tags: false,
        }
    }
}
