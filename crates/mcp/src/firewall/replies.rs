//! What an agent is told when its call is not simply carried out.
//!
//! A call always gets a normal result with one text block for the model and `structuredContent`
//! for programs: many clients hide JSON-RPC errors from the model. A read has no such result and
//! gets the same text and facts as an error. Nothing here ever holds an approval link.

use std::sync::Arc;

use preloop_govern::{Change, Held, Refusal, RefusalKind};
use preloop_store::Approval;
use preloop_types::{CallId, ToolRef};
use serde_json::{Value, json, value::RawValue};

use crate::{
    protocol::{RpcError, error},
    upstream::UpstreamError,
};

/// Where our own facts lie in `_meta`.
const CORRELATION: &str = "dev.preloop/correlation_id";
/// What an approver changed.
const CHANGED: &str = "dev.preloop/arguments_changed";

/// Put behind every refusal that a resourceful agent might try to get around.
const NO_DETOUR: &str = "This is a decision, not a malfunction: do not retry it by other means.";

/// What an agent gets: a result, or a JSON-RPC error.
pub(super) type Answer = Result<Arc<RawValue>, RpcError>;

/// What kind of answer the agent waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A tool's result.
    Call,
    /// The content of a resource or prompt.
    Read,
}

impl Shape {
    pub(super) fn of(tool: &ToolRef) -> Self {
        if tool.is_read() { Shape::Read } else { Shape::Call }
    }

    /// Our own word in place of what the agent waits for.
    fn answer(self, text: &str, facts: &Value, is_error: bool, call: CallId) -> Answer {
        match self {
            Shape::Call => Ok(result(text, facts, is_error, call)),
            Shape::Read => Err(RpcError::new(error::GOVERNED, text).with_data(facts)),
        }
    }
}

/// A call that will not be carried out.
pub(super) fn refused(shape: Shape, name: &str, refusal: &Refusal) -> Answer {
    let kind = refusal.kind;
    let text = match kind {
        RefusalKind::NotAvailable => format!("Access denied: Tool '{name}' is not available"),
        RefusalKind::Denied => format!("Access denied: {}. {NO_DETOUR}", refusal.message),
        RefusalKind::JustificationRequired => format!("Justification required: {}", refusal.message),
        RefusalKind::Declined | RefusalKind::Cancelled | RefusalKind::Expired => {
            format!("{}. It was not approved. {NO_DETOUR}", refusal.message)
        }
        _ => refusal.message.clone(),
    };
    let mut facts = json!({
        "status": kind.as_str(),
        "tool": name,
        "message": refusal.message,
        "retryable": kind.retryable(),
        "correlation_id": refusal.call,
    });
    if let Some(id) = refusal.approval {
        facts["request_id"] = json!(id);
    }
    if kind == RefusalKind::JustificationRequired {
        facts["parameter"] = json!(super::arguments::JUSTIFICATION);
    }
    shape.answer(&text, &facts, true, refusal.call)
}

/// A call that waits for a human: not an error, and not a result yet.
pub(super) fn pending(shape: Shape, held: &Held) -> Answer {
    let approval = &held.approval;
    let timeout = u32::try_from(approval.window.as_secs()).unwrap_or(u32::MAX);
    let poll = (timeout / 20).clamp(5, 15);
    let (id, until) = (approval.id, approval.expires_at);
    let message = match shape {
        Shape::Call => format!(
            "This call needs a person's approval and has not been carried out. Request {id} is open until {until}. Poll \
             `get_approval_status` with this request_id every {poll} seconds; once approved, its result is given \
             there. Do not repeat the call and do not try to reach the same effect in another way."
        ),
        Shape::Read => format!(
            "Reading this needs a person's approval. Request {id} is open until {until}. Read it again later: once \
             approved, that gives its content. Do not try to get at it in another way."
        ),
    };
    let facts = json!({
        "status": "pending_approval",
        "request_id": approval.id,
        "tool": &*approval.tool.exposed,
        "workflow": approval.workflow_name,
        "poll_tool": super::builtin::GET_APPROVAL_STATUS,
        "poll_interval_seconds": poll,
        "timeout_seconds": timeout,
        "expires_at": approval.expires_at,
        "channels": held.channels,
        "approvers": held.approvers,
        "message": &message,
        "correlation_id": approval.call,
    });
    let text = if shape == Shape::Read { message } else { facts.to_string() };
    shape.answer(&text, &facts, false, approval.call)
}

/// The upstream server gave no answer worth the name.
pub(super) fn upstream_error(tool: &ToolRef, call: CallId, error: &UpstreamError) -> Answer {
    let text = if tool.is_read() {
        format!("server `{}`: {error}", tool.server)
    } else {
        let effect = if error.sent() { " The call may have taken effect." } else { "" };
        format!("Error executing tool: server `{}`: {error}.{effect}", tool.server)
    };
    let facts = json!({
        "status": "upstream_error",
        "tool": &*tool.exposed,
        "server": &*tool.server,
        "kind": error.kind(),
        "message": error.to_string(),
        "may_have_taken_effect": error.sent(),
        "retryable": error.retryable(),
        "correlation_id": call,
    });
    Shape::of(tool).answer(&text, &facts, true, call)
}

/// The call was carried out but how it ended could not be recorded.
pub(super) fn unrecorded(tool: &ToolRef, call: CallId) -> Answer {
    let text = "The call was carried out, but its outcome could not be recorded, so its result is withheld. Check its \
                effect before repeating it.";
    let facts = json!({
        "status": "unrecorded",
        "tool": &*tool.exposed,
        "message": text,
        "may_have_taken_effect": true,
        "retryable": false,
        "correlation_id": call,
    });
    Shape::of(tool).answer(text, &facts, true, call)
}

/// An approved call that was carried out earlier and failed without a result.
pub(super) fn failed_earlier(approval: &Approval, error: &str) -> Answer {
    let facts = json!({
        "status": "upstream_error",
        "tool": &*approval.tool.exposed,
        "request_id": approval.id,
        "message": error,
        "retryable": false,
        "correlation_id": approval.call,
    });
    Shape::of(&approval.tool).answer(&format!("Error executing tool: {error}"), &facts, true, approval.call)
}

/// The result as it came, and behind it that an approver changed the arguments.
pub(super) fn telling_changes(result: Arc<RawValue>, changes: &[Change]) -> Arc<RawValue> {
    if changes.is_empty() {
        return result;
    }
    let Ok(mut whole) = serde_json::from_str::<Value>(result.get()) else { return result };
    let list: Value = changes.iter().map(Change::to_json).collect();
    let note = format!("[Preloop] The approver changed the arguments of this call before it was carried out: {list}");
    if let Some(content) = whole.get_mut("content").and_then(Value::as_array_mut) {
        content.push(json!({"type": "text", "text": note}));
    }
    match whole.get_mut("_meta") {
        Some(Value::Object(meta)) => drop(meta.insert(CHANGED.to_owned(), list)),
        _ => whole["_meta"] = json!({CHANGED: list}),
    }
    serde_json::value::to_raw_value(&whole).map_or(result, Arc::from)
}

/// A text for the model with facts for programs.
pub(super) fn result(text: &str, facts: &Value, is_error: bool, call: CallId) -> Arc<RawValue> {
    let body = json!({
        "content": [{"type": "text", "text": text}],
        "structuredContent": facts,
        "isError": is_error,
        "_meta": {CORRELATION: call},
    });
    // A JSON value always serialises.
    Arc::from(serde_json::value::to_raw_value(&body).unwrap_or_default())
}
