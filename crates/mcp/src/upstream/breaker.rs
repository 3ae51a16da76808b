use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// Failures in a row that open the circuit.
const FAILURES_MAX: u32 = 5;
/// How long an open circuit refuses calls.
const OPEN_FOR: Duration = Duration::from_secs(30);

/// Leaves a failing server alone: after five failures in a row nothing is sent for 30 s, then one
/// call probes it.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: AtomicU32,
    opened: Mutex<Option<Instant>>,
    probing: AtomicBool,
}

/// What the breaker lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything.
    Closed,
    /// Nothing.
    Open,
    /// One call, to see.
    HalfOpen,
}

impl BreakerState {
    /// `closed`, `open` or `half_open`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

impl Breaker {
    /// Whether a call may go out now; otherwise how long to wait.
    pub(super) fn admit(&self, now: Instant) -> Result<(), Duration> {
        if self.failures.load(Ordering::Acquire) < FAILURES_MAX {
            return Ok(());
        }
        let left = self.opened_at().map_or(Duration::ZERO, |at| (at + OPEN_FOR).duration_since(now));
        if !left.is_zero() {
            return Err(left);
        }
        if self.probing.swap(true, Ordering::AcqRel) { Err(Duration::from_secs(1)) } else { Ok(()) }
    }

    pub(super) fn succeeded(&self) {
        if self.failures.load(Ordering::Acquire) != 0 {
            self.reset();
        }
    }

    pub(super) fn failed(&self, now: Instant) {
        if self.failures.fetch_add(1, Ordering::AcqRel) + 1 >= FAILURES_MAX {
            *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        }
        self.probing.store(false, Ordering::Release);
    }

    /// The call ended without saying anything about the server.
    pub(super) fn abandoned(&self) {
        self.probing.store(false, Ordering::Release);
    }

    /// Forgets what happened: a person wants it tried now.
    pub(super) fn reset(&self) {
        self.failures.store(0, Ordering::Release);
        self.probing.store(false, Ordering::Release);
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Acquire)
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        if self.failures() < FAILURES_MAX {
            BreakerState::Closed
        } else if self.opened_at().is_some_and(|at| now.duration_since(at) < OPEN_FOR) {
            BreakerState::Open
        } else {
            BreakerState::HalfOpen
        }
    }

    fn opened_at(&self) -> Option<Instant> {
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_five_failures_and_lets_one_call_probe() {
        let (breaker, mut now) = (Breaker::default(), Instant::now());
        for _ in 0..5 {
            assert_eq!(breaker.admit(now), Ok(()));
            breaker.failed(now);
        }
        assert_eq!(breaker.state(now), BreakerState::Open);
        assert_eq!(breaker.admit(now), Err(OPEN_FOR));

        now += OPEN_FOR;
        assert_eq!(breaker.state(now), BreakerState::HalfOpen);
        assert_eq!(breaker.admit(now), Ok(()));
        assert!(breaker.admit(now).is_err(), "only one probes");

        breaker.failed(now);
        assert!(breaker.admit(now).is_err(), "open again");
        now += OPEN_FOR;
        assert_eq!(breaker.admit(now), Ok(()));
        breaker.succeeded();
        assert_eq!(breaker.state(now), BreakerState::Closed);
        assert_eq!(breaker.admit(now), Ok(()));
    }
}
