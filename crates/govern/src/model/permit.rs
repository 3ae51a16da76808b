//! The proof that a model call was decided, reserved and recorded. Whoever reaches a provider holds one.

use std::{future::Future, sync::Arc, time::Duration, time::Instant};

use preloop_store::LedgerLine;
use preloop_types::{
    CostBound, CostSource, Exposure, Model, ModelCall, ModelOutcome, ModelStatus, NanoUsd, Principal, UsageSource,
};

use super::{
    Halt, ModelRefusal, Stops,
    admit::{allowed, unavailable},
    records,
};
use crate::{
    Governor,
    budgets::{Reservation, may_have_consumed},
    limits::Entered,
};

/// One model call that may be sent. Only this crate makes one, and only after the intent is durable and
/// what the call can consume is reserved. Dropped without [`ModelPermit::settle`], it is settled as
/// `unknown` at its bound.
#[must_use = "a permit is settled with the call's outcome"]
pub struct ModelPermit {
    granted: Option<Box<Granted>>,
}

pub(crate) struct Granted {
    pub(crate) governor: Governor,
    pub(crate) who: Arc<Principal>,
    pub(crate) call: ModelCall,
    pub(crate) reservation: Reservation,
    pub(crate) limits: Entered,
    pub(crate) stops: Stops,
    pub(crate) started: Instant,
    pub(crate) is_durable: bool,
    pub(crate) in_flight: Arc<()>,
}

impl ModelPermit {
    pub(crate) fn new(granted: Granted) -> Self {
        Self { granted: Some(Box::new(granted)) }
    }

    /// The call as it was decided; after [`ModelPermit::reroute`] with its new model.
    pub fn call(&self) -> &ModelCall {
        &self.granted().call
    }

    /// On whose behalf.
    pub fn principal(&self) -> &Arc<Principal> {
        &self.granted().who
    }

    /// The dollars that are set aside; `None` where no hard budget counts dollars. A stream that uses
    /// them up has to be cut.
    pub fn reserved(&self) -> Option<NanoUsd> {
        self.granted().reservation.dollars()
    }

    /// What the agent should know, as words for a header.
    pub fn warnings(&self) -> &[String] {
        &self.granted().reservation.warnings
    }

    /// Ends when the call has to stop: its session was ended, or the account's model traffic switched off.
    pub fn halted(&self) -> impl Future<Output = Halt> + Send + 'static + use<> {
        self.granted().stops.halted()
    }

    /// Whether it has to stop.
    pub fn is_halted(&self) -> bool {
        self.granted().stops.is_halted()
    }

    /// Sends the call to another model, after this one failed: allowed and reserved anew, and durable. What was
    /// reserved stays reserved until the call is settled, because the attempts before may have cost
    /// something. A refusal leaves the permit as it was, and is recorded by nobody: the call goes on.
    pub async fn reroute(
        &mut self,
        model: Arc<Model>,
        exposure: Option<Exposure>,
        bound: CostBound,
    ) -> Result<(), ModelRefusal> {
        let granted = self.granted();
        let (governor, who) = (granted.governor.clone(), granted.who.clone());
        let call = ModelCall { requested: model.alias.as_str().into(), model, exposure, bound, ..granted.call.clone() };
        let refused = |refused: super::Refused| refused.of(call.id);
        let snapshot = governor.snapshot(who.account).await.map_err(|error| refused(unavailable(&error)))?;
        allowed(&who, &call, &snapshot).map_err(refused)?;
        let budgets = &governor.inner().budgets;
        let reservation = budgets.reserve(&governor, &who, &call, &snapshot).await.map_err(refused)?;
        let entry = records::rerouted(&who, &call, &reservation);
        let line = LedgerLine { reserved_by: reservation.life(), ..LedgerLine::default() };
        let requested = granted.call.requested.clone();
        // Held from before it is on its way: were this dropped, the permit would settle both.
        let Some(granted) = &mut self.granted else { return Ok(()) };
        granted.reservation.join(reservation);
        match governor.store().append_with(entry, line).await {
            Ok(_) => {
                granted.call = ModelCall { requested, ..call };
                let (who, call) = (&granted.who, &granted.call);
                governor.inner().observe(|observer| observer.model_rerouted(who, call));
                Ok(())
            }
            Err(error) => Err(unavailable(&error.into()).of(granted.call.id)),
        }
    }

    /// Records how the call ended and settles what it reserved. Returns at once: the intent is durable,
    /// so nothing is lost if the process ends before the outcome is.
    pub fn settle(mut self, outcome: ModelOutcome) {
        if let Some(granted) = self.granted.take() {
            granted.settle(outcome);
        }
    }

    pub(crate) fn is_durable(&mut self) {
        if let Some(granted) = &mut self.granted {
            granted.is_durable = true;
        }
    }

    /// The intent was not written, or perhaps it was: then it needs an outcome.
    pub(crate) fn never_sent(mut self, error: &preloop_store::Error) {
        if matches!(error, preloop_store::Error::Busy | preloop_store::Error::Invalid(_)) {
            // It was never on its way.
            drop(self.granted.take());
        }
    }

    #[expect(clippy::expect_used, reason = "only `settle` and `drop` empty a permit, and both consume it")]
    pub(crate) fn granted(&self) -> &Granted {
        self.granted.as_ref().expect("a permit is full until it is consumed")
    }
}

