//! A mock MCP server over streamable HTTP, for both protocol eras.
//!
//! It remembers every `tools/call` that reached it, which is the truth the tests compare the
//! journal with, and its tools misbehave on demand: see [`TOOLS`].

mod reply;
mod tools;

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use hyper::{HeaderMap, service::service_fn};
use serde_json::Value;
use tokio::sync::oneshot;

use crate::http::Server;

pub use tools::{TOOLS, numbered_tools};

/// Which protocol revisions a mock speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eras {
    /// Up to 2025-11-25.
    Legacy,
    /// 2026-07-28.
    Modern,
    /// All of them.
    Both,
}

/// How a mock behaves as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Which revisions it speaks.
    pub eras: Eras,
    /// Legacy: issues session ids and refuses requests without one.
    pub sessions: bool,
    /// Answers every call as an event stream.
    pub stream: bool,
    /// Remembers calls. A benchmark does without.
    pub record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { eras: Eras::Both, sessions: true, stream: false, record: true }
    }
}

/// One call that reached a mock.
#[derive(Debug, Clone)]
pub struct Call {
    /// The tool.
    pub tool: String,
    /// The argument `id`, by which tests tell calls apart.
    pub id: Option<String>,
    /// All arguments.
    pub arguments: Value,
    /// The headers of the request that carried it.
    pub headers: HeaderMap,
}

/// A running mock.
pub struct Mock {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: Option<Server>,
}

/// What connections share, and what outlives [`Mock::kill`].
struct Shared {
    options: Options,
    tools: Mutex<Vec<Value>>,
    calls: Mutex<Vec<Call>>,
    sessions: Mutex<HashSet<String>>,
    /// Questions put to legacy clients in the middle of a call, by request id.
    questions: Mutex<HashMap<String, oneshot::Sender<Value>>>,
    next: AtomicU64,
}

impl Mock {
    /// Starts a mock with all [`TOOLS`] on a free port.
    pub async fn start(options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            options,
            tools: Mutex::new(tools::definitions()),
            calls: Mutex::default(),
            sessions: Mutex::default(),
            questions: Mutex::default(),
            next: AtomicU64::new(1),
        });
        let server = serve(0, shared.clone()).await?;
        Ok(Self { addr: server.addr(), shared, server: Some(server) })
    }

    /// Its endpoint. `/mcp/50` beside it offers fifty tools `tool_000`, `tool_001`, ... instead.
    pub fn url(&self) -> String {
        format!("http://{}/mcp", self.addr)
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Every call that reached it, in order of arrival.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }

    /// How often a call with the argument `id` reached it.
    pub fn count(&self, id: &str) -> usize {
        lock(&self.shared.calls).iter().filter(|call| call.id.as_deref() == Some(id)).count()
    }

    /// Changes the tools it offers, as a server that lies about its schema does.
    pub fn change_tools(&self, change: impl FnOnce(&mut Vec<Value>)) {
        change(&mut lock(&self.shared.tools));
    }

    /// Dies: every connection breaks, new ones are refused, sessions are lost.
    pub fn kill(&mut self) {
        self.server = None;
        lock(&self.shared.sessions).clear();
    }

    /// Comes back on the same port.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.kill();
        // The port is free only when the aborted listener has been dropped.
        for attempt in 0.. {
            match serve(self.addr.port(), self.shared.clone()).await {
                Ok(server) => {
                    self.server = Some(server);
                    break;
                }
                Err(_) if attempt < 100 => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

async fn serve(port: u16, shared: Arc<Shared>) -> io::Result<Server> {
    Server::start(port, move || {
        let shared = shared.clone();
        service_fn(move |request| reply::answer(shared.clone(), request))
    })
    .await
}

/// Locks, also after another thread panicked: a test's failure must not hide behind a second one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
