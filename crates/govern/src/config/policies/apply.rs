//! Applying a document inside one transaction.

use preloop_policy::document::{Document, ServerEntry, WorkflowEntry};
use preloop_store::{NewPolicyVersion, Tx};
use preloop_types::{ServerId, UserId, config::Server};
use serde::Serialize;

use super::{ApplyRequest, OwnedRows, keeps_default, problem, versions::counts};
use crate::config::{
    ConfigError, ConfigOptions, DecidersChange, Result, ServerChange, WorkflowChange,
    record::{Actor, What},
    servers, tools, workflows,
};

/// What applying a document did, or would do.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Applied {
    /// The document's name.
    pub policy_name: String,
    /// Servers added.
    pub servers_created: u32,
    /// Servers changed.
    pub servers_updated: u32,
    /// Workflows added.
    pub workflows_created: u32,
    /// Workflows changed.
    pub workflows_updated: u32,
    /// Tool configurations added.
    pub tools_created: u32,
    /// Tool configurations changed.
    pub tools_updated: u32,
    /// Tools left out because their server does not exist.
    pub tools_skipped: u32,
    /// Whether the defaults changed.
    pub defaults_updated: bool,
    /// Servers, workflows and tool configurations removed.
    pub removed: u32,
    /// The version this made; none when nothing changed.
    pub version: Option<u64>,
    /// What a person should look at.
    #[serde(skip)]
    pub warnings: Vec<String>,
    /// Servers whose tools must be listed now.
    #[serde(skip)]
    pub to_scan: Vec<Server>,
    /// Servers that were changed or removed.
    #[serde(skip)]
    pub touched: Vec<ServerId>,
}

impl Applied {
    fn changed(&self) -> bool {
        let counts = [
            self.servers_created,
            self.servers_updated,
            self.workflows_created,
            self.workflows_updated,
            self.tools_created,
            self.tools_updated,
            self.removed,
        ];
        self.defaults_updated || counts.iter().any(|count| *count > 0)
    }
}

/// Writes what the document says; everything, or an error.
pub(super) async fn apply(
    tx: &mut Tx<'_>,
    by: Actor,
    user: UserId,
    options: &ConfigOptions,
    document: &Document,
    request: &ApplyRequest,
) -> Result<Applied> {
    let mut applied = Applied { policy_name: document.metadata.name.clone(), ..Applied::default() };
    for entry in &document.mcp_servers {
        let about = |error| within("mcp_servers", &entry.name, error);
        apply_server(tx, by, options, entry, &mut applied).await.map_err(about)?;
    }
    for entry in &document.approval_workflows {
        let about = |error| within("approval_workflows", &entry.name, error);
        apply_workflow(tx, by, entry, &mut applied).await.map_err(about)?;
    }
    for entry in &document.approval_workflows {
        let about = |error| within("approval_workflows", &entry.name, error);
        link_workflow(tx, by, entry, &mut applied).await.map_err(about)?;
    }
    apply_tools(tx, by, document, request, &mut applied).await?;
    apply_defaults(tx, by, document, &mut applied).await?;
    if request.prune {
        prune(tx, by, document, &mut applied).await?;
    }
    if applied.changed() {
        let rows = OwnedRows::read(tx).await?;
        let after = Document::from_rows(&rows.borrow(), &document.metadata.name, tx.now());
        let version = NewPolicyVersion {
            yaml: after.to_yaml(None),
            description: request.description.clone().or_else(|| document.metadata.description.clone()),
            tag: None,
            active: true,
            created_by: Some(user),
            counts: counts(&after),
        };
        let version = tx.insert_policy_version(&version).await?;
        applied.version = Some(version.number);
        by.changed(tx, What::Policy, (version.id, &applied.policy_name), None::<&Applied>, Some(&applied));
    }
    Ok(applied)
}

/// Names the part of the document an error is about.
fn within(section: &str, name: &str, error: ConfigError) -> ConfigError {
    match error {
        ConfigError::Invalid { field, message } => {
            ConfigError::Invalid { field: format!("{section}[name={name}].{field}"), message }
        }
        ConfigError::Refused(message) => ConfigError::Refused(format!("{section}[name={name}]: {message}")),
        other => other,
    }
}

