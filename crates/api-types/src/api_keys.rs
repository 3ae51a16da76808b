//! `/api/v1/auth/api-keys`: credentials.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Utc, Uuid};

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Its id.
    pub id: Uuid,
    /// Unique among the account's keys.
    pub name: String,
    /// Its first characters.
    pub prefix: String,
    /// Whose it is.
    pub user_id: Uuid,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// The only tools it may see; `null` is no restriction, empty is none at all.
    pub allowed_tools: Option<Vec<String>>,
    /// The only servers whose tools it may see.
    pub allowed_servers: Option<Vec<String>>,
    /// The managed agent it is bound to.
    pub managed_agent_id: Option<Uuid>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// `active_now`, `recently_active`, `idle` or `revoked`.
    pub activity_status: String,
}

/// Makes an API key.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateApiKey {
    /// 1 to 100 characters, unique among the account's keys.
    pub name: String,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// `mcp:read`, `mcp:write`, `gateway:invoke`, `admin`; all but the last when absent or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The only tools it may see; absent is no restriction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// The only servers (by name or slug) whose tools it may see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_servers: Option<Vec<String>>,
    /// The only models it may use: aliases, globs or `tag:<label>`; any when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_models: Vec<String>,
    /// The managed agent it is for: the one of that name, or a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<KeyAgent>,
}

/// A managed agent as a key is made for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KeyAgent {
    /// Its display name.
    pub name: String,
    /// What kind of agent it is: `claude_code`, `codex`, …; `custom` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Free labels, for budgets and rules: `team=web`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
}

/// A new API key, with its secret.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreatedApiKey {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// The secret: shown only here.
    pub key: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// Whose it is.
    pub user_id: Uuid,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl std::fmt::Debug for CreatedApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedApiKey").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}
