//! `/api/v1/approval-workflows`: how people are asked.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, JsonObject, Update, Utc, Uuid};

/// How people are asked.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, spelled like this in the API")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalWorkflow {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// Unique in the account.
    pub name: String,
    /// For people.
    pub description: Option<String>,
    /// `standard` or `webhook`.
    pub approval_type: String,
    /// `standard`: people decide; `ai_driven`: a model looks first.
    pub approval_mode: String,
    /// `simple`; `multi_stage` and `consensus` are treated as simple.
    pub workflow_type: String,
    /// How long a request stays open, in seconds.
    pub timeout_seconds: u32,
    /// Approvers must say why.
    pub require_reason: bool,
    /// Used when nothing names another.
    pub is_default: bool,
    /// Answer the agent at once and let it poll.
    pub async_approval_enabled: bool,
    /// Approvals needed.
    pub approvals_required: u32,
    /// Who may decide; the account's owner when empty.
    pub approver_user_ids: Vec<Uuid>,
    /// Teams whose members may decide.
    pub approver_team_ids: Vec<Uuid>,
    /// Who is asked too when nobody decided in time.
    pub escalation_user_ids: Vec<Uuid>,
    /// Teams that are.
    pub escalation_team_ids: Vec<Uuid>,
    /// Whose people decide when a reviewer that is no person cannot.
    pub escalation_workflow_id: Option<Uuid>,
    /// Nobody decides on what their own credential asks for.
    pub no_self_approval: bool,
    /// Neither who owns the credential nor who wrote the rule that asks may decide.
    pub separation_of_duties: bool,
    /// An approver may change the arguments before approving.
    pub allow_edits: bool,
    /// The model that looks at requests first, where `approval_mode` is `ai_driven`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_model: Option<String>,
    /// By what it decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_guidelines: Option<String>,
    /// Facts it is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ai_context: Option<JsonObject>,
    /// How sure it has to be to decide, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_confidence_threshold: Option<f64>,
    /// What becomes of requests it is not sure about: `escalate`, `approve` or `deny`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ai_fallback_behavior: Option<String>,
    /// Where else requests are announced; secret values are never shown.
    #[schema(value_type = Object)]
    pub channel_configs: JsonObject,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
    /// The key that signs its webhook's requests: only in the answer that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook_secret: Option<String>,
    /// What a person should look at, such as a quorum that nobody can reach. Only in the answer to
    /// a change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Makes a workflow.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateApprovalWorkflow {
    /// Unique in the account.
    pub name: String,
    /// Everything else.
    #[serde(flatten)]
    pub fields: WorkflowFields,
}

/// Changes a workflow. What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateApprovalWorkflow {
    /// Unique in the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Everything else.
    #[serde(flatten)]
    pub fields: WorkflowFields,
}

/// What can be said of a workflow.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct WorkflowFields {
    /// For people.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub description: Update<String>,
    /// How long a request stays open, in seconds (30 to 86,400; 300 when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u32>,
    /// Approvers must say why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub require_reason: Option<bool>,
    /// Used when nothing names another; takes over from the one that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    /// Answer the agent at once and let it poll.
    #[serde(alias = "async_approval", skip_serializing_if = "Option::is_none")]
    pub async_approval_enabled: Option<bool>,
    /// Approvals needed (1 to 10).
    #[serde(alias = "required_approvals", skip_serializing_if = "Option::is_none")]
    pub approvals_required: Option<u32>,
    /// Who may decide; the account's owner when empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver_user_ids: Option<Vec<Uuid>>,
    /// Teams whose members may decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approver_team_ids: Option<Vec<Uuid>>,
    /// Who is asked too when nobody decided in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_user_ids: Option<Vec<Uuid>>,
    /// Teams that are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub escalation_team_ids: Option<Vec<Uuid>>,
    /// Whose people decide when a reviewer that is no person cannot.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Uuid>)]
    pub escalation_workflow_id: Update<Uuid>,
    /// Nobody decides on what their own credential asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_self_approval: Option<bool>,
    /// Neither who owns the credential nor who wrote the rule that asks may decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub separation_of_duties: Option<bool>,
    /// An approver may change the arguments before approving.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_edits: Option<bool>,
    /// `{"webhook": {"url", "headers"?}, "email": [address]}`. A header value of
    /// `{"redacted": true}` stays as it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub channel_configs: Option<JsonObject>,
    /// `standard`, `manual`, `webhook`, `slack` or `mattermost`; what is announced where follows
    /// from `channel_configs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_type: Option<String>,
    /// `standard` or `ai_driven`, which needs an `ai_model`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_mode: Option<String>,
    /// The model that looks at requests first. What is said of the reviewer is said whole: what is
    /// absent beside it has its default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ai_model: Option<String>,
    /// By what it decides; rules of thumb by kind of tool when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ai_guidelines: Option<String>,
    /// Facts it is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub ai_context: Option<JsonObject>,
    /// How sure it has to be to decide, from 0 to 1 (0.8 when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1)]
    pub ai_confidence_threshold: Option<f64>,
    /// What becomes of requests it is not sure about: `escalate` (when absent), `approve` or `deny`.
    /// Where it fails, nothing approves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ai_fallback_behavior: Option<String>,
    /// `simple`; `multi_stage` and `consensus` are kept and treated as simple.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workflow_type: Option<String>,
}

/// A new key that signs a webhook's requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WebhookSecret {
    /// Shown only here.
    pub webhook_secret: String,
}
