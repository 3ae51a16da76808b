//! `/api/v1/approval-workflows`

use http::StatusCode;
use preloop_api_types::{
    JsonObject, Message, Page,
    approval_workflows::{
        ApprovalWorkflow, CreateApprovalWorkflow, UpdateApprovalWorkflow, WebhookSecret, WorkflowFields,
    },
};
use preloop_govern::config::{DecidersChange, Patch, SavedWorkflow, WorkflowChange};
use preloop_types::{
    AccountId, ReviewFallback, Reviewer, TeamId, UserId, WorkflowId,
    config::{RawJson, Workflow},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json, value::to_raw_value};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, ManageApprovalWorkflows, ViewApprovals},
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
        .routes(guarded!(rotate_secret))
}

/// The account's workflows.
#[utoipa::path(get, path = "/api/v1/approval-workflows", tag = "approval-workflows", params(Page),
    responses((status = 200, body = Vec<ApprovalWorkflow>)))]
async fn list(caller: Caller<ViewApprovals>, Query(page): Query<Page>) -> Result<Listed<ApprovalWorkflow>, ApiError> {
    let account = caller.who().account;
    let workflows = caller.store().account(account).workflows().await?;
    Ok(Listed::page(workflows, &page)?.map(|workflow| shown(account, workflow)))
}

/// Makes a workflow. The key that signs its webhook's requests is only in this answer.
#[utoipa::path(post, path = "/api/v1/approval-workflows", tag = "approval-workflows",
    responses((status = 201, body = ApprovalWorkflow)))]
async fn create(
    caller: Caller<ManageApprovalWorkflows>,
    Json(body): Json<CreateApprovalWorkflow>,
) -> Result<(StatusCode, axum::Json<ApprovalWorkflow>), ApiError> {
    let change = change(Some(body.name), body.fields)?;
    let saved = caller.config().create_workflow(caller.who(), change).await?;
    Ok(created(saved_shown(caller.who().account, saved)))
}

/// One workflow.
#[utoipa::path(get, path = "/api/v1/approval-workflows/{id}", tag = "approval-workflows",
    responses((status = 200, body = ApprovalWorkflow)))]
async fn get(caller: Caller<ViewApprovals>, Id(id): Id<WorkflowId>) -> ApiResult<ApprovalWorkflow> {
    let account = caller.who().account;
    let found = caller.store().account(account).workflow(id).await?;
    let workflow = found.filter(|workflow| workflow.deleted_at.is_none());
    let workflow = workflow.ok_or_else(|| ApiError::not_found("approval workflow"))?;
    Ok(axum::Json(shown(account, workflow)))
}

/// Changes a workflow. Open requests keep the deadline and quorum they were made with.
#[utoipa::path(put, path = "/api/v1/approval-workflows/{id}", tag = "approval-workflows",
    responses((status = 200, body = ApprovalWorkflow)))]
async fn update(
    caller: Caller<ManageApprovalWorkflows>,
    Id(id): Id<WorkflowId>,
    Json(body): Json<UpdateApprovalWorkflow>,
) -> ApiResult<ApprovalWorkflow> {
    let change = change(body.name, body.fields)?;
    let saved = caller.config().update_workflow(caller.who(), id, change).await?;
    Ok(axum::Json(saved_shown(caller.who().account, saved)))
}

/// Deletes a workflow that nothing names any more. Its requests stay readable.
#[utoipa::path(delete, path = "/api/v1/approval-workflows/{id}", tag = "approval-workflows",
    responses((status = 200, body = Message)))]
async fn delete(caller: Caller<ManageApprovalWorkflows>, Id(id): Id<WorkflowId>) -> ApiResult<Message> {
    caller.config().delete_workflow(caller.who(), id).await?;
    Ok(axum::Json(Message { message: "Approval workflow deleted".to_owned() }))
}

