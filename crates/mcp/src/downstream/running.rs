//! Drives a request and its response: plain JSON when the result comes at once, a stream when
//! there is something to say before.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::{FutureExt as _, Stream, future::BoxFuture};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    exchange::{Exchange, Question, Step},
    outgoing::{Outcome, raw},
    parking::Parked,
    request_state::{RequestState, Ticket, digest},
    stream::Tail,
};
use crate::protocol::{InputRequest, RpcError, error};

/// A request that runs and a response that waits for it.
///
/// The work is polled in place, without a task or a channel. When the response is dropped because
/// the agent went away, the work moves into a task of its own and is carried to its end there: an
/// effect that began is always accounted for.
pub(super) struct Running {
    exchange: Arc<Exchange>,
    /// `None` when it is carried on elsewhere, or done.
    work: Option<BoxFuture<'static, Outcome>>,
    /// Whether the response is over in good order.
    over: bool,
}

/// How the response looks.
pub(super) enum Reply {
    /// One message.
    Json(String, Outcome),
    /// A stream of them.
    Stream(ReplyStream),
}

impl Running {
    /// A request that begins.
    pub(super) fn start(exchange: Arc<Exchange>, work: impl Future<Output = Outcome> + Send + 'static) -> Self {
        let work = AssertUnwindSafe(work).catch_unwind().map(|done| {
            done.unwrap_or_else(|_| Err(RpcError::new(error::INTERNAL_ERROR, "the request failed inside the server")))
        });
        Self { exchange, work: Some(Box::pin(work)), over: false }
    }

    /// A request that was carried on elsewhere and has its agent again.
    pub(super) fn again(exchange: Arc<Exchange>) -> Self {
        Self { exchange, work: None, over: false }
    }

    /// Waits until it is clear how the response looks. `at_once` streams without waiting.
    pub(super) async fn reply(mut self, at_once: bool) -> Reply {
        let step = if !self.exchange.may_stream() {
            self.next(false).await
        } else if at_once {
            None
        } else {
            let wait = self.exchange.shared.options.limits.stream_after;
            tokio::time::timeout(wait, self.next(false)).await.unwrap_or(None)
        };
        let outcome = match step {
            Some(Step::Done(outcome)) => outcome,
            Some(Step::Asked(question)) => self.put_to_agent(question),
            Some(Step::Cancelled) => Err(cancelled()),
            Some(Step::Stream) | None => match self.exchange.stream() {
                Some(stream) => return Reply::Stream(ReplyStream { tail: stream.tail(0), running: self }),
                None => Err(RpcError::new(error::INTERNAL_ERROR, "there is no stream to answer on")),
            },
        };
        let json = self.exchange.response(&outcome);
        // A cancelled request still runs; dropping this carries it on.
        self.over = self.work.is_none();
        Reply::Json(json, outcome)
    }

    /// Carries it to its end without a response, and says what is to be said on its stream.
    pub(super) fn carry_on(mut self) {
        self.over = true;
        self.exchange.undriven();
        if let Some(work) = self.work.take() {
            carry_on(Arc::clone(&self.exchange), work);
        }
    }

    async fn next(&mut self, streaming: bool) -> Option<Step> {
        Some(poll_fn(|cx| self.poll_step(streaming, cx)).await)
    }

    fn poll_step(&mut self, streaming: bool, cx: &mut Context<'_>) -> Poll<Step> {
        self.exchange.watch(cx.waker());
        if let Some(work) = &mut self.work
            && let Poll::Ready(outcome) = work.poll_unpin(cx)
        {
            self.work = None;
            self.exchange.end(outcome);
        }
        self.exchange.step(streaming).map_or(Poll::Pending, Poll::Ready)
    }

    /// Parks the exchange and says what its agent must answer first.
    fn put_to_agent(&mut self, question: Question) -> Outcome {
        let shared = Arc::clone(&self.exchange.shared);
        let ticket: Ticket = rand::random();
        let state = digest(&self.exchange.method, self.exchange.params.as_deref()).and_then(|digest| {
            let expires_at = (shared.options.now)() + shared.options.limits.ask_for;
            shared.seal.seal(&RequestState { ticket, expires_at, digest }, self.exchange.who.key)
        });
        // Without a state the agent could not come back; dropping the question tells whoever asked.
        let Some(state) = state else {
            return Err(RpcError::new(error::INTERNAL_ERROR, "the request cannot be continued"));
        };
        let asked = raw(&InputRequired {
            result_type: "input_required",
            input_requests: question.requests.iter().map(|(key, request)| (key.as_str(), request.into())).collect(),
            request_state: state,
        });
        self.exchange.wait_for_agent(ticket);
        shared.parking.park(ticket, Parked { exchange: Arc::clone(&self.exchange), answers: question.answers });
        if let Some(work) = self.work.take() {
            carry_on(Arc::clone(&self.exchange), work);
        }
        self.over = true;
        Ok(asked)
    }
}

/// The result that asks.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InputRequired<'a> {
    result_type: &'static str,
    input_requests: BTreeMap<&'a str, Asked<'a>>,
    request_state: String,
}

/// A request of an upstream, its params as they came.
#[derive(Serialize)]
struct Asked<'a> {
    method: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
}

impl<'a> From<&'a InputRequest> for Asked<'a> {
    fn from(request: &'a InputRequest) -> Self {
        Self { method: &request.method, params: request.params.as_deref() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        self.exchange.let_go();
        if let Some(work) = self.work.take() {
            carry_on(Arc::clone(&self.exchange), work);
        }
    }
}

fn carry_on(exchange: Arc<Exchange>, work: BoxFuture<'static, Outcome>) {
    // Outside a runtime the process is going down.
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(async move {
            let outcome = work.await;
            exchange.end_alone(outcome);
        });
    }
}

/// What a cancelled request is answered with, should anybody still read it.
fn cancelled() -> RpcError {
    RpcError::new(error::REQUEST_CANCELLED, "the request was cancelled")
}

/// The events of one request until its response.
pub(super) struct ReplyStream {
    tail: Tail,
    running: Running,
}

impl Stream for ReplyStream {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let this = &mut *self;
        if !this.running.over
            && let Poll::Ready(step) = this.running.poll_step(true, cx)
        {
            this.close(step);
        }
        Pin::new(&mut this.tail).poll_next(cx)
    }
}

impl ReplyStream {
    fn close(&mut self, step: Step) {
        let Some(stream) = self.running.exchange.stream() else { return };
        match step {
            Step::Done(outcome) => stream.push(&self.running.exchange.response(&outcome)),
            Step::Asked(question) => {
                let outcome = self.running.put_to_agent(question);
                stream.push(&self.running.exchange.response(&outcome));
            }
            // The agent wants no response; the rest is carried on without one.
            Step::Cancelled => {
                if let Some(work) = self.running.work.take() {
                    carry_on(Arc::clone(&self.running.exchange), work);
                }
            }
            Step::Stream => return,
        }
        self.running.over = true;
        stream.finish();
    }
}
