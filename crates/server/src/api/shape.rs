//! Rows as clients see them, where more than one group shows them.

use preloop_api_types::{
    DateTime, Utc,
    access_rules::{AccessRule, RuleSummary},
};
use preloop_types::{
    AccountId, NanoUsd, Timestamp,
    config::{self, ToolConfig},
};

pub(super) fn at(at: Timestamp) -> DateTime<Utc> {
    at.to_datetime()
}

pub(super) fn at_opt(instant: Option<Timestamp>) -> Option<DateTime<Utc>> {
    instant.map(at)
}

/// Dollars for reading; what has to be exact is a decimal text.
pub(super) fn dollars(amount: NanoUsd) -> f64 {
    amount.to_string().parse().unwrap_or_default()
}

fn priority(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

pub(super) fn rule(account: AccountId, config: &ToolConfig, position: usize, rule: &config::AccessRule) -> AccessRule {
    AccessRule {
        id: rule.id.0,
        account_id: account.0,
        tool_configuration_id: config.id.0,
        action: rule.action,
        condition_expression: rule.expression.clone(),
        condition_type: rule.language,
        priority: priority(position),
        description: rule.description.clone(),
        is_enabled: rule.is_enabled,
        approval_workflow_id: rule.workflow.map(|id| id.0),
        overridable: rule.overridable,
        shadow: rule.shadow,
        warnings: Vec::new(),
    }
}

pub(super) fn rules(account: AccountId, config: &ToolConfig) -> Vec<AccessRule> {
    config.rules.iter().enumerate().map(|(position, each)| rule(account, config, position, each)).collect()
}

pub(super) fn rule_summaries(config: &ToolConfig) -> Vec<RuleSummary> {
    let summary = |(position, rule): (usize, &config::AccessRule)| RuleSummary {
        id: rule.id.0,
        action: rule.action,
        condition_expression: rule.expression.clone(),
        condition_type: rule.language,
        priority: priority(position),
        description: rule.description.clone(),
        is_enabled: rule.is_enabled,
        approval_workflow_id: rule.workflow.map(|id| id.0),
    };
    config.rules.iter().enumerate().map(summary).collect()
}
