use preloop_types::Timestamp;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_optional, found},
};

/// What people know of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountInfo {
    /// Whose it is, for people.
    pub organization_name: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl View<'_> {
    /// What people know of the account.
    pub async fn info(&mut self) -> Result<AccountInfo> {
        let account = self.account().0;
        let sql = "SELECT organization_name, created_at, updated_at FROM accounts WHERE id = $1";
        let row = fetch_optional!(self.conn, (Option<String>, i64, i64), sql, account)?;
        let (organization_name, created, updated) = row.ok_or(Error::NotFound)?;
        Ok(AccountInfo { organization_name, created_at: at(created), updated_at: at(updated.max(created)) })
    }
}

impl Tx<'_> {
    /// Says whose the account is.
    pub async fn set_organization_name(&mut self, name: Option<&str>) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE accounts SET organization_name = $2, updated_at = $3 WHERE id = $1";
        found(execute!(self.conn, sql, account, name, now)?)
    }
}
