use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use futures::future::BoxFuture;
use preloop_types::{AccountId, Entry, KeyId, SessionId, Timestamp, WriterId};
use tokio::sync::{Semaphore, broadcast, mpsc, oneshot, watch};

use crate::{
    AccountStore, Clock, Error, Event, JournalStats, Keys, Receipt, Result, Sealer, Tx, View, background,
    db::{Db, Link, Lock, Pooled, execute, fetch_optional},
    journal::{Counters, Item, Job, Prepared, QUEUE_BYTES_MAX, QUEUE_ITEMS_MAX, Told, Writer},
    ledger::LedgerLine,
    lives::Life,
    seal::{INSTANCE, Vault},
};

/// Events a receiver may lag behind before it is told that it lost some.
const EVENTS_KEPT: usize = 4096;
/// Most keys and sessions whose last use waits to be written.
pub(crate) const TOUCHES_MAX: usize = 16_384;

/// How to open a store.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// `sqlite:///path/to/file.db` or `postgres://…`.
    pub url: String,
    /// Derived from the instance key.
    pub keys: Keys,
    /// This process's chain in every journal; the same across its restarts, of one process at a time.
    pub writer: WriterId,
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
}

/// The database of one instance. Cheap to clone; when the last clone is dropped, what is queued is
/// still written.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Item>,
    room: Arc<Semaphore>,
    touches: Arc<Touches>,
    /// Dropped or set to true, the tasks in the background stop.
    stop: watch::Sender<bool>,
}

/// What the writer and the tasks in the background share with the store.
pub(crate) struct Shared {
    pub(crate) db: Db,
    pub(crate) vault: Vault,
    pub(crate) keys: Keys,
    pub(crate) writer: WriterId,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) events: broadcast::Sender<Event>,
    pub(crate) counters: Counters,
    pub(crate) life: Life,
    lock: Mutex<Option<Lock>>,
}

/// Last uses that are worth a note but not a write each. In order, so that two nodes that write them
/// lock the rows in the same one.
#[derive(Default)]
pub(crate) struct Touches {
    pub(crate) keys: Mutex<BTreeMap<KeyId, Timestamp>>,
    pub(crate) sessions: Mutex<BTreeMap<(AccountId, String), Timestamp>>,
    pub(crate) runs: Mutex<BTreeMap<(AccountId, SessionId), Timestamp>>,
}

impl Store {
    /// Connects, brings the schema up to date, checks the key and starts the writer. Intents that an
    /// earlier life of this writer left open are settled in the background.
    pub async fn open(options: StoreOptions) -> Result<Self> {
        let StoreOptions { url, keys, writer, clock } = options;
        let (db, lock) = Db::new(&url)?;
        let vault = Vault::new(&keys);
        let mut link = db.writer_link(writer).await?;
        db.migrate(&mut link).await?;
        begin_life(&mut link, &vault, writer, clock.now()).await?;
        let life = Life::begin(&mut link, writer).await?;

        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let counters = Counters::default();
        let lock = Mutex::new(lock);
        let shared = Arc::new(Shared { db, vault, keys, writer, clock, events, counters, life, lock });
        let (queue, waiting) = mpsc::channel(QUEUE_ITEMS_MAX);
        let (stop, stopped) = watch::channel(false);
        let inner = Inner {
            shared: Arc::clone(&shared),
            queue,
            room: Arc::new(Semaphore::new(QUEUE_BYTES_MAX)),
            touches: Arc::default(),
            stop,
        };
        let store = Self(Arc::new(inner));
        // Before anything is written in this life.
        let orphans = store.earlier_lives().await?;
        tokio::spawn(Writer::new(shared, waiting, link).run());
        background::start(&store, orphans, &stopped);
        Ok(store)
    }

    /// Where the time comes from.
    pub fn clock(&self) -> &dyn Clock {
        &*self.0.shared.clock
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        self.clock().now()
    }

    /// This process's chain in every journal.
    pub fn writer(&self) -> WriterId {
        self.0.shared.writer
    }

    /// Whether other nodes may write to the same database.
    pub fn is_shared(&self) -> bool {
        matches!(self.0.shared.db, Db::Pg { .. })
    }

