//! One journey of a browser to a provider and back.

use std::time::Duration;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use preloop_types::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How long the journey may take.
const JOURNEY: Duration = Duration::from_mins(10);

/// What must survive the journey. All of it is made of one secret that only the browser's cookie
/// holds: whoever comes back without that cookie did not begin here, and nothing is kept meanwhile.
pub struct Attempt {
    secret: [u8; 32],
    provider: String,
    next: String,
    begun: Timestamp,
}

impl Attempt {
    /// A fresh one, to `provider` and then on to our own page `next`.
    pub fn new(provider: &str, next: &str, now: Timestamp) -> Self {
        Self { secret: rand::random(), provider: provider.to_owned(), next: next.to_owned(), begun: now }
    }

    /// For the browser to keep.
    pub fn to_cookie(&self) -> String {
        let (secret, next) = (BASE64.encode(self.secret), BASE64.encode(&self.next));
        format!("{secret}.{}.{}.{next}", self.begun.micros(), self.provider)
    }

    /// The journey of a browser that comes back from `provider` with `state`.
    pub fn resume(cookie: &str, provider: &str, state: &str, now: Timestamp) -> Option<Self> {
        let mut parts = cookie.splitn(4, '.');
        let secret = BASE64.decode(parts.next()?).ok()?.try_into().ok()?;
        let begun = Timestamp::from_micros(parts.next()?.parse().ok()?);
        let of = parts.next()?;
        let next = String::from_utf8(BASE64.decode(parts.next()?).ok()?).ok()?;
        let attempt = Self { secret, provider: of.to_owned(), next, begun };
        let is_ours = attempt.state().as_bytes().ct_eq(state.as_bytes());
        (of == provider && bool::from(is_ours) && begun <= now && now.since(begun) < JOURNEY).then_some(attempt)
    }

    /// Our page to go on to.
    pub fn next(&self) -> &str {
        &self.next
    }

    /// Comes back with the browser; bound to everything in the cookie.
    pub(super) fn state(&self) -> String {
        self.derived(&format!("state\0{}\0{}\0{}", self.provider, self.begun.micros(), self.next))
    }

    /// Comes back in the token.
    pub(super) fn nonce(&self) -> String {
        self.derived("nonce")
    }

    /// Shows that whoever has the code began the journey (RFC 7636).
    pub(super) fn verifier(&self) -> String {
        self.derived("verifier")
    }

    /// What the provider is told of the verifier.
    pub(super) fn challenge(&self) -> String {
        BASE64.encode(Sha256::digest(self.verifier()))
    }

    fn derived(&self, purpose: &str) -> String {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.secret) else {
            unreachable!("HMAC takes keys of any length")
        };
        mac.update(purpose.as_bytes());
        BASE64.encode(mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_browser_that_began_comes_back_and_in_time() {
        let now = Timestamp::from_micros(1_000_000);
        let attempt = Attempt::new("corp", "/console", now);
        let (cookie, state) = (attempt.to_cookie(), attempt.state());
        let back = Attempt::resume(&cookie, "corp", &state, now).unwrap();
        assert_eq!((back.next(), back.verifier()), ("/console", attempt.verifier()));

        let refused =
            |cookie: &str, provider: &str, state: &str, at| Attempt::resume(cookie, provider, state, at).is_none();
        assert!(refused(&cookie, "other", &state, now));
        assert!(refused(&cookie, "corp", "guess", now));
        assert!(refused(&Attempt::new("corp", "/console", now).to_cookie(), "corp", &state, now));
        assert!(refused(&cookie, "corp", &state, now + JOURNEY));
        assert!(refused("", "corp", &state, now) && refused("a.b.c", "corp", "", now));
        let elsewhere = cookie.rsplit_once('.').unwrap().0.to_owned() + "." + &BASE64.encode("/evil");
        assert!(refused(&elsewhere, "corp", &state, now), "the page to go on to is bound too");
    }
}
