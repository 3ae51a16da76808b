//! `/api/v1/auth/api-keys/{id}/governance` and `/api/v1/agents/{id}/governance`

use std::collections::BTreeMap;

use preloop_api_types::governance::{Governance, GovernanceConfig, ScopedRule};
use preloop_types::{
    AgentId, KeyId, ModelPattern, RuleId, Timestamp, WorkflowId,
    config::{AccessRule, SubjectGovernance, SubjectRef},
};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    App,
    caller::{Caller, ManageAgents, ManageApiKeys, ViewAgents},
    error::ApiResult,
    extract::{Id, Json},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(get_of_key))
        .routes(guarded!(put_of_key))
        .routes(guarded!(get_of_agent))
        .routes(guarded!(put_of_agent))
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

async fn put<P>(caller: &Caller<P>, subject: SubjectRef, body: GovernanceConfig) -> ApiResult<Governance> {
    let governance = meant(body, caller.store().now());
    let governance = caller.config().put_governance(caller.who(), subject, governance).await?;
    Ok(axum::Json(shown(subject, governance)))
}

fn meant(body: GovernanceConfig, now: Timestamp) -> SubjectGovernance {
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
    SubjectGovernance {
        tool_rules: body.tool_rules.into_iter().map(rules).collect(),
        tool_enabled_overrides: body.tool_enabled_overrides,
        allowed_models: body.allowed_models.into_iter().map(ModelPattern).collect(),
        rate_limit: body.rate_limit.into(),
    }
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
        },
    }
}
