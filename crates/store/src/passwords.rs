//! What people sign in with. Password hashes leave the store through here only.

use preloop_types::{AccountId, User, UserId};
use uuid::Uuid;

use crate::{
    Result, Store, Tx, View,
    db::{execute, fetch_all, fetch_optional, found},
};

/// Somebody who may sign in.
#[derive(Clone)]
pub struct SignIn {
    /// Their account.
    pub account: AccountId,
    /// The person.
    pub user: User,
    /// The hash of their password (PHC string); none where they sign in elsewhere.
    pub password_hash: Option<String>,
}

impl Store {
    /// Who signs in as `username`. Unscoped: a name comes before the account is known.
    pub async fn find_sign_in(&self, username: &str) -> Result<Option<SignIn>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id, id, password_hash FROM users WHERE lower(username) = lower($1)";
        let row = fetch_optional!(conn, (Uuid, Uuid, Option<String>), sql, username)?;
        let Some((account, id, password_hash)) = row else { return Ok(None) };
        let account = AccountId(account);
        let user = View::new(conn, account, self.vault()).user(UserId(id)).await?;
        Ok(user.map(|user| SignIn { account, user, password_hash }))
    }

    /// Everybody whose mail goes to `email`, in any account. Unscoped: an address comes before the account
    /// is known.
    pub async fn find_by_email(&self, email: &str) -> Result<Vec<(AccountId, User)>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT account_id, id FROM users WHERE email IS NOT NULL AND lower(email) = lower($1) ORDER BY id";
        let mut people = Vec::new();
        for (account, id) in fetch_all!(conn, (Uuid, Uuid), sql, email)? {
            let account = AccountId(account);
            if let Some(user) = View::new(conn.reborrow(), account, self.vault()).user(UserId(id)).await? {
                people.push((account, user));
            }
        }
        Ok(people)
    }
}

impl View<'_> {
    /// The hash of a person's password, where they have one.
    pub async fn password_hash(&mut self, id: UserId) -> Result<Option<String>> {
        let account = self.account().0;
        let sql = "SELECT password_hash FROM users WHERE account_id = $1 AND id = $2";
        Ok(fetch_optional!(self.conn, (Option<String>,), sql, account, id.0)?.and_then(|(hash,)| hash))
    }
}

impl Tx<'_> {
    /// Gives a person a password.
    pub async fn set_password_hash(&mut self, id: UserId, hash: &str) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE users SET password_hash = $3, updated_at = $4 WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, id.0, hash, now)?)
    }
}
