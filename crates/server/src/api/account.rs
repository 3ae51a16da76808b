//! `/api/v1/auth/users/me`, `/api/v1/account/defaults` and `/api/v1/account/model-settings`

use http::StatusCode;
use preloop_api_types::account::{
    AccountDetails, ChangeAccount, Defaults, ModelSettings, UpdateDefaults, UpdateModelSettings, UpdateUser, User,
};
use preloop_govern::config::{DefaultsChange, ModelSettingsChange, UserChange};
use preloop_store::AccountInfo;
use preloop_types::{self as types, AccountId, Halt, HaltScope, Permission, WorkflowId, config};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Anyone, Caller, InPerson, ManageAccount, ManageTools, Person, ViewAiModels, ViewTools},
    error::{ApiError, ApiResult},
    extract::Json,
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(get_me))
        .routes(guarded!(update_me))
        .route("/api/v1/users/me", axum::routing::get(get_me))
        .routes(guarded!(get_details))
        .routes(guarded!(change_details))
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

/// The account.
#[utoipa::path(get, path = "/api/v1/account/details", tag = "account",
    responses((status = 200, body = AccountDetails)))]
async fn get_details(caller: Caller<Person>) -> ApiResult<AccountDetails> {
    let account = caller.who().account;
    Ok(axum::Json(details_shown(account, caller.store().account(account).info().await?)))
}

/// Changes the account.
#[utoipa::path(patch, path = "/api/v1/account/details", tag = "account",
    responses((status = 200, body = AccountDetails)))]
async fn change_details(caller: Caller<ManageAccount>, Json(body): Json<ChangeAccount>) -> ApiResult<AccountDetails> {
    let details = caller.config().rename_account(caller.who(), body.organization_name.patch()).await?;
    Ok(axum::Json(details_shown(caller.who().account, details)))
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
    let rows = caller.store().account(caller.who().account);
    Ok(axum::Json(model_settings_shown(rows.model_settings().await?, &rows.halts().await?)))
}

/// Changes what holds for all model traffic. `{"model_traffic": false}` presses the kill switch for it, and
/// needs `manage_kill_switch` like that.
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
    let who = caller.who();
    if body.model_traffic.is_some() && !who.may(Permission::ManageKillSwitch) {
        let detail = "Insufficient permissions. Required: manage_kill_switch";
        return Err(ApiError::new(StatusCode::FORBIDDEN, detail));
    }
    let change = ModelSettingsChange {
        allowed_models: body.allowed_models,
        on_unpriced: body.on_unpriced,
        capture: body.capture,
        session_idle_minutes: body.session_idle_minutes,
        guardrails: body.guardrails,
    };
    let settings = caller.config().update_model_settings(who, change).await?;
    let halts = match body.model_traffic {
        Some(true) => caller.config().resume(who, vec![HaltScope::Gateway], None).await?,
        Some(false) => caller.config().halt(who, vec![HaltScope::Gateway], None).await?,
        None => caller.store().account(who.account).halts().await?,
    };
    Ok(axum::Json(model_settings_shown(settings, &halts)))
}

fn model_settings_shown(settings: config::AccountModelSettings, halts: &[Halt]) -> ModelSettings {
    ModelSettings {
        model_traffic: halts.iter().all(|halt| halt.scope != HaltScope::Gateway),
        allowed_models: settings.allowed_models.into_iter().map(|pattern| pattern.0).collect(),
        on_unpriced: settings.on_unpriced,
        capture: settings.capture,
        session_idle_minutes: settings.session_idle_minutes,
        guardrails: settings.guardrails,
    }
}

pub(super) fn user_shown(account: AccountId, user: types::User) -> User {
    User {
        id: user.id.0,
        account_id: account.0,
        username: user.username,
        email: user.email,
        email_verified: user.email_verified,
        full_name: user.full_name,
        is_active: user.is_active,
        is_superuser: user.is_superuser,
        user_source: user.source.as_str().to_owned(),
        last_login: shape::at_opt(user.last_login_at),
        created_at: shape::at(user.created_at),
        updated_at: shape::at(user.updated_at),
    }
}

fn details_shown(account: AccountId, details: AccountInfo) -> AccountDetails {
    AccountDetails {
        id: account.0,
        organization_name: details.organization_name,
        created_at: shape::at(details.created_at),
        updated_at: shape::at(details.updated_at),
    }
}

fn defaults_shown(defaults: &config::Defaults) -> Defaults {
    Defaults {
        unknown_tools: defaults.unknown_tools,
        require_approval_for_new_tools: defaults.require_approval_for_new_tools,
        default_workflow_id: defaults.default_workflow.map(|id| id.0),
    }
}
