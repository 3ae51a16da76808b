//! `/api/v1/agents`: managed agents, their credentials and models

use std::{collections::HashMap, time::Duration};

use http::StatusCode;
use preloop_api_types::agents::{
    Agent, AgentCredential, AgentDetail, AgentPage, ChangeAgent, CreateAgentCredential, CreatedAgentCredential,
    ListAgents, ModelBindings,
};
use preloop_govern::config::{AgentChange, Lifecycle, NewCredential};
use preloop_store::{AccountStore, AgentRow, KeyRow, UsageBy, UsageFilter};
use preloop_types::{AgentId, AgentState, KeyId, ModelId, Timestamp, UserId};
use secrecy::ExposeSecret;
use serde_json::value::to_raw_value;
use utoipa_axum::router::OpenApiRouter;

use super::{enrollments, shape, usage};
use crate::{
    App,
    caller::{Caller, ManageAgents, ViewAgents},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Query, created, limit},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(get))
        .routes(guarded!(change))
        .routes(guarded!(delete))
        .routes(guarded!(credentials))
        .routes(guarded!(create_credential))
        .routes(guarded!(revoke_credential))
        .routes(guarded!(model_bindings))
        .routes(guarded!(put_model_bindings))
}

/// Managed agents, by name.
#[utoipa::path(get, path = "/api/v1/agents", tag = "agents", params(ListAgents),
    responses((status = 200, body = AgentPage)))]
async fn list(caller: Caller<ViewAgents>, Query(query): Query<ListAgents>) -> ApiResult<AgentPage> {
    let limit = limit(query.limit, 20, 100)?;
    let offset = query.offset.unwrap_or(0);
    let wanted = Wanted::read(query)?;
    let rows = caller.store().account(caller.who().account);
    let (owners, now) = (owners(&rows).await?, caller.store().now());
    let agents = rows.agents().await?.into_iter().map(|agent| shown(agent, &owners, now));
    let found: Vec<Agent> = agents.filter(|agent| wanted.matches(agent)).collect();
    let total = found.len();
    let items = found.into_iter().skip(offset as usize).take(limit as usize).collect();
    Ok(axum::Json(AgentPage { total, limit, offset, items }))
}

/// A managed agent with its credentials, onboardings and usage.
#[utoipa::path(get, path = "/api/v1/agents/{id}", tag = "agents", responses((status = 200, body = AgentDetail)))]
async fn get(caller: Caller<ViewAgents>, Id(id): Id<AgentId>) -> ApiResult<AgentDetail> {
    let rows = caller.store().account(caller.who().account);
    let agent = find(&rows, id).await?;
    let now = caller.store().now();
    let used = rows.usage(UsageFilter { agent: Some(id), ..UsageFilter::default() }, UsageBy::Model).await?;
    Ok(axum::Json(AgentDetail {
        agent: shown(agent, &owners(&rows).await?, now),
        usage_by_model: used.into_iter().map(usage::usage_of).collect(),
        credentials: credentials_of(&rows, id, now).await?,
        enrollments: rows.enrollments(id).await?.into_iter().map(enrollments::shown).collect(),
    }))
}

/// Renames, labels, hands over, suspends, resumes or decommissions a managed agent.
#[utoipa::path(patch, path = "/api/v1/agents/{id}", tag = "agents", responses((status = 200, body = Agent)))]
async fn change(caller: Caller<ManageAgents>, Id(id): Id<AgentId>, Json(body): Json<ChangeAgent>) -> ApiResult<Agent> {
    let lifecycle = match body.lifecycle_action.as_deref() {
        None => None,
        Some("suspend") => Some(Lifecycle::Suspend),
        Some("resume") => Some(Lifecycle::Resume),
        Some("decommission") => Some(Lifecycle::Decommission),
        Some("reenroll") => Some(Lifecycle::Reenroll),
        Some(other) => {
            let message = format!("`{other}` is not one of `suspend`, `resume`, `decommission`, `reenroll`");
            return Err(ApiError::field("body", "lifecycle_action", message, "value_error"));
        }
    };
    let change = AgentChange {
        name: body.display_name,
        owner: body.owner_user_id.map(UserId).patch(),
        tags: body.tags,
        lifecycle,
        reason: body.reason,
    };
    let agent = caller.config().change_agent(caller.who(), id, change).await?;
    let rows = caller.store().account(caller.who().account);
    Ok(axum::Json(shown(agent, &owners(&rows).await?, caller.store().now())))
}

