//! The single writer of this process: everything that changes the database goes through its queue and
//! is committed in groups, so that one sync of the disk carries many calls.

use std::{
    collections::{HashMap, VecDeque, hash_map},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt, future::BoxFuture};
use preloop_types::{AccountId, Timestamp};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    time,
};

use super::{
    Counters, Receipt,
    chain::Chain,
    entry::Prepared,
    insert::{self, ROWS_MAX, Row},
};
use crate::{
    Error, Event, Result, Tx, View,
    db::{Conn, Link, execute, fetch_optional, signed},
    proof::Checkpoint,
    store::Shared,
};

/// Most items that wait; when there are more, callers are told that the store is busy.
pub(crate) const QUEUE_ITEMS_MAX: usize = 8192;
/// Most bytes that wait.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Most items, and about most bytes, of one commit.
const BATCH_ITEMS_MAX: usize = 256;
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Longest a work may hold up everybody else.
const WORK_TIME_MAX: Duration = Duration::from_secs(10);
/// Most turns of everybody else before a commit begins.
const GATHER_TURNS_MAX: usize = 8;
/// Longest that records nobody waits for are held back, so that they share a commit.
const LINGER: Duration = Duration::from_millis(5);
/// A checkpoint is signed after so many records, or so long after the first.
const CHECKPOINT_RECORDS: u64 = 4096;
const CHECKPOINT_AFTER: Duration = Duration::from_secs(10);

/// What waits to be written.
#[expect(clippy::large_enum_variant, reason = "nearly every item is a record; boxing it would cost each an allocation")]
pub(crate) enum Item {
    /// One record, and who is told that it is durable.
    Append { entry: Prepared, told: Told, room: OwnedSemaphorePermit },
    /// Statements with their records.
    Work { account: AccountId, work: Box<dyn Work> },
    /// A checkpoint over an account's chain as it stands.
    Seal { account: AccountId, reply: oneshot::Sender<Result<()>> },
    /// Everything ahead of it is to be committed now.
    Flush { reply: oneshot::Sender<Result<()>> },
    /// Nothing more will come.
    Close { reply: oneshot::Sender<()> },
}

/// Who is told that a record is durable.
pub(crate) enum Told {
    /// Somebody waits for it.
    Waiting(oneshot::Sender<Result<Receipt>>),
    /// Nobody is held up, whether or not somebody wants to know.
    Later(Option<oneshot::Sender<Result<Receipt>>>),
}

impl Told {
    fn send(self, counters: &Counters, receipt: Result<Receipt>) {
        let reply = match self {
            Told::Waiting(reply) => Some(reply),
            Told::Later(reply) => {
                counters.end_later();
                reply
            }
        };
        if let Some(reply) = reply {
            // Nobody listens if the caller went away; the record is written all the same.
            let _ = reply.send(receipt);
        }
    }
}

impl Item {
    const fn can_linger(&self) -> bool {
        matches!(self, Item::Append { told: Told::Later(_), .. })
    }

    /// Tells whoever waits that it was not written.
    fn refuse(self, counters: &Counters, error: &Error) {
        match self {
            Item::Append { told, .. } => told.send(counters, Err(error.clone())),
            Item::Work { work, .. } => work.finish(Err(error.clone())),
            Item::Seal { reply, .. } | Item::Flush { reply } => drop(reply.send(Err(error.clone()))),
            Item::Close { reply } => drop(reply.send(())),
        }
    }
}

/// A work whose result type is forgotten.
pub(crate) trait Work: Send {
    /// Runs it and keeps its result.
    fn run<'t>(&'t mut self, tx: &'t mut Tx<'_>) -> BoxFuture<'t, Result<()>>;
    /// Gives the caller the result, or why there is none.
    fn finish(self: Box<Self>, outcome: Result<()>);
}

/// A work and who waits for it.
pub(crate) struct Job<F, T> {
    work: Option<F>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T>>,
}

