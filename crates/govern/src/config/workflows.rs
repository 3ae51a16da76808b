//! Approval workflows.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use preloop_store::{SecretOwner, Tx};
use preloop_types::{
    Principal, SEALED_CHANNELS, SealedChannel, WorkflowId,
    config::{Channels, RawJson, RuleAction, WebhookChannel, Workflow, WorkflowSettings},
};
use secrecy::SecretString;
use serde_json::{Value, value::to_raw_value};

use super::{
    Config, ConfigError, DecidersChange, JsonObject, Patch, Result, deciders, limits,
    record::{Actor, What},
    secrets::{Changes, Wanted, is_redacted},
};

/// What to change about a workflow; to make one, what it shall be.
#[derive(Debug, Clone, Default)]
pub struct WorkflowChange {
    /// Unique in the account.
    pub name: Option<String>,
    /// For people.
    pub description: Patch<String>,
    /// How long a request stays open.
    pub timeout_seconds: Option<u32>,
    /// Approvers must say why.
    pub require_reason: Option<bool>,
    /// Used when nothing names another.
    pub is_default: Option<bool>,
    /// Answer the agent at once and let it poll.
    pub async_approval: Option<bool>,
    /// Approvals needed.
    pub approvals_required: Option<u32>,
    /// Who decides.
    pub deciders: DecidersChange,
    /// `{"webhook": {"url", "headers"}, "email": [address], "slack": {"webhook_url"}, …}`.
    pub channels: Option<JsonObject>,
    /// `simple`; `multi_stage` and `consensus` are kept and treated as simple.
    pub workflow_type: Option<String>,
}

/// A workflow as it was saved.
#[derive(Debug, Clone)]
pub struct SavedWorkflow {
    /// The workflow.
    pub workflow: Workflow,
    /// Whether anything changed.
    pub changed: bool,
    /// The key that signs its webhook's requests, when this change made it.
    pub webhook_secret: Option<SecretString>,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

impl Config {
    /// Makes a workflow.
    pub async fn create_workflow(&self, who: &Principal, change: WorkflowChange) -> Result<SavedWorkflow> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| Box::pin(async move { create(tx, by, change).await })).await
    }

    /// Changes a workflow. Open requests keep the deadline and quorum they were made with.
    pub async fn update_workflow(
        &self,
        who: &Principal,
        id: WorkflowId,
        change: WorkflowChange,
    ) -> Result<SavedWorkflow> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                if change.is_default == Some(false) && old.is_default {
                    return Err(ConfigError::Refused(format!(
                        "workflow `{}` is the default; make another one the default instead",
                        old.name
                    )));
                }
                update(tx, by, &old, change).await
            })
        })
        .await
    }

    /// Deletes a workflow; its history stays. Refused while something still names it.
    pub async fn delete_workflow(&self, who: &Principal, id: WorkflowId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                delete(tx, by, &old).await
            })
        })
        .await
    }

    /// Makes a new key that signs a workflow's webhook requests; the old one ends at once.
    pub async fn rotate_webhook_secret(&self, who: &Principal, id: WorkflowId) -> Result<SecretString> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let workflow = find(tx, id).await?;
                if workflow.channels.webhook.is_none() {
                    return Err(ConfigError::Refused(format!("workflow `{}` has no webhook", workflow.name)));
                }
                let secret = signing_key();
                tx.put_secret(SecretOwner::Workflow(id), WEBHOOK_SECRET, &secret).await?;
                let rotated = serde_json::json!({"webhook_secret": "rotated"});
                by.changed(
                    tx,
                    What::ApprovalWorkflow,
                    (id.0, &workflow.name),
                    Some(&serde_json::json!({})),
                    Some(&rotated),
                );
                Ok(secret)
            })
        })
        .await
    }
}

const WEBHOOK_SECRET: &str = "webhook.secret";
const WORKFLOW_TYPE: &str = "workflow_type";

fn header_secret(name: &str) -> String {
    format!("webhook.header.{name}")
}

