//! One running request and what passes between it and its agent, in either era.
//!
//! The handler knows it as a [`Client`]. Towards the agent it is driven by a
//! [`Running`](super::running::Running), which decides how the HTTP response looks; the exchange
//! itself outlives every response: in the legacy era the agent may lose its connection and come
//! back, in the modern era the answer to a question arrives with another request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures::task::AtomicWaker;
use preloop_types::Principal;
use serde_json::value::RawValue;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::{
    asking,
    endpoint::Shared,
    outgoing::{self, Outcome},
    params,
    request_state::Ticket,
    session::{Purpose, Session},
    stream::{EventStream, lock},
};
use crate::protocol::{
    AskError, Client, ClientInfo, Id, InputRequest, InputResponses, LogLevel, Notification, Request, Version,
};
use crate::splice;

/// One running request.
pub(super) struct Exchange {
    pub(super) shared: Arc<Shared>,
    pub(super) who: Arc<Principal>,
    pub(super) method: String,
    pub(super) params: Option<Arc<RawValue>>,
    version: Version,
    info: Arc<ClientInfo>,
    progress_token: Option<Arc<RawValue>>,
    log_level: Option<LogLevel>,
    param_headers: Vec<(String, String)>,
    run: Option<Arc<str>>,
    cancelled: CancellationToken,
    pub(super) leg: Leg,
    state: Mutex<State>,
    /// Wakes whoever drives the response.
    driver: AtomicWaker,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange").field("method", &self.method).field("version", &self.version).finish_non_exhaustive()
    }
}

/// The way to the agent.
pub(super) enum Leg {
    /// Streams outlive connections, and we may send requests.
    Legacy { session: Option<Arc<Session>>, outlet: Outlet },
    /// A stream is its connection, and a question ends the response.
    Modern {
        /// Whether the agent accepts a stream.
        streams: bool,
        /// Held while a question is out: one at a time.
        asking: tokio::sync::Mutex<()>,
    },
}

/// Where a legacy request may stream to.
pub(super) enum Outlet {
    /// Nowhere: the agent accepts plain JSON only.
    Nowhere,
    /// To a stream of its own, opened when there is something to say.
    Own,
    /// To the one stream of the whole connection (HTTP+SSE).
    Shared(Arc<EventStream>),
}

#[derive(Default)]
struct State {
    /// The id to answer; another one after a modern request came back.
    id: Option<Id>,
    /// The progress token of the request that is answered now.
    progress_token: Option<Arc<RawValue>>,
    stream: Option<Arc<EventStream>>,
    outcome: Option<Outcome>,
    question: Option<Question>,
    /// What the agent must show to take the request up again.
    ticket: Option<Ticket>,
    /// Whether a response is being driven.
    driven: bool,
    /// Whether the work is done: what is said now comes too late to open a stream.
    ended: bool,
}

/// What the agent must answer before a modern request goes on.
pub(super) struct Question {
    pub(super) requests: BTreeMap<String, InputRequest>,
    pub(super) answers: oneshot::Sender<InputResponses>,
}

/// Why whoever drives the response must act.
pub(super) enum Step {
    /// Something was streamed.
    Stream,
    /// The request ended.
    Done(Outcome),
    /// The agent is asked something.
    Asked(Question),
    /// The agent gave the request up.
    Cancelled,
}

/// What a new exchange is made of.
pub(super) struct Opening {
    pub(super) who: Arc<Principal>,
    pub(super) version: Version,
    pub(super) info: Arc<ClientInfo>,
    pub(super) progress_token: Option<Arc<RawValue>>,
    pub(super) log_level: Option<LogLevel>,
    pub(super) param_headers: Vec<(String, String)>,
    /// What the agent calls its run.
    pub(super) run: Option<Arc<str>>,
    pub(super) leg: Leg,
}

impl Exchange {
    pub(super) fn open(shared: &Arc<Shared>, request: &Request, opening: Opening) -> Arc<Self> {
        let state = State {
            id: Some(request.id.clone()),
            progress_token: opening.progress_token.clone(),
            driven: true,
            ..State::default()
        };
        Arc::new(Self {
            shared: Arc::clone(shared),
            who: opening.who,
            method: request.method.clone(),
            params: request.params.clone(),
            version: opening.version,
            info: opening.info,
            progress_token: opening.progress_token,
            log_level: opening.log_level,
            param_headers: opening.param_headers,
            run: opening.run,
            cancelled: CancellationToken::new(),
            leg: opening.leg,
            state: Mutex::new(state),
            driver: AtomicWaker::new(),
        })
    }

