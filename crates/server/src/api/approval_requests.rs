//! `/api/v1/approval-requests`

use std::time::Duration;

use preloop_api_types::approval_requests::{
    AllowAgain, ApprovalDecision, ApprovalEvent, ApprovalLink, ApprovalRequest, BatchDecision, BatchItem, BatchResult,
    CancelApproval, ListApprovals, Vote, VoteCast, VoteExtras,
};
use preloop_govern::{Allow, Answer, Approvals, Change, Enquiry, Error, Vote as Cast};
use preloop_store::{Approval, ApprovalFilter, ApprovalStatus, ExecutionState, Voter};
use preloop_types::{Amount, ApprovalId, Hash, Principal, SpendLimit, Subject, redact};
use serde_json::{Value, value::to_raw_value};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, DecideApprovals, ViewApprovals, note_viewed},
    error::{ApiError, ApiResult},
    extract::{Id, Json, OptionalJson, Query, limit},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(decide_batch))
        .routes(guarded!(batch_approve))
        .routes(guarded!(get))
        .routes(guarded!(history))
        .routes(guarded!(approve))
        .routes(guarded!(decline))
        .routes(guarded!(decide))
        .routes(guarded!(cancel))
        .routes(guarded!(link))
}

/// Requests for a human decision, newest first.
#[utoipa::path(get, path = "/api/v1/approval-requests", tag = "approval-requests", params(ListApprovals),
    responses((status = 200, body = Vec<ApprovalRequest>)))]
async fn list(caller: Caller<ViewApprovals>, Query(query): Query<ListApprovals>) -> ApiResult<Vec<ApprovalRequest>> {
    let status = match query.status.as_deref() {
        None | Some("" | "all") => Vec::new(),
        Some(word) => vec![ApprovalStatus::parse(word).ok_or_else(|| {
            let expected = "`pending`, `approved`, `declined`, `expired`, `cancelled`";
            ApiError::field("query", "status", format!("`{word}` is not one of {expected}"), "value_error")
        })?],
    };
    let limit = limit(query.limit, 50, 100)?;
    if query.execution_id.is_some() {
        // No request belongs to a flow run yet.
        return Ok(axum::Json(Vec::new()));
    }
    let filter = ApprovalFilter { status, requester_key: None, limit, skip: query.skip.unwrap_or(0) };
    let approvals = caller.governor().approvals().list(caller.who().account, filter).await?;
    let names = Names::of(&caller, caller.who(), &approvals).await?;
    Ok(axum::Json(approvals.iter().map(|approval| names.shown(approval)).collect()))
}

/// One request.
#[utoipa::path(get, path = "/api/v1/approval-requests/{id}", tag = "approval-requests",
    responses((status = 200, body = ApprovalRequest)))]
async fn get(caller: Caller<ViewApprovals>, Id(id): Id<ApprovalId>) -> ApiResult<ApprovalRequest> {
    let approval = caller.governor().approvals().get(caller.who().account, id).await?;
    note_viewed(&caller, &approval, Some(caller.who().user), "api").await;
    answer(&caller, caller.who(), &approval).await
}

/// What happened to a request, oldest first.
#[utoipa::path(get, path = "/api/v1/approval-requests/{id}/history", tag = "approval-requests",
    responses((status = 200, body = Vec<ApprovalEvent>)))]
async fn history(caller: Caller<ViewApprovals>, Id(id): Id<ApprovalId>) -> ApiResult<Vec<ApprovalEvent>> {
    let account = caller.who().account;
    let events = caller.governor().approvals().history(account, id).await?;
    let users = caller.store().account(account).users().await?;
    let shown = |(number, event): (usize, preloop_store::ApprovalEvent)| ApprovalEvent {
        id: format!("{id}.{}", number + 1),
        detail: event.detail.unwrap_or_default(),
        comment: event.comment,
        actor_email: event.actor.and_then(|actor| users.iter().find(|user| user.id == actor)?.email.clone()),
        actor_id: event.actor.map(|actor| actor.0),
        timestamp: shape::at(event.at),
        event_type: event.event_type,
    };
    Ok(axum::Json(events.into_iter().enumerate().map(shown).collect()))
}

/// Approves a request. Approving twice is no error; approving what was declined is.
#[utoipa::path(post, path = "/api/v1/approval-requests/{id}/approve", tag = "approval-requests",
    request_body = Vote, responses((status = 200, body = ApprovalRequest)))]
async fn approve(
    caller: Caller<DecideApprovals>,
    Id(id): Id<ApprovalId>,
    OptionalJson(vote): OptionalJson<Vote>,
) -> ApiResult<ApprovalRequest> {
    cast(&caller, id, vote_of(true, vote.comment, vote.extras)?).await
}

