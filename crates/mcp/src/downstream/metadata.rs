//! What the endpoint tells clients about its authorization (RFC 9728), whoever asks.
//!
//! The authorization server it names is this server itself: a client that knows nothing but an
//! endpoint's URL finds here where to ask its person.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State},
    response::Response,
};
use http::{Method, StatusCode, header};
use preloop_types::Audience;
use serde_json::json;

use super::{endpoint::Shared, guard, options::Options, replies};

/// Where documents lie: below it, the path of the endpoint they are about.
pub(super) const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";
/// What a credential can be good for here.
pub(super) const SCOPES: [&str; 2] = ["mcp:read", "mcp:write"];

/// The document for clients that do not know how to ask about one endpoint: about the one with everything.
pub(super) async fn root(State(shared): State<Arc<Shared>>, request: http::Request<Body>) -> Response {
    document(&shared, "/mcp", &request)
}

/// The document about one endpoint.
pub(super) async fn of_path(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    request: http::Request<Body>,
) -> Response {
    let path = format!("/{}", path.trim_end_matches('/'));
    match Audience::of_path(&path) {
        Audience::Everything => replies::empty(StatusCode::NOT_FOUND),
        _ => document(&shared, &path, &request),
    }
}

fn document(shared: &Shared, path: &str, request: &http::Request<Body>) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return replies::method_not_allowed("GET, HEAD");
    }
    let authority = match guard::host(request.headers(), request.uri(), &shared.options) {
        Ok(authority) => authority,
        Err(refusal) => return refusal.into(),
    };
    let base = base(&shared.options, authority);
    let document = json!({
        "resource": format!("{base}{path}"),
        "authorization_servers": [base],
        "resource_name": shared.options.server_info.title,
        "scopes_supported": SCOPES,
        "bearer_methods_supported": ["header"],
    });
    let mut response = replies::json(StatusCode::OK, document.to_string());
    response.headers_mut().insert(header::CACHE_CONTROL, http::HeaderValue::from_static("max-age=300"));
    response
}

/// Where clients reach this server, without a trailing slash.
pub(super) fn base(options: &Options, authority: &str) -> String {
    match &options.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{authority}"),
    }
}
