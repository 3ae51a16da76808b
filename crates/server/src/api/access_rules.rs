//! `/api/v1/access-rules`

use http::StatusCode;
use preloop_api_types::access_rules::{AccessRule, CreateAccessRule, ReorderRules, UpdateAccessRule};
use preloop_govern::config::{NewRule, RuleChange, SavedRule};
use preloop_types::{AccountId, RuleId, ToolConfigId, WorkflowId, config::Language};
use utoipa_axum::router::OpenApiRouter;

use super::{shape, tool_configurations::find};
use crate::{
    App,
    caller::{Caller, ManageTools, ViewTools},
    error::{ApiError, ApiResult},
    extract::{Id, Json, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(reorder))
        .routes(guarded!(update))
        .routes(guarded!(delete))
}

/// The rules of a tool, in order.
#[utoipa::path(get, path = "/api/v1/tool-configurations/{id}/access-rules", tag = "access-rules",
    responses((status = 200, body = Vec<AccessRule>)))]
async fn list(caller: Caller<ViewTools>, Id(id): Id<ToolConfigId>) -> ApiResult<Vec<AccessRule>> {
    let account = caller.who().account;
    let config = find(&caller, account, id).await?;
    Ok(axum::Json(shape::rules(account, &config)))
}

/// Adds a rule to a tool.
#[utoipa::path(post, path = "/api/v1/tool-configurations/{id}/access-rules", tag = "access-rules",
    responses((status = 201, body = AccessRule)))]
async fn create(
    caller: Caller<ManageTools>,
    Id(id): Id<ToolConfigId>,
    Json(body): Json<CreateAccessRule>,
) -> Result<(StatusCode, axum::Json<AccessRule>), ApiError> {
    let rule = NewRule {
        action: body.action,
        expression: body.condition_expression,
        language: body.condition_type.unwrap_or(Language::Cel),
        priority: body.priority,
        description: body.description,
        is_enabled: body.is_enabled,
        workflow: body.approval_workflow_id.map(WorkflowId),
        overridable: body.overridable,
        shadow: body.shadow,
    };
    let saved = caller.config().create_rule(caller.who(), id, rule).await?;
    Ok(created(shown(caller.who().account, saved)))
}

/// Puts the rules of a tool into a new order, all at once.
#[utoipa::path(put, path = "/api/v1/tool-configurations/{id}/access-rules/order", tag = "access-rules",
    responses((status = 200, body = Vec<AccessRule>)))]
async fn reorder(
    caller: Caller<ManageTools>,
    Id(id): Id<ToolConfigId>,
    Json(body): Json<ReorderRules>,
) -> ApiResult<Vec<AccessRule>> {
    let order = body.rule_ids.into_iter().map(RuleId).collect();
    let config = caller.config().reorder_rules(caller.who(), id, order).await?;
    Ok(axum::Json(shape::rules(caller.who().account, &config)))
}

/// Changes a rule.
#[utoipa::path(put, path = "/api/v1/access-rules/{id}", tag = "access-rules",
    responses((status = 200, body = AccessRule)))]
async fn update(
    caller: Caller<ManageTools>,
    Id(id): Id<RuleId>,
    Json(body): Json<UpdateAccessRule>,
) -> ApiResult<AccessRule> {
    let change = RuleChange {
        action: body.action,
        expression: body.condition_expression.patch(),
        language: body.condition_type,
        priority: body.priority,
        description: body.description.patch(),
        is_enabled: body.is_enabled,
        workflow: body.approval_workflow_id.map(WorkflowId).patch(),
        overridable: body.overridable,
        shadow: body.shadow,
    };
    let saved = caller.config().update_rule(caller.who(), id, change).await?;
    Ok(axum::Json(shown(caller.who().account, saved)))
}

/// Removes a rule.
#[utoipa::path(delete, path = "/api/v1/access-rules/{id}", tag = "access-rules", responses((status = 204)))]
async fn delete(caller: Caller<ManageTools>, Id(id): Id<RuleId>) -> Result<StatusCode, ApiError> {
    caller.config().delete_rule(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn shown(account: AccountId, saved: SavedRule) -> AccessRule {
    let rule = &saved.config.rules[saved.position];
    AccessRule { warnings: saved.warnings, ..shape::rule(account, &saved.config, saved.position, rule) }
}
