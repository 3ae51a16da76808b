//! `/api/v1/mcp-servers`: upstream MCP servers, their tools, pins and OAuth consent.

use std::collections::BTreeMap;

use preloop_types::config::{PinMode, PinState, PrefixMode, ServerStatus};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, JsonObject, Update, Utc, Uuid, spelling};

/// An upstream MCP server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct McpServer {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Display name, unique in the account.
    pub name: String,
    /// Immutable short name; prefixes its tools where names clash.
    pub slug: String,
    /// `streamable-http`, `sse` or `stdio`.
    pub transport: String,
    /// Where it is; absent for `stdio`.
    pub url: Option<String>,
    /// The program of a `stdio` server.
    pub command: Option<String>,
    /// The program's arguments.
    pub args: Vec<String>,
    /// The program's environment; values are never shown.
    pub env: BTreeMap<String, Redacted>,
    /// Where the program runs.
    pub cwd: Option<String>,
    /// `none`, `bearer`, `api_key`, `header` or `oauth`.
    pub auth_type: String,
    /// How Preloop proves who it is; secret values are never shown.
    #[schema(value_type = Option<Object>)]
    pub auth_config: Option<JsonObject>,
    /// Knobs.
    pub settings: ServerSettings,
    /// Whether it may be used.
    #[schema(schema_with = spelling::server_status)]
    pub status: ServerStatus,
    /// When its tools were last listed.
    pub last_scan_at: Option<DateTime<Utc>>,
    /// Why the last scan or call failed.
    pub last_error: Option<String>,
    /// The protocol version in use.
    pub protocol_version: Option<String>,
    /// What it said of itself.
    #[schema(value_type = Option<Object>)]
    pub server_info: Option<serde_json::Value>,
    /// What it says it can do.
    #[schema(value_type = Option<Object>)]
    pub capabilities: Option<serde_json::Value>,
    /// What it tells models about itself.
    pub instructions: Option<String>,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Stands in place of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Redacted {
    /// Always true: there is a value and it is not shown.
    pub redacted: bool,
}

impl Redacted {
    /// There is a value.
    pub const SET: Redacted = Redacted { redacted: true };
}

/// Knobs of a server. What is absent in a request keeps its value, or its default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServerSettings {
    /// How exposed tool names are made.
    #[schema(schema_with = spelling::prefix_mode_or_null)]
    pub prefix: Option<PrefixMode>,
    /// What a changed tool definition leads to.
    #[schema(schema_with = spelling::pin_mode_or_null)]
    pub pin: Option<PinMode>,
    /// Longest wait for a connection, in milliseconds (100 to 60,000).
    pub connect_ms: Option<u64>,
    /// Longest wait for a call's result, in milliseconds (1,000 to 86,400,000).
    pub call_ms: Option<u64>,
    /// Calls in flight at once (1 to 10,000).
    pub max_concurrency: Option<u32>,
    /// Largest result, in bytes (1 KiB to 64 MiB).
    pub max_response_bytes: Option<u64>,
    /// Believe the server's `readOnlyHint` and `idempotentHint`.
    pub trusted_annotations: Option<bool>,
    /// Let the server ask the agent's model for completions.
    pub allow_sampling: Option<bool>,
    /// Let the server ask the agent's user for input.
    pub allow_elicitation: Option<bool>,
    /// Let the server see the client's roots.
    pub allow_roots: Option<bool>,
    /// Let the server's URL resolve to private, loopback and link-local addresses.
    pub allow_private_network: Option<bool>,
}

/// Adds a server.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateMcpServer {
    /// Display name, unique in the account.
    pub name: String,
    /// `streamable-http` (also `http-streaming`), `sse` or `stdio`.
    #[serde(default = "default_transport")]
    #[schema(default = default_transport)]
    pub transport: String,
    /// Where it is; required unless `stdio`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The program; required for `stdio`. Never given to a shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The program's arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// The program's environment; values are kept as secrets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, Object>)]
    pub env: BTreeMap<String, serde_json::Value>,
    /// Where the program runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// `none`, `bearer`, `api_key`, `header` or `oauth`.
    #[serde(default = "default_auth")]
    #[schema(default = default_auth)]
    pub auth_type: String,
    /// `{"token"}`, `{"api_key", "key_name"?}`, `{"headers": {…}}` or
    /// `{"client_id"?, "client_secret"?, "scopes"?}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub auth_config: Option<JsonObject>,
    /// Knobs.
    #[serde(default)]
    pub settings: ServerSettings,
    /// `disabled` adds it switched off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::server_status_or_null)]
    pub status: Option<ServerStatus>,
}

