//! `/api/v1/push/proxy`: this instance as the push relay of others.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A message for one phone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct PushRequest {
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
    #[schema(value_type = Object)]
    pub data: serde_json::Value,
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

/// Messages for several phones, at most 100.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct BulkPushRequest {
    /// The messages.
    pub notifications: Vec<PushRequest>,
}

/// What became of a message.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PushResult {
    /// Whether it was handed on.
    pub success: bool,
    /// Why not: `unregistered` when the app is gone from the phone, else a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What became of several messages, in their order.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BulkPushResult {
    /// One for each.
    pub results: Vec<PushResult>,
}
