//! Tells people of a request: one notice per channel and recipient, each with a link of its own.
//!
//! Who is told is a function of the request ([`Approvals::recipients`]), so that whoever is asked later
//! (those an escalation names, those a reminder is for) is told in the same way. Notices go into the
//! outbox in the transaction that gives the reason for them; a person who was told of a request over a
//! channel is not told again on the same occasion.

use std::{collections::HashMap, time::Duration};

use preloop_store::{Approval, Bypass, Device, Preferences, SecretOwner, Tx};
use preloop_types::{
    AccountId, AgentId, ApprovalId, Hash, Timestamp, UserId,
    config::Workflow,
    redact::{redact, redact_text},
};
use secrecy::ExposeSecret;
use serde_json::{Map, Value};

use super::{Approvals, link::Token};
use crate::{ApprovalNotice, Message, Notice, Occasion, Recipient, Result, Snapshot};

/// A mail waits so long for whoever looks at their devices first.
const AFTER_PUSH: Duration = Duration::from_secs(15);
/// The mode of a bypass in which a person is not told.
const MUTED: &str = "mute_notifications";

/// What a request's notices say, whoever they go to.
#[derive(Clone)]
pub(super) struct Story {
    pub(super) request: ApprovalId,
    pub(super) tool: String,
    pub(super) server: String,
    pub(super) requester: String,
    pub(super) justification: Option<String>,
    /// The arguments with secrets hidden.
    pub(super) arguments: Value,
    pub(super) reason: String,
    pub(super) workflow: String,
    pub(super) requested_at: Timestamp,
    pub(super) expires_at: Timestamp,
    pub(super) occasion: Occasion,
}

impl Story {
    /// The story of a request that is open already. `requester` says who asks, in one line.
    pub(super) fn of(approval: &Approval, requester: String, occasion: Occasion) -> Result<Self> {
        let mut arguments = serde_json::from_str(approval.arguments_to_run()?.get()).unwrap_or(Value::Null);
        redact(&mut arguments);
        let context: Value = serde_json::from_str(approval.rule_context.0.get()).unwrap_or_default();
        Ok(Self {
            request: approval.id,
            tool: approval.tool.exposed.to_string(),
            server: approval.tool.server.to_string(),
            requester,
            justification: approval.justification.as_deref().map(clean),
            arguments,
            reason: context["reason"].as_str().unwrap_or_default().to_owned(),
            workflow: approval.workflow_name.clone(),
            requested_at: approval.requested_at,
            expires_at: approval.expires_at,
            occasion,
        })
    }
}

/// The text without what looks like a credential: agents write what they please.
pub(super) fn clean(text: &str) -> String {
    redact_text(text).unwrap_or_else(|| text.to_owned())
}

/// What a notice's link allows.
#[derive(Clone, Copy)]
enum Link {
    /// There is none: devices hold a credential.
    None,
    /// The vote of whoever holds it, or of that person.
    Of(Option<UserId>),
}

/// Somebody who is to be told.
pub(super) struct Addressee {
    to: Recipient,
    /// What its link allows.
    link: Link,
    after: Duration,
}

impl Addressee {
    fn person(to: Recipient, user: UserId, after: Duration) -> Self {
        Self { to, link: Link::Of(Some(user)), after }
    }

    fn place(to: Recipient) -> Self {
        Self { to, link: Link::Of(None), after: Duration::ZERO }
    }

    fn device(device: &Device) -> Self {
        Self { to: Recipient::device(device), link: Link::None, after: Duration::ZERO }
    }
}

/// A notice and the link token in it.
pub(super) struct Announcement {
    notice: Notice,
    token: Option<(Hash, Option<UserId>)>,
    after: Duration,
}

/// Whose request people are told of.
#[derive(Clone, Copy)]
pub(super) struct About<'a> {
    pub(super) account: AccountId,
    pub(super) agent: Option<AgentId>,
    pub(super) workflow: &'a Workflow,
}

