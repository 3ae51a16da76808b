//! Windows of budgets: leases out of them, what is spent, which limits were reached.

use std::time::Duration;

use preloop_types::{BudgetId, Hash, Timestamp};
use uuid::Uuid;

use super::{AMOUNT_MAX, WindowKey};
use crate::{
    Error, Result, Store, Tx, View,
    db::{Conn, at, execute, fetch_all, fetch_optional, row},
};

/// What lives that are over have consumed is kept under this one.
pub(crate) const PAST: Uuid = Uuid::nil();
/// How long windows are kept after their end.
const KEPT: Duration = Duration::from_hours(400 * 24);

/// What a node wants of a window.
#[derive(Debug, Clone, Copy)]
pub struct LeaseAsk {
    /// Which window.
    pub window: WindowKey,
    /// When it ends.
    pub end: Option<Timestamp>,
    /// For which life of this node.
    pub life: Uuid,
    /// What is given back first, of what this life holds.
    pub give_back: i64,
    /// What it needs at least; zero to only look and give back.
    pub need: i64,
    /// What must not be passed; `None` only counts.
    pub hard: Option<i64>,
}

/// What a node got, and how the window stands now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lease {
    /// At least what was needed, or nothing.
    pub granted: i64,
    /// How the window stands with that.
    pub spent: Spent,
}

/// How a window stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spent {
    /// Consumed, over all nodes.
    pub settled: i64,
    /// Held by this node.
    pub leased_here: i64,
    /// Held by other nodes and by lives that are over but not settled.
    pub leased_elsewhere: i64,
}

/// One window of a budget, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetWindow {
    /// Which.
    pub key: WindowKey,
    /// When it ends.
    pub end: Option<Timestamp>,
    /// Consumed.
    pub settled: i64,
    /// Reserved for calls in flight, or held by nodes for calls to come.
    pub leased: i64,
}

/// A limit that was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// More than the soft limit is spent.
    Soft,
    /// A call was refused because of the hard limit.
    Hard,
}

impl NoticeKind {
    /// The spelling in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            NoticeKind::Soft => "soft",
            NoticeKind::Hard => "hard",
        }
    }
}

row! {
    struct WindowRow {
        budget_id: Uuid, subject_id: Uuid, window_start: i64, window_end: Option<i64>, settled: i64, leased: i64,
    }
}

impl Tx<'_> {
    /// Leases a slice of a window: one conditional update, so that what is settled and leased on all
    /// nodes never passes the hard limit. It grants more than is needed where much is left, less and less
    /// towards the limit.
    pub async fn lease_budget(&mut self, ask: LeaseAsk) -> Result<Lease> {
        let LeaseAsk { window, life, give_back, need, hard, .. } = ask;
        // Settling only ever lessens the sum, so it needs no lock; whoever adds to it waits here.
        self.lock_window(window).await?;
        self.open_share(&ask).await?;
        let spent = self.budget_spent(window, life).await?;
        let give_back = give_back.min(spent.leased_here).max(0);
        let left = hard.map_or(0, |hard| {
            hard.saturating_sub(spent.settled)
                .saturating_sub(spent.leased_here)
                .saturating_sub(spent.leased_elsewhere)
                .saturating_add(give_back)
        });
        let share = if matches!(self.conn, Conn::Sqlite(_)) { 2 } else { 8 };
        let granted = if need > 0 && need <= left { need.max(left / share) } else { 0 };
        if granted == give_back {
            return Ok(Lease { granted, spent });
        }
        let sql = "UPDATE budget_shares SET leased = leased + $5 \
                   WHERE budget_id = $1 AND subject_id = $2 AND window_start = $3 AND life = $4 \
                   AND ($5 <= 0 OR (SELECT CAST(SUM(settled + leased) AS BIGINT) FROM budget_shares \
                   WHERE budget_id = $1 AND subject_id = $2 AND window_start = $3) + $5 <= $6)";
        let (budget, subject, start) = (window.budget.0, window.subject, window.start.micros());
        let change = granted - give_back;
        let done = execute!(self.conn, sql, budget, subject, start, life, change, hard.unwrap_or(i64::MAX))?;
        if done == 0 {
            return Err(Error::Busy);
        }
        Ok(Lease { granted, spent: Spent { leased_here: spent.leased_here + change, ..spent } })
    }

    /// How a window stands, as `life` sees it.
    pub async fn budget_spent(&mut self, window: WindowKey, life: Uuid) -> Result<Spent> {
        let sql = "SELECT CAST(COALESCE(SUM(settled), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(CASE WHEN life = $4 THEN leased ELSE 0 END), 0) AS BIGINT), \
                   CAST(COALESCE(SUM(CASE WHEN life = $4 THEN 0 ELSE leased END), 0) AS BIGINT) FROM budget_shares \
                   WHERE budget_id = $1 AND subject_id = $2 AND window_start = $3";
        let (budget, subject, start) = (window.budget.0, window.subject, window.start.micros());
        let sums = fetch_optional!(self.conn, (i64, i64, i64), sql, budget, subject, start, life)?;
        let (settled, leased_here, leased_elsewhere) = sums.unwrap_or_default();
        Ok(Spent { settled, leased_here, leased_elsewhere })
    }

    /// Notes that a limit was reached; false if that was noted in this window before.
    pub async fn note_budget(&mut self, window: WindowKey, end: Option<Timestamp>, kind: NoticeKind) -> Result<bool> {
        let sql = "INSERT INTO budget_notices (budget_id, subject_id, window_start, kind, account_id, window_end, at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
        let (account, now) = (self.account().0, self.now().micros());
        let (budget, subject, start) = (window.budget.0, window.subject, window.start.micros());
        let end = end.map(Timestamp::micros);
        Ok(execute!(self.conn, sql, budget, subject, start, kind.as_str(), account, end, now)? > 0)
    }

    /// Adds what calls of a life that is over may have consumed.
    pub(crate) async fn settle_past(&mut self, window: WindowKey, spent: i64) -> Result<()> {
        let sql = "INSERT INTO budget_shares \
                   (budget_id, subject_id, window_start, life, account_id, writer_id, window_end, settled, leased) \
                   SELECT $1, $2, $3, $4, $5, $4, (SELECT MAX(window_end) FROM budget_shares \
                   WHERE budget_id = $1 AND subject_id = $2 AND window_start = $3), $6, 0 WHERE TRUE \
                   ON CONFLICT (budget_id, subject_id, window_start, life) \
                   DO UPDATE SET settled = budget_shares.settled + excluded.settled";
        let (budget, subject, start) = (window.budget.0, window.subject, window.start.micros());
        let account = self.account().0;
        execute!(self.conn, sql, budget, subject, start, PAST, account, spent.clamp(0, AMOUNT_MAX))?;
        Ok(())
    }

    async fn open_share(&mut self, ask: &LeaseAsk) -> Result<()> {
        let LeaseAsk { window, end, life, .. } = ask;
        // Only of a life that is not over: its calls in flight were settled at their bound.
        let sql = "INSERT INTO budget_shares \
                   (budget_id, subject_id, window_start, life, account_id, writer_id, window_end, settled, leased) \
                   SELECT $1, $2, $3, $4, $5, writer_id, $6, 0, 0 FROM lives WHERE id = $4 \
                   ON CONFLICT (budget_id, subject_id, window_start, life) DO NOTHING";
        let account = self.account().0;
        let (budget, subject, start) = (window.budget.0, window.subject, window.start.micros());
        execute!(self.conn, sql, budget, subject, start, *life, account, end.map(Timestamp::micros))?;
        Ok(())
    }

    /// One at a time changes what is leased of a window. SQLite has one writer anyway.
    pub(super) async fn lock_window(&mut self, window: WindowKey) -> Result<()> {
        if let Conn::Pg(_) = self.conn {
            let WindowKey { budget, subject, start } = window;
            let mut bytes = [0; 40];
            bytes[..16].copy_from_slice(budget.0.as_bytes());
            bytes[16..32].copy_from_slice(subject.as_bytes());
            bytes[32..].copy_from_slice(&start.micros().to_be_bytes());
            self.lock(&bytes).await?;
        }
        Ok(())
    }

    /// Held until the end of the transaction. Two names may share a lock; that costs only time.
    pub(super) async fn lock(&mut self, name: &[u8]) -> Result<()> {
        if let Conn::Sqlite(_) = self.conn {
            return Ok(());
        }
        let key = i64::from_be_bytes(Hash::of(name).0[..8].try_into().unwrap_or_default());
        fetch_optional!(self.conn, (String,), "SELECT pg_advisory_xact_lock($1)::text", key)?;
        Ok(())
    }
}

