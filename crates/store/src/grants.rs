//! What access tokens are given out under: sign-ins, and people's consent to clients.
//!
//! A grant has one refresh token at a time. Each can be used once; a used one that comes back was
//! stolen, by whoever brought it or whoever used it first, and ends the grant.

use std::time::Duration;

use preloop_types::{AccountId, Audience, CredentialKind, GrantId, Hash, KeyId, Scope, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Error, KeyRow, Result, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, from_json, json, row, word},
};

/// A sign-in, or a person's consent to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// Who it acts for.
    pub user: UserId,
    /// `Login` or `OAuth`.
    pub kind: CredentialKind,
    /// Who it was given to, for people: a browser, a command line, a client's name.
    pub client: String,
    /// The OAuth client.
    pub client_id: Option<String>,
    /// Where it was asked for from.
    pub address: Option<String>,
    /// What its tokens may be used for.
    pub scopes: Vec<Scope>,
    /// The path of the resource its tokens are for (RFC 8707), as [`Audience::of_resource`] reads it.
    pub resource: Option<String>,
    /// Who acts in the person's place.
    pub impersonator: Option<UserId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When a token was last given out.
    pub last_used_at: Timestamp,
    /// No refreshing beyond this.
    pub expires_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why: `logout`, `revoked`, `reused`, …
    pub end_reason: Option<String>,
}

impl Grant {
    /// Whether tokens can still be given out.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.ended_at.is_none() && self.expires_at > now
    }

    /// What whoever holds it may do, as if it were one long-lived key.
    pub fn as_key(&self, account: AccountId) -> KeyRow {
        KeyRow {
            id: KeyId(self.id.0),
            account,
            user: self.user,
            kind: self.kind,
            grant: Some(self.id),
            impersonator: self.impersonator,
            name: self.client.clone(),
            hash: Hash([0; 32]),
            prefix: String::new(),
            scopes: self.scopes.clone(),
            agent: None,
            session: None,
            allowed_tools: None,
            allowed_servers: None,
            expires_at: Some(self.expires_at),
            last_used_at: Some(self.last_used_at),
            revoked_at: self.ended_at,
            created_at: self.created_at,
        }
    }
}

row! {
    struct GrantRow {
        id: Uuid, user_id: Uuid, kind: String, client: String, client_id: Option<String>, address: Option<String>,
        scopes: String, resource: Option<String>, impersonator_id: Option<Uuid>, created_at: i64, last_used_at: i64,
        expires_at: i64, ended_at: Option<i64>, end_reason: Option<String>,
    }
}

impl GrantRow {
    fn into_grant(self) -> Result<Grant> {
        Ok(Grant {
            id: GrantId(self.id),
            user: UserId(self.user_id),
            kind: word(CredentialKind::parse, &self.kind)?,
            client: self.client,
            client_id: self.client_id,
            address: self.address,
            scopes: from_json(&self.scopes)?,
            resource: self.resource,
            impersonator: self.impersonator_id.map(UserId),
            created_at: at(self.created_at),
            last_used_at: at(self.last_used_at),
            expires_at: at(self.expires_at),
            ended_at: self.ended_at.map(at),
            end_reason: self.end_reason,
        })
    }
}

/// What became of a refresh token that was presented.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refreshed {
    /// It was good, and is used now.
    Used(Grant),
    /// It was used a moment ago, as when two tabs refresh at once: nothing changed.
    JustUsed,
    /// It was used before: the grant is ended.
    Reused(Grant),
    /// It, or its grant, is unknown or over.
    Invalid,
}

/// A second use so soon is a race of one client with itself, not a thief.
const RACE: Duration = Duration::from_secs(10);

impl Store {
    /// The account of a refresh token. Unscoped: a credential comes before the account is known.
    pub async fn account_of_refresh_token(&self, hash: &Hash) -> Result<Option<AccountId>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id FROM refresh_tokens WHERE hash = $1";
        Ok(fetch_optional!(conn, (Uuid,), sql, &hash.0[..])?.map(|(id,)| AccountId(id)))
    }

    /// The account and grant of an access or refresh token, whatever became of it.
    pub async fn grant_of_token(&self, hash: &Hash) -> Result<Option<(AccountId, GrantId)>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id, grant_id FROM refresh_tokens WHERE hash = $1 UNION ALL \
                   SELECT account_id, grant_id FROM api_keys WHERE hash = $1 AND grant_id IS NOT NULL";
        let found = fetch_optional!(conn, (Uuid, Uuid), sql, &hash.0[..])?;
        Ok(found.map(|(account, grant)| (AccountId(account), GrantId(grant))))
    }
}

impl View<'_> {
    /// One grant.
    pub async fn grant(&mut self, id: GrantId) -> Result<Option<Grant>> {
        let account = self.account().0;
        let sql = "SELECT * FROM grants WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, GrantRow, sql, account, id.0)?.map(GrantRow::into_grant).transpose()
    }

    /// Where the tokens of a grant may be presented; those of none, and of sign-ins, everywhere.
    pub(crate) async fn audience_of(&mut self, grant: Option<GrantId>) -> Result<Audience> {
        let Some(grant) = grant else { return Ok(Audience::Everything) };
        let grant = self.grant(grant).await?.ok_or_else(|| Error::Damaged("a token without its grant".to_owned()))?;
        grant.resource.map_or(Ok(Audience::Everything), |resource| word(Audience::of_resource, &resource))
    }

    /// The open grants of a person, those used last first.
    pub async fn grants_of(&mut self, user: UserId, now: Timestamp) -> Result<Vec<Grant>> {
        let account = self.account().0;
        let sql = "SELECT * FROM grants WHERE account_id = $1 AND user_id = $2 AND ended_at IS NULL \
                   AND expires_at > $3 ORDER BY last_used_at DESC, id";
        let rows = fetch_all!(self.conn, GrantRow, sql, account, user.0, now.micros())?;
        rows.into_iter().map(GrantRow::into_grant).collect()
    }

    /// Where a person's sign-ins since `since` came from.
    pub async fn grant_addresses(&mut self, user: UserId, since: Timestamp) -> Result<Vec<String>> {
        let account = self.account().0;
        let sql = "SELECT DISTINCT address FROM grants WHERE account_id = $1 AND user_id = $2 AND last_used_at > $3 \
                   AND address IS NOT NULL";
        let rows = fetch_all!(self.conn, (String,), sql, account, user.0, since.micros())?;
        Ok(rows.into_iter().map(|(address,)| address).collect())
    }
}

