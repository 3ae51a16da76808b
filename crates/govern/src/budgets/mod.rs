//! Budgets: what a call may consume is reserved before it is sent, and settled with its outcome.
//!
//! The truth is in the database. This node holds leases on slices of windows and reserves from them in
//! memory; what it reserved is part of the call's durable intent, so that it is settled even if this
//! node dies. A slice is leased by one conditional update, so the sum of what is settled, reserved and
//! leased never passes a hard limit, on any number of nodes. A reservation is free again only when the
//! outcome of its call is durable: at no point does the database hold less than what may be owed.

mod lease;
mod notices;
mod refusal;
mod sweep;

use std::{sync::Arc, time::Duration};

use dashmap::DashMap;
use lease::{Lease, Short};
use preloop_store::{Event, Settled, WindowKey};
use preloop_types::{
    AccountId, Budget, BudgetId, BudgetUnit, CostBound, ModelCall, ModelOutcome, ModelStatus, NanoUsd, Principal,
    Reserved, Timestamp, UsageSource, Window, config::OnUnpriced,
};
use uuid::Uuid;

use crate::{Error, Governor, ModelRefusalKind, Snapshot, model::Refused};

/// How long a call waits for other nodes to give back what they do not use.
const PATIENCE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(40);

/// The windows this node has something to do with.
#[derive(Default)]
pub(crate) struct Budgets {
    leases: DashMap<WindowKey, Arc<Lease>>,
}

/// What one call holds of one window.
pub(crate) struct Held {
    lease: Arc<Lease>,
    budget: Arc<Budget>,
    life: Uuid,
    /// The most the call can consume.
    amount: i64,
    /// How much of that is out of the lease: nothing where no hard limit holds.
    reserved: i64,
}

/// What one call holds of all of them. Dropped, it is given back: only for calls whose intent was never
/// on its way.
#[derive(Default)]
pub(crate) struct Reservation {
    held: Vec<Held>,
    /// What no budget could count.
    pub(crate) warnings: Vec<String>,
}

impl Reservation {
    /// As the intent says it.
    pub(crate) fn reserved(&self) -> Vec<Reserved> {
        let reserved = |held: &Held| {
            let WindowKey { budget, subject, start } = held.lease.key;
            Reserved { budget, subject, window: start.micros(), amount: held.amount }
        };
        self.held.iter().map(reserved).collect()
    }

    /// The life it was reserved under.
    pub(crate) fn life(&self) -> Option<Uuid> {
        self.held.first().map(|held| held.life)
    }

    /// The most dollars that are reserved, over all budgets that count them.
    pub(crate) fn dollars(&self) -> Option<NanoUsd> {
        let dollars = self.held.iter().filter(|held| held.budget.unit == BudgetUnit::Usd && held.budget.hard.is_some());
        dollars.map(|held| NanoUsd(held.amount)).max()
    }

    /// Adds what the same call reserves for another model.
    pub(crate) fn join(&mut self, mut other: Reservation) {
        self.held.append(&mut other.held);
        self.warnings.append(&mut other.warnings);
    }

    /// What the outcome takes out of each window.
    pub(crate) fn settle(&self, call: &ModelCall, outcome: &ModelOutcome) -> Vec<Settled> {
        let mut left = Vec::with_capacity(self.held.len());
        for (at, held) in self.held.iter().enumerate() {
            // A call that was sent to another model may hold two reservations of one window.
            let is_second = self.held[..at].iter().any(|earlier| earlier.lease.key == held.lease.key);
            let counts = held.budget.model.as_ref().is_none_or(|pattern| pattern.matches(&call.model));
            let spent = if is_second || !counts { 0 } else { held.spent(outcome) };
            let same_window = self.held.iter().filter(|other| other.lease.key == held.lease.key);
            let together: i64 = same_window.map(|held| held.reserved).sum();
            let covered = if spent > together && together > 0 {
                tracing::error!(call = %call.id, budget = %held.budget.id, spent, reserved = together,
                    "a call consumed more than its bound");
                held.lease.cover(spent - together, held.life)
            } else {
                0
            };
            let released = spent.min(together) + covered;
            left.push(Settled { life: held.life, window: held.lease.key, spent, released });
        }
        left
    }

