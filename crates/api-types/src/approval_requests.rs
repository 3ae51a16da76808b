//! `/api/v1/approval-requests` and the token links under `/approval/{id}`.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, Utc, Uuid};

/// A request for a human decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalRequest {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The configuration of the tool.
    pub tool_configuration_id: Option<Uuid>,
    /// Who decides.
    pub approval_workflow_id: Uuid,
    /// The same, for old clients.
    pub approval_policy_id: Uuid,
    /// The tool, by the name agents call it.
    pub tool_name: String,
    /// The tool's server.
    pub server_name: Option<String>,
    /// The arguments; secrets are hidden.
    #[schema(value_type = Object)]
    pub tool_args: serde_json::Value,
    /// Hash of the exact arguments the decision is about.
    pub args_hash: String,
    /// Why the agent wants it.
    pub agent_reasoning: Option<String>,
    /// The credential that asked.
    pub requested_by: Option<String>,
    /// The managed agent that asked.
    pub managed_agent_name: Option<String>,
    /// The flow run it belongs to.
    pub execution_id: Option<Uuid>,
    /// `pending`, `approved`, `declined`, `expired` or `cancelled`.
    pub status: String,
    /// How the approved call ended, once it ran.
    pub execution_status: Option<String>,
    /// When it was asked.
    pub requested_at: DateTime<Utc>,
    /// When it ended.
    pub resolved_at: Option<DateTime<Utc>>,
    /// When it closes.
    pub expires_at: Option<DateTime<Utc>>,
    /// What the last approver said.
    pub approver_comment: Option<String>,
    /// Approvals so far.
    pub approvals_received: u32,
    /// Approvals needed.
    pub approvals_required: u32,
    /// When the webhook was told.
    pub webhook_posted_at: Option<DateTime<Utc>>,
    /// Why the webhook was not told.
    pub webhook_error: Option<String>,
    /// Whether a model decided.
    pub decided_by_ai: bool,
    /// Which.
    pub ai_model: Option<String>,
    /// How sure it was.
    pub ai_confidence: Option<f64>,
    /// Why.
    pub ai_reasoning: Option<String>,
    /// The rule that asked.
    #[schema(value_type = Option<Object>)]
    pub rule_context: Option<serde_json::Value>,
}

/// Which requests to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListApprovals {
    /// `pending`, `approved`, `declined`, `expired` or `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// Of this flow run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<Uuid>,
    /// At most this many (1 to 100; 50 when absent), newest first.
    #[param(minimum = 1, maximum = 100)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Leave out this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skip: Option<u32>,
}

/// Approves or declines. On `/approve` and `/decline` the path chooses and the body may be empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Vote {
    /// Ignored here: the path chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved: Option<bool>,
    /// Why; required where the workflow says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Approves or declines.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ApprovalDecision {
    /// True approves, false declines.
    pub approved: bool,
    /// Why; required where the workflow says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Approves or declines several.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct BatchDecision {
    /// Which (at most 100).
    #[schema(max_items = 100)]
    pub ids: Vec<Uuid>,
    /// True approves, false declines.
    pub approved: bool,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What became of each.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchResult {
    /// One per id, in order.
    pub results: Vec<BatchItem>,
}

/// What became of one request of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BatchItem {
    /// The request.
    pub id: Uuid,
    /// Whether the decision was taken.
    pub ok: bool,
    /// Its state now.
    pub status: Option<String>,
    /// Why not.
    pub error: Option<String>,
}

/// Cancels a request.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct CancelApproval {
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A link of the caller's own to the page on which a request is decided.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalLink {
    /// The page; whoever opens it decides in the caller's name.
    pub url: String,
}

/// One thing that happened to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalEvent {
    /// Its id.
    pub id: String,
    /// What, in a word.
    pub event_type: String,
    /// What, for people.
    pub detail: String,
    /// What a person said.
    pub comment: Option<String>,
    /// Who.
    pub actor_id: Option<Uuid>,
    /// Who.
    pub actor_email: Option<String>,
    /// When.
    pub timestamp: DateTime<Utc>,
}

/// A request as the holder of its link sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublicApproval {
    /// Its id.
    pub id: Uuid,
    /// The tool, by the name agents call it.
    pub tool_name: String,
    /// The tool's server.
    pub server_name: Option<String>,
    /// The arguments; secrets are hidden.
    #[schema(value_type = Object)]
    pub tool_args: serde_json::Value,
    /// Why the agent wants it.
    pub agent_reasoning: Option<String>,
    /// `pending`, `approved`, `declined`, `expired` or `cancelled`.
    pub status: String,
    /// When it was asked.
    pub requested_at: DateTime<Utc>,
    /// When it ended.
    pub resolved_at: Option<DateTime<Utc>>,
    /// When it closes.
    pub expires_at: Option<DateTime<Utc>>,
    /// A comment is required.
    pub require_reason: bool,
    /// What happened, without saying who.
    pub history: Vec<PublicEvent>,
}

/// One thing that happened, without saying who.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PublicEvent {
    /// What, in a word.
    pub event_type: String,
    /// What, for people.
    pub detail: String,
    /// What a person said.
    pub comment: Option<String>,
    /// When.
    pub timestamp: DateTime<Utc>,
}

/// The secret of an approval link.
#[derive(Clone, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LinkToken {
    /// The token.
    #[serde(default)]
    pub token: String,
}

/// Decides through a link.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct PublicDecision {
    /// `approve` or `decline`.
    pub action: String,
    /// Why; required where the workflow says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// What else a decision through `/approve` or `/decline` may carry.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PublicComment {
    /// Why; required where the workflow says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}
