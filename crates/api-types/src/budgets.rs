//! `/api/v1/budgets`: limits on what model calls may consume, and how far they are used up.

use preloop_types::{BudgetUnit, Period};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, Update, Utc, Uuid, spelling};

/// A budget. Its amounts are decimals in its unit: `"12.50"` dollars, `"1000000"` tokens, `"500"` requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// Its id.
    pub id: Uuid,
    /// Whose calls it counts: `account`, `user`, `team`, `agent`, `key`, `session` or `tag`.
    pub subject_type: String,
    /// Which one's; `null` counts those of each one by itself (and of the whole account for `account`).
    pub subject_id: Option<String>,
    /// Calls of which models; `null` is all.
    pub model: Option<String>,
    /// How long it lasts before it begins anew.
    #[schema(schema_with = spelling::period)]
    pub period: Period,
    /// What it counts.
    #[schema(schema_with = spelling::budget_unit)]
    pub unit: BudgetUnit,
    /// Calls that could pass it are refused.
    pub hard_limit: Option<String>,
    /// Passing it is reported.
    pub soft_limit: Option<String>,
    /// Told when the soft limit is passed.
    pub notify_on_soft: bool,
    /// Told when the hard limit refuses a call.
    pub notify_on_hard: bool,
    /// Who is told; the account's owner when empty.
    pub notification_emails: Vec<String>,
    /// How far it is used up now; for a budget of each one, those that used any of it.
    pub state: Vec<BudgetState>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// How far a budget is used up in its present window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetState {
    /// Whose share, for a budget of each one.
    pub subject_id: Option<Uuid>,
    /// What ended calls consumed.
    pub spent: String,
    /// What is held for calls that are running or about to.
    pub reserved: String,
    /// What is left below the hard limit.
    pub remaining: Option<String>,
    /// Whether the soft limit is passed.
    pub soft_limit_exceeded: bool,
    /// Whether the hard limit is used up.
    pub hard_limit_exceeded: bool,
    /// When the window began.
    pub window_start: DateTime<Utc>,
    /// When it begins anew.
    pub reset_at: Option<DateTime<Utc>>,
}

/// Makes a budget. It needs a hard or a soft limit.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateBudget {
    /// `account` (also when absent), `user`, `team`, `agent`, `key`, `session` or `tag`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_type: Option<String>,
    /// Which one's: an id, or the label of a `tag`; absent counts those of each one by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject_id: Option<String>,
    /// Calls of which models: an alias, a glob or `tag:<label>`; all when absent.
    #[serde(default, alias = "model_alias", skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// `hourly`, `daily`, `weekly`, `monthly`, `yearly` or `all_time`; `monthly` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::period_or_null)]
    pub period: Option<Period>,
    /// `usd` (also when absent), `tokens` or `requests`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::budget_unit_or_null)]
    pub unit: Option<BudgetUnit>,
    /// Calls that could pass it are refused.
    #[serde(default, alias = "hard_limit_usd", skip_serializing_if = "Option::is_none")]
    pub hard_limit: Option<Amount>,
    /// Passing it is reported.
    #[serde(default, alias = "soft_limit_usd", skip_serializing_if = "Option::is_none")]
    pub soft_limit: Option<Amount>,
    /// True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_on_soft: Option<bool>,
    /// True when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify_on_hard: Option<bool>,
    /// Who is told; the account's owner when empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_emails: Option<Vec<String>>,
}

/// Changes a budget's limits. What is absent stays; what it counts stays always.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateBudget {
    /// Calls that could pass it are refused.
    #[serde(alias = "hard_limit_usd", skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Amount>)]
    pub hard_limit: Update<Amount>,
    /// Passing it is reported.
    #[serde(alias = "soft_limit_usd", skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Amount>)]
    pub soft_limit: Update<Amount>,
    /// Told when the soft limit is passed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_on_soft: Option<bool>,
    /// Told when the hard limit refuses a call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_on_hard: Option<bool>,
    /// Who is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notification_emails: Option<Vec<String>>,
}

/// A decimal, as a text or a number.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum Amount {
    /// `"12.50"`
    Text(String),
    /// `12.5`
    #[schema(value_type = f64)]
    Number(serde_json::Number),
}

impl Amount {
    /// As a text.
    pub fn text(&self) -> String {
        match self {
            Amount::Text(text) => text.clone(),
            Amount::Number(number) => number.to_string(),
        }
    }
}

/// Which budgets to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListBudgets {
    /// Only of this kind of subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_type: Option<String>,
    /// Only of this subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject_id: Option<String>,
}
