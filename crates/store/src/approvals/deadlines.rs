//! What time does to pending requests. The stored deadline is the only clock: a sweeper on any node acts
//! on it, with one conditional update for each step, so that two nodes, a restart and a vote at the same
//! instant agree on what happened.
//!
//! A request that can be escalated does not end with its first window: others are asked too, for a second
//! window of the same length, and who was asked first may still decide.

use std::time::Duration;

use preloop_types::{AccountId, ApprovalId, Timestamp, UserId, WorkflowId};
use uuid::Uuid;

use super::{Approval, request::SWEEP_MAX, rows::ApprovalRow};
use crate::{
    Event, Result, Store, Tx, View,
    db::{execute, fetch_all, fetch_optional, json},
};

/// Nobody is reminded of what is over so soon.
const REMINDED_FROM: Duration = Duration::from_mins(10);

/// The last comes first: who slept through both is reminded once.
const REMINDERS: [Reminder; 2] = [Reminder { number: 2, percent: 90 }, Reminder { number: 1, percent: 50 }];

/// One of the times people are reminded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reminder {
    /// Which, from 1.
    pub number: u32,
    /// How much of the window is over.
    percent: i64,
}

impl Store {
    /// Accounts with a request past a deadline, due for a reminder, or carried out past its lease.
    pub async fn due_approvals(&self, now: Timestamp) -> Result<Vec<AccountId>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id FROM approvals WHERE status = 'pending' AND expires_at <= $1 \
                   UNION SELECT account_id FROM approvals WHERE status = 'pending' AND time_window >= $2 AND ( \
                   (reminded < 50 AND expires_at - time_window / 2 <= $1) OR \
                   (reminded < 90 AND expires_at - time_window / 10 <= $1)) \
                   UNION SELECT account_id FROM approvals WHERE execution = 'claimed' AND lease_until <= $1";
        let rows = fetch_all!(conn, (Uuid,), sql, now.micros(), micros(REMINDED_FROM))?;
        Ok(rows.into_iter().map(|(id,)| AccountId(id)).collect())
    }
}

impl View<'_> {
    /// What nobody decided in its first window and others can be asked about, at most 100.
    pub async fn approvals_to_escalate(&mut self, now: Timestamp) -> Result<Vec<Approval>> {
        let account = self.account();
        let sql = "SELECT * FROM approvals WHERE account_id = $1 AND status = 'pending' AND expires_at <= $2 \
                   AND escalated_at IS NULL AND escalate_to <> '[]' ORDER BY expires_at LIMIT $3";
        let rows = fetch_all!(self.conn, ApprovalRow, sql, account.0, now.micros(), SWEEP_MAX)?;
        self.read_approvals(rows).await
    }

    /// Requests half of whose time is over, or nine tenths, and which reminder that is; at most 100 of each.
    pub async fn approvals_to_remind_of(&mut self, now: Timestamp) -> Result<Vec<(Approval, Reminder)>> {
        let account = self.account();
        let mut due: Vec<(Approval, Reminder)> = Vec::new();
        for reminder in REMINDERS {
            let sql = "SELECT * FROM approvals WHERE account_id = $1 AND status = 'pending' AND expires_at > $2 \
                       AND time_window >= $3 AND reminded < $4 \
                       AND expires_at - time_window / 100 * (100 - $4) <= $2 ORDER BY expires_at LIMIT $5";
            let (from, at) = (micros(REMINDED_FROM), now.micros());
            let rows = fetch_all!(self.conn, ApprovalRow, sql, account.0, at, from, reminder.percent, SWEEP_MAX)?;
            for approval in self.read_approvals(rows).await? {
                if due.iter().all(|(other, _)| other.id != approval.id) {
                    due.push((approval, reminder));
                }
            }
        }
        Ok(due)
    }
}

