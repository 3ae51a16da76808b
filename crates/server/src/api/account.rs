//! `/api/v1/auth/users/me`, `/api/v1/account/defaults` and `/api/v1/account/model-settings`

use preloop_api_types::account::{Defaults, ModelSettings, UpdateDefaults, UpdateModelSettings, UpdateUser, User};
use preloop_govern::config::{DefaultsChange, ModelSettingsChange, UserChange};
use preloop_types::{AccountId, WorkflowId, config};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Anyone, Caller, InPerson, ManageAccount, ManageTools, ViewAiModels, ViewTools},
    error::{ApiError, ApiResult},
    extract::Json,
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(get_me))
        .routes(guarded!(update_me))
        .route("/api/v1/users/me", axum::routing::get(get_me))
        .routes(guarded!(get_defaults))
        .routes(guarded!(update_defaults))
        .routes(guarded!(get_model_settings))
        .routes(guarded!(update_model_settings))
}

/// Whose credential this is.
#[utoipa::path(get, path = "/api/v1/auth/users/me", tag = "account", responses((status = 200, body = User)))]
async fn get_me(caller: Caller<Anyone>) -> ApiResult<User> {
    let who = caller.who();
    let user = caller.store().account(who.account).user(who.user).await?;
    let user = user.ok_or_else(|| ApiError::not_found("user"))?;
    Ok(axum::Json(user_shown(who.account, user)))
}

/// Changes one's own profile. Not with an agent's credential: it says where approvals are sent.
#[utoipa::path(put, path = "/api/v1/auth/users/me", tag = "account", responses((status = 200, body = User)))]
async fn update_me(caller: Caller<InPerson>, Json(body): Json<UpdateUser>) -> ApiResult<User> {
    let change = UserChange { full_name: body.full_name.patch(), email: body.email.patch() };
    let user = caller.config().update_me(caller.who(), change).await?;
    Ok(axum::Json(user_shown(caller.who().account, user)))
}

/// What happens to tools nothing else speaks about.
#[utoipa::path(get, path = "/api/v1/account/defaults", tag = "account", responses((status = 200, body = Defaults)))]
async fn get_defaults(caller: Caller<ViewTools>) -> ApiResult<Defaults> {
    let defaults = caller.store().account(caller.who().account).defaults().await?;
    Ok(axum::Json(defaults_shown(&defaults)))
}

/// Changes what happens to tools nothing else speaks about.
#[utoipa::path(put, path = "/api/v1/account/defaults", tag = "account", responses((status = 200, body = Defaults)))]
async fn update_defaults(caller: Caller<ManageTools>, Json(body): Json<UpdateDefaults>) -> ApiResult<Defaults> {
    let change = DefaultsChange {
        unknown_tools: body.unknown_tools,
        require_approval_for_new_tools: body.require_approval_for_new_tools,
        default_workflow: body.default_workflow_id.map(WorkflowId).patch(),
    };
    let defaults = caller.config().update_defaults(caller.who(), change).await?;
    Ok(axum::Json(defaults_shown(&defaults)))
}

/// What holds for all model traffic of the account.
#[utoipa::path(get, path = "/api/v1/account/model-settings", tag = "account",
    responses((status = 200, body = ModelSettings)))]
async fn get_model_settings(caller: Caller<ViewAiModels>) -> ApiResult<ModelSettings> {
    let settings = caller.store().account(caller.who().account).model_settings().await?;
    Ok(axum::Json(model_settings_shown(settings)))
}

/// Changes what holds for all model traffic; `{"model_traffic": false}` is the kill switch.
#[utoipa::path(put, path = "/api/v1/account/model-settings", tag = "account",
    responses((status = 200, body = ModelSettings)))]
async fn update_model_settings(
    caller: Caller<ManageAccount>,
    Json(body): Json<UpdateModelSettings>,
) -> ApiResult<ModelSettings> {
    if let Some(guardrails) = &body.guardrails {
        preloop_gateway::guard::check(guardrails)
            .map_err(|why| ApiError::field("body", "guardrails", why, "value_error"))?;
    }
    let change = ModelSettingsChange {
        model_traffic: body.model_traffic,
        allowed_models: body.allowed_models,
        on_unpriced: body.on_unpriced,
        capture: body.capture,
        session_idle_minutes: body.session_idle_minutes,
        guardrails: body.guardrails,
    };
    let settings = caller.config().update_model_settings(caller.who(), change).await?;
    Ok(axum::Json(model_settings_shown(settings)))
}

fn model_settings_shown(settings: config::AccountModelSettings) -> ModelSettings {
    ModelSettings {
        model_traffic: settings.model_traffic,
        allowed_models: settings.allowed_models.into_iter().map(|pattern| pattern.0).collect(),
        on_unpriced: settings.on_unpriced,
        capture: settings.capture,
        session_idle_minutes: settings.session_idle_minutes,
        guardrails: settings.guardrails,
    }
}

fn user_shown(account: AccountId, user: preloop_types::User) -> User {
    User {
        id: user.id.0,
        account_id: account.0,
        username: user.username,
        email: user.email,
        full_name: user.full_name,
        is_active: user.is_active,
        created_at: shape::at(user.created_at),
    }
}

fn defaults_shown(defaults: &config::Defaults) -> Defaults {
    Defaults {
        unknown_tools: defaults.unknown_tools,
        require_approval_for_new_tools: defaults.require_approval_for_new_tools,
        default_workflow_id: defaults.default_workflow.map(|id| id.0),
    }
}
