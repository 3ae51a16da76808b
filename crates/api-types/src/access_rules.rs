//! `/api/v1/tool-configurations/{id}/access-rules` and `/api/v1/access-rules`.

use preloop_types::config::{Language, RuleAction};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Update, Uuid, spelling};

/// One ordered rule of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AccessRule {
    /// Its id.
    pub id: Uuid,
    /// Whose it is.
    pub account_id: Uuid,
    /// The configuration it belongs to.
    pub tool_configuration_id: Uuid,
    /// What happens when it matches.
    #[schema(schema_with = spelling::rule_action)]
    pub action: RuleAction,
    /// When it matches; always when absent.
    pub condition_expression: Option<String>,
    /// The expression's language.
    #[schema(schema_with = spelling::language)]
    pub condition_type: Language,
    /// Its place; the first that matches decides.
    pub priority: u32,
    /// Why, for people and agents.
    pub description: Option<String>,
    /// Skipped when false.
    pub is_enabled: bool,
    /// Who decides; the tool's workflow when absent.
    pub approval_workflow_id: Option<Uuid>,
    /// A narrower scope's `allow` may override it.
    pub overridable: bool,
    /// Decides nothing: that it matched is recorded, and the next rule is asked.
    pub shadow: bool,
    /// What a person should look at: an argument the tool does not have, a comparison that can
    /// never be true. Only in the answer to a change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// A rule inside another answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RuleSummary {
    /// Its id.
    pub id: Uuid,
    /// What happens when it matches.
    #[schema(schema_with = spelling::rule_action)]
    pub action: RuleAction,
    /// When it matches.
    pub condition_expression: Option<String>,
    /// The expression's language.
    #[schema(schema_with = spelling::language)]
    pub condition_type: Language,
    /// Its place.
    pub priority: u32,
    /// Why.
    pub description: Option<String>,
    /// Skipped when false.
    pub is_enabled: bool,
    /// Who decides.
    pub approval_workflow_id: Option<Uuid>,
}

/// Adds a rule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct CreateAccessRule {
    /// `allow`, `deny` or `require_approval`.
    #[schema(schema_with = spelling::rule_action)]
    pub action: String,
    /// When it matches; always when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition_expression: Option<String>,
    /// `cel` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::language_or_null)]
    pub condition_type: Option<Language>,
    /// Its place, from 0; after the others when absent. Rules at and after it move down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Why, for people and agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Skipped when false.
    #[serde(default = "yes")]
    #[schema(default = yes)]
    pub is_enabled: bool,
    /// Who decides; the tool's workflow when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_workflow_id: Option<Uuid>,
    /// Let a narrower scope's `allow` override it.
    #[serde(default)]
    pub overridable: bool,
    /// Only record that it matched; do not enforce it.
    #[serde(default)]
    pub shadow: bool,
}

fn yes() -> bool {
    true
}

/// Changes a rule. What is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateAccessRule {
    /// `allow`, `deny` or `require_approval`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::rule_action_or_null)]
    pub action: Option<String>,
    /// When it matches; `null` for always.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub condition_expression: Update<String>,
    /// The expression's language.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(schema_with = spelling::language_or_null)]
    pub condition_type: Option<Language>,
    /// Its new place; the others move.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// Why.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub description: Update<String>,
    /// Skipped when false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_enabled: Option<bool>,
    /// Who decides.
    #[serde(skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<Uuid>)]
    pub approval_workflow_id: Update<Uuid>,
    /// Let a narrower scope's `allow` override it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overridable: Option<bool>,
    /// Only record that it matched; do not enforce it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<bool>,
}

/// Puts a configuration's rules into a new order, at once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ReorderRules {
    /// Every rule of the configuration, first to last. Refused when the set is not exactly that
    /// (someone else added or removed one meanwhile).
    pub rule_ids: Vec<Uuid>,
}
