//! Between a call that needs a human and the human.
//!
//! A client that knows tasks gets one. A workflow with `async_approval` answers at once: the agent
//! polls. Otherwise the call is held (and put to the person at the client, where that is allowed),
//! with progress where the client asked for it, for less than the 60 seconds after which most
//! clients give up; then it turns into a pending answer like the first. Whoever is there when the
//! approval comes carries the call out; if nobody is, the governor does, and the result waits for
//! the agent to ask or to repeat the call.

use std::{sync::Arc, time::Duration};

use preloop_govern::{Approvals, Held, Redeemed, Waited};
use preloop_store::Approval;
use preloop_types::{ApprovalId, Principal, Timestamp};
use serde_json::{json, value::RawValue, value::to_raw_value};
use tokio::time::Instant;

use super::{
    Firewall,
    calls::Attempt,
    elicit,
    replies::{self, Answer as Final, Shape},
    tasks,
};
use crate::protocol::{Client, RpcError, error};

/// What became of a request so far.
pub(super) enum Answer {
    /// The agent's answer.
    Final(Final),
    /// Still pending, or being carried out elsewhere.
    Open,
}

impl Firewall {
    /// Holds the call for as long as the client can be expected to wait.
    pub(super) async fn wait_for_human(&self, attempt: Attempt<'_>, held: Held) -> Result<Arc<RawValue>, RpcError> {
        let id = held.approval.id;
        if attempt.shape == Shape::Call && tasks::wanted(attempt.client) {
            return Ok(tasks::created(&held));
        }
        let patience = if held.workflow.async_approval { Duration::ZERO } else { self.options.hold };
        match Box::pin(self.follow(&attempt, &held, patience)).await? {
            Some(answer) => {
                self.delivered(attempt.who, id).await;
                answer
            }
            None => replies::pending(attempt.shape, &held),
        }
    }

    /// Waits, shows progress, and carries the call out if it is approved meanwhile. `None` when
    /// there is still no answer.
    async fn follow(&self, attempt: &Attempt<'_>, held: &Held, patience: Duration) -> Result<Option<Final>, RpcError> {
        let (id, account) = (held.approval.id, attempt.who.account);
        let cancelled = attempt.client.cancelled();
        let beat = Beat::new(attempt.client, held);
        let asked = elicit::ask(&self.governor, attempt, held);
        tokio::pin!(asked);
        let mut asking = elicit::applies(attempt, held);
        loop {
            beat.show(self.governor.now());
            let step = patience.saturating_sub(beat.started.elapsed()).min(self.options.beat);
            // Only the wait is given up with the client: a call that runs is upstream's to cancel.
            let approvals = self.governor.approvals();
            let waited = tokio::select! {
                waited = approvals.wait(account, id, step) => waited,
                () = &mut asked, if asking => {
                    asking = false;
                    continue;
                }
                () = cancelled.cancelled() => {
                    approvals.given_up(attempt.who, id);
                    return Err(RpcError::new(error::INTERNAL_ERROR, "the request was cancelled"));
                }
            };
            if let Waited::Changed(approval) = waited.map_err(|error| unreadable(id, &error))?
                && let Answer::Final(answer) = self.redeem(attempt.who, &approval, attempt.meta, attempt.client).await?
            {
                return Ok(Some(answer));
            }
            if beat.started.elapsed() >= patience {
                return Ok(None);
            }
        }
    }

    /// Turns a decided request into the agent's answer, carrying the call out if it falls to us.
    pub(super) async fn redeem(
        &self,
        who: &Arc<Principal>,
        approval: &Approval,
        meta: Option<&RawValue>,
        client: &dyn Client,
    ) -> Result<Answer, RpcError> {
        let redeemed = self.governor.approvals().redeem(who, approval).await;
        let result = match redeemed.map_err(|error| unreadable(approval.id, &error))? {
            Redeemed::Granted(permit) => self.carry_out(permit, meta, client).await,
            Redeemed::Finished(stored) => match (stored.result, stored.error) {
                (Some(result), _) => Ok(Arc::from(result)),
                (None, error) => replies::failed_earlier(approval, error.as_deref().unwrap_or("no result")),
            },
            Redeemed::Refused(refusal) => {
                let refused = replies::refused(Shape::of(&approval.tool), &approval.tool.exposed, &refusal);
                return Ok(Answer::Final(refused));
            }
            Redeemed::Running | Redeemed::Pending => return Ok(Answer::Open),
        };
        // What ran is not what the agent asked for: it has to know, or it draws the wrong conclusions.
        let changes = Approvals::changes_of(approval).map_err(|error| unreadable(approval.id, &error))?;
        Ok(Answer::Final(result.map(|result| replies::telling_changes(result, &changes))))
    }

    pub(super) async fn delivered(&self, who: &Principal, id: ApprovalId) {
        if let Err(error) = self.governor.approvals().delivered(who.account, id).await {
            // The next identical call gets the same result again, which is safe.
            tracing::warn!(approval = %id, %error, "a delivered answer could not be noted");
        }
    }
}

/// The progress notifications of one held call.
struct Beat<'a> {
    client: &'a dyn Client,
    held: &'a Held,
    started: Instant,
}

impl<'a> Beat<'a> {
    fn new(client: &'a dyn Client, held: &'a Held) -> Self {
        Self { client, held, started: Instant::now() }
    }

    fn show(&self, now: Timestamp) {
        let Some(token) = self.client.progress_token() else { return };
        let approval = &self.held.approval;
        let window = approval.expires_at.since(approval.requested_at).as_secs_f64();
        let left = approval.expires_at.since(now).as_secs_f64();
        let params = json!({
            "progressToken": token,
            "progress": ((1.0 - left / window) * 100.0).min(99.0),
            "total": 100,
            "message": format!(
                "Waiting for approval via {} ({left:.0}s remaining), request {}",
                self.held.channels.join(", "),
                approval.id
            ),
        });
        self.client.notify("notifications/progress", to_raw_value(&params).ok().map(Arc::from));
    }
}

pub(super) fn unreadable(id: ApprovalId, cause: &preloop_govern::Error) -> RpcError {
    tracing::error!(approval = %id, error = %cause, "an approval request cannot be read");
    RpcError::new(error::INTERNAL_ERROR, format!("approval request {id} cannot be read now; ask again later"))
}
