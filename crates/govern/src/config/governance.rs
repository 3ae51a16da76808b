//! What narrows one credential or one managed agent.

use preloop_store::{KeyRow, Tx};
use preloop_types::{
    Principal,
    config::{SubjectGovernance, SubjectRef},
};
use uuid::Uuid;

use super::{
    Config, ConfigError, Result, conditions, limits,
    record::{Actor, What},
    tools,
};

impl Config {
    /// What narrows an API key or a managed agent.
    pub async fn governance(&self, who: &Principal, subject: SubjectRef) -> Result<SubjectGovernance> {
        let rows = self.store.account(who.account);
        named(subject, &rows.keys().await?)?;
        Ok(current(subject, rows.subject_governance().await?))
    }

    /// Replaces what narrows an API key or a managed agent; empty removes it.
    pub async fn put_governance(
        &self,
        who: &Principal,
        subject: SubjectRef,
        governance: SubjectGovernance,
    ) -> Result<SubjectGovernance> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| Box::pin(async move { put(tx, by, subject, governance).await })).await
    }
}

/// Replaces what narrows a subject.
pub(super) async fn put(
    tx: &mut Tx<'_>,
    by: Actor,
    subject: SubjectRef,
    governance: SubjectGovernance,
) -> Result<SubjectGovernance> {
    let (id, name) = named(subject, &tx.keys().await?)?;
    checked(tx, &governance).await?;
    let old = current(subject, tx.subject_governance().await?);
    if old != governance {
        tx.put_subject_governance(subject, &governance).await?;
        if let Some(author) = by.person().filter(|_| old.tool_rules != governance.tool_rules) {
            tx.put_rule_author(id, author).await?;
        }
        by.changed(tx, What::SubjectGovernance, (id, &name), Some(&old), Some(&governance));
    }
    Ok(governance)
}

async fn checked(tx: &mut Tx<'_>, governance: &SubjectGovernance) -> Result<()> {
    limits::count("tool_rules", governance.tool_rules.len(), limits::ITEMS_MAX)?;
    limits::count("tool_enabled_overrides", governance.tool_enabled_overrides.len(), 1_000)?;
    for name in governance.tool_rules.keys().chain(governance.tool_enabled_overrides.keys()) {
        limits::named("tool_rules", name, 256)?;
    }
    for (tool, rules) in &governance.tool_rules {
        limits::count(&format!("tool_rules.{tool}"), rules.len(), limits::RULES_MAX)?;
        for rule in rules {
            if let Some(description) = &rule.description {
                limits::text("description", description, limits::TEXT_MAX)?;
            }
            tools::own_workflow(tx, "approval_workflow_id", rule.workflow).await?;
            conditions::compile(&format!("tool_rules.{tool}"), rule)?;
        }
    }
    limits::model_patterns("allowed_models", &governance.allowed_models)?;
    limits::rate("rate_limit", governance.rate_limit)
}

fn current(subject: SubjectRef, all: Vec<(SubjectRef, SubjectGovernance)>) -> SubjectGovernance {
    all.into_iter().find(|(other, _)| *other == subject).map(|(_, governance)| governance).unwrap_or_default()
}

/// The subject's id and name. An agent is known by the keys that are bound to it.
fn named(subject: SubjectRef, keys: &[KeyRow]) -> Result<(Uuid, String)> {
    match subject {
        SubjectRef::Key(id) => {
            let key = keys.iter().find(|key| key.id == id).ok_or(ConfigError::NotFound("API key"))?;
            Ok((id.0, key.name.clone()))
        }
        SubjectRef::Agent(id) => {
            let agent = keys.iter().filter_map(|key| key.agent.as_ref()).find(|agent| agent.id == id);
            Ok((id.0, agent.ok_or(ConfigError::NotFound("agent"))?.name.clone()))
        }
    }
}
