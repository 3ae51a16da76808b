//! Configurations of tools.

use preloop_store::Tx;
use preloop_types::{
    Principal, ToolConfigId, WorkflowId,
    config::{AccessRule, Justification, RawJson, ToolConfig, ToolSource},
};
use serde_json::value::to_raw_value;

use super::{
    Config, ConfigError, JsonObject, Patch, Result, limits,
    record::{Actor, What},
};

/// A configuration to be made, without rules.
#[derive(Debug, Clone)]
pub struct NewToolConfig {
    /// The tool's name, as its server gives it.
    pub tool_name: String,
    /// Whose tool.
    pub source: ToolSource,
    /// What is configured.
    pub change: ToolConfigChange,
}

/// What to change about a configuration.
#[derive(Debug, Clone, Default)]
pub struct ToolConfigChange {
    /// Hidden and refused when false.
    pub is_enabled: Option<bool>,
    /// Who decides when a rule asks.
    pub workflow: Patch<WorkflowId>,
    /// Whether agents give a reason.
    pub justification: Patch<Justification>,
    /// Shown to agents instead of the tool's own description.
    pub description: Patch<String>,
    /// Free JSON.
    pub custom_config: Patch<JsonObject>,
}

impl Config {
    /// Configures a tool. The tool need not exist yet.
    pub async fn create_tool_config(&self, who: &Principal, new: NewToolConfig) -> Result<ToolConfig> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let configs = tx.tool_configs().await?;
                limits::room("tool configurations", configs.len(), limits::TOOL_CONFIGS_MAX)?;
                let tool_name = limits::named("tool_name", &new.tool_name, 256)?;
                if let ToolSource::Server(server) = new.source {
                    tx.server(server).await?.ok_or(ConfigError::NotFound("MCP server"))?;
                }
                if configs.iter().any(|config| config.tool_name == tool_name && config.source == new.source) {
                    return Err(ConfigError::Refused(format!("a configuration of tool `{tool_name}` already exists")));
                }
                let mut config = ToolConfig {
                    id: ToolConfigId::new(tx.now()),
                    tool_name,
                    source: new.source,
                    is_enabled: true,
                    workflow: None,
                    justification: None,
                    description: None,
                    custom_config: None,
                    rules: Vec::new(),
                };
                apply(tx, &mut config, new.change).await?;
                insert(tx, by, &config).await?;
                Ok(config)
            })
        })
        .await
    }

    /// Changes a configuration.
    pub async fn update_tool_config(
        &self,
        who: &Principal,
        id: ToolConfigId,
        change: ToolConfigChange,
    ) -> Result<ToolConfig> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                let mut new = old.clone();
                apply(tx, &mut new, change).await?;
                replace(tx, by, &old, &new).await?;
                Ok(new)
            })
        })
        .await
    }

    /// Removes a configuration with its rules.
    pub async fn delete_tool_config(&self, who: &Principal, id: ToolConfigId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                delete(tx, by, &old).await
            })
        })
        .await
    }
}

pub(super) async fn find(tx: &mut Tx<'_>, id: ToolConfigId) -> Result<ToolConfig> {
    tx.tool_config(id).await?.ok_or(ConfigError::NotFound("tool configuration"))
}

/// The limits of a configuration that comes whole.
pub(super) fn check(config: &ToolConfig) -> Result<()> {
    limits::named("name", &config.tool_name, 256)?;
    limits::count("conditions", config.rules.len(), limits::RULES_MAX)?;
    let descriptions = config.rules.iter().filter_map(|rule| rule.description.as_ref()).chain(&config.description);
    for description in descriptions {
        limits::text("description", description, limits::TEXT_MAX)?;
    }
    if config.custom_config.as_ref().is_some_and(|raw| raw.0.get().len() > limits::JSON_BYTES_MAX) {
        let message = format!("is longer than {} bytes", limits::JSON_BYTES_MAX);
        return Err(ConfigError::invalid("custom_config", message));
    }
    Ok(())
}

pub(super) async fn insert(tx: &mut Tx<'_>, by: Actor, config: &ToolConfig) -> Result<()> {
    tx.insert_tool_config(config).await?;
    sign(tx, by, &[], &config.rules).await?;
    by.changed(tx, What::ToolConfiguration, (config.id.0, &config.tool_name), None::<&ToolConfig>, Some(config));
    Ok(())
}

/// Writes `new` over `old`; nothing when they are the same.
pub(super) async fn replace(tx: &mut Tx<'_>, by: Actor, old: &ToolConfig, new: &ToolConfig) -> Result<()> {
    if old == new {
        return Ok(());
    }
    tx.update_tool_config(new).await?;
    sign(tx, by, &old.rules, &new.rules).await?;
    by.changed(tx, What::ToolConfiguration, (new.id.0, &new.tool_name), Some(old), Some(new));
    Ok(())
}

/// Notes who wrote the rules that are new or say something else now.
async fn sign(tx: &mut Tx<'_>, by: Actor, old: &[AccessRule], new: &[AccessRule]) -> Result<()> {
    let Some(author) = by.person() else { return Ok(()) };
    for rule in new.iter().filter(|rule| !old.contains(rule)) {
        tx.put_rule_author(rule.id.0, author).await?;
    }
    Ok(())
}

pub(super) async fn delete(tx: &mut Tx<'_>, by: Actor, old: &ToolConfig) -> Result<()> {
    tx.delete_tool_config(old.id).await?;
    by.changed(tx, What::ToolConfiguration, (old.id.0, &old.tool_name), Some(old), None::<&ToolConfig>);
    Ok(())
}

async fn apply(tx: &mut Tx<'_>, config: &mut ToolConfig, change: ToolConfigChange) -> Result<()> {
    if let Some(is_enabled) = change.is_enabled {
        config.is_enabled = is_enabled;
    }
    if let Some(workflow) = change.workflow {
        own_workflow(tx, "approval_workflow_id", workflow).await?;
        config.workflow = workflow;
    }
    if let Some(justification) = change.justification {
        config.justification = justification;
    }
    if let Some(description) = change.description {
        config.description =
            description.map(|text| limits::text("tool_description", &text, limits::TEXT_MAX)).transpose()?;
    }
    if let Some(custom) = change.custom_config {
        config.custom_config = custom.as_ref().map(custom_config).transpose()?;
    }
    Ok(())
}

/// Free JSON of a bounded size.
pub(super) fn custom_config(custom: &JsonObject) -> Result<RawJson> {
    let raw = to_raw_value(custom).map_err(|error| ConfigError::invalid("custom_config", error.to_string()))?;
    match raw.get().len() {
        bytes if bytes > limits::JSON_BYTES_MAX => Err(ConfigError::invalid(
            "custom_config",
            format!("is {bytes} bytes long; at most {} are allowed", limits::JSON_BYTES_MAX),
        )),
        _ => Ok(RawJson(raw)),
    }
}

/// The workflow is one of this account's and not deleted.
pub(super) async fn own_workflow(tx: &mut Tx<'_>, field: &str, workflow: Option<WorkflowId>) -> Result<()> {
    let Some(id) = workflow else { return Ok(()) };
    match tx.workflow(id).await? {
        Some(workflow) if workflow.deleted_at.is_none() => Ok(()),
        _ => Err(ConfigError::invalid(field, format!("there is no approval workflow `{id}`"))),
    }
}
