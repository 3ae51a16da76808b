//! An account made of a document, and callers in it.

use std::collections::BTreeMap;

use preloop_policy::{
    Facts, Ruleset, RulesetInput,
    document::{Document, Known, Options, WorkflowEntry, read},
    export::Rows,
};
use preloop_types::{
    AccountId, Agent, AgentId, CallId, Decision, Hash, KeyId, Principal, RuleId, SEALED_CHANNELS, Scope, ServerId,
    TeamId, Timestamp, ToolRef, UserId, Verdict, WorkflowId,
    config::{
        AccessRule, Auth, Channels, Defaults, Language, RawJson, RuleAction, Server, ServerSettings, ServerStatus,
        SubjectGovernance, SubjectRef, ToolConfig, Transport, WebhookChannel, Workflow, WorkflowSettings,
    },
};
use serde_json::value::RawValue;

pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_795_000_000_000_000);

/// An account's rows.
pub(crate) struct World {
    pub(crate) servers: Vec<Server>,
    pub(crate) workflows: Vec<Workflow>,
    pub(crate) configs: Vec<ToolConfig>,
    pub(crate) defaults: Defaults,
    pub(crate) users: Vec<(UserId, String)>,
    pub(crate) teams: Vec<(TeamId, String)>,
    pub(crate) governance: Vec<(SubjectRef, SubjectGovernance)>,
    pub(crate) who: Principal,
}

impl World {
    pub(crate) fn empty() -> Self {
        let user = UserId::new(NOW);
        Self {
            servers: Vec::new(),
            workflows: Vec::new(),
            configs: Vec::new(),
            defaults: Defaults::default(),
            users: vec![(user, "ann".to_owned()), (UserId::new(NOW), "bob".to_owned())],
            teams: vec![(TeamId::new(NOW), "finance".to_owned())],
            governance: Vec::new(),
            who: Principal {
                account: AccountId::new(NOW),
                user,
                username: "ann".to_owned(),
                key: KeyId::new(NOW),
                key_name: "laptop".to_owned(),
                credential: preloop_types::CredentialKind::ApiKey,
                permissions: preloop_types::PermissionSet::ALL,
                audience: preloop_types::Audience::Everything,
                impersonator: None,
                scopes: vec![Scope::McpRead, Scope::McpWrite],
                agent: None,
                session: None,
                allowed_tools: None,
                allowed_servers: None,
            },
        }
    }

