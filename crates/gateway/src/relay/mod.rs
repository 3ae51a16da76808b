//! The answer on its way from provider to agent.
//!
//! A frame goes on the moment it comes; what it consumed is read beside it. However the answer ends, by
//! itself, by an error, because the agent went away or because somebody stopped it, the call is settled
//! exactly once.

mod settlement;
mod tail;
mod way;

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use preloop_dialects::{
    Dialect,
    error::{self, Framing},
    usage::Reading,
};
use preloop_govern::Halt;
use preloop_types::{ModelStatus, NanoUsd};
use tokio::time::{Instant, Sleep, timeout};

pub(crate) use settlement::{Captured, Settlement};
use tail::Tail;
pub(crate) use way::{Translation, Way, stop_word};

use crate::{
    cache::Copy,
    guard::{Stopped, StreamGuard},
};

/// Longest silence within an answer.
const SILENCE_MAX: Duration = Duration::from_mins(1);
/// Longest answer that is not a stream.
const WHOLE_MAX: Duration = Duration::from_mins(10);
/// Bytes of answer that stand for one token at least: an answer with more than this of each token it may have
/// has certainly passed its limit.
const BYTES_OF_A_TOKEN_MAX: u64 = 64;

/// An answer being relayed.
pub(crate) struct Relay {
    upstream: Option<Incoming>,
    way: Option<Way>,
    settlement: Option<Settlement>,
    ready: VecDeque<Bytes>,
    /// How the agent's dialect streams; `None` for one document.
    framing: Option<Framing>,
    tail: Tail,
    agent: Dialect,
    limits: Spending,
    silence: Pin<Box<Sleep>>,
    last: Instant,
    halted: Pin<Box<dyn Future<Output = Halt> + Send>>,
    drain: Duration,
    copy: Option<Copy>,
    guard: Option<Box<StreamGuard>>,
    broken: bool,
}

/// How much of its reservation a stream may use before it is cut.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Spending {
    /// What is set aside, where a hard budget counts dollars.
    pub(crate) reserved: Option<NanoUsd>,
    /// The longest answer, where it is bounded.
    pub(crate) output_tokens: Option<u64>,
}

/// How an answer is relayed.
pub(crate) struct Relaying {
    /// The dialect the agent speaks.
    pub(crate) agent: Dialect,
    /// How it streams; `None` for one document.
    pub(crate) framing: Option<Framing>,
    /// How the answer is passed on.
    pub(crate) way: Way,
    /// How much it may consume.
    pub(crate) limits: Spending,
    /// How long to go on reading when the agent is gone.
    pub(crate) drain: Duration,
    /// Where the answer is kept, if it is.
    pub(crate) copy: Option<Copy>,
    /// What looks the answer through.
    pub(crate) guard: Option<Box<StreamGuard>>,
}

/// The provider broke off an answer that is one document: the agent must not take it for whole.
#[derive(Debug)]
pub(crate) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the provider's answer broke off")
    }
}

impl std::error::Error for BrokenOff {}

/// Why a relay ends before the answer does.
struct Cut {
    status: ModelStatus,
    http: u16,
    code: &'static str,
    message: String,
}

impl Cut {
    fn new(status: ModelStatus, http: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, http, code, message: message.into() }
    }
}

impl Relay {
    /// `first` is what came of the answer already.
    pub(crate) fn new(first: Bytes, upstream: Incoming, relaying: Relaying, settlement: Settlement) -> Self {
        let Relaying { agent, framing, way, limits, drain, copy, guard } = relaying;
        let now = Instant::now();
        let silence = if framing.is_some() { SILENCE_MAX } else { WHOLE_MAX };
        let halted = settlement.permit.halted();
        let mut relay = Self {
            upstream: Some(upstream),
            way: Some(way),
            settlement: Some(settlement),
            ready: VecDeque::new(),
            framing,
            tail: Tail::default(),
            agent,
            limits,
            silence: Box::pin(tokio::time::sleep_until(now + silence)),
            last: now,
            halted: Box::pin(halted),
            drain,
            copy,
            guard,
            broken: false,
        };
        relay.arrived(first);
        relay
    }

