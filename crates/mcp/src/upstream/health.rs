use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicI64, AtomicU32, AtomicUsize, Ordering},
    },
    time::Duration,
};

use preloop_types::Timestamp;

use super::breaker::BreakerState;

/// How an upstream server is doing, for people.
#[derive(Debug, Clone)]
pub struct Health {
    /// What the circuit breaker lets through.
    pub breaker: BreakerState,
    /// Failures in a row.
    pub failures: u32,
    /// The last failure.
    pub last_error: Option<String>,
    /// When a request last succeeded.
    pub last_ok_at: Option<Timestamp>,
    /// Median duration of the last calls.
    pub p50: Option<Duration>,
    /// The protocol revisions spoken with it now.
    pub protocol_versions: Vec<&'static str>,
    /// Sessions it holds for us.
    pub sessions: usize,
    /// What its process last wrote to stderr.
    pub stderr: Option<String>,
}

const SAMPLES: usize = 64;

/// Durations of the last calls and the last ups and downs. Written on the hot path, without locks.
#[derive(Debug)]
pub(super) struct Pulse {
    micros: [AtomicU32; SAMPLES],
    next: AtomicUsize,
    last_ok: AtomicI64,
    last_error: Mutex<Option<String>>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            micros: [const { AtomicU32::new(0) }; SAMPLES],
            next: AtomicUsize::new(0),
            last_ok: AtomicI64::new(0),
            last_error: Mutex::new(None),
        }
    }
}

impl Pulse {
    pub(super) fn ok(&self, took: Duration, at: Timestamp) {
        let slot = self.next.fetch_add(1, Ordering::Relaxed) % SAMPLES;
        self.micros[slot].store(u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1), Ordering::Relaxed);
        self.last_ok.store(at.micros(), Ordering::Relaxed);
    }

    pub(super) fn error(&self, text: String) {
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
    }

    pub(super) fn p50(&self) -> Option<Duration> {
        let mut samples: Vec<u32> =
            self.micros.iter().map(|slot| slot.load(Ordering::Relaxed)).filter(|micros| *micros > 0).collect();
        samples.sort_unstable();
        samples.get(samples.len() / 2).map(|micros| Duration::from_micros(u64::from(*micros)))
    }

    pub(super) fn last_ok_at(&self) -> Option<Timestamp> {
        match self.last_ok.load(Ordering::Relaxed) {
            0 => None,
            micros => Some(Timestamp::from_micros(micros)),
        }
    }

    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
