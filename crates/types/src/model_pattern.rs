use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Model;

/// Names one model or several: an alias, a glob (`anthropic/*`), or a label (`tag:cheap`).
///
/// A model answers to its alias, to `<provider>/<identifier>` and to the bare identifier.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelPattern(pub String);

const TAG: &str = "tag:";

impl ModelPattern {
    /// Whether it names `model`.
    pub fn matches(&self, model: &Model) -> bool {
        match self.0.strip_prefix(TAG) {
            Some(tag) => model.tags.iter().any(|other| other == tag),
            None => {
                self.matches_name(&model.alias)
                    || self.matches_name(&model.identifier)
                    || glob(self.0.bytes(), model.provider.bytes().chain(*b"/").chain(model.identifier.bytes()))
            }
        }
    }

    /// Whether it names whatever is called `name`. A label names no names.
    pub fn matches_name(&self, name: &str) -> bool {
        !self.0.starts_with(TAG) && glob(self.0.bytes(), name.bytes())
    }

    /// How narrowly it names: of two that name a model, the greater one is meant for it.
    pub fn precision(&self) -> (bool, usize) {
        let exact = !self.0.starts_with(TAG) && !self.0.contains('*');
        (exact, self.0.len())
    }
}

impl fmt::Display for ModelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `pattern` describes `text`, where `*` stands for any characters, none included.
fn glob(mut pattern: impl Iterator<Item = u8> + Clone, mut text: impl Iterator<Item = u8> + Clone) -> bool {
    // Where to go on when a mismatch lets the last `*` swallow one character more.
    let mut retry = None;
    loop {
        let text_before = text.clone();
        match (pattern.next(), text.next()) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                text = text_before.clone();
                retry = Some((pattern.clone(), text_before));
            }
            (Some(a), Some(b)) if a == b => {}
            _ => {
                let Some((after_star, swallowed)) = &mut retry else { return false };
                if swallowed.next().is_none() {
                    return false;
                }
                (pattern, text) = (after_star.clone(), swallowed.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ModelId, ModelSettings, Timestamp};

    fn model() -> Model {
        let now = Timestamp::from_micros(0);
        Model {
            id: ModelId::new(now),
            alias: "fast".to_owned(),
            provider: "openrouter".to_owned(),
            identifier: "anthropic/claude-x".to_owned(),
            description: None,
            endpoint: None,
            enabled: true,
            is_default: false,
            tags: vec!["cheap".to_owned()],
            settings: ModelSettings::default(),
            pricing: None,
            created_at: now,
            updated_at: now,
        }
    }

    #[test]
    fn a_model_answers_to_its_names_globs_and_labels() {
        let named = [
            "fast",
            "anthropic/claude-x",
            "openrouter/anthropic/claude-x",
            "openrouter/*",
            "*claude*",
            "*",
            "f*t",
            "tag:cheap",
        ];
        for pattern in named {
            assert!(ModelPattern(pattern.to_owned()).matches(&model()), "{pattern}");
        }
        for pattern in ["", "fas", "fastest", "openrouter", "*/gpt*", "f*s", "tag:chea", "tag:*", "cheap"] {
            assert!(!ModelPattern(pattern.to_owned()).matches(&model()), "{pattern}");
        }
    }

    #[test]
    fn a_star_takes_as_much_as_it_must() {
        for (pattern, text, is_match) in [
            ("a*b*c", "aXbXbXc", true),
            ("*aab", "aaaab", true),
            ("a**", "a", true),
            ("a*b", "ab_", false),
            ("*", "", true),
        ] {
            assert_eq!(ModelPattern(pattern.to_owned()).matches_name(text), is_match, "{pattern} {text}");
        }
        assert!(!ModelPattern("tag:cheap".to_owned()).matches_name("tag:cheap"));
    }

    #[test]
    fn an_exact_name_is_more_precise_than_any_glob() {
        let precision = |text: &str| ModelPattern(text.to_owned()).precision();
        assert!(precision("fast") > precision("openrouter/anthropic/*"));
        assert!(precision("openrouter/anthropic/*") > precision("openrouter/*"));
    }
}