    /// What came from the provider.
    fn arrived(&mut self, bytes: Bytes) {
        let Some(way) = &mut self.way else { return };
        let read = way.pass(bytes, &mut self.ready);
        if let Err(stopped) = self.look_through() {
            self.cut(Cut::new(ModelStatus::GuardrailBlocked, 400, "content_blocked", stopped.message));
        } else if let Err(error) = read {
            self.cut(Cut::new(ModelStatus::UpstreamError, 502, "upstream_protocol", error.to_string()));
        } else if self.is_overspent() {
            let why = "the answer used up what its budget had set aside for it";
            self.cut(Cut::new(ModelStatus::BudgetCut, 403, "budget_exceeded", why));
        }
    }

    /// Lets go on what the guardrails let pass.
    fn look_through(&mut self) -> Result<(), Stopped> {
        let Some(guard) = &mut self.guard else { return Ok(()) };
        let mut passed = Vec::new();
        let looked = self.ready.drain(..).try_for_each(|bytes| guard.feed(bytes, &mut passed));
        self.ready.extend(passed);
        looked
    }

    fn is_overspent(&self) -> bool {
        let (Some(reserved), Some(way), Some(settlement)) = (self.limits.reserved, &self.way, &self.settlement) else {
            return false;
        };
        let (tokens, bytes) = way.so_far();
        let cost = tokens.and_then(|tokens| settlement.cost(&tokens));
        let output = self.limits.output_tokens.unwrap_or(u64::MAX).saturating_mul(BYTES_OF_A_TOKEN_MAX);
        cost.is_some_and(|cost| cost > reserved) || bytes > output
    }

    /// The provider closed the answer.
    fn closed(&mut self) {
        let Some(mut way) = self.way.take() else { return };
        way.finish(&mut self.ready);
        if let Err(stopped) = self.look_through().and_then(|()| self.let_go()) {
            self.way = Some(way);
            return self.cut(Cut::new(ModelStatus::GuardrailBlocked, 400, "content_blocked", stopped.message));
        }
        let told = way.tells_its_end();
        let reading = way.reading();
        self.upstream = None;
        if let Some(error) = &reading.error {
            let told = (error.code.clone().unwrap_or_else(|| "upstream_error".to_owned()), error.message.clone());
            return self.settle(ModelStatus::UpstreamError, reading, Some(told));
        }
        if reading.complete {
            return self.settle(ModelStatus::Succeeded, reading, None);
        }
        let why = "the provider's answer ended before it was complete";
        if !told {
            self.tell(502, "upstream_truncated", why);
        }
        self.settle(ModelStatus::Truncated, reading, Some(("upstream_truncated".to_owned(), why.to_owned())));
    }

    /// The answer is over: what the guardrails held back may go.
    fn let_go(&mut self) -> Result<(), Stopped> {
        let Some(guard) = self.guard.take() else { return Ok(()) };
        let mut passed = Vec::new();
        let looked = guard.finish(&mut passed).map(drop);
        self.ready.extend(passed);
        looked
    }

    /// Ends the answer here.
    fn cut(&mut self, cut: Cut) {
        let Some(way) = self.way.take() else { return };
        self.upstream = None;
        self.tell(cut.http, cut.code, &cut.message);
        self.settle(cut.status, way.reading(), Some((cut.code.to_owned(), cut.message)));
    }

    /// Tells the agent in its dialect that the answer is not whole.
    fn tell(&mut self, status: u16, code: &str, message: &str) {
        let Some(framing) = self.framing else {
            self.broken = true;
            return;
        };
        let id = self.settlement.as_ref().map(|settlement| settlement.permit.call().id.to_string()).unwrap_or_default();
        let failure = error::Failure { status, code, message, request_id: &id, param: None, data: None };
        let mut told = error::frame(self.agent, framing, &failure);
        if matches!(framing, Framing::Events) {
            let mut tail = self.tail;
            self.ready.iter().for_each(|bytes| tail.add(bytes));
            told.splice(..0, tail.before_an_event(self.agent).iter().copied());
        }
        self.ready.push_back(told.into());
    }