    /// What is committed from now on, here and on other nodes.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.shared.events.subscribe()
    }

    /// The data of one account.
    pub fn account(&self, id: AccountId) -> AccountStore {
        AccountStore::new(self.clone(), id)
    }

    /// Runs `work` in the next group commit; returns once that is durable. An error rolls back this
    /// work only. Dropping the future does not stop a work that is already queued. A work holds up
    /// every other write: it does nothing but its statements.
    pub async fn write<T: Send + 'static>(
        &self,
        account: AccountId,
        work: impl for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T>> + Send + 'static,
    ) -> Result<T> {
        let (job, wait) = Job::new(work);
        self.enqueue(Item::Work { account, work: Box::new(job) })?;
        wait.await.map_err(|_| Error::Closed)?
    }

    /// Appends one record; it is durable when this returns.
    pub async fn append(&self, entry: Entry) -> Result<Receipt> {
        self.append_with(entry, LedgerLine::default()).await
    }

    /// Appends one record and what it adds to the ledger; both are durable when this returns. Where it
    /// reserves under a life that is over, nothing is written and the store is `Busy`.
    pub async fn append_with(&self, entry: Entry, line: LedgerLine) -> Result<Receipt> {
        let sealer = self.sealer(entry.account).await?;
        let entry = Prepared::new(entry, line, &sealer)?;
        let bytes = u32::try_from(entry.bytes()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.0.room).try_acquire_many_owned(bytes).map_err(|_| Error::Busy)?;
        let (reply, wait) = oneshot::channel();
        self.enqueue(Item::Append { entry, told: Told::Waiting(reply), room })?;
        wait.await.map_err(|_| Error::Closed)?
    }

    /// Queues one record and returns; it is durable within milliseconds, with the next commit. For the
    /// end of what has a durable beginning. Waits while the queue is full; a commit that fails is logged.
    pub async fn append_later(&self, entry: Entry) -> Result<()> {
        self.enqueue_later(entry, LedgerLine::default(), None).await
    }

    /// As [`Store::append_later`], with what the record adds to the ledger. The receiver hears when both
    /// are durable, or why they are not.
    pub async fn append_later_with(
        &self,
        entry: Entry,
        line: LedgerLine,
    ) -> Result<oneshot::Receiver<Result<Receipt>>> {
        let (reply, wait) = oneshot::channel();
        self.enqueue_later(entry, line, Some(reply)).await?;
        Ok(wait)
    }

    async fn enqueue_later(
        &self,
        entry: Entry,
        line: LedgerLine,
        reply: Option<oneshot::Sender<Result<Receipt>>>,
    ) -> Result<()> {
        let sealer = self.sealer(entry.account).await?;
        let entry = Prepared::new(entry, line, &sealer)?;
        let bytes = u32::try_from(entry.bytes()).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.0.room).acquire_many_owned(bytes).await.map_err(|_| Error::Closed)?;
        let place = self.0.queue.reserve().await.map_err(|_| Error::Closed)?;
        self.0.shared.counters.begin_later();
        place.send(Item::Append { entry, told: Told::Later(reply), room });
        Ok(())
    }

    /// Returns once everything queued so far is committed, or was refused.
    async fn flush(&self) -> Result<()> {
        let (reply, wait) = oneshot::channel();
        self.0.queue.send(Item::Flush { reply }).await.map_err(|_| Error::Closed)?;
        wait.await.map_err(|_| Error::Closed)?
    }

    /// Writes what is queued, signs a last checkpoint and closes the connections.
    pub async fn close(&self) {
        background::flush_touches(self).await;
        self.0.stop.send_replace(true);
        let (reply, wait) = oneshot::channel();
        if self.0.queue.send(Item::Close { reply }).await.is_ok() {
            let _ = wait.await;
        }
        self.0.shared.db.close().await;
        drop(self.0.shared.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// How much the journal has written since the store was opened.
    pub fn journal_stats(&self) -> JournalStats {
        self.0.shared.counters.stats()
    }

    /// The public half of the key that signs checkpoints.
    pub fn signing_public(&self) -> [u8; 32] {
        self.0.shared.keys.signing_public()
    }

    /// Every account, oldest first.
    pub async fn accounts(&self) -> Result<Vec<AccountId>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let rows = crate::db::fetch_all!(conn, (uuid::Uuid,), "SELECT id FROM accounts ORDER BY id")?;
        Ok(rows.into_iter().map(|(id,)| AccountId(id)).collect())
    }

    /// What seals the secrets of one account.
    pub async fn sealer(&self, account: AccountId) -> Result<Sealer> {
        if let Some(sealer) = self.vault().opened(account) {
            return Ok(sealer);
        }
        let mut reader = self.reader().await?;
        View::new(reader.conn(), account, self.vault()).sealer().await
    }

    /// Encrypts `plain` so that it opens only in this account and context.
    pub async fn seal(&self, account: AccountId, context: &str, plain: &[u8]) -> Result<Vec<u8>> {
        Ok(self.sealer(account).await?.seal(context, plain))
    }

    /// Decrypts what [`Store::seal`] made for the same account and context.
    pub async fn open_sealed(&self, account: AccountId, context: &str, sealed: &[u8]) -> Result<Vec<u8>> {
        self.sealer(account).await?.open(context, sealed)
    }

    /// Notes that a key was used now; written some seconds later, in bulk.
    pub fn touch_key(&self, id: KeyId) {
        let mut keys = self.0.touches.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() < TOUCHES_MAX {
            keys.insert(id, self.now());
        }
    }

    /// Notes that a session was used now; written some seconds later, in bulk.
    pub fn touch_mcp_session(&self, account: AccountId, id: &str) {
        let mut sessions = self.0.touches.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() < TOUCHES_MAX {
            sessions.insert((account, id.to_owned()), self.now());
        }
    }

    // === For the rest of the crate ===

    pub(crate) fn enqueue(&self, item: Item) -> Result<()> {
        self.0.queue.try_send(item).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => Error::Busy,
            mpsc::error::TrySendError::Closed(_) => Error::Closed,
        })
    }

    /// A work of the store itself, about no account in particular.
    pub(crate) async fn write_any<T: Send + 'static>(
        &self,
        work: impl for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T>> + Send + 'static,
    ) -> Result<T> {
        self.write(INSTANCE, work).await
    }

    /// Reads see what this process has queued before.
    pub(crate) async fn reader(&self) -> Result<Pooled> {
        if self.0.shared.counters.has_later() {
            // What could not be written is not there to be read.
            let _ = self.flush().await;
        }
        self.0.shared.db.reader().await
    }

    pub(crate) fn vault(&self) -> &Vault {
        &self.0.shared.vault
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    pub(crate) fn touches(&self) -> &Touches {
        &self.0.touches
    }

    pub(crate) fn signing(&self) -> &ed25519_dalek::SigningKey {
        self.0.shared.keys.signing()
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        self.0.shared.db.is_sqlite()
    }

    pub(crate) fn downgrade(&self) -> WeakStore {
        WeakStore(Arc::downgrade(&self.0))
    }
}

