//! `/api/v1/agents/{id}/enrollments`

use http::StatusCode;
use preloop_api_types::{
    JsonObject,
    agents::{ChangeEnrollment, CreateEnrollment, Enrollment},
};
use preloop_govern::config::{EnrollmentChange, NewEnrollment};
use preloop_store::EnrollmentRow;
use preloop_types::{AgentId, EnrollmentId, EnrollmentStatus};
use utoipa_axum::router::OpenApiRouter;

use super::{agents, shape};
use crate::{
    App,
    caller::{Caller, ManageAgents},
    error::{ApiError, ApiResult},
    extract::{Id, Json, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(validate))
        .routes(guarded!(restore))
}

/// The onboardings of a managed agent, newest first.
#[utoipa::path(get, path = "/api/v1/agents/{id}/enrollments", tag = "agent-enrollments",
    responses((status = 200, body = Vec<Enrollment>)))]
async fn list(caller: Caller<ManageAgents>, Id(id): Id<AgentId>) -> ApiResult<Vec<Enrollment>> {
    let rows = caller.store().account(caller.who().account);
    agents::find(&rows, id).await?;
    Ok(axum::Json(rows.enrollments(id).await?.into_iter().map(shown).collect()))
}

/// Notes an onboarding. Secrets in it are hidden before anything is kept.
#[utoipa::path(post, path = "/api/v1/agents/{id}/enrollments", tag = "agent-enrollments",
    responses((status = 201, body = Enrollment)))]
async fn create(
    caller: Caller<ManageAgents>,
    Id(id): Id<AgentId>,
    Json(body): Json<CreateEnrollment>,
) -> Result<(StatusCode, axum::Json<Enrollment>), ApiError> {
    let details = [
        ("discovered_config", body.discovered_config),
        ("managed_config", body.managed_config),
        ("backup_metadata", body.backup_metadata),
        ("validation_result", body.validation_result),
    ];
    let new = NewEnrollment {
        enrollment_type: body.enrollment_type,
        adapter_key: body.adapter_key,
        status: body.status.as_deref().map(status).transpose()?,
        target_path: body.target_config_path,
        details: details.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
        restore_available: body.restore_available,
        applied_at: body.last_applied_at.map(Into::into),
    };
    Ok(created(shown(caller.config().create_enrollment(caller.who(), id, new).await?)))
}

/// Notes that an onboarding was checked.
#[utoipa::path(post, path = "/api/v1/agents/{id}/enrollments/{enrollment_id}/validate", tag = "agent-enrollments",
    responses((status = 200, body = Enrollment)))]
async fn validate(
    caller: Caller<ManageAgents>,
    Id((agent, id)): Id<(AgentId, EnrollmentId)>,
    Json(body): Json<ChangeEnrollment>,
) -> ApiResult<Enrollment> {
    change(&caller, agent, id, body, EnrollmentStatus::Validated).await
}

/// Notes that an onboarding was undone.
#[utoipa::path(post, path = "/api/v1/agents/{id}/enrollments/{enrollment_id}/restore", tag = "agent-enrollments",
    responses((status = 200, body = Enrollment)))]
async fn restore(
    caller: Caller<ManageAgents>,
    Id((agent, id)): Id<(AgentId, EnrollmentId)>,
    Json(body): Json<ChangeEnrollment>,
) -> ApiResult<Enrollment> {
    change(&caller, agent, id, body, EnrollmentStatus::Restored).await
}

async fn change(
    caller: &Caller<ManageAgents>,
    agent: AgentId,
    id: EnrollmentId,
    body: ChangeEnrollment,
    otherwise: EnrollmentStatus,
) -> ApiResult<Enrollment> {
    let status = body.status.as_deref().map_or(Ok(otherwise), status)?;
    let details = [("backup_metadata", body.backup_metadata), ("validation_result", body.validation_result)];
    let details = details.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    let change = EnrollmentChange { status, details: details.collect() };
    Ok(axum::Json(shown(caller.config().change_enrollment(caller.who(), agent, id, change).await?)))
}

fn status(word: &str) -> Result<EnrollmentStatus, ApiError> {
    EnrollmentStatus::parse(word).ok_or_else(|| {
        let known: Vec<_> = EnrollmentStatus::ALL.iter().map(|status| format!("`{}`", status.as_str())).collect();
        ApiError::field("body", "status", format!("`{word}` is not one of {}", known.join(", ")), "value_error")
    })
}

pub(super) fn shown(row: EnrollmentRow) -> Enrollment {
    let mut details: JsonObject = serde_json::from_str(row.details.0.get()).unwrap_or_default();
    let mut detail = |name: &str| match details.remove(name) {
        Some(serde_json::Value::Object(members)) => members,
        _ => JsonObject::new(),
    };
    Enrollment {
        id: row.id.0,
        managed_agent_id: row.agent.0,
        enrollment_type: row.enrollment_type,
        adapter_key: row.adapter_key,
        status: row.status.as_str().to_owned(),
        target_config_path: row.target_path,
        discovered_config: detail("discovered_config"),
        managed_config: detail("managed_config"),
        backup_metadata: detail("backup_metadata"),
        validation_result: detail("validation_result"),
        restore_available: row.restore_available,
        last_applied_at: shape::at_opt(row.applied_at),
        last_validated_at: shape::at_opt(row.validated_at),
        restored_at: shape::at_opt(row.restored_at),
        created_at: shape::at(row.created_at),
        updated_at: shape::at(row.updated_at),
    }
}
