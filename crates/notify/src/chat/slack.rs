//! Clicks in Slack. Slack signs them (`v0`: HMAC-SHA256 of `v0:<time>:<body>` under the app's signing
//! secret) and waits three seconds for an answer; what there is to say goes to `response_url`.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use preloop_types::{Hash, Timestamp};
use reqwest::header::HeaderMap;
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Button, ChatAnswer, ChatDesk, ChatError, Clicker, Said};

/// A signature is good for so long, either way.
const TOLERANCE: Duration = Duration::from_mins(5);

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "type")]
    kind: String,
    user: User,
    #[serde(default)]
    team: Option<Team>,
    #[serde(default)]
    actions: Vec<Action>,
    response_url: Option<String>,
}

#[derive(Deserialize)]
struct User {
    id: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    team_id: String,
}

#[derive(Deserialize)]
struct Team {
    id: String,
}

#[derive(Deserialize)]
struct Action {
    action_id: String,
    #[serde(default)]
    value: String,
}

impl ChatDesk {
    /// Takes a click in Slack: `timestamp` and `signature` are its headers `X-Slack-Request-Timestamp` and
    /// `X-Slack-Signature`.
    pub async fn slack(&self, timestamp: &str, signature: &str, body: &[u8]) -> Result<ChatAnswer, ChatError> {
        let secret = self.settings.slack.signing_secret.as_ref();
        let secret = secret.ok_or(ChatError::NotSetUp("`SLACK_SIGNING_SECRET`"))?;
        verify(secret.expose_secret().as_bytes(), timestamp, signature, body, self.governor.now())?;
        let payload = url::form_urlencoded::parse(body).find(|(name, _)| name == "payload");
        let payload = payload.ok_or(ChatError::Malformed("there is no `payload`"))?.1;
        let payload: Payload =
            serde_json::from_str(&payload).map_err(|_| ChatError::Malformed("the payload is not a click"))?;
        let first = self.governor.store().first_click(Hash::of(signature)).await;
        if !first.map_err(|_| ChatError::Unavailable)? {
            return Err(ChatError::Refused("this click was seen before"));
        }
        let Some((button, approve)) = payload.button() else { return Ok(ChatAnswer::Taken) };
        let response_url = payload.response_url.clone();
        let said = Box::pin(self.click(&payload.clicker(), &button, approve)).await;
        if let Some(url) = response_url {
            let http = self.http.clone();
            // Slack is not kept waiting, and what it cannot be told changes nothing.
            tokio::spawn(async move {
                let told = http.post_json("Slack", &url, HeaderMap::new(), &answer(&said)).await;
                if let Err(error) = told.and_then(|answer| answer.judged("Slack")) {
                    tracing::warn!(%error, "a message could not be updated after a click");
                }
            });
        }
        Ok(ChatAnswer::Taken)
    }
}

impl Payload {
    /// The first of our buttons that was clicked.
    fn button(&self) -> Option<(Button, bool)> {
        self.actions.iter().filter(|_| self.kind == "block_actions").find_map(|action| {
            let approve = match action.action_id.as_str() {
                "preloop_approve" => true,
                "preloop_decline" => false,
                _ => return None,
            };
            Some((Button::parse(&action.value)?, approve))
        })
    }

    fn clicker(self) -> Clicker {
        let team = self.team.map_or(self.user.team_id, |team| team.id);
        Clicker { provider: "slack", team, id: self.user.id, name: self.user.username }
    }
}

fn answer(said: &Said) -> Value {
    let text = said.text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    if said.replaces {
        return json!({ "replace_original": true, "text": text });
    }
    json!({ "response_type": "ephemeral", "replace_original": false, "text": text })
}

fn verify(secret: &[u8], timestamp: &str, signature: &str, body: &[u8], now: Timestamp) -> Result<(), ChatError> {
    const FORGED: ChatError = ChatError::Refused("the signature is not Slack's");
    let seconds: i64 = timestamp.parse().map_err(|_| FORGED)?;
    let age = (now.micros() / 1_000_000).abs_diff(seconds);
    if age > TOLERANCE.as_secs() {
        return Err(ChatError::Refused("the click is too old, or from the future"));
    }
    let given = signature.strip_prefix("v0=").and_then(|hex| hex::decode(hex).ok()).ok_or(FORGED)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| FORGED)?;
    mac.update(format!("v0:{timestamp}:").as_bytes());
    mac.update(body);
    mac.verify_slice(&given).map_err(|_| FORGED)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of Slack's documentation, "Verifying requests from Slack".
    #[test]
    fn slacks_own_example_is_accepted_for_five_minutes() {
        let secret = b"8f742231b10e8888abcd99yyyzzz85a5";
        let body = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V\
            &channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=\
            &response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN\
            &trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
        let signature = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";
        let at = |seconds: i64| Timestamp::from_micros(seconds * 1_000_000);
        let check = |body: &[u8], now| verify(secret, "1531420618", signature, body, now);

        assert_eq!(check(body, at(1_531_420_618)), Ok(()));
        assert_eq!(check(body, at(1_531_420_618 + 300)), Ok(()));
        assert!(check(body, at(1_531_420_618 + 301)).is_err());
        assert!(check(body, at(1_531_420_618 - 301)).is_err());
        assert!(check(b"text=other", at(1_531_420_618)).is_err());
        assert!(verify(b"other", "1531420618", signature, body, at(1_531_420_618)).is_err());
        assert!(verify(secret, "1531420618", "v1=00", body, at(1_531_420_618)).is_err());
    }
}
