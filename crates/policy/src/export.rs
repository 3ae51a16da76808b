//! From rows to a document, and from a document to text.
//!
//! Secrets never come out: a document made from rows says `redacted: true` in their place, which
//! means "as it is" when it is applied again.

use std::{collections::BTreeMap, fmt::Write as _};

use preloop_types::{
    SealedChannel, ServerId, TeamId, Timestamp, UserId, WorkflowId,
    config::{
        AccessRule, Auth, Channels, Defaults, Server, ServerSettings, ToolConfig, ToolSource, Transport, Workflow,
    },
};
use serde_json::{Value, json};

use crate::{
    condition::infer_language,
    document::{
        DefaultsEntry, Document, JsonObject, Metadata, RuleEntry, ServerEntry, ToolEntry, ToolOrigin, VERSION,
        WorkflowEntry,
    },
};

/// An account's configuration as rows.
#[derive(Debug, Clone, Copy)]
pub struct Rows<'a> {
    /// Its servers.
    pub servers: &'a [Server],
    /// Its workflows that are not deleted.
    pub workflows: &'a [Workflow],
    /// Its tool configurations with their rules.
    pub configs: &'a [ToolConfig],
    /// Its defaults.
    pub defaults: &'a Defaults,
    /// Its users and their names.
    pub users: &'a [(UserId, String)],
    /// Its teams and their names.
    pub teams: &'a [(TeamId, String)],
}

impl Rows<'_> {
    pub(crate) fn workflow_name(&self, id: WorkflowId) -> Option<String> {
        self.workflows.iter().find(|workflow| workflow.id == id).map(|workflow| workflow.name.clone())
    }

    pub(crate) fn server_id(&self, name: &str) -> Option<ServerId> {
        self.servers.iter().find(|server| server.name == name).map(|server| server.id)
    }

    pub(crate) fn server_name(&self, id: ServerId) -> Option<String> {
        self.servers.iter().find(|server| server.id == id).map(|server| server.name.clone())
    }
}

impl Document {
    /// What the account has, as a document called `name`. Applying it changes nothing.
    pub fn from_rows(rows: &Rows<'_>, name: &str, at: Timestamp) -> Self {
        Self {
            metadata: Metadata {
                name: name.to_owned(),
                description: Some("Exported from current configuration".to_owned()),
                created_at: Some(at.to_string()),
                ..Metadata::default()
            },
            mcp_servers: rows.servers.iter().map(server_entry).collect(),
            approval_workflows: rows.workflows.iter().map(|workflow| workflow_entry(rows, workflow)).collect(),
            tools: rows.configs.iter().filter_map(|config| tool_entry(rows, config)).collect(),
            defaults: Some(DefaultsEntry {
                unknown_tools: rows.defaults.unknown_tools,
                require_approval_for_new_tools: rows.defaults.require_approval_for_new_tools,
                default_approval_workflow: rows.defaults.default_workflow.and_then(|id| rows.workflow_name(id)),
                inherit_from_parent: true,
            }),
        }
    }

    /// As JSON, in the order of the schema, without what says nothing and without secrets.
    pub fn to_json(&self) -> Value {
        let Metadata { name, description, author, created_at, tags } = &self.metadata;
        let metadata = json!({
            "name": name, "description": description, "author": author, "created_at": created_at, "tags": tags,
        });
        let list = |entries: Vec<Value>| Value::Array(entries);
        let mut document = json!({
            "version": VERSION,
            "metadata": metadata,
            "mcp_servers": list(self.mcp_servers.iter().map(ServerEntry::to_json).collect()),
            "approval_workflows": list(self.approval_workflows.iter().map(WorkflowEntry::to_json).collect()),
            "tools": list(self.tools.iter().map(ToolEntry::to_json).collect()),
            "defaults": self.defaults.as_ref().map(DefaultsEntry::to_json),
        });
        drop_nothings(&mut document);
        document
    }