    pub(super) fn session(&self) -> Option<&Arc<Session>> {
        match &self.leg {
            Leg::Legacy { session, .. } => session.as_ref(),
            Leg::Modern { .. } => None,
        }
    }

    // === the side of whoever drives the response ===

    /// Whether its answer may become a stream.
    pub(super) fn may_stream(&self) -> bool {
        match &self.leg {
            Leg::Legacy { outlet, .. } => matches!(outlet, Outlet::Own),
            Leg::Modern { streams, .. } => *streams,
        }
    }

    /// Notes who to wake when something happens.
    pub(super) fn watch(&self, waker: &std::task::Waker) {
        self.driver.register(waker);
    }

    /// What happened, most urgent first; `streaming` when a stream is already being sent.
    pub(super) fn step(&self, streaming: bool) -> Option<Step> {
        let mut state = lock(&self.state);
        if !streaming && state.stream.is_some() {
            return Some(Step::Stream);
        }
        // A request that was given up gets no response, even if it has one.
        if self.is_legacy() && self.cancelled.is_cancelled() {
            return Some(Step::Cancelled);
        }
        if let Some(outcome) = state.outcome.take() {
            return Some(Step::Done(outcome));
        }
        state.question.take().map(Step::Asked)
    }

    /// The request ended.
    pub(super) fn end(&self, outcome: Outcome) {
        if let Some(session) = self.session()
            && let Some(id) = &lock(&self.state).id
        {
            session.ended(id, self);
        }
        let mut state = lock(&self.state);
        state.ended = true;
        state.outcome = Some(outcome);
        drop(state);
        self.driver.wake();
    }

    /// The request ended while nobody drove a response.
    pub(super) fn end_alone(&self, outcome: Outcome) {
        self.end(outcome);
        self.say_outcome_alone();
    }

    /// Says an outcome nobody is there to collect on a stream the agent may come back to.
    fn say_outcome_alone(&self) {
        let mut state = lock(&self.state);
        if state.driven {
            return;
        }
        let (stream, shared) = match &self.leg {
            Leg::Legacy { outlet: Outlet::Shared(stream), .. } => (Some(Arc::clone(stream)), true),
            _ => (state.stream.clone(), false),
        };
        let Some(stream) = stream else { return };
        let Some(outcome) = state.outcome.take() else { return };
        drop(state);
        stream.push(&self.response(&outcome));
        if !shared {
            stream.finish();
        }
    }

    /// The response message for `outcome`.
    pub(super) fn response(&self, outcome: &Outcome) -> String {
        let id = lock(&self.state).id.clone().unwrap_or_else(|| Id::number(0));
        outgoing::response(&id, outcome, self.version, &self.method, &self.shared.server_info)
    }

    /// Nobody drives a response any more. In the modern era that gives the request up.
    pub(super) fn let_go(&self) {
        self.undriven();
        if !self.is_legacy() {
            self.cancel();
        }
    }

    /// Nobody drives a response, and nobody will.
    pub(super) fn undriven(&self) {
        lock(&self.state).driven = false;
        self.say_outcome_alone();
    }

    /// The agent answers: what was asked is over, and its new request takes the place of the old.
    pub(super) fn taken_up_by(&self, id: Id, progress_token: Option<Arc<RawValue>>) {
        let mut state = lock(&self.state);
        state.id = Some(id);
        state.progress_token = progress_token;
        state.driven = true;
    }

    /// The response ends with a question; the exchange waits for its agent.
    pub(super) fn wait_for_agent(&self, ticket: Ticket) {
        let mut state = lock(&self.state);
        state.ticket = Some(ticket);
        state.driven = false;
        state.stream = None;
    }

    // === the side of the session ===

    /// The agent gave the request up.
    pub(super) fn cancel(&self) {
        self.cancelled.cancel();
        self.driver.wake();
    }

    // === the side of whoever asks ===

    /// Whether the agent would read what is said on the stream of this request.
    pub(super) fn has_reader(&self) -> bool {
        let state = lock(&self.state);
        state.driven || state.stream.as_ref().is_some_and(|stream| stream.is_attached())
    }

