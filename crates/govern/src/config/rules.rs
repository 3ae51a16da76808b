//! Ordered rules of tools.

use preloop_store::Tx;
use preloop_types::{
    Principal, RuleId, ToolConfigId, WorkflowId,
    config::{AccessRule, Language, RuleAction, ToolConfig},
};

use super::{Config, ConfigError, Patch, Result, conditions, limits, record::Actor, tools};

/// A rule to be made.
#[derive(Debug, Clone)]
pub struct NewRule {
    /// `allow`, `deny` or `require_approval`.
    pub action: String,
    /// When it matches; always when absent.
    pub expression: Option<String>,
    /// The expression's language.
    pub language: Language,
    /// Its place, from 0; after the others when absent.
    pub priority: Option<u32>,
    /// Why, for people and agents.
    pub description: Option<String>,
    /// Skipped when false.
    pub is_enabled: bool,
    /// Who decides.
    pub workflow: Option<WorkflowId>,
    /// A narrower scope's `allow` may override it.
    pub overridable: bool,
    /// Only recorded, not enforced.
    pub shadow: bool,
}

/// What to change about a rule.
#[derive(Debug, Clone, Default)]
pub struct RuleChange {
    /// `allow`, `deny` or `require_approval`.
    pub action: Option<String>,
    /// When it matches.
    pub expression: Patch<String>,
    /// The expression's language.
    pub language: Option<Language>,
    /// Its new place.
    pub priority: Option<u32>,
    /// Why.
    pub description: Patch<String>,
    /// Skipped when false.
    pub is_enabled: Option<bool>,
    /// Who decides.
    pub workflow: Patch<WorkflowId>,
    /// A narrower scope's `allow` may override it.
    pub overridable: Option<bool>,
    /// Only recorded, not enforced.
    pub shadow: Option<bool>,
}

/// A rule as it was saved.
#[derive(Debug, Clone)]
pub struct SavedRule {
    /// The configuration it is part of now.
    pub config: ToolConfig,
    /// Which of its rules.
    pub position: usize,
    /// What a person should look at: an argument the tool does not have, a comparison that can
    /// never be true.
    pub warnings: Vec<String>,
}

impl Config {
    /// Adds a rule to a configuration.
    pub async fn create_rule(&self, who: &Principal, config: ToolConfigId, new: NewRule) -> Result<SavedRule> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tools::find(tx, config).await?;
                limits::room("rules per tool", old.rules.len(), limits::RULES_MAX)?;
                let rule = AccessRule {
                    id: RuleId::new(tx.now()),
                    action: action(&new.action)?,
                    expression: new.expression,
                    language: new.language,
                    description: new.description,
                    is_enabled: new.is_enabled,
                    workflow: new.workflow,
                    overridable: new.overridable,
                    shadow: new.shadow,
                };
                put(tx, by, &old, old.rules.clone(), rule, new.priority).await
            })
        })
        .await
    }

    /// Changes a rule.
    pub async fn update_rule(&self, who: &Principal, id: RuleId, change: RuleChange) -> Result<SavedRule> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let (old, position) = find(tx, id).await?;
                let mut others = old.rules.clone();
                let mut rule = others.remove(position);
                if let Some(word) = &change.action {
                    rule.action = action(word)?;
                }
                rule.expression = change.expression.unwrap_or(rule.expression);
                rule.language = change.language.unwrap_or(rule.language);
                rule.description = change.description.unwrap_or(rule.description);
                rule.is_enabled = change.is_enabled.unwrap_or(rule.is_enabled);
                rule.workflow = change.workflow.unwrap_or(rule.workflow);
                rule.overridable = change.overridable.unwrap_or(rule.overridable);
                rule.shadow = change.shadow.unwrap_or(rule.shadow);
                let place = change.priority.unwrap_or(u32::try_from(position).unwrap_or(u32::MAX));
                put(tx, by, &old, others, rule, Some(place)).await
            })
        })
        .await
    }

    /// Removes a rule.
    pub async fn delete_rule(&self, who: &Principal, id: RuleId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let (old, position) = find(tx, id).await?;
                let mut new = old.clone();
                new.rules.remove(position);
                tools::replace(tx, by, &old, &new).await
            })
        })
        .await
    }

    /// Puts all rules of a configuration into a new order at once.
    pub async fn reorder_rules(&self, who: &Principal, config: ToolConfigId, order: Vec<RuleId>) -> Result<ToolConfig> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tools::find(tx, config).await?;
                let mut new = old.clone();
                let mut left = std::mem::take(&mut new.rules);
                for id in &order {
                    let position = left.iter().position(|rule| rule.id == *id).ok_or_else(not_those)?;
                    new.rules.push(left.remove(position));
                }
                if !left.is_empty() {
                    return Err(not_those());
                }
                tools::replace(tx, by, &old, &new).await?;
                Ok(new)
            })
        })
        .await
    }
}

fn not_those() -> ConfigError {
    ConfigError::Stale("the ids are not exactly the tool's rules; read them again and retry".into())
}

async fn find(tx: &mut Tx<'_>, id: RuleId) -> Result<(ToolConfig, usize)> {
    let configs = tx.tool_configs().await?;
    configs
        .into_iter()
        .find_map(|config| {
            let position = config.rules.iter().position(|rule| rule.id == id)?;
            Some((config, position))
        })
        .ok_or(ConfigError::NotFound("access rule"))
}

async fn put(
    tx: &mut Tx<'_>,
    by: Actor,
    old: &ToolConfig,
    others: Vec<AccessRule>,
    mut rule: AccessRule,
    place: Option<u32>,
) -> Result<SavedRule> {
    rule.expression = rule.expression.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    if let Some(description) = &rule.description {
        limits::text("description", description, limits::TEXT_MAX)?;
    }
    tools::own_workflow(tx, "approval_workflow_id", rule.workflow).await?;
    let warnings = conditions::check(tx, old, &rule).await?;
    let mut new = old.clone();
    new.rules = others;
    let position = place.map_or(new.rules.len(), |place| place as usize).min(new.rules.len());
    new.rules.insert(position, rule);
    tools::replace(tx, by, old, &new).await?;
    Ok(SavedRule { config: new, position, warnings })
}

fn action(word: &str) -> Result<RuleAction> {
    RuleAction::parse(word).ok_or_else(|| {
        ConfigError::Refused(format!("action `{word}` is not one of `allow`, `deny`, `require_approval`"))
    })
}
