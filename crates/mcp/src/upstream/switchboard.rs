use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use preloop_types::KeyId;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::sync::{Notify, oneshot};

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
    inbox: Arc<Inbox>,
    /// On whose behalf; ours when absent.
    who: Option<KeyId>,
}

/// What waits to be looked at by a call. Costs next to nothing while it is empty, which it nearly
/// always is.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    messages: Mutex<VecDeque<Message>>,
    bell: Notify,
}

impl Inbox {
    /// Gives the message back where there is no room.
    fn put(&self, message: Message) -> Result<(), Message> {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        if messages.len() >= INBOX {
            return Err(message);
        }
        messages.push_back(message);
        self.bell.notify_one();
        Ok(())
    }

    pub(super) fn try_take(&self) -> Option<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// The next message. Safe to drop while waiting; for one taker.
    pub(super) async fn take(&self) -> Message {
        loop {
            if let Some(message) = self.try_take() {
                return message;
            }
            self.bell.notified().await;
        }
    }
}

/// A call's end of the line; hangs up when dropped.
#[derive(Debug)]
pub(super) struct Handset<'a> {
    board: &'a Switchboard,
    id: u64,
    pub(super) reply: oneshot::Receiver<Result<Response, UpstreamError>>,
    pub(super) inbox: Arc<Inbox>,
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
        let inbox = Arc::<Inbox>::default();
        self.lines().insert(id, Line { reply: Some(reply), inbox: Arc::clone(&inbox), who });
        Handset { board: self, id, reply: reply_rx, inbox }
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
                id.and_then(|id| self.lines().get(&id).map(|line| Arc::clone(&line.inbox)))
            }
            "notifications/message" => self.addressee(),
            _ => return self.changes.notified(&notification),
        };
        if let Some(inbox) = line {
            // An overfull inbox loses notifications: they are the server's to spend.
            let _ = inbox.put(Message::Notification(notification));
        }
    }

    fn requested(&self, request: Request) -> Option<Response> {
        if request.method == "ping" {
            return Some(unrelated(request));
        }
        let Some(inbox) = self.addressee() else { return Some(unrelated(request)) };
        match inbox.put(Message::Request(request)) {
            Err(Message::Request(request)) => Some(unrelated(request)),
            _ => None,
        }
    }

    /// The call that a message without an address is about: the newest made for an agent, if all
    /// such calls in flight are made with one credential. With several, asking anyone could show
    /// one person's matter to another.
    fn addressee(&self) -> Option<Arc<Inbox>> {
        let lines = self.lines();
        let mut agents = lines.values().rev().filter(|line| line.who.is_some());
        let newest = agents.next()?;
        agents.all(|line| line.who == newest.who).then(|| Arc::clone(&newest.inbox))
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

#[cfg(test)]
mod tests {
    use preloop_types::{AccountId, ServerId, Timestamp};
    use tokio::sync::broadcast;

    use super::*;
    use crate::protocol::Id;

    fn question() -> Message {
        Message::Request(Request { id: Id::number(1), method: "elicitation/create".to_owned(), params: None })
    }

    #[test]
    fn a_question_without_an_address_never_reaches_somebody_else() {
        let at = Timestamp::from_micros(0);
        let (ann, bob) = (KeyId::new(at), KeyId::new(at));
        let changes = Changes::new(AccountId::new(at), ServerId::new(at), broadcast::channel(1).0);
        let board = Switchboard::new(Arc::new(changes));
        assert!(board.route(question()).is_some(), "nobody is there: declined");

        let one = board.open(1, Some(ann));
        let _ours = board.open(2, None);
        assert!(board.route(question()).is_none());
        assert!(one.inbox.try_take().is_some());

        let two = board.open(3, Some(ann));
        assert!(board.route(question()).is_none());
        assert!(one.inbox.try_take().is_none() && two.inbox.try_take().is_some(), "the newest of one credential");

        let other = board.open(4, Some(bob));
        assert!(board.route(question()).is_some(), "whose it is cannot be told");
        drop(other);
        assert!(board.route(question()).is_none());
    }
}
