//! `/api/v1/tools`: every tool an account can govern.

use preloop_types::config::{Justification, PinState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Uuid, access_rules::RuleSummary, spelling};

/// A tool with what is configured for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts of one tool")]
pub struct Tool {
    /// The name agents call it by.
    pub name: String,
    /// The name its server gives it.
    pub upstream_name: String,
    /// What agents are told it does.
    pub description: String,
    /// `builtin` or `mcp`.
    pub source: String,
    /// Its server.
    pub source_id: Option<Uuid>,
    /// Its server's name; `Preloop` for a built-in tool.
    pub source_name: String,
    /// Its arguments' JSON Schema.
    #[schema(value_type = Object)]
    pub schema: serde_json::Value,
    /// Whether it is offered to agents.
    pub is_enabled: bool,
    /// Whether it only works with a tracker.
    pub requires_tracker: bool,
    /// Which trackers.
    pub required_tracker_types: Vec<String>,
    /// Whether it works in this account.
    pub is_supported: bool,
    /// Why it does not.
    pub unsupported_reason: Option<String>,
    /// Who decides when a rule asks.
    pub approval_workflow_id: Option<Uuid>,
    /// Its configuration.
    pub config_id: Option<Uuid>,
    /// Whether a rule asks a human.
    pub has_approval_condition: bool,
    /// Its rules, in order.
    pub access_rules: Vec<RuleSummary>,
    /// Whether agents give a reason.
    #[schema(schema_with = spelling::justification_or_null)]
    pub justification_mode: Option<Justification>,
    /// Whether it is what it was; absent for a built-in tool.
    #[schema(schema_with = spelling::pin_state_or_null)]
    pub pin: Option<PinState>,
}
