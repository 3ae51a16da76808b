use preloop_types::{ApprovalId, CallId};
use serde::Serialize;

use crate::SessionRefused;

/// A call that will not be carried out: who is told what.
#[derive(Debug, Clone)]
pub struct Refusal {
    /// The call.
    pub call: CallId,
    /// Which rule of the house refused it.
    pub kind: RefusalKind,
    /// One sentence for the agent and its person.
    pub message: String,
    /// The request that was decided against, if there was one.
    pub approval: Option<ApprovalId>,
}

/// Which rule of the house refused a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RefusalKind {
    /// The tool does not exist for this caller.
    NotAvailable,
    /// The tool's definition changed since it was pinned.
    ToolDefinitionChanged,
    /// The tool wants a reason.
    JustificationRequired,
    /// The arguments do not fit the tool's schema.
    InvalidArguments,
    /// A rule or default says no.
    Denied,
    /// A human must be asked and nobody can be.
    Misconfigured,
    /// A human said no.
    Declined,
    /// No human answered in time.
    Expired,
    /// The request was withdrawn.
    Cancelled,
    /// It was approved, but something changed since that forbids it now.
    ApprovalStale,
    /// It was carried out before, and how it ended is not known.
    OutcomeUnknown,
    /// The record cannot be kept or the configuration cannot be read, so nothing may happen.
    Unavailable,
    /// Too much at once.
    RateLimited,
    /// A person ended the run the credential is bound to.
    SessionEnded,
    /// A person ended the agent's run and blocked another.
    AgentSuspended,
    /// The kill switch.
    AccountHalted,
}

impl From<&SessionRefused> for RefusalKind {
    fn from(refused: &SessionRefused) -> Self {
        match refused {
            SessionRefused::Ended => RefusalKind::SessionEnded,
            SessionRefused::Blocked => RefusalKind::AgentSuspended,
            SessionRefused::Unavailable(_) => RefusalKind::Unavailable,
        }
    }
}

impl RefusalKind {
    /// The spelling agents and the journal see.
    pub const fn as_str(self) -> &'static str {
        match self {
            RefusalKind::NotAvailable => "not_available",
            RefusalKind::ToolDefinitionChanged => "tool_definition_changed",
            RefusalKind::JustificationRequired => "justification_required",
            RefusalKind::InvalidArguments => "invalid_arguments",
            RefusalKind::Denied => "denied",
            RefusalKind::Misconfigured => "misconfigured",
            RefusalKind::Declined => "declined",
            RefusalKind::Expired => "expired",
            RefusalKind::Cancelled => "cancelled",
            RefusalKind::ApprovalStale => "approval_stale",
            RefusalKind::OutcomeUnknown => "outcome_unknown",
            RefusalKind::Unavailable => "unavailable",
            RefusalKind::RateLimited => "rate_limited",
            RefusalKind::SessionEnded => "session_ended",
            RefusalKind::AgentSuspended => "agent_suspended",
            RefusalKind::AccountHalted => "preloop_account_halted",
        }
    }

    /// Whether the same call may succeed later without anyone changing anything.
    pub const fn retryable(self) -> bool {
        matches!(self, RefusalKind::Unavailable | RefusalKind::RateLimited)
    }
}
