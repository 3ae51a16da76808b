//! Slows down guessing of passwords and codes, without handing strangers a way to lock somebody out.
//!
//! Attempts are counted before they are checked, so that many at once get no further than one after the other, and
//! forgiven when they succeed. Three counts matter:
//!
//! - of one network at one person: whoever mistypes too often waits;
//! - of one network at anybody: trying one password at many names is guessing, too;
//! - of all networks together at one person, **except** those the person signed in from lately. Strangers can use
//!   that count up, and then strangers wait; the person goes on from where they always come from, or sets a new
//!   password with a link from their mail, which makes the network they do it from one of theirs.
//!
//! Counts are this process's: of several replicas each allows as many.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use preloop_types::{Hash, Timestamp};

/// After this long everything is forgotten.
pub(crate) const WINDOW: Duration = Duration::from_mins(15);
/// Most counts that are held; more are only made by a flood.
const COUNTS_MAX: usize = 50_000;

/// What is guessed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Guessed {
    Password,
    /// Short codes: fewer guesses.
    Code,
    /// Not a guess: requests that cost a mail or an account.
    Request,
    /// Not a guess: challenges for passkeys, each a row.
    Challenge,
}

impl Guessed {
    /// Most attempts of one network at one person, of one network at anybody, of strangers at one person.
    const fn limits(self) -> [u32; 3] {
        match self {
            Guessed::Password => [10, 60, 30],
            Guessed::Code => [10, 30, 15],
            Guessed::Request => [10, 60, 60],
            Guessed::Challenge => [100, 100, 100],
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Pair(Guessed, Hash, IpAddr),
    Network(Guessed, IpAddr),
    Person(Guessed, Hash),
    /// This network reset the person's password lately.
    Friend(Hash, IpAddr),
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    attempts: u32,
}

/// Attempts of the last minutes.
#[derive(Debug, Default)]
pub(crate) struct Attempts(Mutex<HashMap<Key, Count>>);

/// One attempt: whose, and from where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt {
    pub(crate) guessed: Guessed,
    pub(crate) person: Hash,
    pub(crate) network: IpAddr,
    /// The person signed in from there lately.
    pub(crate) familiar: bool,
}

/// The part of an address that one customer has: all of an IPv4 address, half of an IPv6 address.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

impl Attempts {
    /// Counts an attempt, or says how long to wait before the next.
    pub(crate) fn begin(&self, attempt: Attempt, now: Timestamp) -> Result<(), Duration> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= COUNTS_MAX {
            counts.retain(|_, count| now.since(count.since) < WINDOW);
            if counts.len() >= COUNTS_MAX {
                counts.clear();
            }
        }
        let friend = counts.get(&Key::Friend(attempt.person, attempt.network));
        let familiar = attempt.familiar || friend.is_some_and(|count| now.since(count.since) < WINDOW);
        let keys = attempt.keys(familiar);
        for (key, limit) in keys.iter().flatten() {
            if let Some(count) = counts.get(key) {
                let left = WINDOW.saturating_sub(now.since(count.since));
                if count.attempts >= *limit && !left.is_zero() {
                    return Err(left.max(Duration::from_secs(1)));
                }
            }
        }
        for (key, _) in keys.iter().flatten() {
            let count = counts.entry(*key).or_insert(Count { since: now, attempts: 0 });
            if now.since(count.since) >= WINDOW {
                *count = Count { since: now, attempts: 0 };
            }
            count.attempts += 1;
        }
        Ok(())
    }

    /// The attempt succeeded: it was no guess, and neither were those before it.
    pub(crate) fn forgive(&self, attempt: Attempt) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.remove(&Key::Pair(attempt.guessed, attempt.person, attempt.network));
        // Only what was counted: strangers' attempts are not forgiven by the person's own.
        let familiar = attempt.familiar || counts.contains_key(&Key::Friend(attempt.person, attempt.network));
        for (key, _) in attempt.keys(familiar).into_iter().flatten() {
            if let Some(count) = counts.get_mut(&key) {
                count.attempts = count.attempts.saturating_sub(1);
            }
        }
    }

    /// The person proved themselves by mail: what strangers did at their name is no hindrance from `network`.
    pub(crate) fn befriend(&self, person: Hash, network: IpAddr, now: Timestamp) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for guessed in [Guessed::Password, Guessed::Code] {
            counts.remove(&Key::Pair(guessed, person, network));
            counts.remove(&Key::Network(guessed, network));
        }
        counts.insert(Key::Friend(person, network), Count { since: now, attempts: 0 });
    }
}

impl Attempt {
    fn keys(&self, familiar: bool) -> [Option<(Key, u32)>; 3] {
        let [pair, anybody, strangers] = self.guessed.limits();
        [
            Some((Key::Pair(self.guessed, self.person, self.network), pair)),
            Some((Key::Network(self.guessed, self.network), anybody)),
            (!familiar).then_some((Key::Person(self.guessed, self.person), strangers)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_micros(1_000_000_000);

    fn attempt(person: &str, address: [u8; 4], familiar: bool) -> Attempt {
        Attempt { guessed: Guessed::Password, person: Hash::of(person), network: IpAddr::from(address), familiar }
    }

    #[test]
    fn who_mistypes_too_often_waits_and_who_succeeds_is_forgiven() {
        let attempts = Attempts::default();
        let ann = attempt("ann", [10, 0, 0, 1], false);
        for _ in 0..10 {
            attempts.begin(ann, START).unwrap();
        }
        assert_eq!(attempts.begin(ann, START), Err(WINDOW));
        assert_eq!(attempts.begin(ann, START + Duration::from_mins(5)), Err(Duration::from_mins(10)));
        attempts.begin(ann, START + WINDOW).unwrap();
        for _ in 0..100 {
            attempts.forgive(ann);
            attempts.begin(ann, START + WINDOW).unwrap();
        }
    }

    #[test]
    fn strangers_lock_out_strangers_and_never_the_person() {
        let attempts = Attempts::default();
        let mut refused = 0;
        for stranger in 0..100 {
            refused += usize::from(attempts.begin(attempt("ann", [10, 1, 0, stranger], false), START).is_err());
        }
        assert_eq!(refused, 70);
        // From where she always comes from.
        attempts.begin(attempt("ann", [10, 0, 0, 1], true), START).unwrap();
        // From elsewhere, after setting a new password with a link from her mail.
        let elsewhere = attempt("ann", [10, 0, 0, 2], false);
        assert!(attempts.begin(elsewhere, START).is_err());
        attempts.befriend(elsewhere.person, elsewhere.network, START);
        attempts.begin(elsewhere, START).unwrap();
        assert!(attempts.begin(attempt("ann", [10, 0, 0, 3], false), START).is_err());
        // Others are not concerned.
        attempts.begin(attempt("bob", [10, 1, 0, 1], false), START).unwrap();
    }

    #[test]
    fn one_network_cannot_try_everybody() {
        let attempts = Attempts::default();
        let tried = (0..100).filter(|n| attempts.begin(attempt(&n.to_string(), [10, 0, 0, 1], false), START).is_ok());
        assert_eq!(tried.count(), 60);
    }

    #[test]
    fn a_customer_with_many_ipv6_addresses_is_one_network() {
        let [a, b]: [IpAddr; 2] = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9"].map(|text| text.parse().unwrap());
        assert_eq!(network(a), network(b));
        assert_eq!(network("::ffff:10.0.0.1".parse().unwrap()), IpAddr::from([10, 0, 0, 1]));
    }
}
