//! MCP towards upstream servers.
//!
//! One [`Connection`](connection::Connection) per server keeps relationships open, in whichever
//! era and over whichever transport the server speaks, and lets requests through only while the
//! server is healthy, has room, and offers the tool that was pinned. Results and errors pass as
//! they came. What a server asks of the agent goes through [`crate::protocol::Client`].
//!
//! Nothing here decides whether a call is allowed: a tool is called with a [`Permit`], and only
//! the governor makes one.

mod breaker;
mod changes;
mod connection;
mod credential;
mod error;
mod event_stream;
mod exchange;
mod fit;
mod gate;
mod handshake;
mod health;
mod http;
mod listen;
mod oauth;
mod params;
mod peer;
mod peers;
mod pipe;
mod restarts;
mod rounds;
mod sse;
mod stdio;
mod switchboard;
#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use dashmap::{DashMap, Entry};
use preloop_egress::{Egress, Policy, Redirects};
use preloop_govern::Permit;
use preloop_store::Store;
use preloop_types::{
    AccountId, Hash, PROMPTS_GET, Principal, RESOURCES_READ, ServerId, Subject, ToolId,
    config::{Server, Tool, Transport},
};
use serde_json::value::RawValue;
use tokio::sync::broadcast;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use url::Url;

use crate::{
    catalogue::{self, ScanReport},
    protocol::{Client, RpcError, error::METHOD_NOT_FOUND},
};

pub use breaker::BreakerState;
pub use changes::{UpstreamChange, UpstreamEvent};
pub use connection::Offered;
pub use error::UpstreamError;
pub use health::Health;
pub use oauth::OAuthClient;

use connection::{Cause, Connection, owner};

/// Requests that are passed on for an agent. `tools/call` and [`READS`] are not among them: they
/// take a permit.
const RELAYED: &[&str] = &[
    "resources/list",
    "resources/templates/list",
    "resources/subscribe",
    "resources/unsubscribe",
    "prompts/list",
    "completion/complete",
];

/// Methods that give an agent content, each a governed call.
const READS: &[&str] = &[RESOURCES_READ, PROMPTS_GET];

/// How upstream servers are dealt with on this instance.
#[derive(Debug, Clone)]
pub struct UpstreamOptions {
    /// Where child processes run that name no directory of their own.
    pub working_directory: Option<String>,
    /// How often the tools of a server in use are read again unasked.
    pub rescan_every: Duration,
    /// How long a server may take to be connected, and as long again to give a list, before it is
    /// given up. A person may be waiting for both over REST, which answers within a minute.
    pub list_wait: Duration,
}

impl Default for UpstreamOptions {
    fn default() -> Self {
        Self { working_directory: None, rescan_every: Duration::from_mins(5), list_wait: Duration::from_secs(25) }
    }
}

/// Every upstream server of the instance. Cheap to clone.
#[derive(Clone)]
pub struct Upstreams {
    shared: Arc<Shared>,
    connections: Arc<DashMap<ServerId, Arc<Connection>>>,
}

/// What all connections share.
struct Shared {
    store: Store,
    egress: Egress,
    options: UpstreamOptions,
    events: broadcast::Sender<UpstreamEvent>,
    stop: CancellationToken,
    /// Child processes and farewells that shutdown waits for.
    children: TaskTracker,
}

impl Upstreams {
    /// One per process. Nothing is connected before it is used.
    pub fn new(store: Store, egress: Egress, options: UpstreamOptions) -> Self {
        let shared = Shared {
            store,
            egress,
            options,
            events: broadcast::channel(1024).0,
            stop: CancellationToken::new(),
            children: TaskTracker::new(),
        };
        Self { shared: Arc::new(shared), connections: Arc::default() }
    }

