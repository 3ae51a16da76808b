/// Why somebody is not let in, or a change is not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// A token is unknown, used, over, or of another kind. One answer for all: nothing is told about
    /// tokens that exist.
    #[error("the token is not valid")]
    InvalidToken,
    /// There is no such thing in the account.
    #[error("{0} not found")]
    NotFound(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] preloop_store::Error),
}

/// What this crate's functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;
