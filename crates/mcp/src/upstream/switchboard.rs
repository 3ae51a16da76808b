use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use preloop_types::KeyId;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::protocol::{Message, Notification, Request, Response};

use super::{UpstreamError, changes::Changes, exchange::unrelated};

/// Messages a call may have waiting; more are dropped.
const INBOX: usize = 256;

/// Connects what comes in on a shared stream with the calls that wait for it.
#[derive(Debug)]
pub(super) struct Switchboard {
    lines: Mutex<BTreeMap<u64, Line>>,
    changes: Arc<Changes>,
}

#[derive(Debug)]
struct Line {
    reply: Option<oneshot::Sender<Result<Response, UpstreamError>>>,
    inbox: mpsc::Sender<Message>,
    /// On whose behalf; ours when absent.
    who: Option<KeyId>,
}

/// A call's end of the line; hangs up when dropped.
#[derive(Debug)]
pub(super) struct Handset<'a> {
    board: &'a Switchboard,
    id: u64,
    pub(super) reply: oneshot::Receiver<Result<Response, UpstreamError>>,
    pub(super) inbox: mpsc::Receiver<Message>,
}

#[derive(Deserialize)]
struct Token<'a> {
    #[serde(borrow, rename = "progressToken")]
    token: &'a RawValue,
}

impl Switchboard {
    pub(super) fn new(changes: Arc<Changes>) -> Self {
        Self { lines: Mutex::default(), changes }
    }

    /// Waits for the response to request `id`, and for what else concerns it.
    pub(super) fn open(&self, id: u64, who: Option<KeyId>) -> Handset<'_> {
        let (reply, reply_rx) = oneshot::channel();
        let (inbox, inbox_rx) = mpsc::channel(INBOX);
        self.lines().insert(id, Line { reply: Some(reply), inbox, who });
        Handset { board: self, id, reply: reply_rx, inbox: inbox_rx }
    }

    /// Hands a message to whom it concerns. A request that concerns no call is answered here.
    pub(super) fn route(&self, message: Message) -> Option<Response> {
        match message {
            Message::Response(response) => {
                let id = response.id.as_ref().and_then(|id| id.0.get().trim_matches('"').parse().ok());
                if let Some(id) = id {
                    self.settle(id, Ok(response));
                }
                None
            }
            Message::Notification(notification) => {
                self.notified(notification);
                None
            }
            Message::Request(request) => self.requested(request),
        }
    }

    /// Ends the wait for the response to request `id`.
    pub(super) fn settle(&self, id: u64, outcome: Result<Response, UpstreamError>) {
        let reply = self.lines().get_mut(&id).and_then(|line| line.reply.take());
        if let Some(reply) = reply {
            let _ = reply.send(outcome);
        }
    }

    /// The ids of the calls in flight.
    pub(super) fn in_flight(&self) -> Vec<u64> {
        self.lines().keys().copied().collect()
    }

    fn notified(&self, notification: Notification) {
        let line = match notification.method.as_str() {
            "notifications/progress" => {
                let params = notification.params.as_deref().map_or("null", |params| params.get());
                let token = serde_json::from_str::<Token<'_>>(params).ok();
                let id = token.and_then(|token| token.token.get().trim_matches('"').parse::<u64>().ok());
                id.and_then(|id| self.lines().get(&id).map(|line| line.inbox.clone()))
            }
            "notifications/message" => self.addressee(),
            _ => return self.changes.notified(&notification),
        };
        if let Some(line) = line {
            let _ = line.try_send(Message::Notification(notification));
        }
    }

    fn requested(&self, request: Request) -> Option<Response> {
        if request.method == "ping" {
            return Some(unrelated(request));
        }
        match self.addressee() {
            None => Some(unrelated(request)),
            Some(line) => match line.try_send(Message::Request(request)) {
                Ok(()) => None,
                Err(mpsc::error::TrySendError::Full(message) | mpsc::error::TrySendError::Closed(message)) => {
                    match message {
                        Message::Request(request) => Some(unrelated(request)),
                        _ => None,
                    }
                }
            },
        }
    }

    /// The call that a message without an address is about: the newest, if all calls in flight are
    /// made with one credential. With several, asking anyone could show one person's matter to
    /// another.
    fn addressee(&self) -> Option<mpsc::Sender<Message>> {
        let lines = self.lines();
        let (_, newest) = lines.last_key_value()?;
        newest.who?;
        lines.values().all(|line| line.who == newest.who || line.who.is_none()).then(|| newest.inbox.clone())
    }

    fn lines(&self) -> MutexGuard<'_, BTreeMap<u64, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handset<'_> {
    fn drop(&mut self) {
        self.board.lines().remove(&self.id);
    }
}
