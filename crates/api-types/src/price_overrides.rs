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

/// Prices calls again, as if today's prices had held when they were made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RepairPrices {
    /// Calls that ended from then on.
    pub since: DateTime<Utc>,
    /// And before; until now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// Only of these models: an alias, a glob or `tag:<label>`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Only say what would change.
    #[serde(default)]
    pub dry_run: bool,
}

/// What a repair of prices found and did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PriceRepair {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Calls that were looked at.
    pub examined: u64,
    /// Calls that cost something else now; each has one more record in the journal.
    pub repaired: u64,
    /// Calls whose cost is the provider's own figure, a subscription's, or nothing.
    pub kept: u64,
    /// Calls nobody knows a price of even now.
    pub unpriced: u64,
    /// Calls of models that are gone.
    pub model_gone: u64,
    /// What the repaired calls cost before, in dollars.
    pub cost_before_usd: String,
    /// What they cost now.
    pub cost_after_usd: String,
    /// Where to go on, with `since`: there are more calls than one repair looks at.
    pub next: Option<DateTime<Utc>>,
}
