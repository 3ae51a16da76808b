use std::sync::LazyLock;

use preloop_dialects::Quirks;

use super::{
    Profile,
    compatible::{API_KEY, Compatible},
};

static QUIRKS: LazyLock<Quirks> = LazyLock::new(|| Quirks {
    developer_role: false,
    openai_additions: false,
    reasoning_field: Some("reasoning".to_owned()),
    ..Quirks::default()
});

/// Groq.
pub(super) static GROQ: Compatible = Compatible::chat(
    Profile {
        name: "groq",
        title: "Groq",
        telemetry: "groq",
        base_url: Some("https://api.groq.com/openai/v1"),
        secrets: &[API_KEY],
        settings: &[],
    },
    &QUIRKS,
);
