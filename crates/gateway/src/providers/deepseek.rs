use std::sync::LazyLock;

use preloop_dialects::Quirks;

use super::{
    Profile,
    compatible::{API_KEY, CHAT_MESSAGES, Compatible, MESSAGES_ENDPOINT},
};

static QUIRKS: LazyLock<Quirks> = LazyLock::new(|| Quirks {
    max_tokens_field: "max_tokens".to_owned(),
    developer_role: false,
    openai_additions: false,
    content_parts: false,
    reasoning_effort: false,
    json_schema: false,
    reasoning_field: Some("reasoning_content".to_owned()),
    reasoning_echo: true,
    parallel_tool_calls: false,
    ..Quirks::default()
});

/// DeepSeek. Demands the thinking of tool calls back, and speaks Anthropic's API beside OpenAI's.
pub(super) static DEEPSEEK: Compatible = Compatible {
    generate: CHAT_MESSAGES,
    messages_base: Some("https://api.deepseek.com/anthropic/v1"),
    ..Compatible::chat(
        Profile {
            name: "deepseek",
            title: "DeepSeek",
            telemetry: "deepseek",
            base_url: Some("https://api.deepseek.com/v1"),
            secrets: &[API_KEY],
            settings: &[MESSAGES_ENDPOINT],
        },
        &QUIRKS,
    )
};
