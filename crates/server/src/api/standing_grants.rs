//! `/api/v1/standing-grants`: leaves to make a call again without asking.

use http::StatusCode;
use preloop_api_types::approval_requests::{CreateStandingGrant, ListStandingGrants, StandingGrant};
use preloop_govern::NewStandingGrant;
use preloop_types::{AgentId, GrantedArguments, KeyId, StandingGrantId, config::SubjectRef};
use utoipa_axum::router::OpenApiRouter;

use super::{approval_requests::allow_of, shape};
use crate::{
    App,
    caller::{Caller, DecideApprovals, ViewApprovals},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Query, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(guarded!(list)).routes(guarded!(create)).routes(guarded!(revoke))
}

/// Standing grants that hold, oldest first.
#[utoipa::path(get, path = "/api/v1/standing-grants", tag = "standing-grants", params(ListStandingGrants),
    responses((status = 200, body = Vec<StandingGrant>)))]
async fn list(caller: Caller<ViewApprovals>, Query(query): Query<ListStandingGrants>) -> ApiResult<Vec<StandingGrant>> {
    let all = query.all.unwrap_or(false);
    let grants = caller.governor().approvals().standing_grants(caller.who().account, all).await?;
    Ok(axum::Json(grants.iter().map(shown).collect()))
}

/// Allows calls of a tool ahead. Only approvers whose single approval would do can give it.
#[utoipa::path(post, path = "/api/v1/standing-grants", tag = "standing-grants",
    responses((status = 201, body = StandingGrant)))]
async fn create(
    caller: Caller<DecideApprovals>,
    Json(body): Json<CreateStandingGrant>,
) -> Result<(StatusCode, axum::Json<StandingGrant>), ApiError> {
    let subject = match (body.managed_agent_id, body.api_key_id) {
        (Some(agent), None) => SubjectRef::Agent(AgentId(agent)),
        (None, Some(key)) => SubjectRef::Key(KeyId(key)),
        _ => {
            let message = "give either `managed_agent_id` or `api_key_id`";
            return Err(ApiError::field("body", "managed_agent_id", message, "value_error"));
        }
    };
    let new = NewStandingGrant {
        subject,
        tool: body.tool_name,
        condition: body.condition,
        allow: allow_of(&body.allow)?,
        reason: body.reason,
    };
    let grant = caller.governor().approvals().give_standing_grant(caller.who(), new).await?;
    Ok(created(shown(&grant)))
}

/// Takes a leave back.
#[utoipa::path(delete, path = "/api/v1/standing-grants/{id}", tag = "standing-grants",
    responses((status = 200, body = StandingGrant)))]
async fn revoke(caller: Caller<DecideApprovals>, Id(id): Id<StandingGrantId>) -> ApiResult<StandingGrant> {
    let grant = caller.governor().approvals().revoke_standing_grant(caller.who(), id).await?;
    Ok(axum::Json(shown(&grant)))
}

fn shown(grant: &preloop_types::StandingGrant) -> StandingGrant {
    let (agent, key) = match grant.subject {
        SubjectRef::Agent(id) => (Some(id.0), None),
        SubjectRef::Key(id) => (None, Some(id.0)),
    };
    StandingGrant {
        id: grant.id.0,
        user_id: grant.user.0,
        approval_workflow_id: grant.workflow.0,
        managed_agent_id: agent,
        api_key_id: key,
        tool_name: grant.tool.exposed.to_string(),
        server_name: grant.tool.server.to_string(),
        condition: match &grant.arguments {
            GrantedArguments::Where(text) => Some(text.clone()),
            GrantedArguments::Same(_) => None,
        },
        times: grant.uses_max,
        used: grant.uses,
        spend_argument: grant.spend.as_ref().map(|spend| spend.argument.clone()),
        spend_max: grant.spend.as_ref().map(|spend| spend.max.to_string()),
        spent: grant.spent.to_string(),
        reason: grant.reason.clone(),
        approval_request_id: grant.approval.map(|id| id.0),
        created_at: shape::at(grant.created_at),
        expires_at: shape::at(grant.expires_at),
        last_used_at: shape::at_opt(grant.last_used_at),
        revoked_at: shape::at_opt(grant.revoked_at),
        revoked_by_user_id: grant.revoked_by.map(|id| id.0),
    }
}
