//! What narrows one credential.

use preloop_types::{
    KeyId, Principal,
    config::{SubjectGovernance, SubjectRef},
};

use super::{
    Config, ConfigError, Result, conditions, limits,
    record::{Actor, What},
    tools,
};

impl Config {
    /// Replaces what narrows an API key; empty removes it.
    pub async fn put_key_governance(
        &self,
        who: &Principal,
        key: KeyId,
        governance: SubjectGovernance,
    ) -> Result<SubjectGovernance> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let row = tx.key(key).await?.ok_or(ConfigError::NotFound("API key"))?;
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
                let subject = SubjectRef::Key(key);
                let old = tx.subject_governance().await?.into_iter().find(|(other, _)| *other == subject);
                let old = old.map(|(_, governance)| governance).unwrap_or_default();
                if old != governance {
                    tx.put_subject_governance(subject, &governance).await?;
                    by.changed(tx, What::SubjectGovernance, (key.0, &row.name), Some(&old), Some(&governance));
                }
                Ok(governance)
            })
        })
        .await
    }
}
