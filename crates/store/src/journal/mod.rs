//! The journal: every intent, outcome, decision and change, hash-chained per account and writer.

mod chain;
mod decided;
mod entry;
mod export;
mod insert;
mod read;
pub(crate) mod recovery;
mod writer;

use std::{
    fmt,
    str::FromStr,
    sync::atomic::{AtomicU64, Ordering},
};

pub use decided::{DecidedCall, DecidedPlace};
pub(crate) use entry::Prepared;
use preloop_types::{CallId, Entry, EntryKind, Hash, SessionId, Subject, Timestamp, WriterId};
use serde_json::value::RawValue;
pub(crate) use writer::{Item, Job, QUEUE_BYTES_MAX, QUEUE_ITEMS_MAX, Told, Writer};

use crate::{
    Result, Tx,
    db::{execute, signed},
};

/// Where a record went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its place in this writer's chain, from 1.
    pub seq: u64,
    /// Its time; never before that of the record ahead of it.
    pub at: Timestamp,
}

/// One record of the journal.
#[derive(Debug, Clone)]
pub struct Record {
    /// Whose chain.
    pub chain: WriterId,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What happened.
    pub kind: EntryKind,
    /// The governed call it belongs to.
    pub call: Option<CallId>,
    /// Who caused it.
    pub subject: Subject,
    /// The facts, as recorded.
    pub body: Box<RawValue>,
    /// Salted hash of the payload, if there was one.
    pub payload_hash: Option<Hash>,
    /// The hash of the record ahead of it; zeroes for the first.
    pub prev_hash: Hash,
    /// Its own.
    pub row_hash: Hash,
    /// Whether the payload is still there.
    pub has_payload: bool,
}

impl Record {
    /// The place after which the next page begins.
    pub fn cursor(&self) -> RecordCursor {
        RecordCursor { at: self.at, chain: self.chain, seq: self.seq }
    }
}

/// A place in the journal of an account. Spelled `<micros>.<chain>.<seq>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordCursor {
    /// The record's time.
    pub at: Timestamp,
    /// Its chain.
    pub chain: WriterId,
    /// Its place in the chain.
    pub seq: u64,
}

impl fmt::Display for RecordCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.at.micros(), self.chain, self.seq)
    }
}

impl FromStr for RecordCursor {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self> {
        let read = || {
            let mut parts = text.splitn(3, '.');
            let at = Timestamp::from_micros(parts.next()?.parse().ok()?);
            let chain = parts.next()?.parse().ok()?;
            Some(Self { at, chain, seq: parts.next()?.parse().ok()? })
        };
        read().ok_or_else(|| crate::Error::Invalid(format!("`{text}` is not a place in the journal")))
    }
}

/// Which way to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Newest first.
    #[default]
    NewestFirst,
    /// Oldest first.
    OldestFirst,
}

/// Which records to read.
#[derive(Debug, Clone)]
pub struct RecordFilter {
    /// Only of these kinds; all when empty.
    pub kinds: Vec<EntryKind>,
    /// Only about this call.
    pub call: Option<CallId>,
    /// Only of this run of an agent; not looked at where a call is named.
    pub session: Option<SessionId>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Only what follows this place in the given order.
    pub after: Option<RecordCursor>,
    /// Which way.
    pub order: Order,
    /// How many, at most 1000.
    pub limit: u32,
}

impl Default for RecordFilter {
    fn default() -> Self {
        Self {
            kinds: Vec::new(),
            call: None,
            session: None,
            since: None,
            until: None,
            after: None,
            order: Order::NewestFirst,
            limit: 100,
        }
    }
}

/// What to export. Times are widened to whole checkpoints.
#[derive(Debug, Clone, Copy, Default)]
pub struct ExportOptions {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// With the payloads that are still there, in clear; otherwise only their hashes.
    pub payloads: bool,
}

/// What the journal has written since the store was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JournalStats {
    /// Durable commits.
    pub commits: u64,
    /// Records in them.
    pub records: u64,
}

impl Tx<'_> {
    /// Erases a payload with its salt and records that it was; false if there is none (any more).
    pub async fn erase_payload(&mut self, chain: WriterId, seq: u64, by: Subject) -> Result<bool> {
        let account = self.account();
        let Some(chain_id) = self.chain_id(chain).await? else { return Ok(false) };
        let sql = "UPDATE records SET payload = NULL \
                   WHERE account_id = $1 AND chain_id = $2 AND seq = $3 AND payload IS NOT NULL";
        if execute!(self.conn, sql, account.0, chain_id, signed(seq))? == 0 {
            return Ok(false);
        }
        let body = serde_json::value::to_raw_value(&serde_json::json!({ "chain": chain, "seq": seq }))
            .map_err(|error| crate::Error::Invalid(error.to_string()))?;
        let kind = EntryKind::PayloadErased;
        self.record(Entry { account, kind, call: None, subject: by, body, payload: None });
        Ok(true)
    }
}

/// Counts what the writer does.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    commits: AtomicU64,
    records: AtomicU64,
    /// Records that are queued with nobody waiting for them.
    later: AtomicU64,
}

impl Counters {
    pub(crate) fn begin_later(&self) {
        self.later.fetch_add(1, Ordering::AcqRel);
    }

    fn end_later(&self) {
        self.later.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn has_later(&self) -> bool {
        self.later.load(Ordering::Acquire) > 0
    }

    fn add(&self, records: u64) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.records.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn stats(&self) -> JournalStats {
        JournalStats { commits: self.commits.load(Ordering::Relaxed), records: self.records.load(Ordering::Relaxed) }
    }
}