    /// An account with two servers, `bank` and `files`, a workflow `people`, and what `yaml` says.
    pub(crate) fn new(yaml: &str) -> Self {
        let base = "
mcp_servers: [{name: bank, url: https://bank.example}, {name: files, command: files-server}]
approval_workflows: [{name: people}]
";
        let mut world = Self::empty();
        world.apply(&format!("metadata: {{name: base}}\n{base}"));
        world.apply(&format!("metadata: {{name: test}}\n{yaml}"));
        world
    }

    /// Applies a document as it is written.
    pub(crate) fn apply(&mut self, yaml: &str) {
        let report = read(yaml, Options { known: Some(&self.known()), variables: None });
        let errors: Vec<_> = report.errors.iter().map(|error| error.render("policy.yaml")).collect();
        self.apply_document(&report.document.unwrap_or_else(|| panic!("{}", errors.join(""))));
    }

    pub(crate) fn apply_document(&mut self, document: &Document) {
        for entry in &document.mcp_servers {
            let transport = match (&entry.url, &entry.command) {
                (Some(url), _) if entry.transport == "sse" => Transport::Sse { url: url.clone() },
                (Some(url), _) => Transport::StreamableHttp { url: url.clone() },
                (None, command) => Transport::Stdio {
                    command: command.clone().unwrap(),
                    args: entry.args.clone(),
                    cwd: entry.cwd.clone(),
                    env: entry.env.iter().flatten().map(|(name, _)| name.clone()).collect(),
                },
            };
            let auth = match entry.auth_type.as_str() {
                "bearer" => Auth::Bearer,
                "api_key" => Auth::ApiKey { header: "X-API-Key".to_owned() },
                _ => Auth::None,
            };
            let settings = serde_json::from_value(entry.settings.clone().into()).unwrap();
            match self.servers.iter_mut().find(|server| server.name == entry.name) {
                Some(server) => {
                    (server.transport, server.auth) = (transport, auth);
                    if !entry.settings.is_empty() {
                        server.settings = settings;
                    }
                }
                None => self.servers.push(Server {
                    id: ServerId::new(NOW),
                    slug: entry.name.to_lowercase(),
                    name: entry.name.clone(),
                    transport,
                    auth,
                    settings,
                    status: ServerStatus::Active,
                    last_scan_at: None,
                    last_error: None,
                    facts: None,
                    created_at: NOW,
                    updated_at: NOW,
                }),
            }
        }
        for entry in &document.approval_workflows {
            let at = self.workflows.iter().position(|workflow| workflow.name == entry.name);
            let row = self.workflow(entry, at.map(|at| self.workflows[at].clone()));
            match at {
                Some(at) => self.workflows[at] = row,
                None => self.workflows.push(row),
            }
        }
        let rows = self.rows();
        let plan = document.plan_tools(&rows, NOW).unwrap();
        assert!(plan.skipped.is_empty(), "{:?}", plan.skipped);
        let defaults = document.plan_defaults(&rows, NOW).unwrap();
        for upsert in plan.upserts {
            match self.configs.iter_mut().find(|config| config.id == upsert.after.id) {
                Some(config) => *config = upsert.after,
                None => self.configs.push(upsert.after),
            }
        }
        if let Some(defaults) = defaults {
            self.defaults = defaults.after;
        }
    }

    fn workflow(&self, entry: &WorkflowEntry, old: Option<Workflow>) -> Workflow {
        let user = |name: &String| self.users.iter().find(|(_, known)| known == name).unwrap().0;
        let team = |name: &String| self.teams.iter().find(|(_, known)| known == name).unwrap().0;
        let workflow = |name: &str| self.workflows.iter().find(|known| known.name == name).unwrap().id;
        let channels = entry.channel_configs.as_ref().map(|channels| Channels {
            webhook: channels.get("webhook").map(|webhook| WebhookChannel {
                url: webhook["url"].as_str().unwrap().to_owned(),
                headers: webhook["headers"]
                    .as_object()
                    .into_iter()
                    .flat_map(|headers| headers.keys().cloned())
                    .collect(),
            }),
            elicitation: channels.get("elicitation").is_some_and(|on| on == true),
            sealed: SEALED_CHANNELS
                .iter()
                .filter_map(|known| {
                    let fields = channels.get(known.name)?.as_object().unwrap();
                    Some((known.name.to_owned(), fields.keys().cloned().collect()))
                })
                .collect(),
            email: channels.get("email").map_or(Vec::new(), |list| serde_json::from_value(list.clone()).unwrap()),
        });
        let old = old.unwrap_or_else(|| Workflow {
            id: WorkflowId::new(NOW),
            name: entry.name.clone(),
            description: None,
            timeout_seconds: 300,
            require_reason: false,
            is_default: false,
            async_approval: false,
            approvals_required: 1,
            approvers: Vec::new(),
            settings: WorkflowSettings::default(),
            channels: Channels::default(),
            extra: BTreeMap::new(),
            created_at: NOW,
            updated_at: NOW,
            deleted_at: None,
        });
        let mut extra = old.extra.clone();
        if entry.workflow_type == "simple" {
            extra.remove("workflow_type");
        } else {
            let kind = serde_json::value::to_raw_value(&entry.workflow_type).unwrap();
            extra.insert("workflow_type".to_owned(), RawJson(kind));
        }
        Workflow {
            description: entry.description.clone(),
            timeout_seconds: entry.timeout_seconds,
            require_reason: entry.require_reason,
            is_default: entry.is_default,
            async_approval: entry.async_approval,
            approvals_required: entry.approvals_required,
            approvers: entry
                .approver_users
                .as_ref()
                .map_or(old.approvers.clone(), |names| names.iter().map(user).collect()),
            settings: WorkflowSettings {
                approver_teams: entry
                    .approver_teams
                    .as_ref()
                    .map_or(old.settings.approver_teams.clone(), |names| names.iter().map(team).collect()),
                escalation_users: entry
                    .escalation_users
                    .as_ref()
                    .map_or(old.settings.escalation_users.clone(), |names| names.iter().map(user).collect()),
                escalation_teams: entry
                    .escalation_teams
                    .as_ref()
                    .map_or(old.settings.escalation_teams.clone(), |names| names.iter().map(team).collect()),
                escalation_workflow: entry.escalation_workflow.as_ref().map(|name| workflow(name)),
                no_self_approval: entry.no_self_approval,
                separation_of_duties: entry.separation_of_duties,
                allow_edits: entry.allow_edits,
                reviewer: entry.reviewer.clone(),
            },
            channels: channels.unwrap_or(old.channels.clone()),
            extra,
            ..old
        }
    }

    pub(crate) fn known(&self) -> Known {
        Known {
            servers: self.servers.iter().map(|server| server.name.clone()).collect(),
            workflows: self.workflows.iter().map(|workflow| workflow.name.clone()).collect(),
            users: self.users.iter().map(|(_, name)| name.clone()).collect(),
            teams: self.teams.iter().map(|(_, name)| name.clone()).collect(),
            has_default_workflow: self.workflows.iter().any(|workflow| workflow.is_default),
        }
    }

    pub(crate) fn rows(&self) -> Rows<'_> {
        Rows {
            servers: &self.servers,
            workflows: &self.workflows,
            configs: &self.configs,
            defaults: &self.defaults,
            users: &self.users,
            teams: &self.teams,
        }
    }

    pub(crate) fn ruleset(&self) -> Ruleset {
        Ruleset::compile(&RulesetInput {
            version: 1,
            servers: &self.servers,
            configs: &self.configs,
            workflows: &self.workflows,
            defaults: &self.defaults,
            governance: &self.governance,
        })
    }

    /// `pay` of the server `bank` unless written `server/tool`; `builtin/tool` for a built-in one.
    pub(crate) fn tool(&self, name: &str) -> ToolRef {
        let (server, name) = name.split_once('/').unwrap_or(("bank", name));
        let id = self.servers.iter().find(|row| row.slug == server).map(|row| row.id);
        ToolRef {
            id: None,
            server_id: id,
            server: server.into(),
            name: name.into(),
            exposed: format!("{server}__{name}").into(),
            definition: Hash([0; 32]),
        }
    }

    pub(crate) fn decision(&self, call: &str) -> Decision {
        let (tool, arguments) = call.split_once(' ').unwrap_or((call, "{}"));
        let arguments = RawValue::from_string(arguments.to_owned()).unwrap();
        self.ruleset().decide(&Facts {
            who: &self.who,
            tool: &self.tool(tool),
            arguments: &arguments,
            justification: Some("because"),
            client: Some("test/1"),
            call: CallId::new(NOW),
            now: NOW,
            discovered_at: Some(NOW),
        })
    }

    /// The decision in one line: `ask people (tool_access_rule): over the limit`.
    pub(crate) fn decide(&self, call: &str) -> String {
        let decision = self.decision(call);
        let verdict = match decision.verdict {
            Verdict::Allow => "allow".to_owned(),
            Verdict::Deny => "deny".to_owned(),
            Verdict::Ask(id) => {
                format!("ask {}", self.workflows.iter().find(|workflow| workflow.id == id).unwrap().name)
            }
        };
        let source = serde_json::to_value(decision.source).unwrap();
        format!("{verdict} ({}): {}", source.as_str().unwrap(), decision.reason)
    }

    /// Binds the caller's key to an agent.
    pub(crate) fn with_agent(mut self) -> Self {
        self.who.agent = Some(Agent {
            id: AgentId::new(NOW),
            name: "coder".to_owned(),
            kind: "claude_code".to_owned(),
            tags: vec!["prod".to_owned()],
        });
        self
    }

    /// Gives the caller's key (`key`) or agent (`agent`) a rule for a tool: `pay: allow args.amount < 5`.
    pub(crate) fn scoped(mut self, scope: &str, rule: &str) -> Self {
        let (tool, rule) = rule.split_once(": ").unwrap();
        let (action, expression) = rule.split_once(' ').map_or((rule, None), |(a, e)| (a, Some(e.to_owned())));
        let rule = AccessRule {
            id: RuleId::new(NOW),
            action: RuleAction::parse(action).unwrap(),
            expression,
            language: Language::Cel,
            description: Some(format!("{scope} says {action}")),
            is_enabled: true,
            workflow: None,
            overridable: false,
            shadow: false,
        };
        self.governed(scope).tool_rules.entry(tool.to_owned()).or_default().push(rule);
        self
    }

    /// Switches a tool on or off for the caller's key or agent.
    pub(crate) fn switched(mut self, scope: &str, tool: &str, on: bool) -> Self {
        self.governed(scope).tool_enabled_overrides.insert(tool.to_owned(), on);
        self
    }

    fn governed(&mut self, scope: &str) -> &mut SubjectGovernance {
        let subject = match scope {
            "key" => SubjectRef::Key(self.who.key),
            _ => SubjectRef::Agent(self.who.agent.as_ref().unwrap().id),
        };
        let at = self.governance.iter().position(|(other, _)| *other == subject).unwrap_or_else(|| {
            self.governance.push((subject, SubjectGovernance::default()));
            self.governance.len() - 1
        });
        &mut self.governance[at].1
    }
}

/// Server settings that differ from the default, for tests that want some.
pub(crate) fn slow_server() -> ServerSettings {
    ServerSettings { call_ms: 600_000, ..ServerSettings::default() }
}