fn default_transport() -> String {
    "streamable-http".to_owned()
}

fn default_auth() -> String {
    "none".to_owned()
}

/// Changes a server. What is absent stays; so does a secret sent as `{"redacted": true}`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateMcpServer {
    /// Display name; the slug stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `streamable-http` (also `http-streaming`), `sse` or `stdio`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<String>,
    /// Where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The program of a `stdio` server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
    /// The program's arguments.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub args: Option<Vec<String>>,
    /// The program's environment, whole: a name that is left out is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<BTreeMap<String, Object>>)]
    pub env: Option<BTreeMap<String, serde_json::Value>>,
    /// Where the program runs.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub cwd: Update<String>,
    /// `none`, `bearer`, `api_key`, `header` or `oauth`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_type: Option<String>,
    /// As when creating.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub auth_config: Option<JsonObject>,
    /// Knobs; those that are absent stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settings: Option<ServerSettings>,
    /// `active` or `disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::server_status_or_null)]
    pub status: Option<ServerStatus>,
}

/// A tool as its server defines it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct McpTool {
    /// Its id.
    pub id: Uuid,
    /// Its server.
    pub mcp_server_id: Uuid,
    /// The name the server gives it.
    pub name: String,
    /// The name agents call it by.
    pub exposed_name: String,
    /// What it says it does, as pinned.
    pub description: Option<String>,
    /// Its arguments' JSON Schema, as pinned.
    #[schema(value_type = Object)]
    pub input_schema: serde_json::Value,
    /// Whether it may be used.
    #[schema(schema_with = spelling::pin_state)]
    pub pin: PinState,
    /// Hash of the pinned definition.
    pub pinned_hash: String,
    /// Hash of the newest definition; what accepting names.
    pub definition_hash: String,
    /// What looks wrong with the definition.
    pub findings: Vec<ToolFinding>,
    /// When it was first seen.
    pub discovered_at: DateTime<Utc>,
    /// When it was first seen.
    pub created_at: DateTime<Utc>,
    /// When a scan last saw it.
    pub updated_at: DateTime<Utc>,
    /// When a scan found it gone.
    pub removed_at: Option<DateTime<Utc>>,
}

/// Something in a tool's definition that looks wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolFinding {
    /// What was found, in a word.
    pub kind: String,
    /// `low`, `medium` or `high`.
    pub severity: String,
    /// What was found, for people.
    pub detail: String,
}

/// What a scan found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScanResult {
    /// The server after the scan.
    pub server: McpServer,
    /// Its tools now.
    pub tools: Vec<McpTool>,
    /// Names of tools seen for the first time.
    pub added: Vec<String>,
    /// Names of tools whose definition changed.
    pub changed: Vec<String>,
    /// Names of tools that are gone.
    pub removed: Vec<String>,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// How a tool's definition changed since it was pinned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolDiff {
    /// Whether it may be used.
    #[schema(schema_with = spelling::pin_state)]
    pub pin: PinState,
    /// Hash of the pinned definition.
    pub pinned_hash: String,
    /// Hash of the newest definition.
    pub definition_hash: String,
    /// The pinned definition.
    #[schema(value_type = Object)]
    pub pinned: serde_json::Value,
    /// The newest definition.
    #[schema(value_type = Object)]
    pub current: serde_json::Value,
    /// The lines that differ, as a unified diff of the pretty-printed definitions.
    pub diff: String,
    /// What looks wrong with the newest definition.
    pub findings: Vec<ToolFinding>,
}

/// Accepts a tool's newest definition.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct AcceptTool {
    /// The definition that was looked at; refused when it has changed again since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition_hash: Option<String>,
}

/// Where to send the browser to give consent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OAuthConsent {
    /// The upstream authorization server's page.
    pub authorization_url: String,
}

/// What the upstream authorization server sends back.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct OAuthCallback {
    /// The code to exchange.
    pub code: Option<String>,
    /// What was sent along.
    pub state: Option<String>,
    /// Who answers (RFC 9207).
    pub iss: Option<String>,
    /// Why there is no code.
    pub error: Option<String>,
    /// The same, for people.
    pub error_description: Option<String>,
}
