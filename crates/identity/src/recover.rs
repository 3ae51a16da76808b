//! Setting passwords: with a link from a mail, with a link from the operator, or knowing the one before.
//!
//! A link names its person: one address may belong to people of several accounts. Links work once and are opened
//! without effect; only what is posted from their page changes something, since mail scanners open links too.

use std::time::Duration;

use preloop_store::{OneTime, Tx};
use preloop_types::{AccountId, CredentialKind, GrantId, OneTimePurpose as Purpose, Principal, Subject, User, UserId};
use secrecy::{ExposeSecret, SecretString};

use crate::{
    Client, Error, Identity, Result,
    attempts::{Attempt, Guessed, network},
    mail::{self, Mail},
    one_time::{self, NewToken},
    password, record,
    sign_in::person,
};

/// How long a link to set a new password works.
pub const RESET_WITHIN: Duration = Duration::from_mins(30);
/// How long the operator's link for a first password works.
pub const SET_UP_WITHIN: Duration = Duration::from_hours(24);
/// How long a link that proves an address works.
const VERIFY_WITHIN: Duration = Duration::from_hours(24);
/// Most mails to one person about the same in [`MAILS_WITHIN`].
const MAILS_MAX: usize = 3;
const MAILS_WITHIN: Duration = Duration::from_mins(15);
/// Most people of one address that are written to at once.
const PEOPLE_MAX: usize = 10;

/// Whom a link that sets a password is for.
#[derive(Debug, Clone)]
pub struct PasswordLink {
    /// The person.
    pub user: User,
    /// Whether it is their first password.
    pub first: bool,
    purpose: Purpose,
    account: AccountId,
}

impl Identity {
    /// Sends a link to everybody who has that address. Whether there is anybody is not told; do not let the caller
    /// wait for it either.
    pub async fn forgot_password(&self, email: &str) -> Result<()> {
        if !self.options().mail {
            tracing::warn!("a person asked for a link to set a new password, and no SMTP server is configured");
            return Ok(());
        }
        let people = self.store().find_by_email(email.trim()).await?;
        for (account, user) in people.into_iter().filter(|(_, user)| user.is_active).take(PEOPLE_MAX) {
            let url = self.options().public_url.clone();
            let sent = self.store().write(account, move |tx| {
                Box::pin(async move {
                    if !may_be_mailed(tx, user.id, Purpose::ResetPassword).await? {
                        return Ok(());
                    }
                    let Some(address) = user.email.clone() else { return Ok(()) };
                    let new = NewToken {
                        email: Some(address.clone()),
                        ..NewToken::of(Purpose::ResetPassword, user.id, RESET_WITHIN)
                    };
                    let token = one_time::issue(tx, new).await?;
                    tx.record(record::changed(account, Subject::default(), &user, "password_reset_requested"));
                    let text = format!(
                        "Somebody asked for a new password of your Preloop user `{}`.\n\nSet it here within 30 \
                         minutes:\n\n{url}/set-password?token={}\n\nIf that was not you, do nothing: your password \
                         stays as it is.\n",
                        user.username,
                        token.expose_secret()
                    );
                    let subject = "Set a new password for Preloop".to_owned();
                    mail::send(tx, Mail { address, name: user.full_name, subject, text }).await
                })
            });
            sent.await?;
        }
        Ok(())
    }

    /// Refuses a network that asks for too many mails or accounts, or writes to one person too often.
    pub fn limit_requests(&self, about: &str, client: &Client) -> Result<()> {
        let network = network(client.address);
        self.begin(Attempt { guessed: Guessed::Request, person: person(about), network, familiar: true })
    }

    /// A link with which a person sets a password of their own, for the operator to hand over. Those before end.
    pub async fn set_up_link(&self, account: AccountId, user: UserId) -> Result<SecretString> {
        let token = self.store().write(account, move |tx| {
            Box::pin(async move {
                let Some(user) = tx.user(user).await? else { return Ok(None) };
                tx.end_one_times(user.id, Purpose::SetUp).await?;
                tx.record(record::changed(account, Subject::default(), &user, "set_up_link_made"));
                one_time::issue(tx, NewToken::of(Purpose::SetUp, user.id, SET_UP_WITHIN)).await.map(Some)
            })
        });
        let token = token.await?.ok_or(Error::NotFound("user"))?;
        Ok(format!("{}/set-password?token={}", self.options().public_url, token.expose_secret()).into())
    }

    /// Whom a link that sets a password is for. Looking does nothing.
    pub async fn password_link(&self, token: &str) -> Result<PasswordLink> {
        let (purpose, link) = match self.look(Purpose::ResetPassword, token).await {
            Ok(link) => (Purpose::ResetPassword, link),
            Err(Error::InvalidToken) => (Purpose::SetUp, self.look(Purpose::SetUp, token).await?),
            Err(error) => return Err(error),
        };
        let OneTime { account, user, .. } = link;
        let user = self.store().account(account).user(user.ok_or(Error::InvalidToken)?).await?;
        let user = user.filter(|user| user.is_active).ok_or(Error::InvalidToken)?;
        Ok(PasswordLink { user, first: purpose == Purpose::SetUp, purpose, account })
    }

    /// Sets a password with a link. Every sign-in of the person ends; second factors stay.
    pub async fn set_password(&self, token: &str, new: &SecretString, client: &Client) -> Result<User> {
        let PasswordLink { user, purpose, account, .. } = self.password_link(token).await?;
        password::check("new_password", new, &user.username)?;
        let hash = self.passwords().hash(new).await?;
        let (token, set) = (token.to_owned(), user.clone());
        let set = self.store().write(account, move |tx| {
            Box::pin(async move {
                let Some(link) = one_time::take(tx, purpose, &token).await? else { return Ok(false) };
                let by = Subject { user: Some(set.id), ..Subject::default() };
                put(tx, account, by, &set, &hash, None, "password_reset").await?;
                proven(tx, set, link.email).await?;
                Ok(true)
            })
        });
        if !set.await? {
            return Err(Error::InvalidToken);
        }
        self.attempts().befriend(person(&user.username), network(client.address), self.store().now());
        Ok(user)
    }

