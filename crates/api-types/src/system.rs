//! Health, version, features, ping.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Utc};

/// Whether the process answers at all; asks nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Pong {
    /// `pong`.
    pub status: String,
    /// Now.
    pub timestamp: DateTime<Utc>,
}

/// Whether calls can be governed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `healthy` or `unhealthy`.
    pub status: String,
    /// `writable`, or what is wrong.
    pub database: String,
    /// `available`.
    pub mcp_server: String,
    /// Now.
    pub timestamp: DateTime<Utc>,
}

/// What is running.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Version {
    /// The server.
    pub server_version: String,
    /// The oldest client it speaks to.
    pub min_client_version: String,
    /// The newest client it speaks to.
    pub max_client_version: String,
}

/// What this instance can do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Features {
    /// Always empty: there are no editions.
    pub plugins: Vec<String>,
    /// Name to whether it is on.
    pub features: BTreeMap<String, bool>,
}
