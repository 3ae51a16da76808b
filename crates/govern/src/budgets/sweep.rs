//! What nobody uses goes back: windows that are over, and leases that lie idle.

use std::{sync::Arc, time::Duration};

use preloop_store::Store;
use preloop_types::AccountId;

use super::{Budgets, lease::Lease};
use crate::Governor;

/// On a shared database a lease nobody used for so long goes back to where other nodes can have it.
const IDLE_AFTER: Duration = Duration::from_secs(3);
/// A window nobody used for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

impl Budgets {
    /// Gives back what is not used, forgets what is over.
    pub(crate) fn sweep(&self, governor: &Governor) {
        let store = governor.store();
        let now = store.now();
        let before = |wait: Duration| {
            let wait = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
            preloop_types::Timestamp::from_micros(now.micros().saturating_sub(wait))
        };
        let mut back = Vec::new();
        for lease in &self.leases {
            let is_over = lease.window.end.is_some_and(|end| end <= now);
            let idle_after = if store.is_shared() { IDLE_AFTER } else { FORGOTTEN_AFTER };
            if (is_over && lease.has_free()) || lease.is_idle(before(idle_after)) {
                back.push(lease.clone());
            }
        }
        for lease in back {
            give_back(store.clone(), lease);
        }
        self.leases.retain(|_, lease| Arc::strong_count(lease) > 1 || !lease.is_done(before(FORGOTTEN_AFTER)));
    }

    /// Learns what other nodes spent, and whether that passes a soft limit.
    pub(crate) async fn look_around(&self, governor: &Governor) {
        let mut accounts: Vec<AccountId> = self.leases.iter().map(|lease| lease.account).collect();
        accounts.sort_unstable();
        accounts.dedup();
        for account in accounts {
            let windows = governor.store().account(account).budget_windows(None, governor.now()).await;
            let (windows, snapshot) = match (windows, governor.snapshot(account).await) {
                (Ok(windows), Ok(snapshot)) => (windows, snapshot),
                (Err(error), _) => {
                    tracing::warn!(%error, "cannot look at the budgets of an account");
                    continue;
                }
                (_, Err(error)) => {
                    tracing::warn!(%error, "cannot look at the budgets of an account");
                    continue;
                }
            };
            for window in windows {
                let Some(lease) = self.leases.get(&window.key).map(|lease| lease.clone()) else { continue };
                lease.learn(window.settled);
                if let Some(budget) = snapshot.budgets.iter().find(|budget| budget.id == window.key.budget) {
                    governor.note_soft(budget, &lease);
                }
            }
        }
    }
}

/// Beside everything else: a failure leaves the lease where it is, to be tried again.
pub(super) fn give_back(store: Store, lease: Arc<Lease>) {
    tokio::spawn(async move {
        let hard = lease.hard();
        if let Err(error) = lease.ask(&store, 0, hard).await {
            tracing::warn!(%error, "a lease on a budget could not be given back");
        }
    });
}
