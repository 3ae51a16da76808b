//! `/api/v1/auth/api-keys/{id}/governance` and `/api/v1/agents/{id}/governance`

use std::collections::BTreeMap;

use preloop_api_types::{
    agents::GovernanceDefaults,
    governance::{Governance, GovernanceConfig, ScopedRule},
};
use preloop_types::{
    AgentId, KeyId, ModelPattern, NativeApprovals, RuleId, Timestamp, WorkflowId,
    config::{AccessRule, SubjectGovernance, SubjectRef},
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    App,
    caller::{Caller, ManageAgents, ManageApiKeys, ViewAgents},
    error::{ApiError, ApiResult},
    extract::{Id, Json},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(get_of_key))
        .routes(guarded!(put_of_key))
        .routes(guarded!(get_of_agent))
        .routes(guarded!(put_of_agent))
        .routes(guarded!(get_defaults))
        .routes(guarded!(put_defaults))
}

/// What narrows an API key.
#[utoipa::path(get, path = "/api/v1/auth/api-keys/{id}/governance", tag = "api-keys",
    responses((status = 200, body = Governance)))]
async fn get_of_key(caller: Caller<ManageApiKeys>, Id(id): Id<KeyId>) -> ApiResult<Governance> {
    let subject = SubjectRef::Key(id);
    Ok(axum::Json(shown(subject, caller.config().governance(caller.who(), subject).await?)))
}

/// Replaces what narrows an API key; an empty body removes it.
#[utoipa::path(put, path = "/api/v1/auth/api-keys/{id}/governance", tag = "api-keys",
    responses((status = 200, body = Governance)))]
async fn put_of_key(
    caller: Caller<ManageApiKeys>,
    Id(id): Id<KeyId>,
    Json(body): Json<GovernanceConfig>,
) -> ApiResult<Governance> {
    put(&caller, SubjectRef::Key(id), body).await
}

/// What narrows a managed agent.
#[utoipa::path(get, path = "/api/v1/agents/{id}/governance", tag = "agents",
    responses((status = 200, body = Governance)))]
async fn get_of_agent(caller: Caller<ViewAgents>, Id(id): Id<AgentId>) -> ApiResult<Governance> {
    let subject = SubjectRef::Agent(id);
    Ok(axum::Json(shown(subject, caller.config().governance(caller.who(), subject).await?)))
}

/// Replaces what narrows a managed agent, whatever credential it uses; an empty body removes it.
#[utoipa::path(put, path = "/api/v1/agents/{id}/governance", tag = "agents",
    responses((status = 200, body = Governance)))]
async fn put_of_agent(
    caller: Caller<ManageAgents>,
    Id(id): Id<AgentId>,
    Json(body): Json<GovernanceConfig>,
) -> ApiResult<Governance> {
    put(&caller, SubjectRef::Agent(id), body).await
}

/// What holds for the own tools of all agents.
#[utoipa::path(get, path = "/api/v1/account/governance-defaults", tag = "agents",
    responses((status = 200, body = GovernanceDefaults)))]
async fn get_defaults(caller: Caller<ViewAgents>) -> ApiResult<GovernanceDefaults> {
    Ok(axum::Json(defaults(&caller).await?))
}

/// Replaces what holds for the own tools of all agents.
#[utoipa::path(put, path = "/api/v1/account/governance-defaults", tag = "agents",
    responses((status = 200, body = GovernanceDefaults)))]
async fn put_defaults(
    caller: Caller<ManageAgents>,
    Json(body): Json<GovernanceDefaults>,
) -> ApiResult<GovernanceDefaults> {
    let wanted = approvals(&body.native_tool_approvals)?;
    caller.config().put_native_tool_approvals(caller.who(), wanted).await?;
    Ok(axum::Json(defaults(&caller).await?))
}

async fn defaults<P>(caller: &Caller<P>) -> Result<GovernanceDefaults, ApiError> {
    let rows = caller.store().account(caller.who().account);
    let differs = |(subject, governance): (SubjectRef, SubjectGovernance)| match subject {
        SubjectRef::Agent(id) if governance.native_tool_approvals.is_some() => Some(id.0),
        _ => None,
    };
    Ok(GovernanceDefaults {
        native_tool_approvals: rows.native_tool_approvals().await?.as_str().to_owned(),
        overridden_agent_ids: rows.subject_governance().await?.into_iter().filter_map(differs).collect(),
    })
}

async fn put<P>(caller: &Caller<P>, subject: SubjectRef, body: GovernanceConfig) -> ApiResult<Governance> {
    let governance = meant(body, caller.store().now())?;
    let governance = caller.config().put_governance(caller.who(), subject, governance).await?;
    Ok(axum::Json(shown(subject, governance)))
}

fn meant(body: GovernanceConfig, now: Timestamp) -> Result<SubjectGovernance, ApiError> {
    let rule = |rule: ScopedRule| AccessRule {
        id: RuleId::new(now),
        action: rule.action,
        expression: rule.condition_expression.filter(|text| !text.trim().is_empty()),
        language: rule.condition_type,
        description: rule.description,
        is_enabled: rule.is_enabled,
        workflow: rule.approval_workflow_id.map(WorkflowId),
        overridable: false,
        shadow: rule.shadow,
    };
    let rules = |(tool, rules): (String, Vec<ScopedRule>)| (tool, rules.into_iter().map(rule).collect());
    Ok(SubjectGovernance {
        tool_rules: body.tool_rules.into_iter().map(rules).collect(),
        tool_enabled_overrides: body.tool_enabled_overrides,
        allowed_models: body.allowed_models.into_iter().map(ModelPattern).collect(),
        rate_limit: body.rate_limit.into(),
        native_tool_approvals: body.native_tool_approvals.as_deref().map(approvals).transpose()?,
        approval_workflow: body.approval_workflow_id.map(WorkflowId),
    })
}

fn approvals(word: &str) -> Result<NativeApprovals, ApiError> {
    let message = || format!("`{word}` is not one of `enforce`, `off`");
    let found = NativeApprovals::parse(word);
    found.ok_or_else(|| ApiError::field("body", "native_tool_approvals", message(), "value_error"))
}

fn shown(subject: SubjectRef, governance: SubjectGovernance) -> Governance {
    let rule = |rule: AccessRule| ScopedRule {
        action: rule.action,
        condition_expression: rule.expression,
        condition_type: rule.language,
        description: rule.description,
        is_enabled: rule.is_enabled,
        approval_workflow_id: rule.workflow.map(|id| id.0),
        shadow: rule.shadow,
    };
    let rules = |(tool, rules): (String, Vec<AccessRule>)| (tool, rules.into_iter().map(rule).collect());
    let tool_rules: BTreeMap<_, _> = governance.tool_rules.into_iter().map(rules).collect();
    let (subject_type, subject_id) = match subject {
        SubjectRef::Key(id) => ("api_keys", id.0),
        SubjectRef::Agent(id) => ("agents", id.0),
    };
    Governance {
        subject_type: subject_type.to_owned(),
        subject_id,
        config: GovernanceConfig {
            allowed_models: governance.allowed_models.into_iter().map(|pattern| pattern.0).collect(),
            rate_limit: governance.rate_limit.into(),
            tool_rules,
            tool_enabled_overrides: governance.tool_enabled_overrides,
            native_tool_approvals: governance.native_tool_approvals.map(|word| word.as_str().to_owned()),
            approval_workflow_id: governance.approval_workflow.map(|id| id.0),
        },
    }
}
