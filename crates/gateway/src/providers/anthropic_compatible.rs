use super::{
    Profile,
    compatible::{ANTHROPIC_KEYS, Compatible, KEY_HEADER, Key, MESSAGES, NO_QUIRKS},
};

/// Any server that speaks Anthropic's Messages.
pub(super) static ANTHROPIC_COMPATIBLE: Compatible = Compatible {
    key: Key::Anthropic,
    generate: MESSAGES,
    ..Compatible::chat(
        Profile {
            name: "anthropic-compatible",
            title: "Anthropic-compatible server",
            telemetry: "anthropic",
            base_url: None,
            secrets: ANTHROPIC_KEYS,
            settings: &[KEY_HEADER],
        },
        &NO_QUIRKS,
    )
};
