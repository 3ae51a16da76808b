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
    content_parts: false,
    parallel_tool_calls: false,
    tool_choice_required: None,
    ..Quirks::default()
});

/// Perplexity. It searches by itself and takes no tools.
pub(super) static PERPLEXITY: Compatible = Compatible::chat(
    Profile {
        name: "perplexity",
        title: "Perplexity",
        telemetry: "perplexity",
        base_url: Some("https://api.perplexity.ai"),
        secrets: &[API_KEY],
        settings: &[],
    },
    &QUIRKS,
);
