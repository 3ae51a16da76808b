//! Keeps the streams open on which a server tells what changed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use serde_json::{Value, json, value::RawValue};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::protocol::{Detached, Era};
use crate::splice;

use super::{
    UpstreamError,
    changes::Changes,
    error::Failure,
    http::{Http, Outgoing, drain},
    params::{Ask, Leg},
    peer::{Peer, Wire},
    peers::Peers,
    pipe::Pipe,
    switchboard::Switchboard,
};

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_mins(1);
/// Resources one server is watched for.
const WATCHED_MAX: usize = 1024;

/// The resources somebody wants to hear about. One upstream subscription serves many agents.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched(Arc<Uris>);

#[derive(Debug, Default)]
struct Uris {
    counts: Mutex<BTreeMap<String, u32>>,
    changed: Notify,
}

impl Watched {
    /// Adds one listener; true if it is the first.
    pub(super) fn add(&self, uri: &str) -> Result<bool, UpstreamError> {
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(uri) {
            *count += 1;
            return Ok(false);
        }
        if counts.len() >= WATCHED_MAX {
            return Err(UpstreamError::Config(format!("more than {WATCHED_MAX} resources are watched already")));
        }
        counts.insert(uri.to_owned(), 1);
        self.0.changed.notify_one();
        Ok(true)
    }

    /// Takes one listener away; true if it was the last.
    pub(super) fn remove(&self, uri: &str) -> bool {
        let mut counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(uri) {
            None => return false,
            Some(count) if *count > 1 => {
                *count -= 1;
                return false;
            }
            Some(_) => counts.remove(uri),
        };
        self.0.changed.notify_one();
        true
    }

    fn uris(&self) -> Vec<String> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect()
    }
}

/// Starts what listens to `peer`, if anything can be heard there. `ours` is the relationship
/// through which lists are read and resources watched.
pub(super) fn start(peer: &Arc<Peer>, peers: &Peers, ours: bool) {
    let stop = peer.stop.clone();
    match (&peer.wire, peer.version.era()) {
        (Wire::Http(http), Era::Legacy) => {
            // A server need not say that it will send something: it is listened to in any case.
            let (http, board) = (Arc::clone(http), Arc::clone(&peer.board));
            peer.listening.store(true, Ordering::Release);
            let quiet = Arc::downgrade(peer);
            tokio::spawn(async move {
                tokio::select! {
                    () = follow(&http, &board) => {}
                    () = stop.cancelled() => {}
                }
                if let Some(peer) = quiet.upgrade() {
                    peer.listening.store(false, Ordering::Release);
                }
            });
            if ours {
                resubscribe(peer, peers);
            }
        }
        (Wire::Http(http), Era::Modern) => {
            let subscription = Subscription::of(peer, peers);
            let (http, board) = (Arc::clone(http), Arc::clone(&peer.board));
            tokio::spawn(subscription.over_http(http, board, stop));
        }
        (Wire::Pipe(pipe), Era::Modern) => {
            let subscription = Subscription::of(peer, peers);
            tokio::spawn(subscription.over_pipe(Arc::clone(pipe), stop));
        }
        (Wire::Pipe(_), Era::Legacy) => resubscribe(peer, peers),
    }
}

/// Reads the GET stream of a legacy session for as long as there is one.
async fn follow(http: &Http, board: &Switchboard) {
    let mut pause = BACKOFF_MIN;
    let mut last = None;
    loop {
        match http.listen(last.as_deref()).await {
            Ok(Some(events)) => {
                pause = BACKOFF_MIN;
                if matches!(drain(http, events, board, &mut last).await, Err(Failure::SessionGone)) {
                    return;
                }
            }
            // Not offered, not to us, or not any more.
            Ok(None)
            | Err(Failure::SessionGone | Failure::Error(UpstreamError::Http(400..=499) | UpstreamError::Rpc(_))) => {
                return;
            }
            Err(_) => {}
        }
        rest(&mut pause).await;
    }
}

async fn rest(pause: &mut Duration) {
    let jitter = Duration::from_millis(u64::from(rand::random::<u8>()));
    tokio::time::sleep(*pause + jitter).await;
    *pause = (*pause * 2).min(BACKOFF_MAX);
}

