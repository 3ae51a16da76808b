//! Slack, by an incoming webhook: a message with buttons where clicks can be verified, else with a link.

use async_trait::async_trait;
use preloop_govern::{ApprovalNotice, Message};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    SendError, SlackSettings,
    brief::{self, fact},
    channel::{Channel, Parcel},
    chat::Button,
    http::Http,
};

const WHAT: &str = "Slack";
/// The colour of what waits.
const COLOUR: &str = "#f2c744";

#[derive(Deserialize)]
struct Address {
    webhook_url: String,
}

pub(super) struct Slack {
    http: Http,
    /// Whether clicks can be verified.
    buttons: bool,
}

impl Slack {
    pub(super) fn new(http: Http, settings: &SlackSettings) -> Self {
        Self { http, buttons: settings.signing_secret.is_some() }
    }
}

#[async_trait]
impl Channel for Slack {
    fn name(&self) -> &'static str {
        "slack"
    }

    async fn send(&self, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let (to, message): (Address, _) = parcel.open()?;
        let body = match &message {
            Message::Request(request) => of_request(request, self.buttons),
            Message::Alert(alert) => {
                json!({ "text": escaped(&format!("{}: {}", fact(&alert.subject), fact(&alert.text))) })
            }
        };
        let answer = self.http.post_json(WHAT, &to.webhook_url, HeaderMap::new(), &body).await?;
        answer.judged(WHAT)
    }
}

fn of_request(request: &ApprovalNotice, buttons: bool) -> Value {
    let headline = brief::headline(request);
    let fields = brief::facts(request);
    let fields: Vec<Value> = fields.iter().map(|(name, value)| plain(&format!("{name}: {value}"))).collect();
    let blocks = json!([
        { "type": "header", "text": plain(&shortened_header(&headline)) },
        { "type": "section", "fields": fields },
        preformatted(&brief::arguments(request)),
        { "type": "actions", "block_id": "preloop", "elements": elements(request, buttons) },
    ]);
    json!({ "text": escaped(&headline), "attachments": [{ "color": COLOUR, "fallback": escaped(&headline), "blocks": blocks }] })
}

fn elements(request: &ApprovalNotice, buttons: bool) -> Vec<Value> {
    let mut elements = Vec::new();
    if let Some(button) = request.link.as_deref().and_then(Button::of).filter(|_| buttons) {
        for (action, label, style) in [("approve", "Approve", "primary"), ("decline", "Decline", "danger")] {
            elements.push(json!({
                "type": "button", "action_id": format!("preloop_{action}"), "style": style, "text": plain(label),
                "value": button.value(),
            }));
        }
    }
    if let Some(link) = &request.link {
        elements.push(json!({
            "type": "button", "action_id": "preloop_view", "text": plain("Review and decide"), "url": link,
        }));
    }
    elements
}

/// Text that is shown as it is: no mentions, no markup.
fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "emoji": false, "text": text })
}

fn preformatted(text: &str) -> Value {
    json!({ "type": "rich_text", "elements": [
        { "type": "rich_text_preformatted", "elements": [{ "type": "text", "text": text }] },
    ] })
}

/// Headers are short.
fn shortened_header(text: &str) -> String {
    preloop_types::text::shortened(text, 140).into_owned()
}

/// What would be a mention or a link in a message's text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