/// Declines a request.
#[utoipa::path(post, path = "/api/v1/approval-requests/{id}/decline", tag = "approval-requests",
    request_body = Vote, responses((status = 200, body = ApprovalRequest)))]
async fn decline(
    caller: Caller<DecideApprovals>,
    Id(id): Id<ApprovalId>,
    OptionalJson(vote): OptionalJson<Vote>,
) -> ApiResult<ApprovalRequest> {
    cast(&caller, id, vote_of(false, vote.comment, vote.extras)?).await
}

/// Approves or declines a request.
#[utoipa::path(post, path = "/api/v1/approval-requests/{id}/decide", tag = "approval-requests",
    responses((status = 200, body = ApprovalRequest)))]
async fn decide(
    caller: Caller<DecideApprovals>,
    Id(id): Id<ApprovalId>,
    Json(body): Json<ApprovalDecision>,
) -> ApiResult<ApprovalRequest> {
    cast(&caller, id, vote_of(body.approved, body.comment, body.extras)?).await
}

/// Approves or declines several requests. Each has its own outcome; one that fails stops none.
#[utoipa::path(post, path = "/api/v1/approval-requests/decide-batch", tag = "approval-requests",
    responses((status = 200, body = BatchResult)))]
async fn decide_batch(caller: Caller<DecideApprovals>, Json(body): Json<BatchDecision>) -> ApiResult<BatchResult> {
    batch(&caller, body).await
}

/// The same as `decide-batch`.
#[utoipa::path(post, path = "/api/v1/approval-requests/batch-approve", tag = "approval-requests",
    responses((status = 200, body = BatchResult)))]
async fn batch_approve(caller: Caller<DecideApprovals>, Json(body): Json<BatchDecision>) -> ApiResult<BatchResult> {
    batch(&caller, body).await
}

/// Withdraws a pending request; the agent is told that it will not be carried out.
#[utoipa::path(post, path = "/api/v1/approval-requests/{id}/cancel", tag = "approval-requests",
    request_body = CancelApproval, responses((status = 200, body = ApprovalRequest)))]
async fn cancel(
    caller: Caller<DecideApprovals>,
    Id(id): Id<ApprovalId>,
    OptionalJson(body): OptionalJson<CancelApproval>,
) -> ApiResult<ApprovalRequest> {
    let (who, approvals) = (caller.who(), caller.governor().approvals());
    let reason = body.reason.as_deref().unwrap_or("cancelled by an approver");
    if reason.len() > 4_096 {
        return Err(ApiError::field("body", "reason", "is longer than 4096 bytes", "value_error"));
    }
    approvals.get(who.account, id).await?;
    let cancelled = approvals.cancel(who.account, Subject::from(&**who), id, reason).await?;
    let now = approvals.get(who.account, id).await?;
    if !cancelled {
        return Err(ApiError::bad_request(format!("Request already {}", now.status.as_str())));
    }
    answer(&caller, who, &now).await
}

/// Makes a link of the caller's own to the page on which the request is decided.
#[utoipa::path(post, path = "/api/v1/approval-requests/{id}/link", tag = "approval-requests",
    responses((status = 200, body = ApprovalLink)))]
async fn link(caller: Caller<DecideApprovals>, Id(id): Id<ApprovalId>) -> ApiResult<ApprovalLink> {
    let url = caller.governor().approvals().link(caller.who(), id).await?;
    Ok(axum::Json(ApprovalLink { url }))
}

const BATCH_MAX: usize = 100;

async fn batch(caller: &Caller<DecideApprovals>, body: BatchDecision) -> ApiResult<BatchResult> {
    if body.ids.len() > BATCH_MAX {
        let message = format!("has {} items; at most {BATCH_MAX} are allowed", body.ids.len());
        return Err(ApiError::field("body", "ids", message, "value_error"));
    }
    let mut results = Vec::with_capacity(body.ids.len());
    for id in body.ids {
        let (account, request) = (caller.who().account, ApprovalId(id));
        if let Ok(found) = caller.governor().approvals().get(account, request).await
            && body.approved
            && question(&found).is_some_and(|question| !question.is_batchable())
        {
            let error = Some("a question is answered one by one".to_owned());
            results.push(BatchItem { id, ok: false, status: Some(found.status.as_str().to_owned()), error });
            continue;
        }
        let vote = Cast { approve: body.approved, comment: body.comment.clone(), ..Cast::default() };
        let item = match caller.governor().approvals().decide(caller.who(), ApprovalId(id), vote).await {
            Ok(now) => BatchItem { id, ok: true, status: Some(now.status.as_str().to_owned()), error: None },
            Err(Error::NotFound(_)) => BatchItem { id, ok: false, status: None, error: Some("not found".to_owned()) },
            Err(error) => BatchItem { id, ok: false, status: None, error: Some(ApiError::from(error).message()) },
        };
        results.push(item);
    }
    Ok(axum::Json(BatchResult { results }))
}

