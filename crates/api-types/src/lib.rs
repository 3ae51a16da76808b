//! Request and response bodies of the REST API, shared by server and client.
//!
//! One module per group of endpoints. Bodies are plain data: no behaviour, no database rows, and
//! no secrets in a response, except where an endpoint exists to show one once. Ids are UUIDs,
//! instants are RFC 3339 with `Z`. Unknown keys of a request are ignored.

pub mod access_rules;
pub mod account;
pub mod agents;
pub mod ai_models;
pub mod api_keys;
pub mod approval_bypasses;
pub mod approval_requests;
pub mod approval_workflows;
pub mod audit;
pub mod auth;
pub mod budgets;
pub mod event_webhooks;
pub mod governance;
pub mod identity_providers;
pub mod kill_switch;
pub mod mcp_servers;
pub mod notifications;
pub mod people;
pub mod policies;
pub mod price_overrides;
pub mod push;
pub mod runtime_sessions;
pub mod system;
pub mod teams;
pub mod tool_configurations;
pub mod tools;
pub mod usage;

mod error;
mod page;
mod spelling;
mod update;

pub use chrono::{DateTime, Utc};
pub use error::{Detail, ErrorBody, FieldError};
pub use page::{Message, Page};
pub use update::Update;
pub use uuid::Uuid;

/// A JSON object whose members are free.
pub type JsonObject = serde_json::Map<String, serde_json::Value>;
