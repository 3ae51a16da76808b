//! `/api/v1/runtime-sessions` and their tokens

use std::{collections::HashMap, time::Duration};

use http::StatusCode;
use preloop_api_types::{
    runtime_sessions::{
        Activity, ChangeSession, CreateSessionToken, ListSessions, RuntimeSession, SessionDetail, SessionPage,
        SessionToken, Timeline, TimelineQuery,
    },
    usage::{SearchUsage, UsagePage},
};
use preloop_govern::config::NewSessionToken;
use preloop_store::{
    self as store, AccountStore, KeyRow, Order, Record, RecordFilter, SessionFilter, UsageBy, UsageFilter,
};
use preloop_types::{AgentId, EntryKind, KeyId, SessionId, Subject, Timestamp};
use secrecy::ExposeSecret;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;

use super::{calls, shape, usage};
use crate::{
    App,
    caller::{Caller, ExecuteTools, ManageRuntimeSessions, ViewRuntimeSessions},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Query, created, limit},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(get))
        .routes(guarded!(change))
        .routes(guarded!(interactions))
        .routes(guarded!(activity))
        .routes(guarded!(create_token))
}

/// Runs of agents, those that were active last first.
#[utoipa::path(get, path = "/api/v1/runtime-sessions", tag = "runtime-sessions", params(ListSessions),
    responses((status = 200, body = SessionPage)))]
async fn list(caller: Caller<ViewRuntimeSessions>, Query(query): Query<ListSessions>) -> ApiResult<SessionPage> {
    let rows = caller.store().account(caller.who().account);
    let wanted = limit(query.limit, 20, 100)?;
    let after = match query.after {
        None => None,
        Some(id) => {
            let last = find(&rows, SessionId(id)).await?;
            Some((last.last_activity_at, last.id))
        }
    };
    let filter = SessionFilter {
        ended: match query.status.as_deref() {
            None | Some("all") => None,
            Some("active") => Some(false),
            Some("ended") => Some(true),
            Some(other) => {
                let message = format!("`{other}` is not one of `all`, `active`, `ended`");
                return Err(ApiError::field("query", "status", message, "value_error"));
            }
        },
        source_type: query.session_source_type,
        agent: query.managed_agent_id.map(AgentId),
        key: query.api_key_id.map(KeyId),
        since: query.start_date.map(Into::into),
        until: query.end_date.map(Into::into),
        query: query.query,
        after,
        limit: wanted,
    };
    let sessions = rows.runtime_sessions(filter).await?;
    let next = (sessions.len() == wanted as usize).then(|| sessions.last().map(|last| last.id.0)).flatten();
    let names = Names::of(&rows).await?;
    let mut items = Vec::with_capacity(sessions.len());
    for session in sessions {
        items.push(shown(&rows, session, &names, caller.store().now()).await?);
    }
    Ok(axum::Json(SessionPage { items, next }))
}

/// One run of an agent with what it used of each model.
#[utoipa::path(get, path = "/api/v1/runtime-sessions/{id}", tag = "runtime-sessions",
    responses((status = 200, body = SessionDetail)))]
async fn get(caller: Caller<ViewRuntimeSessions>, Id(id): Id<SessionId>) -> ApiResult<SessionDetail> {
    let rows = caller.store().account(caller.who().account);
    let session = find(&rows, id).await?;
    let used = rows.usage(UsageFilter { session: Some(id), ..UsageFilter::default() }, UsageBy::Model).await?;
    let names = Names::of(&rows).await?;
    Ok(axum::Json(SessionDetail {
        session: shown(&rows, session, &names, caller.store().now()).await?,
        usage_by_model: used.into_iter().map(usage::usage_of).collect(),
    }))
}

/// Ends a run for good, its calls and tokens with it; or lets whoever ran it begin another again.
#[utoipa::path(patch, path = "/api/v1/runtime-sessions/{id}", tag = "runtime-sessions",
    responses((status = 200, body = RuntimeSession)))]
async fn change(
    caller: Caller<ManageRuntimeSessions>,
    Id(id): Id<SessionId>,
    Json(body): Json<ChangeSession>,
) -> ApiResult<RuntimeSession> {
    let who = caller.who();
    let rows = caller.store().account(who.account);
    find(&rows, id).await?;
    let by = Subject::from(&**who);
    match body.action.as_str() {
        "end" => {
            let reason = body.reason.as_deref().unwrap_or("ended by a person");
            if reason.chars().count() > REASON_MAX {
                let message = format!("is longer than {REASON_MAX} characters");
                return Err(ApiError::field("body", "reason", message, "value_error"));
            }
            caller.governor().sessions().end(who.account, id, by, reason, body.block).await?;
            caller.config().revoke_session_keys(who, id).await?;
        }
        "unblock" => drop(caller.governor().sessions().unblock(who.account, id, by).await?),
        other => {
            let message = format!("`{other}` is not one of `end`, `unblock`");
            return Err(ApiError::field("body", "action", message, "value_error"));
        }
    }
    let session = find(&rows, id).await?;
    Ok(axum::Json(shown(&rows, session, &Names::of(&rows).await?, caller.store().now()).await?))
}

