//! Against real peers: an HTTP server in this process that misbehaves on demand, and a real child.
#![allow(clippy::needless_pass_by_value, reason = "`json!` at the place of use reads best")]

mod agent;
mod fake;
mod faults;
mod legacy;
mod modern;
mod oauth;
mod pinning;
mod stdio;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use preloop_egress::{Egress, EgressOptions};
use preloop_store::{SecretOwner, testing::TestStore};
use preloop_types::{
    AccountId, KeyId, Principal, Scope, ServerId,
    config::{Auth, Server, ServerSettings, ServerStatus, Tool, Transport},
};
use secrecy::SecretString;
use serde_json::{Value, json, value::RawValue};

use super::{UpstreamError, UpstreamOptions, Upstreams};
use crate::protocol::Client;

use agent::Agent;
use fake::Fake;

/// One account with its upstream servers.
struct World {
    store: TestStore,
    account: AccountId,
    who: Arc<Principal>,
    upstreams: Upstreams,
    servers: AtomicU32,
}

impl World {
    async fn new() -> Self {
        Self::with(true).await
    }

    async fn with(allow_private_network: bool) -> Self {
        Self::with_options(allow_private_network, UpstreamOptions::default()).await
    }

    async fn with_options(allow_private_network: bool, options: UpstreamOptions) -> Self {
        let store = preloop_store::testing::fresh_sqlite().await;
        let owner = store.owner("ann").await;
        let egress = Egress::new(EgressOptions { allow_private_network, ..EgressOptions::default() });
        let upstreams = Upstreams::new((*store).clone(), egress, options);
        let who = Principal {
            account: owner.account,
            user: owner.user,
            username: "ann".to_owned(),
            key: KeyId::new(store.now()),
            key_name: "key".to_owned(),
            credential: preloop_types::CredentialKind::ApiKey,
            permissions: preloop_types::PermissionSet::ALL,
            audience: preloop_types::Audience::Everything,
            impersonator: None,
            scopes: vec![Scope::McpRead, Scope::McpWrite],
            agent: None,
            session: None,
            allowed_tools: None,
            allowed_servers: None,
        };
        Self { account: owner.account, who: Arc::new(who), upstreams, store, servers: AtomicU32::new(0) }
    }

    /// Configures a server, without scanning it.
    async fn server(&self, transport: Transport, auth: Auth, change: impl FnOnce(&mut ServerSettings)) -> Arc<Server> {
        let (at, nth) = (self.store.now(), self.servers.fetch_add(1, Ordering::Relaxed));
        let mut settings = ServerSettings { allow_private_network: true, ..ServerSettings::default() };
        change(&mut settings);
        let server = Server {
            id: ServerId::new(at),
            slug: if nth == 0 { "srv".to_owned() } else { format!("srv{nth}") },
            name: if nth == 0 { "Server".to_owned() } else { format!("Server {nth}") },
            transport,
            auth,
            settings,
            status: ServerStatus::Active,
            last_scan_at: None,
            last_error: None,
            facts: None,
            created_at: at,
            updated_at: at,
        };
        let row = server.clone();
        self.store.write(self.account, move |tx| Box::pin(async move { tx.insert_server(&row).await })).await.unwrap();
        Arc::new(server)
    }

    /// Configures a fake server and scans it.
    async fn serve(&self, fake: &Fake) -> Arc<Server> {
        self.serve_with(fake, |_| {}).await
    }

    async fn serve_with(&self, fake: &Fake, change: impl FnOnce(&mut ServerSettings)) -> Arc<Server> {
        let server = self.server(fake.transport(), Auth::None, change).await;
        self.upstreams.scan(self.account, &server).await.unwrap();
        server
    }

    async fn secret(&self, server: &Server, name: &'static str, value: &str) {
        let (owner, value) = (SecretOwner::Server(server.id), SecretString::from(value.to_owned()));
        self.store
            .write(self.account, move |tx| Box::pin(async move { tx.put_secret(owner, name, &value).await }))
            .await
            .unwrap();
    }

    async fn row(&self, server: &Server) -> Server {
        self.store.account(self.account).server(server.id).await.unwrap().unwrap()
    }

    async fn tool(&self, server: &Server, name: &str) -> Tool {
        let tools = self.store.account(self.account).tools().await.unwrap();
        tools.into_iter().find(|tool| tool.server_id == server.id && tool.upstream_name == name).unwrap()
    }

    /// Calls a tool as the pin says it is.
    async fn call(
        &self,
        server: &Arc<Server>,
        tool: &str,
        arguments: Value,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, UpstreamError> {
        let hash = self.tool(server, tool).await.pinned_hash;
        let arguments = serde_json::value::to_raw_value(&arguments).unwrap();
        self.upstreams.call(&self.who, server, tool, &hash, &arguments, None, client).await
    }

    /// Calls a tool for an agent that says nothing about itself, and gives the text it answers.
    async fn text(&self, server: &Arc<Server>, tool: &str, arguments: Value) -> String {
        let result = self.call(server, tool, arguments, &Agent::legacy()).await.unwrap();
        text_of(&result)
    }
}

fn text_of(result: &RawValue) -> String {
    let result: Value = serde_json::from_str(result.get()).unwrap();
    result["content"][0]["text"].as_str().unwrap_or_else(|| panic!("no text in {result}")).to_owned()
}

/// Waits until `done` says so.
async fn until(what: &str, mut done: impl AsyncFnMut() -> bool) {
    for _ in 0..400 {
        if done().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited too long until {what}");
}

fn tool(name: &str) -> Value {
    json!({"name": name, "description": name, "inputSchema": {"type": "object"}})
}
