use std::time::Duration;

/// Why somebody is not let in, or a change is not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A token is unknown, used, over, or of another kind. One answer for all: nothing is told about
    /// tokens that exist.
    #[error("the token is not valid")]
    InvalidToken,
    /// The name or the password is wrong. One answer for both, and for people who may not sign in.
    #[error("incorrect username or password")]
    WrongCredentials,
    /// Somebody who is signed in gave another password than theirs.
    #[error("the current password is wrong")]
    WrongPassword,
    /// The code, recovery code or passkey is wrong.
    #[error("the second factor is wrong")]
    WrongFactor,
    /// Too many wrong attempts.
    #[error("too many attempts; try again in {} seconds", .retry_after.as_secs())]
    TooMany {
        /// How long to wait.
        retry_after: Duration,
    },
    /// Too many are waiting to have a password checked.
    #[error("too many people sign in right now; try again in a moment")]
    Busy,
    /// One field of the input is wrong.
    #[error("`{field}` {message}")]
    Invalid {
        /// Which.
        field: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The input makes sense but not here.
    #[error("{0}")]
    Refused(String),
    /// This instance or this person may not do that.
    #[error("{0}")]
    Forbidden(String),
    /// There is no such thing in the account.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// A password cannot be hashed.
    #[error("a password cannot be hashed: {0}")]
    Hashing(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] preloop_store::Error),
}

impl Error {
    pub(crate) fn invalid(field: &'static str, message: impl Into<String>) -> Self {
        Error::Invalid { field, message: message.into() }
    }
}

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
