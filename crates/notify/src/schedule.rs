//! When a delivery that failed is tried again.

use std::time::Duration;

/// Waits before the second to the sixth attempt; after the sixth a delivery is given up.
const WAITS: [Duration; 5] = [
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_mins(40),
];

/// How long to wait after `attempt` (from 1) failed; `None` when it was the last. `chance` (0 to 1)
/// spreads the waits by a fifth either way, so that deliveries that failed together part.
pub(crate) fn wait_after(attempt: u32, chance: f64) -> Option<Duration> {
    let wait = WAITS.get(usize::try_from(attempt).ok()?.checked_sub(1)?)?;
    Some(wait.mul_f64(0.8 + 0.4 * chance.clamp(0.0, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_attempts_ever_further_apart() {
        let waits: Vec<u64> = (1..).map_while(|attempt| wait_after(attempt, 0.5)).map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [10, 60, 300, 900, 2400]);
        assert_eq!(wait_after(1, 0.0), Some(Duration::from_secs(8)));
        assert_eq!(wait_after(1, 1.0), Some(Duration::from_secs(12)));
    }
}
