//! The governed call: identify, decide, ask, act under a permit, settle, prove.
//!
//! There is one path by which an agent's call has an effect, and it leads through
//! [`Governor::admit`]: it decides on an immutable [`Snapshot`] of the account's configuration,
//! records the intent durably and only then hands out a [`Permit`], which everything that reaches
//! an upstream tool demands. Calls a human must decide become requests ([`Approvals`]) and come
//! back through [`Approvals::redeem`], at most once.
//!
//! This crate knows no protocol, no HTTP and no channel. What it needs of the floors above it are
//! the traits in `ports` and the outbox.

mod approvals;
mod budgets;
pub mod config;
mod error;
mod governor;
mod identify;
mod limits;
mod model;
mod native;
mod notice;
mod permit;
mod ports;
mod records;
mod refusal;
mod sessions;
mod snapshot;

pub use approvals::{
    ASK_USER, Allow, Answer, Approvals, Change, Decider, Enquiry, FieldProblem, Held, Item, NewDelegation,
    NewStandingGrant, REQUEST_APPROVAL, Redeemed, StoredResult, Vote, Waited, request_line,
};
pub use error::{Error, Result};
pub use governor::{Admission, Asking, Governor, GovernorOptions};
pub use identify::IdentifyError;
pub use model::{Halt, ModelAdmission, ModelAttempt, ModelPermit, ModelRefusal, ModelRefusalKind};
pub use native::{ClientDecision, NativeAnswer, NativeCheck};
pub use notice::{Alert, ApprovalNotice, Message, Notice, Occasion, Recipient};
pub use permit::Permit;
pub use ports::{Executor, Models, NoAnswer, Observer, Question, Reply};
pub use refusal::{Refusal, RefusalKind};
pub use sessions::{SessionRefused, SessionSignal, Sessions, VendorSession};
pub use snapshot::{CatalogueTool, Snapshot};
