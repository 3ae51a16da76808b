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

/// SGLang, on this machine unless said otherwise.
pub(super) static SGLANG: Compatible = Compatible {
    key: Key::OptionalBearer,
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "sglang",
            title: "SGLang",
            telemetry: "sglang",
            base_url: Some("http://127.0.0.1:30000/v1"),
            secrets: &[OPTIONAL_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
