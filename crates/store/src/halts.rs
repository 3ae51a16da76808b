//! What the kill switch holds. One row for each thing that is halted; none is the usual state.

use preloop_types::{Halt, HaltScope, UserId};
use uuid::Uuid;

use crate::{
    Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, row, word},
};

row! {
    struct HaltRow { scope: String, halted_by: Uuid, username: String, halted_at: i64, reason: Option<String> }
}

impl HaltRow {
    fn into_halt(self) -> Result<Halt> {
        Ok(Halt {
            scope: word(HaltScope::parse, &self.scope)?,
            by: UserId(self.halted_by),
            username: self.username,
            at: at(self.halted_at),
            reason: self.reason,
        })
    }
}

impl View<'_> {
    /// What is halted, by scope.
    pub async fn halts(&mut self) -> Result<Vec<Halt>> {
        let account = self.account().0;
        let sql = "SELECT * FROM halts WHERE account_id = $1 ORDER BY scope";
        fetch_all!(self.conn, HaltRow, sql, account)?.into_iter().map(HaltRow::into_halt).collect()
    }
}

impl Tx<'_> {
    /// Halts something; false if it is halted already, and then who did it first stays.
    pub async fn insert_halt(&mut self, halt: &Halt) -> Result<bool> {
        self.config_changed();
        let account = self.account().0;
        let sql = "INSERT INTO halts (account_id, scope, halted_by, username, halted_at, reason) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        let (username, reason) = (&halt.username[..], halt.reason.as_deref());
        let halted =
            execute!(self.conn, sql, account, halt.scope.as_str(), halt.by.0, username, halt.at.micros(), reason)?;
        Ok(halted > 0)
    }

    /// Lets something go on: how it was halted, if it was.
    pub async fn delete_halt(&mut self, scope: HaltScope) -> Result<Option<Halt>> {
        self.config_changed();
        let account = self.account().0;
        let sql = "DELETE FROM halts WHERE account_id = $1 AND scope = $2 RETURNING *";
        fetch_optional!(self.conn, HaltRow, sql, account, scope.as_str())?.map(HaltRow::into_halt).transpose()
    }
}
