//! `/api/v1/admin/impersonate`: acting in somebody's place

use preloop_api_types::{
    Message,
    people::{Impersonated, Impersonation, Impersonator},
};
use preloop_govern::config::IMPERSONATION;
use preloop_types::UserId;
use secrecy::ExposeSecret;
use utoipa_axum::router::OpenApiRouter;

use crate::{
    App,
    caller::{Caller, Person, Superuser},
    error::ApiResult,
    extract::Id,
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(guarded!(stop)).routes(guarded!(begin))
}

/// A token to act in a person's place, of any account, for at most eight hours. Both are in every record
/// made with it. It decides nothing, calls nothing and makes no credentials.
#[utoipa::path(post, path = "/api/v1/admin/impersonate/{user_id}", tag = "admin",
    responses((status = 200, body = Impersonation)))]
async fn begin(caller: Caller<Superuser>, Id(user): Id<UserId>) -> ApiResult<Impersonation> {
    let who = caller.who();
    let taken = caller.config().impersonate(who, user).await?;
    Ok(axum::Json(Impersonation {
        access_token: taken.token.expose_secret().to_owned(),
        token_type: "bearer".to_owned(),
        user: Impersonated {
            id: taken.user.id.0,
            username: taken.user.username,
            email: taken.user.email,
            account_id: taken.account.0,
        },
        impersonated_by: Impersonator { id: who.user.0, username: who.username.clone() },
        expires_in_hours: IMPERSONATION.as_secs() / 3_600,
    }))
}

/// Ends it, with the token itself: it does nothing any more.
#[utoipa::path(post, path = "/api/v1/admin/impersonate/stop", tag = "admin",
    responses((status = 200, body = Message)))]
async fn stop(caller: Caller<Person>) -> ApiResult<Message> {
    caller.config().stop_impersonating(caller.who()).await?;
    Ok(axum::Json(Message { message: format!("You act in the place of `{}` no more", caller.who().username) }))
}
