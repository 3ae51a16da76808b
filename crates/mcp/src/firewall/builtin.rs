//! The tools every agent has: asking a person, and asking what a person said.

use std::{sync::Arc, time::Duration};

use preloop_govern::{ASK_USER, Admission, Approvals, Asking, Change, Enquiry, Permit, REQUEST_APPROVAL, RefusalKind};
use preloop_store::{Approval, ApprovalStatus, ExecutionState};
use preloop_types::{ApprovalId, CallId, Hash, Permission, ToolCall, ToolRef, WorkflowId};
use serde::Deserialize;
use serde_json::{
    Value, json,
    value::{RawValue, to_raw_value},
};

use super::{
    Firewall,
    calls::Attempt,
    replies,
    waiting::{Answer, unreadable},
};
use crate::protocol::RpcError;

/// Asks what became of a request.
pub(super) const GET_APPROVAL_STATUS: &str = "get_approval_status";

/// Whether `name` is one of ours.
pub(super) fn is(name: &str) -> bool {
    matches!(name, GET_APPROVAL_STATUS | REQUEST_APPROVAL | ASK_USER)
}

/// How policy and records name a built-in tool.
pub(super) fn reference(name: &str) -> ToolRef {
    ToolRef {
        id: None,
        server_id: None,
        server: "builtin".into(),
        name: name.into(),
        exposed: name.into(),
        definition: Hash::of(name),
    }
}

/// Their definitions, as `tools/list` shows them.
pub(super) fn definitions() -> [(&'static str, Value); 3] {
    let status = json!({
        "name": GET_APPROVAL_STATUS,
        "title": "Get approval status",
        "description": "Returns the state of an approval request by its request_id. Once the request is approved and the \
                        held call has been carried out, `tool_result` holds the call's result.",
        "inputSchema": {
            "type": "object",
            "properties": {"request_id": {"type": "string", "description": "The request_id of the pending answer"}},
            "required": ["request_id"],
            "additionalProperties": false
        },
        "annotations": {"readOnlyHint": true, "openWorldHint": false}
    });
    let timeout = json!({"type": "integer", "minimum": 60, "description": "How long to wait for an answer at most"});
    let form = json!({
        "type": "object",
        "description": "A form to fill in: a JSON Schema of an object whose properties are strings, numbers, booleans, \
                        `enum`s, lists of `enum`s or of objects, or objects. `x-autofill: author` or `date` is filled in \
                        for the person."
    });
    let items = json!({
        "type": "array",
        "description": "What it is about, one by one",
        "items": {
            "type": "object",
            "properties": {
                "id": {"type": "string"}, "title": {"type": "string"}, "description": {"type": "string"},
                "severity": {"type": "string"}, "badges": {"type": "array", "items": {"type": "string"}}
            },
            "required": ["id", "title"]
        }
    });
    let ask = json!({
        "name": ASK_USER,
        "title": "Ask a person",
        "description": "Asks a person a question and returns their answer. Waits for it, or returns a pending answer to \
                        poll with get_approval_status.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "question": {"type": "string", "description": "What you want to know"},
                "options": {"type": "array", "items": {"type": "string"}, "description": "Answers to choose from"},
                "allow_free_text": {"type": "boolean", "default": true, "description": "Whether other answers will do"},
                "approval_workflow": {"type": "string", "description": "Whom to ask, by workflow; the default one when absent"},
                "timeout_seconds": timeout,
                "input_schema": form,
                "items": items
            },
            "required": ["question"],
            "additionalProperties": false
        },
        "annotations": {"readOnlyHint": true, "openWorldHint": false}
    });
    let request = json!({
        "name": REQUEST_APPROVAL,
        "title": "Request approval",
        "description": "Asks a person to approve an operation before you carry it out. Waits for the decision, or returns \
                        a pending answer to poll with get_approval_status.",
        "inputSchema": {
            "type": "object",
            "properties": {
                "operation": {"type": "string", "description": "What you want to do"},
                "context": {"type": "string", "description": "What the person must know to decide"},
                "reasoning": {"type": "string", "description": "Why it is needed"},
                "caller": {"type": "string", "description": "Who asks; filled in when absent"},
                "approval_workflow": {"type": "string", "description": "Name of the workflow; the default one when absent"},
                "timeout_seconds": timeout,
                "input_schema": form,
                "items": items
            },
            "required": ["operation", "context", "reasoning"],
            "additionalProperties": false
        },
        "annotations": {"readOnlyHint": true, "openWorldHint": false}
    });
    [(GET_APPROVAL_STATUS, status), (REQUEST_APPROVAL, request), (ASK_USER, ask)]
}

