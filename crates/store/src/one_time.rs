//! Secrets that work once: links sent by mail, invitations, a sign-in between its two factors.
//!
//! What a token is for is part of its row: one made for another purpose is not found.

use preloop_types::{AccountId, Hash, OneTimePurpose as Purpose, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Result, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, row},
};

/// A token to be made.
#[derive(Debug, Clone)]
pub struct NewOneTime {
    /// SHA-256 of the secret.
    pub hash: Hash,
    /// What it is for.
    pub purpose: Purpose,
    /// Who it is for, where they are known.
    pub user: Option<UserId>,
    /// The address it was sent to.
    pub email: Option<String>,
    /// JSON that its purpose needs. No secrets.
    pub data: Option<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A token that has not been used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneTime {
    /// The account it is about.
    pub account: AccountId,
    /// Who it is for, where they are known.
    pub user: Option<UserId>,
    /// The address it was sent to.
    pub email: Option<String>,
    /// JSON that its purpose needs.
    pub data: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
}

row! {
    struct OneTimeRow {
        account_id: Uuid, user_id: Option<Uuid>, email: Option<String>, data: Option<String>,
        created_at: i64, expires_at: i64,
    }
}

impl OneTimeRow {
    fn into_token(self) -> OneTime {
        OneTime {
            account: AccountId(self.account_id),
            user: self.user_id.map(UserId),
            email: self.email,
            data: self.data,
            created_at: at(self.created_at),
            expires_at: at(self.expires_at),
        }
    }
}

impl Store {
    /// A token that still works, to be looked at. Unscoped: it comes before the account is known.
    pub async fn find_one_time(&self, purpose: Purpose, hash: &Hash) -> Result<Option<OneTime>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql =
            "SELECT * FROM one_time_tokens WHERE hash = $1 AND purpose = $2 AND used_at IS NULL AND expires_at > $3";
        let now = self.now().micros();
        let row = fetch_optional!(conn, OneTimeRow, sql, &hash.0[..], purpose.as_str(), now)?;
        Ok(row.map(OneTimeRow::into_token))
    }
}

impl View<'_> {
    /// When a person was given tokens for `purpose` since `since`, oldest first.
    pub async fn one_times_since(
        &mut self,
        user: UserId,
        purpose: Purpose,
        since: Timestamp,
    ) -> Result<Vec<Timestamp>> {
        let account = self.account().0;
        let sql = "SELECT created_at FROM one_time_tokens WHERE account_id = $1 AND user_id = $2 AND purpose = $3 \
                   AND created_at > $4 ORDER BY created_at";
        let rows = fetch_all!(self.conn, (i64,), sql, account, user.0, purpose.as_str(), since.micros())?;
        Ok(rows.into_iter().map(|(created,)| at(created)).collect())
    }
}

impl Tx<'_> {
    /// Adds a token. Those of the account that are over are forgotten.
    pub async fn insert_one_time(&mut self, new: &NewOneTime) -> Result<()> {
        let (account, now) = (self.account().0, self.now());
        let sql = "DELETE FROM one_time_tokens WHERE account_id = $1 AND expires_at <= $2";
        execute!(self.conn, sql, account, now.micros())?;
        let sql = "INSERT INTO one_time_tokens (account_id, hash, purpose, user_id, email, data, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        execute!(
            self.conn,
            sql,
            account,
            &new.hash.0[..],
            new.purpose.as_str(),
            new.user.map(|id| id.0),
            new.email.as_deref(),
            new.data.as_deref(),
            now.micros(),
            new.expires_at.micros()
        )?;
        Ok(())
    }

    /// Uses a token up; `None` if it is unknown, used, over or for something else.
    pub async fn use_one_time(&mut self, purpose: Purpose, hash: &Hash) -> Result<Option<OneTime>> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE one_time_tokens SET used_at = $4 WHERE account_id = $1 AND hash = $2 AND purpose = $3 \
                   AND used_at IS NULL AND expires_at > $4 RETURNING *";
        let row = fetch_optional!(self.conn, OneTimeRow, sql, account, &hash.0[..], purpose.as_str(), now)?;
        Ok(row.map(OneTimeRow::into_token))
    }

    /// Takes back in the same work that a token was used, and replaces what it carries.
    pub async fn reopen_one_time(&mut self, purpose: Purpose, hash: &Hash, data: &str) -> Result<()> {
        let account = self.account().0;
        let sql = "UPDATE one_time_tokens SET used_at = NULL, data = $4 \
                   WHERE account_id = $1 AND hash = $2 AND purpose = $3";
        found(execute!(self.conn, sql, account, &hash.0[..], purpose.as_str(), data)?)
    }

    /// Ends every token for `purpose` that a person was given.
    pub async fn end_one_times(&mut self, user: UserId, purpose: Purpose) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE one_time_tokens SET used_at = $4 \
                   WHERE account_id = $1 AND user_id = $2 AND purpose = $3 AND used_at IS NULL";
        execute!(self.conn, sql, account, user.0, purpose.as_str(), now)?;
        Ok(())
    }
}
