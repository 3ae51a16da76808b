use std::sync::LazyLock;

use preloop_dialects::Quirks;

use super::{
    Profile,
    compatible::{API_KEY, Compatible},
};

static QUIRKS: LazyLock<Quirks> = LazyLock::new(|| Quirks {
    max_tokens_field: "max_tokens".to_owned(),
    seed_field: "random_seed".to_owned(),
    stream_usage: false,
    developer_role: false,
    openai_additions: false,
    reasoning_effort: false,
    tool_choice_required: Some("any".to_owned()),
    tool_id_length: Some(9),
    ..Quirks::default()
});

/// Mistral. Its tool call ids have nine letters and digits, and usage comes unasked.
pub(super) static MISTRAL: Compatible = Compatible {
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "mistral",
            title: "Mistral AI",
            telemetry: "mistral_ai",
            base_url: Some("https://api.mistral.ai/v1"),
            secrets: &[API_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