#[derive(Deserialize)]
struct StatusArguments {
    request_id: String,
}

#[derive(Deserialize)]
struct RequestArguments {
    operation: String,
    #[serde(rename = "context")]
    _context: String,
    reasoning: String,
}

/// What both tools that ask have in common.
#[derive(Deserialize)]
struct AskArguments {
    approval_workflow: Option<String>,
    timeout_seconds: Option<u64>,
}

/// How long an agent may let people take.
const ASK_SECONDS: std::ops::RangeInclusive<u64> = 60..=30 * 24 * 3_600;

/// What an approved request or an answered question returns.
pub(super) fn approved(permit: &Permit) -> Arc<RawValue> {
    let call = permit.call();
    let operation = serde_json::from_str::<RequestArguments>(call.arguments.get()).map(|given| given.operation);
    let operation = operation.unwrap_or_default();
    let answer = permit.answer();
    let mut facts = json!({"status": "approved", "approval_id": permit.request(), "correlation_id": call.id});
    for (name, value) in answer.iter().filter_map(|answer| answer.as_object()).flatten() {
        facts[name] = value.clone();
    }
    if &*call.tool.name != ASK_USER {
        facts["operation"] = json!(operation);
        return replies::result(&format!("Approval granted for operation: {operation}"), &facts, false, call.id);
    }
    let text = match (answer.and_then(|answer| answer.get("answer")), &facts["answer_text"]) {
        (None, Value::String(words)) => format!(
            "{words}\n\n[approval_id: {}, answered_by: {}, answered_at: {}, status: approved]",
            facts["approval_id"].as_str().unwrap_or_default(),
            facts["answered_by"].as_str().unwrap_or_default(),
            facts["answered_at"].as_str().unwrap_or_default(),
        ),
        _ => facts.to_string(),
    };
    replies::result(&text, &facts, false, call.id)
}

impl Firewall {
    pub(super) async fn call_builtin(&self, attempt: Attempt<'_>) -> Result<Arc<RawValue>, RpcError> {
        let snapshot = self.snapshot(attempt.who).await?;
        let call = attempt.on(reference(attempt.name), CallId::new(self.governor.now()));
        if !snapshot.ruleset.visible(attempt.who, &call.tool) {
            let message = format!("Tool '{}' is not available", attempt.name);
            return self.refuse(&attempt, &call, RefusalKind::NotAvailable, message).await;
        }
        match attempt.name {
            REQUEST_APPROVAL | ASK_USER => self.ask_a_person(attempt, call).await,
            _ => self.approval_status(attempt, call).await,
        }
    }

    /// Puts an agent's own question, or its wish to do something no tool call stands for, before people.
    async fn ask_a_person(&self, attempt: Attempt<'_>, mut call: ToolCall) -> Result<Arc<RawValue>, RpcError> {
        let (given, question) = match understood(&attempt, &mut call) {
            Ok(understood) => understood,
            Err(what) => {
                let message = format!("The arguments do not fit tool '{}': {what}", attempt.name);
                return self.refuse(&attempt, &call, RefusalKind::InvalidArguments, message).await;
            }
        };
        let snapshot = self.snapshot(attempt.who).await?;
        let workflow = match &given.approval_workflow {
            Some(name) => snapshot.workflows.values().find(|workflow| workflow.name == *name).map(|found| found.id),
            None => default_workflow(&snapshot),
        };
        let Some(workflow) = workflow else {
            let message = match &given.approval_workflow {
                Some(name) => format!("There is no approval workflow '{name}'"),
                None => "No approval workflow is configured for this account".to_owned(),
            };
            return self.refuse(&attempt, &call, RefusalKind::Misconfigured, message).await;
        };
        let window = given.timeout_seconds.map(|wanted| wanted.clamp(*ASK_SECONDS.start(), *ASK_SECONDS.end()));
        let asking = Asking { workflow, reason: question.text, window: window.map(Duration::from_secs) };
        let admission: Admission = self.governor.ask(attempt.who, call, asking).await;
        self.conclude(attempt, admission).await
    }

