//! `/api/v1/agents/permission-check`: agents ask before they use their own tools.
//!
//! A person may take hours. The answer's head is sent at once and spaces, which JSON does not mind,
//! keep its connection alive until there is a decision; no database connection waits with it.

use std::{sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use http::{StatusCode, header};
use preloop_api_types::agents::{PermissionCheck, PermissionDecision};
use preloop_govern::{ClientDecision, Governor, NativeAnswer, NativeCheck};
use preloop_types::{CallId, Principal, Scope, ToolCall, ToolRef};
use serde_json::{Value, value::to_raw_value};
use utoipa_axum::router::OpenApiRouter;

use crate::{
    App,
    caller::{Anyone, Caller},
    error::ApiError,
    extract::Json,
    openapi::guarded,
};

/// How often a waiting connection is kept alive.
const BEAT: Duration = Duration::from_secs(15);
/// The longest wait, which is longer than any request is open.
const WAIT_SECONDS_MAX: u32 = 86_400;
const NAME_MAX: usize = 256;
const TEXT_MAX: usize = 4_096;

/// Kinds of agents that ask.
const SOURCES: &[&str] =
    &["claude_code", "codex_cli", "cursor", "opencode", "openclaw", "hermes", "pi", "deepseek", "gemini_cli", "custom"];

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(guarded!(check))
}

/// Whether an agent may use one of its own tools: its shell, its editor. Only a managed agent's credential may ask.
/// Waits until there is a decision; whatever is not `allow` is a refusal.
#[utoipa::path(post, path = "/api/v1/agents/permission-check", tag = "agents",
    responses((status = 200, body = PermissionDecision)))]
async fn check(caller: Caller<Anyone>, Json(body): Json<PermissionCheck>) -> Result<Response, ApiError> {
    let who = caller.who().clone();
    if who.agent.is_none() {
        return Err(ApiError::unauthorized("only a managed agent's credential may ask for its own tools"));
    }
    if !who.has_scope(Scope::McpWrite) {
        return Err(ApiError::new(StatusCode::FORBIDDEN, "the credential lacks the scope `mcp:write`"));
    }
    let patience = match body.wait_seconds {
        None => WAIT_SECONDS_MAX,
        Some(seconds @ 1..=WAIT_SECONDS_MAX) => seconds,
        Some(seconds) => {
            return Err(invalid("wait_seconds", format!("`{seconds}` is not between 1 and {WAIT_SECONDS_MAX}")));
        }
    };
    let patience = Duration::from_secs(u64::from(patience));
    let check = read(body, CallId::new(caller.store().now()))?;
    Ok(answer(decided(caller.governor().clone(), who, check, patience)))
}

async fn decided(governor: Governor, who: Arc<Principal>, check: NativeCheck, patience: Duration) -> Bytes {
    let answer = governor.check_native(&who, check, patience).await;
    // Two words, a text and a flag: there is nothing in it that JSON cannot hold.
    serde_json::to_vec(&shown(answer)).unwrap_or_default().into()
}

fn answer(decided: impl Future<Output = Bytes> + Send + 'static) -> Response {
    let body = futures::stream::unfold(Some(Box::pin(decided)), |waiting| async {
        let mut waiting = waiting?;
        match tokio::time::timeout(BEAT, &mut waiting).await {
            Ok(answer) => Some((answer, None)),
            Err(_) => Some((Bytes::from_static(b" "), Some(waiting))),
        }
    });
    let body = Body::from_stream(body.map(Ok::<_, std::convert::Infallible>));
    ([(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")], body).into_response()
}

fn read(body: PermissionCheck, id: CallId) -> Result<NativeCheck, ApiError> {
    short("tool_name", &body.tool_name, NAME_MAX)?;
    if body.tool_name.trim().is_empty() {
        return Err(invalid("tool_name", "is empty".to_owned()));
    }
    for (name, text) in
        [("cwd", &body.cwd), ("agent_reasoning", &body.agent_reasoning), ("session_id", &body.session_id)]
    {
        short(name, text.as_deref().unwrap_or_default(), TEXT_MAX)?;
    }
    if let Some(source) = body.source.as_deref().filter(|source| !SOURCES.contains(source)) {
        return Err(invalid("source", format!("`{source}` is not one of `{}`", SOURCES.join("`, `"))));
    }
    let client = match body.client_decision.as_deref() {
        None => None,
        Some("allow") => Some(ClientDecision::Allow),
        Some("deny") => Some(ClientDecision::Deny),
        Some("ask") => Some(ClientDecision::Ask),
        Some(other) => {
            return Err(invalid("client_decision", format!("`{other}` is not one of `allow`, `deny`, `ask`")));
        }
    };
    let before_own_question = match body.evaluation_phase.as_deref() {
        None | Some("permission_request") => false,
        Some("pre_tool_use") => true,
        Some(other) => {
            let message = format!("`{other}` is not one of `permission_request`, `pre_tool_use`");
            return Err(invalid("evaluation_phase", message));
        }
    };
    // What is told about the call, and not by it: agents cannot set these themselves.
    let mut arguments = body.tool_input;
    arguments.retain(|name, _| !name.starts_with("_preloop_"));
    let told = [
        ("_preloop_source", body.source.clone().map(Value::String)),
        ("_preloop_cwd", body.cwd.map(Value::String)),
        ("_preloop_repository", body.repository.map(Value::Object)),
    ];
    arguments.extend(told.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    let call = ToolCall {
        id,
        tool: ToolRef::native(&body.tool_name),
        arguments: Arc::from(to_raw_value(&arguments).unwrap_or_default()),
        justification: body.agent_reasoning.filter(|text| !text.trim().is_empty()),
        client: body.source.map(Into::into),
    };
    Ok(NativeCheck { call, session: body.session_id, client, before_own_question })
}

fn short(name: &'static str, text: &str, max: usize) -> Result<(), ApiError> {
    if text.chars().count() > max || text.contains('\0') {
        return Err(invalid(name, format!("is longer than {max} characters, or holds a NUL")));
    }
    Ok(())
}

fn invalid(name: &'static str, message: String) -> ApiError {
    ApiError::field("body", name, message, "value_error")
}

fn shown(answer: NativeAnswer) -> PermissionDecision {
    PermissionDecision {
        decision: if answer.allow { "allow" } else { "deny" }.to_owned(),
        reason: answer.reason,
        request_id: answer.request.map(|id| id.0),
        timed_out: answer.timed_out,
    }
}