async fn apply_server(
    tx: &mut Tx<'_>,
    by: Actor,
    options: &ConfigOptions,
    entry: &ServerEntry,
    applied: &mut Applied,
) -> Result<()> {
    let old = tx.servers().await?.into_iter().find(|server| server.name == entry.name);
    let change = ServerChange {
        name: Some(entry.name.clone()),
        transport: Some(entry.transport.clone()),
        url: entry.url.clone(),
        command: entry.command.clone(),
        args: entry.command.as_ref().map(|_| entry.args.clone()),
        cwd: entry.cwd.clone().map(Some),
        env: entry.env.clone(),
        auth_type: Some(entry.auth_type.clone()),
        auth_config: entry.auth_config.clone(),
        settings: entry.settings.clone(),
        disabled: None,
    };
    let saved = match &old {
        Some(old) => servers::update(tx, by, options, old, change).await?,
        None => servers::create(tx, by, options, change).await?,
    };
    for secret in &saved.missing {
        let name = &entry.name;
        applied.warnings.push(format!("server `{name}`: the secret `{secret}` is redacted in the document; set it"));
    }
    match old {
        Some(_) if saved.changed => applied.servers_updated += 1,
        Some(_) => {}
        None => applied.servers_created += 1,
    }
    if saved.changed {
        applied.touched.push(saved.server.id);
    }
    if saved.rescan {
        applied.to_scan.push(saved.server);
    }
    Ok(())
}

async fn apply_workflow(tx: &mut Tx<'_>, by: Actor, entry: &WorkflowEntry, applied: &mut Applied) -> Result<()> {
    let old = tx.workflows().await?.into_iter().find(|workflow| workflow.name == entry.name);
    let users = tx.users().await?.into_iter().map(|user| (user.id, user.username)).collect::<Vec<_>>();
    let teams = tx.teams().await?.into_iter().map(|team| (team.id, team.name)).collect::<Vec<_>>();
    let deciders = DecidersChange {
        approvers: ids("approver_users", entry.approver_users.as_deref(), &users)?,
        approver_teams: ids("approver_teams", entry.approver_teams.as_deref(), &teams)?,
        escalation_users: ids("escalation_users", entry.escalation_users.as_deref(), &users)?,
        escalation_teams: ids("escalation_teams", entry.escalation_teams.as_deref(), &teams)?,
        escalation_workflow: entry.escalation_workflow.is_none().then_some(None),
        no_self_approval: Some(entry.no_self_approval),
        separation_of_duties: Some(entry.separation_of_duties),
        allow_edits: Some(entry.allow_edits),
        reviewer: Some(entry.reviewer.clone()),
    };
    let change = WorkflowChange {
        name: Some(entry.name.clone()),
        description: Some(entry.description.clone()),
        timeout_seconds: Some(entry.timeout_seconds),
        require_reason: Some(entry.require_reason),
        is_default: Some(entry.is_default),
        async_approval: Some(entry.async_approval),
        approvals_required: Some(entry.approvals_required),
        deciders,
        channels: entry.channel_configs.clone(),
        workflow_type: Some(entry.workflow_type.clone()),
    };
    let saved = match &old {
        Some(old) => workflows::update(tx, by, old, change).await?,
        None => workflows::create(tx, by, change).await?,
    };
    match old {
        Some(_) if saved.changed => applied.workflows_updated += 1,
        Some(_) => {}
        None => applied.workflows_created += 1,
    }
    applied.warnings.extend(saved.warnings);
    Ok(())
}

/// Points a workflow to the one that decides in its place: once all are there, whatever their order.
async fn link_workflow(tx: &mut Tx<'_>, by: Actor, entry: &WorkflowEntry, applied: &mut Applied) -> Result<()> {
    let Some(wanted) = &entry.escalation_workflow else { return Ok(()) };
    let workflows = tx.workflows().await?;
    let named = |name: &str| workflows.iter().find(|workflow| workflow.name == name);
    let Some(workflow) = named(&entry.name) else { return Ok(()) };
    let target = named(wanted).ok_or_else(|| {
        ConfigError::invalid("escalation_workflow", format!("there is no approval workflow `{wanted}`"))
    })?;
    let deciders = DecidersChange { escalation_workflow: Some(Some(target.id)), ..DecidersChange::default() };
    let saved = workflows::update(tx, by, workflow, WorkflowChange { deciders, ..WorkflowChange::default() }).await?;
    if saved.changed && applied.workflows_created + applied.workflows_updated == 0 {
        applied.workflows_updated += 1;
    }
    Ok(())
}

