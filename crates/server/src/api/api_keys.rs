//! `/api/v1/auth/api-keys`

use std::time::Duration;

use http::StatusCode;
use preloop_api_types::{
    Page,
    api_keys::{ApiKey, CreateApiKey, CreatedApiKey},
};
use preloop_govern::config::{NewAgent, NewApiKey};
use preloop_store::KeyRow;
use preloop_types::{KeyId, Timestamp};
use secrecy::ExposeSecret;
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, InPerson, Person},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Listed, Query, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(get))
        .routes(guarded!(revoke))
}

/// One's own API keys, newest first, revoked ones too; with `manage_api_keys` everybody's.
#[utoipa::path(get, path = "/api/v1/auth/api-keys", tag = "api-keys", params(Page),
    responses((status = 200, body = Vec<ApiKey>)))]
async fn list(caller: Caller<Person>, Query(page): Query<Page>) -> Result<Listed<ApiKey>, ApiError> {
    let keys = caller.config().keys(caller.who()).await?;
    let now = caller.store().now();
    Ok(Listed::page(keys, &page)?.map(|key| shown(key, now)))
}

/// Makes an API key for oneself. Its secret is only in this answer, and it can never do more than its
/// maker's roles allow at the time.
#[utoipa::path(post, path = "/api/v1/auth/api-keys", tag = "api-keys",
    responses((status = 201, body = CreatedApiKey)))]
async fn create(
    caller: Caller<InPerson>,
    Json(body): Json<CreateApiKey>,
) -> Result<(StatusCode, axum::Json<CreatedApiKey>), ApiError> {
    let new = NewApiKey {
        name: body.name,
        scopes: body.scopes,
        expires_at: body.expires_at.map(Into::into),
        allowed_tools: body.allowed_tools,
        allowed_servers: body.allowed_servers,
        allowed_models: body.allowed_models,
        agent: body.agent.map(|agent| NewAgent { name: agent.name, kind: agent.kind, tags: agent.tags }),
    };
    let (key, secret) = caller.config().create_key(caller.who(), new).await?;
    Ok(created(CreatedApiKey {
        id: key.id.0,
        name: key.name,
        key: secret.expose_secret().to_owned(),
        created_at: shape::at(key.created_at),
        expires_at: shape::at_opt(key.expires_at),
        scopes: key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        user_id: key.user.0,
        last_used_at: None,
    }))
}

/// One API key, without its secret. Somebody else's needs `manage_api_keys`.
#[utoipa::path(get, path = "/api/v1/auth/api-keys/{id}", tag = "api-keys",
    responses((status = 200, body = ApiKey)))]
async fn get(caller: Caller<Person>, Id(id): Id<KeyId>) -> ApiResult<ApiKey> {
    let key = caller.config().key(caller.who(), id).await?;
    Ok(axum::Json(shown(key, caller.store().now())))
}

/// Revokes an API key for good. Somebody else's needs `manage_api_keys`.
#[utoipa::path(delete, path = "/api/v1/auth/api-keys/{id}", tag = "api-keys", responses((status = 204)))]
async fn revoke(caller: Caller<Person>, Id(id): Id<KeyId>) -> Result<StatusCode, ApiError> {
    caller.config().revoke_key(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(key: KeyRow, now: Timestamp) -> ApiKey {
    let idle = key.last_used_at.map(|used| now.since(used));
    let activity = match idle {
        _ if key.revoked_at.is_some() => "revoked",
        Some(idle) if idle <= Duration::from_mins(10) => "active_now",
        Some(idle) if idle <= Duration::from_hours(24) => "recently_active",
        _ => "idle",
    };
    ApiKey {
        id: key.id.0,
        name: key.name,
        prefix: key.prefix,
        user_id: key.user.0,
        scopes: key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        allowed_tools: key.allowed_tools,
        allowed_servers: key.allowed_servers,
        managed_agent_id: key.agent.map(|agent| agent.id.0),
        created_at: shape::at(key.created_at),
        expires_at: shape::at_opt(key.expires_at),
        last_used_at: shape::at_opt(key.last_used_at),
        revoked_at: shape::at_opt(key.revoked_at),
        activity_status: activity.to_owned(),
    }
}
