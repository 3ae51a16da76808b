//! `/metrics`, for Prometheus: to whoever holds the token or, where none is set, to this machine alone.
//! What it shows is the whole instance's, so it is for operators and not for accounts.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{ConnectInfo, State},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, StatusCode, header};
use preloop_telemetry::Gauge;
use preloop_types::Hash;
use secrecy::ExposeSecret;

use crate::{App, error::ApiError};

pub(crate) fn router() -> Router<App> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    may_read(&app, peer, &headers)?;
    let text = app.telemetry().render(app.governor(), &gauges(&app));
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response())
}

fn may_read(app: &App, peer: SocketAddr, headers: &HeaderMap) -> Result<(), ApiError> {
    if let Some(token) = &app.options().metrics_token {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
        // Hashes are compared: how long that takes tells nothing of the token.
        return if Hash::of(given) == Hash::of(token.expose_secret()) {
            Ok(())
        } else {
            Err(ApiError::new(StatusCode::UNAUTHORIZED, "metrics need the token of PRELOOP_METRICS_TOKEN"))
        };
    }
    let forwarded = ["forwarded", "x-forwarded-for", "x-real-ip"].iter().any(|name| headers.contains_key(*name));
    if peer.ip().is_loopback() && !forwarded {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        "metrics are for this machine only; set PRELOOP_METRICS_TOKEN to read them from elsewhere",
    ))
}

fn gauges(app: &App) -> Vec<Gauge> {
    let age = preloop_gateway::prices::catalogue().age(app.store().now());
    vec![Gauge {
        name: "gateway_price_catalog_age_seconds",
        help: "How old the built-in list of prices is.",
        value: age.as_secs_f64(),
    }]
}
