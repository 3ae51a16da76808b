use preloop_types::{AccountId, ApprovalId, Hash, UserId};
use uuid::Uuid;

use super::{ApprovalEvent, TokenGrant};
use crate::{
    Result, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional},
};

/// Most lines of a request's history that are read.
const EVENTS_MAX: i64 = 1000;

impl Store {
    /// The request a link leads to. Unscoped: a link comes before the account is known.
    pub async fn approval_by_token(&self, id: ApprovalId, token_hash: &Hash) -> Result<Option<TokenGrant>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql =
            "SELECT account_id, user_id, recipient FROM approval_tokens WHERE token_hash = $1 AND approval_id = $2";
        let row = fetch_optional!(conn, (Uuid, Option<Uuid>, String), sql, &token_hash.0[..], id.0)?;
        let Some((account, user, recipient)) = row else { return Ok(None) };
        let mut view = View::new(conn, AccountId(account), self.vault());
        let approval = view.approval(id).await?;
        Ok(approval.map(|approval| TokenGrant { approval, user: user.map(UserId), recipient }))
    }
}

/// Type, detail, comment, actor, time.
type EventRow = (String, Option<String>, Option<String>, Option<Uuid>, i64);

impl View<'_> {
    /// A request's history, oldest first.
    pub async fn approval_events(&mut self, id: ApprovalId) -> Result<Vec<ApprovalEvent>> {
        let account = self.account().0;
        let sql = "SELECT event_type, detail, comment, actor_id, at FROM approval_events \
                   WHERE approval_id = $2 AND account_id = $1 ORDER BY id LIMIT $3";
        let rows = fetch_all!(self.conn, EventRow, sql, account, id.0, EVENTS_MAX)?;
        let line = |(event_type, detail, comment, actor, time): EventRow| ApprovalEvent {
            event_type,
            detail,
            comment,
            actor: actor.map(UserId),
            at: at(time),
        };
        Ok(rows.into_iter().map(line).collect())
    }
}

impl View<'_> {
    /// What became of the webhooks of requests from `first` to `last`, oldest first: which request,
    /// and the line of its history.
    pub async fn webhook_events(
        &mut self,
        first: ApprovalId,
        last: ApprovalId,
    ) -> Result<Vec<(ApprovalId, ApprovalEvent)>> {
        let account = self.account().0;
        let sql = "SELECT approval_id, event_type, detail, at FROM approval_events \
                   WHERE account_id = $1 AND approval_id >= $2 AND approval_id <= $3 AND detail LIKE 'webhook %' \
                   AND event_type IN ('notification_sent', 'notification_failed') ORDER BY id LIMIT $4";
        let rows =
            fetch_all!(self.conn, (Uuid, String, Option<String>, i64), sql, account, first.0, last.0, EVENTS_MAX)?;
        let line = |(approval, event_type, detail, time)| {
            (ApprovalId(approval), ApprovalEvent { event_type, detail, comment: None, actor: None, at: at(time) })
        };
        Ok(rows.into_iter().map(line).collect())
    }
}

impl Tx<'_> {
    /// Adds a line to a request's history.
    pub async fn add_approval_event(
        &mut self,
        id: ApprovalId,
        event_type: &str,
        detail: Option<&str>,
        comment: Option<&str>,
        actor: Option<UserId>,
    ) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        self.approval_exists(id).await?;
        let sql = "INSERT INTO approval_events (account_id, approval_id, event_type, detail, comment, actor_id, at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        execute!(self.conn, sql, account, id.0, event_type, detail, comment, actor.map(|id| id.0), now)?;
        Ok(())
    }

    /// Keeps the hash of a link's token.
    pub async fn insert_approval_token(
        &mut self,
        id: ApprovalId,
        user: Option<UserId>,
        recipient: &str,
        token_hash: &Hash,
    ) -> Result<()> {
        let (account, now) = (self.account().0, self.now().micros());
        self.approval_exists(id).await?;
        let sql = "INSERT INTO approval_tokens (account_id, token_hash, approval_id, user_id, recipient, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        execute!(self.conn, sql, account, &token_hash.0[..], id.0, user.map(|id| id.0), recipient, now)?;
        Ok(())
    }
}