impl Drop for ModelPermit {
    fn drop(&mut self) {
        let Some(granted) = self.granted.take() else { return };
        let status = if granted.is_durable { ModelStatus::Unknown } else { ModelStatus::NotSent };
        granted.settle(ModelOutcome {
            error: Some("the call was given up before its outcome was known".to_owned()),
            ..ModelOutcome::of(status)
        });
    }
}

/// Longest wait between two tries to record an outcome.
const RETRY_MAX: Duration = Duration::from_secs(5);

impl Granted {
    fn settle(self, outcome: ModelOutcome) {
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(self.record(outcome))),
            // The process is ending; the intent without an outcome says `unknown` by itself.
            Err(_) => std::mem::forget(self.reservation),
        }
    }

    async fn record(self, mut outcome: ModelOutcome) {
        let Granted { governor, who, call, reservation, limits, started, in_flight, .. } = self;
        fill_in(&call, &mut outcome);
        limits.leave(outcome.tokens.as_ref(), governor.now());
        let took = started.elapsed();
        governor.inner().observe(|observer| observer.model_settled(&who, &call, &outcome, took));
        let duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let settled = reservation.settle(&call, &outcome);
        let usage = records::usage(&call, &outcome);
        let mut wait = Duration::from_millis(20);
        let unwritten = governor.inner().unwritten.clone();
        unwritten.begin(call.id);
        loop {
            let entry = records::outcome(&who, &call, &outcome, duration_us);
            let line = LedgerLine { usage: Some(usage.clone()), settled: settled.clone(), reserved_by: None };
            let recorded = match governor.store().append_later_with(entry, line).await {
                Ok(durable) => durable.await.unwrap_or(Err(preloop_store::Error::Closed)),
                Err(error) => Err(error),
            };
            match recorded {
                Ok(_) => break,
                Err(preloop_store::Error::Closed) => {
                    unwritten.end(call.id);
                    tracing::warn!(call = %call.id, "the store closed before an outcome was recorded");
                    // Nothing is given back that the next life will settle.
                    return std::mem::forget(reservation);
                }
                Err(error) => {
                    tracing::error!(call = %call.id, %error, "the outcome of a model call could not be recorded yet");
                    tokio::time::sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
        unwritten.end(call.id);
        reservation.close(&governor, &settled);
        drop(in_flight);
        if let Some(session) = call.session {
            governor.store().touch_runtime_session(who.account, session);
        }
    }
}

/// Where nobody knows what the call consumed, it is what it was bound to.
fn fill_in(call: &ModelCall, outcome: &mut ModelOutcome) {
    if outcome.cost.is_some() {
        return;
    }
    if !may_have_consumed(outcome.status) {
        if outcome.tokens.is_none() && call.bound != CostBound::Unpriced {
            outcome.cost = Some(NanoUsd::ZERO);
        }
        return;
    }
    match call.bound {
        CostBound::AtMost(bound) => {
            outcome.cost = Some(bound);
            outcome.cost_source = Some(CostSource::Bound);
            outcome.usage_source.get_or_insert(UsageSource::Bound);
        }
        CostBound::Unpriced | CostBound::Unbounded => {
            outcome.cost_source.get_or_insert(CostSource::Unpriced);
        }
    }
}