/// Removes a managed agent: its credentials are revoked and its runs ended.
#[utoipa::path(delete, path = "/api/v1/agents/{id}", tag = "agents", responses((status = 204)))]
async fn delete(caller: Caller<ManageAgents>, Id(id): Id<AgentId>) -> Result<StatusCode, ApiError> {
    caller.config().delete_agent(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The durable credentials of a managed agent, newest first, revoked ones too.
#[utoipa::path(get, path = "/api/v1/agents/{id}/credentials", tag = "agents",
    responses((status = 200, body = Vec<AgentCredential>)))]
async fn credentials(caller: Caller<ManageAgents>, Id(id): Id<AgentId>) -> ApiResult<Vec<AgentCredential>> {
    let rows = caller.store().account(caller.who().account);
    find(&rows, id).await?;
    Ok(axum::Json(credentials_of(&rows, id, caller.store().now()).await?))
}

/// Makes a durable credential. Its secret is only in this answer.
#[utoipa::path(post, path = "/api/v1/agents/{id}/credentials", tag = "agents",
    responses((status = 201, body = CreatedAgentCredential)))]
async fn create_credential(
    caller: Caller<ManageAgents>,
    Id(id): Id<AgentId>,
    Json(body): Json<CreateAgentCredential>,
) -> Result<(StatusCode, axum::Json<CreatedAgentCredential>), ApiError> {
    let new = NewCredential { name: body.name, expires_in_days: body.expires_in_days, scopes: body.scopes };
    let (key, secret) = caller.config().create_credential(caller.who(), id, new).await?;
    let credential = credential(key, id, caller.store().now());
    Ok(created(CreatedAgentCredential { credential, token: secret.expose_secret().to_owned() }))
}

/// Revokes a durable credential for good.
#[utoipa::path(delete, path = "/api/v1/agents/{id}/credentials/{credential_id}", tag = "agents",
    responses((status = 200, body = AgentCredential)))]
async fn revoke_credential(
    caller: Caller<ManageAgents>,
    Id((id, key)): Id<(AgentId, KeyId)>,
) -> ApiResult<AgentCredential> {
    let key = caller.config().revoke_credential(caller.who(), id, key).await?;
    Ok(axum::Json(credential(key, id, caller.store().now())))
}

/// The models a managed agent's configuration names.
#[utoipa::path(get, path = "/api/v1/agents/{id}/model-bindings", tag = "agents",
    responses((status = 200, body = ModelBindings)))]
async fn model_bindings(caller: Caller<ViewAgents>, Id(id): Id<AgentId>) -> ApiResult<ModelBindings> {
    let agent = find(&caller.store().account(caller.who().account), id).await?;
    Ok(axum::Json(bindings(&agent)))
}

/// Replaces the models a managed agent's configuration names.
#[utoipa::path(put, path = "/api/v1/agents/{id}/model-bindings", tag = "agents",
    responses((status = 200, body = ModelBindings)))]
async fn put_model_bindings(
    caller: Caller<ManageAgents>,
    Id(id): Id<AgentId>,
    Json(body): Json<ModelBindings>,
) -> ApiResult<ModelBindings> {
    if body.bindings.len() > BINDINGS_MAX {
        let message = format!("has more than {BINDINGS_MAX} items");
        return Err(ApiError::field("body", "bindings", message, "value_error"));
    }
    let rows = caller.store().account(caller.who().account);
    for binding in &body.bindings {
        if rows.model(ModelId(binding.ai_model_id)).await?.is_none() {
            return Err(ApiError::bad_request(format!("there is no model `{}` in this account", binding.ai_model_id)));
        }
    }
    let kept = to_raw_value(&body.bindings).unwrap_or_default();
    let agent = caller.config().bind_models(caller.who(), id, kept).await?;
    Ok(axum::Json(bindings(&agent)))
}

const BINDINGS_MAX: usize = 100;

fn bindings(agent: &AgentRow) -> ModelBindings {
    ModelBindings { bindings: serde_json::from_str(agent.model_bindings.0.get()).unwrap_or_default() }
}

/// Which agents are wanted.
struct Wanted {
    text: Option<String>,
    states: Option<&'static [&'static str]>,
    tags: Vec<String>,
    query: ListAgents,
}

