//! `/api/v1/account/kill-switch`

use preloop_api_types::kill_switch::{HaltedScope, KillSwitch, PressKillSwitch};
use preloop_types::{Halt, HaltScope};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, ManageKillSwitch, Person},
    error::{ApiError, ApiResult},
    extract::OptionalJson,
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(guarded!(status)).routes(guarded!(activate)).routes(guarded!(deactivate))
}

/// What is halted, by whom and since when.
#[utoipa::path(get, path = "/api/v1/account/kill-switch/status", tag = "account",
    responses((status = 200, body = KillSwitch)))]
async fn status(caller: Caller<Person>) -> ApiResult<KillSwitch> {
    Ok(axum::Json(shown(caller.store().account(caller.who().account).halts().await?)))
}

/// Halts agents at once; everything, unless scopes are named. Who halted something first stays.
#[utoipa::path(post, path = "/api/v1/account/kill-switch/activate", tag = "account",
    responses((status = 200, body = KillSwitch)))]
async fn activate(
    caller: Caller<ManageKillSwitch>,
    OptionalJson(body): OptionalJson<PressKillSwitch>,
) -> ApiResult<KillSwitch> {
    let scopes = scopes(body.scopes)?.unwrap_or_else(|| HaltScope::ALL.to_vec());
    Ok(axum::Json(shown(caller.config().halt(caller.who(), scopes, body.reason).await?)))
}

/// Lets agents go on, in the scopes that are named. Requests for approval get the time back.
#[utoipa::path(post, path = "/api/v1/account/kill-switch/deactivate", tag = "account",
    responses((status = 200, body = KillSwitch)))]
async fn deactivate(
    caller: Caller<ManageKillSwitch>,
    OptionalJson(body): OptionalJson<PressKillSwitch>,
) -> ApiResult<KillSwitch> {
    let Some(scopes) = scopes(body.scopes)? else {
        let message = "name what shall go on: `gateway`, `tools`, `flows`";
        return Err(ApiError::field("body", "scopes", message, "value_error"));
    };
    Ok(axum::Json(shown(caller.config().resume(caller.who(), scopes, body.reason).await?)))
}

fn scopes(words: Option<Vec<String>>) -> Result<Option<Vec<HaltScope>>, ApiError> {
    let scope = |word: String| {
        HaltScope::parse(&word).ok_or_else(|| {
            let message = format!("`{word}` is not one of `gateway`, `tools`, `flows`");
            ApiError::field("body", "scopes", message, "value_error")
        })
    };
    words.filter(|words| !words.is_empty()).map(|words| words.into_iter().map(scope).collect()).transpose()
}

fn shown(halts: Vec<Halt>) -> KillSwitch {
    let scope = |halt: Halt| HaltedScope {
        scope: halt.scope.as_str().to_owned(),
        activated_by_user_id: halt.by.0,
        activated_by_username: halt.username,
        activated_at: shape::at(halt.at),
        reason: halt.reason,
    };
    KillSwitch { active: !halts.is_empty(), scopes: halts.into_iter().map(scope).collect() }
}