/// Makes a new key that signs the webhook's requests; the old one ends at once.
#[utoipa::path(post, path = "/api/v1/approval-workflows/{id}/webhook-secret/rotate", tag = "approval-workflows",
    responses((status = 200, body = WebhookSecret)))]
async fn rotate_secret(caller: Caller<ManageApprovalWorkflows>, Id(id): Id<WorkflowId>) -> ApiResult<WebhookSecret> {
    let secret = caller.config().rotate_webhook_secret(caller.who(), id).await?;
    Ok(axum::Json(WebhookSecret { webhook_secret: secret.expose_secret().to_owned() }))
}

fn change(name: Option<String>, fields: WorkflowFields) -> Result<WorkflowChange, ApiError> {
    one_of(
        "approval_type",
        fields.approval_type.as_deref(),
        &["standard", "manual", "webhook", "slack", "mattermost"],
    )?;
    let reviewer = reviewer(&fields)?;
    let users = |ids: Vec<_>| ids.into_iter().map(UserId).collect();
    let teams = |ids: Vec<_>| ids.into_iter().map(TeamId).collect();
    Ok(WorkflowChange {
        name,
        description: fields.description.patch(),
        timeout_seconds: fields.timeout_seconds,
        require_reason: fields.require_reason,
        is_default: fields.is_default,
        async_approval: fields.async_approval_enabled,
        approvals_required: fields.approvals_required,
        deciders: DecidersChange {
            approvers: fields.approver_user_ids.map(users),
            approver_teams: fields.approver_team_ids.map(teams),
            escalation_users: fields.escalation_user_ids.map(users),
            escalation_teams: fields.escalation_team_ids.map(teams),
            escalation_workflow: fields.escalation_workflow_id.map(WorkflowId).patch(),
            no_self_approval: fields.no_self_approval,
            separation_of_duties: fields.separation_of_duties,
            allow_edits: fields.allow_edits,
            reviewer,
        },
        channels: fields.channel_configs,
        workflow_type: fields.workflow_type,
    })
}

/// What is said of the reviewer: a mode, or a model.
fn reviewer(fields: &WorkflowFields) -> Result<Patch<Reviewer>, ApiError> {
    let wrong = |field: &str, message: String| ApiError::field("body", field, message, "value_error");
    one_of("approval_mode", fields.approval_mode.as_deref(), &["standard", "ai_driven"])?;
    let Some(model) = &fields.ai_model else {
        return match fields.approval_mode.as_deref() {
            Some("standard") => Ok(Some(None)),
            Some(_) => Err(wrong("ai_model", "is missing; `ai_driven` needs a model".to_owned())),
            None => Ok(None),
        };
    };
    let default = Reviewer::of(model);
    let fallback = match fields.ai_fallback_behavior.as_deref() {
        None => default.fallback,
        Some(word) => ReviewFallback::parse(word).ok_or_else(|| {
            wrong("ai_fallback_behavior", format!("`{word}` is not one of `escalate`, `approve`, `deny`"))
        })?,
    };
    let threshold_permille = match fields.ai_confidence_threshold {
        None => default.threshold_permille,
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 1000")]
        Some(number) if (0.0..=1.0).contains(&number) => (number * 1_000.0).round() as u16,
        Some(number) => return Err(wrong("ai_confidence_threshold", format!("`{number}` is not from 0 to 1"))),
    };
    let context = fields.ai_context.as_ref().and_then(|context| to_raw_value(context).ok().map(RawJson));
    let guidelines = fields.ai_guidelines.clone();
    Ok(Some(Some(Reviewer { guidelines, context, threshold_permille, fallback, ..default })))
}

/// Words that other systems of the field accept; what is not built is refused by name rather than
/// stored without effect.
fn one_of(field: &str, word: Option<&str>, allowed: &[&str]) -> Result<(), ApiError> {
    match word {
        Some(word) if !allowed.contains(&word) => {
            let allowed: Vec<_> = allowed.iter().map(|word| format!("`{word}`")).collect();
            let message = format!("`{word}` is not one of {}", allowed.join(", "));
            Err(ApiError::field("body", field, message, "value_error"))
        }
        _ => Ok(()),
    }
}

