//! Requests for a human decision, as rows whose every transition is one conditional update.
//!
//! `pending → approved | declined | expired | cancelled`, and once approved
//! `none → claimed → finished | unknown`. A terminal state never changes and a request is claimed at
//! most once ever, whatever races: the conditions are in the SQL, not in the callers.

mod execute;
mod links;
mod request;
mod rows;
mod vote;

use std::{sync::Arc, time::Duration};

use preloop_types::{
    AccountId, AgentId, ApprovalId, CallId, Hash, KeyId, OutcomeStatus, SessionId, Timestamp, ToolRef, UserId,
    WorkflowId, WriterId, config::RawJson,
};
use rows::Sealed;
use serde_json::value::RawValue;

use crate::{Error, Result};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// The spelling in SQL and JSON.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// Reads the spelling of `as_str`.
            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some($name::$variant),)* _ => None }
            }
        }
    };
}

words! {
    /// Where a request stands. All but `Pending` are final.
    ApprovalStatus {
        /// Waits for people.
        Pending = "pending",
        /// Enough people said yes in time.
        Approved = "approved",
        /// Too many people said no.
        Declined = "declined",
        /// Nobody decided in time.
        Expired = "expired",
        /// Withdrawn.
        Cancelled = "cancelled",
    }
}

words! {
    /// How far carrying out an approved call has come.
    ExecutionState {
        /// Not begun.
        None = "none",
        /// Somebody carries it out.
        Claimed = "claimed",
        /// It ended; see the outcome.
        Finished = "finished",
        /// Whoever carried it out vanished. It may have taken effect and is never run again.
        Unknown = "unknown",
    }
}

/// Whose call waits for a decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requester {
    /// The credential.
    pub key: KeyId,
    /// The person the credential belongs to.
    pub user: UserId,
    /// The managed agent.
    pub agent: Option<AgentId>,
    /// The agent run.
    pub session: Option<SessionId>,
    /// What the client says of itself: `name/version`.
    pub client: Option<String>,
}

/// A request for a human decision, bound to one exact call.
#[derive(Debug, Clone)]
pub struct Approval {
    /// Its id.
    pub id: ApprovalId,
    /// The call that waits.
    pub call: CallId,
    /// Whose.
    pub account: AccountId,
    /// Who is asked.
    pub workflow: WorkflowId,
    /// The workflow's name when this was requested.
    pub workflow_name: String,
    /// The tool, with the pinned definition's hash.
    pub tool: ToolRef,
    /// Who asks.
    pub requester: Requester,
    /// Hash of the canonical arguments.
    pub args_hash: Hash,
    /// The reason the agent gave.
    pub justification: Option<String>,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// Distinct approvals needed.
    pub approvals_required: u32,
    /// Who may decide.
    pub approvers: Vec<UserId>,
    /// Approvers must say why.
    pub require_reason: bool,
    /// The agent polls instead of waiting.
    pub async_mode: bool,
    /// When it was requested.
    pub requested_at: Timestamp,
    /// Until when people may decide.
    pub expires_at: Timestamp,
    /// When it reached its final status.
    pub resolved_at: Option<Timestamp>,
    /// Whose vote resolved it.
    pub decided_by: Option<UserId>,
    /// What they, or whoever cancelled it, said.
    pub comment: Option<String>,
    /// The configuration it was decided under.
    pub policy_version: String,
    /// Which rule asked, as JSON.
    pub rule_context: RawJson,
    /// Hash of what the approver was shown.
    pub shown_hash: Option<Hash>,
    /// How far carrying it out has come.
    pub execution: Execution,
    /// When the agent was given the result or the refusal.
    pub delivered_at: Option<Timestamp>,
    /// Who voted, in order.
    pub votes: Vec<VoteCast>,
    arguments: Sealed,
    result: Option<Sealed>,
}

impl Approval {
    /// The arguments as they came.
    pub fn arguments(&self) -> Result<Box<RawValue>> {
        let damaged = || Error::Damaged("the arguments of a request".to_owned());
        let text = String::from_utf8(self.arguments.open()?).map_err(|_| damaged())?;
        RawValue::from_string(text).map_err(|_| damaged())
    }

    /// What [`crate::Tx::finish_approval`] kept.
    pub fn result(&self) -> Result<Option<Vec<u8>>> {
        self.result.as_ref().map(Sealed::open).transpose()
    }
}

