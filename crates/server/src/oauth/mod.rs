//! The authorization server's endpoints. What they answer is `preloop_identity::oauth`'s; this reads
//! requests, shows pages and says who may not ask that often.

mod consent;
mod device;
mod limit;
mod request;

use axum::{
    Json, Router,
    extract::Path,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use preloop_identity::oauth::{
    DEVICE_PATH, DeviceRequest, ErrorCode, OAuth, OAuthError, RegistrationRequest, RevokeRequest, TokenRequest,
    server_metadata,
};
use preloop_types::Audience;
use serde_json::{Value, json};

use crate::{App, caller::Visitor, error::ApiError};
use limit::Limit;
use request::{Base, Form};

/// The authorization server of an instance, and who asked too often.
pub(crate) struct AuthorizationServer {
    oauth: OAuth,
    registrations: Limit,
    devices: Limit,
}

impl AuthorizationServer {
    pub(crate) fn new(oauth: OAuth) -> Self {
        Self { oauth, registrations: Limit::default(), devices: Limit::default() }
    }
}

/// Largest registration. Anybody can send one.
const REGISTRATION_BYTES_MAX: usize = 64 * 1024;

pub(crate) fn router() -> Router<App> {
    let mut router = Router::new()
        .route("/oauth/register", post(register).layer(axum::extract::DefaultBodyLimit::max(REGISTRATION_BYTES_MAX)))
        .route("/oauth/authorize", get(consent::ask).post(consent::answer))
        .route("/oauth/token", post(token))
        .route("/oauth/revoke", post(revoke))
        .route("/oauth/device_authorization", post(begin_device))
        .route(DEVICE_PATH, get(device::ask).post(device::answer));
    // The second name is one that clients of OpenID Connect try. Below either, clients of earlier
    // revisions of MCP put the path of the endpoint they know.
    for name in ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"] {
        router = router.route(name, get(metadata)).route(&format!("{name}/{{*path}}"), get(metadata_of_path));
    }
    router
}

async fn metadata(Base(base): Base) -> Response {
    ([(header::CACHE_CONTROL, "max-age=300")], Json(server_metadata(&base))).into_response()
}

async fn metadata_of_path(base: Base, Path(path): Path<String>) -> Response {
    if Audience::of_path(&format!("/{path}")) == Audience::Everything {
        return ApiError::new(StatusCode::NOT_FOUND, "Not Found").into_response();
    }
    metadata(base).await
}

async fn register(
    visitor: Visitor,
    body: Result<Json<RegistrationRequest>, axum::extract::rejection::JsonRejection>,
) -> Result<Response, Failed> {
    let server = visitor.authorization();
    let address = visitor.address();
    server.registrations.take(address, visitor.store().now()).map_err(Failed::too_many)?;
    let Json(request) =
        body.map_err(|error| OAuthError { code: ErrorCode::InvalidClientMetadata, description: error.body_text() })?;
    let registered = server.oauth.register(request).await?;
    Ok((StatusCode::CREATED, never_kept(), Json(registered.to_json())).into_response())
}

async fn token(visitor: Visitor, Base(base): Base, form: Form<TokenRequest>) -> Result<Response, Failed> {
    let given = visitor.authorization().oauth.token(&base, &form.client, form.params).await?;
    Ok((never_kept(), Json(given.to_json())).into_response())
}

async fn revoke(visitor: Visitor, form: Form<RevokeRequest>) -> Result<Response, Failed> {
    visitor.authorization().oauth.revoke(&form.client, form.params).await?;
    Ok((never_kept(), StatusCode::OK).into_response())
}

async fn begin_device(visitor: Visitor, Base(base): Base, form: Form<DeviceRequest>) -> Result<Response, Failed> {
    let server = visitor.authorization();
    let address = visitor.address();
    server.devices.take(address, visitor.store().now()).map_err(Failed::too_many)?;
    let begun = server.oauth.begin_device(&base, form.params, Some(address.to_string())).await?;
    Ok((never_kept(), Json(begun.to_json())).into_response())
}

/// What holds secrets is kept by nobody on the way.
fn never_kept() -> [(HeaderName, HeaderValue); 2] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (header::PRAGMA, HeaderValue::from_static("no-cache")),
    ]
}

/// An error in OAuth's own words.
#[derive(Debug)]
struct Failed {
    status: StatusCode,
    error: OAuthError,
    retry_after_seconds: Option<u64>,
}

impl Failed {
    fn too_many(retry_after_seconds: u64) -> Self {
        let description = "too many requests from this address; try again later".to_owned();
        Self {
            status: StatusCode::TOO_MANY_REQUESTS,
            error: OAuthError { code: ErrorCode::TemporarilyUnavailable, description },
            retry_after_seconds: Some(retry_after_seconds),
        }
    }
}

impl From<OAuthError> for Failed {
    fn from(error: OAuthError) -> Self {
        let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after_seconds = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, error, retry_after_seconds }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.error.code.as_str(), "error_description": self.error.description });
        let mut response = (self.status, never_kept(), Json::<Value>(body)).into_response();
        let headers = response.headers_mut();
        if self.error.code == ErrorCode::InvalidClient {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"preloop\""));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
