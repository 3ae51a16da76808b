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

/// LM Studio, on this machine unless said otherwise.
pub(super) static LMSTUDIO: Compatible = Compatible {
    key: Key::OptionalBearer,
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "lmstudio",
            title: "LM Studio",
            telemetry: "lmstudio",
            base_url: Some("http://127.0.0.1:1234/v1"),
            secrets: &[OPTIONAL_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