    /// Changes one's own password. One's other sign-ins end.
    pub async fn change_password(
        &self,
        who: &Principal,
        current: &SecretString,
        new: &SecretString,
        client: &Client,
    ) -> Result<()> {
        let user = self.prove(who, current, client).await?;
        password::check("new_password", new, &user.username)?;
        let hash = self.passwords().hash(new).await?;
        let this = (who.credential == CredentialKind::Login).then_some(GrantId(who.key.0));
        let (account, by) = (who.account, Subject::from(who));
        let changed = self.store().write(account, move |tx| {
            Box::pin(async move { put(tx, account, by, &user, &hash, this, "password_changed").await })
        });
        Ok(changed.await?)
    }

    /// Sets a person's password for the operator, who holds the database itself. Every sign-in of theirs ends.
    pub async fn force_password(&self, username: &str, new: &SecretString) -> Result<User> {
        let found = self.store().find_sign_in(username).await?.ok_or(Error::NotFound("user"))?;
        password::check("password", new, &found.user.username)?;
        let hash = self.passwords().hash(new).await?;
        let (account, user) = (found.account, found.user.clone());
        let set = self.store().write(account, move |tx| {
            Box::pin(async move { put(tx, account, Subject::default(), &user, &hash, None, "password_forced").await })
        });
        set.await?;
        Ok(found.user)
    }

    /// Sends the person a link that proves that mail reaches them.
    pub async fn ask_to_verify(&self, who: &Principal) -> Result<()> {
        let user = self.oneself(who).await?;
        if !self.options().mail {
            return Err(Error::Refused("this server sends no mail: no SMTP server is configured".to_owned()));
        }
        if user.email_verified {
            return Err(Error::Refused("your address is verified already".to_owned()));
        }
        let (url, account) = (self.options().public_url.clone(), who.account);
        let sent = self.store().write(account, move |tx| {
            Box::pin(async move {
                if !may_be_mailed(tx, user.id, Purpose::VerifyEmail).await? {
                    return Ok(false);
                }
                verification(tx, &url, &user).await?;
                Ok(true)
            })
        });
        if sent.await? { Ok(()) } else { Err(Error::TooMany { retry_after: MAILS_WITHIN }) }
    }

    /// Notes that mail reaches the person a link was sent to, if their address is still that one.
    pub async fn verify_email(&self, token: &str) -> Result<User> {
        let OneTime { account, .. } = self.look(Purpose::VerifyEmail, token).await?;
        let token = token.to_owned();
        let verified = self.store().write(account, move |tx| {
            Box::pin(async move {
                let Some(link) = one_time::take(tx, Purpose::VerifyEmail, &token).await? else { return Ok(None) };
                let Some(id) = link.user else { return Ok(None) };
                let Some(user) = tx.user(id).await?.filter(|user| user.email == link.email) else { return Ok(None) };
                let by = Subject { user: Some(user.id), ..Subject::default() };
                tx.record(record::changed(account, by, &user, "email_verified"));
                proven(tx, user.clone(), link.email).await?;
                Ok(Some(User { email_verified: true, ..user }))
            })
        });
        verified.await?.ok_or(Error::InvalidToken)
    }
}

/// Sends the link that proves an address.
pub(crate) async fn verification(tx: &mut Tx<'_>, url: &str, user: &User) -> preloop_store::Result<()> {
    let Some(address) = user.email.clone() else { return Ok(()) };
    let new = NewToken { email: Some(address.clone()), ..NewToken::of(Purpose::VerifyEmail, user.id, VERIFY_WITHIN) };
    let token = one_time::issue(tx, new).await?;
    let text = format!(
        "Confirm that this is the address of your Preloop user `{}`, within 24 hours:\n\n{url}/verify-email?token={}\n\n\
         If you have no such user, do nothing.\n",
        user.username,
        token.expose_secret()
    );
    let subject = "Confirm your address for Preloop".to_owned();
    mail::send(tx, Mail { address, name: user.full_name.clone(), subject, text }).await
}

/// Replaces a person's password. Links to set another end with it, and every sign-in but `this`.
async fn put(
    tx: &mut Tx<'_>,
    account: AccountId,
    by: Subject,
    user: &User,
    hash: &str,
    this: Option<GrantId>,
    what: &str,
) -> preloop_store::Result<()> {
    tx.set_password_hash(user.id, hash).await?;
    for purpose in [Purpose::ResetPassword, Purpose::SetUp, Purpose::SecondFactor] {
        tx.end_one_times(user.id, purpose).await?;
    }
    tx.end_grants_of(user.id, this, "password_changed").await?;
    tx.record(record::changed(account, by, user, what));
    Ok(())
}

/// Whoever used a link sent to `email` reads mail there.
async fn proven(tx: &mut Tx<'_>, user: User, email: Option<String>) -> preloop_store::Result<()> {
    if email.is_some() && user.email == email && !user.email_verified {
        tx.update_user(&User { email_verified: true, ..user }).await?;
    }
    Ok(())
}

async fn may_be_mailed(tx: &mut Tx<'_>, user: UserId, purpose: Purpose) -> preloop_store::Result<bool> {
    let since = tx.now().earlier(MAILS_WITHIN);
    Ok(tx.one_times_since(user, purpose, since).await?.len() < MAILS_MAX)
}
