//! Requests for a human decision: from the call that is held to the effect that happens once.
//!
//! A request is a row and its life a state machine in which every step is one conditional update,
//! recorded in the journal by the same transaction. What is in memory here only carries speed: a
//! waiter that is never woken, a crash between two steps, or a second replica change nothing
//! about the outcome.
//!
//! - [`hold`]: a call becomes a request, or joins the one that is open for the same call.
//! - [`vote`]: people decide.
//! - [`redeem`]: an approved request becomes a `Permit`, at most once.
//! - [`wait`]: whoever waits is woken.
//! - [`sweep`]: deadlines, lost claims, approved calls nobody waits for.

mod hold;
mod link;
mod redeem;
mod sweep;
mod vote;
mod wait;

use preloop_store::{Approval, ApprovalEvent, ApprovalFilter};
use preloop_types::{AccountId, ApprovalId};

pub use hold::{Held, request_line};
pub use redeem::{Redeemed, StoredResult};
pub use vote::{Decider, Vote};
pub use wait::Waited;
pub(crate) use wait::Waiters;

use crate::{Error, Governor, Result};

/// Requests for a human decision.
pub struct Approvals<'g> {
    governor: &'g Governor,
}

impl<'g> Approvals<'g> {
    pub(crate) fn new(governor: &'g Governor) -> Self {
        Self { governor }
    }

    /// One request.
    pub async fn get(&self, account: AccountId, id: ApprovalId) -> Result<Approval> {
        let found = self.governor.store().account(account).approval(id).await?;
        found.ok_or_else(|| Error::NotFound(format!("approval request `{id}`")))
    }

    /// Requests, newest first.
    pub async fn list(&self, account: AccountId, filter: ApprovalFilter) -> Result<Vec<Approval>> {
        Ok(self.governor.store().account(account).approvals(filter).await?)
    }

    /// What happened to one request, oldest first.
    pub async fn history(&self, account: AccountId, id: ApprovalId) -> Result<Vec<ApprovalEvent>> {
        self.get(account, id).await?;
        Ok(self.governor.store().account(account).approval_events(id).await?)
    }
}
