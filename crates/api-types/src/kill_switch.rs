//! `/api/v1/account/kill-switch`: agents are halted at once, and let go on scope by scope.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Utc, Uuid};

/// What is halted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct KillSwitch {
    /// Whether anything is.
    pub active: bool,
    /// What, and since when.
    pub scopes: Vec<HaltedScope>,
}

/// Something is halted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HaltedScope {
    /// `gateway`, `tools` or `flows`.
    pub scope: String,
    /// Who halted it first.
    pub activated_by_user_id: Uuid,
    /// What that person was called.
    pub activated_by_username: String,
    /// When.
    pub activated_at: DateTime<Utc>,
    /// Why.
    pub reason: Option<String>,
}

/// Presses the switch.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PressKillSwitch {
    /// `gateway` (new model calls), `tools` (tool calls), `flows` (runs of flows). All when absent, to
    /// halt; to let go on, name them one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<String>>,
    /// Why, for people and for the agents that meet it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
