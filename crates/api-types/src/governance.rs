//! What narrows one credential or one managed agent.

use std::collections::BTreeMap;

use preloop_types::{
    RateLimit,
    config::{Language, RuleAction},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Uuid, spelling};

/// What narrows one credential or one managed agent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Governance {
    /// `api_keys` or `agents`.
    pub subject_type: String,
    /// Its id.
    pub subject_id: Uuid,
    /// What narrows it.
    pub config: GovernanceConfig,
}

/// What narrows a subject. Replaces what was there; empty removes it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GovernanceConfig {
    /// The only models it may use, of those the account allows: aliases, globs (`anthropic/*`) or
    /// `tag:<label>`; empty is no restriction.
    pub allowed_models: Vec<String>,
    /// How fast it may call models.
    pub rate_limit: RateLimits,
    /// Ordered rules per tool. They come before the account's and only narrow them, unless an
    /// account rule is marked overridable.
    pub tool_rules: BTreeMap<String, Vec<ScopedRule>>,
    /// Switches tools off (or back on, where its agent switched them off).
    pub tool_enabled_overrides: BTreeMap<String, bool>,
    /// Whether its own tools (shell, editor) need a person where no rule speaks about them: `enforce` or `off`; as the
    /// account says when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub native_tool_approvals: Option<String>,
    /// Who is asked about its own tools where no rule names anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_workflow_id: Option<Uuid>,
}

/// Most model calls and tokens in a minute, and model calls at a time; absent is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct RateLimits {
    /// Calls a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute, of prompts and answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub tokens_per_minute: Option<u64>,
    /// Calls at a time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub concurrent: Option<u32>,
}

impl From<RateLimit> for RateLimits {
    fn from(limit: RateLimit) -> Self {
        let RateLimit { requests_per_minute, tokens_per_minute, concurrent } = limit;
        Self { requests_per_minute, tokens_per_minute, concurrent }
    }
}

impl From<RateLimits> for RateLimit {
    fn from(limits: RateLimits) -> Self {
        let RateLimits { requests_per_minute, tokens_per_minute, concurrent } = limits;
        Self { requests_per_minute, tokens_per_minute, concurrent }
    }
}

/// One ordered rule of a subject.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScopedRule {
    /// What happens when it matches.
    #[schema(schema_with = spelling::rule_action)]
    pub action: RuleAction,
    /// When it matches; always when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition_expression: Option<String>,
    /// `cel` when absent.
    #[serde(default = "cel")]
    #[schema(schema_with = spelling::language)]
    pub condition_type: Language,
    /// Why, for people and agents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Skipped when false.
    #[serde(default = "yes")]
    pub is_enabled: bool,
    /// Who decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_workflow_id: Option<Uuid>,
    /// Only recorded, not enforced.
    #[serde(default)]
    pub shadow: bool,
}

fn cel() -> Language {
    Language::Cel
}

fn yes() -> bool {
    true
}
