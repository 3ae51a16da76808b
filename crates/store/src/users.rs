use preloop_types::{Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, row},
};

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Unique in the account.
    pub username: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// Display name.
    pub full_name: Option<String>,
    /// Whether their credentials work and their votes count.
    pub is_active: bool,
    /// When they were added.
    pub created_at: Timestamp,
}

row! {
    pub(crate) struct UserRow {
        id: Uuid, username: String, email: Option<String>, full_name: Option<String>, is_active: bool, created_at: i64,
    }
}

impl UserRow {
    pub(crate) fn into_user(self) -> User {
        let Self { id, username, email, full_name, is_active, created_at } = self;
        User { id: UserId(id), username, email, full_name, is_active, created_at: at(created_at) }
    }
}

impl View<'_> {
    /// Every person, by name.
    pub async fn users(&mut self) -> Result<Vec<User>> {
        let account = self.account().0;
        let sql = "SELECT * FROM users WHERE account_id = $1 ORDER BY username";
        let rows = fetch_all!(self.conn, UserRow, sql, account)?;
        Ok(rows.into_iter().map(UserRow::into_user).collect())
    }

    /// One person.
    pub async fn user(&mut self, id: UserId) -> Result<Option<User>> {
        let account = self.account().0;
        let sql = "SELECT * FROM users WHERE account_id = $1 AND id = $2";
        Ok(fetch_optional!(self.conn, UserRow, sql, account, id.0)?.map(UserRow::into_user))
    }

    /// The person the account belongs to.
    pub async fn owner(&mut self) -> Result<Option<User>> {
        let account = self.account().0;
        let sql = "SELECT u.* FROM users u JOIN accounts a ON a.id = u.account_id AND a.owner_id = u.id \
                   WHERE u.account_id = $1";
        Ok(fetch_optional!(self.conn, UserRow, sql, account)?.map(UserRow::into_user))
    }
}

impl Tx<'_> {
    /// Adds a person.
    pub async fn insert_user(&mut self, user: &User) -> Result<()> {
        self.keys_changed();
        let account = self.account().0;
        let sql = "INSERT INTO users (account_id, id, username, email, full_name, is_active, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        execute!(
            self.conn,
            sql,
            account,
            user.id.0,
            &user.username[..],
            user.email.as_deref(),
            user.full_name.as_deref(),
            user.is_active,
            user.created_at.micros()
        )?;
        Ok(())
    }

    /// Replaces a person's row.
    pub async fn update_user(&mut self, user: &User) -> Result<()> {
        self.keys_changed();
        let account = self.account().0;
        let sql = "UPDATE users SET username = $3, email = $4, full_name = $5, is_active = $6 \
                   WHERE account_id = $1 AND id = $2";
        found(execute!(
            self.conn,
            sql,
            account,
            user.id.0,
            &user.username[..],
            user.email.as_deref(),
            user.full_name.as_deref(),
            user.is_active
        )?)
    }
}
