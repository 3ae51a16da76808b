use preloop_types::{ApprovalId, Hash, UserId};

use super::{
    Approval, ApprovalStatus, Ballot, VoteCast, VoteOutcome, Voter,
    quorum::verdict,
    rows::{ApprovalRow, answer_context, edited_context, preview_context, votes_to_json},
};
use crate::{
    Event, Result, Tx,
    db::{execute, fetch_optional, micros},
};

impl Tx<'_> {
    /// Counts a vote if the request is pending and in time; resolves it when the quorum is reached or
    /// out of reach. Whether this voter may vote is the caller's to know.
    pub async fn vote(&mut self, id: ApprovalId, ballot: &Ballot) -> Result<VoteOutcome> {
        let Some(mut approval) = self.lock_pending(id).await? else {
            return Ok(match self.approval(id).await? {
                None => VoteOutcome::NotFound,
                Some(approval) if approval.has_vote_of(ballot) => VoteOutcome::AlreadyVoted(approval),
                Some(approval) => VoteOutcome::Closed(approval),
            });
        };
        if approval.has_vote_of(ballot) {
            return Ok(VoteOutcome::AlreadyVoted(approval));
        }
        if ballot.shown.is_some() && ballot.shown != approval.shown_hash {
            return Ok(VoteOutcome::Changed(approval));
        }

        let now = self.now();
        approval.votes.push(VoteCast {
            voter: ballot.voter,
            on_behalf_of: ballot.on_behalf_of,
            overriding: ballot.overriding,
            approve: ballot.approve,
            comment: ballot.comment.clone(),
            via: ballot.via.clone(),
            shown: approval.shown_hash,
            at: now,
        });
        if let Some(status) = verdict(approval.approvals_required, &approval.approvers, &approval.votes) {
            approval.status = status;
            approval.resolved_at = Some(now);
            approval.decided_by = match ballot.voter {
                Voter::User(user) => Some(user),
                Voter::Anonymous => None,
            };
            approval.comment = ballot.comment.clone();
        }
        if let Some(answer) = ballot.answer.as_ref().filter(|_| approval.status == ApprovalStatus::Approved) {
            self.put_answer(id, answer).await?;
        }
        self.put_votes(&approval).await?;
        self.emit(Event::ApprovalChanged { account: self.account(), id });
        let approval = self.approval(id).await?.ok_or(crate::Error::NotFound)?;
        Ok(match approval.status {
            ApprovalStatus::Pending => VoteOutcome::Counted(approval),
            _ => VoteOutcome::Resolved(approval),
        })
    }

    /// Takes the row's lock if people may still decide; who comes next sees what this work did. What can be
    /// escalated is not over with its first window, and while tools are halted deadlines stand still.
    async fn lock_pending(&mut self, id: ApprovalId) -> Result<Option<Approval>> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE approvals SET status = 'pending' WHERE account_id = $1 AND id = $2 AND status = 'pending' \
                   AND (expires_at > $3 OR (escalated_at IS NULL AND escalate_to <> '[]') OR EXISTS ( \
                   SELECT 1 FROM halts h WHERE h.account_id = approvals.account_id AND h.scope = 'tools' \
                   AND approvals.expires_at > h.halted_at)) RETURNING *";
        let row = fetch_optional!(self.conn, ApprovalRow, sql, account, id.0, now)?;
        self.read_approval(row).await
    }

    async fn put_answer(&mut self, id: ApprovalId, answer: &str) -> Result<()> {
        let account = self.account().0;
        let sealed = self.sealer().await?.seal(&answer_context(id), answer.as_bytes());
        let sql = "UPDATE approvals SET answer = $3 WHERE account_id = $1 AND id = $2 AND status = 'pending'";
        execute!(self.conn, sql, account, id.0, sealed)?;
        Ok(())
    }

    /// Replaces the arguments of a pending request by those an approver wants. Who voted, voted about
    /// something else: the votes begin anew. False if it is not pending any more, or not what the approver saw.
    pub async fn edit_approval(&mut self, id: ApprovalId, edit: &NewEdit) -> Result<bool> {
        let (account, now) = (self.account(), self.now().micros());
        match self.lock_pending(id).await? {
            Some(approval) if edit.saw.is_none() || approval.shown_hash == edit.saw => {}
            _ => return Ok(false),
        }
        let sealer = self.sealer().await?;
        let arguments = sealer.seal(&edited_context(id), edit.arguments.as_bytes());
        let preview = edit.preview.as_ref().map(|text| sealer.seal(&preview_context(id), text.as_bytes()));
        let sql = "UPDATE approvals SET edited = $3, edited_hash = $4, edited_by = $5, edited_at = $6, preview = $7, \
                   shown_hash = $8, votes = '[]' WHERE account_id = $1 AND id = $2 AND status = 'pending'";
        let (args_hash, shown) = (&edit.args_hash.0[..], &edit.shown_hash.0[..]);
        let rows = execute!(self.conn, sql, account.0, id.0, arguments, args_hash, edit.by.0, now, preview, shown)?;
        self.emit(Event::ApprovalChanged { account, id });
        Ok(rows > 0)
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

impl Approval {
    /// Whether this voter has voted, or the seat they would fill is filled.
    fn has_vote_of(&self, ballot: &Ballot) -> bool {
        self.votes.iter().any(|vote| vote.voter == ballot.voter || vote.seat() == ballot.seat())
    }
}

/// A change of a request's arguments.
#[derive(Debug, Clone)]
pub struct NewEdit {
    /// Who makes it.
    pub by: UserId,
    /// What they saw: the change is not made if it is something else now.
    pub saw: Option<Hash>,
    /// The arguments as they shall be, as JSON; sealed in the row.
    pub arguments: String,
    /// Hash of their canonical form.
    pub args_hash: Hash,
    /// What approvers are shown of the call's effect now.
    pub preview: Option<String>,
    /// Hash of what they are shown now.
    pub shown_hash: Hash,
}
