use std::collections::HashSet;

use preloop_types::{ApprovalId, Timestamp};

use super::{
    Approval, ApprovalStatus, VoteCast, VoteOutcome, Voter,
    request::SWEEP_MAX,
    rows::{ApprovalRow, votes_to_json},
};
use crate::{
    Error, Event, Result, Tx,
    db::{execute, fetch_all, fetch_optional, micros},
};

impl Tx<'_> {
    /// Counts a vote if the request is pending and in time; resolves it when the quorum is reached or
    /// out of reach. Whether this voter may vote is the caller's to know.
    pub async fn vote(
        &mut self,
        id: ApprovalId,
        voter: impl Into<Voter>,
        approve: bool,
        comment: Option<&str>,
        via: &str,
    ) -> Result<VoteOutcome> {
        let (account, now, voter) = (self.account(), self.now(), voter.into());
        let has_voted = |approval: &Approval| approval.votes.iter().any(|vote| vote.voter == voter);
        // Takes the row's lock; who comes next sees this vote.
        let sql = "UPDATE approvals SET status = 'pending' \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending' AND expires_at > $3 RETURNING *";
        let row = fetch_optional!(self.conn, ApprovalRow, sql, account.0, id.0, now.micros())?;
        let Some(mut approval) = self.read_approval(row).await? else {
            return Ok(match self.approval(id).await? {
                None => VoteOutcome::NotFound,
                Some(approval) if has_voted(&approval) => VoteOutcome::AlreadyVoted(approval),
                Some(approval) => VoteOutcome::Closed(approval),
            });
        };
        if has_voted(&approval) {
            return Ok(VoteOutcome::AlreadyVoted(approval));
        }

        let comment = comment.map(str::to_owned);
        approval.votes.push(VoteCast { voter, approve, comment: comment.clone(), via: via.to_owned(), at: now });
        if let Some(status) = verdict(&approval, approve) {
            approval.status = status;
            approval.resolved_at = Some(now);
            approval.decided_by = match voter {
                Voter::User(user) => Some(user),
                Voter::Anonymous => None,
            };
            approval.comment = comment;
        }
        self.put_votes(&approval).await?;
        self.emit(Event::ApprovalChanged { account, id });
        let approval = self.approval(id).await?.ok_or(Error::NotFound)?;
        Ok(match approval.status {
            ApprovalStatus::Pending => VoteOutcome::Counted(approval),
            _ => VoteOutcome::Resolved(approval),
        })
    }

    async fn put_votes(&mut self, approval: &Approval) -> Result<()> {
        let sql = "UPDATE approvals SET votes = $3, status = $4, resolved_at = $5, decided_by = $6, comment = $7, \
                   execute_before = CASE WHEN $4 = 'approved' THEN $5 + execute_within END, \
                   dedupe_key = CASE WHEN $4 = 'declined' THEN NULL ELSE dedupe_key END \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending'";
        execute!(
            self.conn,
            sql,
            approval.account.0,
            approval.id.0,
            votes_to_json(&approval.votes)?,
            approval.status.as_str(),
            micros(approval.resolved_at),
            approval.decided_by.map(|id| id.0),
            approval.comment.as_deref()
        )?;
        Ok(())
    }

    /// Expires what is pending past its deadline, at most 100 at once.
    pub async fn resolve_expired(&mut self, now: Timestamp) -> Result<Vec<Approval>> {
        let account = self.account();
        let sql = "UPDATE approvals SET status = 'expired', resolved_at = $2, dedupe_key = NULL \
                   WHERE id IN (SELECT id FROM approvals WHERE account_id = $1 AND status = 'pending' \
                   AND expires_at <= $2 ORDER BY expires_at LIMIT $3) \
                   AND account_id = $1 AND status = 'pending' AND expires_at <= $2 RETURNING *";
        let rows = fetch_all!(self.conn, ApprovalRow, sql, account.0, now.micros(), SWEEP_MAX)?;
        let expired = self.read_approvals(rows).await?;
        for approval in &expired {
            self.emit(Event::ApprovalChanged { account, id: approval.id });
        }
        Ok(expired)
    }

    /// Withdraws a pending request; false if it was not pending.
    pub async fn cancel_approval(&mut self, id: ApprovalId, reason: Option<&str>) -> Result<bool> {
        let (account, now) = (self.account(), self.now());
        let sql = "UPDATE approvals SET status = 'cancelled', resolved_at = $3, comment = $4, dedupe_key = NULL \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending'";
        if execute!(self.conn, sql, account.0, id.0, now.micros(), reason)? > 0 {
            self.emit(Event::ApprovalChanged { account, id });
            return Ok(true);
        }
        self.approval_exists(id).await.map(|()| false)
    }
}

/// What the votes so far come to; `None` while it is open. A person outside the list who was let vote
/// (an owner's override) counts as one more who can.
fn verdict(approval: &Approval, last_was_approval: bool) -> Option<ApprovalStatus> {
    let required = approval.approvals_required.max(1) as usize;
    let declined = approval.votes.iter().filter(|vote| !vote.approve).count();
    let approved = approval.votes.len() - declined;
    if last_was_approval {
        return (approved >= required).then_some(ApprovalStatus::Approved);
    }
    let listed = approval.approvers.iter().copied().map(Voter::User);
    let voters: HashSet<Voter> = listed.chain(approval.votes.iter().map(|vote| vote.voter)).collect();
    (voters.len() - declined < required).then_some(ApprovalStatus::Declined)
}
