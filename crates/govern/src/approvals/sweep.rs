//! What happens to requests when nobody acts: deadlines, lost claims, absent agents.

use std::{sync::Arc, time::Duration};

use preloop_store::{Approval, ApprovalStatus, Event, ExecutionState};
use preloop_types::{AccountId, ApprovalId, Principal, Subject};

use super::{Approvals, Redeemed, vote::resolved};
use crate::{Result, identify::active};

/// An approved call that nobody claimed for this long has nobody.
const LEFT_OVER_AFTER: Duration = Duration::from_secs(5);

impl Approvals<'_> {
    /// Expires what is overdue and gives up claims whose holder died. Safe to run on every node at
    /// once.
    pub(crate) async fn sweep(&self) -> Result<()> {
        for account in self.governor.store().due_approvals(self.governor.now()).await? {
            self.expire(account).await?;
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
        let Some(who) = self.requester(&approval).await? else {
            return Ok(());
        };
        if let Redeemed::Granted(permit) = self.redeem(&who, &approval).await? {
            executor.execute(permit).await;
        }
        Ok(())
    }

    /// The principal as it is now: a revoked key's approved calls do not run.
    async fn requester(&self, approval: &Approval) -> Result<Option<Arc<Principal>>> {
        let rows = self.governor.store().account(approval.account);
        let found = rows.credential(approval.requester.key).await?;
        Ok(found.and_then(|found| active(found, self.governor.now()).ok()).map(Arc::new))
    }
}