    fn settle(&mut self, status: ModelStatus, reading: Reading, error: Option<(String, String)>) {
        if status != ModelStatus::Succeeded {
            self.copy = None;
        }
        if let Some(settlement) = self.settlement.take() {
            settlement.settle(status, reading, error);
        }
    }

    /// The next piece for the agent.
    fn next(&mut self) -> Option<Bytes> {
        let bytes = self.ready.pop_front()?;
        if let Some(settlement) = &mut self.settlement {
            settlement.response_bytes += bytes.len() as u64;
        }
        match &mut self.framing {
            Some(Framing::Array { begun }) => *begun = true,
            Some(Framing::Events) => self.tail.add(&bytes),
            None => {}
        }
        if let Some(copy) = &mut self.copy {
            copy.add(&bytes);
        }
        Some(bytes)
    }

    fn poll_ends(&mut self, cx: &mut Context<'_>) {
        if let Poll::Ready(halt) = self.halted.as_mut().poll(cx) {
            return self.cut(Cut::new(ModelStatus::Disconnected, 403, halt.code(), halt.reason()));
        }
        while self.silence.as_mut().poll(cx).is_ready() {
            let most = if self.framing.is_some() { SILENCE_MAX } else { WHOLE_MAX };
            let until = self.last + most;
            if until <= Instant::now() {
                let why = format!("the provider sent nothing more for {}s", most.as_secs());
                return self.cut(Cut::new(ModelStatus::UpstreamTimeout, 504, "upstream_timeout", why));
            }
            self.silence.as_mut().reset(until);
        }
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = self.get_mut();
        loop {
            if let Some(bytes) = this.next() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            let Some(upstream) = &mut this.upstream else {
                if let Some(copy) = this.copy.take() {
                    copy.keep();
                }
                return Poll::Ready(std::mem::take(&mut this.broken).then_some(Err(BrokenOff)));
            };
            match Pin::new(upstream).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.last = Instant::now();
                    if let Ok(bytes) = frame.into_data() {
                        this.arrived(bytes);
                    }
                }
                Poll::Ready(Some(Err(_))) => this.cut(Cut::new(
                    ModelStatus::Truncated,
                    502,
                    "upstream_truncated",
                    "the provider's connection broke before its answer was complete",
                )),
                Poll::Ready(None) => this.closed(),
                Poll::Pending => {
                    this.poll_ends(cx);
                    if this.upstream.is_some() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.upstream.is_none() && self.ready.is_empty() && !self.broken
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

impl Drop for Relay {
    /// The agent went away.
    fn drop(&mut self) {
        let (Some(way), Some(mut settlement)) = (self.way.take(), self.settlement.take()) else { return };
        settlement.http_status = 499;
        let upstream = self.upstream.take().filter(|_| !self.drain.is_zero());
        let (Some(upstream), Ok(runtime)) = (upstream, tokio::runtime::Handle::try_current()) else {
            return abandoned(way, settlement);
        };
        let drain = self.drain;
        runtime.spawn(async move {
            let mut way = way;
            // Whatever is known by then holds.
            let _ = timeout(drain, read_on(upstream, &mut way)).await;
            abandoned(way, settlement);
        });
    }
}

fn abandoned(way: Way, settlement: Settlement) {
    let why = ("client_disconnected".to_owned(), "the agent went away before the answer was whole".to_owned());
    settlement.settle(ModelStatus::Disconnected, way.reading(), Some(why));
}

/// Reads the rest of an answer for what it cost.
async fn read_on(mut upstream: Incoming, way: &mut Way) {
    let mut nobody = VecDeque::new();
    while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut upstream).poll_frame(cx)).await {
        if let Ok(bytes) = frame.into_data() {
            if way.pass(bytes, &mut nobody).is_err() {
                return;
            }
            nobody.clear();
        }
    }
    way.finish(&mut nobody);
}
