use std::sync::LazyLock;

use preloop_dialects::Quirks;

use super::{
    Knob, Profile,
    compatible::{API_KEY, Compatible},
};

static QUIRKS: LazyLock<Quirks> = LazyLock::new(|| Quirks {
    max_tokens_field: "max_tokens".to_owned(),
    developer_role: false,
    openai_additions: false,
    reasoning_field: Some("reasoning".to_owned()),
    ..Quirks::default()
});

/// OpenRouter. It tells what a call cost when asked to.
pub(super) static OPENROUTER: Compatible = Compatible {
    headers: &[("referer", REFERER.name), ("x-title", TITLE.name)],
    members: &[("usage", r#"{"include":true}"#)],
    ..Compatible::chat(
        Profile {
            name: "openrouter",
            title: "OpenRouter",
            telemetry: "openrouter",
            base_url: Some("https://openrouter.ai/api/v1"),
            secrets: &[API_KEY],
            settings: &[REFERER, TITLE],
        },
        &QUIRKS,
    )
};

const REFERER: Knob = Knob::optional("referer", "the site shown in its rankings");
const TITLE: Knob = Knob::optional("title", "the name shown in its rankings");
