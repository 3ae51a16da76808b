//! Models that fail again and again are left alone for a while, so that agents get their answer, or
//! their error, at once.

use std::time::{Duration, Instant};

use dashmap::DashMap;
use preloop_types::ModelId;

use crate::providers::{Class, Fault};

/// Failures in a row after which a model is left alone.
const FAILURES_MAX: u32 = 5;
/// For how long; then one call tries it.
const PAUSE: Duration = Duration::from_secs(10);

/// How models fared lately.
#[derive(Default)]
pub(crate) struct Breakers(DashMap<ModelId, Breaker>);

struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breakers {
    /// Whether a call may try `model` now; if not, how long that lasts.
    pub(super) fn check(&self, model: ModelId) -> Result<(), Duration> {
        let Some(mut breaker) = self.0.get_mut(&model) else { return Ok(()) };
        let now = Instant::now();
        match breaker.open_until {
            Some(until) if now < until => Err(until - now),
            Some(_) => {
                // The next ones wait for how this one fares.
                breaker.open_until = Some(now + PAUSE);
                Ok(())
            }
            None => Ok(()),
        }
    }

    pub(super) fn succeeded(&self, model: ModelId) {
        // Most calls find nothing here, and take no lock that others want.
        if self.0.contains_key(&model) {
            self.0.remove(&model);
        }
    }

    pub(super) fn failed(&self, model: ModelId, fault: &Fault) {
        if !matches!(fault.class, Class::ServerError | Class::Timeout | Class::Protocol | Class::Overloaded) {
            return;
        }
        let mut breaker = self.0.entry(model).or_insert(Breaker { failures: 0, open_until: None });
        breaker.failures += 1;
        if breaker.failures >= FAILURES_MAX {
            breaker.open_until = Some(Instant::now() + PAUSE);
        }
    }
}
