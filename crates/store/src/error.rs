/// What went wrong, by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such row in this account. Another tenant's id gives the same answer.
    #[error("not found")]
    NotFound,
    /// Something with the same unique value exists already.
    #[error("{0} already exists")]
    Conflict(String),
    /// The input breaks a limit or a rule of the store.
    #[error("{0}")]
    Invalid(String),
    /// Too much is waiting to be written, or rows are locked elsewhere. Nothing was written; try again.
    #[error("the store is busy; try again")]
    Busy,
    /// The store is closing or closed.
    #[error("the store is closed")]
    Closed,
    /// Another process has the database.
    #[error("{0}")]
    InUse(String),
    /// The instance key is not the one this database was made with.
    #[error("the instance key does not open this database; start with the `SECRET_KEY` it was made with")]
    WrongKey,
    /// The disk is full. Nothing was written.
    #[error("the disk or the database is full")]
    Full,
    /// A row that cannot be read back as what it was written as.
    #[error("damaged row: {0}")]
    Damaged(String),
    /// A work given to [`crate::Store::write`] panicked or ran too long. Nothing of it was written.
    #[error("{0}")]
    Aborted(&'static str),
    /// The options do not make sense.
    #[error("{0}")]
    Options(String),
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database failed.
    #[error("database: {0}")]
    Database(#[source] sqlx::Error),
    /// A file could not be used.
    #[error("`{path}`: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// The store's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
