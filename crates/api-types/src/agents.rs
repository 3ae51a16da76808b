//! `/api/v1/agents`: managed agents, their credentials, onboardings and questions.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, JsonObject, Update, Utc, Uuid, usage::UsageOf};

/// A managed agent: the durable identity behind its credentials and runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Agent {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub display_name: String,
    /// `claude_code`, `codex`, `gemini_cli`, `opencode`, `custom`, … .
    pub agent_kind: String,
    /// With `session_source_id`: what its own installation calls it.
    pub session_source_type: String,
    /// See `session_source_type`.
    pub session_source_id: String,
    /// Where it runs, for people.
    pub session_reference: Option<String>,
    /// How it came to be known: `api_key`, `runtime_token`.
    pub enrolled_via: String,
    /// Labels, for rules and budgets.
    pub tags: Vec<String>,
    /// The person who answers for it.
    pub owner_user_id: Option<Uuid>,
    /// That person's name.
    pub owner_username: Option<String>,
    /// `active`, `suspended` or `decommissioned`.
    pub lifecycle_state: String,
    /// Why.
    pub lifecycle_reason: Option<String>,
    /// Since when.
    pub lifecycle_updated_at: Option<DateTime<Utc>>,
    /// Whether it was heard of in the last ten minutes.
    pub is_active_now: bool,
    /// `active_now`, `recently_active`, `idle`, `suspended` or `decommissioned`.
    pub activity_status: String,
    /// When it was last heard of, give or take some seconds.
    pub last_seen_at: DateTime<Utc>,
    /// When it was enrolled.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Which agents to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListAgents {
    /// Whose name, kind or reference holds this text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Of this kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_kind: Option<String>,
    /// Heard of at this time or later.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_after: Option<DateTime<Utc>>,
    /// `all` (the default), `active`, `suspended`, `decommissioned`, or `ended` for either of the last two.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Of this person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_username: Option<String>,
    /// With each of these labels, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    /// At most this many (1 to 100; 20 when absent).
    #[param(minimum = 1, maximum = 100)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Leave out this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
}

/// Some managed agents, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentPage {
    /// How many there are in all.
    pub total: usize,
    /// At most how many are here.
    pub limit: u32,
    /// How many come before.
    pub offset: u32,
    /// The agents.
    pub items: Vec<Agent>,
}

/// A managed agent with what belongs to it. Its runs are at `/runtime-sessions?managed_agent_id=`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentDetail {
    /// The agent.
    pub agent: Agent,
    /// What it used of each model.
    pub usage_by_model: Vec<UsageOf>,
    /// Its durable credentials, newest first, revoked ones too.
    pub credentials: Vec<AgentCredential>,
    /// Its onboardings, newest first.
    pub enrollments: Vec<Enrollment>,
}

/// Changes a managed agent; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChangeAgent {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// The person who answers for it; null for nobody.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Uuid>)]
    pub owner_user_id: Update<Uuid>,
    /// Its labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Vec<String>>,
    /// `suspend`, `resume`, `decommission` or `reenroll`. Suspending and decommissioning take effect with the
    /// agent's next request, and end its runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_action: Option<String>,
    /// Why; the agent is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A durable credential of a managed agent, without its secret.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AgentCredential {
    /// Its id, as an API key.
    pub id: Uuid,
    /// Whose.
    pub managed_agent_id: Uuid,
    /// Its name.
    pub name: String,
    /// Its first characters.
    pub key_prefix: String,
    /// What it may be used for.
    pub scopes: Vec<String>,
    /// `active`, `expired` or `revoked`.
    pub status: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was revoked.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Makes a durable credential.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateAgentCredential {
    /// 1 to 100 characters, unique among the account's API keys.
    pub name: String,
    /// When it ends (1 to 3650 days; 365 when absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 3650)]
    pub expires_in_days: Option<u32>,
    /// Of `mcp:read`, `mcp:write`, `gateway:invoke`; all when absent or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
}

/// A new credential with its secret.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CreatedAgentCredential {
    /// The credential.
    pub credential: AgentCredential,
    /// The secret: shown only here.
    pub token: String,
}