/// The vote as the body says it.
fn vote_of(approve: bool, comment: Option<String>, extras: VoteExtras) -> Result<Cast, ApiError> {
    let invalid = |field: &str, message: String| ApiError::field("body", field, message, "value_error");
    let shown = match extras.shown_hash {
        Some(text) => Some(text.parse::<Hash>().map_err(|error| invalid("shown_hash", error.to_string()))?),
        None => None,
    };
    let answer =
        Answer { answer_text: extras.answer_text, selected_option: extras.selected_option, answer: extras.answer };
    let edit = extras.edited_args.map(|edited| to_raw_value(&edited)).transpose();
    Ok(Cast {
        approve,
        comment,
        shown,
        answer: (answer != Answer::default()).then_some(answer),
        edit: edit.map_err(|error| invalid("edited_args", error.to_string()))?,
        allow: extras.allow_again.map(|allow| allow_of(&allow)).transpose()?,
    })
}

/// The bounds of a leave as the body says them.
pub(super) fn allow_of(allow: &AllowAgain) -> Result<Allow, ApiError> {
    let spend = match (&allow.spend_argument, &allow.spend_max) {
        (None, None) => None,
        (Some(argument), Some(max)) => {
            let max = Amount::parse(max).ok_or_else(|| {
                ApiError::field("body", "spend_max", format!("`{max}` is not a decimal number"), "value_error")
            })?;
            Some(SpendLimit { argument: argument.clone(), max })
        }
        _ => {
            let message = "`spend_argument` and `spend_max` go together";
            return Err(ApiError::field("body", "spend_max", message, "value_error"));
        }
    };
    Ok(Allow { lasts: Duration::from_secs(u64::from(allow.minutes) * 60), times: allow.times, spend })
}

/// What a request asks a person, where it is a question.
pub(crate) fn question(approval: &Approval) -> Option<Enquiry> {
    Enquiry::of(&approval.tool, &serde_json::from_str(approval.arguments().ok()?.get()).ok()?)
}

/// What the call would do, as it was shown.
pub(crate) fn preview_of(approval: &Approval) -> Option<Value> {
    serde_json::from_str(approval.preview().ok()??.get()).ok()
}

fn vote_shown(vote: &preloop_store::VoteCast) -> VoteCast {
    VoteCast {
        user_id: match vote.voter {
            Voter::User(user) => Some(user.0),
            Voter::Anonymous => None,
        },
        on_behalf_of: vote.on_behalf_of.map(|user| user.0),
        r#override: vote.overriding,
        approved: vote.approve,
        comment: vote.comment.clone(),
        via: vote.via.clone(),
        shown_hash: vote.shown.map(|hash| hash.to_string()),
        timestamp: shape::at(vote.at),
    }
}

async fn cast(caller: &Caller<DecideApprovals>, id: ApprovalId, vote: Cast) -> ApiResult<ApprovalRequest> {
    let decided = caller.governor().approvals().decide(caller.who(), id, vote).await?;
    answer(caller, caller.who(), &decided).await
}

async fn answer(app: &App, who: &Principal, approval: &Approval) -> ApiResult<ApprovalRequest> {
    Ok(axum::Json(Names::of(app, who, std::slice::from_ref(approval)).await?.shown(approval)))
}

/// The arguments as people may see them.
pub(crate) fn shown_arguments(approval: &Approval) -> Value {
    let mut arguments = match approval.arguments_to_run() {
        Ok(arguments) => serde_json::from_str(arguments.get()).unwrap_or_default(),
        Err(error) => {
            tracing::error!(approval = %approval.id, %error, "the arguments of a request cannot be read");
            Value::Null
        }
    };
    redact::redact(&mut arguments);
    arguments
}

/// What requests' ids are called, and what became of their webhooks.
struct Names {
    keys: Vec<preloop_store::KeyRow>,
    snapshot: std::sync::Arc<preloop_govern::Snapshot>,
    webhooks: Vec<(ApprovalId, preloop_store::ApprovalEvent)>,
    reviews: Vec<preloop_store::Review>,
}

impl Names {
    async fn of(app: &App, who: &Principal, approvals: &[Approval]) -> Result<Self, ApiError> {
        let store = app.store().account(who.account);
        let ids = || approvals.iter().map(|approval| approval.id);
        let (webhooks, reviews) = match (ids().min(), ids().max()) {
            (Some(first), Some(last)) => (store.webhook_events(first, last).await?, store.reviews(first, last).await?),
            _ => (Vec::new(), Vec::new()),
        };
        let snapshot = app.governor().snapshot(who.account).await?;
        Ok(Self { keys: store.keys().await?, snapshot, webhooks, reviews })
    }

