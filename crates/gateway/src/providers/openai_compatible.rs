use std::sync::LazyLock;

use preloop_dialects::Quirks;

use super::{
    Profile,
    compatible::{Compatible, KEY_HEADER, Key, OPTIONAL_KEY},
};

static QUIRKS: LazyLock<Quirks> = LazyLock::new(|| Quirks {
    max_tokens_field: "max_tokens".to_owned(),
    developer_role: false,
    openai_additions: false,
    reasoning_effort: false,
    ..Quirks::default()
});

/// Any server that speaks OpenAI's chat completions. Responses are sent to it only where the model's
/// `responses_api` is `native`.
pub(super) static OPENAI_COMPATIBLE: Compatible = Compatible {
    key: Key::OptionalBearer,
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "openai-compatible",
            title: "OpenAI-compatible server",
            telemetry: "openai",
            base_url: None,
            secrets: &[OPTIONAL_KEY],
            settings: &[KEY_HEADER],
        },
        &QUIRKS,
    )
};
