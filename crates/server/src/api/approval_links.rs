//! `/approval/{id}/…?token=…`: deciding with a link instead of a credential, as JSON. The page for
//! people is in [`crate::page`].

use preloop_api_types::approval_requests::{LinkToken, PublicApproval, PublicComment, PublicDecision, PublicEvent};
use preloop_govern::{Answer, Error, Vote};
use preloop_store::Approval;
use preloop_types::{ApprovalId, redact};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use super::{preview_of, question, shape, shown_arguments};
use crate::{
    App,
    caller::Visitor,
    error::{ApiError, ApiResult},
    extract::{Id, Json, OptionalJson, Query},
    openapi::open,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(open!(data)).routes(open!(decide)).routes(open!(approve)).routes(open!(decline))
}

/// The request a link leads to.
#[utoipa::path(get, path = "/approval/{id}/data", tag = "approval-links", params(LinkToken),
    responses((status = 200, body = PublicApproval)))]
async fn data(visitor: Visitor, Id(id): Id<ApprovalId>, Query(link): Query<LinkToken>) -> ApiResult<PublicApproval> {
    let approval = visitor.approval(id, &link.token).await?;
    shown(&visitor, &approval).await
}

/// Approves or declines the request a link leads to.
#[utoipa::path(post, path = "/approval/{id}/decide", tag = "approval-links", params(LinkToken),
    responses((status = 200, body = PublicApproval)))]
async fn decide(
    visitor: Visitor,
    Id(id): Id<ApprovalId>,
    Query(link): Query<LinkToken>,
    Json(body): Json<PublicDecision>,
) -> ApiResult<PublicApproval> {
    let approve = match body.action.as_str() {
        "approve" => true,
        "decline" => false,
        other => {
            return Err(ApiError::bad_request(format!("action `{other}` is not one of `approve`, `decline`")));
        }
    };
    cast(&visitor, id, &link, approve, (body.comment, body.answer)).await
}

/// Approves the request a link leads to.
#[utoipa::path(post, path = "/approval/{id}/approve", tag = "approval-links", params(LinkToken),
    request_body = PublicComment, responses((status = 200, body = PublicApproval)))]
async fn approve(
    visitor: Visitor,
    Id(id): Id<ApprovalId>,
    Query(link): Query<LinkToken>,
    OptionalJson(body): OptionalJson<PublicComment>,
) -> ApiResult<PublicApproval> {
    cast(&visitor, id, &link, true, (body.comment, body.answer)).await
}

/// Declines the request a link leads to.
#[utoipa::path(post, path = "/approval/{id}/decline", tag = "approval-links", params(LinkToken),
    request_body = PublicComment, responses((status = 200, body = PublicApproval)))]
async fn decline(
    visitor: Visitor,
    Id(id): Id<ApprovalId>,
    Query(link): Query<LinkToken>,
    OptionalJson(body): OptionalJson<PublicComment>,
) -> ApiResult<PublicApproval> {
    cast(&visitor, id, &link, false, (body.comment, body.answer)).await
}

async fn cast(
    visitor: &Visitor,
    id: ApprovalId,
    link: &LinkToken,
    approve: bool,
    (comment, answer): (Option<String>, Option<Value>),
) -> ApiResult<PublicApproval> {
    visitor.approval(id, &link.token).await?;
    let answer = answer.map(|answer| match answer {
        Value::Object(form) => Answer { answer: Some(form), ..Answer::default() },
        Value::String(text) => Answer { answer_text: Some(text), ..Answer::default() },
        other => Answer { answer_text: Some(other.to_string()), ..Answer::default() },
    });
    let vote = Vote { approve, comment, answer, ..Vote::default() };
    let decided = visitor.governor().approvals().decide_by_token(id, &link.token, vote).await;
    let approval = decided.map_err(|error| match error {
        Error::NotFound(_) => Visitor::no_such_link(),
        error => error.into(),
    })?;
    shown(visitor, &approval).await
}

async fn shown(app: &App, approval: &Approval) -> ApiResult<PublicApproval> {
    let question = question(approval);
    let events = app.governor().approvals().history(approval.account, approval.id).await?;
    let history = events.into_iter().map(|event| PublicEvent {
        event_type: event.event_type,
        detail: event.detail.unwrap_or_default(),
        comment: event.comment,
        timestamp: shape::at(event.at),
    });
    let clean = |text: &String| redact::redact_text(text).unwrap_or_else(|| text.clone());
    Ok(axum::Json(PublicApproval {
        shown_hash: approval.shown_hash.map(|hash| hash.to_string()),
        preview: preview_of(approval),
        question_options: question.as_ref().map(|asked| asked.options.clone()).unwrap_or_default(),
        allow_free_text: question.as_ref().is_some_and(|asked| asked.allow_free_text),
        question: question.as_ref().map(|asked| asked.text.clone()),
        question_schema: question.and_then(|asked| asked.schema),
        id: approval.id.0,
        tool_name: approval.tool.exposed.to_string(),
        server_name: Some(approval.tool.server.to_string()),
        tool_args: shown_arguments(approval),
        agent_reasoning: approval.justification.as_ref().map(clean),
        status: approval.status.as_str().to_owned(),
        requested_at: shape::at(approval.requested_at),
        resolved_at: shape::at_opt(approval.resolved_at),
        expires_at: Some(shape::at(approval.expires_at)),
        require_reason: approval.require_reason,
        history: history.collect(),
    }))
}