impl Tx<'_> {
    /// Asks the others about what nobody decided in time. `None` if somebody did, or it was done before.
    pub async fn escalate(&mut self, id: ApprovalId) -> Result<Option<Approval>> {
        let (account, now) = (self.account(), self.now().micros());
        let sql = "UPDATE approvals SET escalated_at = $3, expires_at = $3 + time_window, reminded = 0 \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending' AND expires_at <= $3 \
                   AND escalated_at IS NULL AND escalate_to <> '[]' RETURNING *";
        let row = fetch_optional!(self.conn, ApprovalRow, sql, account.0, id.0, now)?;
        let escalated = self.read_approval(row).await?;
        if escalated.is_some() {
            self.emit(Event::ApprovalChanged { account, id });
        }
        Ok(escalated)
    }

    /// Notes that people are reminded of a request; false if they were, or if it is decided.
    pub async fn remind(&mut self, id: ApprovalId, reminder: Reminder) -> Result<bool> {
        let account = self.account().0;
        let sql = "UPDATE approvals SET reminded = $3 \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending' AND reminded < $3";
        Ok(execute!(self.conn, sql, account, id.0, reminder.percent)? > 0)
    }

    /// Expires what is pending past its deadline and cannot be escalated, at most 100 at once.
    pub async fn resolve_expired(&mut self, now: Timestamp) -> Result<Vec<Approval>> {
        let account = self.account();
        let sql = "UPDATE approvals SET status = 'expired', resolved_at = $2, dedupe_key = NULL \
                   WHERE id IN (SELECT id FROM approvals WHERE account_id = $1 AND status = 'pending' \
                   AND expires_at <= $2 AND (escalated_at IS NOT NULL OR escalate_to = '[]') \
                   ORDER BY expires_at LIMIT $3) \
                   AND account_id = $1 AND status = 'pending' AND expires_at <= $2 \
                   AND (escalated_at IS NOT NULL OR escalate_to = '[]') RETURNING *";
        let rows = fetch_all!(self.conn, ApprovalRow, sql, account.0, now.micros(), SWEEP_MAX)?;
        let expired = self.read_approvals(rows).await?;
        for approval in &expired {
            self.emit(Event::ApprovalChanged { account, id: approval.id });
        }
        Ok(expired)
    }

    /// Gives pending requests back the time since `since`, in which nobody could act on them; how many. What
    /// expired before stays expired.
    pub async fn extend_pending(&mut self, since: Timestamp) -> Result<u64> {
        let (account, now) = (self.account(), self.now());
        let sql = "UPDATE approvals SET expires_at = expires_at + ($3 - CASE WHEN requested_at > $2 THEN requested_at \
                   ELSE $2 END) WHERE account_id = $1 AND status = 'pending' AND expires_at > $2 RETURNING id";
        let ids = fetch_all!(self.conn, (Uuid,), sql, account.0, since.micros(), now.micros())?;
        for (id,) in &ids {
            self.emit(Event::ApprovalChanged { account, id: ApprovalId(*id) });
        }
        Ok(ids.len() as u64)
    }

    /// Hands a pending request to the people of another workflow, for a window of its own: votes so far were
    /// given under other rules and count no more. `None` if it is not pending (any more).
    pub async fn hand_over(&mut self, id: ApprovalId, to: &HandOver) -> Result<Option<Approval>> {
        let (account, now) = (self.account(), self.now());
        let sql = "UPDATE approvals SET workflow_id = $3, workflow_name = $4, approvals_required = $5, approvers = $6, \
                   escalate_to = $7, require_reason = $8, time_window = $9, expires_at = $10 + $9, \
                   escalated_at = NULL, reminded = 0, votes = '[]' \
                   WHERE account_id = $1 AND id = $2 AND status = 'pending' AND expires_at > $10 RETURNING *";
        let row = fetch_optional!(
            self.conn,
            ApprovalRow,
            sql,
            account.0,
            id.0,
            to.workflow.0,
            &to.workflow_name[..],
            i64::from(to.approvals_required),
            json(&to.approvers)?,
            json(&to.escalate_to)?,
            to.require_reason,
            micros(to.window),
            now.micros()
        )?;
        let handed = self.read_approval(row).await?;
        if handed.is_some() {
            self.emit(Event::ApprovalChanged { account, id });
        }
        Ok(handed)
    }
}

/// Who decides a request from now on.
#[derive(Debug, Clone)]
pub struct HandOver {
    /// The workflow.
    pub workflow: WorkflowId,
    /// Its name.
    pub workflow_name: String,
    /// Distinct approvals needed.
    pub approvals_required: u32,
    /// Who may decide.
    pub approvers: Vec<UserId>,
    /// Who is asked too if they do not.
    pub escalate_to: Vec<UserId>,
    /// Approvers must say why.
    pub require_reason: bool,
    /// How long they have.
    pub window: Duration,
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
