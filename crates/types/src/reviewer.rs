use serde::{Deserialize, Serialize};

use crate::config::RawJson;

/// A model that looks at a workflow's requests before people do. It is no approver: what it decides is
/// recorded as its own, never as a person's vote.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reviewer {
    /// The model's name in the account.
    pub model: String,
    /// By what it decides; rules of thumb by kind of tool when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guidelines: Option<String>,
    /// Facts it is told, a JSON object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<RawJson>,
    /// How sure it has to be to decide, in thousandths.
    #[serde(default = "threshold")]
    pub threshold_permille: u16,
    /// What becomes of requests it is not sure about.
    #[serde(default)]
    pub fallback: ReviewFallback,
}

/// How sure a reviewer has to be unless the workflow says otherwise.
const THRESHOLD_PERMILLE: u16 = 800;

fn threshold() -> u16 {
    THRESHOLD_PERMILLE
}

impl Reviewer {
    /// One with every default.
    pub fn of(model: impl Into<String>) -> Self {
        Self {
            model: model.into(),
            guidelines: None,
            context: None,
            threshold_permille: THRESHOLD_PERMILLE,
            fallback: ReviewFallback::default(),
        }
    }
}

words! {
    /// What becomes of a request its reviewer is not sure about. Where the reviewer failed, nothing
    /// approves: then people decide.
    #[derive(Default)]
    ReviewFallback {
        /// People decide.
        #[default]
        Escalate = "escalate",
        /// It is approved.
        Approve = "approve",
        /// It is declined.
        Deny = "deny",
    }
}
