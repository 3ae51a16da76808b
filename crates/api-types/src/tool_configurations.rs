//! `/api/v1/tool-configurations`: what is configured for one tool.

use preloop_types::config::Justification;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{JsonObject, Update, Uuid, access_rules::AccessRule, spelling};

/// The configuration of one tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ToolConfiguration {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The tool's name, as its server gives it.
    pub tool_name: String,
    /// `builtin` or `mcp`.
    pub tool_source: String,
    /// The server; `null` with source `mcp` means every server's tool of that name.
    pub mcp_server_id: Option<Uuid>,
    /// Hidden and refused when false.
    pub is_enabled: bool,
    /// Who decides when a rule asks; the account's default workflow when absent.
    pub approval_workflow_id: Option<Uuid>,
    /// Shown to agents instead of the tool's own description.
    pub tool_description: Option<String>,
    /// Whether agents give a reason.
    #[schema(schema_with = spelling::justification_or_null)]
    pub justification_mode: Option<Justification>,
    /// Free JSON.
    #[schema(value_type = Option<Object>)]
    pub custom_config: Option<serde_json::Value>,
    /// Its rules, in order.
    pub access_rules: Vec<AccessRule>,
}

/// Configures a tool.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateToolConfiguration {
    /// The tool's name, as its server gives it.
    pub tool_name: String,
    /// `builtin` (also `preloop_builtin`) or `mcp`.
    #[serde(default = "default_source")]
    #[schema(default = default_source)]
    pub tool_source: String,
    /// The server, with source `mcp`; every server's tool of that name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mcp_server_id: Option<Uuid>,
    /// Hidden and refused when false.
    #[serde(default = "yes")]
    #[schema(default = yes)]
    pub is_enabled: bool,
    /// Who decides when a rule asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_workflow_id: Option<Uuid>,
    /// Shown to agents instead of the tool's own description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_description: Option<String>,
    /// Whether agents give a reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::justification_or_null)]
    pub justification_mode: Option<Justification>,
    /// Free JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub custom_config: Option<JsonObject>,
}

fn default_source() -> String {
    "builtin".to_owned()
}

fn yes() -> bool {
    true
}

/// Changes a tool's configuration. What is absent stays; which tool it is about cannot change.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateToolConfiguration {
    /// Hidden and refused when false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_enabled: Option<bool>,
    /// Who decides when a rule asks.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Uuid>)]
    pub approval_workflow_id: Update<Uuid>,
    /// Shown to agents instead of the tool's own description.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub tool_description: Update<String>,
    /// Whether agents give a reason.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(schema_with = spelling::justification_or_null)]
    pub justification_mode: Update<Justification>,
    /// Free JSON.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Object>)]
    pub custom_config: Update<JsonObject>,
}

/// Tries a condition on sample arguments.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct TestCondition {
    /// A CEL expression.
    pub expression: String,
    /// The arguments to try it on.
    #[schema(value_type = Object)]
    pub sample_args: JsonObject,
}

/// What the condition said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConditionResult {
    /// Whether it matches; false when it could not be evaluated.
    pub matches: bool,
    /// Why it could not be evaluated.
    pub error: Option<String>,
    /// What was evaluated.
    pub evaluation_context: EvaluationContext,
}

/// What was evaluated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EvaluationContext {
    /// The expression.
    pub expression: String,
    /// The arguments.
    #[schema(value_type = Object)]
    pub sample_args: JsonObject,
    /// What it evaluated to.
    pub result: Option<bool>,
}
