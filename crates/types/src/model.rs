//! The models of an account: what agents may ask for, and where it is served.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ModelId, Rates, Timestamp};

/// A model agents can ask for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Its id.
    pub id: ModelId,
    /// What agents call it; unique in the account. `<provider>/<identifier>` unless given.
    pub alias: String,
    /// Who serves it, by the registry's name (`openai`, `anthropic`, `openai-compatible`, …).
    pub provider: String,
    /// What the provider calls it.
    pub identifier: String,
    /// For people.
    pub description: Option<String>,
    /// Another base URL than the provider's own.
    pub endpoint: Option<String>,
    /// Whether it may be used.
    pub enabled: bool,
    /// Used by requests that name no model; at most one in an account.
    pub is_default: bool,
    /// Free labels, for allowed lists and budgets.
    pub tags: Vec<String>,
    /// Knobs.
    pub settings: ModelSettings,
    /// What it costs, where that differs from the catalogue.
    pub pricing: Option<Rates>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// Knobs of a model. Credentials are secrets of the model, under names its provider defines.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ModelSettings {
    /// Prompt and answer together, in tokens, where the catalogue does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u64>,
    /// Longest answer in tokens, where the catalogue does not know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_output: Option<u64>,
    /// Whether the provider speaks the Responses API for this model.
    #[serde(skip_serializing_if = "ResponsesApi::is_auto")]
    pub responses_api: ResponsesApi,
    /// What to do with a feature the provider's API cannot express.
    #[serde(skip_serializing_if = "OnUnsupported::is_refuse")]
    pub on_unsupported: OnUnsupported,
    /// Models (by alias) asked in this order when this one fails.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fallbacks: Vec<String>,
    /// Models that share the calls of this alias; it is not called itself then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub targets: Vec<WeightedModel>,
    /// Most calls and tokens in a minute, and calls at a time, over all callers of this model.
    #[serde(skip_serializing_if = "RateLimit::is_none")]
    pub rate_limit: RateLimit,
    /// Answers kept for identical requests, for so many seconds; off when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_seconds: Option<u32>,
    /// How long to go on reading an answer whose agent is gone, in seconds, to learn what it cost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_seconds: Option<u32>,
    /// The provider's own knobs (`region`, `api_version`, `project`, …), spelled as its file says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub provider: BTreeMap<String, String>,
    /// Deviations from the provider's usual behaviour, spelled as its file says.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub quirks: BTreeMap<String, serde_json::Value>,
}

/// A model among those that share an alias.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedModel {
    /// The model's alias.
    pub model: String,
    /// Its share, against those of the others.
    pub weight: u32,
}

/// Most calls and tokens in a minute, and calls at a time. Absent is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RateLimit {
    /// Calls a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, prompt and answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_per_minute: Option<u64>,
    /// Calls at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u32>,
}

impl RateLimit {
    /// Whether it limits nothing.
    pub const fn is_none(&self) -> bool {
        self.requests_per_minute.is_none() && self.tokens_per_minute.is_none() && self.concurrent.is_none()
    }
}

/// Whether a provider speaks the Responses API.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponsesApi {
    /// As the provider is known to, else as it answers.
    #[default]
    Auto,
    /// It does.
    Native,
    /// It does not: translated to another API.
    Transcode,
}

impl ResponsesApi {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it like this")]
    fn is_auto(&self) -> bool {
        *self == ResponsesApi::Auto
    }
}

/// What to do with a feature that cannot be translated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnsupported {
    /// Refuse the call and name the field.
    #[default]
    Refuse,
    /// Leave the feature out and say so in a header.
    Drop,
}

impl OnUnsupported {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it like this")]
    fn is_refuse(&self) -> bool {
        *self == OnUnsupported::Refuse
    }
}
