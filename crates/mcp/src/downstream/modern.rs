//! The modern era: every request stands alone, says who makes it, and is checked against its
//! headers.

use std::sync::Arc;

use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json, value::RawValue};

use super::{
    endpoint::{Arrival, Shared, mismatch, supported},
    exchange::{Exchange, Leg, Opening, progress_token},
    listen,
    outgoing::{self, Outcome, raw},
    params::{Params, text},
    replies,
    request_state::digest,
    running::{Reply, Running},
    stream,
};
use crate::protocol::{
    ClientInfo, Id, InputResponses, LogLevel, Message, Request, RpcError, Version, error, headers, meta::RequestMeta,
};

const VERSION: Version = Version::V2026_07_28;

pub(super) async fn post(arrival: Arrival, message: Message, params: Result<Params<'_>, RpcError>) -> Response {
    let request = match message {
        Message::Request(request) => request,
        // The core protocol has none over HTTP; one of an extension is for the handler.
        Message::Notification(notification) => {
            arrival.shared.handler.notified(&arrival.who, &arrival.scope, notification);
            return replies::empty(StatusCode::ACCEPTED);
        }
        Message::Response(_) => {
            let what = "responses are not accepted; repeat the request with `inputResponses`";
            return bad(None, RpcError::new(error::INVALID_REQUEST, what));
        }
    };
    let checked = params.and_then(|params| check(&arrival, &request, &params).map(|info| (params, info)));
    let (params, info) = match checked {
        Ok(checked) => checked,
        Err(error) => return bad(Some(request.id), error),
    };
    if let Some(scope) = arrival.lacks(&request.method) {
        return arrival.refuse(scope, Some(request.id));
    }
    match request.method.as_str() {
        "server/discover" => {
            let outcome = discover(&arrival).await;
            answered(&arrival.shared, &request, &outcome)
        }
        "subscriptions/listen" => match listen::open(&arrival, &request).await {
            Ok(response) => response,
            Err(error) => answered(&arrival.shared, &request, &Err(error)),
        },
        // Methods of the legacy era, which the handler may know.
        "initialize" | "ping" | "logging/setLevel" | "resources/subscribe" | "resources/unsubscribe" => {
            let what = format!("method `{}` does not exist in revision {}", request.method, VERSION.as_str());
            answered(&arrival.shared, &request, &Err(RpcError::new(error::METHOD_NOT_FOUND, what)))
        }
        _ => match run(&arrival, &request, &params, info) {
            Ok(running) => reply(&arrival, running).await,
            Err(error) => answered(&arrival.shared, &request, &Err(error)),
        },
    }
}

/// A request that cannot be served whoever makes it.
fn bad(id: Option<Id>, error: RpcError) -> Response {
    replies::rpc_error(StatusCode::BAD_REQUEST, id, error)
}

fn answered(shared: &Shared, request: &Request, outcome: &Outcome) -> Response {
    let text = outgoing::response(&request.id, outcome, VERSION, &request.method, &shared.server_info);
    replies::json(status(outcome), text)
}

async fn reply(arrival: &Arrival, running: Running) -> Response {
    match running.reply(!arrival.accept.json).await {
        Reply::Json(text, outcome) => replies::json(status(&outcome), text),
        Reply::Stream(events) => {
            let options = &arrival.shared.options;
            replies::events(stream::body(events, &options.limits, &options.shutdown, None))
        }
    }
}

/// The HTTP status that goes with an outcome.
fn status(outcome: &Outcome) -> StatusCode {
    match outcome {
        Err(RpcError { code: error::METHOD_NOT_FOUND, .. }) => StatusCode::NOT_FOUND,
        Err(RpcError {
            code: error::HEADER_MISMATCH | error::MISSING_CLIENT_CAPABILITY | error::UNSUPPORTED_VERSION,
            ..
        }) => StatusCode::BAD_REQUEST,
        _ => StatusCode::OK,
    }
}

// === checks ===

/// Checks a request against its headers and reads who makes it.
fn check(arrival: &Arrival, request: &Request, params: &Params<'_>) -> Result<Arc<ClientInfo>, RpcError> {
    let Some(meta) = params.meta() else { return Err(missing("_meta")) };
    if meta.protocol_version.is_none() {
        return Err(missing(crate::protocol::meta::PROTOCOL_VERSION));
    }
    let info = client_info(meta)?;
    mirrored(arrival, headers::METHOD, Some(&request.method))?;
    if let Some(member) = headers::mirrored_member(&request.method) {
        mirrored(arrival, headers::NAME, params.mirrored(member).as_deref())?;
    }
    Ok(info)
}

fn missing(what: &str) -> RpcError {
    RpcError::new(error::INVALID_PARAMS, format!("the request lacks `{what}`"))
}

