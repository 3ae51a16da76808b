use preloop_types::{ApprovalId, OutcomeStatus, Timestamp, WriterId};

use super::{
    Approval, ApprovalStatus, Claim, ExecutionState,
    request::SWEEP_MAX,
    rows::{ApprovalRow, result_context},
};
use crate::{
    Event, Result, Tx,
    db::{execute, fetch_all, fetch_optional},
};

impl Tx<'_> {
    /// Takes an approved call to carry it out; succeeds at most once ever.
    pub async fn claim_approval(&mut self, id: ApprovalId, writer: WriterId, lease_until: Timestamp) -> Result<Claim> {
        let (account, now) = (self.account(), self.now());
        let sql = "UPDATE approvals SET execution = 'claimed', attempt = attempt + 1, writer_id = $3, lease_until = $4 \
                   WHERE account_id = $1 AND id = $2 AND status = 'approved' AND execution = 'none' \
                   AND execute_before > $5 RETURNING *";
        let (until, now) = (lease_until.micros(), now.micros());
        let row = fetch_optional!(self.conn, ApprovalRow, sql, account.0, id.0, writer.0, until, now)?;
        if let Some(claimed) = self.read_approval(row).await? {
            self.emit(Event::ApprovalChanged { account, id });
            return Ok(Claim::Claimed(claimed));
        }
        Ok(match self.approval(id).await? {
            None => Claim::NotFound,
            Some(approval) if approval.status != ApprovalStatus::Approved => Claim::NotApproved(approval.status),
            Some(approval) if approval.execution.state != ExecutionState::None => Claim::AlreadyClaimed(approval),
            Some(_) => Claim::TooLate,
        })
    }

    /// Extends a claim that still holds; false if it does not.
    pub async fn renew_claim(&mut self, id: ApprovalId, attempt: u32, lease_until: Timestamp) -> Result<bool> {
        let account = self.account().0;
        let sql = "UPDATE approvals SET lease_until = $4 \
                   WHERE account_id = $1 AND id = $2 AND execution = 'claimed' AND attempt = $3";
        Ok(execute!(self.conn, sql, account, id.0, i64::from(attempt), lease_until.micros())? > 0)
    }

    /// Ends a claimed call with its result (sealed in the row); false if the claim was lost.
    pub async fn finish_approval(
        &mut self,
        id: ApprovalId,
        attempt: u32,
        result: Option<&[u8]>,
        outcome: OutcomeStatus,
    ) -> Result<bool> {
        let account = self.account();
        let sealer = self.sealer().await?;
        let result = result.map(|plain| sealer.seal(&result_context(id), plain));
        // An unknown outcome is its own state: nobody may take it for an end that is known.
        let state = match outcome {
            OutcomeStatus::Unknown => ExecutionState::Unknown,
            _ => ExecutionState::Finished,
        };
        let sql = "UPDATE approvals SET execution = $4, outcome = $5, result = $6, lease_until = NULL \
                   WHERE account_id = $1 AND id = $2 AND execution = 'claimed' AND attempt = $3";
        let (attempt, state) = (i64::from(attempt), state.as_str());
        let rows = execute!(self.conn, sql, account.0, id.0, attempt, state, outcome.as_str(), result)?;
        if rows > 0 {
            self.emit(Event::ApprovalChanged { account, id });
        }
        Ok(rows > 0)
    }

    /// Ends claims whose lease ran out as `unknown`, at most 100 at once. They are never run again.
    pub async fn abandon_claims(&mut self, now: Timestamp) -> Result<Vec<Approval>> {
        let account = self.account();
        let sql = "UPDATE approvals SET execution = 'unknown', outcome = 'unknown', lease_until = NULL \
                   WHERE id IN (SELECT id FROM approvals WHERE account_id = $1 AND execution = 'claimed' \
                   AND lease_until <= $2 ORDER BY lease_until LIMIT $3) \
                   AND account_id = $1 AND execution = 'claimed' AND lease_until <= $2 RETURNING *";
        let rows = fetch_all!(self.conn, ApprovalRow, sql, account.0, now.micros(), SWEEP_MAX)?;
        let abandoned = self.read_approvals(rows).await?;
        for approval in &abandoned {
            self.emit(Event::ApprovalChanged { account, id: approval.id });
        }
        Ok(abandoned)
    }

    /// Notes that the agent has its answer; the next identical call asks anew. False if noted before,
    /// or if there is no answer yet.
    pub async fn mark_delivered(&mut self, id: ApprovalId) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE approvals SET delivered_at = $3, dedupe_key = NULL \
                   WHERE account_id = $1 AND id = $2 AND status <> 'pending' AND delivered_at IS NULL";
        if execute!(self.conn, sql, account, id.0, now)? > 0 {
            return Ok(true);
        }
        self.approval_exists(id).await.map(|()| false)
    }
}
