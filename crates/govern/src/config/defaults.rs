//! What happens to tools nothing else speaks about.

use preloop_store::Tx;
use preloop_types::{
    Principal, WorkflowId,
    config::{Defaults, RuleAction},
};

use super::{
    Config, Patch, Result,
    record::{Actor, What},
    tools,
};

/// What to change about the defaults.
#[derive(Debug, Clone, Default)]
pub struct DefaultsChange {
    /// Tools without a configuration.
    pub unknown_tools: Option<RuleAction>,
    /// Tools found from now on need approval until they are configured.
    pub require_approval_for_new_tools: Option<bool>,
    /// Who decides when nothing names a workflow.
    pub default_workflow: Patch<WorkflowId>,
}

impl Config {
    /// Changes the account's defaults.
    pub async fn update_defaults(&self, who: &Principal, change: DefaultsChange) -> Result<Defaults> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| Box::pin(async move { update(tx, by, change).await.map(|(_, new)| new) }))
            .await
    }
}

/// Changes the defaults; returns whether that changed anything, and what they are now.
pub(super) async fn update(tx: &mut Tx<'_>, by: Actor, change: DefaultsChange) -> Result<(bool, Defaults)> {
    let old = tx.defaults().await?;
    let mut new = old.clone();
    if let Some(action) = change.unknown_tools {
        new.unknown_tools = action;
    }
    if let Some(required) = change.require_approval_for_new_tools {
        if required != old.require_approval_for_new_tools {
            new.new_tools_since = required.then(|| tx.now());
        }
        new.require_approval_for_new_tools = required;
    }
    if let Some(workflow) = change.default_workflow {
        tools::own_workflow(tx, "default_workflow_id", workflow).await?;
        new.default_workflow = workflow;
    }
    if new == old {
        return Ok((false, new));
    }
    tx.put_defaults(&new).await?;
    by.changed(tx, What::Defaults, (by.account.0, "defaults"), Some(&old), Some(&new));
    Ok((true, new))
}
