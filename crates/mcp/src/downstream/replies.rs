//! HTTP responses.

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header};

use super::{
    guard::Refusal,
    metadata::{SCOPES, WELL_KNOWN, base},
    options::Options,
};
use crate::protocol::{self, Id, RpcError, error};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

pub(super) fn json(status: StatusCode, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

pub(super) fn events(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, EVENTS);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform"));
    // Tells reverse proxies to pass every event on at once.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

pub(super) fn method_not_allowed(allowed: &'static str) -> Response {
    let mut response = empty(StatusCode::METHOD_NOT_ALLOWED);
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}

/// An error response; `id` is the request's, where it could be read.
pub(super) fn rpc_error(status: StatusCode, id: Option<Id>, error: RpcError) -> Response {
    json(status, protocol::Response { id, result: Err(error) }.to_json())
}

impl From<Refusal> for Response {
    fn from(Refusal(status, what): Refusal) -> Self {
        rpc_error(status, None, RpcError::new(error::INVALID_REQUEST, what))
    }
}

/// A session that does not exist for this client. It may initialize again.
pub(super) fn no_session() -> Response {
    let error = RpcError::new(error::INVALID_REQUEST, "there is no such session; initialize again");
    rpc_error(StatusCode::NOT_FOUND, None, error)
}

pub(super) fn unavailable(what: String) -> Response {
    rpc_error(StatusCode::SERVICE_UNAVAILABLE, None, RpcError::new(error::INTERNAL_ERROR, what))
}

/// What is wrong with a credential that names nobody.
pub(super) const INVALID: &str = "Authentication required: the credential is not valid or has expired";

/// No credential, or one that names nobody.
pub(super) fn unauthorized(options: &Options, authority: &str, path: &str, wrong: Option<&str>) -> Response {
    let (message, reason) = match wrong {
        Some(why) => (why, ", error=\"invalid_token\""),
        None => ("Authentication required: send `Authorization: Bearer <API key>`", ""),
    };
    let challenge = challenge(options, authority, path, &SCOPES.join(" "), reason);
    challenged(StatusCode::UNAUTHORIZED, &challenge, RpcError::new(error::UNAUTHENTICATED, message), None)
}

/// A credential that may not do this.
pub(super) fn insufficient_scope(
    options: &Options,
    authority: &str,
    path: &str,
    id: Option<Id>,
    scope: &str,
) -> Response {
    let challenge = challenge(options, authority, path, scope, ", error=\"insufficient_scope\"");
    let error = RpcError::new(error::INVALID_REQUEST, format!("the credential lacks the scope `{scope}`"));
    challenged(StatusCode::FORBIDDEN, &challenge, error, id)
}

fn challenged(status: StatusCode, challenge: &str, error: RpcError, id: Option<Id>) -> Response {
    let mut response = rpc_error(status, id, error);
    if let Ok(challenge) = HeaderValue::from_str(challenge) {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Points at the document about the very endpoint that was asked: clients compare the two.
fn challenge(options: &Options, authority: &str, path: &str, scope: &str, reason: &str) -> String {
    let (base, path) = (base(options, authority), path.trim_end_matches('/'));
    format!("Bearer resource_metadata=\"{base}{WELL_KNOWN}{path}\", scope=\"{scope}\"{reason}")
}
