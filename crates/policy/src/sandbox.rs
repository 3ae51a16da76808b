//! An account that exists only to be asked: a document alone, or an account's rows with a document
//! applied to them. Nothing is written; what a [`Sandbox`] decides is what the account would.

use std::collections::{BTreeMap, HashMap};

use preloop_types::{
    AccountId, CredentialKind, Decision, Hash, KeyId, PermissionSet, Principal, Scope, ServerId, Timestamp, ToolRef,
    UserId, WorkflowId,
    config::{
        Auth, Channels, Defaults, Server, ServerSettings, ServerStatus, SubjectGovernance, SubjectRef, ToolConfig,
        Transport, Workflow, WorkflowSettings,
    },
};

use crate::{
    Facts, Ruleset, RulesetInput,
    document::{Document, Problem, ToolOrigin, WorkflowEntry},
    export::Rows,
    suggest::nearest,
};

/// An account as it would be.
#[derive(Debug)]
pub struct Sandbox {
    servers: Vec<Server>,
    configs: Vec<ToolConfig>,
    asks: HashMap<WorkflowId, Asks>,
    ruleset: Ruleset,
}

/// Whom a workflow asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asks {
    /// The workflow's name.
    pub workflow: String,
    /// Who may decide, by user name; the account's owner when empty.
    pub approvers: Vec<String>,
}

/// A caller of whom nothing is known, and whom nothing but the policy limits.
pub(crate) fn anybody(at: Timestamp) -> Principal {
    Principal {
        account: AccountId::new(at),
        user: UserId::new(at),
        username: String::new(),
        key: KeyId::new(at),
        key_name: String::new(),
        credential: CredentialKind::ApiKey,
        scopes: Scope::AGENT.to_vec(),
        permissions: PermissionSet::default(),
        audience: preloop_types::Audience::default(),
        impersonator: None,
        agent: None,
        session: None,
        allowed_tools: None,
        allowed_servers: None,
    }
}

impl Sandbox {
    /// An account that has nothing but `document`, and servers called `servers`.
    pub fn of(document: &Document, servers: &[String], at: Timestamp) -> Result<Self, Vec<Problem>> {
        let nothing =
            Rows { servers: &[], workflows: &[], configs: &[], defaults: &Defaults::default(), users: &[], teams: &[] };
        let mut whole = document.clone();
        let named = document.tools.iter().filter_map(|tool| match &tool.source {
            ToolOrigin::Server(name) => Some(name),
            ToolOrigin::Builtin | ToolOrigin::AnyServer | ToolOrigin::Agent => None,
        });
        let known = |name: &String| document.mcp_servers.iter().any(|server| server.name == *name);
        let mut others: Vec<&String> = named.chain(servers).filter(|name| !known(name)).collect();
        others.sort_unstable();
        others.dedup();
        let others: Vec<Server> = others.into_iter().map(|name| server(name, at)).collect();
        // Workflows that the account would have and the document only names.
        for name in workflow_names(document) {
            if !whole.approval_workflows.iter().any(|workflow| workflow.name == name) {
                whole.approval_workflows.push(WorkflowEntry::named(name));
            }
        }
        Self::applied(&Rows { servers: &others, ..nothing }, &[], &whole, false, at)
    }

    /// The account of `rows` and `governance` after `document` is applied to it, with `prune`
    /// without what the document does not name.
    pub fn applied(
        rows: &Rows<'_>,
        governance: &[(SubjectRef, SubjectGovernance)],
        document: &Document,
        prune: bool,
        at: Timestamp,
    ) -> Result<Self, Vec<Problem>> {
        let servers = servers(rows, document, prune, at);
        let workflows = workflows(rows, document, prune, at);
        let before = Rows { servers: &servers, workflows: &workflows, ..*rows };
        let plan = document.plan_tools(&before, at)?;
        let defaults = document.plan_defaults(&before, at).map_err(|problem| vec![problem])?;
        let mut configs: Vec<ToolConfig> = if prune { Vec::new() } else { plan.unnamed };
        configs.extend(plan.upserts.into_iter().map(|upsert| upsert.after));
        let defaults = defaults.map_or_else(|| rows.defaults.clone(), |upsert| upsert.after);
        let ruleset = Ruleset::compile(&RulesetInput {
            version: 0,
            servers: &servers,
            configs: &configs,
            workflows: &workflows,
            defaults: &defaults,
            governance,
        });
        let asks = workflows.iter().map(|workflow| (workflow.id, asks(rows, document, workflow))).collect();
        Ok(Self { servers, configs, asks, ruleset })
    }

    /// What it decides of a call.
    pub fn decide(&self, facts: &Facts<'_>) -> Decision {
        self.ruleset.built_in(facts.tool).unwrap_or_else(|| self.ruleset.decide(facts))
    }

    /// Its compiled configuration.
    pub fn ruleset(&self) -> &Ruleset {
        &self.ruleset
    }

    /// Whom a workflow of it asks.
    pub fn asks(&self, workflow: WorkflowId) -> Option<&Asks> {
        self.asks.get(&workflow)
    }

    /// The tool that `name` means: `server/tool`, `builtin/tool`, or the tool alone where only one is
    /// configured under that name.
    pub fn tool(&self, name: &str) -> Result<ToolRef, String> {
        let Some((server, tool)) = name.split_once('/') else { return self.bare_tool(name) };
        if server == "agent" {
            return Ok(ToolRef::native(tool));
        }
        if server == "builtin" {
            return Ok(reference(None, tool));
        }
        self.tool_of(server, tool).ok_or_else(|| {
            let names: Vec<&str> = self.servers.iter().map(|server| server.name.as_str()).collect();
            match nearest(server, names.iter().copied()) {
                Some(near) => format!("there is no server `{server}`; did you mean `{near}`?"),
                None if names.is_empty() => format!("there is no server `{server}`; the policy names none"),
                None => format!("there is no server `{server}`; the servers are `{}`", names.join("`, `")),
            }
        })
    }

