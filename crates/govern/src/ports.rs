//! What `govern` needs of the floors above it.

use std::time::Duration;

use async_trait::async_trait;
use preloop_types::{CallOutcome, ModelCall, ModelOutcome, Principal, ToolCall};

use crate::{ModelAttempt, ModelRefusal, Permit, Refusal};

/// Carries out a call whose agent does not wait, and settles its permit.
#[async_trait]
pub trait Executor: Send + Sync {
    /// Runs the call to its end.
    async fn execute(&self, permit: Permit);
}

/// Sees calls go by: metrics and traces. What it is told is on record already or about to be; it decides
/// nothing, must be quick and must not wait.
pub trait Observer: Send + Sync {
    /// A tool call ended, so long after it was granted.
    fn tool_settled(&self, who: &Principal, call: &ToolCall, outcome: &CallOutcome, took: Duration);
    /// A tool call was refused.
    fn tool_refused(&self, who: &Principal, call: &ToolCall, refusal: &Refusal);
    /// A model call ended, so long after it was granted.
    fn model_settled(&self, who: &Principal, call: &ModelCall, outcome: &ModelOutcome, took: Duration);
    /// A model call went on to another model than its first.
    fn model_rerouted(&self, who: &Principal, call: &ModelCall);
    /// A model call was refused.
    fn model_refused(&self, who: &Principal, attempt: &ModelAttempt, refusal: &ModelRefusal);
}
