//! A journal record, as far as it says what was decided about a call.

use std::{borrow::Cow, collections::HashMap};

use preloop_types::{
    AccountId, Agent, AgentId, CallId, DecisionSource, EntryKind, KeyId, Principal, Subject, Timestamp, UserId,
};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{ruleset::NOT_AVAILABLE, sandbox::anybody};

/// A record of the journal.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// What it is about.
    pub kind: EntryKind,
    /// The call it belongs to.
    pub call: CallId,
    /// When.
    pub at: Timestamp,
    /// Who caused it.
    pub subject: Subject,
    /// Its facts, JSON.
    pub body: Cow<'a, str>,
    /// The call's arguments and justification, JSON; `None` once erased.
    pub payload: Option<Cow<'a, [u8]>>,
}

/// What a record says.
pub(super) enum Reading<'r> {
    /// What the policy said of a call.
    Decided(Call<'r>),
    /// Something became of a call that no policy has a say in.
    LeftOut(&'static str),
    /// Not the first word about a call.
    NoCall,
}

/// A call that was decided.
pub(super) struct Call<'r> {
    pub(super) server: Cow<'r, str>,
    pub(super) tool: Cow<'r, str>,
    pub(super) key: Cow<'r, str>,
    pub(super) client: Option<Cow<'r, str>>,
    pub(super) justification: Option<Cow<'r, str>>,
    /// `None` if they are erased.
    pub(super) arguments: Option<Cow<'r, RawValue>>,
    /// `allow`, `deny` or `require_approval`.
    pub(super) was: &'static str,
    pub(super) reason: Cow<'r, str>,
}

#[derive(Deserialize)]
struct Body<'r> {
    #[serde(borrow)]
    server: Cow<'r, str>,
    #[serde(borrow)]
    tool: Cow<'r, str>,
    #[serde(borrow, default)]
    key: Cow<'r, str>,
    #[serde(borrow, default)]
    client: Option<Cow<'r, str>>,
    #[serde(borrow, default)]
    reason: Cow<'r, str>,
    #[serde(default)]
    source: Option<DecisionSource>,
    /// Of a refusal.
    #[serde(borrow, default)]
    status: Option<Cow<'r, str>>,
    /// The policy that was asked; absent if none was.
    #[serde(default)]
    policy: Option<u64>,
    /// Of a call that was decided before, and approved or not.
    #[serde(default)]
    approval: Option<Uuid>,
}

#[derive(Deserialize)]
struct Payload<'r> {
    #[serde(borrow)]
    arguments: &'r RawValue,
    #[serde(borrow, default)]
    justification: Option<Cow<'r, str>>,
}

impl Record<'_> {
    /// What it says of a call, if it is the first word about one.
    pub(super) fn read(&self) -> Reading<'_> {
        let was = match self.kind {
            EntryKind::CallIntent => "allow",
            EntryKind::ApprovalRequested => "require_approval",
            EntryKind::CallRefused => "deny",
            _ => return Reading::NoCall,
        };
        let Ok(body) = serde_json::from_str::<Body<'_>>(&self.body) else {
            return Reading::LeftOut("the record cannot be read");
        };
        if self.kind != EntryKind::ApprovalRequested && body.approval.is_some() {
            return Reading::NoCall;
        }
        if self.kind == EntryKind::CallRefused {
            let by_policy = body.policy.is_some() && matches!(body.status.as_deref(), Some("denied" | "misconfigured"));
            let by_credential = body.source.is_none_or(|source| source == DecisionSource::Disabled)
                && body.reason.contains(NOT_AVAILABLE);
            if !by_policy || by_credential {
                return Reading::LeftOut("it was refused for what no policy says");
            }
        }
        let payload = self.payload.as_deref().and_then(|bytes| serde_json::from_slice::<Payload<'_>>(bytes).ok());
        let (arguments, justification) =
            payload.map_or((None, None), |payload| (Some(Cow::Borrowed(payload.arguments)), payload.justification));
        Reading::Decided(Call {
            server: body.server,
            tool: body.tool,
            key: body.key,
            client: body.client,
            justification,
            arguments,
            was,
            reason: body.reason,
        })
    }
}

/// Names of the people, agents and tools that records only have the ids of.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    /// Whose journal it is.
    pub account: Option<AccountId>,
    /// User names.
    pub users: HashMap<UserId, String>,
    /// Managed agents.
    pub agents: HashMap<AgentId, Agent>,
    /// When tools were first seen, by their server's slug and the name it gives them.
    pub discovered: HashMap<String, HashMap<String, Timestamp>>,
}

impl Directory {
    pub(super) fn discovered(&self, server: &str, tool: &str) -> Option<Timestamp> {
        self.discovered.get(server)?.get(tool).copied()
    }

    /// Who made a call. What is not known of them is empty; limits of the credential itself are not
    /// the policy's and left out.
    pub(super) fn principal(&self, subject: &Subject, key: &str, at: Timestamp) -> Principal {
        let nobody = Uuid::nil();
        let user = subject.user.unwrap_or(UserId(nobody));
        let unknown = |id| Agent { id, name: String::new(), kind: String::new(), tags: Vec::new() };
        Principal {
            account: self.account.unwrap_or(AccountId(nobody)),
            user,
            username: self.users.get(&user).cloned().unwrap_or_default(),
            key: subject.key.unwrap_or(KeyId(nobody)),
            key_name: key.to_owned(),
            agent: subject.agent.map(|id| self.agents.get(&id).cloned().unwrap_or_else(|| unknown(id))),
            session: subject.session,
            ..anybody(at)
        }
    }
}
