//! Times in which one person is not told of requests, or not asked.

use preloop_types::{AgentId, BypassId, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, row, unsigned},
};

/// A time in which one person is not told of requests (`mute_notifications`), or not asked (`auto_approve`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bypass {
    /// Its id.
    pub id: BypassId,
    /// Whose.
    pub user: UserId,
    /// `mute_notifications`, `auto_approve`.
    pub mode: String,
    /// Of this agent's requests alone.
    pub agent: Option<AgentId>,
    /// Why, in their words.
    pub reason: Option<String>,
    /// `api`, `cli`, `console`, `mobile`, `watch`.
    pub created_via: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was ended by hand.
    pub revoked_at: Option<Timestamp>,
    /// By whom.
    pub revoked_by: Option<UserId>,
    /// How many requests it approved.
    pub auto_approved: u64,
}

row! {
    struct BypassRow {
        id: Uuid, user_id: Uuid, mode: String, agent_id: Option<Uuid>, reason: Option<String>, created_via: String,
        created_at: i64, expires_at: i64, revoked_at: Option<i64>, revoked_by: Option<Uuid>, auto_approved: i64,
    }
}

impl BypassRow {
    fn into_bypass(self) -> Result<Bypass> {
        Ok(Bypass {
            id: BypassId(self.id),
            user: UserId(self.user_id),
            mode: self.mode,
            agent: self.agent_id.map(AgentId),
            reason: self.reason,
            created_via: self.created_via,
            created_at: at(self.created_at),
            expires_at: at(self.expires_at),
            revoked_at: self.revoked_at.map(at),
            revoked_by: self.revoked_by.map(UserId),
            auto_approved: unsigned(self.auto_approved)?,
        })
    }
}

impl View<'_> {
    /// Bypasses that hold at `now`, oldest first.
    pub async fn active_bypasses(&mut self, now: Timestamp) -> Result<Vec<Bypass>> {
        let account = self.account().0;
        let sql = "SELECT * FROM approval_bypasses WHERE account_id = $1 AND expires_at > $2 AND revoked_at IS NULL \
                   ORDER BY created_at, id";
        fetch_all!(self.conn, BypassRow, sql, account, now.micros())?.into_iter().map(BypassRow::into_bypass).collect()
    }

    /// One bypass, over or not.
    pub async fn bypass(&mut self, id: BypassId) -> Result<Option<Bypass>> {
        let account = self.account().0;
        let sql = "SELECT * FROM approval_bypasses WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, BypassRow, sql, account, id.0)?.map(BypassRow::into_bypass).transpose()
    }
}

impl Tx<'_> {
    /// Begins a bypass.
    pub async fn insert_bypass(&mut self, bypass: &Bypass) -> Result<()> {
        self.user(bypass.user).await?.ok_or(Error::NotFound)?;
        let account = self.account().0;
        let sql = "INSERT INTO approval_bypasses (account_id, id, user_id, mode, agent_id, reason, created_via, \
                   created_at, expires_at, auto_approved) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0)";
        execute!(
            self.conn,
            sql,
            account,
            bypass.id.0,
            bypass.user.0,
            &bypass.mode[..],
            bypass.agent.map(|id| id.0),
            bypass.reason.as_deref(),
            &bypass.created_via[..],
            bypass.created_at.micros(),
            bypass.expires_at.micros()
        )?;
        Ok(())
    }

    /// Ends a bypass that holds; false if it was over.
    pub async fn revoke_bypass(&mut self, id: BypassId, by: UserId) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE approval_bypasses SET revoked_at = $3, revoked_by = $4 \
                   WHERE account_id = $1 AND id = $2 AND revoked_at IS NULL AND expires_at > $3";
        Ok(execute!(self.conn, sql, account, id.0, now, by.0)? > 0)
    }
}