async fn find(tx: &mut Tx<'_>, id: WorkflowId) -> Result<Workflow> {
    let workflow = tx.workflow(id).await?.filter(|workflow| workflow.deleted_at.is_none());
    workflow.ok_or(ConfigError::NotFound("approval workflow"))
}

pub(super) async fn create(tx: &mut Tx<'_>, by: Actor, change: WorkflowChange) -> Result<SavedWorkflow> {
    let workflows = tx.workflows().await?;
    limits::room("approval workflows", workflows.len(), limits::WORKFLOWS_MAX)?;
    let now = tx.now();
    let blank = Workflow {
        id: WorkflowId::new(now),
        name: String::new(),
        description: None,
        timeout_seconds: 300,
        require_reason: false,
        is_default: false,
        async_approval: false,
        approvals_required: 1,
        approvers: Vec::new(),
        settings: WorkflowSettings::default(),
        channels: Channels::default(),
        extra: std::collections::BTreeMap::new(),
        created_at: now,
        updated_at: now,
        deleted_at: None,
    };
    let change = WorkflowChange { name: Some(change.name.unwrap_or_default()), ..change };
    let mut wanted = Wanted::default();
    let workflow = changed(tx, &blank, &workflows, change, &mut wanted).await?;
    let secrets = complete(wanted, tx, workflow.id).await?;
    tx.insert_workflow(&workflow).await?;
    let webhook_secret = save_secrets(tx, &workflow, secrets).await?;
    by.changed(tx, What::ApprovalWorkflow, (workflow.id.0, &workflow.name), None::<&Workflow>, Some(&workflow));
    let warnings = warnings(tx, &workflow).await?;
    Ok(SavedWorkflow { workflow, changed: true, webhook_secret, warnings })
}

/// Header values as wanted; those to be kept must be there.
async fn complete(wanted: Wanted, tx: &mut Tx<'_>, id: WorkflowId) -> Result<Changes> {
    let sealed: Vec<String> = SEALED_CHANNELS.iter().map(|channel| format!("{}.", channel.name)).collect();
    let ours: Vec<&str> = sealed.iter().map(String::as_str).chain(["webhook.header."]).collect();
    let secrets = wanted.against(tx, SecretOwner::Workflow(id), &ours).await?;
    match secrets.missing.first() {
        Some(name) => Err(ConfigError::invalid(
            "channel_configs",
            format!("`{name}` is redacted and there is no value to keep; send one"),
        )),
        None => Ok(secrets),
    }
}

async fn warnings(tx: &mut Tx<'_>, workflow: &Workflow) -> Result<Vec<String>> {
    let mut warnings = deciders::warnings(tx, workflow).await?;
    if workflow.extra.contains_key(WORKFLOW_TYPE) {
        warnings
            .push(format!("workflow `{}`: only the type `simple` has behaviour; it is treated as such", workflow.name));
    }
    Ok(warnings)
}

pub(super) async fn update(
    tx: &mut Tx<'_>,
    by: Actor,
    old: &Workflow,
    change: WorkflowChange,
) -> Result<SavedWorkflow> {
    let workflows = tx.workflows().await?;
    let channels_given = change.channels.is_some();
    let mut wanted = Wanted::default();
    if !channels_given {
        for name in old.channels.webhook.iter().flat_map(|webhook| &webhook.headers) {
            wanted.keep(header_secret(name));
        }
        for (channel, fields) in &old.channels.sealed {
            for field in fields {
                wanted.keep(format!("{channel}.{field}"));
            }
        }
    }
    let mut workflow = changed(tx, old, &workflows, change, &mut wanted).await?;
    let secrets = complete(wanted, tx, old.id).await?;
    if workflow == *old && secrets.is_empty() {
        let warnings = warnings(tx, &workflow).await?;
        return Ok(SavedWorkflow { workflow, changed: false, webhook_secret: None, warnings });
    }
    workflow.updated_at = tx.now();
    tx.update_workflow(&workflow).await?;
    let webhook_secret = save_secrets(tx, &workflow, secrets).await?;
    by.changed(tx, What::ApprovalWorkflow, (workflow.id.0, &workflow.name), Some(old), Some(&workflow));
    let warnings = warnings(tx, &workflow).await?;
    Ok(SavedWorkflow { workflow, changed: true, webhook_secret, warnings })
}

