//! Giving out tokens under a grant, renewing them, and taking them back.
//!
//! Tokens are random and opaque; the store holds their hashes. A refresh token works once: one that
//! was used before was stolen, and ends the whole grant.

use std::time::Duration;

use preloop_govern::config::MintedKey;
use preloop_store::{Grant, KeyRow, Refreshed, Tx};
use preloop_types::{
    AccountId, CredentialKind, Entry, EntryKind, GrantId, Hash, KeyId, Principal, Scope, Subject, UserId,
};
use secrecy::SecretString;
use serde_json::{json, value::to_raw_value};

use crate::{Error, Identity, Result};

/// How long the tokens of a kind of grant last.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// An access token.
    pub access: Duration,
    /// A refresh token that is not used.
    pub refresh: Duration,
    /// The grant, however often it is renewed.
    pub grant: Duration,
}

impl Lifetimes {
    /// Of a person at a browser.
    pub const LOGIN: Self = Self {
        access: Duration::from_mins(15),
        refresh: Duration::from_hours(24 * 7),
        grant: Duration::from_hours(24 * 30),
    };
    /// Of a browser's session, which is not renewed.
    pub const BROWSER: Self =
        Self { access: Duration::from_hours(12), refresh: Duration::from_hours(12), grant: Duration::from_hours(12) };
    /// Of a client that a person consented to.
    pub const CLIENT: Self = Self {
        access: Duration::from_hours(1),
        refresh: Duration::from_hours(24 * 30),
        grant: Duration::from_hours(24 * 365),
    };
}

/// What a grant is made of.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// Who it acts for.
    pub user: UserId,
    /// `Login` or `OAuth`.
    pub kind: CredentialKind,
    /// Who it is given to, for people.
    pub client: String,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// Where it was asked for from.
    pub address: Option<String>,
    /// What its tokens may be used for.
    pub scopes: Vec<Scope>,
    /// The resource its tokens are for (RFC 8707).
    pub resource: Option<String>,
    /// Who acts in the person's place.
    pub impersonator: Option<UserId>,
    /// How long everything lasts.
    pub lifetimes: Lifetimes,
}

/// Tokens as they are handed over: nowhere else.
pub struct Tokens {
    /// The grant they were given out under.
    pub grant: Grant,
    /// Goes with each request.
    pub access: SecretString,
    /// Gets the next pair, once.
    pub refresh: SecretString,
    /// How long the access token lasts.
    pub expires_in: Duration,
}

/// What a refresh token begins with.
const REFRESH: &str = "plr_";

/// What an access token begins with.
const fn access_prefix(kind: CredentialKind) -> &'static str {
    match kind {
        CredentialKind::ApiKey => "pl_",
        CredentialKind::Login => "pla_",
        CredentialKind::OAuth => "plo_",
    }
}

/// Opens a grant and gives out its first tokens, in the caller's transaction. The person signed in
/// or consented before this is called.
pub async fn open(tx: &mut Tx<'_>, new: NewGrant) -> Result<Tokens, preloop_store::Error> {
    let id = GrantId::new(tx.now());
    open_as(tx, id, new).await
}

/// As [`open`], under an id that something else refers to already.
pub(crate) async fn open_as(tx: &mut Tx<'_>, id: GrantId, new: NewGrant) -> Result<Tokens, preloop_store::Error> {
    let now = tx.now();
    let lifetimes = new.lifetimes;
    let grant = Grant {
        id,
        user: new.user,
        kind: new.kind,
        client: new.client,
        client_id: new.client_id,
        address: new.address,
        scopes: new.scopes,
        resource: new.resource,
        impersonator: new.impersonator,
        created_at: now,
        last_used_at: now,
        expires_at: now + lifetimes.grant,
        ended_at: None,
        end_reason: None,
    };
    tx.insert_grant(&grant).await?;
    tx.signed_in(grant.user).await?;
    note(tx, &grant, "opened");
    give(tx, grant, lifetimes).await
}

