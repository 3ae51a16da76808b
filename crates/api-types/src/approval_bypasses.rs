//! `/api/v1/approval-bypasses`: times in which a person is not told of requests.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Utc, Uuid};

/// A time in which one person is not told of requests, or not asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ApprovalBypass {
    /// Its id.
    pub id: Uuid,
    /// Whose.
    pub user_id: Uuid,
    /// `mute_notifications`: requests still block, and this person is not told.
    pub mode: String,
    /// Of this agent's requests alone.
    pub managed_agent_id: Option<Uuid>,
    /// Why.
    pub reason: Option<String>,
    /// Through what it was begun.
    pub created_via: String,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
    /// When it was ended by hand.
    pub revoked_at: Option<DateTime<Utc>>,
    /// By whom.
    pub revoked_by_user_id: Option<Uuid>,
    /// How many requests it approved.
    pub auto_approved_count: u64,
}

/// Begins a time in which the caller is not told of requests.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct CreateApprovalBypass {
    /// `mute_notifications`.
    pub mode: String,
    /// For so long: at most 480.
    #[schema(minimum = 1, maximum = 480)]
    pub duration_minutes: u32,
    /// Of this agent's requests alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub managed_agent_id: Option<Uuid>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `api`, `cli`, `console`, `mobile` or `watch`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_via: Option<String>,
}

/// What holds for the caller now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BypassStatus {
    /// Whether anything does.
    pub active: bool,
    /// Whether requests are approved without asking.
    pub auto_approve_active: bool,
    /// What does.
    pub bypasses: Vec<ApprovalBypass>,
}
