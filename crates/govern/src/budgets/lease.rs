//! What this node holds of one window of a budget.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use preloop_store::{LeaseAsk, NoticeKind, Spent, Store, WindowKey};
use preloop_types::{AccountId, BudgetUnit, Timestamp, Window};
use uuid::Uuid;

use crate::Result;

/// One window of a budget as this node sees it. What is free here was leased from the database, so
/// that reserving it needs no look there.
pub(super) struct Lease {
    pub(super) account: AccountId,
    pub(super) key: WindowKey,
    pub(super) window: Window,
    pub(super) unit: BudgetUnit,
    state: Mutex<State>,
    /// One at a time asks the database.
    asking: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Default)]
struct State {
    /// Whether the database was asked at least once, so that this node has a row there.
    is_open: bool,
    /// The life that holds the lease.
    life: Uuid,
    /// The limit it was leased under.
    hard: Option<i64>,
    /// Leased and not reserved.
    free: i64,
    /// Reserved by calls whose outcome is not durable yet.
    reserved: i64,
    /// Calls among those.
    open: u32,
    /// Whether something was lost sight of: a write that failed may have been done.
    is_unsure: bool,
    /// What is consumed over all nodes, as far as this one knows.
    settled: i64,
    /// What other nodes held when the database was last asked.
    elsewhere: i64,
    /// The least that was refused, while nothing has been given back since.
    refused: Option<(i64, Timestamp)>,
    used_at: Option<Timestamp>,
    noted: [bool; 2],
}

/// Why a reservation could not be made from what is held.
pub(super) enum Short {
    /// The database has to be asked.
    Ask,
    /// It was asked a moment ago.
    Refused,
}

/// What is known of a window when a call is refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) settled: i64,
    /// Reserved by calls in flight on this node, or held by others.
    pub(super) held: i64,
    pub(super) elsewhere: i64,
}

/// How long a refusal of the database is believed.
const REFUSAL_HOLDS: std::time::Duration = std::time::Duration::from_millis(250);

