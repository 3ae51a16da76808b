//! `/api/v1/event-webhooks`: who is told of what happens.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Update, Utc, Uuid};

/// An event webhook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventEndpoint {
    /// Its id.
    pub id: Uuid,
    /// Where events are posted.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// What it is told of; everything when empty.
    pub event_types: Vec<String>,
    /// Whether it is told at all.
    pub is_active: bool,
    /// The key that signs what it is told; only in the answer that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The end of that key.
    pub secret_hint: String,
    /// Failed attempts in a row.
    pub consecutive_failures: u32,
    /// It is left alone until then.
    pub paused_until: Option<DateTime<Utc>>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// Events it was never told of, because too many waited.
    pub dropped_events: u64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// Makes an event webhook.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateEventEndpoint {
    /// Where events are posted.
    pub url: String,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What it is told of; everything when empty.
    #[serde(default)]
    pub event_types: Vec<String>,
}

/// Changes an event webhook.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct UpdateEventEndpoint {
    /// Where events are posted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Update::is_keep")]
    #[schema(value_type = Option<String>)]
    pub description: Update<String>,
    /// What it is told of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_types: Option<Vec<String>>,
    /// Whether it is told at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_active: Option<bool>,
}

/// Something an event webhook can be told of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventTypeInfo {
    /// The word in `event_types` and in `type`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it is told.
    pub description: String,
    /// The version of its body.
    pub version: String,
}

/// An event that no attempt could deliver.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeadLetter {
    /// The event.
    pub event_id: Uuid,
    /// What it tells of.
    pub event_type: String,
    /// Who was not told.
    pub endpoint_id: Uuid,
    /// How often it was tried.
    pub attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When it was given up.
    pub failed_at: Option<DateTime<Utc>>,
}

/// What was sent again.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Replayed {
    /// The event.
    pub event_id: Uuid,
    /// To how many endpoints.
    pub deliveries: u64,
}

/// The event that tries an endpoint out.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TestEvent {
    /// Its id.
    pub event_id: Uuid,
}