const REASON_MAX: usize = 500;

/// The model calls of a run, newest first.
#[utoipa::path(get, path = "/api/v1/runtime-sessions/{id}/interactions", tag = "runtime-sessions",
    params(SearchUsage), responses((status = 200, body = UsagePage)))]
async fn interactions(
    caller: Caller<ViewRuntimeSessions>,
    Id(id): Id<SessionId>,
    Query(query): Query<SearchUsage>,
) -> ApiResult<UsagePage> {
    let rows = caller.store().account(caller.who().account);
    find(&rows, id).await?;
    let wanted = limit(query.limit, 50, 100)? as usize;
    let query = SearchUsage { runtime_session_id: Some(id.0), ..query };
    Ok(axum::Json(calls::search(&rows, query, wanted).await?))
}

/// Everything that happened in a run, oldest first: model calls, tool calls, decisions of people.
#[utoipa::path(get, path = "/api/v1/runtime-sessions/{id}/activity", tag = "runtime-sessions",
    params(TimelineQuery), responses((status = 200, body = Timeline)))]
async fn activity(
    caller: Caller<ViewRuntimeSessions>,
    Id(id): Id<SessionId>,
    Query(query): Query<TimelineQuery>,
) -> ApiResult<Timeline> {
    let rows = caller.store().account(caller.who().account);
    find(&rows, id).await?;
    let wanted = limit(query.limit, 100, 1_000)?;
    let after = query.after.as_deref().map(str::parse).transpose();
    let after =
        after.map_err(|error: store::Error| ApiError::field("query", "after", error.to_string(), "value_error"))?;
    let filter =
        RecordFilter { session: Some(id), order: Order::OldestFirst, after, limit: wanted, ..RecordFilter::default() };
    let records = rows.records(filter).await?;
    let next = (records.len() == wanted as usize).then(|| records.last().map(|last| last.cursor().to_string()));
    Ok(axum::Json(Timeline { items: records.iter().filter_map(happened).collect(), next: next.flatten() }))
}

/// Begins a run of an agent, or joins the open one of that name, and makes a short-lived token that is
/// bound to it. The token ends with the run.
#[utoipa::path(post, path = "/api/v1/auth/runtime-sessions/token", tag = "runtime-sessions",
    responses((status = 201, body = SessionToken)))]
async fn create_token(
    caller: Caller<ExecuteTools>,
    Json(body): Json<CreateSessionToken>,
) -> Result<(StatusCode, axum::Json<SessionToken>), ApiError> {
    let minutes = body.expires_in_minutes.unwrap_or(TOKEN_MINUTES);
    if !(1..=TOKEN_MINUTES_MAX).contains(&minutes) {
        let message = format!("`{minutes}` is not between 1 and {TOKEN_MINUTES_MAX}");
        return Err(ApiError::field("body", "expires_in_minutes", message, "value_error"));
    }
    let new = NewSessionToken {
        source_type: body.session_source_type.clone(),
        source_id: body.session_source_id.clone(),
        reference: body.session_reference.clone(),
        agent_id: body.runtime_principal_id,
        agent_name: body.runtime_principal_name,
        lifetime: Duration::from_secs(u64::from(minutes) * 60),
        scopes: body.scopes,
        allowed_tools: body.allowed_tools,
        allowed_servers: body.allowed_servers,
        allowed_models: body.allowed_models,
    };
    let made = caller.config().create_session_token(caller.who(), new).await?;
    Ok(created(SessionToken {
        runtime_session_id: made.session.0,
        token: made.secret.expose_secret().to_owned(),
        api_key_id: made.key.id.0,
        expires_at: made.key.expires_at.map(shape::at).unwrap_or_default(),
        session_source_type: body.session_source_type,
        session_source_id: body.session_source_id,
        session_reference: body.session_reference,
    }))
}

const TOKEN_MINUTES: u32 = 120;
const TOKEN_MINUTES_MAX: u32 = 1_440;

async fn find(rows: &AccountStore, id: SessionId) -> Result<store::RuntimeSession, ApiError> {
    rows.runtime_session(id).await?.ok_or_else(|| ApiError::not_found("runtime session"))
}

