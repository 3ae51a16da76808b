//! What approvers are shown of a call, and its hash: what a vote is about.

use std::sync::Arc;

use preloop_preview::{Call, Earlier, Level, preview};
use preloop_store::Approval;
use preloop_types::{Hash, ToolCall, redact::redact};
use serde_json::{Value, json};

use super::question::Enquiry;

/// A call as its approvers see it.
pub(super) struct Shown {
    /// The arguments, secrets hidden.
    pub(super) arguments: Value,
    /// What the call would do; none of a question.
    pub(super) preview: Option<String>,
    /// Of all of it.
    pub(super) hash: Hash,
}

impl Shown {
    /// `call` as its approvers see it. `why` says why they are asked, `last` is the last call of the same tool that
    /// was approved, `changes` what an approver changed.
    pub(super) fn of(call: &ToolCall, why: &str, last: Option<&Approval>, changes: &[Change]) -> Self {
        let mut arguments = serde_json::from_str(call.arguments.get()).unwrap_or(Value::Null);
        let preview = match Enquiry::of(&call.tool, &arguments) {
            Some(_) => None,
            None => Some(effect(call, last)),
        };
        redact(&mut arguments);
        let shown = json!({
            "server": &*call.tool.server,
            "tool": &*call.tool.exposed,
            "arguments": arguments,
            "justification": call.justification,
            "reason": why,
            "preview": preview,
            "changes": changes.iter().map(Change::to_json).collect::<Vec<_>>(),
        });
        Self { arguments, preview, hash: Hash::of(shown.to_string()) }
    }
}

fn effect(call: &ToolCall, last: Option<&Approval>) -> String {
    let last = last.and_then(|last| Some((last.arguments_to_run().ok()?, last.resolved_at?)));
    let earlier = last.as_ref().map(|(arguments, at)| Earlier { arguments: arguments.get(), at: *at });
    let call = Call {
        tool: &call.tool.name,
        server: &call.tool.server,
        arguments: call.arguments.get(),
        floor: Level::Low,
        earlier,
    };
    preview(&call).to_json()
}

/// One difference between the arguments an agent gave and those an approver wants.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Where: names and places with dots between.
    pub path: String,
    /// What the agent gave; nothing if the approver added it.
    pub old: Option<Value>,
    /// What the approver wants; nothing if they removed it.
    pub new: Option<Value>,
}

impl Change {
    /// As people, agents and records see it.
    pub fn to_json(&self) -> Value {
        json!({"path": self.path, "old": self.old, "new": self.new})
    }
}

/// What differs, in order, secrets hidden.
pub(super) fn changes(old: &Value, new: &Value) -> Vec<Change> {
    let (mut old, mut new) = (old.clone(), new.clone());
    let mut changes = Vec::new();
    compare(String::new(), Some(&old), Some(&new), &mut changes);
    // Hidden only now: that a secret changed is worth knowing, its value is not.
    redact(&mut old);
    redact(&mut new);
    for change in &mut changes {
        let pointer = format!("/{}", change.path.replace('~', "~0").replace('/', "~1").replace('.', "/"));
        change.old = change.old.take().map(|value| old.pointer(&pointer).cloned().unwrap_or_else(|| hidden(value)));
        change.new = change.new.take().map(|value| new.pointer(&pointer).cloned().unwrap_or_else(|| hidden(value)));
    }
    changes
}

/// A value whose place cannot be told after hiding: hidden itself.
fn hidden(mut value: Value) -> Value {
    redact(&mut value);
    value
}

fn compare(path: String, old: Option<&Value>, new: Option<&Value>, changes: &mut Vec<Change>) {
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match (old, new) {
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            let added = b.keys().filter(|name| !a.contains_key(*name));
            for name in a.keys().chain(added) {
                compare(at(name), a.get(name), b.get(name), changes);
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => {
            for place in 0..a.len().max(b.len()) {
                compare(at(&place.to_string()), a.get(place), b.get(place), changes);
            }
        }
        (old, new) if old == new => {}
        (old, new) => changes.push(Change { path, old: old.cloned(), new: new.cloned() }),
    }
}

/// The call that runs once this request is approved.
pub(super) fn call_to_run(approval: &Approval) -> crate::Result<ToolCall> {
    Ok(call_with(approval, Arc::from(approval.arguments_to_run()?)))
}

/// The call the agent made.
pub(super) fn call_as_asked(approval: &Approval) -> crate::Result<ToolCall> {
    Ok(call_with(approval, Arc::from(approval.arguments()?)))
}

pub(super) fn call_with(approval: &Approval, arguments: Arc<serde_json::value::RawValue>) -> ToolCall {
    ToolCall {
        id: approval.call,
        tool: approval.tool.clone(),
        arguments,
        justification: approval.justification.clone(),
        client: approval.requester.client.as_deref().map(Into::into),
    }
}
