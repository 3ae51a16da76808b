//! The ledger: what model calls consumed, and what of each budget is spent, held and left.
//!
//! It is derived from the journal: a record may carry a [`LedgerLine`], and what the lines of one group
//! commit add up to is written in the same transaction. There is no row for each call besides its
//! records. Rows that are written with records belong to one writer, so that nodes never wait for each
//! other; readers add them up.

mod batch;
mod repair;
mod shares;
mod usage;

use std::sync::Arc;

pub(crate) use batch::Batch;
use preloop_types::{BudgetId, NanoUsd, Timestamp, Tokens};
pub use repair::UsageCorrection;
pub(crate) use shares::PAST;
pub use shares::{BudgetWindow, Lease, LeaseAsk, NoticeKind, Spent};
pub use usage::{UsageBy, UsageFilter, UsageRow, UsageSums};
use uuid::Uuid;

/// More than any call consumes, in nano-dollars, tokens or requests. What is beyond is a mistake of
/// somebody else's, and must not make a sum overflow.
const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// What one record adds to the ledger.
#[derive(Debug, Clone, Default)]
pub struct LedgerLine {
    /// To the usage of the record's subject, in the hour of the record.
    pub usage: Option<Usage>,
    /// To budgets, out of this node's leases.
    pub settled: Vec<Settled>,
    /// For a call that is about to be sent: the life whose leases it reserves from.
    pub reserved_by: Option<Uuid>,
}

impl LedgerLine {
    /// Whether it adds nothing.
    pub fn is_empty(&self) -> bool {
        self.usage.is_none() && self.settled.is_empty()
    }
}

/// What one model call consumed.
#[derive(Debug, Clone)]
pub struct Usage {
    /// The model's alias; empty where there was none.
    pub model: Arc<str>,
    /// Who served it.
    pub provider: Arc<str>,
    /// How it ended or why it was refused, in one word.
    pub outcome: &'static str,
    /// What was counted.
    pub tokens: Tokens,
    /// What it cost; `None` without a price.
    pub cost: Option<NanoUsd>,
    /// Whether it should have had a price: refused calls need none.
    pub priced: bool,
}

/// What one call takes out of one window of a budget, in the budget's unit.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    /// Which life of this node reserved it: [`crate::Store::life`] at that time.
    pub life: Uuid,
    /// Which window.
    pub window: WindowKey,
    /// What was consumed.
    pub spent: i64,
    /// How much of the lease that uses up; never more than was reserved.
    pub released: i64,
}

/// One window of one budget, of one subject where the budget is of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WindowKey {
    /// The budget.
    pub budget: BudgetId,
    /// The subject, of a budget of each one; else nil.
    pub subject: Uuid,
    /// When the window began.
    pub start: Timestamp,
}
