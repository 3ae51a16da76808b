//! `/api/v1/tool-configurations`

use http::StatusCode;
use preloop_api_types::{
    Message, Page,
    tool_configurations::{
        ConditionResult, CreateToolConfiguration, EvaluationContext, TestCondition, ToolConfiguration,
        UpdateToolConfiguration,
    },
};
use preloop_govern::config::{NewToolConfig, ToolConfigChange, test_condition};
use preloop_types::{
    AccountId, ServerId, ToolConfigId, WorkflowId,
    config::{ToolConfig, ToolSource},
};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, ManageTools, ViewTools},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Listed, Query, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(get))
        .routes(guarded!(update))
        .routes(guarded!(delete))
        .routes(guarded!(test))
}

/// What is configured for tools.
#[utoipa::path(get, path = "/api/v1/tool-configurations", tag = "tool-configurations", params(Page),
    responses((status = 200, body = Vec<ToolConfiguration>)))]
async fn list(caller: Caller<ViewTools>, Query(page): Query<Page>) -> Result<Listed<ToolConfiguration>, ApiError> {
    let account = caller.who().account;
    let configs = caller.store().account(account).tool_configs().await?;
    Ok(Listed::page(configs, &page)?.map(|config| shown(account, &config)))
}

/// Configures a tool.
#[utoipa::path(post, path = "/api/v1/tool-configurations", tag = "tool-configurations",
    responses((status = 201, body = ToolConfiguration)))]
async fn create(
    caller: Caller<ManageTools>,
    Json(body): Json<CreateToolConfiguration>,
) -> Result<(StatusCode, axum::Json<ToolConfiguration>), ApiError> {
    let source = match (body.tool_source.as_str(), body.mcp_server_id) {
        ("builtin" | "preloop_builtin", None) => ToolSource::Builtin,
        ("agent", None) => ToolSource::Agent,
        ("mcp", Some(server)) => ToolSource::Server(ServerId(server)),
        ("mcp", None) => ToolSource::AnyServer,
        ("builtin" | "preloop_builtin", Some(_)) => {
            return Err(ApiError::bad_request("a built-in tool has no MCP server; use tool_source `mcp`"));
        }
        (other, _) => {
            return Err(ApiError::bad_request(format!(
                "tool_source `{other}` is not one of `builtin`, `mcp`, `agent`"
            )));
        }
    };
    let change = ToolConfigChange {
        is_enabled: Some(body.is_enabled),
        workflow: Some(body.approval_workflow_id.map(WorkflowId)),
        justification: Some(body.justification_mode),
        description: Some(body.tool_description),
        custom_config: Some(body.custom_config),
    };
    let new = NewToolConfig { tool_name: body.tool_name, source, change };
    let config = caller.config().create_tool_config(caller.who(), new).await?;
    Ok(created(shown(caller.who().account, &config)))
}

/// What is configured for one tool.
#[utoipa::path(get, path = "/api/v1/tool-configurations/{id}", tag = "tool-configurations",
    responses((status = 200, body = ToolConfiguration)))]
async fn get(caller: Caller<ViewTools>, Id(id): Id<ToolConfigId>) -> ApiResult<ToolConfiguration> {
    let account = caller.who().account;
    Ok(axum::Json(shown(account, &find(&caller, account, id).await?)))
}

/// Changes what is configured for a tool.
#[utoipa::path(put, path = "/api/v1/tool-configurations/{id}", tag = "tool-configurations",
    responses((status = 200, body = ToolConfiguration)))]
async fn update(
    caller: Caller<ManageTools>,
    Id(id): Id<ToolConfigId>,
    Json(body): Json<UpdateToolConfiguration>,
) -> ApiResult<ToolConfiguration> {
    let change = ToolConfigChange {
        is_enabled: body.is_enabled,
        workflow: body.approval_workflow_id.map(WorkflowId).patch(),
        justification: body.justification_mode.patch(),
        description: body.tool_description.patch(),
        custom_config: body.custom_config.patch(),
    };
    let config = caller.config().update_tool_config(caller.who(), id, change).await?;
    Ok(axum::Json(shown(caller.who().account, &config)))
}

/// Removes what is configured for a tool, with its rules.
#[utoipa::path(delete, path = "/api/v1/tool-configurations/{id}", tag = "tool-configurations",
    responses((status = 200, body = Message)))]
async fn delete(caller: Caller<ManageTools>, Id(id): Id<ToolConfigId>) -> ApiResult<Message> {
    caller.config().delete_tool_config(caller.who(), id).await?;
    Ok(axum::Json(Message { message: "Tool configuration deleted".to_owned() }))
}

/// Tries a CEL condition on sample arguments.
#[utoipa::path(post, path = "/api/v1/tool-configurations/{id}/approval-condition/test",
    tag = "tool-configurations", responses((status = 200, body = ConditionResult)))]
async fn test(
    caller: Caller<ManageTools>,
    Id(id): Id<ToolConfigId>,
    Json(body): Json<TestCondition>,
) -> ApiResult<ConditionResult> {
    let config = find(&caller, caller.who().account, id).await?;
    let outcome = test_condition(caller.who(), &config, &body.expression, &body.sample_args, caller.store().now());
    let (result, error) = match outcome {
        Ok(result) => (Some(result), None),
        Err(error) => (None, Some(error)),
    };
    let evaluation_context = EvaluationContext { expression: body.expression, sample_args: body.sample_args, result };
    Ok(axum::Json(ConditionResult { matches: result == Some(true), error, evaluation_context }))
}

pub(super) async fn find(app: &App, account: AccountId, id: ToolConfigId) -> Result<ToolConfig, ApiError> {
    let found = app.store().account(account).tool_config(id).await?;
    found.ok_or_else(|| ApiError::not_found("tool configuration"))
}

fn shown(account: AccountId, config: &ToolConfig) -> ToolConfiguration {
    let (source, server) = match config.source {
        ToolSource::Builtin => ("builtin", None),
        ToolSource::AnyServer => ("mcp", None),
        ToolSource::Agent => ("agent", None),
        ToolSource::Server(id) => ("mcp", Some(id.0)),
    };
    ToolConfiguration {
        id: config.id.0,
        account_id: account.0,
        tool_name: config.tool_name.clone(),
        tool_source: source.to_owned(),
        mcp_server_id: server,
        is_enabled: config.is_enabled,
        approval_workflow_id: config.workflow.map(|id| id.0),
        tool_description: config.description.clone(),
        justification_mode: config.justification,
        custom_config: config.custom_config.as_ref().and_then(|raw| serde_json::from_str(raw.0.get()).ok()),
        access_rules: shape::rules(account, config),
    }
}
