//! Sessions in the store.

use async_trait::async_trait;
use preloop_store::{McpSession, Store};
use preloop_types::{AccountId, Timestamp, config::RawJson};
use serde_json::{json, value::to_raw_value};

use super::sessions::{SessionRecord, SessionStore, SessionStoreError};
use crate::protocol::{ClientInfo, Version};

#[async_trait]
impl SessionStore for Store {
    async fn put(&self, session: &SessionRecord) -> Result<(), SessionStoreError> {
        let info = json!({"name": session.info.name, "version": session.info.version});
        let row = McpSession {
            id: session.id.clone(),
            account: session.account,
            key: session.key,
            client_info: to_raw_value(&info).ok().map(RawJson),
            version: session.version.as_str().to_owned(),
            capabilities: to_raw_value(&session.info.capabilities).ok().map(RawJson),
            created_at: session.created_at,
            last_seen_at: session.last_seen,
        };
        Ok(self.put_mcp_session(&row).await?)
    }

    async fn get(&self, account: AccountId, id: &str) -> Result<Option<SessionRecord>, SessionStoreError> {
        let row = self.get_mcp_session(account, id).await?;
        Ok(row.and_then(record))
    }

    fn touch(&self, account: AccountId, id: &str) {
        self.touch_mcp_session(account, id);
    }

    async fn delete(&self, account: AccountId, id: &str) -> Result<(), SessionStoreError> {
        Ok(self.delete_mcp_session(account, id).await?)
    }

    async fn delete_idle(&self, before: Timestamp) -> Result<(), SessionStoreError> {
        self.delete_stale_mcp_sessions(before).await?;
        Ok(())
    }
}

/// `None` for a revision this build no longer speaks: the client initializes again.
fn record(row: McpSession) -> Option<SessionRecord> {
    let info = row.client_info.as_ref().and_then(|info| serde_json::from_str(info.0.get()).ok());
    let info: serde_json::Value = info.unwrap_or_default();
    let said = |key: &str| info[key].as_str().unwrap_or_default().to_owned();
    let capabilities = row.capabilities.as_ref().and_then(|json| serde_json::from_str(json.0.get()).ok());
    Some(SessionRecord {
        version: Version::parse(&row.version)?,
        info: ClientInfo {
            name: said("name"),
            version: said("version"),
            capabilities: capabilities.unwrap_or_default(),
        },
        id: row.id,
        account: row.account,
        key: row.key,
        created_at: row.created_at,
        last_seen: row.last_seen_at,
    })
}

impl From<preloop_store::Error> for SessionStoreError {
    fn from(error: preloop_store::Error) -> Self {
        Self(error.to_string())
    }
}
