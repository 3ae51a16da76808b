//! From an approved request to one execution.

use std::{sync::Arc, time::Instant};

use preloop_store::{Approval, ApprovalStatus, Claim, Event, ExecutionState};
use preloop_types::{
    AccountId, ApprovalId, CallOutcome, Decision, Entry, EntryKind, HaltScope, OutcomeStatus, Principal, ToolCall,
    Verdict,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    Approvals,
    edit::refuses,
    shown::{call_as_asked, call_to_run},
};
use crate::{
    Governor, IdentifyError, Permit, Refusal, RefusalKind, Result, Snapshot,
    governor::{halted, not_permitted},
    identify::active,
    permit::{Claimed, Granted},
    records::{self, Basis},
};

/// What became of a request.
#[expect(clippy::large_enum_variant, reason = "most of them are permits, and live on the stack for a moment")]
pub enum Redeemed {
    /// The caller carries the call out, now.
    Granted(Permit),
    /// It was carried out; this is how it ended.
    Finished(StoredResult),
    /// Somebody else is carrying it out.
    Running,
    /// It is not decided yet.
    Pending,
    /// It will not be carried out.
    Refused(Refusal),
}

/// The outcome kept with a request, for everyone who asks later.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredResult {
    /// In one word.
    pub status: OutcomeStatus,
    /// The tool's result as it came.
    pub result: Option<Box<RawValue>>,
    /// What went wrong.
    pub error: Option<String>,
}

impl Approvals<'_> {
    /// Makes an approved request into a permit. Whatever races, one caller gets it, once, and only
    /// if the call would not be refused now.
    pub async fn redeem(&self, who: &Arc<Principal>, approval: &Approval) -> Result<Redeemed> {
        match approval.status {
            ApprovalStatus::Pending => return Ok(Redeemed::Pending),
            ApprovalStatus::Declined => return Ok(Redeemed::Refused(declined(approval))),
            ApprovalStatus::Expired => return Ok(Redeemed::Refused(expired(approval))),
            ApprovalStatus::Cancelled => return Ok(Redeemed::Refused(cancelled(approval))),
            ApprovalStatus::Approved => {}
        }
        match approval.execution.state {
            ExecutionState::None => self.claim(who, approval).await,
            ExecutionState::Claimed => Ok(Redeemed::Running),
            ExecutionState::Finished => Ok(finished(approval)),
            ExecutionState::Unknown => Ok(Redeemed::Refused(outcome_unknown(approval))),
        }
    }

    async fn claim(&self, who: &Arc<Principal>, approval: &Approval) -> Result<Redeemed> {
        let snapshot = self.governor.snapshot(approval.account).await?;
        let (call, now) = (call_to_run(approval)?, self.governor.now());
        // Whoever waited was identified when the wait began: much may have happened to them since.
        let rows = self.governor.store().account(approval.account);
        let standing = match rows.credential(who.key).await? {
            Some(found) => active(found, now).map(drop),
            None => Err(IdentifyError::Unknown),
        };
        if let Err(error) = standing {
            let message = format!("The credential lost its standing after the call was asked about: {error}");
            return self.give_up(approval, who, &call, (RefusalKind::ApprovalStale, message)).await;
        }
        let decision = snapshot.decide(who, &call, now);
        if approval.edit.is_some() {
            let asked = snapshot.decide(who, &call_as_asked(approval)?, now);
            if let Some(why) = refuses(asked.verdict, decision.verdict) {
                let message = format!("With the arguments as the approver changed them {why}: {}", decision.reason);
                return self.give_up(approval, who, &call, (RefusalKind::ApprovalStale, message)).await;
            }
        }
        let stale = not_permitted(who, &call).or_else(|| stale(&snapshot, approval, who, &decision));
        if let Some(message) = stale {
            return self.give_up(approval, who, &call, (RefusalKind::ApprovalStale, message)).await;
        }
        let options = self.governor.inner().options().clone();
        let (account, id, version) = (approval.account, approval.id, snapshot.version);
        let (principal, recorded) = (who.clone(), call.clone());
        let lease_until = self.governor.now() + options.claim_lease;
        let claim = self
            .governor
            .store()
            .write(account, move |tx| {
                Box::pin(async move {
                    // Read here, not from memory: what was halted a moment ago, on any node, does not run.
                    let halts = tx.halts().await?;
                    if let Some(halt) = halts.into_iter().find(|halt| halt.scope == HaltScope::Tools) {
                        return Ok(Err(halt));
                    }
                    let claim = tx.claim_approval(id, options.writer, lease_until).await?;
                    if matches!(claim, Claim::Claimed(_)) {
                        let intent = EntryKind::CallIntent;
                        tx.record(records::decided(
                            intent,
                            &principal,
                            &recorded,
                            &decision,
                            version,
                            Basis::Approval(id),
                        ));
                        tx.emit(Event::ApprovalChanged { account, id });
                    }
                    Ok(Ok(claim))
                })
            })
            .await?;
        let claim = match claim {
            Ok(claim) => claim,
            Err(halt) => {
                let why = (RefusalKind::AccountHalted, halted(&halt));
                return self.give_up(approval, who, &call, why).await;
            }
        };
        Ok(match claim {
            Claim::Claimed(claimed) => Redeemed::Granted(Permit::new(Granted {
                governor: self.governor.clone(),
                who: who.clone(),
                server: call.tool.server_id.and_then(|id| snapshot.servers.get(&id).cloned()),
                call,
                answer: claimed.answer()?.and_then(|raw| serde_json::from_str(raw.get()).ok()),
                claim: Some(Claimed { request: claimed.id, attempt: claimed.execution.attempt }),
                started: Instant::now(),
            })),
            Claim::AlreadyClaimed(_) => Redeemed::Running,
            Claim::TooLate | Claim::NotFound => Redeemed::Refused(too_late(approval)),
            Claim::NotApproved(_) => Redeemed::Pending,
        })
    }

    /// An approved call that must not run any more: recorded as such, so that nobody tries again.
    async fn give_up(
        &self,
        approval: &Approval,
        who: &Principal,
        call: &ToolCall,
        (kind, message): (RefusalKind, String),
    ) -> Result<Redeemed> {
        let refusal = Refusal { call: call.id, kind, message, approval: Some(approval.id) };
        let record = records::refused(who, call, &refusal, None);
        let (account, id, writer) = (approval.account, approval.id, self.governor.inner().options().writer);
        let stored =
            StoredResult { status: OutcomeStatus::NotSent, result: None, error: Some(refusal.message.clone()) };
        let kept = stored.to_json();
        let now = self.governor.now();
        self.governor
            .store()
            .write(account, move |tx| {
                Box::pin(async move {
                    if let Claim::Claimed(claim) = tx.claim_approval(id, writer, now).await? {
                        tx.record(record);
                        tx.finish_approval(id, claim.execution.attempt, Some(&kept), OutcomeStatus::NotSent).await?;
                        tx.add_approval_event(id, "tool_executed", Some("not carried out"), None, None).await?;
                        tx.emit(Event::ApprovalChanged { account, id });
                    }
                    Ok(())
                })
            })
            .await?;
        Ok(Redeemed::Refused(refusal))
    }

    /// Notes that the agent got the answer: the next identical call is a new request.
    pub async fn delivered(&self, account: AccountId, id: ApprovalId) -> Result<()> {
        self.governor.store().write(account, move |tx| Box::pin(async move { tx.mark_delivered(id).await })).await?;
        Ok(())
    }
}

