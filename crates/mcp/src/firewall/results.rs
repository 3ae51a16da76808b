//! From an upstream's answer to the outcome that is recorded.

use std::sync::Arc;

use preloop_types::{CallOutcome, OutcomeStatus};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::upstream::UpstreamError;

/// How a call ended, for the journal.
pub(super) fn outcome(answer: &Result<Arc<RawValue>, UpstreamError>) -> CallOutcome {
    match answer {
        Ok(result) => CallOutcome { status: status(result), payload: Some(result.clone()), error: None },
        Err(error) => CallOutcome {
            status: match error {
                UpstreamError::Rpc(_) => OutcomeStatus::Failed,
                error if error.sent() => OutcomeStatus::Unknown,
                _ => OutcomeStatus::NotSent,
            },
            payload: None,
            error: Some(error.to_string()),
        },
    }
}

#[derive(Deserialize)]
struct Flag {
    #[serde(rename = "isError", default)]
    is_error: bool,
}

fn status(result: &RawValue) -> OutcomeStatus {
    match serde_json::from_str::<Flag>(result.get()) {
        Ok(Flag { is_error: false }) => OutcomeStatus::Succeeded,
        _ => OutcomeStatus::Failed,
    }
}
