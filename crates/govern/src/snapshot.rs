//! An account's configuration, compiled once and shared by every call until it changes.

mod models;
mod people;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use dashmap::DashMap;
use preloop_policy::{Facts, Ruleset, RulesetInput, StandingRules};
use preloop_store::Store;
use preloop_types::{
    AccountId, Budget, Decision, EventType, Halt, HaltScope, Hash, Model, NativeApprovals, Permission, PriceOverride,
    Principal, ServerId, Team, TeamId, Timestamp, ToolCall, ToolRef, User, UserId, WorkflowId,
    config::{
        AccountModelSettings, Defaults, PinState, Server, ServerStatus, SubjectGovernance, SubjectRef, Tool,
        ToolConfig, Workflow,
    },
};
use serde::Serialize;
use tokio::sync::Mutex;
use uuid::Uuid;

pub(crate) use self::people::active_people;
use crate::Result;

/// Everything about an account that decides calls. Immutable: a change makes a new one.
pub struct Snapshot {
    /// Changes exactly when the configuration does, on every node alike.
    pub version: u64,
    /// The compiled rules.
    pub ruleset: Ruleset,
    /// Servers by id.
    pub servers: HashMap<ServerId, Arc<Server>>,
    /// Tools that exist now, by the name agents call them by. Includes drifted ones.
    pub tools: BTreeMap<String, Arc<CatalogueTool>>,
    /// The same tools by their server's slug and the name it gives them.
    pub tools_by_server: HashMap<String, BTreeMap<String, Arc<CatalogueTool>>>,
    /// Configurations of tools.
    pub configs: Vec<ToolConfig>,
    /// Workflows by id.
    pub workflows: HashMap<WorkflowId, Workflow>,
    /// What happens to tools nothing else speaks about.
    pub defaults: Defaults,
    /// Whether agents' own tools need a person where no rule speaks about them.
    pub native_tool_approvals: NativeApprovals,
    /// People by id.
    pub users: HashMap<UserId, User>,
    /// Teams by id.
    pub teams: HashMap<TeamId, Team>,
    /// Who wrote which rule, and the rules of which agent or key.
    pub rule_authors: HashMap<Uuid, UserId>,
    /// Leaves to make calls again without asking.
    pub standing: StandingRules,
    /// What narrows agents and keys.
    pub governance: HashMap<SubjectRef, SubjectGovernance>,
    /// Models, by alias; disabled ones too.
    pub models: Vec<Arc<Model>>,
    /// The account's own prices.
    pub price_overrides: Vec<PriceOverride>,
    /// Budgets, oldest first.
    pub budgets: Vec<Arc<Budget>>,
    /// What holds for all model traffic.
    pub model_settings: AccountModelSettings,
    /// What event webhooks are told of.
    pub tells: HashSet<EventType>,
    /// What is halted.
    pub halts: Vec<Halt>,
}

/// A tool with its server and the name the policy knows it by.
pub struct CatalogueTool {
    /// How policy and records name it.
    pub reference: ToolRef,
    /// Its row.
    pub tool: Tool,
    /// Its server.
    pub server: Arc<Server>,
}

impl Snapshot {
    /// What the policy says about a call at `now`.
    pub fn decide(&self, who: &Principal, call: &ToolCall, now: Timestamp) -> Decision {
        let decide = || {
            self.ruleset.decide(&Facts {
                who,
                tool: &call.tool,
                arguments: &call.arguments,
                justification: call.justification.as_deref(),
                client: call.client.as_deref(),
                call: call.id,
                now,
                discovered_at: self.discovered_at(&call.tool),
            })
        };
        self.ruleset.built_in(&call.tool).unwrap_or_else(decide)
    }

    /// When a tool was first seen; what can be read of a server is as old as the server.
    fn discovered_at(&self, tool: &ToolRef) -> Option<Timestamp> {
        match tool.server_id {
            Some(server) if tool.is_read() => self.servers.get(&server).map(|server| server.created_at),
            _ => self.tools.get(&*tool.exposed).map(|tool| tool.tool.discovered_at),
        }
    }

    /// Whether `who` may know of a tool. What lists tools and what calls them ask the same.
    pub fn is_visible(&self, who: &Principal, tool: &CatalogueTool) -> bool {
        who.permissions.contains(Permission::ViewTools)
            && tool.server.status != ServerStatus::Disabled
            && self.ruleset.visible(who, &tool.reference)
    }

    /// Who halted that, and when, if it is halted.
    pub fn halted(&self, scope: HaltScope) -> Option<&Halt> {
        self.halts.iter().find(|halt| halt.scope == scope)
    }

    /// The server with this slug.
    pub fn server(&self, slug: &str) -> Option<&Arc<Server>> {
        self.servers.values().find(|server| server.slug == slug)
    }