fn saved_shown(account: AccountId, saved: SavedWorkflow) -> ApprovalWorkflow {
    let webhook_secret = saved.webhook_secret.map(|secret| secret.expose_secret().to_owned());
    ApprovalWorkflow { webhook_secret, warnings: saved.warnings, ..shown(account, saved.workflow) }
}

fn shown(account: AccountId, workflow: Workflow) -> ApprovalWorkflow {
    let kind = workflow.extra.get("workflow_type").and_then(|raw| serde_json::from_str(raw.0.get()).ok());
    let mut channels = JsonObject::new();
    if let Some(webhook) = &workflow.channels.webhook {
        let headers: JsonObject =
            webhook.headers.iter().map(|name| (name.clone(), json!({"redacted": true}))).collect();
        channels.insert("webhook".to_owned(), json!({"url": webhook.url, "headers": headers}));
    }
    for (name, fields) in &workflow.channels.sealed {
        let fields: JsonObject = fields.iter().map(|field| (field.clone(), json!({"redacted": true}))).collect();
        channels.insert(name.clone(), Value::Object(fields));
    }
    let kind_of_channel = ["slack", "mattermost", "webhook"].into_iter().find(|name| channels.contains_key(*name));
    if !workflow.channels.email.is_empty() {
        channels.insert("email".to_owned(), Value::from(workflow.channels.email));
    }
    if workflow.channels.elicitation {
        channels.insert("elicitation".to_owned(), Value::from(true));
    }
    let settings = &workflow.settings;
    let users = |ids: &[UserId]| ids.iter().map(|id| id.0).collect();
    let teams = |ids: &[TeamId]| ids.iter().map(|id| id.0).collect();
    ApprovalWorkflow {
        id: workflow.id.0,
        account_id: account.0,
        name: workflow.name,
        description: workflow.description,
        approval_type: kind_of_channel.unwrap_or("standard").to_owned(),
        approval_mode: if settings.reviewer.is_some() { "ai_driven" } else { "standard" }.to_owned(),
        workflow_type: kind.unwrap_or_else(|| "simple".to_owned()),
        timeout_seconds: workflow.timeout_seconds,
        require_reason: workflow.require_reason,
        is_default: workflow.is_default,
        async_approval_enabled: workflow.async_approval,
        approvals_required: workflow.approvals_required,
        approver_user_ids: users(&workflow.approvers),
        approver_team_ids: teams(&settings.approver_teams),
        escalation_user_ids: users(&settings.escalation_users),
        escalation_team_ids: teams(&settings.escalation_teams),
        escalation_workflow_id: settings.escalation_workflow.map(|id| id.0),
        no_self_approval: settings.no_self_approval,
        separation_of_duties: settings.separation_of_duties,
        allow_edits: settings.allow_edits,
        ai_model: settings.reviewer.as_ref().map(|reviewer| reviewer.model.clone()),
        ai_guidelines: settings.reviewer.as_ref().and_then(|reviewer| reviewer.guidelines.clone()),
        ai_context: settings
            .reviewer
            .as_ref()
            .and_then(|reviewer| serde_json::from_str(reviewer.context.as_ref()?.0.get()).ok()),
        ai_confidence_threshold: settings
            .reviewer
            .as_ref()
            .map(|reviewer| f64::from(reviewer.threshold_permille) / 1_000.0),
        ai_fallback_behavior: settings.reviewer.as_ref().map(|reviewer| reviewer.fallback.as_str().to_owned()),
        channel_configs: channels,
        created_at: shape::at(workflow.created_at),
        updated_at: shape::at(workflow.updated_at),
        webhook_secret: None,
        warnings: Vec::new(),
    }
}