    /// Carries out the call that was admitted, with exactly its arguments. The result is as
    /// upstream gave it; questions and tasks on the way there are dealt with.
    pub async fn call_tool(
        &self,
        permit: &Permit,
        meta: Option<&RawValue>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, UpstreamError> {
        let (who, call) = (permit.principal(), permit.call());
        let server = permit.server().ok_or_else(|| {
            UpstreamError::Config(format!("`{}` is not a tool of an upstream server", call.tool.name))
        })?;
        self.call(who, server, &call.tool.name, &call.tool.definition, &call.arguments, meta, client).await
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a permit, apart so that tests need none")]
    async fn call(
        &self,
        who: &Principal,
        server: &Arc<Server>,
        name: &str,
        definition: &Hash,
        arguments: &RawValue,
        meta: Option<&RawValue>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, UpstreamError> {
        let connection = self.connection(who.account, server)?;
        connection.call_tool(name, definition, arguments, meta, owner(who, client), client).await
    }

    /// Carries out the read that was admitted, with exactly its arguments as params.
    pub async fn read(
        &self,
        permit: &Permit,
        meta: Option<&RawValue>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, UpstreamError> {
        let (who, call) = (permit.principal(), permit.call());
        let (Some(server), Some(method)) = (permit.server(), READS.iter().find(|method| ***method == *call.tool.name))
        else {
            return Err(UpstreamError::Config(format!("`{}` reads nothing of an upstream server", call.tool.name)));
        };
        let connection = self.connection(who.account, server)?;
        connection.read(method, &call.arguments, meta, owner(who, client), client).await
    }

    /// Passes on one of [`RELAYED`]; anything else is unknown.
    pub async fn request(
        &self,
        server: &Arc<Server>,
        who: &Principal,
        method: &str,
        params: Option<Arc<RawValue>>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, UpstreamError> {
        if !RELAYED.contains(&method) {
            return Err(UpstreamError::Rpc(RpcError::new(METHOD_NOT_FOUND, format!("unknown method `{method}`"))));
        }
        let connection = self.connection(who.account, server)?;
        connection.request(method, params.as_deref(), owner(who, client), client).await
    }

    /// Reads the server's tools, names and pins them, writes down what changed. For a person: a
    /// server left alone after failures is tried at once.
    pub async fn scan(&self, account: AccountId, server: &Arc<Server>) -> Result<ScanReport, UpstreamError> {
        self.connection(account, server)?.scan(Cause::Person).await
    }

    /// What the server offers besides tools. Read once and kept until it changes.
    pub async fn offered(&self, account: AccountId, server: &Arc<Server>) -> Result<Arc<Offered>, UpstreamError> {
        self.connection(account, server)?.offered().await
    }

    /// Accepts a changed or quarantined tool as it is now, if that is still what the person saw.
    pub async fn accept(
        &self,
        account: AccountId,
        tool: ToolId,
        seen: Hash,
        by: Subject,
    ) -> Result<Tool, preloop_store::Error> {
        let accepted = catalogue::accept(&self.shared.store, account, tool, seen, by).await?;
        if let Some(connection) = self.connections.get(&accepted.server_id) {
            connection.reload_facts();
        }
        Ok(accepted)
    }

    /// Begins signing in to a server: the URL the person's browser goes to. It comes back to
    /// `us.redirect_uri`, with `code`, `state` and `iss` for [`Upstreams::finish_oauth`].
    pub async fn begin_oauth(
        &self,
        account: AccountId,
        server: &Server,
        us: &OAuthClient,
        by: Subject,
    ) -> Result<Url, UpstreamError> {
        let client = self.shared.oauth_client(server)?;
        oauth::begin(&self.shared.store, &client, account, server, us, by).await
    }

    /// Ends signing in. The state tells which server it was for, and is good once, for ten minutes.
    pub async fn finish_oauth(
        &self,
        code: &str,
        state: &str,
        iss: Option<&str>,
    ) -> Result<(AccountId, ServerId), UpstreamError> {
        let pending = oauth::claim(&self.shared.store, state).await?;
        let client = self.shared.oauth_client(&pending.server)?;
        oauth::finish(&self.shared.store, &client, &pending, code, iss).await?;
        self.forget(pending.server.id);
        Ok((pending.account, pending.server.id))
    }

    /// Lets go of a server whose configuration changed; calls under way still end.
    pub fn forget(&self, server: ServerId) {
        self.connections.remove(&server);
    }

    /// How a server is doing; `None` if it was not used since it was configured.
    pub fn health(&self, server: ServerId) -> Option<Health> {
        self.connections.get(&server).map(|connection| connection.health())
    }

    /// What upstream servers change from now on.
    pub fn events(&self) -> broadcast::Receiver<UpstreamEvent> {
        self.shared.events.subscribe()
    }

    /// Ends every session and child process, waiting a few seconds for them.
    pub async fn shutdown(&self) {
        let all: Vec<ServerId> = self.connections.iter().map(|entry| *entry.key()).collect();
        for (_, connection) in all.iter().filter_map(|id| self.connections.remove(id)) {
            connection.close();
        }
        self.shared.stop.cancel();
        self.shared.children.close();
        let _ = tokio::time::timeout(Duration::from_secs(8), self.shared.children.wait()).await;
    }

    fn connection(&self, account: AccountId, server: &Arc<Server>) -> Result<Arc<Connection>, UpstreamError> {
        let serves = |connection: &Connection| connection.account == account && is_current(&connection.server, server);
        if let Some(connection) = self.connections.get(&server.id)
            && serves(&connection)
        {
            return Ok(Arc::clone(&connection));
        }
        // Under the entry's lock, so that calls that come first together make one connection.
        let entry = match self.connections.entry(server.id) {
            Entry::Occupied(entry) if serves(entry.get()) => return Ok(Arc::clone(entry.get())),
            entry => entry.insert(Connection::new(account, Arc::clone(server), Arc::clone(&self.shared))?),
        };
        Ok(Arc::clone(entry.value()))
    }
}

/// Whether a connection made for `ours` serves a request that was decided upon `theirs`. A
/// request decided upon an older configuration goes by the newer one.
fn is_current(ours: &Arc<Server>, theirs: &Arc<Server>) -> bool {
    Arc::ptr_eq(ours, theirs)
        || ours.updated_at > theirs.updated_at
        || (ours.transport == theirs.transport
            && ours.auth == theirs.auth
            && ours.settings == theirs.settings
            && ours.name == theirs.name
            && (ours.status == theirs.status
                || [ours.status, theirs.status]
                    .iter()
                    .all(|status| *status != preloop_types::config::ServerStatus::Disabled)))
}

impl Shared {
    /// The HTTP client for a server's own endpoint.
    fn client(&self, server: &Server) -> Result<preloop_egress::Client, UpstreamError> {
        // Plain HTTP mostly means a small server that drops unused connections after five seconds;
        // letting go first avoids writing into one that is being closed.
        let plain = match &server.transport {
            Transport::StreamableHttp { url } | Transport::Sse { url } => url.starts_with("http:"),
            Transport::Stdio { .. } => false,
        };
        self.http(server, Redirects::None, Duration::from_secs(if plain { 4 } else { 30 }))
    }

    /// The HTTP client for a server's authorization server.
    fn oauth_client(&self, server: &Server) -> Result<preloop_egress::Client, UpstreamError> {
        self.http(server, Redirects::Few, Duration::from_secs(4))
    }

    fn http(
        &self,
        server: &Server,
        redirects: Redirects,
        idle_timeout: Duration,
    ) -> Result<preloop_egress::Client, UpstreamError> {
        let policy = Policy {
            allow_private: server.settings.allow_private_network,
            connect_timeout: Duration::from_millis(server.settings.connect_ms),
            idle_timeout,
            redirects,
        };
        self.egress.client(policy).map_err(|error| UpstreamError::Config(format!("no HTTP client: {error}")))
    }
}