/// A new legacy session does not know what the old one was watched for.
fn resubscribe(peer: &Arc<Peer>, peers: &Peers) {
    let uris = peers.watched.uris();
    if uris.is_empty() {
        return;
    }
    let (peer, server, changes) = (Arc::clone(peer), Arc::clone(&peers.server), Arc::clone(&peers.changes));
    let ids: Vec<u64> = uris.iter().map(|_| peers.ids.fetch_add(1, Ordering::Relaxed)).collect();
    tokio::spawn(async move {
        let counter = std::sync::atomic::AtomicU64::new(0);
        let side = super::peer::Side { server: &server, changes: &changes, ids: &counter };
        for (id, uri) in ids.into_iter().zip(uris) {
            let _ = peer.plain(side, id, "resources/subscribe", &json!({ "uri": uri }).to_string()).await;
        }
    });
}

/// One `subscriptions/listen` of the modern era, opened anew when what is watched changes.
struct Subscription {
    lists: serde_json::Map<String, Value>,
    resources: bool,
    watched: Watched,
    changes: Arc<Changes>,
    server: Arc<preloop_types::config::Server>,
    version: crate::protocol::Version,
    /// Ids of subscriptions lie apart from those of calls.
    next_id: u64,
}

impl Subscription {
    fn of(peer: &Peer, peers: &Peers) -> Self {
        let mut lists = serde_json::Map::new();
        for (list, filter) in
            [("tools", "toolsListChanged"), ("prompts", "promptsListChanged"), ("resources", "resourcesListChanged")]
        {
            if peer.declares(&format!("/{list}/listChanged")) {
                lists.insert(filter.to_owned(), Value::Bool(true));
            }
        }
        Self {
            lists,
            resources: peer.declares("/resources/subscribe"),
            watched: peers.watched.clone(),
            changes: Arc::clone(&peers.changes),
            server: Arc::clone(&peers.server),
            version: peer.version,
            next_id: 1 << 48,
        }
    }

    /// The request, or `None` while there is nothing to ask for.
    fn request(&mut self) -> Option<Outgoing> {
        let mut filter = self.lists.clone();
        let uris = self.watched.uris();
        if self.resources && !uris.is_empty() {
            filter.insert("resourceSubscriptions".to_owned(), json!(uris));
        }
        if filter.is_empty() {
            return None;
        }
        self.next_id += 1;
        let params: Arc<RawValue> = splice::raw(json!({ "notifications": filter }).to_string());
        let ask = Ask::other("subscriptions/listen", Some(&params))?;
        let leg = Leg { version: self.version, progress: None, capabilities: "{}", log_level: None };
        Some(Outgoing::new(self.next_id, ask.method, &ask.params(&leg), ask.mirrored(&[])))
    }

    async fn over_http(mut self, http: Arc<Http>, board: Arc<Switchboard>, stop: CancellationToken) {
        let mut pause = BACKOFF_MIN;
        loop {
            let watched = self.watched.clone();
            let listening = async {
                let Some(request) = self.request() else { return std::future::pending().await };
                match http.subscribe(request).await? {
                    Some(events) => drain(&http, events, &board, &mut None).await,
                    None => Err(UpstreamError::Http(405).into()),
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = watched.0.changed.notified() => pause = BACKOFF_MIN,
                ended = listening => match ended {
                    // Not offered after all: changes are found by reading the lists now and then.
                    Err(Failure::Error(UpstreamError::Http(400..=499) | UpstreamError::Rpc(_))) => return,
                    _ => rest(&mut pause).await,
                },
            }
        }
    }

    async fn over_pipe(mut self, pipe: Arc<Pipe>, stop: CancellationToken) {
        let nobody = Detached::default();
        loop {
            let watched = self.watched.clone();
            let (server, changes) = (Arc::clone(&self.server), Arc::clone(&self.changes));
            let request = self.request();
            let id = self.next_id;
            let listening = async {
                let Some(request) = request else { return std::future::pending().await };
                let mut exchange = super::exchange::Exchange::new(&nobody, &server, &changes, id);
                pipe.exchange(request, None, &mut exchange).await
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = pipe.closed() => return,
                () = watched.0.changed.notified() => {
                    let _ = pipe.tell(super::http::cancellation(id)).await;
                }
                // Answered: the server will send nothing more.
                _ = listening => return,
            }
        }
    }
}
