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

/// DeepInfra.
pub(super) static DEEPINFRA: Compatible = Compatible {
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "deepinfra",
            title: "DeepInfra",
            telemetry: "deepinfra",
            base_url: Some("https://api.deepinfra.com/v1/openai"),
            secrets: &[API_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
