use super::{
    Knob, Profile,
    compatible::{API_KEY, CHAT_RESPONSES, Compatible, NO_QUIRKS, RESPONSES},
};

/// OpenAI. Its newest models answer both APIs; a few answer Responses only.
pub(super) static OPENAI: Compatible = Compatible {
    generate: CHAT_RESPONSES,
    only: |model| responses_only(model).then_some(RESPONSES),
    embeddings: true,
    headers: &[("openai-organization", ORGANIZATION.name), ("openai-project", PROJECT.name)],
    ..Compatible::chat(
        Profile {
            name: "openai",
            title: "OpenAI",
            telemetry: "openai",
            base_url: Some("https://api.openai.com/v1"),
            secrets: &[API_KEY],
            settings: &[ORGANIZATION, PROJECT],
        },
        &NO_QUIRKS,
    )
};

const ORGANIZATION: Knob = Knob::optional("organization", "whose quota is used, where the key belongs to several");
const PROJECT: Knob = Knob::optional("project", "the project that is charged");

/// Models without chat completions: the `-pro` ones, those for Codex, research and computer use.
pub(super) fn responses_only(model: &str) -> bool {
    let model = model.strip_prefix("openai/").unwrap_or(model);
    let dated = |base: &str| base.rsplit_once("-20").map_or(base, |(name, _)| name).ends_with("-pro");
    dated(model) || ["codex", "deep-research", "computer-use"].iter().any(|kind| model.contains(kind))
}
