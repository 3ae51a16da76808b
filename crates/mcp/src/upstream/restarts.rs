use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

use super::UpstreamError;

const STARTS_MAX: usize = 5;
const WINDOW: Duration = Duration::from_mins(10);

/// Keeps a process that ends again and again from being started again and again: at most five
/// starts in ten minutes, each waiting twice as long as the one before.
#[derive(Debug, Default)]
pub(super) struct Restarts(Mutex<VecDeque<Instant>>);

impl Restarts {
    /// Notes a start, or says why not now.
    pub(super) fn admit(&self, now: Instant) -> Result<(), UpstreamError> {
        let mut starts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while starts.front().is_some_and(|start| now.duration_since(*start) > WINDOW) {
            starts.pop_front();
        }
        if starts.len() >= STARTS_MAX {
            return Err(UpstreamError::Connect(format!(
                "the process was started {STARTS_MAX} times in 10 minutes: see its stderr, then scan the server again"
            )));
        }
        // The first two starts are free: a process may be restarted once without anyone waiting.
        let pause = match u32::try_from(starts.len()).unwrap_or(u32::MAX) {
            0 | 1 => Duration::ZERO,
            starts => Duration::from_secs(1 << (starts - 2)),
        };
        if let Some(last) = starts.back()
            && now.duration_since(*last) < pause
        {
            return Err(UpstreamError::CircuitOpen(pause.saturating_sub(now.duration_since(*last))));
        }
        starts.push_back(now);
        Ok(())
    }

    /// A person wants it tried now.
    pub(super) fn reset(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_are_spaced_and_counted() {
        let (restarts, mut now) = (Restarts::default(), Instant::now());
        assert!(restarts.admit(now).is_ok());
        assert!(restarts.admit(now).is_ok());
        assert!(matches!(restarts.admit(now), Err(UpstreamError::CircuitOpen(_))));
        for _ in 0..3 {
            now += Duration::from_secs(8);
            assert!(restarts.admit(now).is_ok());
        }
        now += Duration::from_mins(1);
        assert!(matches!(restarts.admit(now), Err(UpstreamError::Connect(_))));
        restarts.reset();
        assert!(restarts.admit(now).is_ok());
    }
}
