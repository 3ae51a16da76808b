//! The routes, and what every request passes before its era takes over.

use std::sync::Arc;

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::Response,
    routing::any,
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header, request::Parts};
use preloop_types::{Principal, Scope};

use super::{
    Downstream,
    guard::{self, Accept, Refusal},
    handler::{EndpointScope, Handler, Identify, Unidentified},
    http_sse, legacy, metadata, modern,
    options::Options,
    params::{Params, text},
    parking::{ParkingLot, PerKey},
    replies,
    request_state::Seal,
    sessions::Sessions,
};
use crate::protocol::{Envelope, Era, Message, RpcError, Version, error, headers};
use crate::splice;

/// What every request shares.
pub(super) struct Shared {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) identify: Arc<dyn Identify>,
    pub(super) options: Arc<Options>,
    /// `serverInfo` as JSON.
    pub(super) server_info: String,
    pub(super) sessions: Sessions,
    pub(super) seal: Seal,
    pub(super) parking: ParkingLot,
    pub(super) parked_slots: Arc<PerKey>,
    pub(super) listen_slots: Arc<PerKey>,
}

/// The routes of the endpoint.
pub(super) fn router(downstream: Downstream) -> Router {
    let Downstream { handler, identify, sessions, options } = downstream;
    let options = Arc::new(options);
    let http_sse = options.http_sse;
    let shared = Arc::new(Shared {
        sessions: Sessions::new(sessions, Arc::clone(&handler), Arc::clone(&options)),
        handler,
        identify,
        server_info: options.server_info.to_json().to_string(),
        seal: Seal::new(&options.state_key),
        parking: ParkingLot::default(),
        parked_slots: PerKey::new(options.limits.parked_per_key),
        listen_slots: PerKey::new(options.limits.listens_per_key),
        options,
    });
    // Clients do not follow a redirect of a POST, so every spelling is served.
    let mut router = Router::new()
        .route("/mcp", any(all))
        .route("/mcp/", any(all))
        .route("/mcp/v1", any(all))
        .route("/mcp/v1/", any(all))
        .route("/mcp/v1/servers/{slug}", any(one))
        .route("/mcp/v1/servers/{slug}/", any(one))
        .route(metadata::WELL_KNOWN, any(metadata::root))
        .route(&format!("{}/{{*path}}", metadata::WELL_KNOWN), any(metadata::of_path));
    if http_sse {
        router =
            router.route(http_sse::STREAM, any(http_sse::stream)).route(http_sse::MESSAGES, any(http_sse::message));
    }
    router.with_state(shared)
}

async fn all(State(shared): State<Arc<Shared>>, request: http::Request<Body>) -> Response {
    serve(shared, EndpointScope::All, request).await
}

async fn one(State(shared): State<Arc<Shared>>, Path(slug): Path<String>, request: http::Request<Body>) -> Response {
    serve(shared, EndpointScope::Server(slug), request).await
}

/// A request that came from a known principal to a known place.
pub(super) struct Arrival {
    pub(super) shared: Arc<Shared>,
    pub(super) who: Arc<Principal>,
    pub(super) scope: EndpointScope,
    pub(super) parts: Parts,
    pub(super) accept: Accept,
}