impl View<'_> {
    /// Windows of budgets that are not over at `now`; of one budget, or all.
    pub async fn budget_windows(&mut self, budget: Option<BudgetId>, now: Timestamp) -> Result<Vec<BudgetWindow>> {
        let sql = "SELECT budget_id, subject_id, window_start, MAX(window_end) AS window_end, \
                   CAST(SUM(settled) AS BIGINT) AS settled, CAST(SUM(leased) AS BIGINT) AS leased FROM budget_shares \
                   WHERE account_id = $1 AND (window_end IS NULL OR window_end > $2) \
                   AND (budget_id = $3 OR $4) \
                   GROUP BY budget_id, subject_id, window_start ORDER BY budget_id, subject_id, window_start";
        let (account, only, all) = (self.account().0, budget.unwrap_or(BudgetId(PAST)).0, budget.is_none());
        let rows = fetch_all!(self.conn, WindowRow, sql, account, now.micros(), only, all)?;
        let window = |row: WindowRow| BudgetWindow {
            key: WindowKey { budget: BudgetId(row.budget_id), subject: row.subject_id, start: at(row.window_start) },
            end: row.window_end.map(at),
            settled: row.settled,
            leased: row.leased,
        };
        Ok(rows.into_iter().map(window).collect())
    }
}

impl Store {
    /// Lets go of windows that ended long ago.
    pub(crate) async fn prune_windows(&self) -> Result<()> {
        let kept = i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX);
        let before = self.now().micros().saturating_sub(kept);
        self.write_any(move |tx| {
            Box::pin(async move {
                execute!(tx.conn, "DELETE FROM budget_shares WHERE window_end < $1 AND leased = 0", before)?;
                execute!(tx.conn, "DELETE FROM budget_notices WHERE window_end < $1", before)?;
                Ok(())
            })
        })
        .await
    }
}

impl Tx<'_> {
    /// Gives back what a life that is over holds, and adds what it consumed to that of all such lives.
    pub(crate) async fn bury(&mut self, life: Uuid) -> Result<()> {
        if let Conn::Pg(_) = self.conn {
            self.lock(life.as_bytes()).await?;
        }
        let sql = "INSERT INTO budget_shares \
                   (budget_id, subject_id, window_start, life, account_id, writer_id, window_end, settled, leased) \
                   SELECT budget_id, subject_id, window_start, $2, account_id, $2, window_end, settled, 0 \
                   FROM budget_shares WHERE life = $1 \
                   ON CONFLICT (budget_id, subject_id, window_start, life) \
                   DO UPDATE SET settled = budget_shares.settled + excluded.settled";
        execute!(self.conn, sql, life, PAST)?;
        execute!(self.conn, "DELETE FROM budget_shares WHERE life = $1", life)?;
        Ok(())
    }
}
