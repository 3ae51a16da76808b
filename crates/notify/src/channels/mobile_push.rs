//! Phones, by a push relay: another instance that holds the keys of Apple's and Google's push services, or
//! anything that speaks as it does. This instance can be the relay of others in turn, as long as it has one.

use async_trait::async_trait;
use preloop_egress::Egress;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use crate::{
    SendError, SettingsError, Then,
    brief::Brief,
    channel::{Channel, Parcel},
    http::{Answer, Http},
};

const WHAT: &str = "the push relay";
/// Where a relay takes messages, below the address it is known by.
const PATH: &str = "api/v1/push/proxy";
/// What relays say of a token whose app is no longer installed.
const UNREGISTERED: &[&str] = &["unregistered", "baddevicetoken", "notregistered", "invalid_token", "not_found"];

/// The relay that sends to phones (`PUSH_PROXY_URL`, `PUSH_PROXY_API_KEY`).
#[derive(Debug, Clone)]
pub struct PushProxySettings {
    /// The relay's base address, or the whole address where it takes messages.
    pub url: Url,
    /// What it knows us by.
    pub api_key: SecretString,
}

/// A message for one phone, as relays take it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PushMessage {
    /// `ios` or `android`.
    pub platform: String,
    /// The app's token on that phone.
    pub device_token: String,
    /// The first line.
    pub title: String,
    /// The text.
    pub body: String,
    /// What the app is told.
    #[serde(default)]
    pub data: Value,
    /// The number on the app's icon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub badge: Option<u32>,
    /// Which sound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sound: Option<String>,
    /// `normal` or `high`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<String>,
}

/// Why a relay did not take a message.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct RelayError {
    /// For people; holds no secret.
    pub reason: String,
    /// The phone does not have the app any more.
    pub unregistered: bool,
}

/// What a relay answers.
#[derive(Default, Deserialize)]
struct Said {
    success: Option<bool>,
    error: Option<String>,
    #[serde(default)]
    details: Value,
}

/// Hands messages to the relay of the settings.
#[derive(Clone)]
pub struct PushRelay {
    http: Http,
    url: Url,
    api_key: SecretString,
}

impl PushRelay {
    pub(crate) fn new(http: Http, settings: PushProxySettings) -> Self {
        let PushProxySettings { mut url, api_key } = settings;
        if url.path() == "/" {
            url.set_path(PATH);
        }
        Self { http, url, api_key }
    }

    /// A relay of one's own, beside the one the channel has.
    pub fn open(egress: &Egress, settings: PushProxySettings) -> Result<Self, SettingsError> {
        Ok(Self::new(Http::new(egress)?, settings))
    }

    /// Hands one message on.
    pub async fn send(&self, message: &PushMessage) -> Result<(), RelayError> {
        let sent = self.attempt(message).await;
        sent.map_err(|error| RelayError { reason: error.reason, unregistered: error.then == Then::Gone })
    }

    async fn attempt(&self, message: &PushMessage) -> Result<(), SendError> {
        let key = HeaderValue::try_from(self.api_key.expose_secret());
        let mut key = key.map_err(|_| SendError::permanent("`PUSH_PROXY_API_KEY` is no HTTP header".to_owned()))?;
        key.set_sensitive(true);
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-api-key"), key)]);
        judge(&self.http.post_json(WHAT, self.url.as_str(), headers, message).await?)
    }
}

/// A device is gone only where the relay says so of the token. An address that is wrong, a key that is
/// refused or a relay that is down says nothing about any device.
fn judge(answer: &Answer) -> Result<(), SendError> {
    let said: Said = serde_json::from_slice(&answer.body).unwrap_or_default();
    if said.success != Some(false) {
        return answer.judged(WHAT);
    }
    let error = said.error.unwrap_or_default();
    let word: String = error.to_ascii_lowercase();
    let status = ["status", "status_code"].iter().find_map(|name| said.details[*name].as_u64());
    if matches!(status, Some(404 | 410)) || UNREGISTERED.contains(&word.as_str()) {
        return Err(SendError::gone(format!("{WHAT} says that the app is gone from the device")));
    }
    answer.judged(WHAT)?;
    Err(SendError::temporary(format!("{WHAT} could not deliver: {}", crate::brief::fact(&error))))
}

/// A phone.
#[derive(Deserialize)]
struct Address {
    platform: String,
    token: String,
}

pub(super) struct MobilePush(pub(super) PushRelay);

#[async_trait]
impl Channel for MobilePush {
    fn name(&self) -> &'static str {
        "mobile_push"
    }

    async fn send(&self, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let (to, message): (Address, _) = parcel.open()?;
        let Brief { title, subtitle, body, priority, mut data } = Brief::of(&message);
        data["subtitle"] = json!(subtitle);
        data["category"] = json!("APPROVAL_REQUEST");
        data["thread_id"] = json!("approval-requests");
        let message = PushMessage {
            platform: to.platform,
            device_token: to.token,
            title,
            body: [subtitle.as_str(), body.as_str()].join("\n").trim().to_owned(),
            data,
            badge: None,
            sound: Some("default".to_owned()),
            priority: Some(if priority == "high" { "high" } else { "normal" }.to_owned()),
        };
        self.0.attempt(&message).await
    }
}
