//! What narrows one credential or one managed agent.

use preloop_store::Tx;
use preloop_types::{
    NativeApprovals, Principal,
    config::{SubjectGovernance, SubjectRef},
};
use serde_json::json;

use super::{
    Config, ConfigError, Result, conditions, limits,
    record::{Actor, What},
    tools,
};

impl Config {
    /// What narrows an API key or a managed agent.
    pub async fn governance(&self, who: &Principal, subject: SubjectRef) -> Result<SubjectGovernance> {
        let rows = self.store.account(who.account);
        let known = match subject {
            SubjectRef::Key(id) => rows.key(id).await?.is_some(),
            SubjectRef::Agent(id) => rows.agent(id).await?.is_some(),
        };
        if !known {
            return Err(unknown(subject));
        }
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

impl Config {
    /// Sets whether agents' own tools need a person where no rule speaks about them.
    pub async fn put_native_tool_approvals(&self, who: &Principal, wanted: NativeApprovals) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = tx.native_tool_approvals().await?;
                if old != wanted {
                    tx.put_native_tool_approvals(wanted).await?;
                    let (old, new) = (json!({"native_tool_approvals": old}), json!({"native_tool_approvals": wanted}));
                    by.changed(tx, What::Defaults, (by.account.0, "defaults"), Some(&old), Some(&new));
                }
                Ok(())
            })
        })
        .await
    }
}

/// Replaces what narrows a subject.
pub(super) async fn put(
    tx: &mut Tx<'_>,
    by: Actor,
    subject: SubjectRef,
    governance: SubjectGovernance,
) -> Result<SubjectGovernance> {
    let (id, name) = match subject {
        SubjectRef::Key(id) => tx.key(id).await?.map(|key| (id.0, key.name)),
        SubjectRef::Agent(id) => tx.agent(id).await?.map(|agent| (id.0, agent.name)),
    }
    .ok_or_else(|| unknown(subject))?;
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
    tools::own_workflow(tx, "approval_workflow_id", governance.approval_workflow).await?;
    limits::model_patterns("allowed_models", &governance.allowed_models)?;
    limits::rate("rate_limit", governance.rate_limit)
}

fn current(subject: SubjectRef, all: Vec<(SubjectRef, SubjectGovernance)>) -> SubjectGovernance {
    all.into_iter().find(|(other, _)| *other == subject).map(|(_, governance)| governance).unwrap_or_default()
}

fn unknown(subject: SubjectRef) -> ConfigError {
    ConfigError::NotFound(match subject {
        SubjectRef::Key(_) => "API key",
        SubjectRef::Agent(_) => "agent",
    })
}
