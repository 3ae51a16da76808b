//! One account with one server, its tools and an agent, before a governor.

use std::{sync::Arc, time::Duration};

use preloop_govern::{
    Admission, Governor, GovernorOptions, Held, Permit, Refusal, Vote,
    config::{Config, ConfigOptions},
};
use preloop_store::{Approval, KeyRow, Record, RecordFilter, Store, testing::TestStore};
use preloop_types::{
    AccountId, CallId, CallOutcome, Hash, KeyId, OutcomeStatus, Principal, RuleId, Scope, ServerId, ToolCall,
    ToolConfigId, ToolId, ToolRef, UserId,
    config::{
        AccessRule, Auth, Language, PinState, RawJson, RuleAction, Server, ServerSettings, ServerStatus, Tool,
        ToolConfig, ToolSource, Transport,
    },
};
use serde_json::{Value, json, value::to_raw_value};

pub(crate) struct House {
    pub(crate) store: TestStore,
    pub(crate) governor: Governor,
    pub(crate) account: AccountId,
    pub(crate) owner: Arc<Principal>,
    pub(crate) agent: Arc<Principal>,
    pub(crate) server: Server,
    pub(crate) tool: Tool,
    pub(crate) config: ToolConfig,
}

impl House {
    /// A house whose tool `pay` has this one rule.
    pub(crate) async fn with_rule(store: TestStore, action: RuleAction, expression: Option<&str>) -> Self {
        let owner = store.owner("ann").await;
        let now = store.now();
        let server = server(&store);
        let tool = tool(&store, &server);
        let rule = AccessRule {
            id: RuleId::new(now),
            action,
            expression: expression.map(str::to_owned),
            language: Language::Cel,
            description: Some("payments are reviewed".to_owned()),
            is_enabled: true,
            workflow: None,
            overridable: false,
            shadow: false,
        };
        let config = ToolConfig {
            id: ToolConfigId::new(now),
            tool_name: "pay".to_owned(),
            source: ToolSource::Server(server.id),
            is_enabled: true,
            workflow: None,
            justification: None,
            description: None,
            custom_config: None,
            rules: vec![rule],
        };
        let agent_key = key(&store, owner.account, owner.user, "agent", vec![Scope::McpRead, Scope::McpWrite]);
        let owner_key = key(&store, owner.account, owner.user, "owner", vec![Scope::Admin]);
        let rows = (server.clone(), tool.clone(), config.clone(), agent_key, owner_key);
        store
            .write(owner.account, move |tx| {
                Box::pin(async move {
                    tx.insert_server(&rows.0).await?;
                    tx.insert_tool(&rows.1).await?;
                    tx.insert_tool_config(&rows.2).await?;
                    tx.insert_key(&rows.3).await?;
                    tx.insert_key(&rows.4).await
                })
            })
            .await
            .unwrap();
        let governor = governor(&store);
        let agent = governor.identify("secret of agent").await.unwrap();
        let owner_of = governor.identify("secret of owner").await.unwrap();
        Self { store, governor, account: owner.account, owner: owner_of, agent, server, tool, config }
    }

    /// The same house after a restart.
    pub(crate) async fn restarted(self) -> Self {
        let store = self.store.reopen().await;
        Self { governor: governor(&store), store, ..self }
    }

    /// The same house, where mail can be sent and everything is read anew.
    pub(crate) fn with_mail(self) -> Self {
        Self { governor: governor_told(&self.store, true), ..self }
    }

    /// A call of `pay` with these arguments.
    pub(crate) fn pay(&self, arguments: &Value) -> ToolCall {
        ToolCall {
            id: CallId::new(self.governor.now()),
            tool: ToolRef {
                id: Some(self.tool.id),
                server_id: Some(self.server.id),
                server: "ledger".into(),
                name: "pay".into(),
                exposed: "pay".into(),
                definition: self.tool.pinned_hash,
            },
            arguments: Arc::from(to_raw_value(arguments).unwrap()),
            justification: None,
            client: None,
        }
    }

    pub(crate) async fn held(&self, arguments: Value) -> Held {
        match self.governor.admit(&self.agent, self.pay(&arguments)).await {
            Admission::Held(held) => *held,
            other => panic!("not held: {}", name(&other)),
        }
    }

    pub(crate) async fn granted(&self, arguments: Value) -> Permit {
        match self.governor.admit(&self.agent, self.pay(&arguments)).await {
            Admission::Granted(permit) => permit,
            other => panic!("not granted: {}", name(&other)),
        }
    }

