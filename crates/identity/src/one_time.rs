//! Secrets that work once: links sent by mail, invitations, a sign-in between its two factors.

use std::time::Duration;

use preloop_govern::config::MintedKey;
use preloop_store::{NewOneTime, OneTime, Tx};
use preloop_types::{Hash, OneTimePurpose, UserId};
use secrecy::SecretString;

use crate::{Error, Identity, Result};

/// What these secrets begin with.
const PREFIX: &str = "plt_";

/// A secret to be given out.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for.
    pub purpose: OneTimePurpose,
    /// Who it is for, where they are known.
    pub user: Option<UserId>,
    /// The address it is sent to.
    pub email: Option<String>,
    /// JSON that its purpose needs. No secrets.
    pub data: Option<String>,
    /// How long it works.
    pub lifetime: Duration,
}

impl NewToken {
    /// A secret for a person.
    pub fn of(purpose: OneTimePurpose, user: UserId, lifetime: Duration) -> Self {
        Self { purpose, user: Some(user), email: None, data: None, lifetime }
    }
}

/// Gives out a secret that works once, in the caller's transaction. Only its hash is kept.
pub async fn issue(tx: &mut Tx<'_>, new: NewToken) -> Result<SecretString, preloop_store::Error> {
    let MintedKey { secret, hash, .. } = MintedKey::with_prefix(PREFIX);
    let NewToken { purpose, user, email, data, lifetime } = new;
    tx.insert_one_time(&NewOneTime { hash, purpose, user, email, data, expires_at: tx.now() + lifetime }).await?;
    Ok(secret)
}

/// Uses a secret up, in the caller's transaction; `None` if it is unknown, used, over or for something else.
pub async fn take(
    tx: &mut Tx<'_>,
    purpose: OneTimePurpose,
    secret: &str,
) -> Result<Option<OneTime>, preloop_store::Error> {
    tx.use_one_time(purpose, &Hash::of(secret)).await
}

impl Identity {
    /// Looks at a secret without using it up: links are opened by mail scanners, too.
    pub async fn look(&self, purpose: OneTimePurpose, secret: &str) -> Result<OneTime> {
        self.store().find_one_time(purpose, &Hash::of(secret)).await?.ok_or(Error::InvalidToken)
    }
}