    /// The outcome is durable: what was not needed is free again.
    pub(crate) fn close(mut self, governor: &Governor, settled: &[Settled]) {
        let held = std::mem::take(&mut self.held);
        let mut used: Vec<(WindowKey, i64)> = settled.iter().map(|line| (line.window, line.released)).collect();
        for (held, line) in held.into_iter().zip(settled) {
            let used = used.iter_mut().find(|(window, released)| *window == held.lease.key && *released > 0);
            let used = used.map_or(0, |(_, released)| {
                let part = held.reserved.min(*released);
                *released -= part;
                part
            });
            held.lease.close(held.life, held.reserved, held.reserved - used, line.spent);
            governor.note_soft(&held.budget, &held.lease);
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        for held in self.held.drain(..) {
            held.lease.close(held.life, held.reserved, held.reserved, 0);
        }
    }
}

impl Held {
    /// What the outcome consumed, in the budget's unit. Where nobody knows, what was reserved.
    fn spent(&self, outcome: &ModelOutcome) -> i64 {
        let unknown = || if may_have_consumed(outcome.status) { self.amount } else { 0 };
        match self.budget.unit {
            BudgetUnit::Usd => outcome.cost.map_or_else(unknown, |cost| cost.0),
            // A part of an answer is not what the provider counts of it: a hard limit books the most it can be.
            BudgetUnit::Tokens if self.budget.hard.is_some() && outcome.usage_source == Some(UsageSource::Partial) => {
                unknown()
            }
            BudgetUnit::Tokens => {
                outcome.tokens.map_or_else(unknown, |tokens| i64::try_from(tokens.total()).unwrap_or(i64::MAX))
            }
            BudgetUnit::Requests => i64::from(outcome.status != ModelStatus::NotSent),
        }
    }
}

/// Whether a provider may have charged for a call that ended like this without saying what. Of a request
/// that it refused outright the outcome itself says that it cost nothing.
pub(crate) const fn may_have_consumed(status: ModelStatus) -> bool {
    match status {
        ModelStatus::Succeeded
        | ModelStatus::UpstreamError
        | ModelStatus::UpstreamTimeout
        | ModelStatus::GuardrailBlocked
        | ModelStatus::Disconnected
        | ModelStatus::Truncated
        | ModelStatus::BudgetCut
        | ModelStatus::Unknown => true,
        ModelStatus::UpstreamRateLimited | ModelStatus::ConfigError | ModelStatus::CacheHit | ModelStatus::NotSent => {
            false
        }
    }
}

impl Budgets {
    /// Reserves what `call` can consume at most from every budget that counts it.
    pub(crate) async fn reserve(
        &self,
        governor: &Governor,
        who: &Principal,
        call: &ModelCall,
        snapshot: &Snapshot,
    ) -> Result<Reservation, Refused> {
        let mut reservation = Reservation::default();
        let now = governor.now();
        let mut short: Option<Refused> = None;
        for budget in &snapshot.budgets {
            let is_member = |team| snapshot.teams.get(&team).is_some_and(|team| team.members.contains(&who.user));
            let Some(subject) = budget.counts(who, call.session, &call.model, is_member) else { continue };
            let amount = amount_of(budget, call, snapshot, &mut reservation)?;
            let window = budget.period.window(now);
            let key = WindowKey { budget: budget.id, subject, start: window.start };
            let lease = self.lease(who.account, key, window, budget.unit);
            if let Some(life) = reserve_one(governor, budget, &lease, amount, now).await? {
                let reserved = if budget.hard.is_some() { amount } else { 0 };
                reservation.held.push(Held { lease, budget: budget.clone(), life, amount, reserved });
                continue;
            }
            governor.note_hard(budget, &lease);
            let refused = refusal::exceeded(budget, &lease, amount, now);
            // Of several, the one that takes longest to come free; never, where there is no wait.
            let is_tighter = |other: &Refused| {
                refused.retry_after.is_none()
                    || (other.retry_after.is_some() && refused.retry_after > other.retry_after)
            };
            if short.as_ref().is_none_or(is_tighter) {
                short = Some(refused);
            }
        }
        short.map_or(Ok(reservation), Err)
    }

