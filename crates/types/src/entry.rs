use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{AccountId, AgentId, CallId, KeyId, Principal, SessionId, UserId};

/// One record for the journal, before it is chained.
#[derive(Debug)]
pub struct Entry {
    /// Whose journal.
    pub account: AccountId,
    /// What happened.
    pub kind: EntryKind,
    /// The governed call it belongs to.
    pub call: Option<CallId>,
    /// Who caused it.
    pub subject: Subject,
    /// Facts that are part of the proof: JSON object, small, free of secrets and of payloads.
    pub body: Box<RawValue>,
    /// Arguments or a result: sealed beside the record, erasable without breaking the proof.
    pub payload: Option<Vec<u8>>,
}

/// Who caused a record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// The person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<UserId>,
    /// The credential.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<KeyId>,
    /// The managed agent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub agent: Option<AgentId>,
    /// The agent run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session: Option<SessionId>,
    /// Who acted in the person's place.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub impersonator: Option<UserId>,
}

impl From<&Principal> for Subject {
    fn from(who: &Principal) -> Self {
        Self {
            user: Some(who.user),
            key: Some(who.key),
            agent: who.agent.as_ref().map(|agent| agent.id),
            session: who.session,
            impersonator: who.impersonator,
        }
    }
}

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $name:literal)*) => {
        /// What a journal record is about.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EntryKind {
            $($(#[$doc])* $variant,)*
        }

        impl EntryKind {
            /// Every kind.
            pub const ALL: &'static [EntryKind] = &[$(EntryKind::$variant,)*];

            /// The spelling in SQL, JSON and exports.
            pub const fn as_str(self) -> &'static str {
                match self { $(EntryKind::$variant => $name,)* }
            }

            /// Reads the spelling of [`EntryKind::as_str`].
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
            }
        }
    };
}

impl EntryKind {
    /// Whether a call is open from here on.
    pub const fn is_intent(self) -> bool {
        matches!(self, EntryKind::CallIntent | EntryKind::ModelIntent)
    }

    /// Whether a call is open no more.
    pub const fn is_outcome(self) -> bool {
        matches!(self, EntryKind::CallOutcome | EntryKind::ModelOutcome)
    }
}

kinds! {
    /// A call was decided and is about to be carried out.
    CallIntent = "call.intent"
    /// A call ended.
    CallOutcome = "call.outcome"
    /// A call was refused before it reached anything.
    CallRefused = "call.refused"
    /// A human is asked.
    ApprovalRequested = "approval.requested"
    /// A person voted.
    ApprovalVoted = "approval.voted"
    /// The request reached its end: approved, declined, expired or cancelled.
    ApprovalResolved = "approval.resolved"
    /// Nobody decided in time; others are asked.
    ApprovalEscalated = "approval.escalated"
    /// A model reviewed a request.
    ApprovalReviewed = "approval.reviewed"
    /// A reviewer could not decide; another workflow's people do.
    ApprovalHandedOver = "approval.handed_over"
    /// An approver changed the arguments.
    ApprovalEdited = "approval.edited"
    /// A leave to make the same call again was given or taken back.
    StandingGrantChanged = "approval.grant_changed"
    /// A person named who decides in their place, or ended that.
    DelegationChanged = "approval.delegation_changed"
    /// A channel was told of a request, or failed to be.
    ApprovalNotified = "approval.notified"
    /// The configuration changed.
    ConfigChanged = "config.changed"
    /// A tool's definition changed, was pinned or quarantined.
    ToolPinned = "tool.pinned"
    /// An API key was created or revoked.
    KeyChanged = "key.changed"
    /// A payload was erased.
    PayloadErased = "payload.erased"
    /// A model call was decided and reserved, and is about to be sent.
    ModelIntent = "model.intent"
    /// A model call is about to be sent to another model, after one failed.
    ModelRerouted = "model.rerouted"
    /// A model call ended.
    ModelOutcome = "model.outcome"
    /// What a model call cost was corrected, after a wrong price was repaired.
    ModelRepriced = "model.repriced"
    /// A model call was refused before it was sent.
    ModelRefused = "model.refused"
    /// A run of an agent began.
    SessionStarted = "session.started"
    /// A run of an agent ended.
    SessionEnded = "session.ended"
    /// Whoever ran it may begin another again.
    SessionUnblocked = "session.unblocked"
    /// More than a budget's soft limit is spent.
    BudgetSoftReached = "budget.soft_reached"
    /// A call was refused because of a budget's hard limit.
    BudgetHardReached = "budget.hard_reached"
    /// Somebody signed in.
    SignedIn = "auth.signed_in"
    /// Somebody who knew a person's name was not let in.
    SignInFailed = "auth.sign_in_failed"
    /// How a person proves who they are changed: password, address, second factor.
    SignInChanged = "auth.changed"
    /// Agents were halted or let go on, or somebody wanted it again.
    KillSwitch = "kill_switch.changed"
    /// Somebody began to act in a person's place.
    ImpersonationStarted = "user.impersonate"
    /// They stopped.
    ImpersonationStopped = "user.impersonate.stop"
}
