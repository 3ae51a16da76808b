//! `/api/v1/price-overrides`: an account's own prices.

use preloop_types::Rates;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Update, Utc, Uuid};

/// What some models cost this account, whatever the catalogue says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PriceOverride {
    /// Its id.
    pub id: Uuid,
    /// Which models: an alias, a glob (`anthropic/*`) or `tag:<label>`. The most precise one wins.
    pub model: String,
    /// What they cost, in dollars per million tokens; as they would cost otherwise when absent.
    #[schema(value_type = Option<Object>)]
    pub rates: Option<Rates>,
    /// How much less, in percent.
    pub discount_percent: u8,
    /// When it begins to hold.
    pub effective_from: Option<DateTime<Utc>>,
    /// When it no longer holds.
    pub effective_until: Option<DateTime<Utc>>,
    /// Why, for people.
    pub note: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Adds a price.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreatePriceOverride {
    /// Which models.
    #[serde(alias = "model_alias")]
    pub model: String,
    /// What they cost: `{"input": "3", "output": "15", …}` in dollars per million tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub rates: Option<Rates>,
    /// How much less, in percent (0 to 100).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub discount_percent: Option<u8>,
    /// When it begins to hold; at once when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_from: Option<DateTime<Utc>>,
    /// When it no longer holds; never when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effective_until: Option<DateTime<Utc>>,
    /// Why, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Changes a price. What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdatePriceOverride {
    /// Which models.
    #[serde(alias = "model_alias", skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What they cost.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Object>)]
    pub rates: Update<Rates>,
    /// How much less, in percent (0 to 100).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 100)]
    pub discount_percent: Option<u8>,
    /// When it begins to hold.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub effective_from: Update<DateTime<Utc>>,
    /// When it no longer holds.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<DateTime<Utc>>)]
    pub effective_until: Update<DateTime<Utc>>,
    /// Why, for people.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub note: Update<String>,
}
