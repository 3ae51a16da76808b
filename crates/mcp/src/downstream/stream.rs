//! Event streams: what was said on them, who reads them, what can be replayed.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::options::Limits;

/// Locks; a panic while holding one of our locks leaves nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// How soon a client whose connection ended should resume, in milliseconds.
const RETRY_MS: u32 = 1000;

/// One event stream. Whoever has something to say pushes; one [`Tail`] at a time reads.
///
/// A stream with a name numbers its events and keeps them, so that a reader that lost its
/// connection can go on where it was; a stream without one forgets what was read.
#[derive(Debug)]
pub(super) struct EventStream {
    name: Option<String>,
    events_max: usize,
    bytes_max: usize,
    log: Mutex<Log>,
}

#[derive(Debug)]
struct Log {
    events: VecDeque<Bytes>,
    /// Number of the first of `events`.
    first: u64,
    bytes: usize,
    done: bool,
    /// Which tail may read: a newer one takes over.
    reader: u64,
    attached: bool,
    waker: Option<Waker>,
    /// Since when nobody reads, or nothing more comes.
    quiet_since: Instant,
}

impl EventStream {
    /// A stream, to be resumed by `name` if it has one.
    pub(super) fn new(name: Option<String>, limits: &Limits) -> Self {
        Self {
            name,
            events_max: limits.replay_events,
            bytes_max: limits.replay_bytes,
            log: Mutex::new(Log {
                events: VecDeque::new(),
                first: 0,
                bytes: 0,
                done: false,
                reader: 0,
                attached: false,
                waker: None,
                quiet_since: Instant::now(),
            }),
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Begins with an empty event, so that a client can resume before anything was said.
    pub(super) fn prime(&self) {
        self.push_frame(|id| format!("{id}retry: {RETRY_MS}\ndata:\n\n"));
    }

    /// Says one JSON-RPC message.
    pub(super) fn push(&self, message: &str) {
        self.push_frame(|id| frame(&id, "message", message));
    }

    /// Says something other than a JSON-RPC message.
    pub(super) fn push_event(&self, event: &str, data: &str) {
        self.push_frame(|id| frame(&id, event, data));
    }

    fn push_frame(&self, frame: impl FnOnce(String) -> String) {
        let mut log = lock(&self.log);
        if log.done {
            return;
        }
        let number = log.first + log.events.len() as u64;
        let id = self.name.as_ref().map(|name| format!("id: {name}-{number}\n")).unwrap_or_default();
        let frame = Bytes::from(frame(id));
        log.bytes += frame.len();
        log.events.push_back(frame);
        while log.events.len() > 1 && (log.events.len() > self.events_max || log.bytes > self.bytes_max) {
            log.forget_first();
        }
        log.wake();
    }

    /// Nothing more comes; readers end when they have read everything.
    pub(super) fn finish(&self) {
        let mut log = lock(&self.log);
        if !log.done {
            log.done = true;
            log.quiet_since = Instant::now();
        }
        log.wake();
    }

    /// Whether somebody reads it.
    pub(super) fn is_attached(&self) -> bool {
        lock(&self.log).attached
    }

    /// Whether nothing more comes.
    pub(super) fn is_done(&self) -> bool {
        lock(&self.log).done
    }

    /// Whether it has been without a reader, or ended, for longer than `time`.
    pub(super) fn is_quiet_for(&self, time: Duration) -> bool {
        let log = lock(&self.log);
        (log.done || !log.attached) && log.quiet_since.elapsed() > time
    }

    /// How many bytes are kept for replay.
    pub(super) fn bytes(&self) -> usize {
        lock(&self.log).bytes
    }

    /// Reads from event number `from`, in place of whoever read before.
    pub(super) fn tail(self: &Arc<Self>, from: u64) -> Tail {
        let mut log = lock(&self.log);
        log.reader += 1;
        log.attached = true;
        log.wake();
        Tail { stream: Arc::clone(self), reader: log.reader, next: from }
    }
}

impl Log {
    fn forget_first(&mut self) {
        if let Some(event) = self.events.pop_front() {
            self.bytes -= event.len();
            self.first += 1;
        }
    }

    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// A reader of an [`EventStream`].
#[derive(Debug)]
pub(super) struct Tail {
    stream: Arc<EventStream>,
    reader: u64,
    next: u64,
}

impl Stream for Tail {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let stream = Arc::clone(&self.stream);
        let mut log = lock(&stream.log);
        if log.reader != self.reader {
            return Poll::Ready(None);
        }
        // Events that were dropped meanwhile are lost to this reader.
        let next = self.next.max(log.first);
        let offset = usize::try_from(next - log.first).unwrap_or(usize::MAX);
        if let Some(event) = log.events.get(offset).cloned() {
            self.next = next + 1;
            if stream.name.is_none() {
                log.forget_first();
            }
            return Poll::Ready(Some(event));
        }
        if log.done {
            return Poll::Ready(None);
        }
        log.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let mut log = lock(&self.stream.log);
        if log.reader == self.reader {
            log.attached = false;
            log.waker = None;
            log.quiet_since = Instant::now();
        }
    }
}

/// One event. Line breaks in JSON are white space between tokens; in an event they would end it.
pub(super) fn frame(id: &str, event: &str, data: &str) -> String {
    let mut out = String::with_capacity(id.len() + event.len() + data.len() + 16);
    out.push_str(id);
    out.push_str("event: ");
    out.push_str(event);
    out.push_str("\ndata: ");
    out.push_str(&on_one_line(data));
    out.push_str("\n\n");
    out
}

/// The same JSON without line breaks.
pub(crate) fn on_one_line(json: &str) -> std::borrow::Cow<'_, str> {
    if json.contains(['\n', '\r']) { json.replace(['\n', '\r'], " ").into() } else { json.into() }
}

/// The body of a streamed response: shows signs of life, ends at shutdown.
pub(super) fn body<S>(events: S, limits: &Limits, shutdown: &CancellationToken, farewell: Option<Bytes>) -> Body
where
    S: Stream<Item = Bytes> + Send + Unpin + 'static,
{
    Body::from_stream(Live {
        events: Some(events),
        keep_alive: limits.keep_alive,
        silence: Box::pin(tokio::time::sleep(limits.keep_alive)),
        shutdown: Box::pin(shutdown.clone().cancelled_owned()),
        farewell,
    })
}

struct Live<S> {
    events: Option<S>,
    keep_alive: Duration,
    silence: Pin<Box<Sleep>>,
    shutdown: Pin<Box<WaitForCancellationFutureOwned>>,
    farewell: Option<Bytes>,
}

impl<S: Stream<Item = Bytes> + Unpin> Stream for Live<S> {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(events) = &mut this.events else { return Poll::Ready(None) };
        let next = Pin::new(events).poll_next(cx);
        if let Poll::Ready(Some(event)) = next {
            this.silence.as_mut().reset(tokio::time::Instant::now() + this.keep_alive);
            return Poll::Ready(Some(Ok(event)));
        }
        if next.is_ready() || this.shutdown.as_mut().poll(cx).is_ready() {
            this.events = None;
            return Poll::Ready(this.farewell.take().map(Ok));
        }
        if this.silence.as_mut().poll(cx).is_ready() {
            this.silence.as_mut().reset(tokio::time::Instant::now() + this.keep_alive);
            return Poll::Ready(Some(Ok(KEEP_ALIVE)));
        }
        Poll::Pending
    }
}
