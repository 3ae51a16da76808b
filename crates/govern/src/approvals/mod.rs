//! Requests for a human decision: from the call that is held to the effect that happens once.
//!
//! A request is a row and its life a state machine in which every step is one conditional update,
//! recorded in the journal by the same transaction. What is in memory here only carries speed: a
//! waiter that is never woken, a crash between two steps, or a second replica change nothing
//! about the outcome.
//!
//! - [`electorate`]: who decides, and who may not.
//! - [`hold`]: a call becomes a request, or joins the one that is open for the same call.
//! - [`announce`]: people are told.
//! - [`vote`]: people decide; [`edit`]: they change the call first; [`question`]: they answer.
//! - [`standing`]: they allow the same again; [`delegation`]: somebody decides in their place.
//! - [`hand_over`]: other people decide.
//! - [`review`]: a model looks first, where the workflow says so.
//! - [`redeem`]: an approved request becomes a `Permit`, at most once.
//! - [`wait`]: whoever waits is woken.
//! - [`sweep`]: deadlines, lost claims, approved calls nobody waits for.

mod announce;
mod delegation;
mod edit;
mod electorate;
mod hand_over;
mod hold;
mod link;
mod question;
mod redeem;
mod review;
mod shown;
mod standing;
mod sweep;
mod vote;
mod wait;

use preloop_store::{Approval, ApprovalEvent, ApprovalFilter, ApprovalStatus};
use preloop_types::{AccountId, ApprovalId, UserId};

pub use delegation::NewDelegation;
pub use hold::{Held, request_line};
pub use question::{ASK_USER, Answer, Enquiry, FieldProblem, Item, REQUEST_APPROVAL};
pub use redeem::{Redeemed, StoredResult};
pub use shown::Change;
pub use standing::{Allow, NewStandingGrant};
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

    /// Notes that somebody opened a request that is still to be decided: once for each person and
    /// way (`api` or `link`). A link not sent to a person has nobody's name.
    pub async fn viewed(&self, approval: &Approval, by: Option<UserId>, via: &'static str) -> Result<()> {
        if approval.status != ApprovalStatus::Pending {
            return Ok(());
        }
        let seen = self.history(approval.account, approval.id).await?;
        let same = |event: &ApprovalEvent| {
            event.event_type == "viewed" && event.actor == by && event.detail.as_deref() == Some(via)
        };
        if seen.iter().any(same) {
            return Ok(());
        }
        let id = approval.id;
        let noted = self.governor.store().write(approval.account, move |tx| {
            Box::pin(async move { tx.add_approval_event(id, "viewed", Some(via), None, by).await })
        });
        Ok(noted.await?)
    }

    /// What happened to one request, oldest first.
    pub async fn history(&self, account: AccountId, id: ApprovalId) -> Result<Vec<ApprovalEvent>> {
        self.get(account, id).await?;
        Ok(self.governor.store().account(account).approval_events(id).await?)
    }
}
