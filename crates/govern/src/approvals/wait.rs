use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use preloop_store::{Approval, ApprovalStatus, ExecutionState};
use preloop_types::{AccountId, ApprovalId, Principal, Subject};
use tokio::sync::Notify;

use super::Approvals;
use crate::Result;

/// How a wait ended.
pub enum Waited {
    /// The request is decided, or its call has ended.
    Changed(Approval),
    /// Nothing happened in time.
    StillPending(Approval),
}

/// Who on this node waits for which request.
#[derive(Default)]
pub(crate) struct Waiters {
    waiting: DashMap<ApprovalId, Arc<Bell>>,
    /// How often agents that gave a request up came back for it.
    returns: DashMap<ApprovalId, u64>,
}

#[derive(Default)]
struct Bell {
    notify: Notify,
    listeners: AtomicUsize,
}

impl Waiters {
    /// Wakes whoever waits for `id`; tells whether anyone does.
    pub(crate) fn wake(&self, id: ApprovalId) -> bool {
        let Some(bell) = self.waiting.get(&id) else { return false };
        bell.notify.notify_waiters();
        true
    }

    pub(crate) fn wake_all(&self) {
        for bell in &self.waiting {
            bell.notify.notify_waiters();
        }
    }

    /// Notes that an agent still wants an answer it had given up.
    pub(crate) fn wanted(&self, id: ApprovalId) {
        if let Some(mut returns) = self.returns.get_mut(&id) {
            *returns += 1;
        }
    }

    fn listen(&self, id: ApprovalId) -> Listener<'_> {
        let bell = self.waiting.entry(id).or_default().clone();
        bell.listeners.fetch_add(1, Ordering::Relaxed);
        Listener { waiters: self, id, bell }
    }
}

/// Counts as a waiter until it is dropped.
struct Listener<'w> {
    waiters: &'w Waiters,
    id: ApprovalId,
    bell: Arc<Bell>,
}

impl Drop for Listener<'_> {
    fn drop(&mut self) {
        self.bell.listeners.fetch_sub(1, Ordering::Relaxed);
        self.waiters.waiting.remove_if(&self.id, |_, bell| bell.listeners.load(Ordering::Relaxed) == 0);
    }
}

impl Approvals<'_> {
    /// Waits until a pending request is decided, or the claimed call of an approved one has ended,
    /// at most for `patience`. Woken by the change itself.
    pub async fn wait(&self, account: AccountId, id: ApprovalId, patience: Duration) -> Result<Waited> {
        let deadline = tokio::time::Instant::now() + patience;
        let listener = self.governor.inner().waiters.listen(id);
        loop {
            let rung = listener.bell.notify.notified();
            tokio::pin!(rung);
            // Registered before the state is read, so that no change slips between the two.
            rung.as_mut().enable();
            let approval = self.get(account, id).await?;
            if !is_open(&approval) {
                return Ok(Waited::Changed(approval));
            }
            if tokio::time::timeout_at(deadline, rung).await.is_err() {
                return Ok(Waited::StillPending(approval));
            }
        }
    }
}

/// How long an agent that gave a call up may take to repeat it. Clients whose patience ends cancel
/// and call again; one that means it does not come back.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(30);

impl Approvals<'_> {
    /// The agent gave the held call up. The request is withdrawn unless the agent comes back for
    /// it, by repeating the call or asking for its status, or a person has decided.
    pub fn given_up(&self, who: &Principal, id: ApprovalId) {
        let (governor, account, subject) = (self.governor.clone(), who.account, Subject::from(who));
        let before = *governor.inner().waiters.returns.entry(id).or_default();
        tokio::spawn(async move {
            tokio::time::sleep(COMES_BACK_WITHIN).await;
            let after = governor.inner().waiters.returns.remove(&id).map(|(_, returns)| returns);
            if after != Some(before) {
                return;
            }
            if let Err(error) = governor.approvals().cancel(account, subject, id, "cancelled by the agent").await {
                tracing::warn!(approval = %id, %error, "a request its agent gave up could not be withdrawn");
            }
        });
    }

    /// Notes that the agent still wants the answer.
    pub fn wanted(&self, id: ApprovalId) {
        self.governor.inner().waiters.wanted(id);
    }
}

/// Whether something is still to happen before the request has an answer to give.
fn is_open(approval: &Approval) -> bool {
    match approval.status {
        ApprovalStatus::Pending => true,
        ApprovalStatus::Approved => approval.execution.state == ExecutionState::Claimed,
        _ => false,
    }
}
