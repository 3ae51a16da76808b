//! Which model an agent means, and how models are listed. Pure.

use std::sync::Arc;

use preloop_dialects::{Dialect, scan::Limits};
use preloop_types::Model;
use serde_json::{Value, json};

use crate::prices;

/// The model an agent means.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// It.
    pub model: Arc<Model>,
    /// How it was found.
    pub how: How,
}

/// How a model was found, from the most to the least exact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By its alias.
    Alias,
    /// By its provider and the provider's name of it.
    Qualified,
    /// By the end of its alias, after a slash.
    Suffix,
    /// By the provider's name of it.
    Identifier,
    /// In one of these ways, once a client's own suffix or a date was taken off.
    Variant,
    /// No model was named.
    Default,
}

/// Why no model is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unresolved {
    /// None was named, and none is the default.
    #[error("the request names no model, and this account has no default model")]
    NoDefault,
    /// There is none of that name.
    #[error("there is no model `{requested}`")]
    Unknown {
        /// The name.
        requested: String,
    },
    /// Several could be meant.
    #[error("`{requested}` could be any of {}: use one of these names", quoted(.candidates))]
    Ambiguous {
        /// The name.
        requested: String,
        /// The aliases of those it could mean.
        candidates: Vec<String>,
    },
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The model of `models` that `requested` means. Models that are switched off are not there.
pub fn resolve(models: &[Arc<Model>], requested: Option<&str>) -> Result<Resolved, Unresolved> {
    let Some(requested) = requested.filter(|requested| !requested.is_empty()) else {
        let default = models.iter().find(|model| model.enabled && model.is_default);
        let model = default.cloned().ok_or(Unresolved::NoDefault)?;
        return Ok(Resolved { model, how: How::Default });
    };
    if let Some(found) = find(models, requested, requested)? {
        return Ok(found);
    }
    for variant in variants(requested) {
        if let Some(found) = find(models, variant, requested)? {
            return Ok(Resolved { how: How::Variant, ..found });
        }
    }
    Err(Unresolved::Unknown { requested: requested.to_owned() })
}

/// The first way in which `name` finds models; it must not find several.
fn find(models: &[Arc<Model>], name: &str, requested: &str) -> Result<Option<Resolved>, Unresolved> {
    type Test = fn(&Model, &str) -> bool;
    const WAYS: [(How, Test); 4] = [
        (How::Alias, |model, name| model.alias == name),
        (How::Qualified, is_qualified),
        (How::Suffix, |model, name| model.alias.strip_suffix(name).is_some_and(|before| before.ends_with('/'))),
        (How::Identifier, |model, name| model.identifier == name),
    ];
    for (how, test) in WAYS {
        let mut found = models.iter().filter(|model| model.enabled && test(model, name));
        let Some(model) = found.next() else { continue };
        let rest: Vec<_> = found.map(|model| model.alias.clone()).collect();
        if rest.is_empty() {
            return Ok(Some(Resolved { model: Arc::clone(model), how }));
        }
        let candidates = std::iter::once(model.alias.clone()).chain(rest).collect();
        return Err(Unresolved::Ambiguous { requested: requested.to_owned(), candidates });
    }
    Ok(None)
}

fn is_qualified(model: &Model, name: &str) -> bool {
    let rest = name.strip_prefix(&*model.provider).and_then(|rest| rest.strip_prefix('/'));
    rest.is_some_and(|identifier| identifier == model.identifier)
}

/// What else a client may mean: Gemini's `models/x`, Claude Code's `x[1m]`, Ollama's `x:latest`, and
/// names with a date. From the closest to the furthest.
fn variants(requested: &str) -> impl Iterator<Item = &str> {
    let plain = requested.strip_prefix("models/").unwrap_or(requested);
    let bare = plain.split_once('[').filter(|(_, rest)| rest.ends_with(']')).map_or(plain, |(name, _)| name);
    let bare = bare.strip_suffix(":latest").or_else(|| bare.strip_suffix("-latest")).unwrap_or(bare);
    let undated = without_date(bare);
    let mut last = requested;
    [plain, bare, undated].into_iter().filter(move |name| std::mem::replace(&mut last, name) != *name)
}

/// `name` without the date at its end: `-2025-08-07`, `-20250514` or `@20250514`.
pub(crate) fn without_date(name: &str) -> &str {
    const DATES: [&str; 3] = ["-dddd-dd-dd", "-dddddddd", "@dddddddd"];
    let fits = |date: &str, end: &[u8]| {
        date.bytes()
            .zip(end)
            .all(|(pattern, byte)| if pattern == b'd' { byte.is_ascii_digit() } else { pattern == *byte })
    };
    let cut = DATES.iter().find_map(|date| {
        let at = name.len().checked_sub(date.len()).filter(|at| *at > 0)?;
        fits(date, &name.as_bytes()[at..]).then_some(at)
    });
    // What is cut off is ASCII, so the cut lies between characters.
    cut.map_or(name, |at| &name[..at])
}

/// What `model` can do at most: as configured, else as the catalogue knows.
pub fn limits(model: &Model) -> Limits {
    let entry = prices::find(model);
    Limits {
        context_window: model.settings.context_window.or_else(|| entry?.context_window),
        max_output: model.settings.max_output.or_else(|| entry?.max_output),
    }
}

