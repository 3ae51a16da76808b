//! The legacy era over streamable HTTP: a handshake, sessions, streams that can be resumed.

use std::sync::Arc;

use axum::response::Response;
use futures::future::join_all;
use http::{HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    endpoint::{Arrival, Shared},
    exchange::{Exchange, Leg, Opening, Outlet, progress_token},
    guard::Refusal,
    handler::EndpointScope,
    outgoing::{self, Outcome, raw},
    params::Params,
    replies,
    running::{Reply, Running},
    session::{Hello, Purpose, Resume, Session, Subscriber},
    stream,
};
use crate::protocol::{
    ClientInfo, Envelope, Era, Id, LogLevel, Message, Notification, Request, RpcError, Version, error, headers,
};

/// What a request is answered in: the session it names, or none.
#[derive(Clone)]
pub(super) struct Talk {
    pub(super) shared: Arc<Shared>,
    pub(super) subscriber: Subscriber,
    pub(super) session: Option<Arc<Session>>,
    pub(super) version: Version,
    pub(super) info: Arc<ClientInfo>,
    /// What the agent calls its run.
    pub(super) run: Option<Arc<str>>,
}

impl Talk {
    async fn of(arrival: &Arrival) -> Result<Self, Response> {
        let session = match arrival.header(headers::SESSION_ID)? {
            Some(id) => Some(arrival.session(id).await?),
            None => None,
        };
        // A client that names neither a session nor a revision is taken for one of 2025-03-26.
        let stated = arrival.header(headers::PROTOCOL_VERSION)?.and_then(Version::parse);
        let hello = session.as_ref().and_then(|session| session.hello());
        let version = hello.map(|hello| hello.version).or(stated).unwrap_or(Version::V2025_03_26);
        let info = hello.map(|hello| Arc::clone(&hello.info)).unwrap_or_default();
        Ok(Self {
            shared: Arc::clone(&arrival.shared),
            subscriber: arrival.subscriber(),
            session,
            version,
            info,
            run: arrival.run(),
        })
    }
}

/// A request under way.
pub(super) enum Begun {
    /// Answered here.
    Answered(Id, String, Outcome),
    /// With the handler.
    Running(Running),
}

// === POST ===

pub(super) async fn post(
    arrival: Arrival,
    message: Message,
    params: Result<Params<'_>, RpcError>,
) -> Result<Response, Response> {
    if let Message::Request(request) = &message
        && request.method == "initialize"
    {
        return Ok(initialize(&arrival, request).await);
    }
    let talk = Talk::of(&arrival).await?;
    let request = match message {
        Message::Request(request) => request,
        Message::Notification(notification) => {
            talk.notified(notification);
            return Ok(replies::empty(StatusCode::ACCEPTED));
        }
        Message::Response(response) => {
            if let Some(session) = &talk.session {
                session.answered(response);
            }
            return Ok(replies::empty(StatusCode::ACCEPTED));
        }
    };
    if let Some(scope) = arrival.lacks(&request.method) {
        return Ok(arrival.refuse(scope, Some(request.id)));
    }
    let outlet = if arrival.accept.events { Outlet::Own } else { Outlet::Nowhere };
    let running = match talk.begin(request, params, outlet).await {
        Begun::Running(running) => running,
        Begun::Answered(id, method, outcome) => {
            let text = talk.response(&id, &method, &outcome);
            return Ok(answer(&arrival, text));
        }
    };
    Ok(match running.reply(!arrival.accept.json).await {
        Reply::Json(text, _) => replies::json(StatusCode::OK, text),
        Reply::Stream(events) => {
            let options = &arrival.shared.options;
            replies::events(stream::body(events, &options.limits, &options.shutdown, None))
        }
    })
}

/// One message, in the form the client can read.
fn answer(arrival: &Arrival, text: String) -> Response {
    if arrival.accept.json {
        replies::json(StatusCode::OK, text)
    } else {
        replies::events(stream::frame("", "message", &text).into())
    }
}