impl Arrival {
    /// Checks where the request comes from and who makes it.
    pub(super) async fn admit(shared: Arc<Shared>, scope: EndpointScope, parts: Parts) -> Result<Self, Response> {
        let options = &shared.options;
        let who = {
            let authority = guard::host(&parts.headers, &parts.uri, options)?;
            guard::origin(&parts.headers, authority, options)?;
            let presented = parts.headers.contains_key(header::AUTHORIZATION);
            let Some(bearer) = guard::bearer(&parts.headers) else {
                let why = presented.then_some(replies::INVALID);
                return Err(replies::unauthorized(options, authority, parts.uri.path(), why));
            };
            match shared.identify.identify(bearer, parts.uri.path()).await {
                Ok(who) => who,
                Err(Unidentified::Invalid) => {
                    return Err(replies::unauthorized(options, authority, parts.uri.path(), Some(replies::INVALID)));
                }
                Err(Unidentified::Halted(why)) => {
                    return Err(replies::unauthorized(options, authority, parts.uri.path(), Some(&why)));
                }
                Err(Unidentified::Unavailable(why)) => {
                    tracing::error!(why, "credentials cannot be checked");
                    return Err(replies::unavailable("credentials cannot be checked now; try again".to_owned()));
                }
            }
        };
        let accept = Accept::of(&parts.headers);
        Ok(Self { shared, who, scope, parts, accept })
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The one value of a header. Two of them are a sign that somebody in between reads another.
    pub(super) fn header(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let refuse = |what| Refusal(StatusCode::BAD_REQUEST, format!("the header `{name}` {what}"));
        let mut values = self.headers().get_all(name).iter();
        match (values.next(), values.next()) {
            (None, _) => Ok(None),
            (Some(value), None) => value.to_str().map(Some).map_err(|_| refuse("cannot be read")),
            (Some(_), Some(_)) => Err(refuse("occurs more than once")),
        }
    }

    /// What the agent calls its run, if it says.
    pub(super) fn run(&self) -> Option<Arc<str>> {
        self.headers().get(headers::RUN_ID)?.to_str().ok().map(Arc::from)
    }

    /// The scope the credential lacks for `method`, if it does.
    pub(super) fn lacks(&self, method: &str) -> Option<Scope> {
        let has = |scope| self.who.has_scope(scope) || self.who.has_scope(Scope::Admin);
        let needed = match method {
            "initialize" | "server/discover" | "ping" | "logging/setLevel" => return None,
            "tools/call" => Scope::McpWrite,
            _ => Scope::McpRead,
        };
        (!has(needed)).then_some(needed)
    }

    /// The refusal of a request whose credential lacks `scope`.
    pub(super) fn refuse(&self, scope: Scope, id: Option<crate::protocol::Id>) -> Response {
        let options = &self.shared.options;
        let authority = guard::host(self.headers(), &self.parts.uri, options).unwrap_or_default();
        replies::insufficient_scope(options, authority, self.parts.uri.path(), id, scope.as_str())
    }
}

const ALLOWED: &str = "POST, GET, DELETE, OPTIONS";

async fn serve(shared: Arc<Shared>, scope: EndpointScope, request: http::Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let method = parts.method.clone();
    match method {
        Method::OPTIONS => {
            let mut response = replies::empty(StatusCode::NO_CONTENT);
            response.headers_mut().insert(header::ALLOW, http::HeaderValue::from_static(ALLOWED));
            return response;
        }
        Method::POST | Method::GET | Method::DELETE => {}
        _ => return replies::method_not_allowed(ALLOWED),
    }
    let arrival = match Arrival::admit(shared, scope, parts).await {
        Ok(arrival) => arrival,
        Err(refusal) => return refusal,
    };
    let served = match method {
        Method::POST => post(arrival, body).await,
        Method::GET => legacy::listen(arrival).await,
        _ => legacy::delete(arrival).await,
    };
    served.unwrap_or_else(|refused| refused)
}

async fn post(arrival: Arrival, body: Body) -> Result<Response, Response> {
    let body = read(&arrival, body).await?;
    if body.trim_ascii_start().first() == Some(&b'[') {
        return legacy::batch(arrival, &body).await;
    }
    let message = match Envelope::parse(&body) {
        Ok(message) => message,
        Err(error) => return Ok(replies::rpc_error(StatusCode::BAD_REQUEST, None, error)),
    };
    let raw = message.params().cloned();
    let params = Params::of(raw.as_deref());
    match era(&arrival, &message, params.as_ref().ok())? {
        Spoken::Era(Era::Legacy) => legacy::post(arrival, message, params).await,
        Spoken::Era(Era::Modern) => Ok(modern::post(arrival, message, params).await),
        Spoken::Wrong(error) => {
            let id = match message {
                Message::Request(request) => Some(request.id),
                _ => None,
            };
            Ok(replies::rpc_error(StatusCode::BAD_REQUEST, id, error))
        }
    }
}

/// Reads a body within its limits. Depth is measured before any recursive parser sees it.
pub(super) async fn read(arrival: &Arrival, body: Body) -> Result<Bytes, Refusal> {
    guard::content_type(arrival.headers())?;
    arrival.accept.anything()?;
    let limits = &arrival.shared.options.limits;
    let too_large =
        || Refusal(StatusCode::PAYLOAD_TOO_LARGE, format!("the body is larger than {} bytes", limits.body_bytes));
    let announced = arrival.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|length| length.parse::<u64>().ok()).is_some_and(|length| length > limits.body_bytes as u64) {
        return Err(too_large());
    }
    let body = axum::body::to_bytes(body, limits.body_bytes).await.map_err(|error| {
        let source = std::error::Error::source(&error);
        if source.is_some_and(<dyn std::error::Error>::is::<http_body_util::LengthLimitError>) {
            too_large()
        } else {
            Refusal(StatusCode::BAD_REQUEST, "the body ended early".to_owned())
        }
    })?;
    if splice::deeper_than(&body, limits.json_depth) {
        return Err(Refusal(
            StatusCode::BAD_REQUEST,
            format!("the body nests deeper than {} levels", limits.json_depth),
        ));
    }
    Ok(body)
}

