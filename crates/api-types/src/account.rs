//! `/api/v1/auth/users/me`, `/api/v1/account/defaults` and `/api/v1/account/model-settings`.

use preloop_types::{
    Guardrails,
    config::{Capture, OnUnpriced, RuleAction},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Update, Utc, Uuid, spelling};

/// A person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct User {
    /// Their id.
    pub id: Uuid,
    /// Their account.
    pub account_id: Uuid,
    /// Unique in the instance.
    pub username: String,
    /// Where approval requests are sent.
    pub email: Option<String>,
    /// Whether they proved that mail reaches them.
    pub email_verified: bool,
    /// For people.
    pub full_name: Option<String>,
    /// Cannot sign in when false.
    pub is_active: bool,
    /// Whether they look after the whole instance.
    pub is_superuser: bool,
    /// Where they come from: `local`, `oidc`, `github` or `scim`.
    pub user_source: String,
    /// When they last signed in.
    pub last_login: Option<DateTime<Utc>>,
    /// When they joined.
    pub created_at: DateTime<Utc>,
    /// When they last changed.
    pub updated_at: DateTime<Utc>,
}

/// The account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AccountDetails {
    /// Its id.
    pub id: Uuid,
    /// Whose it is, for people.
    pub organization_name: Option<String>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Changes the account. What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct ChangeAccount {
    /// Whose it is, for people.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub organization_name: Update<String>,
}

/// Changes one's own profile. What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateUser {
    /// For people.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub full_name: Update<String>,
    /// Where approval requests are sent.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub email: Update<String>,
}

/// What happens to tools nothing else speaks about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Defaults {
    /// Tools without a configuration.
    #[schema(schema_with = spelling::rule_action)]
    pub unknown_tools: RuleAction,
    /// Tools found after this was set need approval until they are configured.
    pub require_approval_for_new_tools: bool,
    /// Who decides when nothing names a workflow; the default workflow when absent.
    pub default_workflow_id: Option<Uuid>,
}

/// Changes the defaults. What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateDefaults {
    /// Tools without a configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::rule_action_or_null)]
    pub unknown_tools: Option<RuleAction>,
    /// Tools found after this was set need approval until they are configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_approval_for_new_tools: Option<bool>,
    /// Who decides when nothing names a workflow.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Uuid>)]
    pub default_workflow_id: Update<Uuid>,
}

/// What holds for all model traffic of the account.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ModelSettings {
    /// Whether agents may call models at all: the kill switch, off when false.
    pub model_traffic: bool,
    /// The only models anybody may use: aliases, globs or `tag:<label>`; any when empty.
    pub allowed_models: Vec<String>,
    /// What becomes of a call without a known price where a hard budget counts dollars.
    #[schema(schema_with = spelling::on_unpriced)]
    pub on_unpriced: OnUnpriced,
    /// What is kept of conversations.
    #[schema(schema_with = spelling::capture)]
    pub capture: Capture,
    /// Minutes of silence after which a run of an agent is over, where nothing else tells; 0 is never.
    pub session_idle_minutes: u32,
    /// What is looked for in what agents say to models, and models answer.
    #[schema(value_type = Object)]
    pub guardrails: Guardrails,
}

/// Changes what holds for all model traffic. What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateModelSettings {
    /// False refuses every model call from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_traffic: Option<bool>,
    /// The only models anybody may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_models: Option<Vec<String>>,
    /// What becomes of a call without a known price where a hard budget counts dollars.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::on_unpriced_or_null)]
    pub on_unpriced: Option<OnUnpriced>,
    /// What is kept of conversations.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::capture_or_null)]
    pub capture: Option<Capture>,
    /// Minutes of silence after which a run of an agent is over; 0 is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_idle_minutes: Option<u32>,
    /// What is looked for in model traffic; replaces all rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub guardrails: Option<Guardrails>,
}
