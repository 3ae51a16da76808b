//! What agents are about to do with their own tools: their shells, their editors.
//!
//! Such a call never comes through us: the agent asks first and carries it out itself. It is decided,
//! asked about and recorded like every other; what we cannot see is how it ends. Whatever goes wrong
//! on the way is a refusal.

use std::{sync::Arc, time::Duration};

use preloop_store::Approval;
use preloop_types::{
    ApprovalId, CallOutcome, Decision, DecisionSource, NativeApprovals, OutcomeStatus, Principal, ToolCall, Verdict,
    WorkflowId, canonical_json, redact::redact,
};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{
    Admission, Governor, Permit, Redeemed, Refusal, RefusalKind, SessionSignal, Snapshot, Waited, governor::unavailable,
};

/// What an agent asks about one of its own tools.
#[derive(Debug, Clone)]
pub struct NativeCheck {
    /// The call; its tool is [`preloop_types::ToolRef::native`].
    pub call: ToolCall,
    /// What the agent calls its run.
    pub session: Option<String>,
    /// What its own settings say.
    pub client: Option<ClientDecision>,
    /// Whether this comes before the agent's own question to its user, which follows if nothing speaks against it.
    pub before_own_question: bool,
}

/// What an agent's own settings say about a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientDecision {
    /// Go ahead.
    Allow,
    /// No.
    Deny,
    /// Ask the user.
    Ask,
}

/// The answer: go ahead, or not.
#[derive(Debug, Clone)]
pub struct NativeAnswer {
    /// Whether the agent may go ahead.
    pub allow: bool,
    /// Why, for the agent and its person.
    pub reason: String,
    /// The request a person decided, or should have.
    pub request: Option<ApprovalId>,
    /// Nobody decided in time. It stays a refusal.
    pub timed_out: bool,
}

impl Governor {
    /// Decides whether an agent may use one of its own tools. Waits for a person for at most `patience`, on
    /// no connection.
    pub async fn check_native(&self, who: &Arc<Principal>, check: NativeCheck, patience: Duration) -> NativeAnswer {
        let signal = SessionSignal {
            explicit: check.session.as_deref(),
            client: check.call.client.as_deref(),
            ..SessionSignal::default()
        };
        let who = match self.sessions().bind(who, &signal).await {
            Ok(who) => who,
            Err(refused) => {
                let refusal = self.refuse(who, &check.call, RefusalKind::from(&refused), refused.to_string()).await;
                return NativeAnswer::refused(&refusal);
            }
        };
        let asked = check.call.arguments.clone();
        match self.admit_native(&who, check).await {
            Admission::Granted(permit) => self.go_ahead(permit, None).await,
            Admission::Refused(refusal) => NativeAnswer::refused(&refusal),
            Admission::Held(held) => self.wait_native(&who, held.approval, &asked, patience).await,
        }
    }

    async fn admit_native(&self, who: &Arc<Principal>, check: NativeCheck) -> Admission {
        if check.client == Some(ClientDecision::Deny) {
            let message = "the agent's own settings deny it".to_owned();
            return Admission::Refused(self.refuse(who, &check.call, RefusalKind::Denied, message).await);
        }
        let snapshot = match self.snapshot(who.account).await {
            Ok(snapshot) => snapshot,
            Err(error) => return Admission::Refused(unavailable(check.call.id, &error)),
        };
        if let Some(refused) = self.barred(who, &check.call, &snapshot).await {
            return Admission::Refused(refused);
        }
        let mut decision = snapshot.decide(who, &check.call, self.now());
        if decision.verdict == Verdict::Allow && decision.source == DecisionSource::AccountDefault {
            by_default(&snapshot, who, &check, &mut decision);
        }
        self.carry_decision(who, check.call, &decision, &snapshot).await
    }