    fn shown(&self, approval: &Approval) -> ApprovalRequest {
        let key = self.keys.iter().find(|key| key.id == approval.requester.key);
        let config = self.snapshot.ruleset.config(&approval.tool);
        let approvals = approval.votes.iter().filter(|vote| vote.approve).count();
        let execution = &approval.execution;
        let review = self.reviews.iter().find(|review| review.approval == approval.id);
        let mut webhooks = self.webhooks.iter().rev().filter(|(id, _)| *id == approval.id).map(|(_, event)| event);
        let (posted, failed) = match webhooks.next() {
            Some(event) if event.event_type == "notification_sent" => (Some(event.at), None),
            Some(event) => (None, event.detail.clone()),
            None => (None, None),
        };
        let execution_status = match execution.state {
            ExecutionState::None => None,
            ExecutionState::Claimed => Some("executing"),
            ExecutionState::Finished => Some(execution.outcome.map_or("finished", |outcome| outcome.as_str())),
            ExecutionState::Unknown => Some("unknown"),
        };
        let question = question(approval);
        let preview = preview_of(approval);
        let risk = preview.as_ref().and_then(|preview| preview.get("risk")?.as_str().map(str::to_owned));
        let changes = Approvals::changes_of(approval).unwrap_or_default();
        ApprovalRequest {
            shown_hash: approval.shown_hash.map(|hash| hash.to_string()),
            risk_level: if risk.as_deref() == Some("low") { "low" } else { "danger" }.to_owned(),
            preview,
            approver_user_ids: approval.approvers.iter().map(|user| user.0).collect(),
            escalated_at: shape::at_opt(approval.escalated_at),
            votes: approval.votes.iter().map(vote_shown).collect(),
            changes: changes.iter().map(Change::to_json).collect(),
            edited_by: approval.edit.map(|edit| edit.by.0),
            auto_approved_reason: approval.auto_approved.clone(),
            auto_approval_bypass_id: approval.bypass.map(|id| id.0),
            was_bypassed: approval.bypass.is_some(),
            decided_by_human: !approval.votes.is_empty(),
            is_question: question.as_ref().is_some_and(|question| question.wants_answer),
            has_answer_form: question.as_ref().is_some_and(Enquiry::has_form),
            allow_free_text: question.as_ref().is_some_and(|question| question.allow_free_text),
            question_options: question.as_ref().map(|question| question.options.clone()).unwrap_or_default(),
            question_items: question.as_ref().and_then(|question| serde_json::to_value(&question.items).ok()),
            question: question.as_ref().map(|question| question.text.clone()),
            question_schema: question.and_then(|question| question.schema),
            structured_answer: approval.answer().ok().flatten().and_then(|raw| serde_json::from_str(raw.get()).ok()),
            id: approval.id.0,
            account_id: approval.account.0,
            tool_configuration_id: config.map(|config| config.id.0),
            approval_workflow_id: approval.workflow.0,
            approval_policy_id: approval.workflow.0,
            tool_name: approval.tool.exposed.to_string(),
            server_name: Some(approval.tool.server.to_string()),
            tool_args: shown_arguments(approval),
            args_hash: approval.args_hash.to_string(),
            agent_reasoning: approval.justification.clone(),
            requested_by: key.map(|key| key.name.clone()),
            managed_agent_name: key.and_then(|key| Some(key.agent.as_ref()?.name.clone())),
            execution_id: None,
            status: approval.status.as_str().to_owned(),
            execution_status: execution_status.map(str::to_owned),
            requested_at: shape::at(approval.requested_at),
            resolved_at: shape::at_opt(approval.resolved_at),
            expires_at: Some(shape::at(approval.expires_at)),
            approver_comment: approval.comment.clone(),
            approvals_received: u32::try_from(approvals).unwrap_or(u32::MAX),
            approvals_required: approval.approvals_required,
            webhook_posted_at: shape::at_opt(posted),
            webhook_error: failed,
            decided_by_ai: review
                .is_some_and(|review| matches!(review.outcome.as_deref(), Some("approved" | "declined"))),
            ai_model: review.map(|review| review.model.clone()),
            ai_confidence: review
                .and_then(|review| review.confidence_permille)
                .map(|permille| f64::from(permille) / 1_000.0),
            ai_reasoning: review.and_then(|review| review.reasoning.clone()),
            rule_context: serde_json::from_str(approval.rule_context.0.get()).ok(),
        }
    }
}
