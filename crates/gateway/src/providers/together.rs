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
    reasoning_field: Some("reasoning".to_owned()),
    ..Quirks::default()
});

/// Together AI.
pub(super) static TOGETHER: Compatible = Compatible {
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "together",
            title: "Together AI",
            telemetry: "together_ai",
            base_url: Some("https://api.together.xyz/v1"),
            secrets: &[API_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
