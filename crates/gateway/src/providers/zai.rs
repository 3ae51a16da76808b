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
    reasoning_effort: false,
    json_schema: false,
    parallel_tool_calls: false,
    tool_choice_required: None,
    reasoning_field: Some("reasoning_content".to_owned()),
    reasoning_echo: true,
    ..Quirks::default()
});

/// Z.ai (GLM). A tool call cannot be demanded; Anthropic's API is spoken beside OpenAI's. The endpoint of
/// its coding plan is `https://api.z.ai/api/coding/paas/v4`.
pub(super) static ZAI: Compatible = Compatible {
    generate: CHAT_MESSAGES,
    messages_base: Some("https://api.z.ai/api/anthropic/v1"),
    ..Compatible::chat(
        Profile {
            name: "zai",
            title: "Z.ai",
            telemetry: "z_ai",
            base_url: Some("https://api.z.ai/api/paas/v4"),
            secrets: &[API_KEY],
            settings: &[MESSAGES_ENDPOINT],
        },
        &QUIRKS,
    )
};
