use std::{sync::Arc, time::Duration};

use preloop_store::{Approval, Event, NewApproval, NewDelivery, Requester, SecretOwner};
use preloop_types::{
    ApprovalId, Decision, DecisionSource, EntryKind, Hash, Principal, RuleRef, Timestamp, ToolCall, UserId, WorkflowId,
    canonical_json,
    config::{RawJson, Workflow},
    redact::redact,
};
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::{Value, json, value::to_raw_value};

use super::{Approvals, link::Token};
use crate::{
    Admission, ApprovalNotice, Channel, Governor, Recipient, RefusalKind, Result, Snapshot, governor::unavailable,
    records,
};

/// A call that waits for a human.
pub struct Held {
    /// The request.
    pub approval: Approval,
    /// False when the call joined a request that was open already.
    pub created: bool,
    /// The workflow, for its name and manner.
    pub workflow: Workflow,
    /// How people are told, for people: `console`, `email`, `webhook`, `client`.
    pub channels: Vec<&'static str>,
    /// Names of those who may decide.
    pub approvers: Vec<String>,
}

/// What a human is to be asked.
struct Asked<'a> {
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
        workflow: WorkflowId,
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
        match self.put(who, Asked { call: &call, decision, snapshot, workflow }, arguments).await {
            Ok(held) => Admission::Held(Box::new(held)),
            Err(error) => Admission::Refused(unavailable(call.id, &error)),
        }
    }

    /// The row, its record, its tokens and its notices, in one transaction.
    async fn put(&self, who: &Arc<Principal>, asked: Asked<'_>, arguments: Hash) -> Result<Held> {
        let request = Request::new(self.governor, who, &asked, arguments);
        let announcements = self.announcements(who, &asked, &request).await?;
        let record = records::decided(
            EntryKind::ApprovalRequested,
            who,
            asked.call,
            asked.decision,
            asked.snapshot.version,
            Some(request.new.id),
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
                    for Announcement { notice, token, user } in announcements {
                        let recipient = notice.to.label();
                        tx.insert_approval_token(id, user, &recipient, &token).await?;
                        tx.enqueue(&NewDelivery {
                            channel: notice.to.channel().as_str().to_owned(),
                            recipient,
                            approval: Some(id),
                            payload: serde_json::to_vec(&notice).unwrap_or_default(),
                            next_at: tx.now(),
                        })
                        .await?;
                    }
                    tx.emit(Event::ApprovalChanged { account, id });
                    Ok(joined)
                })
            })
            .await?;
        if !joined.created {
            self.wanted(joined.approval.id);
        }
        let approvers = joined.approval.approvers.iter().filter_map(|id| asked.snapshot.users.get(id));
        Ok(Held {
            channels: self.channels(asked.workflow),
            approvers: approvers.map(|user| user.username.clone()).collect(),
            workflow: asked.workflow.clone(),
            approval: joined.approval,
            created: joined.created,
        })
    }

    fn channels(&self, workflow: &Workflow) -> Vec<&'static str> {
        let email = self.governor.inner().options().email;
        let webhook = workflow.channels.webhook.is_some();
        let client = workflow.channels.elicitation;
        [("console", true), (Channel::Email.as_str(), email), (Channel::Webhook.as_str(), webhook), ("client", client)]
            .into_iter()
            .filter_map(|(name, on)| on.then_some(name))
            .collect()
    }

    /// One notice per channel and recipient, each link with a token of its own.
    async fn announcements(&self, who: &Principal, asked: &Asked<'_>, request: &Request) -> Result<Vec<Announcement>> {
        let options = self.governor.inner().options();
        let recipients = self.recipients(who, asked, request).await?;
        Ok(recipients
            .into_iter()
            .map(|(to, user)| {
                let token = Token::generate();
                let notice = ApprovalNotice {
                    request: request.new.id,
                    tool: asked.call.tool.exposed.to_string(),
                    server: asked.call.tool.server.to_string(),
                    requester: request_line(&who.key_name, asked.call.client.as_deref()),
                    justification: asked.call.justification.clone(),
                    arguments: request.shown.clone(),
                    reason: asked.decision.reason.clone(),
                    workflow: asked.workflow.name.clone(),
                    requested_at: request.requested_at,
                    expires_at: request.requested_at + request.new.window,
                    link: token.link(&options.public_url, request.new.id),
                    to,
                };
                Announcement { notice, token: token.hash(), user }
            })
            .collect())
    }

    async fn recipients(
        &self,
        who: &Principal,
        asked: &Asked<'_>,
        request: &Request,
    ) -> Result<Vec<(Recipient, Option<UserId>)>> {
        let channels = &asked.workflow.channels;
        let mut recipients = Vec::new();
        if self.governor.inner().options().email {
            for user in request.new.approvers.iter().filter_map(|id| asked.snapshot.users.get(id)) {
                let Some(address) = user.email.clone() else { continue };
                recipients.push((Recipient::Email { address, name: user.full_name.clone() }, Some(user.id)));
            }
            for address in &channels.email {
                recipients.push((Recipient::Email { address: address.clone(), name: None }, None));
            }
        }
        if let Some(webhook) = &channels.webhook {
            let owner = SecretOwner::Workflow(asked.workflow.id);
            let secrets = self.governor.store().account(who.account).secrets(owner).await?;
            let secret = |name: &str| secrets.get(name).map(|secret| secret.expose_secret().to_owned());
            let headers = webhook.headers.iter();
            let headers = headers.filter_map(|name| Some((name.clone(), secret(&format!("webhook.header.{name}"))?)));
            let to = Recipient::Webhook {
                url: webhook.url.clone(),
                headers: headers.collect(),
                secret: secret("webhook.secret"),
            };
            recipients.push((to, None));
        }
        Ok(recipients)
    }
}

/// A notice and the link token in it.
struct Announcement {
    notice: ApprovalNotice,
    token: Hash,
    user: Option<UserId>,
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
    fn new(governor: &Governor, who: &Principal, asked: &Asked<'_>, args_hash: Hash) -> Self {
        let Asked { call, decision, snapshot, workflow } = asked;
        let now = governor.now();
        let mut shown = serde_json::from_str(call.arguments.get()).unwrap_or(Value::Null);
        redact(&mut shown);
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
            approvers: if workflow.approvers.is_empty() { snapshot.owners() } else { workflow.approvers.clone() },
            require_reason: workflow.require_reason,
            async_mode: workflow.async_approval,
            window: Duration::from_secs(u64::from(workflow.timeout_seconds)),
            execute_within: governor.inner().options().approved_ttl,
            policy_version: snapshot.version.to_string(),
            rule_context: RawJson(to_raw_value(&context).unwrap_or_default()),
            shown_hash: Some(shown_hash(call, &shown, &decision.reason)),
        };
        Self { new, requested_at: now, shown }
    }
}

/// Hash of what approvers are shown, so that the record says what they decided on.
fn shown_hash(call: &ToolCall, arguments: &Value, reason: &str) -> Hash {
    let shown = json!({
        "server": &*call.tool.server,
        "tool": &*call.tool.exposed,
        "arguments": arguments,
        "justification": call.justification,
        "reason": reason,
    });
    Hash::of(shown.to_string())
}

/// Who asks, in one line.
pub fn request_line(key: &str, client: Option<&str>) -> String {
    match client {
        Some(client) => format!("{key} ({client})"),
        None => key.to_owned(),
    }
}
