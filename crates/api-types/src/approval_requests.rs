//! `/api/v1/approval-requests` and the token links under `/approval/{id}`.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, Utc, Uuid};

/// A request for a human decision.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, spelled like this in the API")]
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
    /// Hash of all that approvers are shown; sent with a vote, the vote counts for this and nothing else.
    pub shown_hash: Option<String>,
    /// What the call would do.
    #[schema(value_type = Option<Object>)]
    pub preview: Option<serde_json::Value>,
    /// `low` or `danger`: whether one tap may approve.
    pub risk_level: String,
    /// Who may decide.
    pub approver_user_ids: Vec<Uuid>,
    /// When others were asked too.
    pub escalated_at: Option<DateTime<Utc>>,
    /// Who voted, in order.
    pub votes: Vec<VoteCast>,
    /// What an approver changed about the arguments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub changes: Vec<serde_json::Value>,
    /// Who changed them.
    pub edited_by: Option<Uuid>,
    /// Why it was approved without anybody deciding.
    pub auto_approved_reason: Option<String>,
    /// The bypass that did.
    pub auto_approval_bypass_id: Option<Uuid>,
    /// Whether a bypass approved it.
    pub was_bypassed: bool,
    /// Whether people decided.
    pub decided_by_human: bool,
    /// Whether an agent asks something, rather than for a call.
    pub is_question: bool,
    /// What it asks.
    pub question: Option<String>,
    /// Answers to choose from.
    pub question_options: Vec<String>,
    /// Whether another answer will do.
    pub allow_free_text: bool,
    /// The form to fill in.
    #[schema(value_type = Option<Object>)]
    pub question_schema: Option<serde_json::Value>,
    /// What it is about, one by one.
    #[schema(value_type = Option<Vec<Object>>)]
    pub question_items: Option<serde_json::Value>,
    /// Whether there is a form.
    pub has_answer_form: bool,
    /// What was answered.
    #[schema(value_type = Option<Object>)]
    pub structured_answer: Option<serde_json::Value>,
}

/// One person's vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VoteCast {
    /// Who; nobody in particular for a link without a name.
    pub user_id: Option<Uuid>,
    /// In whose place.
    pub on_behalf_of: Option<Uuid>,
    /// Whether they are no approver and decided as an administrator.
    pub r#override: bool,
    /// Yes or no.
    pub approved: bool,
    /// Why.
    pub comment: Option<String>,
    /// Through what.
    pub via: String,
    /// Hash of what they were shown.
    pub shown_hash: Option<String>,
    /// When.
    pub timestamp: DateTime<Utc>,
}

/// What a vote can bring besides a yes or a no.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct VoteExtras {
    /// The `shown_hash` the voter saw: the vote does not count if the request is something else by now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown_hash: Option<String>,
    /// To a question: an answer in one's own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer_text: Option<String>,
    /// To a question: one of its options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected_option: Option<String>,
    /// To a question with a form: the form, filled in.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub answer: Option<crate::JsonObject>,
    /// With an approval: the arguments that run instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub edited_args: Option<crate::JsonObject>,
    /// With an approval: the same call may be made again without asking.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_again: Option<AllowAgain>,
}

/// The bounds within which a call may be made again without asking.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AllowAgain {
    /// For how long (1 minute to 30 days).
    pub minutes: u32,
    /// How often (1 to 1000).
    pub times: u32,
    /// The argument that says how much one call comes to; needs `spend_max`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_argument: Option<String>,
    /// The most all of them may come to: a decimal number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spend_max: Option<String>,
}

/// A leave to make calls of one tool again without asking.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StandingGrant {
    /// Its id.
    pub id: Uuid,
    /// Who gave it.
    pub user_id: Uuid,
    /// The workflow through which such calls are asked about.
    pub approval_workflow_id: Uuid,
    /// Whose calls, where they are one agent's.
    pub managed_agent_id: Option<Uuid>,
    /// Whose calls, where they are one key's.
    pub api_key_id: Option<Uuid>,
    /// The tool, by the name agents call it.
    pub tool_name: String,
    /// Its server.
    pub server_name: String,
    /// A condition on the arguments; exactly the same ones when absent.
    pub condition: Option<String>,
    /// How many calls.
    pub times: u32,
    /// How many there were.
    pub used: u32,
    /// The argument that says how much a call comes to.
    pub spend_argument: Option<String>,
    /// The most they may come to.
    pub spend_max: Option<String>,
    /// What they came to.
    pub spent: String,
    /// Why it was given.
    pub reason: Option<String>,
    /// The request it came from.
    pub approval_request_id: Option<Uuid>,
    /// When it was given.
    pub created_at: DateTime<Utc>,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// When it last let a call through.
    pub last_used_at: Option<DateTime<Utc>>,
    /// When it was taken back.
    pub revoked_at: Option<DateTime<Utc>>,
    /// By whom.
    pub revoked_by_user_id: Option<Uuid>,
}

/// Gives a leave by hand.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateStandingGrant {
    /// The tool, by the name agents call it.
    pub tool_name: String,
    /// Whose calls: an agent's, or else a key's.
    #[serde(default)]
    pub managed_agent_id: Option<Uuid>,
    /// Whose calls.
    #[serde(default)]
    pub api_key_id: Option<Uuid>,
    /// A CEL condition on `args`.
    pub condition: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
    /// Its bounds.
    #[serde(flatten)]
    pub allow: AllowAgain,
}

/// Which standing grants to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ListStandingGrants {
    /// Those that are over too.
    #[serde(default)]
    pub all: Option<bool>,
}

/// A time in which somebody else decides in a person's place.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Delegation {
    /// Its id.
    pub id: Uuid,
    /// Who is away.
    pub user_id: Uuid,
    /// Who decides meanwhile.
    pub delegate_id: Uuid,
    /// Why.
    pub reason: Option<String>,
    /// From when.
    pub starts_at: DateTime<Utc>,
    /// Until when.
    pub ends_at: DateTime<Utc>,
    /// When it was ended by hand.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// Names who decides in a person's place.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreateDelegation {
    /// Who is away; the caller when absent.
    #[serde(default)]
    pub user_id: Option<Uuid>,
    /// Who decides meanwhile.
    pub delegate_id: Uuid,
    /// From when; now when absent.
    #[serde(default)]
    pub starts_at: Option<DateTime<Utc>>,
    /// Until when.
    pub ends_at: DateTime<Utc>,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
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
    /// What else it brings.
    #[serde(flatten)]
    pub extras: VoteExtras,
}

/// Approves or declines.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct ApprovalDecision {
    /// True approves, false declines.
    pub approved: bool,
    /// Why; required where the workflow says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What else it brings.
    #[serde(flatten)]
    pub extras: VoteExtras,
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
    /// Hash of all that is shown.
    pub shown_hash: Option<String>,
    /// What the call would do.
    #[schema(value_type = Option<Object>)]
    pub preview: Option<serde_json::Value>,
    /// What an agent asks.
    pub question: Option<String>,
    /// Answers to choose from.
    pub question_options: Vec<String>,
    /// Whether another answer will do.
    pub allow_free_text: bool,
    /// The form to fill in.
    #[schema(value_type = Option<Object>)]
    pub question_schema: Option<serde_json::Value>,
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
    /// To a question: a text, or the form filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub answer: Option<serde_json::Value>,
}

/// What else a decision through `/approve` or `/decline` may carry.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PublicComment {
    /// Why; required where the workflow says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// To a question: a text, or the form filled in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub answer: Option<serde_json::Value>,
}
