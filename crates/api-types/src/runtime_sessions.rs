//! `/api/v1/runtime-sessions`: runs of agents, what they did, and their tokens.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{
    DateTime, Utc, Uuid,
    usage::{UsageOf, UsageSums},
};

/// One run of an agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuntimeSession {
    /// Its id.
    pub id: Uuid,
    /// What kind of agent: `claude_code`, `codex`, …; `api_key` where nothing was said.
    pub session_source_type: String,
    /// What the agent itself calls the run.
    pub session_source_id: Option<String>,
    /// Who runs it, over all its runs: `managed_agent` or `api_key`.
    pub runtime_principal_type: String,
    /// That one's id.
    pub runtime_principal_id: Uuid,
    /// That one's name.
    pub runtime_principal_name: Option<String>,
    /// The key it began with.
    pub api_key_id: Uuid,
    /// The person.
    pub owner_user_id: Uuid,
    /// The run it is a part of.
    pub parent_session_id: Option<Uuid>,
    /// What the client said of itself.
    pub client: Option<String>,
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// When it was last active, give or take some seconds.
    pub last_activity_at: DateTime<Utc>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// Why.
    pub end_reason: Option<String>,
    /// Whether whoever ran it may not begin another.
    pub blocked: bool,
    /// `active_now`, `idle` or `ended`.
    pub activity_status: String,
    /// Whether it was active in the last ten minutes.
    pub is_active_now: bool,
    /// What its model calls consumed.
    #[serde(flatten)]
    pub usage: UsageSums,
}

/// Which runs to list, those that were active last first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ListSessions {
    /// Only runs whose id, client or kind holds this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Only of this kind of agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_source_type: Option<String>,
    /// `all` (also when absent), `active` or `ended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Only of this managed agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub managed_agent_id: Option<Uuid>,
    /// Only of this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key_id: Option<Uuid>,
    /// Active at this time or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<DateTime<Utc>>,
    /// Begun before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<DateTime<Utc>>,
    /// At most this many (1 to 100; 20 when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 100)]
    pub limit: Option<u32>,
    /// Only what follows the run with this id: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Uuid>,
}

/// Runs of agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionPage {
    /// The runs.
    pub items: Vec<RuntimeSession>,
    /// Give this as `after` for more; absent where there are none.
    pub next: Option<Uuid>,
}

/// One run of an agent with what it used.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionDetail {
    /// The run.
    pub session: RuntimeSession,
    /// What it used of each model.
    pub usage_by_model: Vec<UsageOf>,
}

/// What happened in a run, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Timeline {
    /// What happened.
    pub items: Vec<Activity>,
    /// Give this as `after` for more; absent where there may be none.
    pub next: Option<String>,
}

/// One thing that happened in a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Activity {
    /// Its record in the journal.
    pub id: String,
    /// `session_started`, `model_interaction`, `tool_call`, `approval_requested`, … .
    pub activity_type: String,
    /// When.
    pub timestamp: DateTime<Utc>,
    /// In a few words.
    pub title: String,
    /// How it ended, where that can be said.
    pub status: Option<String>,
    /// The governed call it belongs to.
    pub correlation_id: Option<Uuid>,
    /// The tool.
    pub tool_name: Option<String>,
    /// The tool's server.
    pub server_name: Option<String>,
    /// The model.
    pub model_alias: Option<String>,
    /// Dollars, exactly.
    pub cost_usd: Option<String>,
    /// Everything the journal says.
    #[schema(value_type = Object)]
    pub metadata: serde_json::Value,
}

/// Which part of a timeline to answer.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct TimelineQuery {
    /// At most this many (1 to 1000; 100 when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
    /// Only what follows this: `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Changes a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ChangeSession {
    /// `end`: for good, its calls are stopped and its tokens revoked; `unblock`: whoever ran it may begin
    /// another again.
    pub action: String,
    /// Why, for the journal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// With `end`: whoever ran it may not begin another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub block: bool,
}

/// Begins a run and makes a short-lived token for it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateSessionToken {
    /// What kind of agent: `claude_code`, `codex`, `gemini_cli`, `opencode`, `custom`, … .
    pub session_source_type: String,
    /// What the agent calls the run; the token belongs to the open run of that name, or begins it.
    pub session_source_id: String,
    /// For people: where it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_reference: Option<String>,
    /// What the agent's installation calls the agent, over all its runs; its name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_principal_id: Option<String>,
    /// The managed agent's name; the kind's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime_principal_name: Option<String>,
    /// When the token ends (1 to 1440 minutes; 120 when absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 1440)]
    pub expires_in_minutes: Option<u32>,
    /// Of `mcp:read`, `mcp:write`, `gateway:invoke`; all when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// The only tools it may see; absent is no restriction.
    #[serde(default, alias = "allowed_mcp_tools", skip_serializing_if = "Option::is_none")]
    pub allowed_tools: Option<Vec<String>>,
    /// The only servers (by name or slug) whose tools it may see.
    #[serde(default, alias = "allowed_mcp_servers", skip_serializing_if = "Option::is_none")]
    pub allowed_servers: Option<Vec<String>>,
    /// The only models it may use; absent is no restriction.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_models: Vec<String>,
}

/// A short-lived token of a run.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SessionToken {
    /// The run.
    pub runtime_session_id: Uuid,
    /// The token: shown only here.
    pub token: String,
    /// The key that is behind it, to revoke it.
    pub api_key_id: Uuid,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// What kind of agent.
    pub session_source_type: String,
    /// What the agent calls the run.
    pub session_source_id: String,
    /// For people: where it runs.
    pub session_reference: Option<String>,
}

impl std::fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionToken").field("runtime_session_id", &self.runtime_session_id).finish_non_exhaustive()
    }
}
