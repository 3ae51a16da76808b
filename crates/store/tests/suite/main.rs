//! The store's suite: the same tests against SQLite and PostgreSQL, through the public face.

#![allow(clippy::unwrap_used, clippy::assigning_clones, reason = "tests say what they mean in the shortest way")]

mod approvals;
mod crash;
mod faults;
mod journal;
mod ledger;
mod models;
mod nodes;
mod notifications;
mod outbox;
mod proof;
mod rows;
mod schema;
mod secrets;
mod tenants;

use std::sync::Arc;

use preloop_store::{NewApproval, Requester, testing::TestStore};
use preloop_types::{
    AccountId, ApprovalId, Budget, BudgetAlerts, BudgetId, BudgetSubject, BudgetUnit, CallId, Entry, EntryKind, Hash,
    KeyId, Model, ModelId, ModelPattern, ModelSettings, Period, PriceId, PriceOverride, Rates, ServerId, Subject,
    Timestamp, ToolRef, UserId, WorkflowId,
    config::{Auth, RawJson, Server, ServerSettings, ServerStatus, Tool, Transport},
};
use serde_json::value::{RawValue, to_raw_value};
use uuid::Uuid;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn entry(account: AccountId, kind: EntryKind, call: Option<CallId>) -> Entry {
    Entry { account, kind, call, subject: Subject::default(), body: raw(r#"{"tool":"pay"}"#), payload: None }
}

fn with_payload(account: AccountId, payload: &str) -> Entry {
    Entry { payload: Some(payload.into()), ..entry(account, EntryKind::CallIntent, Some(call())) }
}

fn call() -> CallId {
    CallId(Uuid::now_v7())
}

fn server(slug: &str, now: Timestamp) -> Server {
    Server {
        id: ServerId(Uuid::now_v7()),
        slug: slug.to_owned(),
        name: slug.to_uppercase(),
        transport: Transport::StreamableHttp { url: "https://example.org/mcp".to_owned() },
        auth: Auth::ApiKey { header: "X-Key".to_owned() },
        settings: ServerSettings::default(),
        status: ServerStatus::Active,
        last_scan_at: None,
        last_error: None,
        facts: None,
        created_at: now,
        updated_at: now,
    }
}

fn tool(server: ServerId, name: &str, now: Timestamp) -> Tool {
    let definition = format!(r#"{{"name": "{name}",  "inputSchema": {{"type":"object"}}}}"#);
    Tool {
        id: preloop_types::ToolId(Uuid::now_v7()),
        server_id: server,
        upstream_name: name.to_owned(),
        exposed_name: name.to_owned(),
        pinned_hash: Hash::of(&definition),
        definition_hash: Hash::of(&definition),
        definition: RawJson(raw(&definition)),
        drifted_definition: None,
        pin: preloop_types::config::PinState::Pinned,
        discovered_at: now,
        last_seen_at: now,
        removed_at: None,
    }
}

fn model(alias: &str, now: Timestamp) -> Model {
    Model {
        id: ModelId(Uuid::now_v7()),
        alias: alias.to_owned(),
        provider: "openai".to_owned(),
        identifier: "gpt-x".to_owned(),
        description: None,
        endpoint: None,
        enabled: true,
        is_default: false,
        tags: vec!["cheap".to_owned()],
        settings: ModelSettings { max_output: Some(4_096), ..ModelSettings::default() },
        pricing: None,
        created_at: now,
        updated_at: now,
    }
}

fn price(model: &str, now: Timestamp) -> PriceOverride {
    PriceOverride {
        id: PriceId(Uuid::now_v7()),
        model: ModelPattern(model.to_owned()),
        rates: Some(Rates { input: "0.25".parse().unwrap(), ..Rates::default() }),
        discount_percent: 10,
        effective_from: None,
        effective_until: None,
        note: None,
        created_at: now,
        updated_at: now,
    }
}

fn budget(subject: BudgetSubject, now: Timestamp) -> Budget {
    Budget {
        id: BudgetId(Uuid::now_v7()),
        subject,
        model: None,
        period: Period::Daily,
        unit: BudgetUnit::Usd,
        hard: Some(1_000_000_000),
        soft: None,
        alerts: BudgetAlerts::default(),
        created_at: now,
        updated_at: now,
    }
}

fn new_approval(approvers: Vec<UserId>, required: u32, arguments: &str) -> NewApproval {
    NewApproval {
        id: ApprovalId(Uuid::now_v7()),
        call: call(),
        workflow: WorkflowId(Uuid::now_v7()),
        workflow_name: "two eyes".to_owned(),
        tool: ToolRef {
            id: None,
            server_id: None,
            server: "builtin".into(),
            name: "pay".into(),
            exposed: "pay".into(),
            definition: Hash::of("definition"),
        },
        requester: Requester {
            key: KeyId(Uuid::from_u128(7)),
            user: UserId(Uuid::from_u128(8)),
            agent: None,
            session: None,
            client: Some("codex/1.0".to_owned()),
        },
        args_hash: Hash::of(arguments),
        arguments: Arc::from(raw(arguments)),
        justification: Some("rent is due".to_owned()),
        approvals_required: required,
        approvers,
        excluded: Vec::new(),
        escalate_to: Vec::new(),
        require_reason: false,
        async_mode: false,
        window: std::time::Duration::from_mins(5),
        execute_within: std::time::Duration::from_mins(10),
        policy_version: "v1".to_owned(),
        rule_context: RawJson(to_raw_value(&serde_json::json!({"rule": 1})).unwrap()),
        shown_hash: None,
        preview: None,
    }
}

/// The journal of an account as one text.
async fn exported(store: &TestStore, account: AccountId, payloads: bool) -> String {
    use futures::TryStreamExt as _;
    let options = preloop_store::ExportOptions { payloads, ..Default::default() };
    store.account(account).export(options).try_collect::<Vec<_>>().await.unwrap().concat()
}
