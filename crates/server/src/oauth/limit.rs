use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use preloop_types::Timestamp;

const WINDOW: Duration = Duration::from_mins(10);
const PER_WINDOW: u32 = 60;
/// Bounds the memory an attacker with many addresses can take.
const ADDRESSES_MAX: usize = 10_000;

/// How often each address did something that anybody may do and that costs a row.
#[derive(Debug, Default)]
pub(super) struct Limit(Mutex<HashMap<IpAddr, (Timestamp, u32)>>);

impl Limit {
    /// Counts one more; says for how many seconds the address has to wait if that is too many.
    pub(super) fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if addresses.len() >= ADDRESSES_MAX && !addresses.contains_key(&address) {
            addresses.retain(|_, (since, _)| now.since(*since) < WINDOW);
            if addresses.len() >= ADDRESSES_MAX {
                addresses.clear();
            }
        }
        let (since, count) = addresses.entry(address).or_insert((now, 0));
        if now.since(*since) >= WINDOW {
            (*since, *count) = (now, 0);
        }
        if *count >= PER_WINDOW {
            return Err(WINDOW.saturating_sub(now.since(*since)).as_secs().max(1));
        }
        *count += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_asks_too_often_waits_and_others_do_not() {
        let (limit, start) = (Limit::default(), Timestamp::from_micros(0));
        let [here, there] = [[127, 0, 0, 1], [127, 0, 0, 2]].map(IpAddr::from);
        for _ in 0..PER_WINDOW {
            assert_eq!(limit.take(here, start), Ok(()));
        }
        assert_eq!(limit.take(here, start), Err(600));
        assert_eq!(limit.take(there, start), Ok(()));
        assert_eq!(limit.take(here, start + WINDOW), Ok(()));
    }
}