    /// The map is not held while its entry is used.
    fn lease(&self, account: AccountId, key: WindowKey, window: Window, unit: BudgetUnit) -> Arc<Lease> {
        if let Some(lease) = self.leases.get(&key) {
            return lease.clone();
        }
        self.leases.entry(key).or_insert_with(|| Arc::new(Lease::new(account, key, window, unit))).clone()
    }

    /// What is set aside in dollars, over all windows.
    pub(crate) fn reserved_dollars(&self) -> NanoUsd {
        let dollars = self.leases.iter().filter(|lease| lease.unit == BudgetUnit::Usd);
        NanoUsd(dollars.map(|lease| lease.reserved()).sum())
    }

    /// Gives back what is free of a budget's windows: another node has a use for it, or their sums changed.
    pub(crate) fn give_back(&self, governor: &Governor, account: AccountId, budget: BudgetId) {
        let leases = self.leases.iter();
        let leases = leases.filter(|lease| lease.account == account && lease.key.budget == budget);
        for lease in leases.map(|lease| lease.clone()).collect::<Vec<_>>() {
            // Others spend what is given back, and a repaired price moves what was spent.
            lease.expect_change();
            if lease.has_free() {
                sweep::give_back(governor.store().clone(), lease);
            }
        }
    }
}

/// What `budget` has to set aside for a call.
fn amount_of(
    budget: &Budget,
    call: &ModelCall,
    snapshot: &Snapshot,
    reservation: &mut Reservation,
) -> Result<i64, Refused> {
    let tokens = || call.exposure.map(|most| most.input_tokens.saturating_add(most.output_tokens));
    match budget.unit {
        BudgetUnit::Requests => Ok(1),
        BudgetUnit::Tokens => match tokens() {
            Some(tokens) => Ok(i64::try_from(tokens).unwrap_or(i64::MAX)),
            None if budget.hard.is_none() => Ok(0),
            None => Err(refusal::unbounded(budget)),
        },
        BudgetUnit::Usd => match call.bound {
            CostBound::AtMost(bound) => Ok(bound.0),
            CostBound::Unbounded if budget.hard.is_none() => Ok(0),
            CostBound::Unbounded => Err(refusal::unbounded(budget)),
            CostBound::Unpriced if budget.hard.is_some() && snapshot.model_settings.on_unpriced == OnUnpriced::Deny => {
                Err(refusal::unpriced(budget, call))
            }
            CostBound::Unpriced => {
                reservation.warnings.push("budget_pricing_unavailable".to_owned());
                // Counted at nothing, and known to the window: a price that is found later can be booked there.
                Ok(0)
            }
        },
    }
}

/// The life it was reserved under; `None` if too little is left.
async fn reserve_one(
    governor: &Governor,
    budget: &Budget,
    lease: &Arc<Lease>,
    amount: i64,
    now: Timestamp,
) -> Result<Option<Uuid>, Refused> {
    let store = governor.store();
    let mut waited = Duration::ZERO;
    loop {
        let life = store.life();
        match lease.reserve(amount, budget.hard, life, now) {
            Ok(()) => return Ok(Some(life)),
            Err(Short::Refused) => return Ok(None),
            Err(Short::Ask) => {}
        }
        let need = if budget.hard.is_some() { amount } else { 0 };
        if lease.ask(store, need, budget.hard).await.map_err(|error| unavailable(&error))? {
            continue;
        }
        // Others may hold what they do not use, or have died with it.
        if lease.standing().elsewhere == 0 || waited >= PATIENCE {
            return Ok(None);
        }
        if waited.is_zero() {
            let wanted = Event::BudgetWanted { account: lease.account, id: budget.id };
            let tell = store.write(lease.account, move |tx| {
                Box::pin(async move {
                    tx.emit(wanted);
                    Ok(())
                })
            });
            tell.await.map_err(|error| unavailable(&error.into()))?;
        }
        tokio::time::sleep(POLL).await;
        waited += POLL;
        lease.expect_change();
    }
}

fn unavailable(error: &Error) -> Refused {
    tracing::error!(%error, "a model call was refused because its budgets cannot be read");
    Refused::new(
        ModelRefusalKind::Unavailable,
        format!("Preloop cannot reserve what this call may cost now, so it was not sent: {error}"),
    )
}