impl Wanted {
    fn read(query: ListAgents) -> Result<Self, ApiError> {
        let states: Option<&[&str]> = match query.status.as_deref() {
            None | Some("all") => None,
            Some("active") => Some(&["active"]),
            Some("suspended") => Some(&["suspended"]),
            Some("decommissioned") => Some(&["decommissioned"]),
            Some("ended") => Some(&["suspended", "decommissioned"]),
            Some(other) => {
                let message =
                    format!("`{other}` is not one of `all`, `active`, `suspended`, `decommissioned`, `ended`");
                return Err(ApiError::field("query", "status", message, "value_error"));
            }
        };
        let tags = query.tags.as_deref().unwrap_or_default().split(',').map(str::trim);
        let tags = tags.filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
        Ok(Self { text: query.query.as_deref().map(str::to_lowercase), states, tags, query })
    }

    fn matches(&self, agent: &Agent) -> bool {
        let holds = |text: &str| {
            let texts = [Some(&agent.display_name), Some(&agent.agent_kind), agent.session_reference.as_ref()];
            texts.into_iter().flatten().any(|value| value.to_lowercase().contains(text))
        };
        self.text.as_deref().is_none_or(holds)
            && self.states.is_none_or(|states| states.contains(&agent.lifecycle_state.as_str()))
            && self.tags.iter().all(|tag| agent.tags.contains(tag))
            && self.query.agent_kind.as_ref().is_none_or(|kind| *kind == agent.agent_kind)
            && self.query.last_seen_after.is_none_or(|after| agent.last_seen_at >= after)
            && self.query.owner_username.as_ref().is_none_or(|owner| agent.owner_username.as_ref() == Some(owner))
    }
}

pub(super) async fn find(rows: &AccountStore, id: AgentId) -> Result<AgentRow, ApiError> {
    rows.agent(id).await?.ok_or_else(|| ApiError::not_found("agent"))
}

async fn owners(rows: &AccountStore) -> Result<HashMap<UserId, String>, ApiError> {
    Ok(rows.users().await?.into_iter().map(|user| (user.id, user.username)).collect())
}

async fn credentials_of(rows: &AccountStore, id: AgentId, now: Timestamp) -> Result<Vec<AgentCredential>, ApiError> {
    let durable = |key: &KeyRow| key.session.is_none() && key.agent.as_ref().is_some_and(|agent| agent.id == id);
    let keys = rows.keys().await?.into_iter().filter(durable);
    Ok(keys.map(|key| credential(key, id, now)).collect())
}

fn credential(key: KeyRow, agent: AgentId, now: Timestamp) -> AgentCredential {
    let status = match (key.revoked_at, key.expires_at) {
        (Some(_), _) => "revoked",
        (None, Some(end)) if end <= now => "expired",
        _ => "active",
    };
    AgentCredential {
        id: key.id.0,
        managed_agent_id: agent.0,
        name: key.name,
        key_prefix: key.prefix,
        scopes: key.scopes.iter().map(|scope| scope.as_str().to_owned()).collect(),
        status: status.to_owned(),
        created_at: shape::at(key.created_at),
        expires_at: shape::at_opt(key.expires_at),
        last_used_at: shape::at_opt(key.last_used_at),
        revoked_at: shape::at_opt(key.revoked_at),
    }
}

fn shown(agent: AgentRow, owners: &HashMap<UserId, String>, now: Timestamp) -> Agent {
    let silent = now.since(agent.last_seen_at);
    let is_active_now = agent.state == AgentState::Active && silent <= Duration::from_mins(10);
    let activity = match agent.state {
        AgentState::Active if is_active_now => "active_now",
        AgentState::Active if silent <= Duration::from_hours(24) => "recently_active",
        AgentState::Active => "idle",
        other => other.as_str(),
    };
    Agent {
        id: agent.id.0,
        display_name: agent.name,
        agent_kind: agent.kind,
        session_source_type: agent.source_type,
        session_source_id: agent.source_id,
        session_reference: agent.reference,
        enrolled_via: agent.enrolled_via,
        tags: agent.tags,
        owner_user_id: agent.owner.map(|id| id.0),
        owner_username: agent.owner.and_then(|id| owners.get(&id).cloned()),
        lifecycle_state: agent.state.as_str().to_owned(),
        lifecycle_reason: agent.state_reason,
        lifecycle_updated_at: shape::at_opt(agent.state_changed_at),
        is_active_now,
        activity_status: activity.to_owned(),
        last_seen_at: shape::at(agent.last_seen_at),
        created_at: shape::at(agent.created_at),
        updated_at: shape::at(agent.updated_at),
    }
}