impl<F, T> Job<F, T> {
    pub(crate) fn new(work: F) -> (Self, oneshot::Receiver<Result<T>>) {
        let (reply, wait) = oneshot::channel();
        (Self { work: Some(work), result: None, reply }, wait)
    }
}

impl<F, T> Work for Job<F, T>
where
    F: for<'t> FnOnce(&'t mut Tx<'_>) -> BoxFuture<'t, Result<T>> + Send,
    T: Send,
{
    fn run<'t>(&'t mut self, tx: &'t mut Tx<'_>) -> BoxFuture<'t, Result<()>> {
        async move {
            if let Some(work) = self.work.take() {
                self.result = Some(work(tx).await?);
            }
            Ok(())
        }
        .boxed()
    }

    fn finish(self: Box<Self>, outcome: Result<()>) {
        let Self { result, reply, .. } = *self;
        // Nobody listens if the caller went away; the work is done all the same.
        let _ = reply.send(outcome.and_then(|()| result.ok_or(Error::Closed)));
    }
}

/// What to tell a caller once the fate of the commit is known.
enum Reply {
    Append(Told, Receipt),
    Work(Box<dyn Work>, Result<()>),
    Done(oneshot::Sender<Result<()>>),
}

impl Reply {
    fn send(self, counters: &Counters, commit: Result<()>) {
        match self {
            Reply::Append(told, receipt) => told.send(counters, commit.map(|()| receipt)),
            Reply::Work(work, outcome) => work.finish(commit.and(outcome)),
            Reply::Done(reply) => drop(reply.send(commit)),
        }
    }
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    queue: mpsc::Receiver<Item>,
    /// Taken from the queue for the batch after this one.
    ahead: Option<Item>,
    link: Option<Link>,
    /// Heads as committed, plus what the current batch has staged. Forgotten when a commit fails, so
    /// that the next batch starts from what the database really holds.
    chains: HashMap<AccountId, Chain>,
    /// Checkpoints made after the last commit, to be written with the next.
    sealed: Vec<(i64, Checkpoint, u64)>,
    /// Whether the last commit failed: told once, not for each.
    failing: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, queue: mpsc::Receiver<Item>, link: Link) -> Self {
        let (chains, sealed) = (HashMap::new(), Vec::new());
        Self { shared, queue, ahead: None, link: Some(link), chains, sealed, failing: false }
    }

    /// Writes until it is told to close or nobody is left to write for.
    pub(crate) async fn run(mut self) {
        let mut tick = time::interval(Duration::from_secs(1));
        tick.set_missed_tick_behavior(time::MissedTickBehavior::Delay);
        let closing = loop {
            let ahead = self.ahead.take();
            let first = tokio::select! {
                biased;
                item = async { ahead }, if ahead.is_some() => item,
                item = self.queue.recv() => item,
                _ = tick.tick() => {
                    self.seal_due();
                    if !self.sealed.is_empty() {
                        self.commit(VecDeque::new()).await;
                    }
                    continue;
                }
            };
            match first {
                None => break None,
                Some(Item::Close { reply }) => break Some(reply),
                Some(first) => {
                    self.gather().await;
                    let batch = self.collect(first).await;
                    self.commit(batch).await;
                    self.seal_due();
                }
            }
        };
        self.close().await;
        if let Some(reply) = closing {
            let _ = reply.send(());
        }
    }

    /// Lets whoever is ready to append do so first, those just replied to above all: under load twice
    /// as many share a commit, and an idle store loses nothing. Ends when a turn brought nobody.
    async fn gather(&mut self) {
        let mut waiting = self.queue.len();
        for _ in 0..GATHER_TURNS_MAX {
            tokio::task::yield_now().await;
            if self.queue.len() == std::mem::replace(&mut waiting, self.queue.len()) {
                return;
            }
        }
    }

    /// Takes what is waiting, within the bounds of one commit. As long as nobody waits for any of it,
    /// more is waited for, if not long.
    async fn collect(&mut self, first: Item) -> VecDeque<Item> {
        // Two works of one transaction could hold locks that another replica wants in the other order.
        let works_max = if self.shared.db.is_sqlite() { BATCH_ITEMS_MAX } else { 1 };
        let (mut works, mut bytes) = (0, 0);
        let mut batch = VecDeque::new();
        let mut lingering = first.can_linger().then(|| time::Instant::now() + LINGER);
        let mut next = Some(first);
        while let Some(item) = next {
            match &item {
                Item::Append { entry, .. } => bytes += entry.bytes(),
                Item::Work { .. } => works += 1,
                Item::Seal { .. } | Item::Flush { .. } | Item::Close { .. } => {}
            }
            if !item.can_linger() {
                lingering = None;
            }
            if works > works_max || matches!(item, Item::Close { .. }) {
                self.ahead = Some(item);
                break;
            }
            batch.push_back(item);
            if batch.len() >= BATCH_ITEMS_MAX || bytes >= BATCH_BYTES_MAX {
                break;
            }
            next = match (self.queue.try_recv().ok(), lingering) {
                (None, Some(until)) => time::timeout_at(until, self.queue.recv()).await.ok().flatten(),
                (next, _) => next,
            };
        }
        batch
    }

    /// Commits a batch and tells everybody how it went.
    async fn commit(&mut self, mut batch: VecDeque<Item>) {
        let mut replies = Vec::with_capacity(batch.len());
        match self.transact(&mut batch, &mut replies).await {
            Ok(events) => {
                if std::mem::take(&mut self.failing) {
                    tracing::info!("commits succeed again");
                }
                // Ahead of the replies: who wrote something finds the copies of it already told.
                for event in events {
                    // Nobody has to listen.
                    let _ = self.shared.events.send(event);
                }
                for reply in replies {
                    reply.send(&self.shared.counters, Ok(()));
                }
            }
            Err(error) => {
                if !self.failing {
                    tracing::error!(%error, "a commit failed; its callers are told, as are those of the next that fail");
                    self.failing = true;
                }
                self.chains.clear();
                self.sealed.clear();
                self.roll_back().await;
                for reply in replies {
                    reply.send(&self.shared.counters, Err(error.clone()));
                }
                for item in batch {
                    item.refuse(&self.shared.counters, &error);
                }
            }
        }
    }

    async fn transact(&mut self, batch: &mut VecDeque<Item>, replies: &mut Vec<Reply>) -> Result<Vec<Event>> {
        let shared = Arc::clone(&self.shared);
        let now = shared.clock.now();
        let mut link = match self.link.take() {
            Some(link) => link,
            None => time::timeout(WORK_TIME_MAX, connect_again(&shared))
                .await
                .map_err(|_| Error::Aborted("the database cannot be reached"))??,
        };
        let result = self.transact_on(&mut link, batch, replies, now).await;
        self.link = Some(link);
        result
    }

    async fn transact_on(
        &mut self,
        link: &mut Link,
        batch: &mut VecDeque<Item>,
        replies: &mut Vec<Reply>,
        now: Timestamp,
    ) -> Result<Vec<Event>> {
        let mut conn = link.conn();
        // A batch of nothing but records is one statement, which is a transaction of its own.
        let single = self.sealed.is_empty() && batch.len() <= ROWS_MAX && batch.iter().all(|item| self.is_plain(item));
        if !single {
            begin(&mut conn).await?;
        }

        let mut rows = Vec::with_capacity(batch.len());
        let mut rooms = Vec::with_capacity(batch.len());
        let mut events = Vec::new();
        while let Some(item) = batch.pop_front() {
            match item {
                Item::Append { entry, told, .. } if entry.is_stale(self.shared.life.get()) => {
                    told.send(&self.shared.counters, Err(Error::Busy));
                }
                Item::Append { entry, told, room } => match self.chain(&mut conn, entry.account).await {
                    Ok(chain) => {
                        rooms.push(room);
                        let (receipt, row) = chain.stage(entry, now);
                        rows.push(row);
                        replies.push(Reply::Append(told, receipt));
                    }
                    Err(error) => {
                        told.send(&self.shared.counters, Err(error.clone()));
                        return Err(error);
                    }
                },
                Item::Work { account, mut work } => {
                    let outcome = self.run_work(&mut conn, account, work.as_mut(), now, &mut rows).await;
                    let (outcome, fatal) = match outcome {
                        Ok(told) => {
                            events.extend(told);
                            (Ok(()), None)
                        }
                        Err(Failure::Work(error)) => (Err(error), None),
                        Err(Failure::Batch(error)) => (Err(error.clone()), Some(error)),
                    };
                    replies.push(Reply::Work(work, outcome));
                    if let Some(error) = fatal {
                        return Err(error);
                    }
                }
                Item::Seal { account, reply } => {
                    replies.push(Reply::Done(reply));
                    let key = self.shared.keys.signing().clone();
                    let chain = self.chain(&mut conn, account).await?;
                    let made = chain.seal(now, &key).map(|checkpoint| (chain.id, checkpoint, chain.settled_seq()));
                    self.sealed.extend(made);
                }
                Item::Flush { reply } => replies.push(Reply::Done(reply)),
                Item::Close { .. } => {}
            }
        }

        let count = rows.len() as u64;
        let ledger = insert::ledger(&mut rows);
        insert::rows(&mut conn, rows).await?;
        if !single {
            ledger.write(&mut conn).await?;
            for (chain, checkpoint, settled) in &self.sealed {
                insert_checkpoint(&mut conn, *chain, checkpoint, *settled).await?;
            }
            tell_others(&mut conn, &self.shared, &events).await?;
            execute!(conn, "COMMIT")?;
        }
        self.sealed.clear();
        self.shared.counters.add(count);
        drop(rooms);
        Ok(events)
    }

    /// Whether it is a record of a known chain and nothing else.
    fn is_plain(&self, item: &Item) -> bool {
        matches!(item, Item::Append { entry, .. } if !entry.has_line() && self.chains.contains_key(&entry.account()))
    }

    /// The head of an account's chain, read from the database if it is not held.
    async fn chain(&mut self, conn: &mut Conn<'_>, account: AccountId) -> Result<&mut Chain> {
        match self.chains.entry(account) {
            hash_map::Entry::Occupied(held) => Ok(held.into_mut()),
            hash_map::Entry::Vacant(free) => Ok(free.insert(Chain::load(conn, account, self.shared.writer).await?)),
        }
    }

    /// Runs one work in a savepoint and stages its records.
    async fn run_work(
        &mut self,
        conn: &mut Conn<'_>,
        account: AccountId,
        work: &mut dyn Work,
        now: Timestamp,
        rows: &mut Vec<Row>,
    ) -> Result<Vec<Event>, Failure> {
        execute!(*conn, "SAVEPOINT work").map_err(Failure::Batch)?;
        let shared = Arc::clone(&self.shared);
        match guarded(conn.reborrow(), &shared, account, work, now).await {
            Ok((entries, events)) => {
                execute!(*conn, "RELEASE SAVEPOINT work").map_err(Failure::Batch)?;
                for entry in entries {
                    let chain = self.chain(conn, entry.account()).await.map_err(Failure::Batch)?;
                    rows.push(chain.stage(entry, now).1);
                }
                Ok(events)
            }
            Err(error) => {
                // Where this fails the whole transaction is gone, and with it everybody's work.
                execute!(*conn, "ROLLBACK TO SAVEPOINT work").map_err(|_| Failure::Batch(error.clone()))?;
                execute!(*conn, "RELEASE SAVEPOINT work").map_err(|_| Failure::Batch(error.clone()))?;
                Err(Failure::Work(error))
            }
        }
    }

    /// Makes checkpoints where they are due; the next commit writes them.
    fn seal_due(&mut self) {
        let now = self.shared.clock.now();
        for chain in self.chains.values_mut() {
            let (records, since) = chain.unsealed();
            if records >= CHECKPOINT_RECORDS || since.is_some_and(|since| since.elapsed() >= CHECKPOINT_AFTER) {
                let made = chain.seal(now, self.shared.keys.signing());
                self.sealed.extend(made.map(|checkpoint| (chain.id, checkpoint, chain.settled_seq())));
            }
        }
    }

    async fn roll_back(&mut self) {
        let Some(link) = &mut self.link else { return };
        let mut conn = link.conn();
        let rolled_back = execute!(conn, "ROLLBACK");
        // SQLite has often rolled back by itself and says so; elsewhere the connection is broken.
        if rolled_back.is_err()
            && !self.shared.db.is_sqlite()
            && let Some(link) = self.link.take()
        {
            let _ = time::timeout(Duration::from_secs(1), link.close()).await;
        }
    }

    /// Refuses what still waits, seals every chain and lets the connection go.
    async fn close(&mut self) {
        self.queue.close();
        while let Ok(item) = self.queue.try_recv() {
            item.refuse(&self.shared.counters, &Error::Closed);
        }
        let now = self.shared.clock.now();
        for chain in self.chains.values_mut() {
            let made = chain.seal(now, self.shared.keys.signing());
            self.sealed.extend(made.map(|checkpoint| (chain.id, checkpoint, chain.settled_seq())));
        }
        if !self.sealed.is_empty() {
            self.commit(VecDeque::new()).await;
        }
        if let Some(link) = self.link.take() {
            link.close().await;
        }
    }
}

