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

/// Cerebras.
pub(super) static CEREBRAS: Compatible = Compatible::chat(
    Profile {
        name: "cerebras",
        title: "Cerebras",
        telemetry: "cerebras",
        base_url: Some("https://api.cerebras.ai/v1"),
        secrets: &[API_KEY],
        settings: &[],
    },
    &QUIRKS,
);
