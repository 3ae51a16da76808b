//! The REST API and the approval page as their users meet them: over HTTP, against a real server
//! with a fresh store of each kind.

#![expect(clippy::unwrap_used, reason = "what does not work fails the test")]

mod agent;
mod agents;
mod app;
mod approvals;
mod audit;
mod authorization;
mod authorization_sdks;
mod budgets;
mod document;
mod keys;
mod kill_switch;
mod mcp_servers;
mod models;
mod notifications;
mod oauth;
mod page;
mod people;
mod permissions;
mod policies;
mod reads;
mod rules;
mod runs;
mod runtime_sessions;
mod scim;
mod sign_in;
mod sign_in_page;
mod system;
mod waiting;
mod workflows;