impl Approvals<'_> {
    /// Who is told of a request: `people` by the channels they chose, unless they muted them, and the
    /// channels of the workflow itself.
    pub(super) async fn recipients(
        &self,
        about: About<'_>,
        snapshot: &Snapshot,
        people: &[UserId],
    ) -> Result<Vec<Addressee>> {
        let rows = self.governor.store().account(about.account);
        let preferences: HashMap<UserId, Preferences> = rows.all_preferences().await?.into_iter().collect();
        let devices = rows.devices(None).await?;
        let bypasses = rows.active_bypasses(self.governor.now()).await?;
        let email = self.governor.inner().options().email;
        let mut told = Vec::new();
        for user in people.iter().filter_map(|id| snapshot.users.get(id)) {
            if bypasses.iter().any(|bypass| mutes(bypass, user.id, about.agent)) {
                continue;
            }
            let wants = preferences.get(&user.id).cloned().unwrap_or_default();
            let mine = devices.iter().filter(|device| wants.enable_push && device.user == user.id);
            let already = told.len();
            told.extend(mine.map(Addressee::device));
            let after = if told.len() > already { AFTER_PUSH } else { Duration::ZERO };
            if let Some(address) = user.email.clone().filter(|_| email && wants.enable_email) {
                told.push(Addressee::person(Recipient::email(address, user.full_name.clone()), user.id, after));
            }
        }
        told.extend(self.places(about).await?.into_iter().map(Addressee::place));
        Ok(told)
    }

    /// The channels of the workflow itself.
    async fn places(&self, about: About<'_>) -> Result<Vec<Recipient>> {
        let channels = &about.workflow.channels;
        let mut places = Vec::new();
        if self.governor.inner().options().email {
            places.extend(channels.email.iter().map(|address| Recipient::email(address.clone(), None)));
        }
        if channels.webhook.is_none() && channels.sealed.is_empty() {
            return Ok(places);
        }
        let owner = SecretOwner::Workflow(about.workflow.id);
        let secrets = self.governor.store().account(about.account).secrets(owner).await?;
        let secret = |name: &str| secrets.get(name).map(|secret| secret.expose_secret().to_owned());
        if let Some(webhook) = &channels.webhook {
            let headers = webhook.headers.iter();
            let headers = headers.filter_map(|name| Some((name.clone(), secret(&format!("webhook.header.{name}"))?)));
            let headers: Vec<_> = headers.collect();
            places.push(Recipient::webhook(&webhook.url, &headers, secret("webhook.secret").as_deref()));
        }
        for (channel, fields) in &channels.sealed {
            let field = |name: &String| Some((name.clone(), Value::from(secret(&format!("{channel}.{name}"))?)));
            let address = Value::Object(fields.iter().filter_map(field).collect::<Map<_, _>>());
            places.push(Recipient::sealed(channel, &about.workflow.name, address));
        }
        Ok(places)
    }

    /// One notice for each recipient, each link with a token of its own.
    pub(super) fn announcements(&self, story: &Story, recipients: Vec<Addressee>) -> Vec<Announcement> {
        let public_url = &self.governor.inner().options().public_url;
        let announcement = |Addressee { to, link, after }| {
            let token = match link {
                Link::None => None,
                Link::Of(user) => Some((Token::generate(), user)),
            };
            let story = story.clone();
            let request = ApprovalNotice {
                request: story.request,
                tool: story.tool,
                server: story.server,
                requester: story.requester,
                justification: story.justification,
                arguments: story.arguments,
                reason: story.reason,
                workflow: story.workflow,
                requested_at: story.requested_at,
                expires_at: story.expires_at,
                occasion: story.occasion,
                link: token.as_ref().map(|(token, _)| token.link(public_url, story.request)),
            };
            let notice = Notice { to, what: Message::Request(Box::new(request)) };
            Announcement { notice, token: token.map(|(token, user)| (token.hash(), user)), after }
        };
        recipients.into_iter().map(announcement).collect()
    }
}

/// How people are told, for people: `console`, `email`, `slack`, …, `client`.
pub(super) fn channels(workflow: &Workflow, told: &[Addressee]) -> Vec<String> {
    let mut names = vec!["console".to_owned()];
    for Addressee { to, .. } in told {
        if !names.contains(&to.channel) {
            names.push(to.channel.clone());
        }
    }
    if workflow.channels.elicitation {
        names.push("client".to_owned());
    }
    names
}

fn mutes(bypass: &Bypass, user: UserId, agent: Option<AgentId>) -> bool {
    bypass.mode == MUTED && bypass.user == user && (bypass.agent.is_none() || bypass.agent == agent)
}

/// Puts the notices of one request, and the hashes of their links, where they are sent from. A full
/// outbox is no reason to refuse the call: people can still find the request.
pub(super) async fn announce(
    tx: &mut Tx<'_>,
    id: ApprovalId,
    announcements: Vec<Announcement>,
) -> preloop_store::Result<()> {
    for Announcement { notice, token, after } in announcements {
        let delivery = notice.delivery(tx.now() + after);
        match tx.enqueue(&delivery).await {
            Ok(true) => {}
            Ok(false) => continue,
            Err(preloop_store::Error::Busy) => {
                let detail = format!("{} to {} was not sent: too much waits", delivery.channel, delivery.recipient);
                tx.add_approval_event(id, "notification_failed", Some(&detail), None, None).await?;
                continue;
            }
            Err(error) => return Err(error),
        }
        if let Some((token, user)) = token {
            tx.insert_approval_token(id, user, &delivery.recipient, &token).await?;
        }
    }
    Ok(())
}