/// What a message turns out to be.
enum Spoken {
    Era(Era),
    Wrong(RpcError),
}

/// The era a message belongs to: by the revision in its header and, from the modern era on, in
/// its `_meta`. They must agree, so that nobody on the way is told another story.
fn era(arrival: &Arrival, message: &Message, params: Option<&Params<'_>>) -> Result<Spoken, Refusal> {
    let header = arrival.header(headers::PROTOCOL_VERSION)?;
    let stated = text(params.and_then(Params::meta).and_then(|meta| meta.protocol_version));
    let spoken = match (header, stated.as_deref()) {
        (None, None) => Spoken::Era(Era::Legacy),
        (Some(header), Some(stated)) if header != stated => {
            Spoken::Wrong(mismatch(&format!("`MCP-Protocol-Version` says `{header}`, `_meta` says `{stated}`")))
        }
        (None, Some(stated)) if Version::parse(stated).is_some_and(|version| version.era() == Era::Legacy) => {
            Spoken::Era(Era::Legacy)
        }
        (None, Some(_)) => Spoken::Wrong(mismatch("the header `MCP-Protocol-Version` is missing")),
        (Some(version), _) => match Version::parse(version) {
            // The handshake is legacy, whatever the client hopes to speak afterwards.
            _ if is_handshake(message) && stated.is_none() => Spoken::Era(Era::Legacy),
            Some(version) => Spoken::Era(version.era()),
            None => Spoken::Wrong(unsupported(version)),
        },
    };
    Ok(spoken)
}

fn is_handshake(message: &Message) -> bool {
    matches!(message, Message::Request(request) if request.method == "initialize")
}

/// Headers and body tell different stories.
pub(super) fn mismatch(what: &str) -> RpcError {
    RpcError::new(error::HEADER_MISMATCH, format!("header mismatch: {what}"))
}

fn unsupported(requested: &str) -> RpcError {
    RpcError::new(error::UNSUPPORTED_VERSION, format!("unsupported protocol version `{}`", requested.escape_debug()))
        .with_data(&serde_json::json!({"supported": supported(), "requested": requested}))
}

/// Every revision, newest first.
pub(super) fn supported() -> Vec<&'static str> {
    Version::ALL.iter().rev().map(|version| version.as_str()).collect()
}