    /// Poses a question to the agent of a modern request.
    pub(super) fn pose(&self, question: Question) {
        lock(&self.state).question = Some(question);
        self.driver.wake();
    }

    /// Withdraws it: an answer is no longer waited for.
    pub(super) fn unpose(&self) {
        let mut state = lock(&self.state);
        state.question = None;
        if let Some(ticket) = state.ticket.take() {
            self.shared.parking.take(&ticket);
        }
    }

    /// Lets whoever drives the response look again.
    pub(super) fn nudge(&self) {
        self.driver.wake();
    }

    pub(super) fn is_legacy(&self) -> bool {
        matches!(self.leg, Leg::Legacy { .. })
    }

    /// Says something on the stream of this request. Lost where there is none.
    pub(super) fn say(&self, message: &str) {
        if let Some(stream) = self.stream() {
            stream.push(message);
            self.driver.wake();
        }
    }

    /// The stream of this request, opened if need be.
    pub(super) fn stream(&self) -> Option<Arc<EventStream>> {
        let limits = &self.shared.options.limits;
        let open = || match &self.leg {
            Leg::Legacy { outlet: Outlet::Shared(stream), .. } => Some(Arc::clone(stream)),
            Leg::Legacy { outlet: Outlet::Own, session: Some(session) } => {
                Some(session.open_stream(Purpose::Reply, limits))
            }
            Leg::Legacy { outlet: Outlet::Own, session: None } | Leg::Modern { streams: true, .. } => {
                Some(Arc::new(EventStream::new(None, limits)))
            }
            Leg::Legacy { outlet: Outlet::Nowhere, .. } | Leg::Modern { streams: false, .. } => None,
        };
        let mut state = lock(&self.state);
        if state.stream.is_none() && !state.ended {
            state.stream = open();
        }
        state.stream.clone()
    }

    /// The params of a progress notification, under the token that is valid now: the agent may
    /// have taken the request up again under another one. `None` when it no longer wants any.
    fn progress(&self, params: Option<Arc<RawValue>>) -> Option<Arc<RawValue>> {
        let now = lock(&self.state).progress_token.clone()?;
        let same = self.progress_token.as_ref().is_some_and(|token| token.get() == now.get());
        match params {
            Some(params) if !same => {
                RawValue::from_string(splice::set(params.get(), "progressToken", now.get())).ok().map(Arc::from)
            }
            params => params,
        }
    }

    /// Whether the agent wants to see this log message.
    fn wants_log(&self, params: Option<&RawValue>) -> bool {
        let least = self.log_level();
        let Some(least) = least else { return self.is_legacy() };
        let level = params.and_then(|params| splice::get(params.get(), "level"));
        let level = level.and_then(|level| LogLevel::parse(level.trim_matches('"')));
        level.is_none_or(|level| level >= least)
    }
}

#[async_trait]
impl Client for Exchange {
    fn version(&self) -> Version {
        self.version
    }

    fn info(&self) -> &ClientInfo {
        &self.info
    }

    fn progress_token(&self) -> Option<&RawValue> {
        self.progress_token.as_deref()
    }

    fn log_level(&self) -> Option<LogLevel> {
        self.session().and_then(|session| session.log_level()).or(self.log_level)
    }

    fn conversation(&self) -> Option<&str> {
        self.session().map(|session| session.id.as_str())
    }

    fn run(&self) -> Option<&str> {
        self.run.as_deref()
    }

    fn param_headers(&self) -> &[(String, String)] {
        &self.param_headers
    }

    fn cancelled(&self) -> CancellationToken {
        self.cancelled.clone()
    }

    fn notify(&self, method: &str, params: Option<Arc<RawValue>>) {
        if self.cancelled.is_cancelled() {
            return;
        }
        let params = match method {
            "notifications/message" if !self.wants_log(params.as_deref()) => return,
            "notifications/progress" => match self.progress(params) {
                None => return,
                params => params,
            },
            _ => params,
        };
        self.say(&Notification { method: method.to_owned(), params }.to_json());
    }

    async fn ask(&self, requests: BTreeMap<String, InputRequest>) -> Result<InputResponses, AskError> {
        asking::ask(self, requests).await
    }
}

/// The token a request wants progress reported under.
pub(super) fn progress_token(params: &params::Params<'_>) -> Option<Arc<RawValue>> {
    params.meta()?.progress_token.map(|token| Arc::from(token.to_owned()))
}
