//! The two databases behind one face.
//!
//! SQL is shared where the two speak the same; `on!` expands a body once per driver. Nothing outside
//! this module names a driver, except the few statements that differ.

mod connect;
mod migrate;

pub(crate) use connect::{Db, Link, Lock, writer_key};
use preloop_types::{Hash, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{PgConnection, Postgres, Sqlite, SqliteConnection, pool::PoolConnection};

use crate::{Error, Result};

/// A connection in use.
pub(crate) enum Conn<'c> {
    /// SQLite's.
    Sqlite(&'c mut SqliteConnection),
    /// PostgreSQL's.
    Pg(&'c mut PgConnection),
}

/// A connection lent by a pool of readers.
pub(crate) enum Pooled {
    Sqlite(PoolConnection<Sqlite>),
    Pg(PoolConnection<Postgres>),
}

impl Pooled {
    pub(crate) fn conn(&mut self) -> Conn<'_> {
        match self {
            Pooled::Sqlite(conn) => Conn::Sqlite(conn),
            Pooled::Pg(conn) => Conn::Pg(conn),
        }
    }
}

impl Conn<'_> {
    pub(crate) fn reborrow(&mut self) -> Conn<'_> {
        match self {
            Conn::Sqlite(conn) => Conn::Sqlite(conn),
            Conn::Pg(conn) => Conn::Pg(conn),
        }
    }
}

/// Expands `$body` once per driver, with `$c` the driver's own connection.
macro_rules! on {
    ($conn:expr, $c:ident => $body:expr) => {
        match &mut $conn {
            $crate::db::Conn::Sqlite($c) => {
                let $c = &mut **$c;
                $body
            }
            $crate::db::Conn::Pg($c) => {
                let $c = &mut **$c;
                $body
            }
        }
    };
}

/// Runs a statement; how many rows it touched.
macro_rules! execute {
    ($conn:expr, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::db::on!($conn, c => {
            let done = sqlx::query($sql)$(.bind($arg))*.execute(c).await;
            done.map(|done| done.rows_affected()).map_err($crate::Error::from)
        })
    };
}

/// Runs a query; all its rows as `$row`.
macro_rules! fetch_all {
    ($conn:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::db::on!($conn, c => {
            let query = sqlx::query_as::<_, $row>($sql)$(.bind($arg))*;
            query.fetch_all(c).await.map_err($crate::Error::from)
        })
    };
}

/// Runs a query; its first row as `$row`, if it has one.
macro_rules! fetch_optional {
    ($conn:expr, $row:ty, $sql:expr $(, $arg:expr)* $(,)?) => {
        $crate::db::on!($conn, c => {
            let query = sqlx::query_as::<_, $row>($sql)$(.bind($arg))*;
            query.fetch_optional(c).await.map_err($crate::Error::from)
        })
    };
}

/// A struct of column values that either driver's rows decode into, by name.
macro_rules! row {
    ($vis:vis struct $name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        $vis struct $name { $($field: $type),* }

        impl<'r, R> sqlx::FromRow<'r, R> for $name
        where
            R: sqlx::Row,
            &'static str: sqlx::ColumnIndex<R>,
            $($type: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,)*
        {
            fn from_row(row: &'r R) -> sqlx::Result<Self> {
                Ok(Self { $($field: row.try_get(stringify!($field))?),* })
            }
        }
    };
}

pub(crate) use {execute, fetch_all, fetch_optional, on, row};

// === Columns to values and back ===

pub(crate) fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

pub(crate) fn micros(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::micros)
}

pub(crate) fn hash(bytes: &[u8]) -> Result<Hash> {
    let bytes = bytes.try_into().map_err(|_| Error::Damaged(format!("a hash of {} bytes", bytes.len())))?;
    Ok(Hash(bytes))
}

pub(crate) fn unsigned(value: i64) -> Result<u64> {
    u64::try_from(value).map_err(|_| Error::Damaged(format!("`{value}` where a count was expected")))
}

pub(crate) fn small(value: i64) -> Result<u32> {
    u32::try_from(value).map_err(|_| Error::Damaged(format!("`{value}` where a small count was expected")))
}

#[expect(clippy::cast_possible_wrap, reason = "counts stay far below 2^63")]
pub(crate) fn signed(value: u64) -> i64 {
    value as i64
}

/// A value as JSON text.
pub(crate) fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|error| Error::Invalid(format!("cannot be kept as JSON: {error}")))
}

pub(crate) fn opt_json(value: Option<&impl Serialize>) -> Result<Option<String>> {
    value.map(json).transpose()
}

pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::Damaged(format!("unreadable JSON: {error}")))
}

pub(crate) fn opt_from_json<T: DeserializeOwned>(text: Option<&str>) -> Result<Option<T>> {
    text.map(from_json).transpose()
}

/// Reads a word with its type's own `parse`.
pub(crate) fn word<T>(parse: impl Fn(&str) -> Option<T>, text: &str) -> Result<T> {
    parse(text).ok_or_else(|| Error::Damaged(format!("unknown word `{text}`")))
}

/// An update that has to touch its row, or there was none.
pub(crate) fn found(rows: u64) -> Result<()> {
    if rows == 0 { Err(Error::NotFound) } else { Ok(()) }
}
