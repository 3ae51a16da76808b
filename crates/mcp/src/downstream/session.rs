//! Sessions of the legacy era.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering},
    },
};

use futures::StreamExt as _;
use preloop_types::{AccountId, KeyId, Principal, Timestamp};
use serde_json::{json, value::RawValue};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    exchange::Exchange,
    handler::{Change, EndpointScope, Handler},
    options::Limits,
    outgoing::{Outcome, raw},
    stream::{EventStream, lock},
};
use crate::protocol::{ClientInfo, Detached, Id, LogLevel, Notification, Request, Response, Version};

/// What `initialize` settled.
#[derive(Debug, Clone)]
pub(super) struct Hello {
    pub(super) version: Version,
    pub(super) info: Arc<ClientInfo>,
}

/// One conversation with a legacy client. Belongs to the credential that opened it.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) account: AccountId,
    pub(super) key: KeyId,
    hello: OnceLock<Hello>,
    /// Microseconds since the epoch.
    last_seen: AtomicI64,
    log_level: Mutex<Option<LogLevel>>,
    /// Requests that run, for `notifications/cancelled`.
    running: Mutex<HashMap<Id, Arc<Exchange>>>,
    /// Our requests that wait for an answer, by their number.
    asked: Mutex<HashMap<u64, oneshot::Sender<Outcome>>>,
    next_number: AtomicU64,
    streams: Mutex<VecDeque<Arc<EventStream>>>,
    forwarding: AtomicBool,
    /// Resources the client wants to hear of, and how it asked for them.
    subscribed: Mutex<HashMap<String, Subscriber>>,
    /// Fires when the session ends.
    pub(super) ended: CancellationToken,
}

/// Who watches a resource.
#[derive(Debug, Clone)]
pub(super) struct Subscriber {
    pub(super) who: Arc<Principal>,
    pub(super) scope: EndpointScope,
}

impl Subscriber {
    /// Begins to watch `uri`.
    pub(super) async fn subscribe(&self, handler: &Arc<dyn Handler>, uri: &str) -> Outcome {
        self.request(handler, "resources/subscribe", uri).await
    }

    /// Ceases to watch `uri`, without waiting for it.
    pub(super) fn unsubscribe(self, handler: &Arc<dyn Handler>, uri: String) {
        let handler = Arc::clone(handler);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = self.request(&handler, "resources/unsubscribe", &uri).await;
            });
        }
    }

    async fn request(&self, handler: &Arc<dyn Handler>, method: &str, uri: &str) -> Outcome {
        let params = Some(raw(&json!({"uri": uri})));
        let request = Request { id: Id::number(0), method: method.to_owned(), params };
        handler.handle(&self.who, &self.scope, request, Arc::new(Detached::default())).await
    }
}

/// What an event stream is for; the first letter of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The answer to one request.
    Reply,
    /// What the server has to say by itself.
    Listen,
}

impl Purpose {
    const fn letter(self) -> char {
        match self {
            Purpose::Reply => 'p',
            Purpose::Listen => 'g',
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Purpose::Reply, Purpose::Listen].into_iter().find(|purpose| name.starts_with(purpose.letter()))
    }
}

/// Where a client that comes back goes on.
pub(super) enum Resume {
    /// Here, at this event.
    At(Arc<EventStream>, u64),
    /// It listened, on a stream that is gone: it can listen on a new one.
    Anew,
    /// The stream of a request, and it is gone.
    Lost,
}

impl Session {
    pub(super) fn new(id: String, account: AccountId, key: KeyId, ended: CancellationToken, now: Timestamp) -> Self {
        Self {
            id,
            account,
            key,
            hello: OnceLock::new(),
            last_seen: AtomicI64::new(now.micros()),
            log_level: Mutex::default(),
            running: Mutex::default(),
            asked: Mutex::default(),
            // Names given before a restart must not come to mean something else.
            next_number: AtomicU64::new(u64::from(rand::random::<u32>() >> 1)),
            streams: Mutex::default(),
            forwarding: AtomicBool::new(false),
            subscribed: Mutex::default(),
            ended,
        }
    }

