//! Managed agents: the durable identity behind an agent's credentials and runs.

use serde::{Deserialize, Serialize};

words! {
    /// Where a managed agent is in its life.
    AgentState {
        /// Its credentials work.
        Active = "active",
        /// Its credentials do not work until somebody resumes it.
        Suspended = "suspended",
        /// It is gone for good; enrolling it anew needs new credentials.
        Decommissioned = "decommissioned",
    }
}

words! {
    /// Whether an agent's own tools (its shell, its editor) need a person where no rule speaks about them.
    NativeApprovals {
        /// A person is asked.
        Enforce = "enforce",
        /// The agent's own settings decide.
        Off = "off",
    }
}

words! {
    /// How far the onboarding of an agent's installation is.
    EnrollmentStatus {
        /// It was announced.
        Pending = "pending",
        /// Its configuration was rewritten.
        Applied = "applied",
        /// It was checked that it works.
        Validated = "validated",
        /// It did not work.
        Failed = "failed",
        /// Its configuration is as it was before.
        Restored = "restored",
    }
}