/// One onboarding of an agent's installation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Enrollment {
    /// Its id.
    pub id: Uuid,
    /// Which agent's.
    pub managed_agent_id: Uuid,
    /// What was done.
    pub enrollment_type: String,
    /// Which adapter did it.
    pub adapter_key: Option<String>,
    /// `pending`, `applied`, `validated`, `failed` or `restored`.
    pub status: String,
    /// The file it rewrote.
    pub target_config_path: Option<String>,
    /// What was found; secrets are hidden.
    #[schema(value_type = Object)]
    pub discovered_config: JsonObject,
    /// What was written.
    #[schema(value_type = Object)]
    pub managed_config: JsonObject,
    /// Where what was there is kept.
    #[schema(value_type = Object)]
    pub backup_metadata: JsonObject,
    /// What a check found.
    #[schema(value_type = Object)]
    pub validation_result: JsonObject,
    /// Whether what was there before can be put back.
    pub restore_available: bool,
    /// When it was applied.
    pub last_applied_at: Option<DateTime<Utc>>,
    /// When it was checked.
    pub last_validated_at: Option<DateTime<Utc>>,
    /// When it was undone.
    pub restored_at: Option<DateTime<Utc>>,
    /// When it was noted.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Notes an onboarding.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateEnrollment {
    /// What was done: `cli`, `manual`, … .
    pub enrollment_type: String,
    /// Which adapter did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_key: Option<String>,
    /// `pending` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The file it rewrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_config_path: Option<String>,
    /// What was found.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub discovered_config: JsonObject,
    /// What was written.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub managed_config: JsonObject,
    /// Where what was there is kept.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub backup_metadata: JsonObject,
    /// What a check found.
    #[serde(default)]
    #[schema(value_type = Object)]
    pub validation_result: JsonObject,
    /// Whether what was there before can be put back.
    #[serde(default)]
    pub restore_available: bool,
    /// When it was applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_applied_at: Option<DateTime<Utc>>,
}

/// How an onboarding went on.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChangeEnrollment {
    /// `validated`, `failed`, `applied` or `restored`; what the path says when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Replaces where what was there is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub backup_metadata: Option<JsonObject>,
    /// Replaces what a check found.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub validation_result: Option<JsonObject>,
}

/// The models an agent's configuration names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelBindings {
    /// In order.
    pub bindings: Vec<ModelBinding>,
}

/// One model that an agent's configuration names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelBinding {
    /// The model.
    pub ai_model_id: Uuid,
    /// How it came to be: `configured`.
    #[serde(default = "configured")]
    pub binding_type: String,
    /// The place in the agent's configuration.
    pub config_key: String,
    /// What the agent calls the model.
    pub gateway_alias: String,
    /// Whether the agent uses it unless told otherwise.
    #[serde(default)]
    pub is_primary: bool,
    /// How far it is: `gateway_ready`.
    #[serde(default = "gateway_ready")]
    pub status: String,
}

fn configured() -> String {
    "configured".to_owned()
}

fn gateway_ready() -> String {
    "gateway_ready".to_owned()
}

/// Asks whether an agent may use one of its own tools.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct PermissionCheck {
    /// The tool, as the agent calls it: `Bash`, `Edit`, … .
    pub tool_name: String,
    /// Its arguments.
    #[schema(value_type = Object)]
    pub tool_input: JsonObject,
    /// What kind of agent asks: `claude_code`, `codex_cli`, `cursor`, `opencode`, … .
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What the agent calls its run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// Where it would run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// The repository it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub repository: Option<JsonObject>,
    /// Why the agent wants it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_reasoning: Option<String>,
    /// What the agent's own settings say: `allow`, `deny` or `ask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_decision: Option<String>,
    /// `permission_request` (the default), or `pre_tool_use` where the agent asks its user itself afterwards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evaluation_phase: Option<String>,
    /// How long to wait for a person (1 to 86400 s); as long as the request is open when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86400)]
    pub wait_seconds: Option<u32>,
}

/// The answer. Anything but `allow` is a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PermissionDecision {
    /// `allow` or `deny`.
    pub decision: String,
    /// Why.
    pub reason: String,
    /// The approval request, if a person was asked.
    pub request_id: Option<Uuid>,
    /// Nobody decided in time; it stays a refusal.
    pub timed_out: bool,
}

/// What holds for the own tools of all agents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GovernanceDefaults {
    /// `enforce`: a person is asked where no rule speaks about the tool; `off`: the agent's own settings decide.
    pub native_tool_approvals: String,
    /// The agents for which something else holds.
    #[serde(default)]
    pub overridden_agent_ids: Vec<Uuid>,
}