/// The ids of what a document names.
fn ids<Id: Copy>(field: &str, wanted: Option<&[String]>, known: &[(Id, String)]) -> Result<Option<Vec<Id>>> {
    let Some(wanted) = wanted else { return Ok(None) };
    let id_of = |name: &String| {
        let found = known.iter().find(|(_, other)| other == name).map(|(id, _)| *id);
        found.ok_or_else(|| ConfigError::invalid(field, format!("there is no `{name}`")))
    };
    wanted.iter().map(id_of).collect::<Result<Vec<_>>>().map(Some)
}

async fn apply_tools(
    tx: &mut Tx<'_>,
    by: Actor,
    document: &Document,
    request: &ApplyRequest,
    applied: &mut Applied,
) -> Result<()> {
    let rows = OwnedRows::read(tx).await?;
    let plan = document.plan_tools(&rows.borrow(), tx.now()).map_err(|problems| ConfigError::Policy {
        errors: problems.iter().map(problem).collect(),
        warnings: Vec::new(),
    })?;
    for skipped in plan.skipped {
        let (tool, server) = (&skipped.tool, &skipped.server);
        if !request.skip_missing_servers {
            let message = format!("tool `{tool}` references MCP server `{server}`, which is not configured");
            return Err(ConfigError::Refused(message));
        }
        applied.tools_skipped += 1;
        applied.warnings.push(format!("tool `{tool}` is left out: there is no MCP server `{server}`"));
    }
    for upsert in plan.upserts.into_iter().filter(preloop_policy::plan::Upsert::is_change) {
        tools::check(&upsert.after).map_err(|error| within("tools", &upsert.after.tool_name, error))?;
        if let Some(before) = &upsert.before {
            tools::replace(tx, by, before, &upsert.after).await?;
            applied.tools_updated += 1;
        } else {
            tools::insert(tx, by, &upsert.after).await?;
            applied.tools_created += 1;
        }
    }
    if request.prune {
        for unnamed in plan.unnamed {
            tools::delete(tx, by, &unnamed).await?;
            applied.removed += 1;
        }
    }
    Ok(())
}

async fn apply_defaults(tx: &mut Tx<'_>, by: Actor, document: &Document, applied: &mut Applied) -> Result<()> {
    let rows = OwnedRows::read(tx).await?;
    let planned = document.plan_defaults(&rows.borrow(), tx.now());
    let planned =
        planned.map_err(|error| ConfigError::Policy { errors: vec![problem(&error)], warnings: Vec::new() })?;
    let Some(upsert) = planned.filter(preloop_policy::plan::Upsert::is_change) else { return Ok(()) };
    tx.put_defaults(&upsert.after).await?;
    by.changed(tx, What::Defaults, (by.account.0, "defaults"), upsert.before.as_ref(), Some(&upsert.after));
    applied.defaults_updated = true;
    Ok(())
}

async fn prune(tx: &mut Tx<'_>, by: Actor, document: &Document, applied: &mut Applied) -> Result<()> {
    for server in tx.servers().await? {
        if !document.mcp_servers.iter().any(|entry| entry.name == server.name) {
            servers::delete(tx, by, &server).await?;
            applied.touched.push(server.id);
            applied.removed += 1;
        }
    }
    for workflow in tx.workflows().await? {
        let named = document.approval_workflows.iter().any(|entry| entry.name == workflow.name);
        let kept = workflow.is_default && keeps_default(document);
        if !(named || kept) {
            workflows::delete(tx, by, &workflow)
                .await
                .map_err(|error| within("approval_workflows", &workflow.name, error))?;
            applied.removed += 1;
        }
    }
    Ok(())
}
