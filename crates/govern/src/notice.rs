//! What a person is told: the payload of one delivery in the outbox.
//!
//! `govern` writes one sealed notice per channel and recipient in the transaction that gives the
//! reason for it; `preloop-notify` opens and sends it. A link in a notice is the recipient's own and
//! carries their identity, so a notice is never logged and never reaches an agent.

use preloop_store::{Device, NewDelivery};
use preloop_types::{ApprovalId, DeviceId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One notice for one recipient.
#[derive(Clone, Serialize, Deserialize)]
pub struct Notice {
    /// Where it goes.
    pub to: Recipient,
    /// What it says.
    pub what: Message,
}

/// What a notice says.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// Somebody is asked for a decision.
    Request(Box<ApprovalNotice>),
    /// Somebody is told of something that needs no decision.
    Alert(Alert),
}

/// What somebody who is asked for a decision is told.
#[derive(Clone, Serialize, Deserialize)]
pub struct ApprovalNotice {
    /// The request.
    pub request: ApprovalId,
    /// The tool as agents call it.
    pub tool: String,
    /// Its server's slug, or `builtin`.
    pub server: String,
    /// Who asks: the API key's name, and what the client says of itself.
    pub requester: String,
    /// The reason the agent gave.
    pub justification: Option<String>,
    /// The arguments with secrets hidden.
    pub arguments: Value,
    /// Why a human is asked: the rule's description or expression.
    pub reason: String,
    /// The workflow's name.
    pub workflow: String,
    /// When the request was made.
    pub requested_at: Timestamp,
    /// Until when it can be decided.
    pub expires_at: Timestamp,
    /// Why they are told now.
    pub occasion: Occasion,
    /// The approval page, with this recipient's own token. Devices get none: they hold a credential.
    pub link: Option<String>,
}

/// Why somebody is told of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Occasion {
    /// It was made.
    #[default]
    Requested,
    /// Nobody decided in time, and others are asked.
    Escalated,
    /// Time runs out; which reminder this is, from 1.
    Reminder(u32),
}

impl Occasion {
    /// What stands before the subject.
    pub const fn prefix(self) -> &'static str {
        match self {
            Occasion::Requested => "",
            Occasion::Escalated => "ESCALATED: ",
            Occasion::Reminder(_) => "Reminder: ",
        }
    }

    /// Tells deliveries to one recipient apart: each occasion is told once.
    fn suffix(self) -> String {
        match self {
            Occasion::Requested | Occasion::Escalated => String::new(),
            Occasion::Reminder(number) => format!(" (reminder {number})"),
        }
    }
}

/// Something that needs no decision.
#[derive(Clone, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about, on one line.
    pub subject: String,
    /// What happened and what can be done.
    pub text: String,
}

/// Where a notice goes. What an address looks like is the channel's business.
#[derive(Clone, Serialize, Deserialize)]
pub struct Recipient {
    /// The channel's name.
    pub channel: String,
    /// Names the recipient in records: an address or a name, without secrets. One of a channel.
    pub label: String,
    /// The device, which is forgotten when its channel says that it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<DeviceId>,
    /// What the channel needs to reach it; may hold secrets.
    pub address: Value,
}

impl Recipient {
    /// A mailbox.
    #[expect(clippy::needless_pass_by_value, reason = "both become part of it")]
    pub fn email(address: String, name: Option<String>) -> Self {
        let to = json!({ "address": &address, "name": &name });
        Self { channel: "email".to_owned(), label: address, device: None, address: to }
    }

    /// A workflow's webhook; unsigned without a secret.
    pub fn webhook(url: &str, headers: &[(String, String)], secret: Option<&str>) -> Self {
        let label = url.split('?').next().unwrap_or_default().to_owned();
        let address = json!({ "url": url, "headers": headers, "secret": secret });
        Self { channel: "webhook".to_owned(), label, device: None, address }
    }

    /// A channel of a workflow whose address is a secret.
    pub fn sealed(channel: &str, workflow: &str, address: Value) -> Self {
        Self { channel: channel.to_owned(), label: format!("workflow {workflow}"), device: None, address }
    }

    /// A person's device.
    pub fn device(device: &Device) -> Self {
        // The text was written by `serde_json`; a channel says what is wrong with one that cannot be read.
        let address = serde_json::from_str(&device.address).unwrap_or_default();
        let label = format!("{} ({})", device.name, device.id);
        Self { channel: device.channel.clone(), label, device: Some(device.id), address }
    }
}

impl Notice {
    /// The notice as a delivery that is due at `next_at`.
    pub fn delivery(&self, next_at: Timestamp) -> NewDelivery {
        let (approval, suffix) = match &self.what {
            Message::Request(request) => (Some(request.request), request.occasion.suffix()),
            Message::Alert(_) => (None, String::new()),
        };
        NewDelivery {
            channel: self.to.channel.clone(),
            recipient: format!("{}{suffix}", self.to.label),
            approval,
            // Texts and JSON values always serialise.
            payload: serde_json::to_vec(self).unwrap_or_default(),
            next_at,
        }
    }
}

impl std::fmt::Debug for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notice").field("channel", &self.to.channel).field("to", &self.to.label).finish_non_exhaustive()
    }
}
