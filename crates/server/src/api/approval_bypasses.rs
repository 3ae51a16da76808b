//! `/api/v1/approval-bypasses`: times in which a person is not told of requests.

use http::StatusCode;
use preloop_api_types::approval_bypasses::{ApprovalBypass, BypassStatus, CreateApprovalBypass};
use preloop_govern::config::NewBypass;
use preloop_store::Bypass;
use preloop_types::{AgentId, BypassId};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, Person, ViewApprovals},
    error::{ApiError, ApiResult},
    extract::{Id, Json, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(status))
        .routes(guarded!(list))
        .routes(guarded!(begin))
        .routes(guarded!(end))
        .routes(guarded!(end_all))
}

/// What holds for the caller now.
#[utoipa::path(get, path = "/api/v1/approval-bypasses/status", tag = "approval-bypasses",
    responses((status = 200, body = BypassStatus)))]
async fn status(caller: Caller<Person>) -> ApiResult<BypassStatus> {
    let now = caller.store().now();
    let active = caller.store().account(caller.who().account).active_bypasses(now).await?;
    let mine: Vec<_> = active.into_iter().filter(|bypass| bypass.user == caller.who().user).collect();
    Ok(axum::Json(BypassStatus {
        active: !mine.is_empty(),
        auto_approve_active: mine.iter().any(|bypass| bypass.mode == "auto_approve"),
        bypasses: mine.into_iter().map(shown).collect(),
    }))
}

/// Every bypass of the account that holds now.
#[utoipa::path(get, path = "/api/v1/approval-bypasses", tag = "approval-bypasses",
    responses((status = 200, body = Vec<ApprovalBypass>)))]
async fn list(caller: Caller<ViewApprovals>) -> ApiResult<Vec<ApprovalBypass>> {
    let now = caller.store().now();
    let active = caller.store().account(caller.who().account).active_bypasses(now).await?;
    Ok(axum::Json(active.into_iter().map(shown).collect()))
}

/// Begins a time in which the caller is not told of requests. They block all the same.
#[utoipa::path(post, path = "/api/v1/approval-bypasses", tag = "approval-bypasses",
    responses((status = 201, body = ApprovalBypass)))]
async fn begin(
    caller: Caller<ViewApprovals>,
    Json(body): Json<CreateApprovalBypass>,
) -> Result<(StatusCode, axum::Json<ApprovalBypass>), ApiError> {
    let new = NewBypass {
        mode: body.mode,
        minutes: body.duration_minutes,
        agent: body.managed_agent_id.map(AgentId),
        reason: body.reason,
        via: body.created_via,
    };
    Ok(created(shown(caller.config().begin_bypass(caller.who(), new).await?)))
}

/// Ends a bypass, whoever began it.
#[utoipa::path(delete, path = "/api/v1/approval-bypasses/{id}", tag = "approval-bypasses",
    responses((status = 200, body = ApprovalBypass)))]
async fn end(caller: Caller<ViewApprovals>, Id(id): Id<BypassId>) -> ApiResult<ApprovalBypass> {
    Ok(axum::Json(shown(caller.config().end_bypass(caller.who(), id).await?)))
}

/// Ends every bypass of the caller.
#[utoipa::path(post, path = "/api/v1/approval-bypasses/revoke-all", tag = "approval-bypasses",
    responses((status = 200, body = Vec<ApprovalBypass>)))]
async fn end_all(caller: Caller<ViewApprovals>) -> ApiResult<Vec<ApprovalBypass>> {
    let ended = caller.config().end_bypasses(caller.who()).await?;
    Ok(axum::Json(ended.into_iter().map(shown).collect()))
}

fn shown(bypass: Bypass) -> ApprovalBypass {
    ApprovalBypass {
        id: bypass.id.0,
        user_id: bypass.user.0,
        mode: bypass.mode,
        managed_agent_id: bypass.agent.map(|id| id.0),
        reason: bypass.reason,
        created_via: bypass.created_via,
        created_at: shape::at(bypass.created_at),
        expires_at: shape::at(bypass.expires_at),
        revoked_at: shape::at_opt(bypass.revoked_at),
        revoked_by_user_id: bypass.revoked_by.map(|id| id.0),
        auto_approved_count: bypass.auto_approved,
    }
}
