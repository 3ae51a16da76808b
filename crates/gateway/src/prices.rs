//! What models cost and how much they take, as far as Preloop knows by itself.
//!
//! The catalogue is a list kept by hand and compiled in; nothing is fetched. It is the last word about
//! a price, after an account's override and a model's own pricing, and it never guesses: a model that
//! it does not name is unpriced.

use std::{collections::HashMap, sync::LazyLock, time::Duration};

use chrono::{NaiveDate, NaiveTime};
use preloop_types::{CostSource, Model, PriceOverride, Rates, Timestamp};
use serde::Deserialize;

use crate::models::without_date;

/// The catalogue.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Catalogue {
    /// The day its prices were known to hold.
    pub as_of: String,
    /// Where they are from.
    pub source: String,
    /// By the list's name, which mostly is the provider's, and the model's.
    models: HashMap<String, HashMap<String, Entry>>,
}

/// What is known of a model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Entry {
    /// What it costs.
    pub rates: Rates,
    /// Prompt and answer together, in tokens.
    pub context_window: Option<u64>,
    /// Longest answer in tokens.
    pub max_output: Option<u64>,
    /// What it does: `chat` when empty, or `embeddings`.
    pub modes: Vec<String>,
    /// What it can besides: `tools`, `images`, `audio`, `documents`, `reasoning`, `json_schema`.
    pub capabilities: Vec<String>,
    /// `<list>/<model>` that it is the same as.
    like: Option<String>,
}

impl Entry {
    /// Whether it makes vectors, not answers.
    pub fn is_for_embeddings(&self) -> bool {
        self.modes.iter().any(|mode| mode == "embeddings")
    }
}

const TEXT: &str = include_str!("prices/catalogue.json");

/// The catalogue that comes with this version.
pub fn catalogue() -> &'static Catalogue {
    static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
        #[expect(clippy::expect_used, reason = "the file is compiled in, and a test reads it")]
        let mut catalogue: Catalogue = serde_json::from_str(TEXT).expect("the catalogue can be read");
        catalogue.settle_likenesses();
        catalogue
    });
    &CATALOGUE
}

/// What the catalogue knows of `model`.
pub fn find(model: &Model) -> Option<&'static Entry> {
    let setting = |name: &str| model.settings.provider.get(name).map(String::as_str);
    let regional = setting("region").is_some_and(|region| region != "global");
    let mut names = setting("base_model").into_iter().chain([&*model.identifier]);
    names.find_map(|name| catalogue().entry(&model.provider, name, regional))
}

/// What `model` costs at a time, and who says so; `None` is unpriced.
pub fn at(model: &Model, overrides: &[PriceOverride], at: Timestamp) -> Option<(Rates, CostSource)> {
    let (rates, source) = Rates::of(model, overrides, find(model).map(|entry| &entry.rates), at)?;
    Some((rates.into_owned(), source.into()))
}

/// The lists in which a provider's models are looked up, the closest first. Those who serve other
/// makers' models at the makers' prices are looked up there.
fn lists(provider: &str, regional: bool) -> &[&str] {
    match provider {
        "vertex" if regional => &["vertex-regional", "google", "anthropic"],
        "vertex" => &["google", "anthropic"],
        "azure" => &["openai"],
        _ => &[],
    }
}

impl Catalogue {
    /// What is known of the model a provider calls `identifier`. `regional`: it is served in one region
    /// alone, which costs more with some.
    pub fn entry(&self, provider: &str, identifier: &str, regional: bool) -> Option<&Entry> {
        if provider == "openrouter" {
            return self.through_openrouter(identifier);
        }
        let own = [provider];
        let lists = lists(provider, regional);
        let lists = if lists.is_empty() { &own[..] } else { lists };
        lists.iter().filter_map(|list| self.models.get(*list)).find_map(|list| look_up(list, identifier))
    }

    /// The models it knows of a provider, by name.
    pub fn models_of(&self, provider: &str) -> Vec<(&str, &Entry)> {
        let own = [provider];
        let lists = lists(provider, false);
        let lists = if lists.is_empty() { &own[..] } else { lists };
        let known = lists.iter().filter_map(|list| self.models.get(*list)).flatten();
        let mut known: Vec<_> = known.map(|(name, entry)| (name.as_str(), entry)).collect();
        known.sort_by_key(|(name, _)| *name);
        known
    }

    /// `OpenRouter` names a maker and passes on the maker's price, where only the maker serves a model.
    fn through_openrouter(&self, identifier: &str) -> Option<&Entry> {
        let (maker, name) = identifier.split_once('/')?;
        let list = match maker {
            "openai" | "anthropic" | "google" => maker,
            "x-ai" => "xai",
            _ => return None,
        };
        let list = self.models.get(list)?;
        // It writes versions with a point where the maker has a hyphen.
        look_up(list, name).or_else(|| look_up(list, &name.replace('.', "-")))
    }

    /// How old the list is.
    pub fn age(&self, now: Timestamp) -> Duration {
        let day = self.as_of.parse::<NaiveDate>().unwrap_or_default();
        now.since(day.and_time(NaiveTime::MIN).and_utc().into())
    }

    fn settle_likenesses(&mut self) {
        let same = |models: &HashMap<String, HashMap<String, Entry>>, like: &str| {
            let (list, name) = like.split_once('/')?;
            models.get(list)?.get(name).cloned()
        };
        let known = self.models.clone();
        for entry in self.models.values_mut().flat_map(HashMap::values_mut) {
            if let Some(other) = entry.like.as_ref().and_then(|like| same(&known, like)) {
                *entry = other;
            }
        }
    }
}

