use preloop_types::{AccountId, KeyId, Timestamp, config::RawJson};

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
