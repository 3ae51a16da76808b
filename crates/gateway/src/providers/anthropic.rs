use super::{
    Profile,
    compatible::{ANTHROPIC_KEYS, Compatible, Key, MESSAGES, NO_QUIRKS},
};

/// Anthropic.
pub(super) static ANTHROPIC: Compatible = Compatible {
    key: Key::Anthropic,
    generate: MESSAGES,
    ..Compatible::chat(
        Profile {
            name: "anthropic",
            title: "Anthropic",
            telemetry: "anthropic",
            base_url: Some("https://api.anthropic.com/v1"),
            secrets: ANTHROPIC_KEYS,
            settings: &[],
        },
        &NO_QUIRKS,
    )
};
