//! `/api/v1/push/proxy`: this instance as the push relay of others, for keys with the scope `push_proxy`.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use preloop_api_types::push::{BulkPushRequest, BulkPushResult, PushRequest, PushResult};
use preloop_notify::{self as notify, PushMessage};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    App,
    caller::{Caller, PushRelay},
    error::ApiError,
    extract::Json,
    openapi::guarded,
};

/// Most messages of one request.
const BULK_MAX: usize = 100;

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(guarded!(proxy)).routes(guarded!(proxy_bulk))
}

/// Hands a message to a phone. Needs a key with the scope `push_proxy`, as a bearer or in `X-API-Key`.
#[utoipa::path(post, path = "/api/v1/push/proxy", tag = "push", responses((status = 200, body = PushResult)))]
async fn proxy(caller: Caller<PushRelay>, Json(body): Json<PushRequest>) -> Result<Response, ApiError> {
    let Some(relay) = caller.push_relay() else { return Ok(no_service()) };
    Ok(axum::Json(send(relay, body).await?).into_response())
}

/// Hands messages to phones.
#[utoipa::path(post, path = "/api/v1/push/proxy/bulk", tag = "push",
    responses((status = 200, body = BulkPushResult)))]
async fn proxy_bulk(caller: Caller<PushRelay>, Json(body): Json<BulkPushRequest>) -> Result<Response, ApiError> {
    let Some(relay) = caller.push_relay() else { return Ok(no_service()) };
    if body.notifications.len() > BULK_MAX {
        let message = format!("has more than {BULK_MAX} messages");
        return Err(ApiError::field("body", "notifications", message, "too_long"));
    }
    let mut results = Vec::with_capacity(body.notifications.len());
    for message in body.notifications {
        results.push(send(relay, message).await?);
    }
    Ok(axum::Json(BulkPushResult { results }).into_response())
}

/// Nothing is promised that cannot be done.
fn no_service() -> Response {
    let error = "this instance is no push relay: it has no push service of its own (PUSH_PROXY_URL)".to_owned();
    let refused = PushResult { success: false, error: Some(error) };
    (StatusCode::SERVICE_UNAVAILABLE, axum::Json(refused)).into_response()
}

async fn send(relay: &notify::PushRelay, body: PushRequest) -> Result<PushResult, ApiError> {
    if !["ios", "android"].contains(&body.platform.as_str()) {
        let message = format!("platform `{}` is not one of `ios`, `android`", body.platform);
        return Err(ApiError::bad_request(message));
    }
    let PushRequest { platform, device_token, title, body, data, badge, sound, priority } = body;
    let message = PushMessage { platform, device_token, title, body, data, badge, sound, priority };
    Ok(match relay.send(&message).await {
        Ok(()) => PushResult { success: true, error: None },
        Err(error) if error.unregistered => PushResult { success: false, error: Some("unregistered".to_owned()) },
        Err(error) => PushResult { success: false, error: Some(error.reason) },
    })
}
