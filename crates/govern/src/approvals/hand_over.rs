//! From one workflow's people to another's: what a reviewer that is no person cannot decide.

use std::time::Duration;

use preloop_store::{Approval, HandOver};
use preloop_types::{ApprovalId, EntryKind, Subject, UserId, WorkflowId};
use serde::Serialize;

use super::{Approvals, announce::announce};
use crate::{Error, Occasion, Result, records};

#[derive(Serialize)]
struct Body<'a> {
    approval: ApprovalId,
    from: &'a str,
    to: &'a str,
    reason: &'a str,
}

impl Approvals<'_> {
    /// Puts a pending request before the people of another workflow, with its quorum and a window of its own, and
    /// tells them. Who may not decide, may not there either. An error if it is not pending any more.
    pub async fn switch_to_workflow(&self, approval: &Approval, to: WorkflowId, why: &str) -> Result<Approval> {
        let snapshot = self.governor.snapshot(approval.account).await?;
        let workflow = snapshot.workflows.get(&to);
        let workflow = workflow.ok_or_else(|| Error::NotFound(format!("approval workflow `{to}`")))?;
        let may = |user: &UserId| approval.excluded.iter().all(|other| other.user != *user);
        let mut approvers: Vec<UserId> = snapshot.eligible(workflow).into_iter().filter(may).collect();
        if approvers.is_empty() {
            approvers = snapshot.owners().into_iter().filter(may).collect();
        }
        let hand_over = HandOver {
            workflow: workflow.id,
            workflow_name: workflow.name.clone(),
            approvals_required: workflow.approvals_required,
            escalate_to: snapshot.escalation(workflow).into_iter().filter(may).collect(),
            require_reason: workflow.require_reason,
            window: Duration::from_secs(u64::from(workflow.timeout_seconds)),
            approvers,
        };
        let (account, id) = (approval.account, approval.id);
        let mut told = approval.clone();
        (told.workflow, told.workflow_name) = (to, workflow.name.clone());
        let notices = self.notices_for(&told, &hand_over.approvers, Occasion::Escalated).await?;
        let (from, why) = (approval.workflow_name.clone(), why.to_owned());
        let handed = self.governor.store().write(account, move |tx| {
            Box::pin(async move {
                let Some(now) = tx.hand_over(id, &hand_over).await? else { return Ok(None) };
                let body = Body { approval: id, from: &from, to: &now.workflow_name, reason: &why };
                tx.record(records::approval(EntryKind::ApprovalHandedOver, Subject::default(), &now, &body));
                let detail = format!("handed over to workflow `{}`: {why}", now.workflow_name);
                tx.add_approval_event(id, "escalation_triggered", Some(&detail), None, None).await?;
                announce(tx, id, notices).await?;
                Ok(Some(now))
            })
        });
        handed.await?.ok_or_else(|| Error::Conflict("the request is not pending any more".to_owned()))
    }
}