async fn initialize(arrival: &Arrival, request: &Request) -> Response {
    let (outcome, hello) = greet(&arrival.shared, &arrival.subscriber(), request.params.as_deref()).await;
    let version = hello.as_ref().map_or(Version::NEWEST_LEGACY, |hello| hello.version);
    let text = outgoing::response(&request.id, &outcome, version, "initialize", &arrival.shared.server_info);
    let mut response = answer(arrival, text);
    if let Some(hello) = hello {
        let session = arrival.shared.sessions.open(&arrival.who, hello).await;
        if let Ok(id) = HeaderValue::from_str(&session.id) {
            response.headers_mut().insert(headers::SESSION_ID, id);
        }
    }
    response
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialize {
    protocol_version: String,
    #[serde(default)]
    capabilities: Map<String, Value>,
    #[serde(default)]
    client_info: Implementation,
}

#[derive(Default, Deserialize)]
struct Implementation {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
}

/// Answers `initialize`; on success also what was settled.
pub(super) async fn greet(
    shared: &Shared,
    subscriber: &Subscriber,
    params: Option<&RawValue>,
) -> (Outcome, Option<Hello>) {
    let read = params.map_or(Err("`params` is missing".to_owned()), |params| {
        serde_json::from_str::<Initialize>(params.get()).map_err(|error| error.to_string())
    });
    let asked = match read {
        Ok(asked) => asked,
        Err(what) => return (Err(RpcError::new(error::INVALID_PARAMS, format!("cannot initialize: {what}"))), None),
    };
    // A revision we do not know, or one without a handshake, gets the newest that has one.
    let version = Version::parse(&asked.protocol_version)
        .filter(|version| version.era() == Era::Legacy)
        .unwrap_or(Version::NEWEST_LEGACY);
    let offer = match shared.handler.capabilities(&subscriber.who, &subscriber.scope, version).await {
        Ok(offer) => offer,
        Err(error) => return (Err(error), None),
    };
    let mut result = json!({
        "protocolVersion": version.as_str(),
        "capabilities": offer.capabilities,
        "serverInfo": shared.options.server_info.to_json(),
    });
    if let Some(instructions) = offer.instructions {
        result["instructions"] = instructions.into();
    }
    let Implementation { name, version: client_version } = asked.client_info;
    let info = Arc::new(ClientInfo { name, version: client_version, capabilities: asked.capabilities });
    (Ok(raw(&result)), Some(Hello { version, info }))
}

impl Talk {
    /// The response message of a request answered here.
    pub(super) fn response(&self, id: &Id, method: &str, outcome: &Outcome) -> String {
        outgoing::response(id, outcome, self.version, method, &self.shared.server_info)
    }

    pub(super) fn notified(&self, notification: Notification) {
        match notification.method.as_str() {
            "notifications/initialized" => {}
            "notifications/cancelled" => {
                let params = Params::of(notification.params.as_deref()).unwrap_or_default();
                if let (Some(session), Some(id)) = (&self.session, params.request_id) {
                    session.cancel(id);
                }
            }
            _ => self.shared.handler.notified(&self.subscriber.who, &self.subscriber.scope, notification),
        }
    }

    /// Begins a request, or answers it if it is the endpoint's to answer.
    pub(super) async fn begin(&self, request: Request, params: Result<Params<'_>, RpcError>, outlet: Outlet) -> Begun {
        let params = match params {
            Ok(params) => params,
            Err(error) => return Begun::Answered(request.id, request.method, Err(error)),
        };
        let answer = match request.method.as_str() {
            "ping" => Some(Ok(raw(&json!({})))),
            "logging/setLevel" => Some(self.set_log_level(&params)),
            // Dual-era clients probe for the modern era with `server/discover` and its headers; one
            // that comes without them is told what any legacy server would say.
            "initialize" | "server/discover" | "subscriptions/listen" => Some(Err(RpcError::new(
                error::METHOD_NOT_FOUND,
                format!("method `{}` does not exist here", request.method),
            ))),
            "resources/subscribe" => self.subscribe(&params).await,
            "resources/unsubscribe" => self.unsubscribe(&params),
            _ => None,
        };
        if let Some(outcome) = answer {
            return Begun::Answered(request.id, request.method, outcome);
        }
        let exchange = Exchange::open(
            &self.shared,
            &request,
            Opening {
                who: Arc::clone(&self.subscriber.who),
                version: self.version,
                info: Arc::clone(&self.info),
                progress_token: progress_token(&params),
                log_level: None,
                param_headers: Vec::new(),
                run: self.run.clone(),
                leg: Leg::Legacy { session: self.session.clone(), outlet },
            },
        );
        if let Some(session) = &self.session {
            session.begun(request.id.clone(), &exchange);
        }
        let (handler, subscriber) = (Arc::clone(&self.shared.handler), self.subscriber.clone());
        let client = Arc::clone(&exchange);
        Begun::Running(Running::start(exchange, async move {
            handler.handle(&subscriber.who, &subscriber.scope, request, client).await
        }))
    }

    fn set_log_level(&self, params: &Params<'_>) -> Outcome {
        let level = params.level().unwrap_or_default();
        let Some(level) = LogLevel::parse(&level) else {
            let names: Vec<_> = LogLevel::ALL.iter().map(|level| level.as_str()).collect();
            let what = format!("`{}` is not a log level; use one of {}", level.escape_debug(), names.join(", "));
            return Err(RpcError::new(error::INVALID_PARAMS, what));
        };
        if let Some(session) = &self.session {
            session.set_log_level(level);
        }
        Ok(raw(&json!({})))
    }

    /// Watches a resource for the session. `None` hands the request to the handler as it is.
    async fn subscribe(&self, params: &Params<'_>) -> Option<Outcome> {
        let (session, uri) = (self.session.as_ref()?, params.uri()?);
        if session.is_subscribed(&uri) {
            return Some(Ok(raw(&json!({}))));
        }
        if session.subscriptions() >= self.shared.options.limits.subscriptions {
            return Some(Err(RpcError::new(error::INVALID_PARAMS, "too many resources are subscribed to")));
        }
        let outcome = self.subscriber.subscribe(&self.shared.handler, &uri).await;
        if outcome.is_ok() {
            session.subscribe(uri.into_owned(), self.subscriber.clone());
        }
        Some(outcome)
    }

    fn unsubscribe(&self, params: &Params<'_>) -> Option<Outcome> {
        let (session, uri) = (self.session.as_ref()?, params.uri()?);
        if let Some(subscriber) = session.unsubscribe(&uri) {
            subscriber.unsubscribe(&self.shared.handler, uri.into_owned());
        }
        Some(Ok(raw(&json!({}))))
    }
}

// === batches (2025-03-26 only) ===

pub(super) async fn batch(arrival: Arrival, body: &[u8]) -> Result<Response, Response> {
    let refuse =
        |what: &str| replies::rpc_error(StatusCode::BAD_REQUEST, None, RpcError::new(error::INVALID_REQUEST, what));
    let messages: Vec<&RawValue> = match serde_json::from_slice(body) {
        Ok(messages) => messages,
        Err(error) => {
            let error = RpcError::new(error::PARSE_ERROR, format!("not JSON: {error}"));
            return Ok(replies::rpc_error(StatusCode::BAD_REQUEST, None, error));
        }
    };
    let talk = Talk::of(&arrival).await?;
    let stated = arrival.header(headers::PROTOCOL_VERSION)?;
    if talk.version != Version::V2025_03_26 || stated.is_some_and(|stated| stated != talk.version.as_str()) {
        return Ok(refuse("batches exist in revision 2025-03-26 only; send one message at a time"));
    }
    if messages.is_empty() || messages.len() > talk.shared.options.limits.batch_messages {
        let most = talk.shared.options.limits.batch_messages;
        return Ok(refuse(&format!("a batch holds between 1 and {most} messages")));
    }
    let parsed: Vec<_> = messages.iter().map(|message| Envelope::parse(message.get().as_bytes())).collect();
    let lacking = parsed.iter().find_map(|message| match message {
        Ok(Message::Request(request)) => arrival.lacks(&request.method),
        _ => None,
    });
    if let Some(scope) = lacking {
        return Ok(arrival.refuse(scope, None));
    }
    let responses = join_all(parsed.into_iter().map(|message| one_of_many(&talk, message))).await;
    let responses: Vec<_> = responses.into_iter().flatten().collect();
    if responses.is_empty() {
        return Ok(replies::empty(StatusCode::ACCEPTED));
    }
    Ok(answer(&arrival, format!("[{}]", responses.join(","))))
}

async fn one_of_many(talk: &Talk, message: Result<Message, RpcError>) -> Option<String> {
    match message {
        Err(error) => Some(crate::protocol::Response { id: None, result: Err(error) }.to_json()),
        Ok(Message::Notification(notification)) => {
            talk.notified(notification);
            None
        }
        Ok(Message::Response(response)) => {
            if let Some(session) = &talk.session {
                session.answered(response);
            }
            None
        }
        Ok(Message::Request(request)) => {
            let params = request.params.clone();
            let params = Params::of(params.as_deref());
            match talk.begin(request, params, Outlet::Nowhere).await {
                Begun::Answered(id, method, outcome) => Some(talk.response(&id, &method, &outcome)),
                Begun::Running(running) => match running.reply(false).await {
                    Reply::Json(text, _) => Some(text),
                    Reply::Stream(_) => None,
                },
            }
        }
    }
}

// === GET and DELETE ===

/// Opens a stream for what the server has to say, or goes on with one that broke off.
pub(super) async fn listen(arrival: Arrival) -> Result<Response, Response> {
    let session = session_of(&arrival).await?;
    arrival.accept.events()?;
    let options = &arrival.shared.options;
    let anew = || session.open_stream(Purpose::Listen, &options.limits).tail(0);
    let tail = match arrival.header(headers::LAST_EVENT_ID)? {
        None => anew(),
        Some(event) => match session.resume(event) {
            Resume::At(stream, from) => stream.tail(from),
            Resume::Anew => anew(),
            Resume::Lost => {
                let what = "the stream of this event is gone; send its request again".to_owned();
                return Err(Refusal(StatusCode::BAD_REQUEST, what).into());
            }
        },
    };
    session.forward_changes(&arrival.shared.handler, &arrival.who, &arrival.scope);
    Ok(replies::events(stream::body(tail, &options.limits, &session.ended, None)))
}

pub(super) async fn delete(arrival: Arrival) -> Result<Response, Response> {
    let session = session_of(&arrival).await?;
    arrival.shared.sessions.end(&session);
    Ok(replies::empty(StatusCode::OK))
}

/// The session a GET or DELETE is about. Without one, or in the modern era, there are no such
/// requests.
async fn session_of(arrival: &Arrival) -> Result<Arc<Session>, Response> {
    let not_here = || replies::method_not_allowed("POST, OPTIONS");
    if let Some(version) = arrival.header(headers::PROTOCOL_VERSION)? {
        match Version::parse(version).map(Version::era) {
            Some(Era::Legacy) => {}
            Some(Era::Modern) => return Err(not_here()),
            None => {
                let what = format!("protocol version `{}` is not supported", version.escape_debug());
                return Err(Refusal(StatusCode::BAD_REQUEST, what).into());
            }
        }
    }
    let id = arrival.header(headers::SESSION_ID)?.ok_or_else(not_here)?;
    arrival.session(id).await
}

impl Arrival {
    /// The session of this id, if it is this client's.
    pub(super) async fn session(&self, id: &str) -> Result<Arc<Session>, Response> {
        match self.shared.sessions.find(id, &self.who).await {
            Ok(session) => session.ok_or_else(replies::no_session),
            Err(error) => {
                tracing::error!(%error, "a session cannot be looked up");
                Err(replies::unavailable("sessions cannot be looked up now; try again".to_owned()))
            }
        }
    }

    pub(super) fn subscriber(&self) -> Subscriber {
        let scope: &EndpointScope = &self.scope;
        Subscriber { who: Arc::clone(&self.who), scope: scope.clone() }
    }
}
