//! What runs beside the writer: settling what a crash left open, telling that this node lives,
//! hearing what other nodes commit, and moving SQLite's write-ahead log into the database.

use std::{
    mem,
    sync::{Arc, PoisonError},
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};

use crate::{
    Event, Result, Store, Tx,
    db::{Link, execute, fetch_optional},
    journal::recovery::Orphans,
    store::{Shared, WeakStore},
};

/// How long a node counts as alive after its last heartbeat. Clocks of nodes may differ by less.
pub(crate) const WRITER_LEASE: Duration = Duration::from_mins(1);
const HEARTBEAT: Duration = Duration::from_secs(10);
/// Heartbeats between two looks for budget windows that ended long ago.
const PRUNE_EVERY: u32 = 360;
/// How often the write-ahead log is moved into the database.
const WAL_EVERY: Duration = Duration::from_millis(500);
/// Pages of write-ahead log above which writers are made to wait while it is emptied.
const WAL_PAGES_MAX: i64 = 16 * 1024;

pub(crate) fn start(store: &Store, orphans: Orphans, stopped: &watch::Receiver<bool>) {
    spawn(stopped, housekeeping(store.downgrade(), orphans));
    if store.is_sqlite() {
        spawn(stopped, move_wal(Arc::clone(store.shared())));
    } else {
        spawn(stopped, listen(Arc::clone(store.shared())));
    }
}

/// Runs a task until the store is closed or dropped.
fn spawn(stopped: &watch::Receiver<bool>, task: impl Future<Output = ()> + Send + 'static) {
    let mut stopped = stopped.clone();
    tokio::spawn(async move {
        tokio::select! {
            () = task => {}
            _ = stopped.wait_for(|stopped| *stopped) => {}
        }
    });
}

async fn housekeeping(store: WeakStore, orphans: Orphans) {
    let Some(strong) = store.upgrade() else { return };
    let mut left_open = (!settle(&strong, &orphans).await).then_some(orphans);
    drop(strong);
    let mut tick = time::interval(HEARTBEAT);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks: u32 = 0;
    loop {
        tick.tick().await;
        let Some(store) = store.upgrade() else { return };
        flush_touches(&store).await;
        if let Some(orphans) = left_open.take() {
            left_open = (!settle(&store, &orphans).await).then_some(orphans);
        }
        if ticks.is_multiple_of(PRUNE_EVERY)
            && let Err(error) = store.prune_windows().await
        {
            tracing::warn!(%error, "budget windows that ended long ago could not be let go");
        }
        ticks = ticks.wrapping_add(1);
        if store.is_sqlite() {
            continue;
        }
        if let Err(error) = heartbeat(&store).await {
            tracing::warn!(%error, "cannot tell other nodes that this one lives");
        }
        match store.dead_nodes().await {
            Ok(orphans) => drop(settle(&store, &orphans).await),
            Err(error) => tracing::warn!(%error, "cannot look for nodes that are gone"),
        }
    }
}

/// Whether it is done.
async fn settle(store: &Store, orphans: &Orphans) -> bool {
    match store.settle_orphans(orphans).await {
        Ok(0) => true,
        Ok(calls) => {
            tracing::warn!(calls, "calls of a process that ended were recorded as `unknown`");
            true
        }
        Err(error) => {
            tracing::error!(%error, "calls of a process that ended could not be settled");
            false
        }
    }
}

async fn heartbeat(store: &Store) -> Result<()> {
    let (writer, until) = (store.writer().0, (store.now() + WRITER_LEASE).micros());
    store
        .write_any(move |tx: &mut Tx<'_>| {
            Box::pin(async move {
                execute!(tx.conn, "UPDATE writers SET lease_until = $2 WHERE id = $1", writer, until)?;
                Ok(())
            })
        })
        .await
}

/// Writes the last uses of keys and sessions. They are hints: what cannot be written is let go.
pub(crate) async fn flush_touches(store: &Store) {
    let keys = mem::take(&mut *store.touches().keys.lock().unwrap_or_else(PoisonError::into_inner));
    let sessions = mem::take(&mut *store.touches().sessions.lock().unwrap_or_else(PoisonError::into_inner));
    let runs = mem::take(&mut *store.touches().runs.lock().unwrap_or_else(PoisonError::into_inner));
    if keys.is_empty() && sessions.is_empty() && runs.is_empty() {
        return;
    }
    let written = store.write_any(move |tx: &mut Tx<'_>| {
        Box::pin(async move {
            for (id, at) in keys {
                execute!(tx.conn, "UPDATE api_keys SET last_used_at = $2 WHERE id = $1", id.0, at.micros())?;
            }
            for ((account, id), at) in sessions {
                let sql = "UPDATE mcp_sessions SET last_seen_at = $3 WHERE account_id = $1 AND id = $2";
                execute!(tx.conn, sql, account.0, &id[..], at.micros())?;
            }
            tx.touch_sessions(runs.into_iter().collect()).await
        })
    });
    if let Err(error) = written.await {
        tracing::debug!(%error, "last uses were not written");
    }
}

/// Repeats other nodes' events here. After a gap everybody is told to look again.
async fn listen(shared: Arc<Shared>) {
    loop {
        match shared.db.listener(Event::CHANNEL).await {
            Ok(Some(mut listener)) => {
                // Something may have been told before this node listened.
                let _ = shared.events.send(Event::Resync);
                loop {
                    match listener.next().await {
                        Ok(Some(message)) => {
                            if let Some(event) = Event::from_message(&message, shared.writer) {
                                let _ = shared.events.send(event);
                            }
                        }
                        Ok(None) => drop(shared.events.send(Event::Resync)),
                        Err(error) => {
                            tracing::warn!(%error, "lost the connection that hears other nodes");
                            break;
                        }
                    }
                }
            }
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "cannot hear other nodes"),
        }
        time::sleep(Duration::from_secs(1)).await;
    }
}

/// Moves the write-ahead log into the database, so that no commit has to.
async fn move_wal(shared: Arc<Shared>) {
    let mut link = None;
    let mut tick = time::interval(WAL_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = None;
    loop {
        tick.tick().await;
        let commits = shared.counters.stats().commits;
        if seen.replace(commits) == Some(commits) {
            continue;
        }
        if let Err(error) = checkpoint_wal(&shared, &mut link).await {
            tracing::warn!(%error, "the write-ahead log could not be moved into the database");
            link = None;
        }
    }
}

async fn checkpoint_wal(shared: &Shared, link: &mut Option<Link>) -> Result<()> {
    let open = match link {
        Some(open) => open,
        None => link.insert(shared.db.link().await?),
    };
    let mut conn = open.conn();
    let moved = fetch_optional!(conn, (i64, i64, i64), "PRAGMA wal_checkpoint(PASSIVE)")?;
    if moved.is_some_and(|(_, pages, _)| pages > WAL_PAGES_MAX) {
        fetch_optional!(conn, (i64, i64, i64), "PRAGMA wal_checkpoint(RESTART)")?;
    }
    Ok(())
}
