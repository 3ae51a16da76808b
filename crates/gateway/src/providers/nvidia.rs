use std::sync::LazyLock;

use preloop_dialects::Quirks;

use super::{
    Profile,
    compatible::{Compatible, Key, OPTIONAL_KEY},
};

static QUIRKS: LazyLock<Quirks> = LazyLock::new(|| Quirks {
    max_tokens_field: "max_tokens".to_owned(),
    developer_role: false,
    openai_additions: false,
    reasoning_effort: false,
    reasoning_field: Some("reasoning_content".to_owned()),
    ..Quirks::default()
});

/// NVIDIA NIM, hosted or one's own.
pub(super) static NVIDIA: Compatible = Compatible {
    key: Key::OptionalBearer,
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "nvidia",
            title: "NVIDIA NIM",
            telemetry: "nvidia_nim",
            base_url: Some("https://integrate.api.nvidia.com/v1"),
            secrets: &[OPTIONAL_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
