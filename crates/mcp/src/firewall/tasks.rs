//! Approvals as tasks (extension `io.modelcontextprotocol/tasks`): a client that declared it gets a
//! task instead of a held call, and needs no polling tool. The task is the approval request.

use std::sync::Arc;

use preloop_govern::Held;
use preloop_store::{Approval, ApprovalStatus};
use preloop_types::{ApprovalId, Subject, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json, value::RawValue, value::to_raw_value};

use super::{
    Asked, Firewall,
    waiting::{Answer, unreadable},
};
use crate::protocol::{Client, Era, RpcError, error};

/// The extension's name.
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// How often a client should ask, in milliseconds.
const POLL_MS: u64 = 5_000;
/// How much longer than its request a task can be asked about, in milliseconds.
const KEPT_MS: u64 = 3_600_000;

#[derive(Deserialize)]
struct TaskParams {
    #[serde(rename = "taskId")]
    task_id: String,
}

/// Whether the client declared on this request that it takes tasks.
pub(super) fn wanted(client: &dyn Client) -> bool {
    client.version().era() == Era::Modern
        && client.info().capabilities.get("extensions").is_some_and(|extensions| extensions.get(EXTENSION).is_some())
}

/// The result of a call that became a task.
pub(super) fn created(held: &Held) -> Arc<RawValue> {
    let mut body = facts(&held.approval, "working", held.approval.requested_at);
    body["resultType"] = json!("task");
    raw(&body)
}

impl Firewall {
    pub(super) async fn get_task(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let approval = self.task(asked).await?;
        self.governor.approvals().wanted(approval.id);
        let answer = match approval.status {
            ApprovalStatus::Pending | ApprovalStatus::Cancelled => Answer::Open,
            _ => self.redeem(asked.who, &approval, None, asked.client).await?,
        };
        let updated = approval.resolved_at.unwrap_or(approval.requested_at);
        let mut body = match (&answer, approval.status) {
            (Answer::Final(Ok(result)), _) => {
                let mut body = facts(&approval, "completed", updated);
                body["result"] = serde_json::from_str(result.get()).unwrap_or_default();
                body
            }
            (Answer::Final(Err(failure)), _) => {
                let mut body = facts(&approval, "failed", updated);
                body["error"] = json!(failure);
                body
            }
            (Answer::Open, ApprovalStatus::Cancelled) => facts(&approval, "cancelled", updated),
            (Answer::Open, _) => facts(&approval, "working", updated),
        };
        body["resultType"] = json!("complete");
        if matches!(answer, Answer::Final(_)) {
            self.delivered(asked.who, approval.id).await;
        }
        Ok(raw(&body))
    }

    /// Nothing of ours asks for input by way of a task.
    pub(super) async fn update_task(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        self.task(asked).await?;
        Ok(raw(&json!({})))
    }

    pub(super) async fn cancel_task(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let approval = self.task(asked).await?;
        let (account, id, subject) = (asked.who.account, approval.id, Subject::from(&**asked.who));
        let cancelled = self.governor.approvals().cancel(account, subject, id, "cancelled by the agent").await;
        cancelled.map_err(|failure| unreadable(id, &failure))?;
        Ok(raw(&json!({})))
    }

    /// The caller's own request behind a task id; another's looks like none.
    async fn task(&self, asked: &Asked<'_>) -> Result<Approval, RpcError> {
        let unknown = || RpcError::new(error::INVALID_PARAMS, "unknown task");
        let params: TaskParams = asked.params("`params` must hold the `taskId`")?;
        let id: ApprovalId = params.task_id.parse().map_err(|_| unknown())?;
        let found = self.governor.approvals().get(asked.who.account, id).await;
        found.ok().filter(|approval| approval.requester.key == asked.who.key).ok_or_else(unknown)
    }
}

fn facts(approval: &Approval, status: &str, updated: Timestamp) -> Value {
    let window = approval.expires_at.since(approval.requested_at).as_millis();
    let message = match approval.status {
        ApprovalStatus::Pending => "waiting for approval",
        other => other.as_str(),
    };
    json!({
        "taskId": approval.id,
        "status": status,
        "statusMessage": message,
        "createdAt": approval.requested_at,
        "lastUpdatedAt": updated,
        "ttlMs": u64::try_from(window).unwrap_or(u64::MAX).saturating_add(KEPT_MS),
        "pollIntervalMs": POLL_MS,
    })
}

fn raw(body: &Value) -> Arc<RawValue> {
    // A JSON value always serialises.
    Arc::from(to_raw_value(body).unwrap_or_default())
}