/// Compares a header with the member of the body it repeats.
fn mirrored(arrival: &Arrival, name: &str, body: Option<&str>) -> Result<(), RpcError> {
    let mut values = arrival.headers().get_all(name).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value,
        (None, _) => return Err(mismatch(&format!("the header `{name}` is missing"))),
        (Some(_), Some(_)) => return Err(mismatch(&format!("the header `{name}` occurs more than once"))),
    };
    let Some(said) = headers::decode(value) else {
        return Err(mismatch(&format!("the header `{name}` cannot be read")));
    };
    match body {
        Some(body) if body == said => Ok(()),
        Some(body) => {
            Err(mismatch(&format!("`{name}` says `{}`, the body says `{}`", said.escape_debug(), body.escape_debug())))
        }
        // What the body ought to say is for the handler to demand.
        None => Err(mismatch(&format!("`{name}` says `{}`, the body says nothing", said.escape_debug()))),
    }
}

#[derive(Default, Deserialize)]
struct Implementation {
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: String,
}

fn client_info(meta: &RequestMeta<'_>) -> Result<Arc<ClientInfo>, RpcError> {
    let Some(capabilities) = meta.client_capabilities else {
        return Err(missing(crate::protocol::meta::CLIENT_CAPABILITIES));
    };
    let capabilities: Map<String, Value> = serde_json::from_str(capabilities.get())
        .map_err(|_| RpcError::new(error::INVALID_PARAMS, "the client capabilities must be an object"))?;
    let Implementation { name, version } =
        meta.client_info.and_then(|info| serde_json::from_str(info.get()).ok()).unwrap_or_default();
    Ok(Arc::new(ClientInfo { name, version, capabilities }))
}

// === requests ===

async fn discover(arrival: &Arrival) -> Outcome {
    let offer = arrival.shared.handler.capabilities(&arrival.who, &arrival.scope, VERSION).await?;
    let mut result = json!({"supportedVersions": supported(), "capabilities": offer.capabilities});
    if let Some(instructions) = offer.instructions {
        result["instructions"] = instructions.into();
    }
    Ok(raw(&result))
}

/// Begins a request, or goes on with one that waited for this.
fn run(arrival: &Arrival, request: &Request, params: &Params<'_>, info: Arc<ClientInfo>) -> Result<Running, RpcError> {
    if let Some(state) = params.request_state() {
        return take_up(arrival, request, params, &state);
    }
    let level = text(params.meta().and_then(|meta| meta.log_level));
    let shared = &arrival.shared;
    let exchange = Exchange::open(
        shared,
        request,
        Opening {
            who: Arc::clone(&arrival.who),
            version: VERSION,
            info,
            progress_token: progress_token(params),
            log_level: level.and_then(|level| LogLevel::parse(&level)),
            param_headers: param_headers(arrival.headers()),
            run: arrival.run(),
            leg: Leg::Modern { streams: arrival.accept.events, asking: tokio::sync::Mutex::default() },
        },
    );
    let (handler, who, scope) = (Arc::clone(&shared.handler), Arc::clone(&arrival.who), arrival.scope.clone());
    let (request, client) = (request.clone(), Arc::clone(&exchange));
    Ok(Running::start(exchange, async move { handler.handle(&who, &scope, request, client).await }))
}

/// Arguments repeated in headers. One that cannot be read stands as it is and will match nothing.
fn param_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .filter_map(|(name, value)| {
            let name = name.as_str().strip_prefix(headers::PARAM_PREFIX)?;
            let value = headers::decode(value).unwrap_or_else(|| String::from_utf8_lossy(value.as_bytes()));
            Some((name.to_owned(), value.into_owned()))
        })
        .collect()
}

/// Hands the agent's answers to the request that waits for them. The state comes from the agent:
/// it counts only if it was given to this credential, for this request, not long ago, and was not
/// used before.
fn take_up(arrival: &Arrival, request: &Request, params: &Params<'_>, state: &str) -> Result<Running, RpcError> {
    let refuse = |what: &str| Err(RpcError::new(error::INVALID_PARAMS, what));
    let shared = &arrival.shared;
    let Some(state) = shared.seal.open(state, arrival.who.key) else {
        return refuse("`requestState` is not one this server gave you");
    };
    let gone = "`requestState` has expired or was used before; send the request again without it";
    if state.expires_at <= (shared.options.now)() {
        return refuse(gone);
    }
    if digest(&request.method, request.params.as_deref()) != Some(state.digest) {
        return refuse("`requestState` belongs to another request; repeat the one it was given for unchanged");
    }
    let answers = match params.input_responses {
        None => InputResponses::new(),
        Some(answers) => match serde_json::from_str::<std::collections::BTreeMap<String, Box<RawValue>>>(answers.get())
        {
            Ok(answers) => answers.into_iter().map(|(key, answer)| (key, Ok(Arc::from(answer)))).collect(),
            Err(_) => return refuse("`inputResponses` must be an object"),
        },
    };
    let Some(parked) = shared.parking.take(&state.ticket) else { return refuse(gone) };
    parked.exchange.taken_up_by(request.id.clone(), progress_token(params));
    if parked.answers.send(answers).is_err() {
        return refuse(gone);
    }
    Ok(Running::again(parked.exchange))
}
