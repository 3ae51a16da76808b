//! Second factors: enrolling, showing and removing them.
//!
//! A change takes the person's password once more: a session somebody left open is not enough.

use preloop_store::Tx;
use preloop_types::{AccountId, Hash, OneTimePurpose, Principal, Subject, Timestamp, User, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{
    Client, Error, Identity, Method, Result,
    attempts::Guessed,
    record,
    sign_in::login,
    tokens::{self, Lifetimes, Tokens},
    totp,
};

/// How many recovery codes there are.
const RECOVERY_CODES: usize = 10;
/// Bytes of one, before they are written as letters.
const RECOVERY_BYTES: usize = 10;
/// Wrong codes after which a sign-in begins again.
const WRONG_CODES_MAX: u32 = 5;

/// What somebody has besides their password.
#[derive(Debug, Clone)]
pub struct Factors {
    /// When the authenticator app was confirmed.
    pub totp: Option<Timestamp>,
    /// How many recovery codes are left.
    pub recovery_codes: usize,
    /// Passkeys.
    pub passkeys: Vec<preloop_store::Passkey>,
}

/// An authenticator app that is yet to show its first code.
pub struct TotpEnrolment {
    /// The shared secret, in letters, to be typed in.
    pub secret: SecretString,
    /// The same with everything an app wants to know (`otpauth://…`), to be shown as a QR code.
    pub uri: SecretString,
}

/// What a token between two factors remembers.
#[derive(Default, Serialize, Deserialize)]
struct Tried {
    wrong: u32,
}

enum Checked {
    Right(Box<Tokens>),
    Wrong,
    Over,
}

impl Identity {
    /// What somebody has besides their password.
    pub async fn factors(&self, who: &Principal) -> Result<Factors> {
        let data = self.store().account(who.account);
        let totp = data.totp(who.user).await?.and_then(|totp| totp.confirmed_at);
        let recovery_codes = data.recovery_codes_left(who.user).await?;
        Ok(Factors { totp, recovery_codes, passkeys: data.passkeys(who.user).await? })
    }

    /// Begins to enrol an authenticator app. It counts from its first code on.
    pub async fn enrol_totp(&self, who: &Principal, password: &SecretString, client: &Client) -> Result<TotpEnrolment> {
        let user = self.prove(who, password, client).await?;
        let bytes: [u8; totp::SECRET_BYTES] = rand::random();
        let put = self
            .store()
            .write(who.account, move |tx| Box::pin(async move { tx.put_totp(user.id, &bytes).await }))
            .await?;
        if !put {
            return Err(Error::Refused("there is an authenticator app already; remove it first".to_owned()));
        }
        let secret = totp::base32(&bytes);
        let name = percent(&who.username);
        let uri = format!("otpauth://totp/Preloop:{name}?secret={secret}&issuer=Preloop");
        Ok(TotpEnrolment { secret: secret.into(), uri: uri.into() })
    }

    /// Confirms an authenticator app with a code it shows. The recovery codes that come with the first second
    /// factor are only in this answer.
    pub async fn confirm_totp(&self, who: &Principal, code: &str, client: &Client) -> Result<Vec<SecretString>> {
        let user = self.oneself(who).await?;
        let attempt = self.attempt_at(Guessed::Code, who.account, &user, client).await?;
        self.begin(attempt)?;
        let (account, by, code) = (who.account, Subject::from(who), code.trim().to_owned());
        let confirmed = self.store().write(account, move |tx| {
            Box::pin(async move {
                let Some(pending) = tx.totp(user.id).await?.filter(|totp| totp.confirmed_at.is_none()) else {
                    return Ok(None);
                };
                let Some(step) = totp::step_of(&pending.secret, &code, tx.now()) else { return Ok(None) };
                if !tx.use_totp_step(user.id, step).await? {
                    return Ok(None);
                }
                tx.record(record::changed(account, by, &user, "totp_added"));
                first_recovery_codes(tx, user.id).await.map(Some)
            })
        });
        let codes = confirmed.await?.ok_or(Error::WrongFactor)?;
        self.attempts().forgive(attempt);
        Ok(codes)
    }

    /// Removes the authenticator app.
    pub async fn remove_totp(&self, who: &Principal, password: &SecretString, client: &Client) -> Result<()> {
        let user = self.prove(who, password, client).await?;
        let (account, by) = (who.account, Subject::from(who));
        let removed = self.store().write(account, move |tx| {
            Box::pin(async move {
                let removed = tx.delete_totp(user.id).await?;
                if removed {
                    tx.record(record::changed(account, by, &user, "totp_removed"));
                    drop_codes_without_factor(tx, user.id).await?;
                }
                Ok(removed)
            })
        });
        if removed.await? { Ok(()) } else { Err(Error::NotFound("authenticator app")) }
    }

    /// Replaces the recovery codes; those before end.
    pub async fn new_recovery_codes(
        &self,
        who: &Principal,
        password: &SecretString,
        client: &Client,
    ) -> Result<Vec<SecretString>> {
        let user = self.prove(who, password, client).await?;
        if self.methods(who.account, user.id).await?.is_empty() {
            return Err(Error::Refused("recovery codes stand in for a second factor, and there is none".to_owned()));
        }
        let (account, by) = (who.account, Subject::from(who));
        let codes = self.store().write(account, move |tx| {
            Box::pin(async move {
                tx.record(record::changed(account, by, &user, "recovery_codes_replaced"));
                new_codes(tx, user.id).await
            })
        });
        Ok(codes.await?)
    }

    /// Ends a sign-in that waits for its second factor: with a code of an authenticator app, or a recovery code.
    pub async fn second_factor(
        &self,
        token: &SecretString,
        code: &str,
        client: &Client,
        lifetimes: Lifetimes,
    ) -> Result<Tokens> {
        let waiting = self.look(OneTimePurpose::SecondFactor, token.expose_secret()).await?;
        let account = waiting.account;
        let user = waiting.user.ok_or(Error::InvalidToken)?;
        let user = self.store().account(account).user(user).await?.ok_or(Error::InvalidToken)?;
        let attempt = self.attempt_at(Guessed::Code, account, &user, client).await?;
        self.begin(attempt)?;
        let (hash, code, client) = (Hash::of(token.expose_secret()), code.trim().to_owned(), client.clone());
        let checked = self.store().write(account, move |tx| {
            Box::pin(async move {
                let user = match tx.user(user.id).await? {
                    Some(user) if user.is_active => user,
                    _ => return Ok(Checked::Over),
                };
                let Some(method) = matching(tx, user.id, &code).await? else {
                    return wrong(tx, account, &user, &hash, &client).await;
                };
                if tx.use_one_time(OneTimePurpose::SecondFactor, &hash).await?.is_none() {
                    return Ok(Checked::Over);
                }
                let via = if method == Method::Totp { "password and code" } else { "password and recovery code" };
                tx.record(record::signed_in(account, &user, via, client.address));
                let tokens = tokens::open(tx, login(user.id, &client, lifetimes)).await?;
                Ok(Checked::Right(Box::new(tokens)))
            })
        });
        match checked.await? {
            Checked::Right(tokens) => {
                self.attempts().forgive(attempt);
                Ok(*tokens)
            }
            Checked::Wrong => Err(Error::WrongFactor),
            Checked::Over => Err(Error::InvalidToken),
        }
    }

    /// The person themselves: neither an agent nor somebody in their place.
    pub(crate) async fn oneself(&self, who: &Principal) -> Result<User> {
        if !who.is_person() || who.impersonator.is_some() {
            return Err(Error::Forbidden("only the person themselves can change how they sign in".to_owned()));
        }
        self.store().account(who.account).user(who.user).await?.ok_or(Error::NotFound("user"))
    }

    /// The person themselves, who knows their password. Without one the session has to do.
    pub(crate) async fn prove(&self, who: &Principal, password: &SecretString, client: &Client) -> Result<User> {
        let user = self.oneself(who).await?;
        let Some(hash) = self.store().account(who.account).password_hash(user.id).await? else { return Ok(user) };
        let attempt = self.attempt_at(Guessed::Password, who.account, &user, client).await?;
        self.begin(attempt)?;
        if !self.passwords().matches(password, Some(hash)).await? {
            return Err(Error::WrongPassword);
        }
        self.attempts().forgive(attempt);
        Ok(user)
    }
}

/// Which second factor a code is. It is used up with this.
async fn matching(tx: &mut Tx<'_>, user: UserId, code: &str) -> preloop_store::Result<Option<Method>> {
    if let Some(totp) = tx.totp(user).await?.filter(|totp| totp.confirmed_at.is_some())
        && let Some(step) = totp::step_of(&totp.secret, code, tx.now())
    {
        return Ok(tx.use_totp_step(user, step).await?.then_some(Method::Totp));
    }
    Ok(tx.use_recovery_code(user, &recovery_hash(code)).await?.then_some(Method::RecoveryCode))
}

/// Notes a wrong code; too many end the sign-in.
async fn wrong(
    tx: &mut Tx<'_>,
    account: AccountId,
    user: &User,
    token: &Hash,
    client: &Client,
) -> preloop_store::Result<Checked> {
    const PURPOSE: OneTimePurpose = OneTimePurpose::SecondFactor;
    let Some(waiting) = tx.use_one_time(PURPOSE, token).await? else { return Ok(Checked::Over) };
    tx.record(record::failed(account, user, "second_factor", client.address));
    let tried = waiting.data.and_then(|data| serde_json::from_str::<Tried>(&data).ok()).unwrap_or_default();
    let tried = Tried { wrong: tried.wrong + 1 };
    if tried.wrong >= WRONG_CODES_MAX {
        return Ok(Checked::Over);
    }
    // Numbers always serialise.
    tx.reopen_one_time(PURPOSE, token, &serde_json::to_string(&tried).unwrap_or_default()).await?;
    Ok(Checked::Wrong)
}

/// Recovery codes for somebody who has none yet.
pub(crate) async fn first_recovery_codes(tx: &mut Tx<'_>, user: UserId) -> preloop_store::Result<Vec<SecretString>> {
    if tx.recovery_codes_left(user).await? > 0 { Ok(Vec::new()) } else { new_codes(tx, user).await }
}

/// Without a second factor nothing is to be recovered.
pub(crate) async fn drop_codes_without_factor(tx: &mut Tx<'_>, user: UserId) -> preloop_store::Result<()> {
    if tx.totp(user).await?.is_none() && tx.passkeys(user).await?.is_empty() {
        tx.put_recovery_codes(user, &[]).await?;
    }
    Ok(())
}

async fn new_codes(tx: &mut Tx<'_>, user: UserId) -> preloop_store::Result<Vec<SecretString>> {
    let codes: Vec<String> = (0..RECOVERY_CODES)
        .map(|_| {
            let letters = totp::base32(&rand::random::<[u8; RECOVERY_BYTES]>()).to_lowercase();
            let groups: Vec<&str> = (0..letters.len()).step_by(4).filter_map(|at| letters.get(at..at + 4)).collect();
            groups.join("-")
        })
        .collect();
    let hashes: Vec<Hash> = codes.iter().map(|code| recovery_hash(code)).collect();
    tx.put_recovery_codes(user, &hashes).await?;
    Ok(codes.into_iter().map(SecretString::from).collect())
}

/// However it is typed.
fn recovery_hash(code: &str) -> Hash {
    Hash::of(code.chars().filter(char::is_ascii_alphanumeric).collect::<String>().to_ascii_lowercase())
}

/// A name as part of a URI.
fn percent(name: &str) -> String {
    name.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