    async fn approval_status(&self, attempt: Attempt<'_>, call: ToolCall) -> Result<Arc<RawValue>, RpcError> {
        let given = serde_json::from_str::<StatusArguments>(call.arguments.get()).ok();
        let Some(id) = given.and_then(|given| given.request_id.parse::<ApprovalId>().ok()) else {
            let message = "Invalid approval request id: give the `request_id` of the pending answer".to_owned();
            return self.refuse(&attempt, &call, RefusalKind::InvalidArguments, message).await;
        };
        let approvals = self.governor.approvals();
        // Another agent's request looks like none.
        let found =
            approvals.get(attempt.who.account, id).await.ok().filter(|approval| {
                approval.requester.key == attempt.who.key || attempt.who.may(Permission::ViewApprovals)
            });
        let Some(approval) = found else {
            let facts = json!({"status": "not_found", "request_id": id, "error": "Approval request not found"});
            return Ok(replies::result("Approval request not found", &facts, true, call.id));
        };
        approvals.wanted(id);
        let own = approval.requester.key == attempt.who.key;
        let answer = if own && approval.status == ApprovalStatus::Approved {
            self.redeem(attempt.who, &approval, None, attempt.client).await?
        } else {
            Answer::Open
        };
        let approval = approvals.get(attempt.who.account, id).await.map_err(|error| unreadable(id, &error))?;
        let mut facts = self.status_facts(&approval).await?;
        let ended = match answer {
            Answer::Final(Ok(result)) => {
                facts["tool_result"] = serde_json::from_str(result.get()).unwrap_or_default();
                true
            }
            Answer::Final(Err(error)) => {
                facts["tool_execution_error"] = json!(error.to_string());
                true
            }
            Answer::Open => approval.status != ApprovalStatus::Pending && approval.status != ApprovalStatus::Approved,
        };
        if own && ended {
            self.delivered(attempt.who, id).await;
        }
        Ok(replies::result(&facts.to_string(), &facts, false, approval.call))
    }

    async fn status_facts(&self, approval: &Approval) -> Result<Value, RpcError> {
        let history = self.governor.approvals().history(approval.account, approval.id).await;
        let events: Vec<Value> = history
            .map_err(|error| unreadable(approval.id, &error))?
            .into_iter()
            .map(|event| {
                json!({"timestamp": event.at, "type": event.event_type, "detail": event.detail, "comment": event.comment})
            })
            .collect();
        let running =
            approval.status == ApprovalStatus::Approved && approval.execution.state == ExecutionState::Claimed;
        let mut facts = json!({
            "request_id": approval.id,
            "status": if running { "executing" } else { approval.status.as_str() },
            "tool_name": &*approval.tool.exposed,
            "events": events,
        });
        if approval.status == ApprovalStatus::Pending {
            facts["remaining_seconds"] = json!(approval.expires_at.since(self.governor.now()).as_secs());
        }
        if !approval.votes.is_empty() {
            facts["approvals_received"] = json!(approval.votes.iter().filter(|vote| vote.approve).count());
        }
        if let Ok(Some(answer)) = approval.answer() {
            facts["answer"] = serde_json::from_str(answer.get()).unwrap_or_default();
        }
        let changes = Approvals::changes_of(approval).map_err(|error| unreadable(approval.id, &error))?;
        if !changes.is_empty() {
            facts["arguments_changed"] = changes.iter().map(Change::to_json).collect();
        }
        if let (Some(reason), ApprovalStatus::Declined | ApprovalStatus::Cancelled) =
            (&approval.comment, approval.status)
        {
            facts["reason"] = json!(reason);
        }
        Ok(facts)
    }
}

/// What is asked; the call's arguments then say so in full.
fn understood(attempt: &Attempt<'_>, call: &mut ToolCall) -> Result<(AskArguments, Enquiry), String> {
    let mut arguments: Value = serde_json::from_str(call.arguments.get()).map_err(|error| error.to_string())?;
    if &*call.tool.name == REQUEST_APPROVAL {
        let given = RequestArguments::deserialize(&arguments).map_err(|error| error.to_string())?;
        call.justification = Some(given.reasoning);
        if arguments.get("caller").is_none_or(|caller| caller.as_str().is_none_or(str::is_empty)) {
            arguments["caller"] = json!(format!("Agent: {} | User: {}", attempt.who.key_name, attempt.who.username));
        }
    }
    let given = AskArguments::deserialize(&arguments).map_err(|error| error.to_string())?;
    let question = Enquiry::of(&call.tool, &arguments)
        .ok_or("`question` is missing, or something in it is not what it should be")?;
    question.check()?;
    if question.wants_answer {
        arguments["is_question"] = json!(true);
        arguments["allow_free_text"] = json!(question.allow_free_text);
    }
    call.arguments = Arc::from(to_raw_value(&arguments).map_err(|error| error.to_string())?);
    Ok((given, question))
}

fn default_workflow(snapshot: &preloop_govern::Snapshot) -> Option<WorkflowId> {
    let marked = || snapshot.workflows.values().find(|workflow| workflow.is_default).map(|workflow| workflow.id);
    snapshot.defaults.default_workflow.or_else(marked)
}
