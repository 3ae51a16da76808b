//! Asks the person at the agent's own client, where the workflow allows that.
//!
//! The client is the agent's process, so this proves less than any other channel: a workflow must
//! opt in, and only an approver who owns the calling credential is asked.

use std::{collections::BTreeMap, sync::Arc};

use preloop_govern::{Governor, Held, Vote};
use preloop_types::redact::redact;
use serde::Deserialize;
use serde_json::{Value, json, value::to_raw_value};

use super::calls::Attempt;
use crate::protocol::InputRequest;

#[derive(Deserialize)]
struct Answer {
    action: String,
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Content {
    decision: String,
    comment: Option<String>,
}

/// Whether this call may be decided at the client that makes it.
pub(super) fn applies(attempt: &Attempt<'_>, held: &Held) -> bool {
    held.workflow.channels.elicitation
        && held.approval.approvals_required == 1
        && held.approval.approvers.contains(&attempt.who.user)
        && attempt.client.info().capabilities.contains_key("elicitation")
}

/// Puts the request to the person and records what they decide. Ends without effect when they
/// dismiss it or cannot be asked: the other channels stay open.
pub(super) async fn ask(governor: &Governor, attempt: &Attempt<'_>, held: &Held) {
    let mut arguments: Value = serde_json::from_str(attempt.arguments.get()).unwrap_or_default();
    redact(&mut arguments);
    let approval = &held.approval;
    let params = json!({
        "mode": "form",
        "message": format!(
            "[Preloop] Approve `{}` of server `{}`?\n{arguments:#}",
            approval.tool.exposed, approval.tool.server
        ),
        "requestedSchema": {
            "type": "object",
            "properties": {
                "decision": {"type": "string", "enum": ["approve", "decline"]},
                "comment": {"type": "string"}
            },
            "required": if approval.require_reason { json!(["decision", "comment"]) } else { json!(["decision"]) }
        }
    });
    let request =
        InputRequest { method: "elicitation/create".to_owned(), params: to_raw_value(&params).ok().map(Arc::from) };
    let key = "preloop_approval";
    let Ok(mut answers) = attempt.client.ask(BTreeMap::from([(key.to_owned(), request)])).await else { return };
    let Some(Ok(answer)) = answers.remove(key) else { return };
    let Ok(Answer { action, content: Some(content) }) = serde_json::from_str::<Answer>(answer.get()) else { return };
    if action != "accept" {
        return;
    }
    let vote = Vote { approve: content.decision == "approve", comment: content.comment, ..Vote::default() };
    if let Err(error) = governor.approvals().decide_at_client(attempt.who, approval.clone(), vote).await {
        tracing::info!(approval = %approval.id, %error, "a decision given at the client does not count");
    }
}