impl StoredResult {
    fn to_json(&self) -> Vec<u8> {
        // Strings and already valid JSON always serialise.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

fn finished(approval: &Approval) -> Redeemed {
    let stored = approval.result().ok().flatten().and_then(|plain| serde_json::from_slice(&plain).ok());
    match stored {
        Some(stored) => Redeemed::Finished(stored),
        None => Redeemed::Refused(outcome_unknown(approval)),
    }
}

impl Governor {
    /// Outcome, record and stored result in one transaction.
    pub(crate) async fn finish_claim(&self, claim: Claimed, outcome: &CallOutcome, record: Entry) -> Result<()> {
        let account = record.account;
        let stored = StoredResult {
            status: outcome.status,
            result: outcome.payload.as_deref().map(ToOwned::to_owned),
            error: outcome.error.clone(),
        };
        let kept = stored.to_json();
        let status = outcome.status;
        self.store()
            .write(account, move |tx| {
                Box::pin(async move {
                    tx.record(record);
                    tx.finish_approval(claim.request, claim.attempt, Some(&kept), status).await?;
                    tx.add_approval_event(claim.request, "tool_executed", Some(status.as_str()), None, None).await?;
                    tx.emit(Event::ApprovalChanged { account, id: claim.request });
                    Ok(())
                })
            })
            .await
            .map_err(Into::into)
    }
}

/// Why an approved call may not run now, if so. The approval stands in for the policy's question,
/// never for its refusal.
fn stale(snapshot: &Snapshot, approval: &Approval, who: &Principal, decision: &Decision) -> Option<String> {
    let exposed = &approval.tool.exposed;
    if approval.tool.is_read() {
        if !snapshot.ruleset.visible(who, &approval.tool) {
            return Some(format!("`{exposed}` of server `{}` is no longer available", approval.tool.server));
        }
    } else if approval.tool.server_id.is_some() {
        let tool = snapshot.tools.get(&**exposed).filter(|tool| snapshot.is_visible(who, tool));
        let Some(tool) = tool else {
            return Some(format!("Tool '{exposed}' is no longer available"));
        };
        let same = tool.reference.id == approval.tool.id && tool.reference.definition == approval.tool.definition;
        if !same || !tool.is_pinned() {
            return Some(format!("The definition of tool '{exposed}' changed after the call was approved"));
        }
    }
    match decision.verdict {
        Verdict::Deny => Some(format!("The policy changed after the call was approved: {}", decision.reason)),
        Verdict::Allow | Verdict::Ask(_) => None,
    }
}

fn refusal(approval: &Approval, kind: RefusalKind, message: String) -> Refusal {
    Refusal { call: approval.call, kind, message, approval: Some(approval.id) }
}

fn declined(approval: &Approval) -> Refusal {
    let comment = approval.comment.as_deref().map(|comment| format!(": {comment}")).unwrap_or_default();
    refusal(approval, RefusalKind::Declined, format!("Tool execution declined{comment}"))
}

fn expired(approval: &Approval) -> Refusal {
    let waited = approval.expires_at.since(approval.requested_at).as_secs();
    let escalated = if approval.escalated_at.is_some() { " (including escalation)" } else { "" };
    refusal(approval, RefusalKind::Expired, format!("Approval timeout: request expired after {waited}s{escalated}"))
}

fn cancelled(approval: &Approval) -> Refusal {
    refusal(approval, RefusalKind::Cancelled, "Tool execution cancelled".to_owned())
}

fn too_late(approval: &Approval) -> Refusal {
    let message = "The approval was given, but the call was not carried out within its time limit".to_owned();
    refusal(approval, RefusalKind::ApprovalStale, message)
}

fn outcome_unknown(approval: &Approval) -> Refusal {
    let message = "The approved call was started but its outcome was lost; it is not run again. Check its effect before \
                   asking for another";
    refusal(approval, RefusalKind::OutcomeUnknown, message.to_owned())
}
