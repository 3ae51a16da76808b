//! One model call as it is governed: what it is before it is sent, and how it ended.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{BudgetId, CallId, Exposure, Hash, Model, NanoUsd, PriceSource, SessionId, Tokens};

/// One model call, ready to be sent.
#[derive(Debug, Clone)]
pub struct ModelCall {
    /// Joins every record about this call.
    pub id: CallId,
    /// The API the agent speaks (`chat`, `responses`, `messages`, …).
    pub dialect: &'static str,
    /// What it asks of that API (`generate`, `embed`, `count_tokens`, …).
    pub operation: &'static str,
    /// The model that serves it.
    pub model: Arc<Model>,
    /// What the agent called that model.
    pub requested: Arc<str>,
    /// The most it can consume; `None` if nothing bounds it.
    pub exposure: Option<Exposure>,
    /// The most it can cost.
    pub bound: CostBound,
    /// Whether the agent wants the answer as a stream.
    pub streamed: bool,
    /// The agent run it belongs to.
    pub session: Option<SessionId>,
    /// What the client says of itself: `name/version`. Not trusted.
    pub client: Option<Arc<str>>,
    /// SHA-256 of the request's body as it came.
    pub request_hash: Hash,
    /// Its length.
    pub request_bytes: u64,
}

/// The most a call can cost, known before it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CostBound {
    /// Not more than this.
    AtMost(NanoUsd),
    /// There is a price, but nothing limits what the call can consume.
    Unbounded,
    /// There is no price.
    Unpriced,
}

impl CostBound {
    /// The bound, where there is one.
    pub const fn amount(self) -> Option<NanoUsd> {
        match self {
            CostBound::AtMost(amount) => Some(amount),
            CostBound::Unbounded | CostBound::Unpriced => None,
        }
    }
}

/// What a call holds of one window of a budget until it is settled: part of its intent, so that it is
/// known after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reserved {
    /// The budget.
    pub budget: BudgetId,
    /// The subject, of a budget of each one; else nil.
    #[serde(default, skip_serializing_if = "Uuid::is_nil")]
    pub subject: Uuid,
    /// When the window began, in microseconds since the epoch.
    pub window: i64,
    /// How much, in the budget's unit.
    pub amount: i64,
}

words! {
    /// How a model call ended: the ledger's outcome.
    ModelStatus {
        /// The provider answered, whole.
        Succeeded = "succeeded",
        /// The provider refused the request, or gave an error instead of the end of its answer.
        UpstreamError = "upstream_error",
        /// The provider's own limit refused it.
        UpstreamRateLimited = "upstream_rate_limited",
        /// The provider did not answer in time.
        UpstreamTimeout = "upstream_timeout",
        /// The model's configuration does not work: no credentials, say.
        ConfigError = "config_error",
        /// The agent went away before the answer was whole.
        Disconnected = "disconnected",
        /// The provider's answer ended early.
        Truncated = "truncated",
        /// It was cut because its reservation was used up.
        BudgetCut = "budget_cut",
        /// A guardrail refused the request or the answer.
        GuardrailBlocked = "guardrail_blocked",
        /// Answered from the cache.
        CacheHit = "cache_hit",
        /// Nothing was sent to a provider.
        NotSent = "not_sent",
        /// What the provider did is not known.
        Unknown = "unknown",
    }
}

words! {
    /// Where a call's counters come from.
    UsageSource {
        /// The provider counted.
        Provider = "provider",
        /// Counted here.
        Estimated = "estimated",
        /// The provider's counters of a part of the answer.
        Partial = "partial",
        /// Not known: the most the call could have consumed.
        Bound = "bound",
    }
}

words! {
    /// Where a call's cost comes from.
    CostSource {
        /// The account's own price.
        Override = "override",
        /// The price on the model.
        ModelConfig = "model_config",
        /// The provider said what it charged.
        Provider = "provider",
        /// The catalogue's price.
        Catalog = "catalog",
        /// Paid for by a subscription: it costs nothing more.
        Subscription = "subscription",
        /// Not known: the most the call could have cost.
        Bound = "bound",
        /// Nobody knows a price.
        Unpriced = "unpriced",
    }
}

impl From<PriceSource> for CostSource {
    fn from(source: PriceSource) -> Self {
        match source {
            PriceSource::Override => CostSource::Override,
            PriceSource::ModelConfig => CostSource::ModelConfig,
            PriceSource::Catalog => CostSource::Catalog,
        }
    }
}

/// How a model call ended.
#[derive(Debug, Clone)]
pub struct ModelOutcome {
    /// In one word.
    pub status: ModelStatus,
    /// The status the agent got.
    pub http_status: u16,
    /// What it consumed; `None` if nobody knows.
    pub tokens: Option<Tokens>,
    /// Where the counters come from.
    pub usage_source: Option<UsageSource>,
    /// What it cost; `None` if nobody knows a price.
    pub cost: Option<NanoUsd>,
    /// Where the cost comes from.
    pub cost_source: Option<CostSource>,
    /// What the provider says served it.
    pub upstream_model: Option<String>,
    /// The provider's id of the answer or request.
    pub upstream_id: Option<String>,
    /// Why the answer ended, in the provider's word.
    pub stop: Option<String>,
    /// A stable word for what went wrong.
    pub error_code: Option<String>,
    /// What went wrong, for people; never holds a secret.
    pub error: Option<String>,
    /// How often a provider was asked.
    pub attempts: u32,
    /// Until the first byte of the answer, in microseconds.
    pub ttfb_us: Option<u64>,
    /// How long providers took, in microseconds.
    pub upstream_us: u64,
    /// Length of the answer as it was sent to the agent.
    pub response_bytes: u64,
    /// What was captured of the conversation, redacted: the record's payload.
    pub conversation: Option<Vec<u8>>,
}

impl ModelOutcome {
    /// An outcome of which nothing but the status is known.
    pub const fn of(status: ModelStatus) -> Self {
        Self {
            status,
            http_status: 0,
            tokens: None,
            usage_source: None,
            cost: None,
            cost_source: None,
            upstream_model: None,
            upstream_id: None,
            stop: None,
            error_code: None,
            error: None,
            attempts: 0,
            ttfb_us: None,
            upstream_us: 0,
            response_bytes: 0,
            conversation: None,
        }
    }
}
