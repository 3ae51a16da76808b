use preloop_types::{AccountId, KeyId, Timestamp, config::RawJson};
use uuid::Uuid;

use crate::{
    Result, Store, Tx,
    db::{at, execute, fetch_optional, opt_from_json, row},
};

/// A session of an MCP client; survives a restart.
#[derive(Debug, Clone, PartialEq)]
pub struct McpSession {
    /// The session id the client sends.
    pub id: String,
    /// Whose.
    pub account: AccountId,
    /// The credential it was opened with.
    pub key: KeyId,
    /// `clientInfo`, as it came.
    pub client_info: Option<RawJson>,
    /// The protocol version in use.
    pub version: String,
    /// The client's `capabilities`, as they came.
    pub capabilities: Option<RawJson>,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last used, give or take some seconds.
    pub last_seen_at: Timestamp,
}

row! {
    struct SessionRow {
        id: String, key_id: Uuid, client_info: Option<String>, version: String, capabilities: Option<String>,
        created_at: i64, last_seen_at: i64,
    }
}

impl Store {
    /// Keeps a session of an MCP client, replacing one of that id.
    pub async fn put_mcp_session(&self, session: &McpSession) -> Result<()> {
        let session = session.clone();
        self.write(session.account, move |tx| Box::pin(async move { tx.put_mcp_session(&session).await })).await
    }

    /// The session, if it is this account's.
    pub async fn get_mcp_session(&self, account: AccountId, id: &str) -> Result<Option<McpSession>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT * FROM mcp_sessions WHERE account_id = $1 AND id = $2";
        let Some(row) = fetch_optional!(conn, SessionRow, sql, account.0, id)? else { return Ok(None) };
        Ok(Some(McpSession {
            id: row.id,
            account,
            key: KeyId(row.key_id),
            client_info: opt_from_json(row.client_info.as_deref())?,
            version: row.version,
            capabilities: opt_from_json(row.capabilities.as_deref())?,
            created_at: at(row.created_at),
            last_seen_at: at(row.last_seen_at),
        }))
    }

    /// Ends a session; nothing happens if there is none.
    pub async fn delete_mcp_session(&self, account: AccountId, id: &str) -> Result<()> {
        let id = id.to_owned();
        self.write(account, move |tx| {
            Box::pin(async move {
                let sql = "DELETE FROM mcp_sessions WHERE account_id = $1 AND id = $2";
                execute!(tx.conn, sql, account.0, &id[..]).map(drop)
            })
        })
        .await
    }

    /// Ends sessions last seen before `before`, of every account; how many.
    pub async fn delete_stale_mcp_sessions(&self, before: Timestamp) -> Result<u64> {
        self.write_any(move |tx| {
            Box::pin(
                async move { execute!(tx.conn, "DELETE FROM mcp_sessions WHERE last_seen_at < $1", before.micros()) },
            )
        })
        .await
    }
}

impl Tx<'_> {
    async fn put_mcp_session(&mut self, session: &McpSession) -> Result<()> {
        let sql = "INSERT INTO mcp_sessions \
                   (account_id, id, key_id, client_info, version, capabilities, created_at, last_seen_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (account_id, id) DO UPDATE SET \
                   key_id = excluded.key_id, client_info = excluded.client_info, version = excluded.version, \
                   capabilities = excluded.capabilities, last_seen_at = excluded.last_seen_at";
        execute!(
            self.conn,
            sql,
            session.account.0,
            &session.id[..],
            session.key.0,
            session.client_info.as_ref().map(|json| json.0.get()),
            &session.version[..],
            session.capabilities.as_ref().map(|json| json.0.get()),
            session.created_at.micros(),
            session.last_seen_at.micros()
        )?;
        Ok(())
    }
}
