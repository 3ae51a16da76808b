//! `/api/v1/approval-delegations`: who decides while somebody is away.

use http::StatusCode;
use preloop_api_types::approval_requests::{CreateDelegation, Delegation};
use preloop_govern::NewDelegation;
use preloop_types::{DelegationId, Timestamp, UserId};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, DecideApprovals, ViewApprovals},
    error::{ApiError, ApiResult},
    extract::{Id, Json, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(guarded!(list)).routes(guarded!(create)).routes(guarded!(end))
}

/// Delegations that hold or are to come.
#[utoipa::path(get, path = "/api/v1/approval-delegations", tag = "approval-delegations",
    responses((status = 200, body = Vec<Delegation>)))]
async fn list(caller: Caller<ViewApprovals>) -> ApiResult<Vec<Delegation>> {
    let delegations = caller.governor().approvals().delegations(caller.who().account).await?;
    Ok(axum::Json(delegations.into_iter().map(shown).collect()))
}

/// Names who decides in the caller's place, or for those who manage users in anybody's.
#[utoipa::path(post, path = "/api/v1/approval-delegations", tag = "approval-delegations",
    responses((status = 201, body = Delegation)))]
async fn create(
    caller: Caller<DecideApprovals>,
    Json(body): Json<CreateDelegation>,
) -> Result<(StatusCode, axum::Json<Delegation>), ApiError> {
    let new = NewDelegation {
        user: body.user_id.map(UserId),
        delegate: UserId(body.delegate_id),
        starts_at: body.starts_at.map(|at| Timestamp::from_micros(at.timestamp_micros())),
        ends_at: Timestamp::from_micros(body.ends_at.timestamp_micros()),
        reason: body.reason,
    };
    let delegation = caller.governor().approvals().delegate(caller.who(), new).await?;
    Ok(created(shown(delegation)))
}

/// Ends a delegation.
#[utoipa::path(delete, path = "/api/v1/approval-delegations/{id}", tag = "approval-delegations",
    responses((status = 200, body = Delegation)))]
async fn end(caller: Caller<DecideApprovals>, Id(id): Id<DelegationId>) -> ApiResult<Delegation> {
    let delegation = caller.governor().approvals().end_delegation(caller.who(), id).await?;
    Ok(axum::Json(shown(delegation)))
}

fn shown(delegation: preloop_store::Delegation) -> Delegation {
    Delegation {
        id: delegation.id.0,
        user_id: delegation.user.0,
        delegate_id: delegation.delegate.0,
        reason: delegation.reason,
        starts_at: shape::at(delegation.starts_at),
        ends_at: shape::at(delegation.ends_at),
        revoked_at: shape::at_opt(delegation.revoked_at),
    }
}
