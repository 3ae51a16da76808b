//! The words everyone shares.
//!
//! Ids, time, principals, the configuration of an account, calls, decisions and journal
//! entries. This crate does no IO and reads no clock: everything it needs is an argument.

mod call;
mod canonical;
pub mod config;
mod decision;
mod entry;
mod hash;
mod id;
mod model;
mod money;
mod principal;
pub mod redact;
pub mod text;
mod time;

pub use call::{CallOutcome, OutcomeStatus, ToolCall, ToolRef};
pub use canonical::{CanonicalError, canonical_json, unambiguous};
pub use decision::{Decision, DecisionSource, RuleRef, Verdict};
pub use entry::{Entry, EntryKind, Subject};
pub use hash::Hash;
pub use id::{
    AccountId, AgentId, ApprovalId, BudgetId, CallId, ChangeId, IdError, KeyId, ModelId, RuleId, ServerId, SessionId,
    ToolConfigId, ToolId, UserId, WorkflowId, WriterId,
};
pub use model::{Model, ModelSettings, OnUnsupported, RateLimit, ResponsesApi, WeightedModel};
pub use money::{Exposure, MoneyError, NanoUsd, PerMillion, Rates, Tier, Tokens};
pub use principal::{Agent, Permission, Principal, Scope};
pub use time::Timestamp;
