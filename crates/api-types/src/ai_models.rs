//! `/api/v1/ai-models`: models agents can ask for, who serves them, what they cost.

use std::collections::BTreeMap;

use preloop_types::Rates;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{DateTime, JsonObject, Update, Utc, Uuid};

/// A model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AiModel {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// What agents call it; unique in the account.
    pub alias: String,
    /// Who serves it: a name from `GET /api/v1/ai-models/providers`.
    pub provider: String,
    /// What the provider calls it.
    pub identifier: String,
    /// For people.
    pub description: Option<String>,
    /// Another base URL than the provider's own.
    pub endpoint: Option<String>,
    /// Whether it may be used.
    pub enabled: bool,
    /// Used by requests that name no model.
    pub is_default: bool,
    /// Free labels; lists and budgets name them as `tag:<label>`.
    pub tags: Vec<String>,
    /// Knobs: `context_window`, `max_output`, `responses_api`, `on_unsupported`, `fallbacks`, `targets`,
    /// `rate_limit`, `cache_seconds`, `drain_seconds`, `provider`, `quirks`. What is not there is default.
    #[schema(value_type = Object)]
    pub settings: JsonObject,
    /// What it costs by its own word: dollars per million tokens, as decimals.
    #[schema(value_type = Option<Object>)]
    pub pricing: Option<Rates>,
    /// Its secrets by name; values are never shown.
    pub credentials: BTreeMap<String, Credential>,
    /// Secrets its provider needs and that are not there.
    pub missing_credentials: Vec<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Stands in place of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Credential {
    /// Always true: there is a value and it is not shown.
    pub redacted: bool,
    /// Its last four characters, where that tells next to nothing.
    pub last4: Option<String>,
}

/// Adds a model.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateAiModel {
    /// Who serves it.
    #[serde(alias = "provider_name")]
    pub provider: String,
    /// What the provider calls it.
    #[serde(alias = "model_identifier")]
    pub identifier: String,
    /// What agents call it; `<provider>/<identifier>` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Another base URL than the provider's own.
    #[serde(default, alias = "api_endpoint", skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Whether it may be used; true when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Used by requests that name no model; takes it from the one that was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    /// Free labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// Knobs.
    #[serde(default, skip_serializing_if = "JsonObject::is_empty")]
    #[schema(value_type = Object)]
    pub settings: JsonObject,
    /// What it costs: `{"input": "3", "output": "15", …}` in dollars per million tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub pricing: Option<Rates>,
    /// Secrets by the names its provider defines.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub credentials: BTreeMap<String, Value>,
    /// Short for the credential `api_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
}

/// Changes a model. What is absent stays.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateAiModel {
    /// Who serves it. Another one does not get the secrets of this one.
    #[serde(alias = "provider_name", skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// What the provider calls it.
    #[serde(alias = "model_identifier", skip_serializing_if = "Option::is_none")]
    pub identifier: Option<String>,
    /// What agents call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alias: Option<String>,
    /// For people.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub description: Update<String>,
    /// Another base URL than the provider's own.
    #[serde(alias = "api_endpoint", skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub endpoint: Update<String>,
    /// Whether it may be used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// Used by requests that name no model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    /// Free labels; replaces those that were there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// Knobs to set, or with `null` to reset; absent ones stay.
    #[serde(skip_serializing_if = "JsonObject::is_empty")]
    #[schema(value_type = Object)]
    pub settings: JsonObject,
    /// What it costs; `null` leaves it to the catalogue.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Object>)]
    pub pricing: Update<Rates>,
    /// Secrets to set, or with `null` to forget; absent ones stay.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub credentials: BTreeMap<String, Value>,
    /// Short for the credential `api_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
}

/// What a model costs now, and who says so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelPricing {
    /// Which model.
    pub ai_model_id: Uuid,
    /// What agents call it.
    pub alias: String,
    /// `override`, `model_config`, `catalog` or `unpriced`.
    pub cost_source: String,
    /// What it costs, in dollars per million tokens; `null` is unpriced.
    #[schema(value_type = Option<Object>)]
    pub rates: Option<Rates>,
    /// The price override that says so.
    pub price_override_id: Option<Uuid>,
    /// What the catalogue says.
    #[schema(value_type = Option<Object>)]
    pub catalog: Option<Rates>,
    /// When the catalogue's figures were taken.
    pub catalog_as_of: Option<String>,
    /// Prompt and answer together, in tokens.
    pub context_window: Option<u64>,
    /// Longest answer in tokens.
    pub max_output: Option<u64>,
}

/// Someone who serves models.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelProvider {
    /// What a model's `provider` says.
    pub name: String,
    /// For people.
    pub title: String,
    /// Where it is reached; a model has to say where that is absent.
    pub base_url: Option<String>,
    /// The secrets it knows.
    pub credentials: Vec<ProviderKnob>,
    /// The settings it knows, under `settings.provider`.
    pub settings: Vec<ProviderKnob>,
}

/// A named secret or setting of a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProviderKnob {
    /// Its name.
    pub name: String,
    /// Whether nothing works without.
    pub required: bool,
    /// What it is.
    pub description: String,
}

/// A model the catalogue knows of a provider.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KnownModel {
    /// What the provider calls it.
    pub identifier: String,
    /// Prompt and answer together, in tokens.
    pub context_window: Option<u64>,
    /// Longest answer in tokens.
    pub max_output: Option<u64>,
    /// What it costs, in dollars per million tokens.
    #[schema(value_type = Object)]
    pub rates: Rates,
}