impl Lease {
    pub(super) fn new(account: AccountId, key: WindowKey, window: Window, unit: BudgetUnit) -> Self {
        Self { account, key, window, unit, state: Mutex::default(), asking: Arc::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes `amount` out of what is free. `hard` is the limit as it is now.
    pub(super) fn reserve(&self, amount: i64, hard: Option<i64>, life: Uuid, now: Timestamp) -> Result<(), Short> {
        let mut state = self.state();
        state.used_at = Some(now);
        if state.life != life {
            // What another life held is not ours any more.
            *state = State { life, used_at: Some(now), noted: state.noted, ..State::default() };
        }
        if !state.is_open || state.hard != hard {
            return Err(Short::Ask);
        }
        if hard.is_some() && state.free < amount {
            let believed = |at: Timestamp| now < at + REFUSAL_HOLDS && at <= now;
            return match state.refused {
                Some((least, at)) if amount >= least && believed(at) => Err(Short::Refused),
                _ => Err(Short::Ask),
            };
        }
        if hard.is_some() {
            state.free -= amount;
            state.reserved = state.reserved.saturating_add(amount);
        }
        state.open += 1;
        Ok(())
    }

    /// For a call that consumed more than it reserved: takes what is free towards the rest.
    pub(super) fn cover(&self, rest: i64, life: Uuid) -> i64 {
        let mut state = self.state();
        if state.life != life {
            return 0;
        }
        let covered = rest.min(state.free).max(0);
        state.free -= covered;
        covered
    }

    /// A call is over and that is durable: `spent` was consumed, `unused` of `reserved` was not needed.
    pub(super) fn close(&self, life: Uuid, reserved: i64, unused: i64, spent: i64) {
        let mut state = self.state();
        if state.life != life {
            return;
        }
        state.open = state.open.saturating_sub(1);
        state.reserved -= reserved;
        state.free += unused;
        state.settled = state.settled.saturating_add(spent);
        if unused > 0 {
            state.refused = None;
        }
    }

    /// Asks the database for `need` under the limit `hard`, giving back what is free: what comes of it is
    /// added here even if the caller goes away. Whether something was granted.
    pub(super) async fn ask(self: &Arc<Self>, store: &Store, need: i64, hard: Option<i64>) -> Result<bool> {
        let guard = self.asking.clone().lock_owned().await;
        let (lease, store) = (self.clone(), store.clone());
        let asked = tokio::spawn(async move {
            let _guard = guard;
            lease.ask_alone(&store, need, hard).await
        });
        asked.await.map_err(|error| crate::Error::Store(error.to_string()))?
    }

    async fn ask_alone(&self, store: &Store, need: i64, hard: Option<i64>) -> Result<bool> {
        let (life, give_back, settled) = {
            let mut state = self.state();
            if need > 0 && state.is_open && state.hard == hard && state.free >= need {
                // Whoever asked before us brought enough.
                return Ok(true);
            }
            let settled = state.is_unsure && state.open == 0;
            (state.life, std::mem::take(&mut state.free), settled)
        };
        let ask = LeaseAsk { window: self.key, end: self.window.end, life, give_back, need, hard };
        let asked = store.write(self.account, move |tx| Box::pin(async move { tx.lease_budget(ask).await })).await;
        let mut state = self.state();
        if state.life != life {
            return Ok(false);
        }
        match asked {
            Ok(lease) => {
                state.is_open = true;
                state.hard = hard;
                // Where nothing is reserved, all that the database knows of is free.
                state.free = if settled { lease.spent.leased_here } else { state.free + lease.granted };
                state.is_unsure &= !settled;
                let Spent { settled, leased_elsewhere, .. } = lease.spent;
                (state.settled, state.elsewhere) = (settled, leased_elsewhere);
                let is_granted = need == 0 || lease.granted > 0;
                state.refused = (!is_granted).then_some((need, store.now()));
                Ok(is_granted)
            }
            Err(preloop_store::Error::Busy) => {
                state.free += give_back;
                Err(preloop_store::Error::Busy.into())
            }
            Err(error) => {
                // It may have been done all the same: then what was given back is not ours.
                state.is_unsure = true;
                Err(error.into())
            }
        }
    }

    /// Other nodes were asked to give back: what the database refused before is not believed any more.
    pub(super) fn expect_change(&self) {
        self.state().refused = None;
    }

    /// What is known of the window.
    pub(super) fn standing(&self) -> Standing {
        let state = self.state();
        Standing { settled: state.settled, held: state.reserved + state.elsewhere, elsewhere: state.elsewhere }
    }

    /// Learns how the window stands over all nodes.
    pub(super) fn learn(&self, settled: i64) {
        let mut state = self.state();
        state.settled = state.settled.max(settled);
    }

    /// Whether a limit counts as reached here for the first time; to be told to the database, which
    /// knows of all nodes.
    pub(super) fn notes(&self, kind: NoticeKind) -> bool {
        let noted = &mut self.state().noted[kind as usize];
        !std::mem::replace(noted, true)
    }

    /// It was not told after all.
    pub(super) fn forget_note(&self, kind: NoticeKind) {
        self.state().noted[kind as usize] = false;
    }

    /// Whether something is free that nobody used since `before`.
    pub(super) fn is_idle(&self, before: Timestamp) -> bool {
        let state = self.state();
        state.free > 0 && state.used_at.is_none_or(|at| at < before)
    }

    /// Whether nothing depends on it.
    pub(super) fn is_done(&self, before: Timestamp) -> bool {
        let state = self.state();
        state.free == 0 && state.open == 0 && !state.is_unsure && state.used_at.is_none_or(|at| at < before)
    }

    pub(super) fn has_free(&self) -> bool {
        self.state().free > 0
    }

    /// What calls under way have set aside.
    pub(super) fn reserved(&self) -> i64 {
        self.state().reserved
    }

    /// The limit it is leased under.
    pub(super) fn hard(&self) -> Option<i64> {
        self.state().hard
    }
}