/// By the exact name, and then with less and less of what providers put around it.
fn look_up<'c>(list: &'c HashMap<String, Entry>, identifier: &str) -> Option<&'c Entry> {
    list.get(identifier).or_else(|| {
        let name = identifier.rsplit('/').next().unwrap_or(identifier);
        let versionless = without_version(name);
        let placeless = without_place(versionless);
        [name, versionless, placeless].into_iter().find_map(|name| {
            let undated = without_date(name);
            let shorter = undated.strip_suffix("-latest").or_else(|| without_build(undated)).unwrap_or(undated);
            [name, undated, shorter].into_iter().find_map(|name| list.get(name))
        })
    })
}

/// `name` without Bedrock's `-v1:0`.
fn without_version(name: &str) -> &str {
    let Some((before, version)) = name.rsplit_once("-v") else { return name };
    let is_version = version.bytes().all(|byte| byte.is_ascii_digit() || byte == b':');
    if is_version && !version.is_empty() { before } else { name }
}

/// `name` without the part of the world Bedrock serves it in.
fn without_place(name: &str) -> &str {
    let places = ["us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "global."];
    places.iter().find_map(|place| name.strip_prefix(place)).unwrap_or(name)
}

/// `name` without a number of three or four digits at its end: `-001`, `-2508`.
fn without_build(name: &str) -> Option<&str> {
    let (before, build) = name.rsplit_once('-')?;
    let is_build = matches!(build.len(), 3 | 4) && build.bytes().all(|byte| byte.is_ascii_digit());
    is_build.then_some(before)
}

#[cfg(test)]
mod tests {
    use preloop_types::{PerMillion, Tokens};
    use sha2::{Digest, Sha256};

    use super::*;

    /// Changes with every change of the list, so that none goes unseen.
    const SHA256: &str = "8f3d47ba7a5178132bf5c056b44e12321e8ea935904e4e8d12522c54a49178b0";

    fn input(provider: &str, identifier: &str) -> Option<String> {
        catalogue().entry(provider, identifier, false).map(|entry| entry.rates.input.to_string())
    }

    #[test]
    fn the_list_is_the_one_that_was_looked_through() {
        assert_eq!(hex::encode(Sha256::digest(TEXT)), SHA256, "look at the change, then put this hash there");
    }

    #[test]
    fn the_list_says_how_old_it_is() {
        let year = Duration::from_hours(24 * 365);
        let later: Timestamp = chrono::DateTime::parse_from_rfc3339("2026-12-01T00:00:00Z").unwrap().to_utc().into();
        assert_eq!(catalogue().age(later), year);
    }

    #[test]
    fn every_entry_is_whole() {
        for (list, entries) in &catalogue().models {
            for (name, entry) in entries {
                let it = format!("{list}/{name}");
                assert!(entry.like.is_none(), "{it} is like a model that is not there");
                let output = entry.rates.output;
                assert!(
                    entry.is_for_embeddings() || output >= entry.rates.input,
                    "{it}: answers cost less than prompts"
                );
                assert!(entry.rates.cache_read.is_none_or(|read| read <= entry.rates.input), "{it}: cache reads");
                assert!(entry.rates.tiers.is_sorted_by_key(|tier| tier.context_over), "{it}: tiers");
                assert!(entry.rates.tiers.iter().all(|tier| tier.rates.input >= entry.rates.input), "{it}: tiers");
                assert!(entry.context_window.is_some(), "{it}: its context");
                assert!(entry.max_output <= entry.context_window, "{it}: its answer");
            }
        }
    }

    #[test]
    fn names_are_found_as_providers_write_them() {
        for (provider, name, price) in [
            ("openai", "gpt-5", "1.25"),
            ("openai", "openai/gpt-5", "1.25"),
            ("openai", "gpt-5-2025-08-07", "1.25"),
            ("openai", "gpt-4o-2024-05-13", "5"),
            ("azure", "gpt-4o-mini", "0.15"),
            ("anthropic", "claude-sonnet-4-5-20250929", "3"),
            ("anthropic", "claude-3-7-sonnet-latest", "3"),
            ("google", "gemini-2.0-flash-001", "0.1"),
            ("google", "models/gemini-2.5-pro", "1.25"),
            ("vertex", "anthropic/claude-sonnet-4-5@20250929", "3"),
            ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", "3.3"),
            ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", "3"),
            ("bedrock", "amazon.nova-pro-v1:0", "0.8"),
            ("openrouter", "anthropic/claude-sonnet-4.5", "3"),
            ("xai", "grok-4-0709", "3"),
            ("mistral", "mistral-medium-2508", "0.4"),
        ] {
            assert_eq!(input(provider, name).as_deref(), Some(price), "{provider} {name}");
        }
        assert_eq!(
            catalogue().entry("vertex", "claude-sonnet-4-5", true).unwrap().rates.input,
            PerMillion(3_300_000_000)
        );
    }

    #[test]
    fn what_is_not_known_has_no_price() {
        for (provider, name) in [
            ("openai", "gpt-9"),
            ("openai", "gpt-5-turbo"),
            ("ollama", "llama3"),
            ("openai-compatible", "gpt-5"),
            ("openrouter", "deepseek/deepseek-chat"),
            ("bedrock", "arn:aws:bedrock:us-east-1:1:application-inference-profile/x"),
        ] {
            assert_eq!(input(provider, name), None, "{provider} {name}");
        }
    }

    #[test]
    fn a_long_prompt_costs_what_its_tier_does() {
        let rates = &catalogue().entry("google", "gemini-2.5-pro", false).unwrap().rates;
        let tokens = |input| Tokens { input, output: 1_000_000, ..Tokens::default() };
        assert_eq!(rates.cost(&tokens(200_000)).to_string(), "10.25");
        assert_eq!(rates.cost(&tokens(400_000)).to_string(), "16");
    }
}
