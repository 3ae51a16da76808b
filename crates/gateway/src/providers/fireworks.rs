use std::sync::LazyLock;

use preloop_dialects::Quirks;

use super::{
    Profile,
    compatible::{API_KEY, Compatible},
};

static QUIRKS: LazyLock<Quirks> = LazyLock::new(|| Quirks {
    max_tokens_field: "max_tokens".to_owned(),
    developer_role: false,
    openai_additions: false,
    reasoning_field: Some("reasoning_content".to_owned()),
    ..Quirks::default()
});

/// Fireworks AI.
pub(super) static FIREWORKS: Compatible = Compatible {
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "fireworks",
            title: "Fireworks AI",
            telemetry: "fireworks",
            base_url: Some("https://api.fireworks.ai/inference/v1"),
            secrets: &[API_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
