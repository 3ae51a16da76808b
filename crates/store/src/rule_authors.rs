//! Who wrote which rule, so that it can be somebody else who decides what it asks.

use std::collections::HashMap;

use preloop_types::UserId;
use uuid::Uuid;

use crate::{
    Result, Tx, View,
    db::{execute, fetch_all},
};

impl View<'_> {
    /// Who last wrote each rule, and the rules of each agent and key, by their ids.
    pub async fn rule_authors(&mut self) -> Result<HashMap<Uuid, UserId>> {
        let account = self.account().0;
        let sql = "SELECT id, user_id FROM rule_authors WHERE account_id = $1";
        let rows = fetch_all!(self.conn, (Uuid, Uuid), sql, account)?;
        Ok(rows.into_iter().map(|(id, user)| (id, UserId(user))).collect())
    }
}

impl Tx<'_> {
    /// Notes who wrote a rule, or the rules of an agent or a key.
    pub async fn put_rule_author(&mut self, id: Uuid, user: UserId) -> Result<()> {
        self.config_changed();
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "INSERT INTO rule_authors (account_id, id, user_id, written_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (account_id, id) DO UPDATE SET user_id = $3, written_at = $4";
        execute!(self.conn, sql, account, id, user.0, now)?;
        Ok(())
    }
}
