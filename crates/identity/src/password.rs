//! Passwords: how they are kept, and what is no password.
//!
//! Kept as Argon2id (RFC 9106) with a salt of its own each. Hashing takes memory and time on purpose, so only so
//! many run at once, beside the threads that answer requests; who comes when too many wait is turned away.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Semaphore;

use crate::{Error, Result};

/// Shortest password, in characters.
pub const PASSWORD_MIN: usize = 8;
/// Longest password, in bytes.
pub(crate) const PASSWORD_BYTES_MAX: usize = 1024;
/// Longest wait for a turn to hash.
const TURN_WITHIN: Duration = Duration::from_secs(5);

/// How much work one hash is.
#[derive(Debug, Clone)]
pub struct PasswordCost(Params);

impl PasswordCost {
    /// What OWASP asks for: 19 MiB, two passes.
    pub const STANDARD: Self = Self(Params::DEFAULT);
    /// Next to nothing; for tests.
    pub const LOWEST: Self = match Params::new(Params::MIN_M_COST, Params::MIN_T_COST, 1, None) {
        Ok(params) => Self(params),
        Err(_) => panic!("the least Argon2 takes"),
    };
}

/// Hashes passwords and compares them.
#[derive(Clone)]
pub(crate) struct Passwords(Arc<Inner>);

struct Inner {
    argon2: Argon2<'static>,
    turns: Semaphore,
    /// What is compared with where there is nobody, so that it takes as long.
    decoy: OnceLock<String>,
}

impl Passwords {
    pub(crate) fn new(cost: PasswordCost) -> Self {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, cost.0);
        let turns = std::thread::available_parallelism().map_or(2, usize::from).clamp(1, 8);
        Self(Arc::new(Inner { argon2, turns: Semaphore::new(turns), decoy: OnceLock::new() }))
    }

    /// The hash that is kept of a password.
    pub(crate) async fn hash(&self, password: &SecretString) -> Result<String> {
        let password = password.clone();
        let hashed = self.run(move |inner| inner.argon2.hash_password(password.expose_secret().as_bytes())).await?;
        Ok(hashed.map_err(unusable)?.to_string())
    }

    /// Whether a password is the one of `hash`. Takes as long where there is no hash.
    pub(crate) async fn matches(&self, password: &SecretString, hash: Option<String>) -> Result<bool> {
        if password.expose_secret().len() > PASSWORD_BYTES_MAX {
            return Ok(false);
        }
        let password = password.clone();
        self.run(move |inner| {
            // Made whether it is needed or not: the first stranger is told no more than the others.
            let decoy = inner.decoy.get_or_init(|| inner.decoy());
            let known = hash.is_some();
            let hash = hash.unwrap_or_else(|| decoy.clone());
            let Ok(hash) = PasswordHash::new(&hash) else {
                tracing::error!("a password's hash cannot be read; nobody signs in with it");
                return false;
            };
            inner.argon2.verify_password(password.expose_secret().as_bytes(), &hash).is_ok() && known
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce(&Inner) -> T + Send + 'static) -> Result<T> {
        let turn = tokio::time::timeout(TURN_WITHIN, self.0.turns.acquire()).await;
        let _turn = turn.map_err(|_| Error::Busy)?.map_err(|_| Error::Busy)?;
        let inner = self.0.clone();
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(unusable)
    }
}

impl Inner {
    fn decoy(&self) -> String {
        let hash = self.argon2.hash_password(&rand::random::<[u8; 32]>());
        hash.map(|hash| hash.to_string()).unwrap_or_default()
    }
}

/// Refuses what is too short, too long, or the person's own name.
pub(crate) fn check(field: &'static str, password: &SecretString, username: &str) -> Result<()> {
    let password = password.expose_secret();
    if password.chars().count() < PASSWORD_MIN {
        return Err(Error::invalid(field, format!("is shorter than {PASSWORD_MIN} characters")));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Error::invalid(field, format!("is longer than {PASSWORD_BYTES_MAX} bytes")));
    }
    if password.eq_ignore_ascii_case(username) || password.chars().all(|c| password.starts_with(c)) {
        return Err(Error::invalid(field, "is too easy to guess"));
    }
    Ok(())
}

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Hashing(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_password_matches_its_own_hash_only() {
        let passwords = Passwords::new(PasswordCost::LOWEST);
        let secret = |text: &str| SecretString::from(text.to_owned());
        let hash = passwords.hash(&secret("correct horse")).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=8,t=1,p=1$"), "{hash}");
        assert_ne!(hash, passwords.hash(&secret("correct horse")).await.unwrap());
        assert!(passwords.matches(&secret("correct horse"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.matches(&secret("correct horsf"), Some(hash.clone())).await.unwrap());
        assert!(!passwords.matches(&secret(&"x".repeat(5_000)), Some(hash)).await.unwrap());
        for broken in [None, Some(String::new()), Some("not a hash".to_owned())] {
            assert!(!passwords.matches(&secret("correct horse"), broken).await.unwrap());
        }
    }

    #[test]
    fn what_is_no_password() {
        let refused =
            |password: &str| check("password", &SecretString::from(password.to_owned()), "annabelle").is_err();
        for password in ["", "short", "Annabelle", "aaaaaaaaaa", &"x1".repeat(600)] {
            assert!(refused(password), "{password}");
        }
        assert!(!refused("correct horse") && !refused("pässwört"));
    }
}
