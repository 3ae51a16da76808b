//! Tells people of a request: one notice per channel and recipient, each with a link of its own.
//!
//! Who is told is a function of the request ([`Approvals::recipients`]), so that whoever is asked later
//! (those an escalation names, those a reminder is for) is told in the same way. Notices go into the
//! outbox in the transaction that gives the reason for them; a person who was told of a request over a
//! channel is not told again.

use preloop_store::{NewDelivery, SecretOwner, Tx};
use preloop_types::{AccountId, ApprovalId, Hash, Timestamp, UserId, config::Workflow};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{Approvals, link::Token};
use crate::{ApprovalNotice, Channel, Recipient, Result, Snapshot};

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
}

/// A notice and the link token in it.
pub(super) struct Announcement {
    notice: ApprovalNotice,
    token: Hash,
    user: Option<UserId>,
}

impl Approvals<'_> {
    /// How people are told, for people: `console`, `email`, `webhook`, `client`.
    pub(super) fn channels(&self, workflow: &Workflow) -> Vec<&'static str> {
        let email = self.governor.inner().options().email;
        let webhook = workflow.channels.webhook.is_some();
        let client = workflow.channels.elicitation;
        [("console", true), (Channel::Email.as_str(), email), (Channel::Webhook.as_str(), webhook), ("client", client)]
            .into_iter()
            .filter_map(|(name, on)| on.then_some(name))
            .collect()
    }

    /// The channels of `people`, and those of the workflow itself.
    pub(super) async fn recipients(
        &self,
        account: AccountId,
        snapshot: &Snapshot,
        workflow: &Workflow,
        people: &[UserId],
    ) -> Result<Vec<(Recipient, Option<UserId>)>> {
        let channels = &workflow.channels;
        let mut recipients = Vec::new();
        if self.governor.inner().options().email {
            for user in people.iter().filter_map(|id| snapshot.users.get(id)) {
                let Some(address) = user.email.clone() else { continue };
                recipients.push((Recipient::Email { address, name: user.full_name.clone() }, Some(user.id)));
            }
            for address in &channels.email {
                recipients.push((Recipient::Email { address: address.clone(), name: None }, None));
            }
        }
        if let Some(webhook) = &channels.webhook {
            let owner = SecretOwner::Workflow(workflow.id);
            let secrets = self.governor.store().account(account).secrets(owner).await?;
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

    /// One notice for each recipient, each link with a token of its own.
    pub(super) fn announcements(
        &self,
        story: &Story,
        recipients: Vec<(Recipient, Option<UserId>)>,
    ) -> Vec<Announcement> {
        let public_url = &self.governor.inner().options().public_url;
        let announcement = |(to, user)| {
            let token = Token::generate();
            let story = story.clone();
            let notice = ApprovalNotice {
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
                link: token.link(public_url, story.request),
                to,
            };
            Announcement { notice, token: token.hash(), user }
        };
        recipients.into_iter().map(announcement).collect()
    }
}

/// Puts the notices of one request, and the hashes of their links, where they are sent from.
pub(super) async fn announce(
    tx: &mut Tx<'_>,
    id: ApprovalId,
    announcements: Vec<Announcement>,
) -> preloop_store::Result<()> {
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
    Ok(())
}
