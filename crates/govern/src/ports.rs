//! What `govern` needs of the floors above it.

use std::{sync::Arc, time::Duration};

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

/// Asks a model on behalf of one of our own parts: a model call like an agent's, decided, budgeted and
/// recorded.
#[async_trait]
pub trait Models: Send + Sync {
    /// Asks in `who`'s name and on `who`'s budgets.
    async fn ask(&self, who: Arc<Principal>, question: Question) -> Result<Reply, NoAnswer>;
}

/// What a model is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Which part of ours asks, in one word: what the record calls the client.
    pub part: &'static str,
    /// The model's name; the account's default when absent.
    pub model: Option<String>,
    /// What the model is told of its task.
    pub system: String,
    /// What it is to work on.
    pub text: String,
    /// Longest answer.
    pub output_tokens_max: u32,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The answer.
    pub text: String,
    /// Who gave it, by its provider's name.
    pub model: String,
    /// Whether it ended by itself, not at the longest answer.
    pub is_whole: bool,
}

/// Why there is no answer: refused, failed, broken off.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoAnswer(pub String);
