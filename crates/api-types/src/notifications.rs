//! `/api/v1/notification-preferences`: what a person is told by.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, Utc, Uuid};

/// What a person wants to be told by.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct NotificationPreferences {
    /// The person's id; there is one set of preferences for each.
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// `email` or `mobile_push`: what clients offer first.
    pub preferred_channel: String,
    /// Requests come by mail.
    pub enable_email: bool,
    /// Requests come to the person's devices: phones, browsers and topics.
    pub enable_mobile_push: bool,
    /// The person's devices, without what reaches them.
    pub mobile_device_tokens: Vec<Device>,
    /// When they were first changed; absent while they are the defaults.
    pub created_at: Option<DateTime<Utc>>,
    /// When they last changed.
    pub updated_at: Option<DateTime<Utc>>,
}

/// A phone, browser or topic.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Device {
    /// Its id.
    pub id: Uuid,
    /// `ios`, `android`, `web`, `ntfy`.
    pub platform: String,
    /// What its owner calls it.
    pub device_name: String,
    /// The API key it decides with.
    pub api_key_id: Option<Uuid>,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
}

/// Changes what the caller is told by.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct UpdateNotificationPreferences {
    /// `email` or `mobile_push`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferred_channel: Option<String>,
    /// Requests come by mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_email: Option<bool>,
    /// Requests come to the person's devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_mobile_push: Option<bool>,
}

/// Registers a device.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct RegisterDevice {
    /// `ios`, `android`, `web` or `ntfy`.
    pub platform: String,
    /// A phone's push token; a browser's push endpoint; a topic's address (`https://ntfy.sh/my-topic`).
    pub token: String,
    /// What its owner calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_name: Option<String>,
    /// A browser's `p256dh` and `auth`, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<WebPushSubscriptionKeys>,
    /// A topic's access token, if it needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<String>,
}

/// The keys of a browser's subscription.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct WebPushSubscriptionKeys {
    /// Its public key.
    pub p256dh: String,
    /// Its authentication secret.
    pub auth: String,
}

/// What a browser subscribes with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WebPushKey {
    /// `applicationServerKey`, in base64url.
    pub public_key: String,
}

/// A code by which one device registers itself, once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeviceCode {
    /// The code.
    pub token: String,
    /// What the QR code says: a link with the code in it.
    pub qr_data: String,
    /// When it ends.
    pub expires_at: DateTime<Utc>,
    /// In how many seconds that is.
    pub expires_in_seconds: u64,
}

/// The code in a link.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeviceCodeToken {
    /// The code.
    pub token: String,
}

/// A device that registered itself. Its key is only in this answer.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RegisteredDevice {
    /// What its owner is told by now.
    pub preferences: NotificationPreferences,
    /// The key it decides with.
    pub api_key: String,
    /// That key's id.
    pub api_key_id: Uuid,
    /// When the key ends.
    pub api_key_expires_at: Option<DateTime<Utc>>,
}

/// What a test was sent to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TestNotification {
    /// The channels.
    pub channels: Vec<String>,
}

/// Who the caller is in a chat.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChatLink {
    /// `slack` or `mattermost`.
    pub provider: String,
    /// The workspace's id there.
    pub team_id: String,
    /// Their id there.
    pub chat_user_id: String,
    /// Their name there when this was made.
    pub chat_user_name: String,
    /// When this was made.
    pub created_at: DateTime<Utc>,
}

/// Says who the caller is in a chat.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateChatLink {
    /// The code the chat showed.
    pub code: String,
}