pub(crate) async fn give(tx: &mut Tx<'_>, grant: Grant, lifetimes: Lifetimes) -> Result<Tokens, preloop_store::Error> {
    let now = tx.now();
    let (access, refresh) = (MintedKey::with_prefix(access_prefix(grant.kind)), MintedKey::with_prefix(REFRESH));
    tx.insert_refresh_token(grant.id, &refresh.hash, (now + lifetimes.refresh).min(grant.expires_at)).await?;
    tx.insert_access_token(&KeyRow {
        id: KeyId::new(now),
        hash: access.hash,
        prefix: access.prefix,
        expires_at: Some((now + lifetimes.access).min(grant.expires_at)),
        last_used_at: None,
        created_at: now,
        ..grant.as_key(tx.account())
    })
    .await?;
    Ok(Tokens { grant, access: access.secret, refresh: refresh.secret, expires_in: lifetimes.access })
}

impl Identity {
    /// The next pair for a refresh token of a grant of that kind. One that was used before ends the
    /// grant.
    pub async fn refresh(&self, kind: CredentialKind, token: &str, lifetimes: Lifetimes) -> Result<Tokens> {
        let hash = Hash::of(token);
        let account = self.store().account_of_refresh_token(&hash).await?.ok_or(Error::InvalidToken)?;
        let given = self.store().write(account, move |tx| {
            Box::pin(async move {
                match tx.use_refresh_token(&hash).await? {
                    Refreshed::Used(grant) if grant.kind == kind && works(tx, &grant).await? => {
                        give(tx, grant, lifetimes).await.map(Some)
                    }
                    Refreshed::Reused(grant) => {
                        note(tx, &grant, "reused");
                        Ok(None)
                    }
                    Refreshed::Used(_) | Refreshed::JustUsed | Refreshed::Invalid => Ok(None),
                }
            })
        });
        given.await?.ok_or(Error::InvalidToken)
    }

    /// Ends a grant of a person and every token given out under it; false if it was over.
    pub async fn end(
        &self,
        account: AccountId,
        by: Subject,
        user: UserId,
        id: GrantId,
        reason: &'static str,
    ) -> Result<bool> {
        let ended = self.store().write(account, move |tx| {
            Box::pin(async move {
                let Some(grant) = tx.grant(id).await?.filter(|grant| grant.user == user) else { return Ok(None) };
                let ended = tx.end_grant(id, reason).await?;
                if ended {
                    note_by(tx, by, &grant, reason);
                }
                Ok(Some(ended))
            })
        });
        ended.await?.ok_or(Error::NotFound("session"))
    }
}

impl Identity {
    /// Ends every sign-in of a person, and their consent to every client; how many.
    pub async fn end_all(&self, who: &Principal) -> Result<u64> {
        let (account, user, by) = (who.account, who.user, Subject::from(who));
        let ended = self.store().write(account, move |tx| {
            Box::pin(async move {
                let now = tx.now();
                for grant in tx.grants_of(user, now).await? {
                    note_by(tx, by, &grant, "revoked");
                }
                tx.end_grants_of(user, None, "revoked").await
            })
        });
        Ok(ended.await?)
    }
}

/// Whether the person behind a grant may still act.
pub(crate) async fn works(tx: &mut Tx<'_>, grant: &Grant) -> Result<bool, preloop_store::Error> {
    Ok(tx.user(grant.user).await?.is_some_and(|user| user.is_active))
}

pub(crate) fn note(tx: &mut Tx<'_>, grant: &Grant, action: &'static str) {
    let by = Subject { user: Some(grant.user), impersonator: grant.impersonator, ..Subject::default() };
    note_by(tx, by, grant, action);
}

fn note_by(tx: &mut Tx<'_>, by: Subject, grant: &Grant, action: &'static str) {
    let body = json!({
        "config_type": "grant", "action": action, "id": grant.id, "kind": grant.kind, "client": grant.client,
        "client_id": grant.client_id, "user": grant.user, "scopes": grant.scopes, "address": grant.address,
    });
    let body = to_raw_value(&body).unwrap_or_default();
    let account = tx.account();
    let subject = Subject { key: Some(KeyId(grant.id.0)), ..by };
    tx.record(Entry { account, kind: EntryKind::KeyChanged, call: None, subject, body, payload: None });
}
