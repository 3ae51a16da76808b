use std::sync::Arc;

/// What went wrong, by what a caller can do about it.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no such row in this account. Another tenant's id gives the same answer.
    #[error("not found")]
    NotFound,
    /// Something in the account has the same unique value; the columns are named.
    #[error("another one has the same {0}")]
    Conflict(String),
    /// The input breaks a limit or a rule of the store.
    #[error("{0}")]
    Invalid(String),
    /// Too much is waiting to be written, or rows are locked elsewhere. Nothing was written.
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
    /// Something sealed does not open: damaged, or sealed for another account or context.
    #[error("a sealed value does not open")]
    Unsealable,
    /// The disk is full. Nothing was written.
    #[error("the disk or the database is full; free some space")]
    Full,
    /// A row that cannot be read back as what it was written as.
    #[error("damaged row: {0}")]
    Damaged(String),
    /// A work given to [`crate::Store::write`] panicked or ran too long. Nothing of it was written.
    #[error("a write was given up: {0}")]
    Aborted(&'static str),
    /// The options do not make sense.
    #[error("{0}")]
    Options(String),
    /// The schema could not be brought up to date.
    #[error("cannot migrate the database: {0}")]
    Migrate(Arc<sqlx::migrate::MigrateError>),
    /// The database failed.
    #[error("database: {0}")]
    Database(Arc<sqlx::Error>),
    /// A file could not be used.
    #[error("`{path}`: {source}")]
    File {
        /// The file.
        path: String,
        /// What the system said.
        source: Arc<std::io::Error>,
    },
}

/// The store's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl From<sqlx::migrate::MigrateError> for Error {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        Error::Migrate(Arc::new(error))
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::RowNotFound => Error::NotFound,
            sqlx::Error::PoolTimedOut => Error::Busy,
            sqlx::Error::PoolClosed => Error::Closed,
            sqlx::Error::Database(said) if said.is_unique_violation() => Error::Conflict(columns(said.as_ref())),
            // Foreign keys carry the account: what is referred to is missing, or another tenant's.
            sqlx::Error::Database(said) if said.is_foreign_key_violation() => Error::NotFound,
            sqlx::Error::Database(said) => match said.code().as_deref() {
                // SQLITE_FULL; disk_full
                Some("13" | "53100") => Error::Full,
                // SQLITE_BUSY, SQLITE_LOCKED; serialization_failure, deadlock_detected, lock_not_available
                Some("5" | "6" | "261" | "517" | "40001" | "40P01" | "55P03") => Error::Busy,
                Some("22021") => Error::Invalid("a text holds a NUL character".to_owned()),
                _ => Error::Database(Arc::new(error)),
            },
            _ => Error::Database(Arc::new(error)),
        }
    }
}

/// The columns of a violated unique constraint, without the account: `slug`, `server_id, upstream_name`.
fn columns(said: &dyn sqlx::error::DatabaseError) -> String {
    let list = if let Some(pg) = said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>() {
        // Key (account_id, slug)=(…) already exists.
        let detail = pg.detail().unwrap_or_default();
        detail.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside)
    } else {
        // UNIQUE constraint failed: servers.account_id, servers.slug
        said.message().rsplit_once("failed: ").map_or("", |(_, list)| list)
    };
    let names = list.split(", ").map(|name| name.rsplit_once('.').map_or(name, |(_, column)| column));
    let names: Vec<String> = names.filter(|name| *name != "account_id").map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "place in the account".to_owned() } else { names.join(", ") }
}
