//! `/api/v1/account/gateway-usage` and `/api/v1/cost`: what model calls consumed.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, Utc, Uuid};

/// Which usage to add up. Times are widened to whole hours; the last 30 days when absent.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct UsageQuery {
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<DateTime<Utc>>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<DateTime<Utc>>,
    /// Only of the model with this alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_alias: Option<String>,
    /// Only of this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<String>,
    /// Only of this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_id: Option<Uuid>,
    /// Only of this managed agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_agent_id: Option<Uuid>,
    /// Only of this run of an agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_session_id: Option<Uuid>,
    /// False leaves out everything but the totals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_breakdown: Option<bool>,
}

/// What model calls consumed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageSums {
    /// Calls, refused ones too.
    pub request_count: u64,
    /// Calls that were answered.
    pub successful_request_count: u64,
    /// Calls that failed or were refused.
    pub failed_request_count: u64,
    /// Calls nobody knows a price of: their cost is not in `estimated_cost`.
    pub unpriced_request_count: u64,
    /// Calls whose price was zero.
    pub zero_priced_request_count: u64,
    /// What was counted.
    pub token_usage: TokenUsage,
    /// Dollars, for reading.
    pub estimated_cost: f64,
    /// Dollars, exactly.
    pub cost_usd: String,
    /// When the last call ended.
    pub last_request_at: Option<DateTime<Utc>>,
}

/// Tokens, counted once each.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenUsage {
    /// Prompts, cached parts included.
    pub prompt_tokens: u64,
    /// Answers, reasoning included.
    pub completion_tokens: u64,
    /// Both.
    pub total_tokens: u64,
    /// Of the prompts, what a cache served.
    pub cache_read_tokens: u64,
    /// Of the prompts, what was written to a cache.
    pub cache_creation_tokens: u64,
    /// Of the answers, reasoning.
    pub reasoning_tokens: u64,
}

/// What model calls consumed in a stretch of time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageSummary {
    /// When the stretch begins.
    pub period_start: DateTime<Utc>,
    /// When it ends.
    pub period_end: DateTime<Utc>,
    /// Calls, refused ones too.
    pub total_requests: u64,
    /// Calls that were answered.
    pub successful_requests: u64,
    /// Calls that failed or were refused.
    pub failed_requests: u64,
    /// Calls nobody knows a price of.
    pub unpriced_request_count: u64,
    /// Calls whose price was zero.
    pub zero_priced_request_count: u64,
    /// What was counted.
    pub token_usage: TokenUsage,
    /// Dollars, for reading.
    pub estimated_cost: f64,
    /// Dollars, exactly.
    pub cost_usd: String,
    /// The account's own monthly budget in dollars.
    pub budget: BudgetHealth,
    /// By day, UTC.
    pub requests_by_day: Vec<UsageOfDay>,
    /// By model, the dearest first; likewise below.
    pub usage_by_model: Vec<UsageOf>,
    /// By provider.
    pub usage_by_provider: Vec<UsageOf>,
    /// By run of an agent.
    pub usage_by_session: Vec<UsageOf>,
    /// By managed agent.
    pub usage_by_agent: Vec<UsageOf>,
    /// By key.
    pub usage_by_api_key: Vec<UsageOf>,
    /// By how calls ended.
    pub usage_by_outcome: Vec<UsageOf>,
}

/// How the account's monthly budget in dollars stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BudgetHealth {
    /// Its hard limit.
    pub monthly_limit_usd: Option<f64>,
    /// Its soft limit.
    pub soft_limit_usd: Option<f64>,
    /// What was spent of it this month.
    pub current_spend_usd: f64,
    /// Whether the soft limit is passed.
    pub soft_limit_exceeded: bool,
    /// Whether the hard limit is used up.
    pub hard_limit_exceeded: bool,
}

/// The usage of one day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageOfDay {
    /// `2026-11-20`
    pub date: String,
    /// Calls.
    pub request_count: u64,
    /// Dollars, for reading.
    pub estimated_cost: f64,
    /// Tokens.
    pub total_tokens: u64,
}