impl Tx<'_> {
    /// Adds a grant.
    pub async fn insert_grant(&mut self, grant: &Grant) -> Result<()> {
        let account = self.account().0;
        let sql = "INSERT INTO grants (account_id, id, user_id, kind, client, client_id, address, scopes, resource, \
                   impersonator_id, created_at, last_used_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
        execute!(
            self.conn,
            sql,
            account,
            grant.id.0,
            grant.user.0,
            grant.kind.as_str(),
            &grant.client[..],
            grant.client_id.as_deref(),
            grant.address.as_deref(),
            json(&grant.scopes)?,
            grant.resource.as_deref(),
            grant.impersonator.map(|id| id.0),
            grant.created_at.micros(),
            grant.last_used_at.micros(),
            grant.expires_at.micros()
        )?;
        Ok(())
    }

    /// Gives a grant its next refresh token.
    pub async fn insert_refresh_token(&mut self, grant: GrantId, hash: &Hash, expires_at: Timestamp) -> Result<()> {
        self.grant(grant).await?.ok_or(Error::NotFound)?;
        let account = self.account().0;
        let sql = "INSERT INTO refresh_tokens (account_id, hash, grant_id, expires_at) VALUES ($1, $2, $3, $4)";
        execute!(self.conn, sql, account, &hash.0[..], grant.0, expires_at.micros())?;
        Ok(())
    }

    /// Uses a refresh token up. The grant's access tokens that are over are forgotten.
    pub async fn use_refresh_token(&mut self, hash: &Hash) -> Result<Refreshed> {
        let (account, now) = (self.account().0, self.now());
        let sql = "UPDATE refresh_tokens SET used_at = $3 \
                   WHERE account_id = $1 AND hash = $2 AND used_at IS NULL AND expires_at > $3 RETURNING grant_id";
        if let Some((grant,)) = fetch_optional!(self.conn, (Uuid,), sql, account, &hash.0[..], now.micros())? {
            let Some(grant) = self.grant(GrantId(grant)).await?.filter(|grant| grant.is_open(now)) else {
                return Ok(Refreshed::Invalid);
            };
            let sql = "UPDATE grants SET last_used_at = $3 WHERE account_id = $1 AND id = $2";
            execute!(self.conn, sql, account, grant.id.0, now.micros())?;
            let sql = "DELETE FROM api_keys WHERE account_id = $1 AND grant_id = $2 AND expires_at <= $3";
            execute!(self.conn, sql, account, grant.id.0, now.micros())?;
            return Ok(Refreshed::Used(grant));
        }
        let sql = "SELECT grant_id, used_at FROM refresh_tokens WHERE account_id = $1 AND hash = $2 \
                   AND used_at IS NOT NULL";
        let Some((grant, used)) = fetch_optional!(self.conn, (Uuid, i64), sql, account, &hash.0[..])? else {
            return Ok(Refreshed::Invalid);
        };
        let Some(grant) = self.grant(GrantId(grant)).await?.filter(|grant| grant.is_open(now)) else {
            return Ok(Refreshed::Invalid);
        };
        if now.since(at(used)) < RACE {
            return Ok(Refreshed::JustUsed);
        }
        self.end_grant(grant.id, "reused").await?;
        Ok(Refreshed::Reused(grant))
    }

    /// Ends a grant and every token given out under it; false if it was over.
    pub async fn end_grant(&mut self, id: GrantId, reason: &str) -> Result<bool> {
        self.keys_changed();
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE grants SET ended_at = $3, end_reason = $4 \
                   WHERE account_id = $1 AND id = $2 AND ended_at IS NULL";
        let ended = execute!(self.conn, sql, account, id.0, now, reason)? > 0;
        let sql = "DELETE FROM api_keys WHERE account_id = $1 AND grant_id = $2";
        execute!(self.conn, sql, account, id.0)?;
        if !ended && self.grant(id).await?.is_none() {
            return Err(Error::NotFound);
        }
        Ok(ended)
    }

    /// Ends every open grant of a person but one; how many.
    pub async fn end_grants_of(&mut self, user: UserId, but: Option<GrantId>, reason: &str) -> Result<u64> {
        let (mut ended, now) = (0, self.now());
        for grant in self.grants_of(user, now).await? {
            if Some(grant.id) != but && self.end_grant(grant.id, reason).await? {
                ended += 1;
            }
        }
        Ok(ended)
    }

    /// Gives out an access token under a grant. Nothing has to forget anything: nobody knows it yet.
    pub async fn insert_access_token(&mut self, key: &KeyRow) -> Result<()> {
        if key.grant.is_none() || key.kind == CredentialKind::ApiKey {
            return Err(Error::Invalid("an access token belongs to a grant".to_owned()));
        }
        self.put_key(key).await
    }
}