/// The body of a list of models in `dialect`.
pub fn list(dialect: Dialect, models: &[Arc<Model>]) -> Value {
    let listed: Vec<_> = models.iter().map(|model| one(dialect, model)).collect();
    match dialect {
        Dialect::Messages => {
            let id = |model: Option<&Arc<Model>>| model.map(|model| model.alias.clone());
            json!({"data": listed, "has_more": false, "first_id": id(models.first()), "last_id": id(models.last())})
        }
        Dialect::Gemini => json!({"models": listed}),
        Dialect::Chat | Dialect::Responses | Dialect::Converse => json!({"object": "list", "data": listed}),
    }
}

/// The body about one model in `dialect`.
pub fn one(dialect: Dialect, model: &Model) -> Value {
    let title = model.description.as_ref().unwrap_or(&model.alias);
    match dialect {
        Dialect::Messages => {
            json!({"type": "model", "id": model.alias, "display_name": title, "created_at": model.created_at})
        }
        Dialect::Gemini => {
            let Limits { context_window, max_output } = limits(model);
            json!({
                "name": format!("models/{}", model.alias),
                "displayName": title,
                "inputTokenLimit": context_window,
                "outputTokenLimit": max_output,
                "supportedGenerationMethods": methods(model),
            })
        }
        Dialect::Chat | Dialect::Responses | Dialect::Converse => json!({
            "id": model.alias,
            "object": "model",
            "created": model.created_at.micros() / 1_000_000,
            "owned_by": model.provider,
        }),
    }
}

fn methods(model: &Model) -> &'static [&'static str] {
    if prices::find(model).is_some_and(prices::Entry::is_for_embeddings) {
        &["embedContent", "batchEmbedContents"]
    } else {
        &["generateContent", "streamGenerateContent", "countTokens"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model(alias: &str, provider: &str, identifier: &str) -> Arc<Model> {
        let model = json!({
            "id": "01997ed2-54ba-7eb9-b7ae-d0b6d1a5a2a1", "alias": alias, "provider": provider,
            "identifier": identifier, "enabled": true, "is_default": alias == "fast", "tags": [], "settings": {},
            "created_at": "2026-11-20T00:00:00Z", "updated_at": "2026-11-20T00:00:00Z",
        });
        Arc::new(serde_json::from_value(model).unwrap())
    }

    fn models() -> Vec<Arc<Model>> {
        let off = Model { enabled: false, ..Model::clone(&model("off", "openai", "gpt-off")) };
        vec![
            model("fast", "openai", "gpt-5-mini"),
            model("anthropic/claude-sonnet-4-5", "anthropic", "claude-sonnet-4-5"),
            model("eu/sonnet", "vertex", "claude-sonnet-4-5"),
            model("us/sonnet", "bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0"),
            Arc::new(off),
        ]
    }

    fn found(requested: &str) -> Result<(String, How), Unresolved> {
        resolve(&models(), Some(requested)).map(|found| (found.model.alias.clone(), found.how))
    }

    #[test]
    fn a_name_finds_the_closest_model() {
        for (requested, alias, how) in [
            ("fast", "fast", How::Alias),
            ("openai/gpt-5-mini", "fast", How::Qualified),
            ("gpt-5-mini", "fast", How::Identifier),
            ("claude-sonnet-4-5", "anthropic/claude-sonnet-4-5", How::Suffix),
            ("vertex/claude-sonnet-4-5", "eu/sonnet", How::Qualified),
            ("claude-sonnet-4-5[1m]", "anthropic/claude-sonnet-4-5", How::Variant),
            ("claude-sonnet-4-5-20250929", "anthropic/claude-sonnet-4-5", How::Variant),
            ("claude-sonnet-4-5-20250929[1m]", "anthropic/claude-sonnet-4-5", How::Variant),
            ("gpt-5-mini-2025-08-07", "fast", How::Variant),
            ("models/gpt-5-mini", "fast", How::Variant),
            ("fast:latest", "fast", How::Variant),
        ] {
            assert_eq!(found(requested), Ok((alias.to_owned(), how)), "{requested}");
        }
    }

    #[test]
    fn a_name_that_finds_none_or_several_says_so() {
        let text = |requested: &str| found(requested).unwrap_err().to_string();
        assert_eq!(text("sonnet"), "`sonnet` could be any of `eu/sonnet`, `us/sonnet`: use one of these names");
        for nothing in ["gpt-off", "off", "onnet", "FAST", "openai/", "é-20250929"] {
            assert_eq!(text(nothing), format!("there is no model `{nothing}`"));
        }
    }

    #[test]
    fn only_a_request_without_a_name_gets_the_default() {
        let default = resolve(&models(), None).unwrap();
        assert_eq!((default.model.alias.as_str(), default.how), ("fast", How::Default));
        assert_eq!(resolve(&models()[1..], None), Err(Unresolved::NoDefault));
    }

    #[test]
    fn models_are_listed_in_the_words_of_each_dialect() {
        let models = [model("fast", "openai", "gpt-5-mini")];
        assert_eq!(
            list(Dialect::Chat, &models),
            json!({"object": "list", "data": [
                {"id": "fast", "object": "model", "created": 1_795_132_800, "owned_by": "openai"}]})
        );
        assert_eq!(
            list(Dialect::Messages, &models),
            json!({"data": [{"type": "model", "id": "fast", "display_name": "fast",
                "created_at": "2026-11-20T00:00:00.000000Z"}], "has_more": false, "first_id": "fast", "last_id": "fast"})
        );
        let listed = list(Dialect::Gemini, &models);
        assert_eq!(listed["models"][0]["name"], "models/fast");
        assert_eq!(listed["models"][0]["inputTokenLimit"], 400_000, "as the catalogue knows");
        assert_eq!(list(Dialect::Messages, &[])["first_id"], Value::Null);
    }
}