/// A store that the tasks in the background do not keep alive.
pub(crate) struct WeakStore(std::sync::Weak<Inner>);

impl WeakStore {
    pub(crate) fn upgrade(&self) -> Option<Store> {
        self.0.upgrade().map(Store)
    }
}

/// Checks the instance key against the one the database was made with, and announces the writer.
async fn begin_life(link: &mut Link, vault: &Vault, writer: WriterId, now: Timestamp) -> Result<()> {
    let mut conn = link.conn();
    let insert = "INSERT INTO instance (id, key_check, created_at) VALUES (1, $1, $2) ON CONFLICT (id) DO NOTHING";
    execute!(conn, insert, vault.key_check(), now.micros())?;
    let row = fetch_optional!(conn, (Vec<u8>,), "SELECT key_check FROM instance WHERE id = 1")?;
    if !row.is_some_and(|(check,)| vault.passes(&check)) {
        return Err(Error::WrongKey);
    }
    let announce = "INSERT INTO writers (id, started_at, lease_until) VALUES ($1, $2, $3) \
                    ON CONFLICT (id) DO UPDATE SET started_at = excluded.started_at, lease_until = excluded.lease_until";
    execute!(conn, announce, writer.0, now.micros(), (now + background::WRITER_LEASE).micros())?;
    // What an earlier life of this writer had claimed, nobody carries out any more.
    let claims =
        "UPDATE approvals SET lease_until = $2 WHERE execution = 'claimed' AND writer_id = $1 AND lease_until > $2";
    execute!(conn, claims, writer.0, now.micros())?;
    Ok(())
}
