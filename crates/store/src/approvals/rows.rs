use std::{fmt, time::Duration};

use preloop_types::{
    AccountId, AgentId, ApprovalId, BypassId, CallId, Hash, KeyId, OutcomeStatus, ServerId, SessionId, Timestamp,
    ToolId, ToolRef, UserId, WorkflowId, WriterId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Approval, ApprovalStatus, Edit, Execution, ExecutionState, Requester, VoteCast, Voter};
use crate::{
    Result, Sealer, View,
    db::{at, from_json, hash, json, row, small, unsigned, word},
};

/// Bytes that only the account's key opens.
#[derive(Clone)]
pub(super) struct Sealed {
    bytes: Vec<u8>,
    context: String,
    sealer: Sealer,
}

impl Sealed {
    pub(super) fn open(&self) -> Result<Vec<u8>> {
        self.sealer.open(&self.context, &self.bytes)
    }
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed(..)")
    }
}

pub(super) fn arguments_context(id: ApprovalId) -> String {
    format!("approval/{id}/arguments")
}

pub(super) fn edited_context(id: ApprovalId) -> String {
    format!("approval/{id}/edited")
}

pub(super) fn preview_context(id: ApprovalId) -> String {
    format!("approval/{id}/preview")
}

pub(super) fn answer_context(id: ApprovalId) -> String {
    format!("approval/{id}/answer")
}

pub(super) fn result_context(id: ApprovalId) -> String {
    format!("approval/{id}/result")
}

row! {
    pub(super) struct ApprovalRow {
        id: Uuid, account_id: Uuid, call_id: Uuid, workflow_id: Uuid, workflow_name: String, tool_id: Option<Uuid>,
        server_id: Option<Uuid>, server: String, tool_name: String, exposed_name: String, definition_hash: Vec<u8>,
        key_id: Uuid, user_id: Uuid, agent_id: Option<Uuid>, session_id: Option<Uuid>, client: Option<String>,
        args_hash: Vec<u8>, arguments: Vec<u8>, justification: Option<String>, status: String,
        approvals_required: i64, approvers: String, require_reason: bool, async_mode: bool, requested_at: i64,
        expires_at: i64, resolved_at: Option<i64>, decided_by: Option<Uuid>, comment: Option<String>,
        policy_version: String, rule_context: String, shown_hash: Option<Vec<u8>>, votes: String, execution: String,
        attempt: i64, writer_id: Option<Uuid>, lease_until: Option<i64>, execute_before: Option<i64>,
        outcome: Option<String>, result: Option<Vec<u8>>, delivered_at: Option<i64>, excluded: String,
        escalate_to: String, escalated_at: Option<i64>, time_window: i64, preview: Option<Vec<u8>>,
        edited: Option<Vec<u8>>, edited_hash: Option<Vec<u8>>, edited_by: Option<Uuid>, edited_at: Option<i64>,
        answer: Option<Vec<u8>>, auto_approved: Option<String>, bypass_id: Option<Uuid>,
    }
}