pub(super) async fn delete(tx: &mut Tx<'_>, by: Actor, old: &Workflow) -> Result<()> {
    let id = old.id;
    if old.is_default {
        return Err(ConfigError::Refused(format!(
            "workflow `{}` is the default; make another one the default first",
            old.name
        )));
    }
    if let Some(user) = named_by(tx, id).await? {
        return Err(ConfigError::Refused(format!("workflow `{}` is used by {user}", old.name)));
    }
    tx.delete_workflow(id).await?;
    by.changed(tx, What::ApprovalWorkflow, (id.0, &old.name), Some(old), None::<&Workflow>);
    Ok(())
}

/// What still names the workflow, for people.
async fn named_by(tx: &mut Tx<'_>, id: WorkflowId) -> Result<Option<String>> {
    if tx.defaults().await?.default_workflow == Some(id) {
        return Ok(Some("the account's defaults".into()));
    }
    let reviewed = tx.workflows().await?.into_iter().find(|other| other.settings.escalation_workflow == Some(id));
    if let Some(other) = reviewed {
        return Ok(Some(format!("workflow `{}`, which escalates to it", other.name)));
    }
    let tool = tx.tool_configs().await?.into_iter().find(|config| {
        config.workflow == Some(id)
            || config.rules.iter().any(|r| r.workflow == Some(id) && r.action == RuleAction::RequireApproval)
    });
    Ok(tool.map(|config| format!("tool `{}`", config.tool_name)))
}

async fn changed(
    tx: &mut Tx<'_>,
    old: &Workflow,
    workflows: &[Workflow],
    change: WorkflowChange,
    secrets: &mut Wanted,
) -> Result<Workflow> {
    let mut new = old.clone();
    if let Some(name) = change.name {
        new.name = limits::name("name", &name)?;
        if workflows.iter().any(|other| other.name == new.name && other.id != new.id) {
            return Err(ConfigError::Refused(format!("an approval workflow named `{}` already exists", new.name)));
        }
    }
    if let Some(description) = change.description {
        new.description = description.map(|text| limits::text("description", &text, limits::TEXT_MAX)).transpose()?;
    }
    if let Some(seconds) = change.timeout_seconds {
        limits::range("timeout_seconds", seconds.into(), 30, 86_400)?;
        new.timeout_seconds = seconds;
    }
    if let Some(needed) = change.approvals_required {
        limits::range("approvals_required", needed.into(), 1, 10)?;
        new.approvals_required = needed;
    }
    change.deciders.apply(tx, &mut new).await?;
    new.require_reason = change.require_reason.unwrap_or(new.require_reason);
    new.async_approval = change.async_approval.unwrap_or(new.async_approval);
    new.is_default = change.is_default.unwrap_or(new.is_default);
    if let Some(given) = change.channels {
        new.channels = channels(&given, secrets)?;
    }
    match change.workflow_type.as_deref() {
        None => {}
        Some("simple") => drop(new.extra.remove(WORKFLOW_TYPE)),
        Some(kind @ ("multi_stage" | "consensus")) => {
            let raw = to_raw_value(kind).map_err(|error| ConfigError::invalid(WORKFLOW_TYPE, error.to_string()))?;
            new.extra.insert(WORKFLOW_TYPE.to_owned(), RawJson(raw));
        }
        Some(other) => {
            let message = format!("`{other}` is not one of `simple`, `multi_stage`, `consensus`");
            return Err(ConfigError::invalid(WORKFLOW_TYPE, message));
        }
    }
    Ok(new)
}

