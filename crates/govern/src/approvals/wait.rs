use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use dashmap::DashMap;
use preloop_store::{Approval, ApprovalStatus, ExecutionState};
use preloop_types::{AccountId, ApprovalId};
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

/// Whether something is still to happen before the request has an answer to give.
fn is_open(approval: &Approval) -> bool {
    match approval.status {
        ApprovalStatus::Pending => true,
        ApprovalStatus::Approved => approval.execution.state == ExecutionState::Claimed,
        _ => false,
    }
}