    /// As YAML, under a comment that says what it is. `account` is its name, for people.
    pub fn to_yaml(&self, account: Option<&str>) -> String {
        let Metadata { name, created_at, .. } = &self.metadata;
        let mut text = format!("# {}\n", one_line(name));
        if let Some(at) = created_at {
            let _ = writeln!(text, "# Exported at {at}");
        }
        if let Some(account) = account {
            let _ = writeln!(text, "# Account: {}", one_line(account));
        }
        text.push_str("# Secrets are not part of an export: `redacted: true` leaves them as they are.\n");
        text.push_str(&serde_saphyr::to_string(&self.to_json()).unwrap_or_default());
        text
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Removes members that are null or empty, which mean the same as absent ones. Conditions and
/// free JSON are left as they are.
pub(crate) fn drop_nothings(value: &mut Value) {
    const FREE: &[&str] = &["ai_context", "custom_config", "auth_config", "channel_configs", "env", "settings"];
    match value {
        Value::Object(members) => {
            members.retain(|name, member| {
                if !FREE.contains(&name.as_str()) {
                    drop_nothings(member);
                }
                !member.is_null() && !member.as_array().is_some_and(Vec::is_empty)
            });
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nothings),
        _ => {}
    }
}

// === Servers ===

fn redacted() -> Value {
    json!({"redacted": true})
}

fn server_entry(server: &Server) -> ServerEntry {
    let mut entry = ServerEntry {
        name: server.name.clone(),
        transport: server.transport.kind().to_owned(),
        url: None,
        command: None,
        args: Vec::new(),
        env: None,
        cwd: None,
        auth_type: "none".to_owned(),
        auth_config: None,
        settings: settings_beside_default(&server.settings),
    };
    match &server.transport {
        Transport::StreamableHttp { url } | Transport::Sse { url } => entry.url = Some(url.clone()),
        Transport::Stdio { command, args, cwd, env } => {
            entry.command = Some(command.clone());
            entry.args.clone_from(args);
            entry.cwd.clone_from(cwd);
            entry.env = (!env.is_empty()).then(|| env.iter().map(|name| (name.clone(), redacted())).collect());
        }
    }
    let (kind, config) = match &server.auth {
        Auth::None => ("none", None),
        Auth::Bearer => ("bearer", Some(redacted())),
        Auth::ApiKey { header } => ("api_key", Some(json!({"key_name": header, "redacted": true}))),
        Auth::Header { names } => {
            let headers: BTreeMap<_, _> = names.iter().map(|name| (name, redacted())).collect();
            ("header", Some(json!({"headers": headers})))
        }
        Auth::OAuth(oauth) if oauth.client_id.is_none() && oauth.scopes.is_empty() => ("oauth", None),
        Auth::OAuth(oauth) => {
            let mut config = json!({"client_id": oauth.client_id, "scopes": oauth.scopes, "redacted": true});
            drop_nothings(&mut config);
            ("oauth", Some(config))
        }
    };
    kind.clone_into(&mut entry.auth_type);
    entry.auth_config = config.and_then(into_object);
    entry
}

fn into_object(value: Value) -> Option<JsonObject> {
    if let Value::Object(object) = value { Some(object) } else { None }
}

fn settings_beside_default(settings: &ServerSettings) -> JsonObject {
    let object =
        |settings: &ServerSettings| serde_json::to_value(settings).ok().and_then(into_object).unwrap_or_default();
    let default = object(&ServerSettings::default());
    object(settings).into_iter().filter(|(name, value)| default.get(name) != Some(value)).collect()
}

impl ServerEntry {
    /// As JSON, secrets by presence only.
    pub(crate) fn to_json(&self) -> Value {
        let transport = self.transport.replace('_', "-");
        let env: Option<BTreeMap<_, _>> =
            self.env.as_ref().map(|env| env.keys().map(|name| (name, redacted())).collect());
        json!({
            "name": self.name, "url": self.url, "command": self.command, "args": self.args, "env": env,
            "cwd": self.cwd, "transport": transport, "auth_type": self.auth_type,
            "auth_config": self.auth_config.as_ref().filter(|_| self.auth_type != "none").map(|config| self.shown_auth(config)),
            "settings": (!self.settings.is_empty()).then_some(&self.settings),
        })
    }

    /// `auth_config` in one spelling, with its secrets by presence only.
    fn shown_auth(&self, config: &JsonObject) -> Value {
        let plain = |name: &str| config.get(name).cloned();
        let mut shown = match self.auth_type.as_str() {
            "api_key" => {
                let header = plain("key_name").or_else(|| plain("header"));
                json!({"key_name": header.unwrap_or_else(|| "X-API-Key".into()), "redacted": true})
            }
            "header" => {
                let headers = config.get("headers").and_then(Value::as_object).unwrap_or(config);
                let names = headers.keys().filter(|name| *name != "redacted");
                json!({"headers": names.map(|name| (name.clone(), redacted())).collect::<BTreeMap<_, _>>()})
            }
            "oauth" => json!({"client_id": plain("client_id"), "scopes": plain("scopes"), "redacted": true}),
            _ => redacted(),
        };
        drop_nothings(&mut shown);
        shown
    }
}

// === Workflows ===

fn workflow_entry(rows: &Rows<'_>, workflow: &Workflow) -> WorkflowEntry {
    let settings = &workflow.settings;
    let kind = workflow.extra.get("workflow_type").and_then(|raw| serde_json::from_str::<String>(raw.0.get()).ok());
    WorkflowEntry {
        name: workflow.name.clone(),
        description: workflow.description.clone(),
        timeout_seconds: workflow.timeout_seconds,
        require_reason: workflow.require_reason,
        is_default: workflow.is_default,
        workflow_type: kind.unwrap_or_else(|| "simple".to_owned()),
        approvals_required: workflow.approvals_required,
        approver_users: names_of(rows.users, &workflow.approvers),
        approver_teams: names_of(rows.teams, &settings.approver_teams),
        escalation_users: names_of(rows.users, &settings.escalation_users),
        escalation_teams: names_of(rows.teams, &settings.escalation_teams),
        escalation_workflow: settings.escalation_workflow.and_then(|id| rows.workflow_name(id)),
        no_self_approval: settings.no_self_approval,
        separation_of_duties: settings.separation_of_duties,
        allow_edits: settings.allow_edits,
        channel_configs: channels(&workflow.channels),
        async_approval: workflow.async_approval,
        reviewer: settings.reviewer.clone(),
    }
}

/// The names of all of them, if there are any. One whose name is gone cannot be written down: then they stay as
/// they are.
fn names_of<Id: PartialEq>(all: &[(Id, String)], some: &[Id]) -> Option<Vec<String>> {
    let name_of = |id: &Id| all.iter().find(|(other, _)| other == id).map(|(_, name)| name.clone());
    let names: Option<Vec<_>> = some.iter().map(name_of).collect();
    names.filter(|names| !names.is_empty())
}

fn channels(channels: &Channels) -> Option<JsonObject> {
    let mut object = JsonObject::new();
    if let Some(webhook) = &channels.webhook {
        let mut shown = json!({"url": webhook.url});
        if !webhook.headers.is_empty() {
            let headers: BTreeMap<_, _> = webhook.headers.iter().map(|name| (name, redacted())).collect();
            shown["headers"] = json!(headers);
        }
        object.insert("webhook".to_owned(), shown);
    }
    for (name, fields) in &channels.sealed {
        let shown: BTreeMap<_, _> = fields.iter().map(|field| (field, redacted())).collect();
        object.insert(name.clone(), json!(shown));
    }
    if !channels.email.is_empty() {
        object.insert("email".to_owned(), json!(channels.email));
    }
    if channels.elicitation {
        object.insert("elicitation".to_owned(), json!(true));
    }
    (!object.is_empty()).then_some(object)
}

impl WorkflowEntry {
    /// As JSON, secrets by presence only.
    pub(crate) fn to_json(&self) -> Value {
        let mut channels = self.channel_configs.clone().map(Value::Object);
        if let Some(headers) = channels
            .as_mut()
            .and_then(|channels| channels.pointer_mut("/webhook/headers"))
            .and_then(Value::as_object_mut)
        {
            headers.values_mut().for_each(|value| *value = redacted());
        }
        for (name, fields) in channels.as_mut().and_then(Value::as_object_mut).into_iter().flatten() {
            if let Some(fields) = fields.as_object_mut().filter(|_| SealedChannel::named(name).is_some()) {
                fields.values_mut().for_each(|value| *value = redacted());
            }
        }
        json!({
            "name": self.name, "description": self.description, "timeout_seconds": self.timeout_seconds,
            "require_reason": self.require_reason, "is_default": self.is_default,
            "workflow_type": (self.workflow_type != "simple").then_some(&self.workflow_type),
            "approvals_required": self.approvals_required, "approver_users": self.approver_users,
            "approver_teams": self.approver_teams, "escalation_users": self.escalation_users,
            "escalation_teams": self.escalation_teams, "escalation_workflow": self.escalation_workflow,
            "no_self_approval": self.no_self_approval.then_some(true),
            "separation_of_duties": self.separation_of_duties.then_some(true),
            "allow_edits": (!self.allow_edits).then_some(false),
            "channel_configs": channels, "async_approval": self.async_approval,
            "approval_type": self.reviewer.as_ref().map(|_| "ai_driven"),
            "ai_model": self.reviewer.as_ref().map(|reviewer| &reviewer.model),
            "ai_guidelines": self.reviewer.as_ref().and_then(|reviewer| reviewer.guidelines.as_ref()),
            "ai_context": self.reviewer.as_ref().and_then(|reviewer| reviewer.context.as_ref()),
            "ai_confidence_threshold": self.reviewer.as_ref().map(|reviewer| f64::from(reviewer.threshold_permille) / 1_000.0),
            "ai_fallback_behavior": self.reviewer.as_ref().map(|reviewer| reviewer.fallback.as_str()),
        })
    }
}

// === Tools ===

/// `None` for a configuration of a server that is gone.
fn tool_entry(rows: &Rows<'_>, config: &ToolConfig) -> Option<ToolEntry> {
    let source = match &config.source {
        ToolSource::Builtin => ToolOrigin::Builtin,
        ToolSource::AnyServer => ToolOrigin::AnyServer,
        ToolSource::Agent => ToolOrigin::Agent,
        ToolSource::Server(id) => ToolOrigin::Server(rows.server_name(*id)?),
    };
    let custom_config = config.custom_config.as_ref().and_then(|raw| serde_json::from_str(raw.0.get()).ok());
    Some(ToolEntry {
        name: config.tool_name.clone(),
        source,
        enabled: config.is_enabled,
        approval_workflow: config.workflow.and_then(|id| rows.workflow_name(id)),
        justification: config.justification,
        description: config.description.clone(),
        custom_config: custom_config.and_then(into_object),
        conditions: config.rules.iter().map(|rule| rule_entry(rows, rule)).collect(),
    })
}

fn rule_entry(rows: &Rows<'_>, rule: &AccessRule) -> RuleEntry {
    let expression = rule.expression.as_deref().map(str::trim).filter(|text| !text.is_empty());
    RuleEntry {
        expression: expression.map(str::to_owned),
        action: rule.action,
        language: rule.language,
        description: rule.description.clone(),
        approval_workflow: rule.workflow.and_then(|id| rows.workflow_name(id)),
        enabled: rule.is_enabled,
        overridable: rule.overridable,
        shadow: rule.shadow,
    }
}

impl ToolEntry {
    /// As JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "name": self.name, "source": self.source.as_str(), "enabled": self.enabled,
            "approval_workflow": self.approval_workflow,
            "justification": self.justification.map(preloop_types::config::Justification::as_str),
            "description": self.description, "custom_config": self.custom_config,
            "conditions": self.conditions.iter().map(RuleEntry::to_json).collect::<Vec<_>>(),
        })
    }
}

impl RuleEntry {
    fn to_json(&self) -> Value {
        // The language is written down where reading the text would not find it.
        let stated = self.expression.as_deref().is_some_and(|text| infer_language(text) != self.language);
        json!({
            "expression": self.expression, "action": self.action.as_str(),
            "condition_type": stated.then(|| self.language.as_str()),
            "description": self.description, "approval_workflow": self.approval_workflow,
            "enabled": (!self.enabled).then_some(false), "overridable": self.overridable.then_some(true),
            "shadow": self.shadow.then_some(true),
        })
    }
}

impl DefaultsEntry {
    /// As JSON.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "unknown_tools": self.unknown_tools.as_str(),
            "require_approval_for_new_tools": self.require_approval_for_new_tools,
            "default_approval_workflow": self.default_approval_workflow,
            "inherit_from_parent": self.inherit_from_parent,
        })
    }
}