    /// Notes what `initialize` settled; the first time counts.
    pub(super) fn greet(&self, hello: Hello) {
        let _ = self.hello.set(hello);
    }

    pub(super) fn hello(&self) -> Option<&Hello> {
        self.hello.get()
    }

    pub(super) fn last_seen(&self) -> Timestamp {
        Timestamp::from_micros(self.last_seen.load(Ordering::Relaxed))
    }

    pub(super) fn seen(&self, now: Timestamp) {
        self.last_seen.store(now.micros(), Ordering::Relaxed);
    }

    /// Whether something runs or somebody listens.
    pub(super) fn is_busy(&self) -> bool {
        !lock(&self.running).is_empty() || lock(&self.streams).iter().any(|stream| stream.is_attached())
    }

    pub(super) fn belongs_to(&self, who: &Principal) -> bool {
        self.account == who.account && self.key == who.key
    }

    pub(super) fn log_level(&self) -> Option<LogLevel> {
        *lock(&self.log_level)
    }

    pub(super) fn set_log_level(&self, level: LogLevel) {
        *lock(&self.log_level) = Some(level);
    }

    fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    // === requests of the client ===

    pub(super) fn begun(&self, id: Id, exchange: &Arc<Exchange>) {
        lock(&self.running).insert(id, Arc::clone(exchange));
    }

    pub(super) fn ended(&self, id: &Id, exchange: &Exchange) {
        let mut running = lock(&self.running);
        if running.get(id).is_some_and(|other| std::ptr::eq(Arc::as_ptr(other), exchange)) {
            running.remove(id);
        }
    }

    /// Cancels the request of this id, if it runs.
    pub(super) fn cancel(&self, id: &RawValue) {
        let id = Id(Arc::from(id.to_owned()));
        let exchange = lock(&self.running).get(&id).cloned();
        if let Some(exchange) = exchange {
            exchange.cancel();
        }
    }

    // === requests of ours ===

    /// A number for a request of ours, and where its answer arrives.
    pub(super) fn ask(&self) -> (u64, oneshot::Receiver<Outcome>) {
        let number = self.number();
        let (answer, answered) = oneshot::channel();
        lock(&self.asked).insert(number, answer);
        (number, answered)
    }

    /// No longer waits for that answer. Says whether it was still out.
    pub(super) fn unask(&self, number: u64) -> bool {
        lock(&self.asked).remove(&number).is_some()
    }

    /// Hands an answer to whoever asked. One that nobody waits for is dropped: it came too late.
    pub(super) fn answered(&self, response: Response) {
        let number = response.id.and_then(|id| id.0.get().parse().ok());
        let waiting = number.and_then(|number: u64| lock(&self.asked).remove(&number));
        if let Some(waiting) = waiting {
            let _ = waiting.send(response.result);
        }
    }

    // === streams ===

    /// A new stream that can be resumed.
    pub(super) fn open_stream(&self, purpose: Purpose, limits: &Limits) -> Arc<EventStream> {
        let name = format!("{}{:x}", purpose.letter(), self.number());
        let stream = Arc::new(EventStream::new(Some(name), limits));
        if self.hello().is_some_and(|hello| hello.version >= Version::V2025_11_25) {
            stream.prime();
        }
        let mut streams = lock(&self.streams);
        streams.push_back(Arc::clone(&stream));
        tidy(&mut streams, limits);
        stream
    }