    async fn wait_native(
        &self,
        who: &Arc<Principal>,
        mut approval: Approval,
        asked: &RawValue,
        patience: Duration,
    ) -> NativeAnswer {
        let (account, id) = (approval.account, approval.id);
        let deadline = Instant::now() + patience;
        // An agent that goes away no longer waits; unless it comes back, nobody need decide.
        let mut abandoned = GivenUp { governor: self, who, id: Some(id) };
        let answer = loop {
            match self.approvals().redeem(who, &approval).await {
                // The agent can only do what it asked about, not what an approver made of it.
                Ok(Redeemed::Granted(permit)) if !same(&permit.call().arguments, asked) => {
                    break self.changed(permit, id).await;
                }
                Ok(Redeemed::Granted(permit)) => break self.go_ahead(permit, Some(id)).await,
                Ok(Redeemed::Refused(refusal)) => break NativeAnswer::refused(&refusal),
                Ok(Redeemed::Finished(_)) => break NativeAnswer::used(id),
                Ok(Redeemed::Pending | Redeemed::Running) => {}
                Err(error) => break NativeAnswer::unreadable(id, &error),
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.approvals().wait(account, id, left).await {
                Ok(Waited::Changed(changed)) => approval = changed,
                Ok(Waited::StillPending(_)) => return NativeAnswer::too_late(id, patience),
                Err(error) => break NativeAnswer::unreadable(id, &error),
            }
        };
        abandoned.id = None;
        if let Err(error) = self.approvals().delivered(account, id).await {
            tracing::warn!(approval = %id, %error, "a delivered answer could not be noted");
        }
        answer
    }

    /// Other arguments were approved than the agent has.
    async fn changed(&self, permit: Permit, id: ApprovalId) -> NativeAnswer {
        let arguments = permit.call().arguments.clone();
        let error = "approved with other arguments, which the agent cannot be made to use";
        let outcome = CallOutcome { status: OutcomeStatus::NotSent, payload: None, error: Some(error.to_owned()) };
        if let Err(error) = permit.settle(&outcome).await {
            return NativeAnswer::unreadable(id, &error);
        }
        let mut shown = serde_json::from_str(arguments.get()).unwrap_or_default();
        redact(&mut shown);
        let reason =
            format!("not permitted as asked: the approver wants these arguments instead, ask with them: {shown}");
        NativeAnswer::deny(reason, Some(id))
    }

    /// The agent carries the call out itself: that is all that is known of it.
    async fn go_ahead(&self, permit: Permit, request: Option<ApprovalId>) -> NativeAnswer {
        let call = permit.call().id;
        let outcome = CallOutcome {
            status: OutcomeStatus::Unknown,
            payload: None,
            error: Some("the agent carries it out itself: how it ends is not seen here".to_owned()),
        };
        match permit.settle(&outcome).await {
            Ok(()) => {
                let reason = if request.is_some() { "approved" } else { "allowed" };
                NativeAnswer { allow: true, reason: reason.to_owned(), request, timed_out: false }
            }
            Err(error) => NativeAnswer::refused(&unavailable(call, &error)),
        }
    }
}

/// Where no rule speaks about the call: the agent's own settings, then what its governance says.
fn by_default(snapshot: &Snapshot, who: &Principal, check: &NativeCheck, decision: &mut Decision) {
    let approvals = snapshot.narrowing(who).filter_map(|(_, narrowing)| narrowing.native_tool_approvals).last();
    let reason = if check.before_own_question {
        "no rule speaks about it: the agent's own settings decide"
    } else if check.client == Some(ClientDecision::Allow) {
        "no rule speaks about it, and the agent's own settings allow it"
    } else if approvals.unwrap_or(snapshot.native_tool_approvals) == NativeApprovals::Off {
        "no rule speaks about it, and approvals of agents' own tools are off"
    } else if let Some(workflow) = workflow(snapshot, who) {
        decision.verdict = Verdict::Ask(workflow);
        "no rule speaks about it: agents' own tools need a person"
    } else {
        decision.verdict = Verdict::Deny;
        decision.source = DecisionSource::NoWorkflow;
        "no rule speaks about it, and there is no approval workflow to ask a person by; configure one"
    };
    reason.clone_into(&mut decision.reason);
}

/// Who is asked: the subject's own workflow, the account's default, the one marked default.
fn workflow(snapshot: &Snapshot, who: &Principal) -> Option<WorkflowId> {
    let own = snapshot.narrowing(who).filter_map(|(_, narrowing)| narrowing.approval_workflow).last();
    let marked = || snapshot.workflows.values().find(|workflow| workflow.is_default).map(|workflow| workflow.id);
    own.or(snapshot.defaults.default_workflow).or_else(marked)
}

/// Whether two texts are the same JSON.
fn same(a: &RawValue, b: &RawValue) -> bool {
    matches!((canonical_json(a.get()), canonical_json(b.get())), (Ok(a), Ok(b)) if a == b)
}

impl NativeAnswer {
    fn deny(reason: String, request: Option<ApprovalId>) -> Self {
        Self { allow: false, reason, request, timed_out: false }
    }

    fn refused(refusal: &Refusal) -> Self {
        let timed_out = refusal.kind == RefusalKind::Expired;
        let reason = format!("{}. It is not permitted: do not try it in another way", refusal.message);
        Self { timed_out, ..Self::deny(reason, refusal.approval) }
    }

    fn used(id: ApprovalId) -> Self {
        let reason = "the approval was used already by another check of the same call; ask again for another";
        Self::deny(reason.to_owned(), Some(id))
    }

    fn too_late(id: ApprovalId, patience: Duration) -> Self {
        let reason = format!(
            "nobody decided within {}s. It is not permitted; repeat the same call to go on waiting for the same decision",
            patience.as_secs()
        );
        Self { timed_out: true, ..Self::deny(reason, Some(id)) }
    }

    fn unreadable(id: ApprovalId, error: &crate::Error) -> Self {
        tracing::error!(approval = %id, %error, "a request about an agent's own tool cannot be read");
        Self::deny(format!("Preloop cannot read the request now, so it is not permitted: {error}"), Some(id))
    }
}

/// Withdraws the request of an agent that is gone, unless it comes back.
struct GivenUp<'a> {
    governor: &'a Governor,
    who: &'a Principal,
    id: Option<ApprovalId>,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.governor.approvals().given_up(self.who, id);
        }
    }
}
