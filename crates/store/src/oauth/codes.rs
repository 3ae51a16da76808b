use std::time::Duration;

use preloop_types::{AccountId, GrantId, Hash, Scope, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Result, Store, Tx, View,
    db::{at, execute, fetch_optional, from_json, json, row},
};

/// A person's consent, on its way to a token. The code itself is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthCode {
    /// Who consented.
    pub user: UserId,
    /// To which client.
    pub client_id: String,
    /// What that client is called, for people.
    pub client: String,
    /// Where the browser was sent back to.
    pub redirect_uri: String,
    /// The PKCE challenge (S256).
    pub challenge: String,
    /// To what.
    pub scopes: Vec<Scope>,
    /// The path of the resource.
    pub resource: String,
    /// Where the person was.
    pub address: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
    /// What it was exchanged for.
    pub grant: Option<GrantId>,
}

row! {
    struct CodeRow {
        user_id: Uuid, client_id: String, client: String, redirect_uri: String, challenge: String, scopes: String,
        resource: String, address: Option<String>, expires_at: i64, grant_id: Option<Uuid>,
    }
}

/// What became of a code that was presented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedeemedCode {
    /// It is used now.
    Now,
    /// It was used before, for this.
    Before(GrantId),
    /// There is none, or it is over.
    Not,
}

/// How long a used code is known as such.
const REMEMBERED: Duration = Duration::from_hours(24);

impl Store {
    /// The account of a code. Unscoped: a code comes before the account is known.
    pub async fn account_of_oauth_code(&self, hash: &Hash) -> Result<Option<AccountId>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id FROM oauth_codes WHERE hash = $1";
        Ok(fetch_optional!(conn, (Uuid,), sql, &hash.0[..])?.map(|(id,)| AccountId(id)))
    }
}

impl View<'_> {
    /// The code of that hash, used and expired ones too.
    pub async fn oauth_code(&mut self, hash: &Hash) -> Result<Option<OAuthCode>> {
        let account = self.account().0;
        let sql = "SELECT * FROM oauth_codes WHERE account_id = $1 AND hash = $2";
        let Some(row) = fetch_optional!(self.conn, CodeRow, sql, account, &hash.0[..])? else { return Ok(None) };
        Ok(Some(OAuthCode {
            user: UserId(row.user_id),
            client_id: row.client_id,
            client: row.client,
            redirect_uri: row.redirect_uri,
            challenge: row.challenge,
            scopes: from_json(&row.scopes)?,
            resource: row.resource,
            address: row.address,
            expires_at: at(row.expires_at),
            grant: row.grant_id.map(GrantId),
        }))
    }
}

impl Tx<'_> {
    /// Adds a code; those long over are forgotten.
    pub async fn insert_oauth_code(&mut self, hash: &Hash, code: &OAuthCode) -> Result<()> {
        let (account, now) = (self.account().0, self.now());
        let sql = "DELETE FROM oauth_codes WHERE account_id = $1 AND expires_at < $2";
        execute!(self.conn, sql, account, (now - REMEMBERED).micros())?;
        let sql = "INSERT INTO oauth_codes (account_id, hash, user_id, client_id, client, redirect_uri, challenge, \
                   scopes, resource, address, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        execute!(
            self.conn,
            sql,
            account,
            &hash.0[..],
            code.user.0,
            &code.client_id[..],
            &code.client[..],
            &code.redirect_uri[..],
            &code.challenge[..],
            json(&code.scopes)?,
            &code.resource[..],
            code.address.as_deref(),
            code.expires_at.micros()
        )?;
        Ok(())
    }

    /// Exchanges a code for `grant`, which need not exist yet. Of many at once one succeeds.
    pub async fn redeem_oauth_code(&mut self, hash: &Hash, grant: GrantId) -> Result<RedeemedCode> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE oauth_codes SET grant_id = $3 \
                   WHERE account_id = $1 AND hash = $2 AND grant_id IS NULL AND expires_at > $4";
        if execute!(self.conn, sql, account, &hash.0[..], grant.0, now)? > 0 {
            return Ok(RedeemedCode::Now);
        }
        let before = self.oauth_code(hash).await?.and_then(|code| code.grant);
        Ok(before.map_or(RedeemedCode::Not, RedeemedCode::Before))
    }
}
