//! The tools every agent has: asking a person, and asking what a person said.

use std::sync::Arc;

use preloop_govern::{Admission, RefusalKind};
use preloop_store::{Approval, ApprovalStatus, ExecutionState};
use preloop_types::{ApprovalId, CallId, Hash, Permission, ToolCall, ToolRef, WorkflowId};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    Firewall,
    calls::Attempt,
    replies,
    waiting::{Answer, unreadable},
};
use crate::protocol::RpcError;

/// Asks what became of a request.
pub(super) const GET_APPROVAL_STATUS: &str = "get_approval_status";
/// Asks a person for leave to do something no tool call stands for.
pub(super) const REQUEST_APPROVAL: &str = "request_approval";

/// Whether `name` is one of ours.
pub(super) fn is(name: &str) -> bool {
    matches!(name, GET_APPROVAL_STATUS | REQUEST_APPROVAL)
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
pub(super) fn definitions() -> [(&'static str, Value); 2] {
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
                "approval_workflow": {"type": "string", "description": "Name of the workflow; the default one when absent"}
            },
            "required": ["operation", "context", "reasoning"],
            "additionalProperties": false
        },
        "annotations": {"readOnlyHint": true, "openWorldHint": false}
    });
    [(GET_APPROVAL_STATUS, status), (REQUEST_APPROVAL, request)]
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
    approval_workflow: Option<String>,
}

/// What an approved `request_approval` returns.
pub(super) fn approved(call: &ToolCall) -> Arc<RawValue> {
    let operation = serde_json::from_str::<RequestArguments>(call.arguments.get()).map(|given| given.operation);
    let operation = operation.unwrap_or_default();
    let facts = json!({"status": "approved", "operation": operation, "correlation_id": call.id});
    replies::result(&format!("Approval granted for operation: {operation}"), &facts, false, call.id)
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
            REQUEST_APPROVAL => self.request_approval(attempt, call).await,
            _ => self.approval_status(attempt, call).await,
        }
    }

    async fn request_approval(&self, attempt: Attempt<'_>, mut call: ToolCall) -> Result<Arc<RawValue>, RpcError> {
        let given: RequestArguments = match serde_json::from_str(call.arguments.get()) {
            Ok(given) => given,
            Err(error) => {
                let message = format!("The arguments do not fit tool '{REQUEST_APPROVAL}': {error}");
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
        call.justification = Some(given.reasoning);
        let admission: Admission = self.governor.ask(attempt.who, call, workflow, given.operation).await;
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
        if let (Some(reason), ApprovalStatus::Declined | ApprovalStatus::Cancelled) =
            (&approval.comment, approval.status)
        {
            facts["reason"] = json!(reason);
        }
        Ok(facts)
    }
}

fn default_workflow(snapshot: &preloop_govern::Snapshot) -> Option<WorkflowId> {
    let marked = || snapshot.workflows.values().find(|workflow| workflow.is_default).map(|workflow| workflow.id);
    snapshot.defaults.default_workflow.or_else(marked)
}
