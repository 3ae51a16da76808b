use std::sync::LazyLock;

use preloop_dialects::Quirks;

use super::{
    Profile,
    compatible::{API_KEY, CHAT_RESPONSES, Compatible},
};

static QUIRKS: LazyLock<Quirks> = LazyLock::new(|| Quirks {
    developer_role: false,
    openai_additions: false,
    reasoning_field: Some("reasoning_content".to_owned()),
    ..Quirks::default()
});

/// xAI. Its reasoning models refuse penalties and stop sequences.
pub(super) static XAI: Compatible = Compatible {
    generate: CHAT_RESPONSES,
    ..Compatible::chat(
        Profile {
            name: "xai",
            title: "xAI",
            telemetry: "x_ai",
            base_url: Some("https://api.x.ai/v1"),
            secrets: &[API_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