    pub(crate) async fn refused(&self, arguments: Value) -> Refusal {
        match self.governor.admit(&self.agent, self.pay(&arguments)).await {
            Admission::Refused(refusal) => refusal,
            other => panic!("not refused: {}", name(&other)),
        }
    }

    pub(crate) async fn approve(&self, approval: &Approval) -> Approval {
        let vote = Vote { approve: true, ..Vote::default() };
        self.governor.approvals().decide(&self.owner, approval.id, vote).await.unwrap()
    }

    pub(crate) async fn read(&self, approval: &Approval) -> Approval {
        self.governor.approvals().get(self.account, approval.id).await.unwrap()
    }

    /// The kinds of the journal's records about one call, in order.
    pub(crate) async fn kinds(&self, call: CallId) -> Vec<&'static str> {
        let mut records = self.records(call).await;
        records.sort_by_key(|record| record.seq);
        records.iter().map(|record| record.kind.as_str()).collect()
    }

    pub(crate) async fn records(&self, call: CallId) -> Vec<Record> {
        let filter = RecordFilter { call: Some(call), ..RecordFilter::default() };
        self.store.account(self.account).records(filter).await.unwrap()
    }
}

pub(crate) fn succeeded() -> CallOutcome {
    let payload = Some(Arc::from(to_raw_value(&json!({"content": []})).unwrap()));
    CallOutcome { status: OutcomeStatus::Succeeded, payload, error: None }
}

fn name(admission: &Admission) -> String {
    match admission {
        Admission::Granted(_) => "granted".to_owned(),
        Admission::Held(_) => "held".to_owned(),
        Admission::Refused(refusal) => format!("refused: {}", refusal.message),
    }
}

/// What changes the configuration.
pub(crate) fn config(store: &TestStore) -> Config {
    Config::new((**store).clone(), ConfigOptions::default())
}

pub(crate) fn governor(store: &TestStore) -> Governor {
    governor_over(store)
}

pub(crate) fn governor_over(store: &Store) -> Governor {
    governor_told(store, false)
}

pub(crate) fn governor_with_mail(store: &Store) -> Governor {
    governor_told(store, true)
}

fn governor_told(store: &Store, email: bool) -> Governor {
    Governor::new(
        store.clone(),
        GovernorOptions {
            writer: store.writer(),
            public_url: "http://preloop.example".to_owned(),
            email,
            approved_ttl: Duration::from_mins(15),
            claim_lease: Duration::from_mins(10),
        },
    )
}

pub(crate) fn key(store: &TestStore, account: AccountId, user: UserId, name: &str, scopes: Vec<Scope>) -> KeyRow {
    KeyRow {
        id: KeyId::new(store.now()),
        account,
        user,
        kind: preloop_types::CredentialKind::ApiKey,
        grant: None,
        impersonator: None,
        name: name.to_owned(),
        hash: Hash::of(format!("secret of {name}")),
        prefix: "secret".to_owned(),
        scopes,
        agent: None,
        session: None,
        allowed_tools: None,
        allowed_servers: None,
        expires_at: None,
        last_used_at: None,
        revoked_at: None,
        created_at: store.now(),
    }
}

fn server(store: &TestStore) -> Server {
    Server {
        id: ServerId::new(store.now()),
        slug: "ledger".to_owned(),
        name: "ledger".to_owned(),
        transport: Transport::StreamableHttp { url: "https://ledger.example/mcp".to_owned() },
        auth: Auth::None,
        settings: ServerSettings::default(),
        status: ServerStatus::Active,
        last_scan_at: None,
        last_error: None,
        facts: None,
        created_at: store.now(),
        updated_at: store.now(),
    }
}

fn tool(store: &TestStore, server: &Server) -> Tool {
    let definition = json!({"name": "pay", "inputSchema": {"type": "object"}});
    let hash = Hash::of(definition.to_string());
    Tool {
        id: ToolId::new(store.now()),
        server_id: server.id,
        upstream_name: "pay".to_owned(),
        exposed_name: "pay".to_owned(),
        definition: RawJson(to_raw_value(&definition).unwrap()),
        pinned_hash: hash,
        definition_hash: hash,
        drifted_definition: None,
        pin: PinState::Pinned,
        discovered_at: store.now(),
        last_seen_at: store.now(),
        removed_at: None,
    }
}
