//! Slows down guessing of credentials.

use std::{
    collections::{HashMap, HashSet},
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use preloop_types::{Hash, Timestamp};

/// Wrong credentials tried lately, per address. What counts is how many *different* ones: a client
/// that repeats one stale key is misconfigured, not guessing.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<HashMap<IpAddr, Guesses>>);

#[derive(Debug)]
struct Guesses {
    since: Timestamp,
    wrong: HashSet<Hash>,
}

const WINDOW: Duration = Duration::from_mins(1);
const GUESSES_MAX: usize = 100;
/// Bounds the memory an attacker with many addresses can take.
const ADDRESSES_MAX: usize = 10_000;

impl Throttle {
    /// Refuses an address that guessed too often; says for how many seconds.
    pub(crate) fn check(&self, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        let addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match addresses.get(&address) {
            Some(guesses) if guesses.wrong.len() >= GUESSES_MAX => {
                let left = WINDOW.saturating_sub(now.since(guesses.since));
                if left.is_zero() { Ok(()) } else { Err(left.as_secs().max(1)) }
            }
            _ => Ok(()),
        }
    }

    /// Notes a credential that was wrong.
    pub(crate) fn wrong(&self, address: IpAddr, credential: &str, now: Timestamp) {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
            addresses.retain(|_, guesses| now.since(guesses.since) < WINDOW);
            if addresses.len() >= ADDRESSES_MAX {
                addresses.clear();
            }
        }
        let guesses = addresses.entry(address).or_insert_with(|| Guesses { since: now, wrong: HashSet::new() });
        if now.since(guesses.since) >= WINDOW {
            *guesses = Guesses { since: now, wrong: HashSet::new() };
        }
        if guesses.wrong.len() < GUESSES_MAX {
            guesses.wrong.insert(Hash::of(credential));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_is_stopped_and_repeating_is_not() {
        let (throttle, address) = (Throttle::default(), IpAddr::from([127, 0, 0, 1]));
        let start = Timestamp::from_micros(0);
        for _ in 0..1_000 {
            throttle.wrong(address, "stale", start);
        }
        assert_eq!(throttle.check(address, start), Ok(()));
        for guess in 0..GUESSES_MAX {
            throttle.wrong(address, &guess.to_string(), start);
        }
        assert_eq!(throttle.check(address, start), Err(60));
        assert_eq!(throttle.check(IpAddr::from([127, 0, 0, 2]), start), Ok(()));
        assert_eq!(throttle.check(address, start + WINDOW), Ok(()));
    }
}
