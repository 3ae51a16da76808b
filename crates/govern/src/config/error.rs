use preloop_store::Error as StoreError;
use preloop_types::Permission;

/// Why a change of the configuration was not made. Nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// There is no such thing in this account.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// One field of the input is wrong.
    #[error("`{field}`: {message}")]
    Invalid {
        /// Which field.
        field: String,
        /// What is wrong and what to do.
        message: String,
    },
    /// The input makes sense but not here: a name that is taken, a scope that does not exist.
    #[error("{0}")]
    Refused(String),
    /// It changed meanwhile; look again.
    #[error("{0}")]
    Stale(String),
    /// This instance or this caller may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// A policy document that cannot be applied, with everything that is wrong with it.
    #[error("the policy cannot be applied")]
    Policy {
        /// What is wrong.
        errors: Vec<PolicyProblem>,
        /// What a person should look at.
        warnings: Vec<String>,
    },
    /// The store cannot be written now.
    #[error(transparent)]
    Store(StoreError),
}

/// One thing wrong with a policy document.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PolicyProblem {
    /// Where: `$.tools[0].approval_workflow`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// Its line, from 1.
    pub line: Option<u32>,
    /// Its column, from 1.
    pub column: Option<u32>,
    /// What to do about it.
    pub help: Option<String>,
}

impl ConfigError {
    pub(super) fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        ConfigError::Invalid { field: field.into(), message: message.into() }
    }

    /// The caller's roles do not allow it.
    pub(super) fn lacks(permission: Permission) -> Self {
        ConfigError::Forbidden(format!("Insufficient permissions. Required: {}", permission.name()))
    }
}

impl From<StoreError> for ConfigError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(what) => ConfigError::Refused(format!("{what} already exists")),
            error => ConfigError::Store(error),
        }
    }
}