/// How far carrying out an approved call has come.
#[derive(Debug, Clone)]
pub struct Execution {
    /// In one word.
    pub state: ExecutionState,
    /// Which claim this is; 0 before any.
    pub attempt: u32,
    /// Who claimed it.
    pub writer: Option<WriterId>,
    /// Until when the claim holds.
    pub lease_until: Option<Timestamp>,
    /// After this it is not carried out any more.
    pub execute_before: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<OutcomeStatus>,
}

/// One person's vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoteCast {
    /// Who.
    pub voter: Voter,
    /// Yes or no.
    pub approve: bool,
    /// Why.
    pub comment: Option<String>,
    /// Through what: `api`, `link`, `cli`, …
    pub via: String,
    /// When.
    pub at: Timestamp,
}

/// Who votes. Each counts once in a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Voter {
    /// A person.
    User(UserId),
    /// Whoever holds a link that carries no identity; all of them together are one voter.
    Anonymous,
}

impl From<UserId> for Voter {
    fn from(user: UserId) -> Self {
        Voter::User(user)
    }
}

/// What a request is made of.
#[derive(Debug, Clone)]
pub struct NewApproval {
    /// Its id.
    pub id: ApprovalId,
    /// The call that waits.
    pub call: CallId,
    /// Who is asked.
    pub workflow: WorkflowId,
    /// The workflow's name.
    pub workflow_name: String,
    /// The tool.
    pub tool: ToolRef,
    /// Who asks.
    pub requester: Requester,
    /// Hash of the canonical arguments.
    pub args_hash: Hash,
    /// The arguments as they came; sealed in the row.
    pub arguments: Arc<RawValue>,
    /// The reason the agent gave.
    pub justification: Option<String>,
    /// Distinct approvals needed.
    pub approvals_required: u32,
    /// Who may decide.
    pub approvers: Vec<UserId>,
    /// Approvers must say why.
    pub require_reason: bool,
    /// The agent polls instead of waiting.
    pub async_mode: bool,
    /// How long people may decide.
    pub window: Duration,
    /// How long after the approval it may still be carried out and its result picked up.
    pub execute_within: Duration,
    /// The configuration it was decided under.
    pub policy_version: String,
    /// Which rule asked, as JSON.
    pub rule_context: RawJson,
    /// Hash of what approvers are shown.
    pub shown_hash: Option<Hash>,
}

/// The request a call waits for.
#[derive(Debug, Clone)]
pub struct Joined {
    /// The request.
    pub approval: Approval,
    /// Whether this call made it; otherwise it joined one that was open.
    pub created: bool,
}

/// What became of a vote.
#[derive(Debug, Clone)]
pub enum VoteOutcome {
    /// It counts; more are needed.
    Counted(Approval),
    /// It counts and resolved the request.
    Resolved(Approval),
    /// This voter has voted before; nothing changed.
    AlreadyVoted(Approval),
    /// The request is final, or its time is over; nothing changed.
    Closed(Approval),
    /// There is no such request.
    NotFound,
}

/// What became of a claim.
#[derive(Debug, Clone)]
pub enum Claim {
    /// The call is yours to carry out, once.
    Claimed(Approval),
    /// It was claimed before.
    AlreadyClaimed(Approval),
    /// It is not approved.
    NotApproved(ApprovalStatus),
    /// It was approved too long ago.
    TooLate,
    /// There is no such request.
    NotFound,
}

/// One line of a request's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalEvent {
    /// `approval_requested`, `vote_received`, …
    pub event_type: String,
    /// For people.
    pub detail: Option<String>,
    /// What the actor said.
    pub comment: Option<String>,
    /// Who.
    pub actor: Option<UserId>,
    /// When.
    pub at: Timestamp,
}

/// Which requests to list.
#[derive(Debug, Clone)]
pub struct ApprovalFilter {
    /// Only of these statuses; all when empty.
    pub status: Vec<ApprovalStatus>,
    /// Only of this credential.
    pub requester_key: Option<KeyId>,
    /// How many, at most 1000.
    pub limit: u32,
    /// How many to skip.
    pub skip: u32,
}

impl Default for ApprovalFilter {
    fn default() -> Self {
        Self { status: Vec::new(), requester_key: None, limit: 100, skip: 0 }
    }
}

/// What a link to a request allows.
#[derive(Debug, Clone)]
pub struct TokenGrant {
    /// The request.
    pub approval: Approval,
    /// Who the link was sent to, if a user.
    pub user: Option<UserId>,
    /// Where it was sent.
    pub recipient: String,
}
