//! Health, version, features, ping. Open to everyone: they tell nothing about an account.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use preloop_api_types::system::{Features, Health, Pong, Version};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{App, caller::Visitor, openapi::open};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(open!(health))
        .route("/health", axum::routing::get(health))
        .routes(open!(ping))
        .routes(open!(version))
        .routes(open!(features))
}

/// Whether calls can be governed: the store can be written, so that intents can be recorded.
#[utoipa::path(get, path = "/api/v1/health", tag = "system",
    responses((status = 200, body = Health), (status = 503, body = Health)))]
async fn health(visitor: Visitor) -> Response {
    let database = visitor.check_store().await;
    let (code, status) = match database {
        Ok(()) => (StatusCode::OK, "healthy"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "unhealthy"),
    };
    let health = Health {
        status: status.to_owned(),
        database: database.err().unwrap_or("writable").to_owned(),
        mcp_server: "available".to_owned(),
        timestamp: shape::at(visitor.store().now()),
    };
    (code, axum::Json(health)).into_response()
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/api/v1/ping", tag = "system", responses((status = 200, body = Pong)))]
async fn ping(visitor: Visitor) -> axum::Json<Pong> {
    axum::Json(Pong { status: "pong".to_owned(), timestamp: shape::at(visitor.store().now()) })
}

/// What is running.
#[utoipa::path(get, path = "/api/v1/version", tag = "system", responses((status = 200, body = Version)))]
async fn version(_visitor: Visitor) -> axum::Json<Version> {
    let ours = env!("CARGO_PKG_VERSION");
    axum::Json(Version {
        server_version: ours.to_owned(),
        min_client_version: "0.1.0".to_owned(),
        max_client_version: ours.to_owned(),
    })
}

/// What this instance can do.
#[utoipa::path(get, path = "/api/v1/features", tag = "system", responses((status = 200, body = Features)))]
async fn features(visitor: Visitor) -> axum::Json<Features> {
    let features = [
        ("registration", false),
        ("advanced_approvals", true),
        ("policies", true),
        ("audit", true),
        ("email_notifications", visitor.options().smtp.is_some()),
        ("stdio_servers", visitor.options().allow_stdio),
    ];
    let features = BTreeMap::from_iter(features.map(|(name, on)| (name.to_owned(), on)));
    axum::Json(Features { plugins: Vec::new(), features })
}
