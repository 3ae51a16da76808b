use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use http::HeaderMap;
use preloop_types::{
    KeyId,
    config::{Server, ServerFacts, ServerSettings},
};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::splice;
use crate::{
    catalogue::HeaderParam,
    protocol::{Client, Era, LogLevel, Response, Version},
};

use super::{
    changes::Changes,
    error::Failure,
    exchange::Exchange,
    gate,
    http::{Http, Outgoing, cancellation},
    params::{Ask, Leg},
    pipe::Pipe,
    switchboard::Switchboard,
};

/// One established relationship with a server: the stateless modern one, or one legacy session.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) wire: Wire,
    pub(super) version: Version,
    pub(super) facts: ServerFacts,
    pub(super) board: Arc<Switchboard>,
    /// Whether messages for calls may come in on a stream of their own.
    pub(super) listening: AtomicBool,
    capabilities: Value,
    last_used: Mutex<Instant>,
    log_level: Mutex<Option<LogLevel>>,
    /// Ends what serves this peer in the background.
    pub(super) stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

/// How its messages travel.
#[derive(Debug)]
pub(super) enum Wire {
    Http(Arc<Http>),
    Pipe(Arc<Pipe>),
}

/// What every request of a connection is made with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Side<'a> {
    pub(super) server: &'a Server,
    pub(super) changes: &'a Changes,
    pub(super) ids: &'a AtomicU64,
}

impl Peer {
    pub(super) fn new(
        wire: Wire,
        version: Version,
        facts: ServerFacts,
        board: Arc<Switchboard>,
        stop: CancellationToken,
    ) -> Self {
        let capabilities = serde_json::from_str(facts.capabilities.0.get()).unwrap_or_default();
        Self {
            wire,
            version,
            facts,
            board,
            listening: AtomicBool::new(false),
            capabilities,
            last_used: Mutex::new(Instant::now()),
            log_level: Mutex::new(None),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        match &self.wire {
            Wire::Http(_) => true,
            Wire::Pipe(pipe) => pipe.is_open(),
        }
    }

    /// Whether the server declared the capability at this JSON pointer.
    pub(super) fn declares(&self, pointer: &str) -> bool {
        self.capabilities.pointer(pointer).is_some_and(|value| *value != Value::Bool(false))
    }

    /// Whether the server may answer a call with a task.
    pub(super) fn has_tasks_extension(&self) -> bool {
        self.version.era() == Era::Modern
            && self.capabilities.get("extensions").is_some_and(|all| all.get(gate::TASKS_EXTENSION).is_some())
    }

    pub(super) fn idle_since(&self) -> Instant {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn touch(&self) {
        *self.last_used.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Sends one request and waits for its response. Dropping the future cancels the request.
    pub(super) async fn send(
        &self,
        side: Side<'_>,
        ask: &Ask<'_>,
        headers: &[HeaderParam],
        client: &dyn Client,
        who: Option<KeyId>,
    ) -> Result<Response, Failure> {
        if let Some(level) = client.log_level() {
            Box::pin(self.set_log_level(side, level)).await?;
        }
        let id = side.ids.fetch_add(1, Ordering::Relaxed);
        let modern = self.version.era() == Era::Modern;
        let capabilities = if modern {
            gate::capabilities(&client.info().capabilities, &side.server.settings, self.has_tasks_extension())
        } else {
            String::new()
        };
        let leg = Leg {
            version: self.version,
            progress: client.progress_token().map(|_| id),
            capabilities: &capabilities,
            log_level: client.log_level(),
        };
        let mirrored =
            if modern && matches!(self.wire, Wire::Http(_)) { ask.mirrored(headers) } else { HeaderMap::new() };
        let outgoing = Outgoing::new(id, ask.method, &ask.params(&leg), mirrored);
        let mut exchange = Exchange::new(client, side.server, side.changes, id);
        let mut hangup = Hangup { peer: self, id, armed: true };
        let result = match &self.wire {
            Wire::Http(http) => {
                let board = self.listening.load(Ordering::Acquire).then(|| self.board.open(id, who));
                http.exchange(outgoing, board, &mut exchange).await
            }
            Wire::Pipe(pipe) => pipe.exchange(outgoing, who, &mut exchange).await,
        };
        hangup.armed = false;
        result
    }

    /// A legacy server is told the level by request; a modern one finds it in `_meta`.
    async fn set_log_level(&self, side: Side<'_>, level: LogLevel) -> Result<(), Failure> {
        if self.version.era() == Era::Modern || !self.declares("/logging") {
            return Ok(());
        }
        {
            let mut known = self.log_level.lock().unwrap_or_else(PoisonError::into_inner);
            // Several agents may share the session: it is kept at the mildest level any of them
            // wants, and what is too mild for the others is dropped on the way.
            if known.is_some_and(|known| known <= level) {
                return Ok(());
            }
            *known = Some(level);
        }
        let id = side.ids.fetch_add(1, Ordering::Relaxed);
        let params = format!("{{\"level\":\"{}\"}}", level.as_str());
        self.plain(side, id, "logging/setLevel", &params).await?;
        Ok(())
    }

    /// Asks for the end of a task, without waiting for it.
    pub(super) fn cancel_task(&self, id: u64, task: &str) {
        let named = splice::raw(serde_json::json!({ "taskId": task }).to_string());
        let Some(ask) = Ask::other("tasks/cancel", Some(&named)) else { return };
        let shown = gate::capabilities(&serde_json::Map::new(), &ServerSettings::default(), self.has_tasks_extension());
        let leg = Leg { version: self.version, progress: None, capabilities: &shown, log_level: None };
        let outgoing = Outgoing::new(id, ask.method, &ask.params(&leg), ask.mirrored(&[]));
        self.in_background(outgoing.body, outgoing.headers);
    }

    /// Sends a message whose answer nobody waits for.
    fn in_background(&self, body: String, headers: HeaderMap) {
        match &self.wire {
            Wire::Http(http) => {
                let http = Arc::clone(http);
                tokio::spawn(async move { drop(http.tell_with(body, headers).await) });
            }
            Wire::Pipe(pipe) => {
                let pipe = Arc::clone(pipe);
                tokio::spawn(async move {
                    tokio::select! {
                        _ = pipe.tell(body) => {}
                        () = pipe.closed() => {}
                    }
                });
            }
        }
    }

    /// A request of ours, on nobody's behalf.
    pub(super) async fn plain(&self, side: Side<'_>, id: u64, method: &str, params: &str) -> Result<Response, Failure> {
        let nobody = crate::protocol::Detached::default();
        let outgoing = Outgoing::new(id, method, params, HeaderMap::new());
        let mut exchange = Exchange::new(&nobody, side.server, side.changes, id);
        match &self.wire {
            Wire::Http(http) => http.exchange(outgoing, None, &mut exchange).await,
            Wire::Pipe(pipe) => pipe.exchange(outgoing, None, &mut exchange).await,
        }
    }
}

/// Tells the server when nobody waits for a request any more. A modern server over HTTP sees its
/// stream close instead.
struct Hangup<'a> {
    peer: &'a Peer,
    id: u64,
    armed: bool,
}

impl Drop for Hangup<'_> {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let over_http = matches!(self.peer.wire, Wire::Http(_));
        if !(over_http && self.peer.version.era() == Era::Modern) {
            self.peer.in_background(cancellation(self.id), HeaderMap::new());
        }
    }
}