/// Names of keys and agents.
struct Names {
    keys: HashMap<KeyId, String>,
    agents: HashMap<AgentId, String>,
}

impl Names {
    async fn of(rows: &AccountStore) -> Result<Self, ApiError> {
        let keys: Vec<KeyRow> = rows.keys().await?;
        let agents = keys.iter().filter_map(|key| key.agent.as_ref());
        Ok(Self {
            agents: agents.map(|agent| (agent.id, agent.name.clone())).collect(),
            keys: keys.into_iter().map(|key| (key.id, key.name)).collect(),
        })
    }
}

/// A run that was used this lately is active.
const ACTIVE: Duration = Duration::from_mins(10);

async fn shown(
    rows: &AccountStore,
    session: store::RuntimeSession,
    names: &Names,
    now: Timestamp,
) -> Result<RuntimeSession, ApiError> {
    let used = rows.usage_total(UsageFilter { session: Some(session.id), ..UsageFilter::default() }).await?;
    let is_active_now = session.ended_at.is_none() && now.since(session.last_activity_at) <= ACTIVE;
    let activity_status = match session.ended_at {
        Some(_) => "ended",
        None if is_active_now => "active_now",
        None => "idle",
    };
    let (principal_type, principal_id, name) = match session.agent {
        Some(agent) => ("managed_agent", agent.0, names.agents.get(&agent)),
        None => ("api_key", session.key.0, names.keys.get(&session.key)),
    };
    Ok(RuntimeSession {
        id: session.id.0,
        session_source_type: session.source_type,
        session_source_id: session.source_id,
        runtime_principal_type: principal_type.to_owned(),
        runtime_principal_id: principal_id,
        runtime_principal_name: name.cloned(),
        api_key_id: session.key.0,
        owner_user_id: session.user.0,
        parent_session_id: session.parent.map(|id| id.0),
        client: session.client,
        started_at: shape::at(session.started_at),
        last_activity_at: shape::at(session.last_activity_at),
        ended_at: shape::at_opt(session.ended_at),
        end_reason: session.end_reason,
        blocked: session.blocked,
        activity_status: activity_status.to_owned(),
        is_active_now,
        usage: usage::sums(used),
    })
}

/// One entry of a timeline; `None` for records that only prepare another.
fn happened(record: &Record) -> Option<Activity> {
    let body: Value = serde_json::from_str(record.body.get()).unwrap_or_default();
    let said = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let tool = said("tool").or_else(|| said("exposed"));
    let model = said("model");
    let on =
        |what: &str, name: Option<&String>| name.map_or_else(|| what.to_owned(), |name| format!("{what} `{name}`"));
    let (activity_type, title) = match record.kind {
        EntryKind::CallIntent => ("tool_call", on("calls tool", tool.as_ref())),
        EntryKind::CallOutcome => ("tool_result", on("tool answered", tool.as_ref())),
        EntryKind::CallRefused => ("policy_decision", on("was refused tool", tool.as_ref())),
        EntryKind::ApprovalRequested => ("approval_requested", on("asked for approval of", tool.as_ref())),
        EntryKind::ApprovalVoted | EntryKind::ApprovalResolved => {
            ("approval_decided", "approval was decided".to_owned())
        }
        // The outcome says all of it.
        EntryKind::ModelIntent => return None,
        EntryKind::ModelOutcome => ("model_interaction", on("called model", model.as_ref())),
        EntryKind::ModelRerouted => ("model_rerouted", on("went on with model", model.as_ref())),
        EntryKind::ModelRefused => {
            ("model_refused", on("was refused model", model.as_ref().or(said("requested").as_ref())))
        }
        EntryKind::SessionStarted => ("session_started", "began".to_owned()),
        EntryKind::SessionEnded => ("session_ended", "was ended".to_owned()),
        EntryKind::SessionUnblocked => ("session_unblocked", "may begin again".to_owned()),
        EntryKind::BudgetSoftReached => ("budget_warning", "passed a soft limit".to_owned()),
        EntryKind::BudgetHardReached => ("budget_denied", "reached a hard limit".to_owned()),
        other => (other.as_str(), other.as_str().to_owned()),
    };
    Some(Activity {
        id: record.cursor().to_string(),
        activity_type: activity_type.to_owned(),
        timestamp: shape::at(record.at),
        title,
        status: said("status"),
        correlation_id: record.call.map(|call| call.0),
        tool_name: tool,
        server_name: said("server"),
        model_alias: model,
        cost_usd: said("cost"),
        metadata: body,
    })
}