    async fn load(store: &Store, account: AccountId) -> Result<Self> {
        let rows = store.account(account);
        let servers = rows.servers().await?;
        let tools = rows.tools().await?;
        let configs = rows.tool_configs().await?;
        let workflows = rows.workflows().await?;
        let defaults = rows.defaults().await?;
        let native_tool_approvals = rows.native_tool_approvals().await?;
        let governance = rows.subject_governance().await?;
        let users = rows.users().await?;
        let teams = rows.teams().await?;
        let rule_authors = rows.rule_authors().await?;
        let standing = rows.standing_grants(Some(store.now())).await?;
        let models = rows.models().await?;
        let price_overrides = rows.price_overrides().await?;
        let budgets = rows.budgets().await?;
        let model_settings = rows.model_settings().await?;
        let endpoints = rows.event_endpoints().await?;
        let tells = EventType::catalogue().filter(|event| endpoints.iter().any(|to| to.wants(*event))).collect();
        let halts = rows.halts().await?;
        let of_models = (&models, &price_overrides, &budgets, &model_settings, native_tool_approvals);
        let version = version(&servers, &tools, &(&configs, &workflows, &defaults, &governance, of_models));
        let ruleset = Ruleset::compile(&RulesetInput {
            version,
            servers: &servers,
            configs: &configs,
            workflows: &workflows,
            defaults: &defaults,
            governance: &governance,
        });
        let servers: HashMap<_, _> = servers.into_iter().map(|server| (server.id, Arc::new(server))).collect();
        let mut by_exposed = BTreeMap::new();
        let mut tools_by_server: HashMap<String, BTreeMap<_, _>> = HashMap::new();
        for tool in tools.into_iter().filter(|tool| tool.removed_at.is_none()) {
            let Some(server) = servers.get(&tool.server_id) else { continue };
            let tool = Arc::new(CatalogueTool::new(tool, server.clone()));
            let of_server = tools_by_server.entry(server.slug.clone()).or_default();
            of_server.insert(tool.tool.upstream_name.clone(), tool.clone());
            by_exposed.insert(tool.tool.exposed_name.clone(), tool);
        }
        Ok(Self {
            version,
            ruleset,
            servers,
            tools: by_exposed,
            tools_by_server,
            configs,
            workflows: workflows.into_iter().map(|workflow| (workflow.id, workflow)).collect(),
            defaults,
            native_tool_approvals,
            users: users.into_iter().map(|user| (user.id, user)).collect(),
            teams: teams.into_iter().map(|team| (team.id, team)).collect(),
            rule_authors,
            standing: StandingRules::compile(standing),
            governance: governance.into_iter().collect(),
            models: models.into_iter().map(Arc::new).collect(),
            price_overrides,
            budgets: budgets.into_iter().map(Arc::new).collect(),
            model_settings,
            halts,
            tells,
        })
    }
}

impl CatalogueTool {
    fn new(tool: Tool, server: Arc<Server>) -> Self {
        let reference = ToolRef {
            id: Some(tool.id),
            server_id: Some(server.id),
            server: server.slug.as_str().into(),
            name: tool.upstream_name.as_str().into(),
            exposed: tool.exposed_name.as_str().into(),
            definition: tool.pinned_hash,
        };
        Self { reference, tool, server }
    }

    /// Whether its definition is the pinned one.
    pub fn is_pinned(&self) -> bool {
        self.tool.pin == PinState::Pinned
    }
}

/// A number that stands for the content, so that replicas agree on it without talking. What a
/// scan notes about a server (its errors, when it was seen) decides nothing and is left out.
fn version(servers: &[Server], tools: &[Tool], rest: &impl Serialize) -> u64 {
    let servers: Vec<_> = servers
        .iter()
        .map(|s| (s.id, &s.slug, s.status == ServerStatus::Disabled, &s.transport, &s.auth, &s.settings))
        .collect();
    let tools: Vec<_> = tools.iter().map(|t| (t.id, &t.exposed_name, t.pinned_hash, t.pin, t.removed_at)).collect();
    let bytes = serde_json::to_vec(&(servers, tools, rest)).unwrap_or_default();
    let hash = Hash::of(bytes);
    // 53 bits, so that it survives readers that hold numbers as doubles.
    u64::from_be_bytes(hash.0[..8].try_into().unwrap_or_default()) >> 11
}

/// The newest snapshot of each account.
#[derive(Default)]
pub(crate) struct Snapshots {
    current: DashMap<AccountId, Arc<Snapshot>>,
    changes: AtomicU64,
    loading: Mutex<()>,
}

impl Snapshots {
    /// The account's snapshot; from memory unless it changed.
    pub(crate) async fn get(&self, store: &Store, account: AccountId) -> Result<Arc<Snapshot>> {
        if let Some(snapshot) = self.current.get(&account) {
            return Ok(snapshot.clone());
        }
        let _one_at_a_time = self.loading.lock().await;
        loop {
            if let Some(snapshot) = self.current.get(&account) {
                return Ok(snapshot.clone());
            }
            let changes = self.changes.load(Ordering::Acquire);
            let snapshot = Arc::new(Snapshot::load(store, account).await?);
            self.current.insert(account, snapshot.clone());
            if self.changes.load(Ordering::Acquire) == changes {
                return Ok(snapshot);
            }
            // It changed while it was read.
            self.current.remove(&account);
        }
    }

    /// The next call reads the configuration anew.
    pub(crate) fn forget(&self, account: AccountId) {
        self.changes.fetch_add(1, Ordering::Release);
        self.current.remove(&account);
    }

    pub(crate) fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.current.clear();
    }
}
