use std::time::Duration;

use preloop_types::CallId;
use serde_json::Value;

/// A model call that will not be sent: who is told what.
#[derive(Debug, Clone)]
pub struct ModelRefusal {
    /// The call.
    pub call: CallId,
    /// Which rule of the house refused it.
    pub kind: ModelRefusalKind,
    /// One sentence or two for the agent and its person.
    pub message: String,
    /// When it may succeed.
    pub retry_after: Option<Duration>,
    /// Facts for programs; null or an object.
    pub data: Value,
}

/// A refusal before it is one of a certain call.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) kind: ModelRefusalKind,
    pub(crate) message: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) data: Value,
}

impl Refused {
    pub(crate) fn new(kind: ModelRefusalKind, message: String) -> Self {
        Self { kind, message, retry_after: None, data: Value::Null }
    }

    pub(crate) fn of(self, call: CallId) -> ModelRefusal {
        let Self { kind, message, retry_after, data } = self;
        ModelRefusal { call, kind, message, retry_after, data }
    }
}

macro_rules! refusal_kinds {
    ($($(#[$doc:meta])* $variant:ident = $code:literal, $outcome:literal;)*) => {
        /// Which rule of the house refused a model call.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ModelRefusalKind {
            $($(#[$doc])* $variant,)*
        }

        impl ModelRefusalKind {
            /// Every kind.
            pub const ALL: &'static [ModelRefusalKind] = &[$(ModelRefusalKind::$variant,)*];

            /// The stable code agents see.
            pub const fn as_str(self) -> &'static str {
                match self { $(ModelRefusalKind::$variant => $code,)* }
            }

            /// The ledger's outcome.
            pub const fn outcome(self) -> &'static str {
                match self { $(ModelRefusalKind::$variant => $outcome,)* }
            }
        }
    };
}

refusal_kinds! {
    /// The request names no model and the account has no default.
    ModelRequired = "model_required", "denied";
    /// There is no such model, or the caller may not know of it.
    ModelNotFound = "model_not_found", "denied";
    /// Several models could be meant.
    AmbiguousModel = "ambiguous_model", "denied";
    /// A list of allowed models does not name it.
    ModelNotAllowed = "model_not_allowed", "denied";
    /// The model is switched off.
    ModelDisabled = "model_disabled", "denied";
    /// A hard budget has too little left.
    BudgetExceeded = "budget_exceeded", "budget_denied";
    /// A hard budget in dollars, and no price.
    BudgetPricingUnavailable = "budget_pricing_unavailable", "budget_denied";
    /// A hard budget, and nothing bounds what the call consumes.
    CostUnbounded = "cost_unbounded", "budget_denied";
    /// Too many calls or tokens a minute, or calls at a time.
    RateLimited = "rate_limited", "rate_limited";
    /// The agent's run was ended.
    SessionEnded = "session_ended", "denied";
    /// The agent may not begin another run.
    AgentSuspended = "agent_suspended", "denied";
    /// The kill switch.
    AccountHalted = "preloop_account_halted", "kill_switch";
    /// A guardrail says no.
    ContentBlocked = "content_blocked", "guardrail_blocked";
    /// The body cannot be read.
    InvalidBody = "invalid_body", "invalid_request";
    /// A feature of the request cannot be carried to the model.
    UnsupportedFeature = "unsupported_feature", "invalid_request";
    /// The model's credentials are missing.
    CredentialsMissing = "upstream_credentials_missing", "config_error";
    /// The record cannot be kept or the configuration cannot be read, so nothing may happen.
    Unavailable = "ledger_unavailable", "unavailable";
}