    /// The stream an event id belongs to.
    pub(super) fn resume(&self, event: &str) -> Resume {
        let Some((name, number)) = event.rsplit_once('-') else { return Resume::Lost };
        let found = lock(&self.streams).iter().find(|stream| stream.name() == Some(name)).cloned();
        match (found, number.parse::<u64>(), Purpose::of(name)) {
            (Some(stream), _, Some(Purpose::Listen)) if stream.is_done() => Resume::Anew,
            (Some(stream), Ok(number), _) => Resume::At(stream, number.saturating_add(1)),
            (_, _, Some(Purpose::Listen)) => Resume::Anew,
            _ => Resume::Lost,
        }
    }

    /// The stream for what belongs to no request: the newest somebody reads, else the newest.
    pub(super) fn listener(&self) -> Option<Arc<EventStream>> {
        let streams = lock(&self.streams);
        let mut listening = streams.iter().rev().filter(|stream| is_listening(stream));
        let newest = listening.clone().next();
        listening.find(|stream| stream.is_attached()).or(newest).cloned()
    }

    /// Sends what the handler says has changed, from now until the session ends.
    pub(super) fn forward_changes(
        self: &Arc<Self>,
        handler: &Arc<dyn Handler>,
        who: &Arc<Principal>,
        scope: &EndpointScope,
    ) {
        if self.forwarding.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut changes = handler.changes(who, scope);
        let (session, ended) = (Arc::downgrade(self), self.ended.clone());
        tokio::spawn(async move {
            while let Some(Some(change)) = ended.run_until_cancelled(changes.next()).await {
                let Some(session) = session.upgrade() else { return };
                session.tell(&change);
            }
        });
    }

    fn tell(&self, change: &Change) {
        let params = match change {
            Change::Resource(uri) if !lock(&self.subscribed).contains_key(uri) => return,
            Change::Resource(uri) => Some(raw(&json!({"uri": uri}))),
            _ => None,
        };
        if let Some(listener) = self.listener() {
            listener.push(&Notification { method: change.method().to_owned(), params }.to_json());
        }
    }

    // === resources ===

    pub(super) fn is_subscribed(&self, uri: &str) -> bool {
        lock(&self.subscribed).contains_key(uri)
    }

    pub(super) fn subscriptions(&self) -> usize {
        lock(&self.subscribed).len()
    }

    pub(super) fn subscribe(&self, uri: String, by: Subscriber) {
        lock(&self.subscribed).insert(uri, by);
    }

    pub(super) fn unsubscribe(&self, uri: &str) -> Option<Subscriber> {
        lock(&self.subscribed).remove(uri)
    }

    /// Ends the session: its streams end, nobody is asked any more, and the handler hears that
    /// its resources are no longer watched. Requests run on.
    pub(super) fn end(&self, handler: &Arc<dyn Handler>) {
        self.ended.cancel();
        lock(&self.asked).clear();
        for stream in lock(&self.streams).drain(..) {
            stream.finish();
        }
        let subscribed = std::mem::take(&mut *lock(&self.subscribed));
        for (uri, by) in subscribed {
            by.unsubscribe(handler, uri);
        }
    }
}

fn is_listening(stream: &EventStream) -> bool {
    !stream.is_done() && stream.name().and_then(Purpose::of) == Some(Purpose::Listen)
}

/// Forgets streams nobody will come back for, and the oldest of too many.
fn tidy(streams: &mut VecDeque<Arc<EventStream>>, limits: &Limits) {
    streams.retain(|stream| !stream.is_quiet_for(limits.replay_for));
    let listening: Vec<_> = streams.iter().filter(|stream| is_listening(stream)).cloned().collect();
    let surplus = listening.len().saturating_sub(limits.listeners_per_session);
    for stream in listening.iter().take(surplus) {
        stream.finish();
    }
    let mut bytes: usize = streams.iter().map(|stream| stream.bytes()).sum();
    let mut count = streams.len();
    streams.retain(|stream| {
        let keep = (count <= limits.replay_streams && bytes <= 4 * limits.replay_bytes)
            || !(stream.is_done() || stream.name().is_none());
        if !keep {
            count -= 1;
            bytes -= stream.bytes();
        }
        keep
    });
}
