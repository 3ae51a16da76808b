//! How requests to OAuth endpoints are read.

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use http::{HeaderMap, StatusCode, header, request::Parts};
use preloop_identity::oauth::{ErrorCode, OAuthError, Presented};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use url::Url;

use super::Failed;
use crate::{App, error::ApiError};

/// Where the sender reaches this server: the public URL, or the name the request was sent to.
pub(super) struct Base(pub(super) Url);

impl FromRequestParts<App> for Base {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let refuse = |why: String| ApiError::new(StatusCode::FORBIDDEN, why);
        let base = app.mcp().base(&parts.headers, &parts.uri).map_err(refuse)?;
        base.parse().map(Base).map_err(|_| refuse("the `Host` header is not a host".to_owned()))
    }
}

/// A form, and the client that sent it. Parameters that occur twice are refused.
pub(super) struct Form<T> {
    pub(super) client: Presented,
    pub(super) params: T,
}

impl<T: DeserializeOwned> FromRequest<App> for Form<T> {
    type Rejection = Failed;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failed> {
        let (parts, body) = request.into_parts();
        let invalid = |why: String| Failed::from(OAuthError { code: ErrorCode::InvalidRequest, description: why });
        let body = Bytes::from_request(Request::from_parts(parts.clone(), body), app).await;
        let body = body.map_err(|error| invalid(error.body_text()))?;
        let again = || Request::from_parts(parts.clone(), Body::from(body.clone()));
        let client = axum::Form::<Presented>::from_request(again(), app).await;
        let params = axum::Form::<T>::from_request(again(), app).await;
        let (axum::Form(client), axum::Form(params)) =
            client.and_then(|client| Ok((client, params?))).map_err(|error| invalid(error.body_text()))?;
        Ok(Self { client: with_basic(client, &parts.headers)?, params })
    }
}

/// The client, as the form or HTTP Basic names it: by one of them, not by both.
fn with_basic(client: Presented, headers: &HeaderMap) -> Result<Presented, OAuthError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else { return Ok(client) };
    let refuse = |code, why: &str| Err(OAuthError { code, description: why.to_owned() });
    let credentials = value.to_str().ok().and_then(|value| value.split_once(' '));
    let Some((_, encoded)) = credentials.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic")) else {
        return refuse(ErrorCode::InvalidClient, "`Authorization` is not HTTP Basic");
    };
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    // Ids and secrets that we give out hold nothing that form encoding would change.
    let Some((id, secret)) = decoded.as_deref().and_then(|decoded| decoded.split_once(':')) else {
        return refuse(ErrorCode::InvalidClient, "`Authorization` cannot be read");
    };
    if client.secret.is_some() || client.id.is_some_and(|named| named != id) {
        return refuse(ErrorCode::InvalidRequest, "the form and `Authorization` name two clients");
    }
    Ok(Presented { id: Some(id.to_owned()), secret: Some(SecretString::from(secret.to_owned())) })
}
