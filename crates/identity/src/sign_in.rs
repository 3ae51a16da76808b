//! Signing in: a password, then whatever second factor the person has.

use std::{net::IpAddr, time::Duration};

use preloop_store::SignIn;
use preloop_types::{AccountId, CredentialKind, Hash, OneTimePurpose, Scope, User, UserId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::{
    Client, Error, Identity, Result,
    attempts::{Attempt, Guessed, network},
    one_time::{self, NewToken},
    record,
    tokens::{self, Lifetimes, NewGrant, Tokens},
};

/// How long somebody has for their second factor.
const SECOND_FACTOR_WITHIN: Duration = Duration::from_mins(5);
/// Networks that somebody signed in from are theirs for so long.
const FAMILIAR_FOR: Duration = Duration::from_hours(24 * 30);
/// Longest name a client gives itself that is kept.
const CLIENT_CHARS_MAX: usize = 120;

/// How far a sign-in got.
pub enum Step {
    /// All the way.
    Done(Box<Tokens>),
    /// The password was right; something else is still asked for.
    SecondFactor(SecondFactor),
}

/// A sign-in between its two factors.
pub struct SecondFactor {
    /// Names it; to be handed back together with the second factor.
    pub token: SecretString,
    /// What is accepted.
    pub methods: Vec<Method>,
    /// How long it waits.
    pub expires_in: Duration,
}

/// A second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// A code of an authenticator app.
    Totp,
    /// One of the codes that were written down.
    RecoveryCode,
    /// A passkey.
    Passkey,
}

impl Identity {
    /// Checks a name and a password.
    pub async fn sign_in(
        &self,
        username: &str,
        password: &SecretString,
        client: &Client,
        lifetimes: Lifetimes,
    ) -> Result<Step> {
        let found = self.store().find_sign_in(username.trim()).await?;
        let attempt = self.attempt(Guessed::Password, username, found.as_ref(), client).await?;
        self.begin(attempt)?;
        let hash = found.as_ref().and_then(|found| found.password_hash.clone());
        let matches = self.passwords().matches(password, hash).await?;
        let Some(SignIn { account, user, .. }) = found else { return Err(Error::WrongCredentials) };
        if !matches || !user.is_active {
            let why = if matches { "deactivated" } else { "password" };
            // Not waited for: that would tell names that exist from names that do not.
            self.store().append_later(record::failed(account, &user, why, client.address)).await?;
            return Err(Error::WrongCredentials);
        }
        self.attempts().forgive(attempt);
        let methods = self.methods(account, user.id).await?;
        if methods.is_empty() {
            let tokens = self.sign_in_as(account, user.id, client, "password", lifetimes).await?;
            return Ok(Step::Done(Box::new(tokens)));
        }
        let token = self.store().write(account, move |tx| {
            Box::pin(async move {
                let new = NewToken::of(OneTimePurpose::SecondFactor, user.id, SECOND_FACTOR_WITHIN);
                one_time::issue(tx, new).await
            })
        });
        Ok(Step::SecondFactor(SecondFactor { token: token.await?, methods, expires_in: SECOND_FACTOR_WITHIN }))
    }

    /// Signs in somebody who proved elsewhere who they are; `via` says where, for the journal.
    pub async fn sign_in_as(
        &self,
        account: AccountId,
        user: UserId,
        client: &Client,
        via: &'static str,
        lifetimes: Lifetimes,
    ) -> Result<Tokens> {
        let grant = login(user, client, lifetimes);
        let address = client.address;
        let tokens = self.store().write(account, move |tx| {
            Box::pin(async move {
                let Some(user) = tx.user(user).await?.filter(|user| user.is_active) else { return Ok(None) };
                tx.record(record::signed_in(account, &user, via, address));
                tokens::open(tx, grant).await.map(Some)
            })
        });
        tokens.await?.ok_or(Error::WrongCredentials)
    }

    /// The second factors a person has.
    pub(crate) async fn methods(&self, account: AccountId, user: UserId) -> Result<Vec<Method>> {
        let data = self.store().account(account);
        let mut methods = Vec::new();
        if !data.passkeys(user).await?.is_empty() {
            methods.push(Method::Passkey);
        }
        if data.totp(user).await?.is_some_and(|totp| totp.confirmed_at.is_some()) {
            methods.push(Method::Totp);
        }
        if !methods.is_empty() && data.recovery_codes_left(user).await? > 0 {
            methods.push(Method::RecoveryCode);
        }
        Ok(methods)
    }

    /// An attempt at `username`, whoever that is.
    pub(crate) async fn attempt(
        &self,
        guessed: Guessed,
        username: &str,
        found: Option<&SignIn>,
        client: &Client,
    ) -> Result<Attempt> {
        // Looked up for nobody as well, so that it takes as long.
        let nobody = (AccountId(uuid::Uuid::nil()), UserId(uuid::Uuid::nil()));
        let (account, user) = found.map_or(nobody, |found| (found.account, found.user.id));
        let since = self.store().now().earlier(FAMILIAR_FOR);
        let addresses = self.store().account(account).grant_addresses(user, since).await?;
        let network = network(client.address);
        let familiar =
            addresses.iter().any(|known| known.parse().is_ok_and(|known: IpAddr| network == self::network(known)));
        Ok(Attempt { guessed, person: person(username), network, familiar })
    }

    /// Counts an attempt, or refuses it.
    pub(crate) fn begin(&self, attempt: Attempt) -> Result<()> {
        self.attempts().begin(attempt, self.store().now()).map_err(|retry_after| Error::TooMany { retry_after })
    }

    /// An attempt at somebody who is known.
    pub(crate) async fn attempt_at(
        &self,
        guessed: Guessed,
        account: AccountId,
        user: &User,
        client: &Client,
    ) -> Result<Attempt> {
        let found = SignIn { account, user: user.clone(), password_hash: None };
        self.attempt(guessed, &user.username, Some(&found), client).await
    }
}

/// What a name is counted under.
pub(crate) fn person(username: &str) -> Hash {
    Hash::of(username.trim().to_lowercase())
}

/// The grant of a person at `client`.
pub(crate) fn login(user: UserId, client: &Client, lifetimes: Lifetimes) -> NewGrant {
    NewGrant {
        user,
        kind: CredentialKind::Login,
        client: client.name.chars().filter(|c| !c.is_control()).take(CLIENT_CHARS_MAX).collect(),
        client_id: None,
        address: Some(client.address.to_string()),
        scopes: vec![Scope::Admin],
        resource: None,
        impersonator: None,
        lifetimes,
    }
}
