//! Mattermost, by an incoming webhook: a message with buttons where clicks can be verified, else with a link.
//!
//! Mattermost does not sign clicks. A button carries a token that only the Mattermost server sees; it is
//! believed about who clicked, so buttons are sent to the server that the instance trusts and to no other.

use async_trait::async_trait;
use preloop_govern::{ApprovalNotice, Message};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::{
    MattermostSettings, SendError,
    brief::{self, fact},
    channel::{Channel, Parcel},
    chat::{Button, MattermostButtons},
    http::Http,
};

const WHAT: &str = "Mattermost";
/// The colour of what waits.
const COLOUR: &str = "#f2c744";

#[derive(Deserialize)]
struct Address {
    webhook_url: String,
}

pub(super) struct Mattermost {
    http: Http,
    /// Who may be sent buttons, where clicks can be verified.
    buttons: Option<(Url, MattermostButtons)>,
    /// Where clicks go.
    clicks: String,
}

impl Mattermost {
    pub(super) fn new(http: Http, settings: &MattermostSettings, public_url: &str) -> Self {
        let buttons = settings.url.clone().zip(MattermostButtons::new(settings));
        Self { http, buttons, clicks: format!("{public_url}/api/v1/chat/mattermost") }
    }

    fn actions(&self, request: &ApprovalNotice, to: &str) -> Vec<Value> {
        let Some((server, buttons)) = &self.buttons else { return Vec::new() };
        let trusted = Url::parse(to).is_ok_and(|to| to.origin() == server.origin());
        let Some(button) = request.link.as_deref().and_then(Button::of).filter(|_| trusted) else { return Vec::new() };
        let action = |(action, label, style): (&str, &str, &str)| {
            json!({
                "id": action, "type": "button", "name": label, "style": style,
                "integration": { "url": self.clicks, "context": buttons.context(&button, action) },
            })
        };
        [("approve", "Approve", "good"), ("decline", "Decline", "danger")].into_iter().map(action).collect()
    }

    fn of_request(&self, request: &ApprovalNotice, to: &str) -> Value {
        let headline = brief::headline(request);
        let mut text = fenced(
            &brief::facts(request).iter().fold(String::new(), |text, (name, value)| format!("{text}{name}: {value}\n")),
        );
        text += &fenced(&brief::arguments(request));
        if let Some(link) = &request.link {
            text = format!("{text}[Review and decide]({link})");
        }
        json!({ "text": "", "attachments": [{
            "color": COLOUR, "fallback": quiet(&headline), "title": quiet(&headline), "text": text,
            "actions": self.actions(request, to),
        }] })
    }
}

#[async_trait]
impl Channel for Mattermost {
    fn name(&self) -> &'static str {
        "mattermost"
    }

    async fn send(&self, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let (to, message): (Address, _) = parcel.open()?;
        let body = match &message {
            Message::Request(request) => self.of_request(request, &to.webhook_url),
            Message::Alert(alert) => json!({ "text": fenced(&format!("{}\n{}", fact(&alert.subject), alert.text)) }),
        };
        self.http.post_json(WHAT, &to.webhook_url, HeaderMap::new(), &body).await?.judged(WHAT)
    }
}

/// A block in which nothing is a mention, a link or markup.
fn fenced(text: &str) -> String {
    format!("```text\n{}\n```\n", text.trim_end().replace("```", "'''"))
}

/// A line in which nothing is a mention, a link or markup.
fn quiet(text: &str) -> String {
    text.chars().map(|c| if "@[]()<>`*_#~|!\\".contains(c) { ' ' } else { c }).collect()
}
