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
    parallel_tool_calls: false,
    tool_choice_required: None,
    reasoning_field: Some("reasoning".to_owned()),
    ..Quirks::default()
});

/// Ollama, on this machine unless said otherwise. Ignores that a tool call is demanded.
pub(super) static OLLAMA: Compatible = Compatible {
    key: Key::OptionalBearer,
    embeddings: true,
    ..Compatible::chat(
        Profile {
            name: "ollama",
            title: "Ollama",
            telemetry: "ollama",
            base_url: Some("http://127.0.0.1:11434/v1"),
            secrets: &[OPTIONAL_KEY],
            settings: &[],
        },
        &QUIRKS,
    )
};
