//! What each command does, one module per group.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod budgets;
pub(crate) mod completions;
mod desktop;
pub(crate) mod doctor;
pub(crate) mod gateway;
pub(crate) mod keys;
pub(crate) mod login;
pub(crate) mod mcp;
pub(crate) mod models;
pub(crate) mod notifications;
pub(crate) mod policy;
mod policy_generate;
mod policy_lint;
mod policy_replay;
mod policy_test;
mod policy_versions;
pub(crate) mod prices;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod set_password;
pub(crate) mod tools;
pub(crate) mod usage;
pub(crate) mod version;
