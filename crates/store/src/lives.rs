//! Lives of writers: from a start of the process to its end.
//!
//! What a process may do because it lives, above all spend from the leases it holds, it may do only
//! while its life is on the register. Whoever finds a process gone takes its life off before settling
//! what it left open; a process that was only cut off finds that out when it connects again, and goes on
//! under a new life.

use std::sync::{PoisonError, RwLock};

use preloop_types::WriterId;
use uuid::Uuid;

use crate::{
    Result, Store, Tx,
    db::{Conn, Link, execute, fetch_all, fetch_optional, writer_key},
};

/// The life this process leads now.
#[derive(Debug)]
pub(crate) struct Life(RwLock<Uuid>);

impl Life {
    /// Ends the writer's earlier lives and begins another. With SQLite nobody else can be alive.
    pub(crate) async fn begin(link: &mut Link, writer: WriterId) -> Result<Self> {
        let life = Uuid::now_v7();
        let mut conn = link.conn();
        let alone = matches!(conn, Conn::Sqlite(_));
        execute!(conn, "DELETE FROM lives WHERE writer_id = $1 OR $2", writer.0, alone)?;
        execute!(conn, "INSERT INTO lives (id, writer_id) VALUES ($1, $2)", life, writer.0)?;
        Ok(Self(RwLock::new(life)))
    }

    pub(crate) fn get(&self) -> Uuid {
        *self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// After the connection was lost: goes on under a new life if this one was ended meanwhile.
    pub(crate) async fn resume(&self, link: &mut Link, writer: WriterId) -> Result<()> {
        let mut conn = link.conn();
        let on_register = fetch_optional!(conn, (Uuid,), "SELECT id FROM lives WHERE id = $1", self.get())?;
        if on_register.is_none() {
            let life = Uuid::now_v7();
            execute!(conn, "INSERT INTO lives (id, writer_id) VALUES ($1, $2)", life, writer.0)?;
            tracing::warn!("other nodes took this one for dead; it goes on without what it held");
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = life;
        }
        Ok(())
    }
}

impl Store {
    /// The life this process leads now. It changes when other nodes took it for dead.
    pub fn life(&self) -> Uuid {
        self.shared().life.get()
    }

    /// Ends the lives of other writers that do not tell that they live and have no connection any more.
    pub(crate) async fn end_lives(&self) -> Result<()> {
        let (me, now) = (self.writer().0, self.now().micros());
        self.write_any(move |tx: &mut Tx<'_>| {
            Box::pin(async move {
                let sql = "SELECT l.id, l.writer_id FROM lives l LEFT JOIN writers w ON w.id = l.writer_id \
                           WHERE l.writer_id <> $1 AND (w.lease_until IS NULL OR w.lease_until < $2)";
                for (life, writer) in fetch_all!(tx.conn, (Uuid, Uuid), sql, me, now)? {
                    if !is_connected(&mut tx.conn, WriterId(writer)).await? {
                        execute!(tx.conn, "DELETE FROM lives WHERE id = $1", life)?;
                    }
                }
                Ok(())
            })
        })
        .await
    }
}

/// Whether a writer's connection, which holds its lock, is still there.
async fn is_connected(conn: &mut Conn<'_>, writer: WriterId) -> Result<bool> {
    if let Conn::Sqlite(_) = conn {
        return Ok(false);
    }
    let sql = "SELECT COUNT(*) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted \
               AND (classid::bigint << 32) | objid::bigint = $1 \
               AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    Ok(fetch_optional!(*conn, (i64,), sql, writer_key(writer))?.is_some_and(|(locks,)| locks > 0))
}