fn channels(given: &JsonObject, secrets: &mut Wanted) -> Result<Channels> {
    let mut channels = Channels::default();
    for (name, value) in given {
        match name.as_str() {
            _ if value.is_null() => {}
            "webhook" => channels.webhook = Some(webhook(value, secrets)?),
            "email" => channels.email = emails(value)?,
            "elicitation" => {
                channels.elicitation = value
                    .as_bool()
                    .ok_or_else(|| ConfigError::invalid("channel_configs.elicitation", "is not `true` or `false`"))?;
            }
            _ => {
                let Some(channel) = SealedChannel::named(name) else {
                    let known: Vec<_> = SEALED_CHANNELS.iter().map(|channel| format!("`{}`", channel.name)).collect();
                    let known = known.join(", ");
                    let message = format!("channel `{name}` is not one of `webhook`, `email`, `elicitation`, {known}");
                    return Err(ConfigError::invalid("channel_configs", message));
                };
                channels.sealed.insert(name.clone(), sealed(channel, value, secrets)?);
            }
        }
    }
    Ok(channels)
}

/// Which of a channel's fields are set; their values are kept apart.
fn sealed(channel: &SealedChannel, value: &Value, secrets: &mut Wanted) -> Result<Vec<String>> {
    let path = format!("channel_configs.{}", channel.name);
    let given = value.as_object().ok_or_else(|| ConfigError::invalid(&path, "is not an object"))?;
    if let Some(other) = given.keys().find(|name| !channel.fields().any(|field| field == *name)) {
        return Err(ConfigError::invalid(&path, format!("unknown key `{other}`")));
    }
    let mut set = Vec::new();
    for field in channel.fields() {
        let path = format!("{path}.{field}");
        match given.get(field).filter(|value| !value.is_null()) {
            Some(value) => {
                if let Some(text) = value.as_str().filter(|_| field.ends_with("url") && !is_redacted(value)) {
                    limits::url(&path, text)?;
                }
                secrets.take(&path, format!("{}.{field}", channel.name), value)?;
                set.push(field.to_owned());
            }
            None if channel.required.contains(&field) => return Err(ConfigError::invalid(&path, "is missing")),
            None => {}
        }
    }
    Ok(set)
}

fn webhook(value: &Value, secrets: &mut Wanted) -> Result<WebhookChannel> {
    const FIELD: &str = "channel_configs.webhook";
    let url = value.get("url").and_then(Value::as_str).unwrap_or_default();
    let url = limits::url("channel_configs.webhook.url", url)?;
    let mut headers = Vec::new();
    if let Some(given) = value.get("headers").and_then(Value::as_object) {
        limits::count("channel_configs.webhook.headers", given.len(), 20)?;
        for (name, value) in given {
            let field = format!("{FIELD}.headers.{name}");
            let name = limits::header_name(&field, name)?;
            secrets.take(&field, header_secret(&name), value)?;
            headers.push(name);
        }
    }
    Ok(WebhookChannel { url, headers })
}

fn emails(value: &Value) -> Result<Vec<String>> {
    const FIELD: &str = "channel_configs.email";
    let list = value.get("to").unwrap_or(value);
    let list = list.as_array().ok_or_else(|| ConfigError::invalid(FIELD, "is not a list of addresses"))?;
    limits::count(FIELD, list.len(), limits::ITEMS_MAX)?;
    list.iter().map(|address| limits::email(FIELD, address.as_str().unwrap_or_default())).collect()
}

/// Header values and, for a webhook that has none yet, its signing key, which is returned.
async fn save_secrets(tx: &mut Tx<'_>, workflow: &Workflow, secrets: Changes) -> Result<Option<SecretString>> {
    let owner = SecretOwner::Workflow(workflow.id);
    secrets.write(tx, owner).await?;
    let has_key = tx.secret_names(owner).await?.iter().any(|name| name == WEBHOOK_SECRET);
    match (&workflow.channels.webhook, has_key) {
        (Some(_), false) => {
            let secret = signing_key();
            tx.put_secret(owner, WEBHOOK_SECRET, &secret).await?;
            Ok(Some(secret))
        }
        (None, true) => {
            tx.delete_secret(owner, WEBHOOK_SECRET).await?;
            Ok(None)
        }
        _ => Ok(None),
    }
}

fn signing_key() -> SecretString {
    let bytes: [u8; 32] = rand::random();
    SecretString::from(format!("whsec_{}", URL_SAFE_NO_PAD.encode(bytes)))
}
