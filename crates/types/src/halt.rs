//! The kill switch.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, UserId};

words! {
    /// What can be halted, each for itself.
    HaltScope {
        /// New model calls.
        Gateway = "gateway",
        /// Tool calls and reads, approved ones that wait to be carried out too.
        Tools = "tools",
        /// New runs of flows; running ones are asked to stop.
        Flows = "flows",
    }
}

/// Something is halted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// What.
    pub scope: HaltScope,
    /// Who halted it first.
    pub by: UserId,
    /// What that person was called.
    pub username: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: Option<String>,
}
