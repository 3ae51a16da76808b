//! Persistence: one interface over SQLite and PostgreSQL, the journal, sealed secrets.
//!
//! Reads go through an [`AccountStore`], which carries the tenant; writes through [`Store::write`],
//! which runs them together with their journal records in one transaction on the single writer of
//! this process; the hot path uses [`Store::append`]. Rows are the configuration types of
//! `preloop-types`; what only the store knows (approvals, deliveries, records) is defined here.

mod account;
mod account_info;
mod agents;
mod api_keys;
pub mod approvals;
mod background;
mod bootstrap;
mod budgets;
mod bypasses;
mod chat;
mod clock;
mod db;
mod delegations;
mod devices;
mod error;
mod event_webhooks;
mod events;
mod factors;
mod grants;
mod halts;
mod identity_providers;
mod invitations;
mod journal;
mod keys;
mod ledger;
mod lives;
mod mcp_sessions;
mod models;
mod oauth;
mod one_time;
mod outbox;
mod passwords;
mod policy_versions;
mod prices;
pub mod proof;
mod reviews;
mod rule_authors;
mod runtime_sessions;
mod seal;
mod secrets;
mod servers;
mod settings;
mod standing_grants;
mod store;
mod teams;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tool_configs;
mod tools;
mod tx;
mod users;
mod workflows;

pub use account::{AccountStore, View};
pub use account_info::AccountInfo;
pub use agents::{AgentRow, EnrollmentRow};
pub use api_keys::{AgentStanding, FoundKey, KeyRow};
pub use approvals::{
    Approval, ApprovalEvent, ApprovalFilter, ApprovalStatus, Ballot, Claim, Edit, Excluded, Execution, ExecutionState,
    HandOver, Joined, NewApproval, NewEdit, Reminder, Requester, TokenGrant, VoteCast, VoteOutcome, Voter,
};
pub use bootstrap::{NewKey, NewOwner, Owner};
pub use bypasses::Bypass;
pub use chat::ChatLink;
pub use clock::{Clock, ManualClock, SystemClock};
pub use delegations::Delegation;
pub use devices::{DEVICE_CODE_TTL, Device, Preferences};
pub use error::{Error, Result};
pub use event_webhooks::{DeadLetter, EVENT_CHANNEL, EventEndpoint};
pub use events::Event;
pub use factors::{Passkey, Totp};
pub use grants::{Grant, Refreshed};
pub use identity_providers::CLIENT_SECRET;
pub use invitations::{Invitation, InvitationState};
pub use journal::{
    DecidedCall, DecidedPlace, ExportOptions, JournalStats, Order, Receipt, Record, RecordCursor, RecordFilter,
};
pub use keys::Keys;
pub use ledger::{
    BudgetWindow, Lease, LeaseAsk, LedgerLine, NoticeKind, Settled, Spent, Usage, UsageBy, UsageCorrection,
    UsageFilter, UsageRow, UsageSums, WindowKey,
};
pub use mcp_sessions::McpSession;
pub use oauth::{OAuthClient, OAuthCode, OAuthDevice, PolledDevice, RedeemedCode};
pub use one_time::{NewOneTime, OneTime};
pub use outbox::{Delivery, NewDelivery};
pub use passwords::SignIn;
pub use policy_versions::{NewPolicyVersion, PolicyCounts, PolicyVersion};
pub use reviews::{Review, ReviewEnd};
pub use runtime_sessions::{NewSession, Opened, RuntimeSession, SessionFilter};
pub use seal::Sealer;
pub use secrets::SecretOwner;
pub use store::{Store, StoreOptions};
pub use teams::Membership;
pub use tools::{Finding, ToolVersion};
pub use tx::Tx;
pub use users::GrantedRole;