impl ApprovalRow {
    fn into_approval(self, sealer: &Sealer) -> Result<Approval> {
        let id = ApprovalId(self.id);
        let sealed = |bytes, context| Sealed { bytes, context, sealer: sealer.clone() };
        let mut approvers: Vec<UserId> = from_json(&self.approvers)?;
        let escalate_to: Vec<UserId> = from_json(&self.escalate_to)?;
        if self.escalated_at.is_some() {
            let others = escalate_to.iter().filter(|user| !approvers.contains(user)).copied().collect::<Vec<_>>();
            approvers.extend(others);
        }
        let edit = match (self.edited_by, self.edited_at, &self.edited_hash) {
            (Some(by), Some(time), Some(args_hash)) => {
                Some(Edit { by: UserId(by), at: at(time), args_hash: hash(args_hash)? })
            }
            _ => None,
        };
        Ok(Approval {
            id,
            call: CallId(self.call_id),
            account: AccountId(self.account_id),
            workflow: WorkflowId(self.workflow_id),
            workflow_name: self.workflow_name,
            tool: ToolRef {
                id: self.tool_id.map(ToolId),
                server_id: self.server_id.map(ServerId),
                server: self.server.into(),
                name: self.tool_name.into(),
                exposed: self.exposed_name.into(),
                definition: hash(&self.definition_hash)?,
            },
            requester: Requester {
                key: KeyId(self.key_id),
                user: UserId(self.user_id),
                agent: self.agent_id.map(AgentId),
                session: self.session_id.map(SessionId),
                client: self.client,
            },
            args_hash: hash(&self.args_hash)?,
            justification: self.justification,
            status: word(ApprovalStatus::parse, &self.status)?,
            approvals_required: small(self.approvals_required)?,
            approvers,
            excluded: from_json(&self.excluded)?,
            escalate_to,
            escalated_at: self.escalated_at.map(at),
            window: Duration::from_micros(unsigned(self.time_window)?),
            require_reason: self.require_reason,
            async_mode: self.async_mode,
            requested_at: at(self.requested_at),
            expires_at: at(self.expires_at),
            resolved_at: self.resolved_at.map(at),
            decided_by: self.decided_by.map(UserId),
            comment: self.comment,
            policy_version: self.policy_version,
            rule_context: from_json(&self.rule_context)?,
            shown_hash: self.shown_hash.as_deref().map(hash).transpose()?,
            edit,
            auto_approved: self.auto_approved,
            bypass: self.bypass_id.map(BypassId),
            execution: Execution {
                state: word(ExecutionState::parse, &self.execution)?,
                attempt: small(self.attempt)?,
                writer: self.writer_id.map(WriterId),
                lease_until: self.lease_until.map(at),
                execute_before: self.execute_before.map(at),
                outcome: self.outcome.as_deref().map(|text| word(outcome, text)).transpose()?,
            },
            delivered_at: self.delivered_at.map(at),
            votes: votes_from_json(&self.votes)?,
            arguments: sealed(self.arguments, arguments_context(id)),
            edited: self.edited.map(|bytes| sealed(bytes, edited_context(id))),
            preview: self.preview.map(|bytes| sealed(bytes, preview_context(id))),
            answer: self.answer.map(|bytes| sealed(bytes, answer_context(id))),
            result: self.result.map(|bytes| sealed(bytes, result_context(id))),
        })
    }
}

impl View<'_> {
    pub(super) async fn read_approvals(&mut self, rows: Vec<ApprovalRow>) -> Result<Vec<Approval>> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let sealer = self.sealer().await?;
        rows.into_iter().map(|row| row.into_approval(&sealer)).collect()
    }

    pub(super) async fn read_approval(&mut self, row: Option<ApprovalRow>) -> Result<Option<Approval>> {
        Ok(self.read_approvals(row.into_iter().collect()).await?.pop())
    }
}

fn outcome(text: &str) -> Option<OutcomeStatus> {
    use OutcomeStatus::{Failed, NotSent, Succeeded, Unknown};
    [Succeeded, Failed, NotSent, Unknown].into_iter().find(|status| status.as_str() == text)
}

/// A vote as it lies in its request's row.
#[derive(Serialize, Deserialize)]
struct StoredVote {
    /// Nobody in particular when absent.
    user: Option<UserId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    on_behalf_of: Option<UserId>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    overriding: bool,
    approve: bool,
    comment: Option<String>,
    via: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shown: Option<Hash>,
    at: Timestamp,
}

pub(super) fn votes_to_json(votes: &[VoteCast]) -> Result<String> {
    let stored = |vote: &VoteCast| StoredVote {
        user: match vote.voter {
            Voter::User(user) => Some(user),
            Voter::Anonymous => None,
        },
        on_behalf_of: vote.on_behalf_of,
        overriding: vote.overriding,
        approve: vote.approve,
        comment: vote.comment.clone(),
        via: vote.via.clone(),
        shown: vote.shown,
        at: vote.at,
    };
    json(&votes.iter().map(stored).collect::<Vec<_>>())
}

fn votes_from_json(text: &str) -> Result<Vec<VoteCast>> {
    let cast = |StoredVote { user, on_behalf_of, overriding, approve, comment, via, shown, at }| VoteCast {
        voter: user.map_or(Voter::Anonymous, Voter::User),
        on_behalf_of,
        overriding,
        approve,
        comment,
        via,
        shown,
        at,
    };
    Ok(from_json::<Vec<StoredVote>>(text)?.into_iter().map(cast).collect())
}

/// What calls have to share to wait for one and the same decision.
pub(super) fn dedupe_key(account: AccountId, new: &super::NewApproval) -> Hash {
    let super::NewApproval { tool, requester, args_hash, .. } = new;
    let session = requester.session.map_or(Uuid::nil(), |id| id.0);
    let server = tool.server_id.map_or(Uuid::nil(), |id| id.0);
    Hash::of_parts(&[
        b"preloop/approval/v1\0",
        account.0.as_bytes(),
        requester.key.0.as_bytes(),
        session.as_bytes(),
        server.as_bytes(),
        &tool.definition.0,
        &args_hash.0,
        tool.name.as_bytes(),
    ])
}
