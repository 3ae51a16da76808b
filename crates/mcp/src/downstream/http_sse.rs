//! HTTP+SSE, the transport of 2024-11-05: one stream for everything the server says, and a second
//! URL for everything the client says. Deprecated; served for clients that know nothing newer.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::Body,
    extract::{Query, State},
    response::Response,
};
use bytes::Bytes;
use futures::Stream;
use http::{Method, StatusCode};
use serde::Deserialize;

use super::{
    endpoint::{Arrival, Shared, read},
    exchange::Outlet,
    handler::EndpointScope,
    legacy::{Begun, Talk, greet},
    params::Params,
    replies,
    session::{Purpose, Session},
    stream::{self, EventStream, Tail},
};
use crate::protocol::{Envelope, Message, Version};

/// Where the stream is opened.
pub(super) const STREAM: &str = "/mcp/v1/sse";
/// Where messages are sent.
pub(super) const MESSAGES: &str = "/mcp/v1/messages";

/// Opens the stream. The session lasts as long as it does.
pub(super) async fn stream(State(shared): State<Arc<Shared>>, request: http::Request<Body>) -> Response {
    let (parts, _) = request.into_parts();
    if parts.method != Method::GET {
        return replies::method_not_allowed("GET");
    }
    let arrival = match Arrival::admit(shared, EndpointScope::All, parts).await {
        Ok(arrival) => arrival,
        Err(refusal) => return refusal,
    };
    if let Err(refusal) = arrival.accept.events() {
        return refusal.into();
    }
    let session = arrival.shared.sessions.open_passing(&arrival.who);
    let channel = session.open_stream(Purpose::Listen, &arrival.shared.options.limits);
    channel.push_event("endpoint", &format!("{MESSAGES}?sessionId={}", session.id));
    session.forward_changes(&arrival.shared.handler, &arrival.who, &arrival.scope);
    let ended = session.ended.clone();
    let connection = Connection { tail: channel.tail(0), session, shared: Arc::clone(&arrival.shared) };
    replies::events(stream::body(connection, &arrival.shared.options.limits, &ended, None))
}

struct Connection {
    tail: Tail,
    session: Arc<Session>,
    shared: Arc<Shared>,
}

impl Stream for Connection {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        Pin::new(&mut self.tail).poll_next(cx)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.sessions.end(&self.session);
    }
}

#[derive(Deserialize)]
pub(super) struct To {
    #[serde(rename = "sessionId", default)]
    session: String,
}

/// Takes one message; what it brings about is said on the stream.
pub(super) async fn message(
    State(shared): State<Arc<Shared>>,
    Query(to): Query<To>,
    request: http::Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    if parts.method != Method::POST {
        return replies::method_not_allowed("POST");
    }
    let arrival = match Arrival::admit(shared, EndpointScope::All, parts).await {
        Ok(arrival) => arrival,
        Err(refusal) => return refusal,
    };
    take(&arrival, &to.session, body).await.unwrap_or_else(|refused| refused)
}

async fn take(arrival: &Arrival, session: &str, body: Body) -> Result<Response, Response> {
    let body = read(arrival, body).await?;
    let session = arrival.session(session).await?;
    let channel = session.listener().ok_or_else(replies::no_session)?;
    let message = match Envelope::parse(&body) {
        Ok(message) => message,
        Err(error) => return Ok(replies::rpc_error(StatusCode::BAD_REQUEST, None, error)),
    };
    let hello = session.hello();
    let talk = Talk {
        shared: Arc::clone(&arrival.shared),
        subscriber: arrival.subscriber(),
        version: hello.map_or(Version::V2024_11_05, |hello| hello.version),
        info: hello.map(|hello| Arc::clone(&hello.info)).unwrap_or_default(),
        session: Some(Arc::clone(&session)),
        run: arrival.run(),
    };
    match message {
        Message::Notification(notification) => talk.notified(notification),
        Message::Response(response) => session.answered(response),
        Message::Request(request) => {
            if let Some(scope) = arrival.lacks(&request.method) {
                return Ok(arrival.refuse(scope, Some(request.id)));
            }
            let params = request.params.clone();
            if request.method == "initialize" {
                let (outcome, hello) = greet(&arrival.shared, &talk.subscriber, params.as_deref()).await;
                if let Some(hello) = hello {
                    session.greet(hello);
                }
                channel.push(&talk.response(&request.id, &request.method, &outcome));
            } else {
                say(&channel, &talk, request, Params::of(params.as_deref())).await;
            }
        }
    }
    Ok(replies::empty(StatusCode::ACCEPTED))
}

async fn say(
    channel: &Arc<EventStream>,
    talk: &Talk,
    request: crate::protocol::Request,
    params: Result<Params<'_>, crate::protocol::RpcError>,
) {
    match talk.begin(request, params, Outlet::Shared(Arc::clone(channel))).await {
        Begun::Answered(id, method, outcome) => channel.push(&talk.response(&id, &method, &outcome)),
        Begun::Running(running) => running.carry_on(),
    }
}