/// The usage of one model, provider, run, agent, key or outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageOf {
    /// Its id, where it has one; `null` for calls that had none.
    pub id: Option<Uuid>,
    /// Its alias or name, where it has one.
    pub name: Option<String>,
    /// What it consumed.
    #[serde(flatten)]
    pub sums: UsageSums,
}

/// Which calls to find, newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct SearchUsage {
    /// Only calls whose record or captured conversation holds this text. Looks at the newest thousand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<DateTime<Utc>>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<DateTime<Utc>>,
    /// Only of the model with this alias.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_alias: Option<String>,
    /// Only of this provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_name: Option<String>,
    /// Only calls that ended like this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// Only of this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_id: Option<Uuid>,
    /// Only of this managed agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_agent_id: Option<Uuid>,
    /// Only of this run of an agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime_session_id: Option<Uuid>,
    /// At most this many (1 to 100; 20 when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
    /// Only what follows this: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Calls that were found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsagePage {
    /// The calls, newest first.
    pub items: Vec<UsageItem>,
    /// Give this as `after` for more; absent where there may be none.
    pub next: Option<String>,
}

/// One model call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UsageItem {
    /// The call's id; joins all its records.
    pub api_usage_id: Uuid,
    /// Its record in the journal.
    pub record_id: String,
    /// When it ended or was refused.
    pub timestamp: DateTime<Utc>,
    /// How it ended: `succeeded`, `upstream_error`, `denied`, `budget_denied`, …
    pub outcome: String,
    /// The status the agent got.
    pub status_code: Option<u16>,
    /// The API the agent spoke.
    pub dialect: Option<String>,
    /// What it asked of that API.
    pub operation: Option<String>,
    /// Whether the answer was a stream.
    pub streamed: Option<bool>,
    /// The model that served it.
    pub model_alias: Option<String>,
    /// What the agent called it.
    pub requested_model: Option<String>,
    /// What the provider says served it.
    pub upstream_model: Option<String>,
    /// Who served it.
    pub provider_name: Option<String>,
    /// What the client said of itself.
    pub client: Option<String>,
    /// Whose call.
    pub api_key_id: Option<Uuid>,
    /// The key's name.
    pub api_key_name: Option<String>,
    /// The managed agent.
    pub managed_agent_id: Option<Uuid>,
    /// The run of an agent.
    pub runtime_session_id: Option<Uuid>,
    /// What was counted.
    pub token_usage: Option<TokenUsage>,
    /// Where the counters come from: `provider`, `estimated`, `partial`, `bound`.
    pub usage_source: Option<String>,
    /// Dollars, for reading; `null` is unpriced.
    pub estimated_cost: Option<f64>,
    /// Dollars, exactly.
    pub cost_usd: Option<String>,
    /// Where the cost comes from.
    pub cost_source: Option<String>,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Until the first byte of the answer, in milliseconds.
    pub ttfb_ms: Option<u64>,
    /// Why the answer ended.
    pub finish_reason: Option<String>,
    /// A stable word for what went wrong.
    pub error_code: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// The beginning of what was captured of the conversation, redacted.
    pub excerpt: Option<String>,
}

/// Whether the figures can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CostHealth {
    /// `ok`, `attention`, or `no_traffic`.
    pub status: String,
    /// When the stretch that was looked at begins.
    pub period_start: DateTime<Utc>,
    /// When it ends.
    pub period_end: DateTime<Utc>,
    /// What was checked.
    pub checks: Vec<HealthCheck>,
}

/// One thing that was checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HealthCheck {
    /// `answers_have_tokens`, `calls_are_priced`, `counts_are_the_providers`.
    pub name: String,
    /// Whether it is so for all calls.
    pub ok: bool,
    /// Of how many calls it is so.
    pub good: u64,
    /// Of how many calls it was asked.
    pub of: u64,
    /// What that means, and what to do.
    pub detail: String,
}
