use std::{sync::Arc, time::Duration};

use preloop_store::{Approval, Event, NewApproval, Requester};
use preloop_types::{
    ApprovalId, Decision, DecisionSource, EntryKind, Hash, Principal, RuleRef, Timestamp, ToolCall, WorkflowId,
    canonical_json,
    config::{RawJson, Workflow},
};
use serde::Serialize;
use serde_json::{Value, value::to_raw_value};

use super::{
    Approvals,
    announce::{About, Story, announce, channels, clean},
    electorate::Electorate,
    shown::Shown,
};
use crate::{
    Admission, Governor, Occasion, RefusalKind, Result, Snapshot,
    governor::unavailable,
    records::{self, Basis},
};

/// A call that waits for a human.
pub struct Held {
    /// The request.
    pub approval: Approval,
    /// False when the call joined a request that was open already.
    pub created: bool,
    /// The workflow, for its name and manner.
    pub workflow: Workflow,
    /// How people are told, for people: `console`, `email`, `slack`, …, `client`.
    pub channels: Vec<String>,
    /// Names of those who may decide.
    pub approvers: Vec<String>,
}

/// What a human is to be asked.
struct Asked<'a> {
    window: Option<Duration>,
    electorate: Electorate,
    call: &'a ToolCall,
    decision: &'a Decision,
    snapshot: &'a Snapshot,
    workflow: &'a Workflow,
}

impl Approvals<'_> {
    /// Turns a call into a request, or joins it to the open one for the same call.
    pub(crate) async fn hold(
        &self,
        who: &Arc<Principal>,
        call: ToolCall,
        decision: &Decision,
        snapshot: &Snapshot,
        (workflow, window): (WorkflowId, Option<Duration>),
    ) -> Admission {
        let Some(workflow) = snapshot.workflows.get(&workflow) else {
            let message = format!(
                "Tool '{}' requires approval but its approval workflow no longer exists. Ask an administrator to \
                 configure one",
                call.tool.exposed
            );
            return Admission::Refused(self.governor.refuse(who, &call, RefusalKind::Misconfigured, message).await);
        };
        let arguments = match canonical_json(call.arguments.get()) {
            Ok(arguments) => Hash::of(arguments),
            Err(error) => {
                let message = format!("The arguments cannot be put before a human: {error}");
                let refusal = self.governor.refuse(who, &call, RefusalKind::InvalidArguments, message).await;
                return Admission::Refused(refusal);
            }
        };
        let electorate = Electorate::of(snapshot, workflow, who, decision);
        if electorate.is_empty() && workflow.channels.email.is_empty() {
            let message = format!(
                "Tool '{}' requires approval, but nobody may give it: workflow `{}` excludes everybody it names. Ask an \
                 administrator to name other approvers",
                call.tool.exposed, workflow.name
            );
            return Admission::Refused(self.governor.refuse(who, &call, RefusalKind::Misconfigured, message).await);
        }
        let asked = Asked { call: &call, decision, snapshot, workflow, electorate, window };
        match self.put(who, asked, arguments).await {
            Ok(held) => Admission::Held(Box::new(held)),
            Err(error) => Admission::Refused(unavailable(call.id, &error)),
        }
    }

    /// The row, its record, its tokens and its notices, in one transaction.
    async fn put(&self, who: &Arc<Principal>, asked: Asked<'_>, arguments: Hash) -> Result<Held> {
        let last = match asked.call.tool.server_id {
            Some(_) => self.governor.store().account(who.account).last_approved(asked.call.tool.clone()).await?,
            None => None,
        };
        let shown = Shown::of(asked.call, &asked.decision.reason, last.as_ref(), &[]);
        let request = Request::new(self.governor, who, &asked, arguments, shown);
        let people = &request.new.approvers;
        let agent = request.new.requester.agent;
        let about = About { account: who.account, agent, workflow: asked.workflow };
        let reviewer = asked.workflow.settings.reviewer.as_ref().map(|reviewer| reviewer.model.clone());
        // Where a model looks first, people are told when they are needed.
        let recipients = match &reviewer {
            Some(_) => Vec::new(),
            None => self.recipients(about, asked.snapshot, people).await?,
        };
        let channels = channels(asked.workflow, &recipients);
        let announcements = self.announcements(&request.story(who, &asked), recipients);
        let record = records::decided(
            EntryKind::ApprovalRequested,
            who,
            asked.call,
            asked.decision,
            asked.snapshot.version,
            Basis::Approval(request.new.id),
        );
        let (account, new, reason) = (who.account, request.new, asked.decision.reason.clone());
        let joined = self
            .governor
            .store()
            .write(account, move |tx| {
                Box::pin(async move {
                    let joined = tx.insert_or_join_approval(&new).await?;
                    if !joined.created {
                        return Ok(joined);
                    }
                    let id = joined.approval.id;
                    tx.record(record);
                    tx.add_approval_event(id, "approval_requested", Some(&reason), None, None).await?;
                    announce(tx, id, announcements).await?;
                    if let Some(model) = reviewer {
                        tx.insert_review(id, &model).await?;
                    }
                    tx.emit(Event::ApprovalChanged { account, id });
                    Ok(joined)
                })
            })
            .await?;
        if !joined.created {
            self.wanted(joined.approval.id);
        } else if asked.workflow.settings.reviewer.is_some() {
            self.review_soon(account, joined.approval.id);
        }
        let approvers = joined.approval.approvers.iter().filter_map(|id| asked.snapshot.users.get(id));
        Ok(Held {
            channels,
            approvers: approvers.map(|user| user.username.clone()).collect(),
            workflow: asked.workflow.clone(),
            approval: joined.approval,
            created: joined.created,
        })
    }
}