    /// The tool `tool` of a server by its name or slug.
    pub fn tool_of(&self, server: &str, tool: &str) -> Option<ToolRef> {
        let found = self.servers.iter().find(|row| row.slug == server || row.name == server);
        found.map(|server| reference(Some(server), tool))
    }

    fn bare_tool(&self, name: &str) -> Result<ToolRef, String> {
        use preloop_types::config::ToolSource;
        let mut named = self.configs.iter().filter(|config| config.tool_name == name);
        match (named.next().map(|config| &config.source), named.next()) {
            (Some(ToolSource::Builtin), None) => Ok(reference(None, name)),
            (Some(ToolSource::Agent), None) => Ok(ToolRef::native(name)),
            (Some(ToolSource::Server(id)), None) => {
                Ok(reference(self.servers.iter().find(|server| server.id == *id), name))
            }
            _ => match self.servers.as_slice() {
                [only] => Ok(reference(Some(only), name)),
                _ => Err(format!("`{name}` may be a tool of several servers; write `server/{name}`")),
            },
        }
    }
}

fn reference(server: Option<&Server>, tool: &str) -> ToolRef {
    ToolRef {
        id: None,
        server_id: server.map(|server| server.id),
        server: server.map_or("builtin", |server| &server.slug).into(),
        name: tool.into(),
        exposed: tool.into(),
        definition: Hash::of(tool),
    }
}

fn workflow_names(document: &Document) -> Vec<String> {
    let of_tools = document.tools.iter().flat_map(|tool| {
        let of_rules = tool.conditions.iter().filter_map(|rule| rule.approval_workflow.as_ref());
        tool.approval_workflow.iter().chain(of_rules)
    });
    let default = document.defaults.iter().filter_map(|defaults| defaults.default_approval_workflow.as_ref());
    of_tools.chain(default).cloned().collect()
}

fn servers(rows: &Rows<'_>, document: &Document, prune: bool, at: Timestamp) -> Vec<Server> {
    let named = |row: &Server| document.mcp_servers.iter().any(|entry| entry.name == row.name);
    let kept = rows.servers.iter().filter(|row| !prune || named(row)).cloned();
    let is_new = |name: &str| !rows.servers.iter().any(|row| row.name == name);
    let new = document.mcp_servers.iter().filter(|entry| is_new(&entry.name)).map(|entry| server(&entry.name, at));
    kept.chain(new).collect()
}

/// A server of which nothing matters but its name.
fn server(name: &str, at: Timestamp) -> Server {
    Server {
        id: ServerId::new(at),
        slug: slug(name),
        name: name.to_owned(),
        transport: Transport::StreamableHttp { url: String::new() },
        auth: Auth::None,
        settings: ServerSettings::default(),
        status: ServerStatus::Active,
        last_scan_at: None,
        last_error: None,
        facts: None,
        created_at: at,
        updated_at: at,
    }
}

/// What a server called `name` is called in records.
fn slug(name: &str) -> String {
    let dashed = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    name.chars()
        .map(dashed)
        .collect::<String>()
        .split('-')
        .filter(|part| !part.is_empty())
        .collect::<Vec<_>>()
        .join("-")
        .chars()
        .take(24)
        .collect()
}

fn workflows(rows: &Rows<'_>, document: &Document, prune: bool, at: Timestamp) -> Vec<Workflow> {
    let entry = |name: &str| document.approval_workflows.iter().find(|entry| entry.name == name);
    let new_default = document.approval_workflows.iter().any(|entry| entry.is_default);
    let live = rows.workflows.iter().filter(|row| row.deleted_at.is_none());
    // Pruning never takes away the last workflow that could be asked.
    let kept = live.filter(|row| !prune || entry(&row.name).is_some() || (row.is_default && !new_default));
    let mut all: Vec<Workflow> = kept.cloned().collect();
    for row in &mut all {
        row.is_default = match entry(&row.name) {
            Some(entry) => entry.is_default,
            None => row.is_default && !new_default,
        };
    }
    for entry in &document.approval_workflows {
        if !all.iter().any(|row| row.name == entry.name) {
            all.push(workflow(entry, at));
        }
    }
    all
}

/// A workflow of which nothing matters but its name and whether it is the default.
fn workflow(entry: &WorkflowEntry, at: Timestamp) -> Workflow {
    Workflow {
        id: WorkflowId::new(at),
        name: entry.name.clone(),
        description: None,
        timeout_seconds: entry.timeout_seconds,
        require_reason: entry.require_reason,
        is_default: entry.is_default,
        async_approval: entry.async_approval,
        approvals_required: entry.approvals_required,
        approvers: Vec::new(),
        settings: WorkflowSettings::default(),
        channels: Channels::default(),
        extra: BTreeMap::new(),
        created_at: at,
        updated_at: at,
        deleted_at: None,
    }
}

fn asks(rows: &Rows<'_>, document: &Document, workflow: &Workflow) -> Asks {
    let written = document.approval_workflows.iter().find(|entry| entry.name == workflow.name);
    let approvers = match written.and_then(|entry| entry.approver_users.clone()) {
        Some(named) => named,
        None => workflow
            .approvers
            .iter()
            .filter_map(|id| rows.users.iter().find(|(user, _)| user == id).map(|(_, name)| name.clone()))
            .collect(),
    };
    Asks { workflow: workflow.name.clone(), approvers }
}
