use std::{
    fs,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
    time::Duration,
};

use preloop_types::WriterId;
use sqlx::{
    ConnectOptions, Connection, PgConnection, PgPool, SqliteConnection, SqlitePool,
    pool::PoolOptions,
    postgres::{PgConnectOptions, PgListener},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use super::{Conn, Pooled, migrate};
use crate::{Error, Result};

/// Longest wait for a lock or a free reader.
const PATIENCE: Duration = Duration::from_secs(5);

/// The way to the database: a pool of readers, and what a writer connects with.
pub(crate) enum Db {
    Sqlite { readers: SqlitePool, options: SqliteConnectOptions },
    Pg { readers: PgPool, options: PgConnectOptions },
}

/// A connection of one's own.
pub(crate) enum Link {
    Sqlite(SqliteConnection),
    Pg(PgConnection),
}

/// Keeps other processes away from a SQLite file while it is held.
pub(crate) struct Lock {
    _file: fs::File,
}

/// Hears what other nodes commit.
pub(crate) struct Listener(PgListener);

impl Db {
    /// Reads the URL and, with SQLite, takes the file. Connects when it is first used.
    pub(crate) fn new(url: &str) -> Result<(Self, Option<Lock>)> {
        if url.starts_with("sqlite:") {
            let (db, lock) = sqlite(url)?;
            Ok((db, Some(lock)))
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            Ok((postgres(url)?, None))
        } else {
            // Not repeated: it may hold a password.
            Err(Error::Options("the database URL is neither `sqlite:///path/to/file.db` nor `postgres://…`".to_owned()))
        }
    }

    /// Brings the schema up to date.
    pub(crate) async fn migrate(&self, link: &mut Link) -> Result<()> {
        match link {
            Link::Sqlite(conn) => migrate::sqlite().run(conn).await?,
            Link::Pg(conn) => {
                // Another node may be at it for a while.
                sqlx::raw_sql("SET lock_timeout = 0; SET statement_timeout = 0").execute(&mut *conn).await?;
                migrate::postgres().run(&mut *conn).await?;
                sqlx::raw_sql("RESET lock_timeout; RESET statement_timeout").execute(conn).await?;
            }
        }
        Ok(())
    }

    pub(crate) const fn is_sqlite(&self) -> bool {
        matches!(self, Db::Sqlite { .. })
    }

    /// Borrows a reader.
    pub(crate) async fn reader(&self) -> Result<Pooled> {
        Ok(match self {
            Db::Sqlite { readers, .. } => Pooled::Sqlite(readers.acquire().await?),
            Db::Pg { readers, .. } => Pooled::Pg(readers.acquire().await?),
        })
    }

    /// A connection that writes durably.
    pub(crate) async fn link(&self) -> Result<Link> {
        Ok(match self {
            Db::Sqlite { options, .. } => Link::Sqlite(SqliteConnection::connect_with(options).await?),
            Db::Pg { options, .. } => Link::Pg(PgConnection::connect_with(options).await?),
        })
    }

    /// A connection that writes durably and is the only one of `writer` anywhere.
    pub(crate) async fn writer_link(&self, writer: WriterId) -> Result<Link> {
        let mut link = self.link().await?;
        if let Link::Pg(conn) = &mut link {
            let key = writer_key(writer);
            // A connection that broke a moment ago may still be dying on the server.
            for _ in 0..20 {
                let (taken,) = sqlx::query_as::<_, (bool,)>("SELECT pg_try_advisory_lock($1)")
                    .bind(key)
                    .fetch_one(&mut *conn)
                    .await?;
                if taken {
                    return Ok(link);
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            return Err(Error::InUse(format!("writer `{writer}` is in use by another process")));
        }
        Ok(link)
    }

    /// Hears what other nodes tell on `channel`; `None` where there are no other nodes.
    pub(crate) async fn listener(&self, channel: &str) -> Result<Option<Listener>> {
        let Db::Pg { readers, .. } = self else { return Ok(None) };
        let mut listener = PgListener::connect_with(readers).await?;
        listener.listen(channel).await?;
        Ok(Some(Listener(listener)))
    }

    pub(crate) async fn close(&self) {
        match self {
            Db::Sqlite { readers, .. } => readers.close().await,
            Db::Pg { readers, .. } => readers.close().await,
        }
    }
}

impl Link {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Link::Sqlite(conn) => Conn::Sqlite(conn),
            Link::Pg(conn) => Conn::Pg(conn),
        }
    }

    /// Closes in good order; a failure changes nothing that is committed.
    pub(crate) async fn close(self) {
        let closed = match self {
            Link::Sqlite(conn) => conn.close().await,
            Link::Pg(conn) => conn.close().await,
        };
        if let Err(error) = closed {
            tracing::warn!(%error, "a database connection did not close cleanly");
        }
    }
}

impl Listener {
    /// The next message; `None` after the connection was lost and made again, when some may be missing.
    pub(crate) async fn next(&mut self) -> Result<Option<String>> {
        Ok(self.0.try_recv().await?.map(|message| message.payload().to_owned()))
    }
}

/// What a writer's connection locks on PostgreSQL for as long as it lives.
pub(crate) fn writer_key(writer: WriterId) -> i64 {
    let (high, low) = writer.0.as_u64_pair();
    (high ^ low).cast_signed()
}

fn sqlite(url: &str) -> Result<(Db, Lock)> {
    let options = SqliteConnectOptions::from_str(url)?.disable_statement_logging();
    let file = options.get_filename().to_owned();
    let lock = lock(&file)?;
    create_private(&file)?;

    let options = options.busy_timeout(PATIENCE).foreign_keys(true).pragma("temp_store", "memory");
    let readers = PoolOptions::new()
        .max_connections(4)
        .acquire_timeout(PATIENCE)
        .test_before_acquire(false)
        .connect_lazy_with(options.clone().read_only(true));
    let options = options
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        // Checkpoints of the write-ahead log run on a connection of their own, never inside a commit.
        .pragma("wal_autocheckpoint", "0")
        .pragma("journal_size_limit", "67108864");
    Ok((Db::Sqlite { readers, options }, lock))
}

fn postgres(url: &str) -> Result<Db> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| Error::Options("the PostgreSQL URL cannot be read".to_owned()))?
        .application_name("preloop")
        .disable_statement_logging();
    let readers = PoolOptions::new().max_connections(8).acquire_timeout(PATIENCE).connect_lazy_with(options.clone());
    let options = options.options([("synchronous_commit", "on"), ("lock_timeout", "5s"), ("statement_timeout", "30s")]);
    Ok(Db::Pg { readers, options })
}

fn lock(database: &Path) -> Result<Lock> {
    let mut path = database.as_os_str().to_owned();
    path.push(".lock");
    let path = PathBuf::from(path);
    let failed = |source| Error::File { path: path.display().to_string(), source: Arc::new(source) };
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Lock { _file: file }),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse(format!(
            "`{}` is in use by another process; stop it, or give this one its own data directory",
            database.display()
        ))),
        Err(fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Creates the file readable by its owner only; SQLite gives its companions the same mode.
fn create_private(file: &Path) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(file) {
        Ok(_) => Ok(()),
        Err(source) => Err(Error::File { path: file.display().to_string(), source: Arc::new(source) }),
    }
}