/// A request before it is a row, and what its approvers are shown.
struct Request {
    new: NewApproval,
    requested_at: Timestamp,
    shown: Value,
}

/// Which rule asked; kept with the request.
#[derive(Serialize)]
struct RuleContext<'a> {
    source: DecisionSource,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a RuleRef>,
}

impl Request {
    fn new(governor: &Governor, who: &Principal, asked: &Asked<'_>, args_hash: Hash, shown: Shown) -> Self {
        let Asked { call, decision, snapshot, workflow, electorate, window } = asked;
        let now = governor.now();
        let context = RuleContext { source: decision.source, reason: &decision.reason, rule: decision.rule.as_ref() };
        let new = NewApproval {
            id: ApprovalId::new(now),
            call: call.id,
            workflow: workflow.id,
            workflow_name: workflow.name.clone(),
            tool: call.tool.clone(),
            requester: Requester {
                key: who.key,
                user: who.user,
                agent: who.agent.as_ref().map(|agent| agent.id),
                session: who.session,
                client: call.client.as_deref().map(str::to_owned),
            },
            args_hash,
            arguments: call.arguments.clone(),
            justification: call.justification.clone(),
            approvals_required: workflow.approvals_required,
            approvers: electorate.approvers.clone(),
            excluded: electorate.excluded.clone(),
            escalate_to: electorate.escalate_to.clone(),
            require_reason: workflow.require_reason,
            async_mode: workflow.async_approval,
            window: window.unwrap_or(Duration::from_secs(u64::from(workflow.timeout_seconds))),
            execute_within: governor.inner().options().approved_ttl,
            policy_version: snapshot.version.to_string(),
            rule_context: RawJson(to_raw_value(&context).unwrap_or_default()),
            shown_hash: Some(shown.hash),
            preview: shown.preview,
        };
        Self { new, requested_at: now, shown: shown.arguments }
    }

    fn story(&self, who: &Principal, asked: &Asked<'_>) -> Story {
        Story {
            request: self.new.id,
            tool: asked.call.tool.exposed.to_string(),
            server: asked.call.tool.server.to_string(),
            requester: request_line(&who.key_name, asked.call.client.as_deref()),
            justification: asked.call.justification.as_deref().map(clean),
            arguments: self.shown.clone(),
            reason: asked.decision.reason.clone(),
            workflow: asked.workflow.name.clone(),
            requested_at: self.requested_at,
            expires_at: self.requested_at + self.new.window,
            occasion: Occasion::Requested,
        }
    }
}

/// Who asks, in one line.
pub fn request_line(key: &str, client: Option<&str>) -> String {
    match client {
        Some(client) => format!("{key} ({client})"),
        None => key.to_owned(),
    }
}