/// Who a failure concerns.
enum Failure {
    /// The work alone.
    Work(Error),
    /// Everybody in the batch.
    Batch(Error),
}

/// Runs a work such that neither its panic nor its idleness harms anybody else.
async fn guarded(
    conn: Conn<'_>,
    shared: &Shared,
    account: AccountId,
    work: &mut dyn Work,
    now: Timestamp,
) -> Result<(Vec<Prepared>, Vec<Event>)> {
    let mut tx = Tx::new(View::new(conn, account, &shared.vault), now);
    let run = AssertUnwindSafe(work.run(&mut tx)).catch_unwind();
    match time::timeout(WORK_TIME_MAX, run).await {
        Err(_) => return Err(Error::Aborted("it ran too long")),
        Ok(Err(_)) => return Err(Error::Aborted("it panicked")),
        Ok(Ok(done)) => done?,
    }
    tx.into_effects().await
}

async fn connect_again(shared: &Shared) -> Result<Link> {
    let mut link = shared.db.writer_link(shared.writer).await?;
    shared.life.resume(&mut link, shared.writer).await?;
    Ok(link)
}

async fn begin(conn: &mut Conn<'_>) -> Result<u64> {
    match conn {
        // At once, so that it never has to wait for the lock in the middle.
        Conn::Sqlite(_) => execute!(*conn, "BEGIN IMMEDIATE"),
        Conn::Pg(_) => execute!(*conn, "BEGIN"),
    }
}

async fn insert_checkpoint(conn: &mut Conn<'_>, chain: i64, made: &Checkpoint, settled: u64) -> Result<()> {
    let sql = "INSERT INTO checkpoints (chain_id, number, account_id, first_seq, last_seq, root, previous, at, signature) \
               VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let signature = hex::decode(&made.signature).map_err(|_| Error::Damaged("a signature".to_owned()))?;
    execute!(
        *conn,
        sql,
        chain,
        signed(made.number),
        made.account.0,
        signed(made.first_seq),
        signed(made.last_seq),
        &made.root.0[..],
        &made.previous.0[..],
        made.at.micros(),
        &signature[..]
    )?;
    execute!(*conn, "UPDATE chains SET settled_seq = $2 WHERE id = $1", chain, signed(settled))?;
    Ok(())
}

/// Tells the other nodes, who hear it when this is committed.
async fn tell_others(conn: &mut Conn<'_>, shared: &Shared, events: &[Event]) -> Result<()> {
    if let Conn::Pg(_) = conn {
        for event in events {
            let message = event.to_message(shared.writer);
            fetch_optional!(*conn, (String,), "SELECT pg_notify($1, $2)::text", Event::CHANNEL, message)?;
        }
    }
    Ok(())
}
