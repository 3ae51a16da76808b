//! The MCP wire: JSON-RPC envelopes, protocol revisions, error codes.
//!
//! Bodies are kept as they came ([`serde_json::value::RawValue`]); only the envelope is parsed.
//! Nothing here knows policy, accounts or transports.

mod client;
mod envelope;
pub mod error;
pub mod headers;
mod log_level;
pub mod meta;
mod version;

pub use client::{AskError, Client, ClientInfo, Detached, InputRequest, InputResponses};
pub use envelope::{Envelope, Id, Message, Notification, Request, Response, RpcError};
pub use log_level::LogLevel;
pub use version::{Era, Version};
