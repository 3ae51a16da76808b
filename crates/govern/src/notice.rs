//! What a person is told of a request: the payload of one delivery in the outbox.
//!
//! `govern` writes one sealed notice per channel and recipient in the transaction that creates
//! the request; `preloop-notify` opens and sends it. The link in it is the recipient's own and
//! carries their identity, so a notice is never logged and never reaches an agent.

use preloop_types::{ApprovalId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How a notice travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A mail to one address.
    Email,
    /// A signed POST.
    Webhook,
}

impl Channel {
    /// The spelling used in SQL and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Channel::Email => "email",
            Channel::Webhook => "webhook",
        }
    }
}

/// One notice for one recipient.
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
    /// Where it goes.
    pub to: Recipient,
    /// The approval page, with this recipient's own token.
    pub link: String,
}

/// A mail that tells one person of something that needs no decision: the payload of a delivery that is about
/// no request.
#[derive(Clone, Serialize, Deserialize)]
pub struct Alert {
    /// What it is about, on one line.
    pub subject: String,
    /// What happened and what can be done.
    pub text: String,
    /// The address it goes to.
    pub address: String,
    /// The person's name, when known.
    pub name: Option<String>,
}

/// Where a notice goes.
#[derive(Clone, Serialize, Deserialize)]
#[serde(tag = "channel", rename_all = "snake_case")]
pub enum Recipient {
    /// A mailbox.
    Email {
        /// The address.
        address: String,
        /// The person's name, when known.
        name: Option<String>,
    },
    /// An HTTP endpoint.
    Webhook {
        /// Where to POST.
        url: String,
        /// Extra headers.
        headers: Vec<(String, String)>,
        /// The HMAC-SHA256 key of the signature; unsigned when absent.
        secret: Option<String>,
    },
}

impl Recipient {
    /// Which channel carries it.
    pub const fn channel(&self) -> Channel {
        match self {
            Recipient::Email { .. } => Channel::Email,
            Recipient::Webhook { .. } => Channel::Webhook,
        }
    }

    /// Names the recipient in records: an address or an origin, without secrets.
    pub fn label(&self) -> String {
        match self {
            Recipient::Email { address, .. } => address.clone(),
            Recipient::Webhook { url, .. } => url.split('?').next().unwrap_or_default().to_owned(),
        }
    }
}

impl std::fmt::Debug for ApprovalNotice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApprovalNotice")
            .field("request", &self.request)
            .field("to", &self.to.label())
            .finish_non_exhaustive()
    }
}
