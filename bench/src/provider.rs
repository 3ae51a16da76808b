//! A model provider that follows a script: chat completions, Responses, Messages, Gemini and
//! Bedrock's Converse on one port, whole and streamed.
//!
//! What it answers follows from the request alone: a tool that was offered is called, a tool's result
//! is repeated, a JSON schema gets its least value, everything else gets [`TEXT`]. How it answers is
//! written in the model's name: see [`Behaviour`]. It remembers every request as it came and keeps
//! its own bill, the truth that tests hold a ledger against.

mod answer;
mod api;
mod ask;
mod behaviour;
mod bill;
mod canned;
mod eventstream;
mod play;
mod route;
mod signature;

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Instant,
};

use bytes::Bytes;
use hyper::{HeaderMap, Method, service::service_fn};

use crate::http::Server;

pub use answer::{FINAL, Script, TEXT, THOUGHT};
pub use api::Api;
pub use behaviour::{Behaviour, Usage, Writes};
pub use bill::{Rates, Tokens};
pub use signature::AWS_SECRET;

/// How a provider behaves as a whole.
#[derive(Debug, Clone)]
pub struct Options {
    /// What it says.
    pub script: Script,
    /// What it charges.
    pub rates: Rates,
    /// Wants this credential, where each API has it. For Bedrock it is a bearer token, or the id of the
    /// access key whose secret is [`AWS_SECRET`].
    pub key: Option<String>,
    /// The models it lists.
    pub models: Vec<String>,
    /// Remembers requests. A benchmark does without, and gets every answer as cheaply as can be.
    pub record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            script: Script::default(),
            rates: Rates::default(),
            key: None,
            models: vec!["mock".to_owned(), "mock-embed".to_owned()],
            record: true,
        }
    }
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The answer was sent to its end.
    Whole,
    /// The provider broke the connection, as the script wanted.
    Cut,
    /// The caller went away.
    Abandoned,
}

/// One request that reached the provider, and what came of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// Counts requests; the ids in the answer end in it.
    pub n: u64,
    /// Its method.
    pub method: Method,
    /// Its path, with the query.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, byte for byte.
    pub body: Bytes,
    /// The model it asked for.
    pub model: String,
    /// When it came.
    pub at: Instant,
    /// The status of the answer, once there is one.
    pub status: Option<u16>,
    /// Why it was refused, where the script did not want that.
    pub refused: Option<String>,
    /// The body of the answer, as far as it was sent.
    pub sent: Vec<u8>,
    /// Frames of a streamed answer that were sent, and how many there are.
    pub frames: usize,
    /// See `frames`.
    pub frames_in_all: usize,
    /// What the whole answer consumes.
    pub tokens: Option<Tokens>,
    /// How and when it ended.
    pub end: Option<(End, Instant)>,
}

impl Exchange {
    /// What is charged for it: the prompt, and as much of the answer as was sent.
    pub fn billed(&self) -> Option<Tokens> {
        let tokens = self.tokens?;
        Some(if self.is_whole() { tokens } else { tokens.part(self.frames, self.frames_in_all) })
    }

    /// Whether the caller got the answer with all figures in it.
    pub fn is_whole(&self) -> bool {
        matches!(self.end, Some((End::Whole, _)))
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// A running provider.
pub struct Provider {
    addr: SocketAddr,
    shared: Arc<Shared>,
    server: Option<Server>,
}

/// What connections share, and what outlives [`Provider::kill`].
struct Shared {
    options: Options,
    exchanges: Mutex<Vec<Arc<Mutex<Exchange>>>>,
    /// How often each model was asked to generate.
    asked: Mutex<HashMap<String, u64>>,
    /// Behaviour given to models by name, instead of the one in their name.
    behaviours: Mutex<HashMap<String, Behaviour>>,
    /// Signatures that were given out, with the reasoning they sign.
    signed: Mutex<HashMap<String, String>>,
    canned: Mutex<HashMap<canned::Key, canned::Canned>>,
    next: AtomicU64,
}

impl Provider {
    /// Starts one on a free port.
    pub async fn start(options: Options) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            options,
            exchanges: Mutex::default(),
            asked: Mutex::default(),
            behaviours: Mutex::default(),
            signed: Mutex::default(),
            canned: Mutex::default(),
            next: AtomicU64::new(1),
        });
        let server = serve(0, shared.clone()).await?;
        Ok(Self { addr: server.addr(), shared, server: Some(server) })
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The base URL of one of its APIs, as a client or a model's `endpoint` has it.
    pub fn base(&self, api: Api) -> String {
        format!("http://{}{}", self.addr, api.base())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Every request that reached it, in order of arrival.
    pub fn exchanges(&self) -> Vec<Exchange> {
        lock(&self.shared.exchanges).iter().map(|exchange| lock(exchange).clone()).collect()
    }

    /// The requests for `model`.
    pub fn asked_for(&self, model: &str) -> Vec<Exchange> {
        let mut exchanges = self.exchanges();
        exchanges.retain(|exchange| exchange.model == model);
        exchanges
    }

    /// How many exchanges have not ended.
    pub fn open(&self) -> usize {
        self.exchanges().iter().filter(|exchange| exchange.end.is_none()).count()
    }

    /// What it charges for an exchange, in nano-dollars.
    pub fn cost(&self, exchange: &Exchange) -> u64 {
        exchange.billed().map_or(0, |tokens| self.shared.options.rates.cost(&tokens))
    }

    /// What it charges for everything, in nano-dollars.
    pub fn bill(&self) -> u64 {
        self.exchanges().iter().map(|exchange| self.cost(exchange)).sum()
    }

    /// Forgets all requests, and with them the bill.
    pub fn forget(&self) {
        lock(&self.shared.exchanges).clear();
    }

    /// Lets `model` behave as `words` say, whatever its name says.
    pub fn behave(&self, model: &str, words: &str) {
        lock(&self.shared.behaviours).insert(model.to_owned(), Behaviour::read(words));
    }

    /// Dies: every connection breaks, new ones are refused.
    pub fn kill(&mut self) {
        self.server = None;
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
        service_fn(move |request| route::answer(shared.clone(), request))
    })
    .await
}

/// Locks, also after another thread panicked: a test's failure must not hide behind a second one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
