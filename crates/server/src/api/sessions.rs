//! `/api/v1/auth/logout` and `/api/v1/auth/sessions`: where one is signed in, and ending it.

use http::StatusCode;
use preloop_api_types::auth::{Revoked, Session};
use preloop_store::Grant;
use preloop_types::{CredentialKind, GrantId, Subject};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, InPerson, Person},
    error::{ApiError, ApiResult},
    extract::Id,
    openapi::guarded,
};

/// The client of the command line.
const CLI: &str = "cli";

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(logout))
        .routes(guarded!(list))
        .routes(guarded!(list_cli))
        .routes(guarded!(revoke_all))
        .routes(guarded!(end))
        .routes(guarded!(end_cli))
}

/// Signs out: the access token of this request and its refresh token end.
#[utoipa::path(post, path = "/api/v1/auth/logout", tag = "auth", responses((status = 204)))]
async fn logout(caller: Caller<Person>) -> Result<StatusCode, ApiError> {
    let who = caller.who();
    if who.credential != CredentialKind::Login {
        return Err(ApiError::bad_request("This is an API key, not a sign-in; revoke it under /api/v1/auth/api-keys"));
    }
    let by = Subject::from(&**who);
    caller.identity().end(who.account, by, who.user, GrantId(who.key.0), "logout").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Where one is signed in, and the clients one consented to.
#[utoipa::path(get, path = "/api/v1/auth/sessions", tag = "auth", responses((status = 200, body = Vec<Session>)))]
async fn list(caller: Caller<Person>) -> ApiResult<Vec<Session>> {
    Ok(axum::Json(sessions(&caller).await?))
}

/// Command lines one is signed in at.
#[utoipa::path(get, path = "/api/v1/auth/sessions/cli", tag = "auth",
    responses((status = 200, body = Vec<Session>)))]
async fn list_cli(caller: Caller<Person>) -> ApiResult<Vec<Session>> {
    let mut sessions = sessions(&caller).await?;
    sessions.retain(|session| session.client_id.as_deref() == Some(CLI));
    Ok(axum::Json(sessions))
}

/// Signs out everywhere, here too, and takes back one's consent to every client. API keys stay.
#[utoipa::path(post, path = "/api/v1/auth/sessions/revoke-all", tag = "auth",
    responses((status = 200, body = Revoked)))]
async fn revoke_all(caller: Caller<InPerson>) -> ApiResult<Revoked> {
    let revoked = caller.identity().end_all(caller.who()).await?;
    Ok(axum::Json(Revoked { revoked }))
}

/// Ends one sign-in, or takes back one's consent to a client.
#[utoipa::path(delete, path = "/api/v1/auth/sessions/{id}", tag = "auth", responses((status = 204)))]
async fn end(caller: Caller<InPerson>, Id(id): Id<GrantId>) -> Result<StatusCode, ApiError> {
    let who = caller.who();
    caller.identity().end(who.account, Subject::from(&**who), who.user, id, "revoked").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Ends one sign-in of a command line.
#[utoipa::path(delete, path = "/api/v1/auth/sessions/cli/{id}", tag = "auth", responses((status = 204)))]
async fn end_cli(caller: Caller<InPerson>, id: Id<GrantId>) -> Result<StatusCode, ApiError> {
    end(caller, id).await
}

async fn sessions(caller: &Caller<Person>) -> Result<Vec<Session>, ApiError> {
    let who = caller.who();
    let grants = caller.store().account(who.account).grants_of(who.user, caller.store().now()).await?;
    Ok(grants.into_iter().map(|grant| shown(grant, GrantId(who.key.0))).collect())
}

fn shown(grant: Grant, this: GrantId) -> Session {
    Session {
        id: grant.id.0,
        kind: grant.kind.as_str().to_owned(),
        client: grant.client,
        client_id: grant.client_id,
        address: grant.address,
        current: grant.id == this,
        created_at: shape::at(grant.created_at),
        last_used_at: shape::at(grant.last_used_at),
        expires_at: shape::at(grant.expires_at),
    }
}
