use std::{fmt, sync::Arc, time::Duration};

use http::{HeaderMap, Uri};
use preloop_types::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::{guard, metadata};

/// The clock sessions and request states are dated by.
pub type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How the endpoint behaves.
#[derive(Clone)]
pub struct Options {
    /// Name and version told to clients.
    pub server_info: ServerInfo,
    /// Where clients reach this server; goes into the authorization challenge and is an accepted
    /// host and origin. `None` derives it from the request.
    pub public_url: Option<Url>,
    /// Whether the listener is bound to a loopback address: then only loopback names (and
    /// [`Options::hosts`]) are accepted in `Host`.
    pub loopback: bool,
    /// Further accepted host names, without port. When not bound to loopback and neither this nor
    /// [`Options::public_url`] is set, any name is accepted.
    pub hosts: Vec<String>,
    /// Accepted values of `Origin` beside the server's own, such as `https://inspector.example`.
    pub origins: Vec<String>,
    /// Whether the transport of 2024-11-05 is served too.
    pub http_sse: bool,
    /// Seals `requestState`. A fresh one each start suffices: what it names lives in this process.
    pub state_key: [u8; 32],
    /// Ends every stream when it fires.
    pub shutdown: CancellationToken,
    /// The clock.
    pub now: Now,
    /// Sizes and times.
    pub limits: Limits,
}

impl Options {
    /// The defaults, for a server bound to loopback.
    pub fn new(server_info: ServerInfo, now: Now) -> Self {
        Self {
            server_info,
            public_url: None,
            loopback: true,
            hosts: Vec::new(),
            origins: Vec::new(),
            http_sse: true,
            state_key: rand::random(),
            shutdown: CancellationToken::new(),
            now,
            limits: Limits::default(),
        }
    }
}

impl Options {
    /// Where the sender of a request reaches this server, without a trailing slash; why not, if the
    /// request was sent to a name that is not ours.
    pub fn base(&self, headers: &HeaderMap, uri: &Uri) -> Result<String, String> {
        let authority = guard::host(headers, uri, self).map_err(|guard::Refusal(_, why)| why)?;
        Ok(metadata::base(self, authority))
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("public_url", &self.public_url)
            .field("loopback", &self.loopback)
            .field("hosts", &self.hosts)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Who the server says it is.
#[derive(Debug, Clone)]
pub struct ServerInfo {
    /// `serverInfo.name`.
    pub name: String,
    /// `serverInfo.title`.
    pub title: String,
    /// `serverInfo.version`.
    pub version: String,
}

impl ServerInfo {
    pub(super) fn to_json(&self) -> Value {
        json!({"name": self.name, "title": self.title, "version": self.version})
    }
}

/// Sizes and times. The defaults are meant for everyone; tests shorten them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Largest body, in bytes.
    pub body_bytes: usize,
    /// Deepest nesting of JSON in a body.
    pub json_depth: usize,
    /// Most messages in a batch.
    pub batch_messages: usize,
    /// How long a session may be idle before it is forgotten.
    pub session_idle: Duration,
    /// Most sessions of one credential; one more ends the one idle longest.
    pub sessions_per_key: usize,
    /// Most listening streams of one session; one more ends the oldest.
    pub listeners_per_session: usize,
    /// Most `subscriptions/listen` streams of one credential.
    pub listens_per_key: usize,
    /// Most resources one session or listen stream may subscribe to.
    pub subscriptions: usize,
    /// How long a request may run before its answer becomes a stream.
    pub stream_after: Duration,
    /// How often a silent stream shows that it lives.
    pub keep_alive: Duration,
    /// Most events kept for replay per stream.
    pub replay_events: usize,
    /// Most bytes kept for replay per stream.
    pub replay_bytes: usize,
    /// How long a stream can be resumed after it ended or lost its reader.
    pub replay_for: Duration,
    /// Most streams of one session kept for replay.
    pub replay_streams: usize,
    /// How long the agent may take to answer a request of ours.
    pub ask_for: Duration,
    /// Most modern requests of one credential that wait for such an answer at a time.
    pub parked_per_key: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            json_depth: 128,
            batch_messages: 64,
            session_idle: Duration::from_mins(30),
            sessions_per_key: 64,
            listeners_per_session: 4,
            listens_per_key: 64,
            subscriptions: 256,
            stream_after: Duration::from_secs(1),
            keep_alive: Duration::from_secs(15),
            replay_events: 256,
            replay_bytes: 1 << 20,
            replay_for: Duration::from_mins(10),
            replay_streams: 32,
            ask_for: Duration::from_mins(5),
            parked_per_key: 32,
        }
    }
}
