//! The words everyone shares.
//!
//! Ids, time, principals, the configuration of an account, calls, decisions and journal
//! entries. This crate does no IO and reads no clock: everything it needs is an argument.

#[macro_use]
mod words;

mod agent;
mod audience;
mod budget;
mod call;
mod canonical;
mod channel;
pub mod config;
mod decision;
mod entry;
mod event_type;
mod guardrail;
mod halt;
mod hash;
mod id;
mod identity_provider;
mod model;
mod model_call;
mod model_pattern;
mod money;
mod permission;
mod person;
mod price;
mod principal;
pub mod redact;
mod reviewer;
mod role;
mod standing;
pub mod text;
mod time;

pub use agent::{AgentState, EnrollmentStatus, NativeApprovals};
pub use audience::Audience;
pub use budget::{Budget, BudgetAlerts, BudgetSubject, BudgetUnit, Period, Window};
pub use call::{CallOutcome, OutcomeStatus, PROMPTS_GET, RESOURCES_READ, ToolCall, ToolRef};
pub use canonical::{CanonicalError, canonical_json, unambiguous};
pub use channel::{SEALED_CHANNELS, SealedChannel};
pub use decision::{Decision, DecisionSource, RuleRef, Shadow, Verdict};
pub use entry::{Entry, EntryKind, Subject};
pub use event_type::EventType;
pub use guardrail::{Detector, GuardrailAction, GuardrailRule, GuardrailSide, Guardrails, OnTimeout};
pub use halt::{Halt, HaltScope};
pub use hash::Hash;
pub use id::{
    AccountId, AgentId, ApprovalId, BudgetId, BypassId, CallId, ChangeId, DelegationId, DeviceId, EndpointId,
    EnrollmentId, GrantId, IdError, InvitationId, KeyId, ModelId, PasskeyId, PriceId, ProviderId, RuleId, ServerId,
    SessionId, StandingGrantId, TeamId, ToolConfigId, ToolId, UserId, WorkflowId, WriterId,
};
pub use identity_provider::{GroupMapping, IdentityProvider, ProviderKind};
pub use model::{Model, ModelSettings, OnUnsupported, RateLimit, ResponsesApi, WeightedModel};
pub use model_call::{CostBound, CostSource, ModelCall, ModelOutcome, ModelStatus, Reserved, UsageSource};
pub use model_pattern::ModelPattern;
pub use money::{Exposure, MoneyError, NanoUsd, PerMillion, Rates, Tier, Tokens};
pub use permission::{Permission, PermissionSet};
pub use person::{Invited, OneTimePurpose, Team, User, UserSource};
pub use price::{PriceOverride, PriceSource};
pub use principal::{Agent, CredentialKind, Principal, Scope};
pub use reviewer::{ReviewFallback, Reviewer};
pub use role::Role;
pub use standing::{Amount, GrantedArguments, SpendLimit, StandingGrant};
pub use time::Timestamp;
