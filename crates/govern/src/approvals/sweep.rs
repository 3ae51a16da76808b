//! What happens to requests when nobody acts: deadlines, lost claims, absent agents.

use std::{sync::Arc, time::Duration};

use preloop_store::{Approval, ApprovalStatus, Event, ExecutionState, Voter};
use preloop_types::{AccountId, ApprovalId, Entry, EntryKind, HaltScope, Principal, Subject, UserId};
use serde::Serialize;

use super::{
    Approvals, Redeemed,
    announce::{About, Announcement, Story, announce},
    request_line,
    vote::resolved,
};
use crate::{Occasion, Result, identify::active, records};

/// An approved call that nobody claimed for this long has nobody.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(5);

impl Approvals<'_> {
    /// Expires what is overdue and gives up claims whose holder died. Safe to run on every node at
    /// once.
    pub(crate) async fn sweep(&self) -> Result<()> {
        for account in self.governor.store().due_approvals(self.governor.now()).await? {
            // While tools are halted, deadlines stand still: nothing that is decided could have an effect.
            let halts = self.governor.store().account(account).halts().await?;
            if halts.iter().all(|halt| halt.scope != HaltScope::Tools) {
                self.escalate(account).await?;
                self.expire(account).await?;
                self.remind(account).await?;
            }
            self.abandon(account).await?;
        }
        Ok(())
    }

    /// Carries out approved calls nobody took: their node died between approval and claim.
    pub(crate) async fn carry_out_leftovers(&self) -> Result<()> {
        for (account, id) in self.governor.store().ready_approvals(self.governor.now()).await? {
            let approval = self.get(account, id).await?;
            if approval.resolved_at.is_some_and(|at| self.governor.now().since(at) >= LEFT_OVER_AFTER) {
                self.carry_out_unattended(account, id).await;
            }
        }
        Ok(())
    }

    /// Asks others about what nobody decided in time.
    async fn escalate(&self, account: AccountId) -> Result<()> {
        let overdue = self.governor.store().account(account).approvals_to_escalate(self.governor.now()).await?;
        for approval in overdue {
            let id = approval.id;
            let notices = self.notices_for(&approval, &approval.escalate_to, Occasion::Escalated).await?;
            let escalating = self.governor.store().write(account, move |tx| {
                Box::pin(async move {
                    let Some(now) = tx.escalate(id).await? else { return Ok(()) };
                    tx.record(escalated(&now));
                    let detail = format!("nobody decided in time; {} more are asked", now.escalate_to.len());
                    tx.add_approval_event(id, "escalation_triggered", Some(&detail), None, None).await?;
                    announce(tx, id, notices).await
                })
            });
            escalating.await?;
        }
        Ok(())
    }

    /// Reminds those who have not decided of what will soon be over.
    async fn remind(&self, account: AccountId) -> Result<()> {
        let due = self.governor.store().account(account).approvals_to_remind_of(self.governor.now()).await?;
        for (approval, reminder) in due {
            let id = approval.id;
            let voted = |user: &UserId| approval.votes.iter().any(|vote| vote.seat() == Voter::User(*user));
            let silent: Vec<UserId> = approval.approvers.iter().filter(|user| !voted(user)).copied().collect();
            let notices = self.notices_for(&approval, &silent, Occasion::Reminder(reminder.number)).await?;
            let reminding = self.governor.store().write(account, move |tx| {
                Box::pin(async move {
                    if tx.remind(id, reminder).await? {
                        announce(tx, id, notices).await?;
                    }
                    Ok(())
                })
            });
            reminding.await?;
        }
        Ok(())
    }

    /// What `people` are told of a request that is open already.
    pub(super) async fn notices_for(
        &self,
        approval: &Approval,
        people: &[UserId],
        occasion: Occasion,
    ) -> Result<Vec<Announcement>> {
        let snapshot = self.governor.snapshot(approval.account).await?;
        let Some(workflow) = snapshot.workflows.get(&approval.workflow) else { return Ok(Vec::new()) };
        let about = About { account: approval.account, agent: approval.requester.agent, workflow };
        let recipients = self.recipients(about, &snapshot, people).await?;
        let key = self.governor.store().account(approval.account).credential(approval.requester.key).await?;
        let key = key.map_or_else(|| "an agent".to_owned(), |found| found.key.name);
        let requester = request_line(&key, approval.requester.client.as_deref());
        Ok(self.announcements(&Story::of(approval, requester, occasion)?, recipients))
    }

    async fn expire(&self, account: AccountId) -> Result<()> {
        self.governor
            .store()
            .write(account, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    for approval in tx.resolve_expired(now).await? {
                        tx.record(resolved(&approval, Subject::default(), None));
                        tx.add_approval_event(approval.id, "expired", Some("nobody decided in time"), None, None)
                            .await?;
                        tx.emit(Event::ApprovalChanged { account, id: approval.id });
                    }
                    Ok(())
                })
            })
            .await
            .map_err(Into::into)
    }

    async fn abandon(&self, account: AccountId) -> Result<()> {
        self.governor
            .store()
            .write(account, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    for approval in tx.abandon_claims(now).await? {
                        let lost = "the outcome was lost; the call is not run again";
                        tx.add_approval_event(approval.id, "tool_executed", Some(lost), None, None).await?;
                        tx.emit(Event::ApprovalChanged { account, id: approval.id });
                    }
                    Ok(())
                })
            })
            .await
            .map_err(Into::into)
    }

    /// Carries out an approved call whose agent does not wait, so that its effect does not hang on
    /// the agent asking again.
    pub(crate) async fn carry_out_unattended(&self, account: AccountId, id: ApprovalId) {
        if let Err(error) = self.try_carry_out(account, id).await {
            tracing::warn!(approval = %id, %error, "an approved call could not be carried out yet");
        }
    }

    async fn try_carry_out(&self, account: AccountId, id: ApprovalId) -> Result<()> {
        let Some(executor) = self.governor.inner().executor() else { return Ok(()) };
        let approval = self.get(account, id).await?;
        if approval.status != ApprovalStatus::Approved || approval.execution.state != ExecutionState::None {
            return Ok(());
        }
        if approval.tool.is_native() {
            // Only the agent itself can: it asks again, or nothing happens.
            return Ok(());
        }
        let Some(who) = self.requester(&approval).await? else {
            return Ok(());
        };
        if let Redeemed::Granted(permit) = self.redeem(&who, &approval).await? {
            executor.execute(permit).await;
        }
        Ok(())
    }

    /// The principal as it is now: a revoked key's approved calls do not run.
    pub(super) async fn requester(&self, approval: &Approval) -> Result<Option<Arc<Principal>>> {
        let rows = self.governor.store().account(approval.account);
        let found = rows.credential(approval.requester.key).await?;
        Ok(found.and_then(|found| active(found, self.governor.now()).ok()).map(Arc::new))
    }
}

#[derive(Serialize)]
struct Escalated<'a> {
    approval: ApprovalId,
    tool: &'a str,
    server: &'a str,
    workflow: &'a str,
    asked: &'a [UserId],
}

/// The record that others are asked.
fn escalated(approval: &Approval) -> Entry {
    let body = Escalated {
        approval: approval.id,
        tool: &approval.tool.exposed,
        server: &approval.tool.server,
        workflow: &approval.workflow_name,
        asked: &approval.escalate_to,
    };
    records::approval(EntryKind::ApprovalEscalated, Subject::default(), approval, &body)
}
