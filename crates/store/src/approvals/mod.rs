//! Requests for a human decision, as rows whose every transition is one conditional update.
//!
//! Who votes, what the votes come to and when time is up is one rule each: see [`quorum`] and
//! [`deadlines`].
//!
//! `pending → approved | declined | expired | cancelled`, and once approved
//! `none → claimed → finished | unknown`. A terminal state never changes and a request is claimed at
//! most once ever, whatever races: the conditions are in the SQL, not in the callers.

mod deadlines;
mod execute;
mod links;
mod quorum;
mod request;
mod rows;
mod vote;

use std::{sync::Arc, time::Duration};

use self::rows::Sealed;
pub use self::{
    deadlines::{HandOver, Reminder},
    vote::NewEdit,
};
use preloop_types::{
    AccountId, AgentId, ApprovalId, BypassId, CallId, Hash, KeyId, OutcomeStatus, SessionId, Timestamp, ToolRef,
    UserId, WorkflowId, WriterId, config::RawJson,
};
use serde::{Deserialize, Serialize};
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
    /// Who may decide; once it is escalated, those it was escalated to as well.
    pub approvers: Vec<UserId>,
    /// Who may not, whatever else they are, and why.
    pub excluded: Vec<Excluded>,
    /// Who is asked too if nobody decides in time.
    pub escalate_to: Vec<UserId>,
    /// When they were.
    pub escalated_at: Option<Timestamp>,
    /// Approvers must say why.
    pub require_reason: bool,
    /// The agent polls instead of waiting.
    pub async_mode: bool,
    /// How long people have, and have again once it is escalated.
    pub window: Duration,
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
    /// Hash of what approvers are shown: what a vote is about.
    pub shown_hash: Option<Hash>,
    /// The change an approver made to the arguments.
    pub edit: Option<Edit>,
    /// Why it was approved without anybody deciding: `bypass`.
    pub auto_approved: Option<String>,
    /// The bypass that did.
    pub bypass: Option<BypassId>,
    /// How far carrying it out has come.
    pub execution: Execution,
    /// When the agent was given the result or the refusal.
    pub delivered_at: Option<Timestamp>,
    /// Who voted, in order.
    pub votes: Vec<VoteCast>,
    arguments: Sealed,
    edited: Option<Sealed>,
    preview: Option<Sealed>,
    answer: Option<Sealed>,
    result: Option<Sealed>,
}

/// Somebody who may not decide on a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excluded {
    /// Who.
    pub user: UserId,
    /// Why, for people.
    pub why: String,
}

/// A change of a request's arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edit {
    /// Who made it.
    pub by: UserId,
    /// When.
    pub at: Timestamp,
    /// Hash of the canonical arguments as they are now.
    pub args_hash: Hash,
}

impl Approval {
    /// The arguments as they came from the agent.
    pub fn arguments(&self) -> Result<Box<RawValue>> {
        json_of(&self.arguments, "the arguments of a request")
    }

    /// The arguments that run: an approver's where one changed them.
    pub fn arguments_to_run(&self) -> Result<Box<RawValue>> {
        json_of(self.edited.as_ref().unwrap_or(&self.arguments), "the arguments of a request")
    }

    /// What approvers are shown of the call's effect.
    pub fn preview(&self) -> Result<Option<Box<RawValue>>> {
        self.preview.as_ref().map(|sealed| json_of(sealed, "the preview of a request")).transpose()
    }

    /// What a person answered, of a request that is a question.
    pub fn answer(&self) -> Result<Option<Box<RawValue>>> {
        self.answer.as_ref().map(|sealed| json_of(sealed, "the answer to a request")).transpose()
    }

    /// What [`crate::Tx::finish_approval`] kept.
    pub fn result(&self) -> Result<Option<Vec<u8>>> {
        self.result.as_ref().map(Sealed::open).transpose()
    }
}

fn json_of(sealed: &Sealed, what: &str) -> Result<Box<RawValue>> {
    let damaged = || Error::Damaged(what.to_owned());
    let text = String::from_utf8(sealed.open()?).map_err(|_| damaged())?;
    RawValue::from_string(text).map_err(|_| damaged())
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
    /// In whose place: an approver who is away.
    pub on_behalf_of: Option<UserId>,
    /// The voter is no approver; as an administrator they may decide all the same.
    pub overriding: bool,
    /// Yes or no.
    pub approve: bool,
    /// Why.
    pub comment: Option<String>,
    /// Through what: `api`, `link`, `cli`, …
    pub via: String,
    /// Hash of what they were shown.
    pub shown: Option<Hash>,
    /// When.
    pub at: Timestamp,
}

impl VoteCast {
    /// Whose say it is: each counts once in a request.
    pub fn seat(&self) -> Voter {
        self.on_behalf_of.map_or(self.voter, Voter::User)
    }
}

/// A vote before it is cast.
#[derive(Debug, Clone)]
pub struct Ballot {
    /// Who.
    pub voter: Voter,
    /// In whose place.
    pub on_behalf_of: Option<UserId>,
    /// The voter is no approver.
    pub overriding: bool,
    /// Yes or no.
    pub approve: bool,
    /// Why.
    pub comment: Option<String>,
    /// Through what.
    pub via: String,
    /// What they saw, where they said so: the vote does not count if it is something else now.
    pub shown: Option<Hash>,
    /// What they answer, of a request that is a question: JSON, sealed in the row.
    pub answer: Option<String>,
}

impl Ballot {
    /// Whose say it would be.
    pub fn seat(&self) -> Voter {
        self.on_behalf_of.map_or(self.voter, Voter::User)
    }

    /// A plain vote of an approver.
    pub fn new(voter: impl Into<Voter>, approve: bool, via: &str) -> Self {
        Self {
            voter: voter.into(),
            on_behalf_of: None,
            overriding: false,
            approve,
            comment: None,
            via: via.to_owned(),
            shown: None,
            answer: None,
        }
    }
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
    /// Who may not, and why.
    pub excluded: Vec<Excluded>,
    /// Who is asked too if nobody decides in time.
    pub escalate_to: Vec<UserId>,
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
    /// What approvers are shown of the call's effect: JSON, sealed in the row.
    pub preview: Option<String>,
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
    /// This voter, or somebody in their place, has voted before; nothing changed.
    AlreadyVoted(Approval),
    /// It is not what the voter saw any more; nothing changed.
    Changed(Approval),
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
