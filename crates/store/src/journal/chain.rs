//! The head of one chain, as the writer holds it between commits.

use std::{
    collections::{BTreeSet, HashMap},
    time::Instant,
};

use ed25519_dalek::SigningKey;
use preloop_types::{AccountId, CallId, Hash, Timestamp, WriterId};
use uuid::Uuid;

use super::{Receipt, entry::Prepared, insert::Row};
use crate::{
    Result,
    db::{Conn, at, execute, fetch_all, fetch_optional, hash, signed, unsigned},
    proof::{Checkpoint, Content, Tree},
};

pub(super) struct Chain {
    pub(super) id: i64,
    account: AccountId,
    writer: WriterId,
    next_seq: u64,
    head: Hash,
    last_at: Timestamp,
    open: OpenIntents,
    unsealed: Tree,
    unsealed_since: Option<Instant>,
    checkpoints: u64,
    last_checkpoint: Hash,
}

impl Chain {
    /// Reads the head from the database, beginning the chain if there is none.
    pub(super) async fn load(conn: &mut Conn<'_>, account: AccountId, writer: WriterId) -> Result<Self> {
        let find = "SELECT id, settled_seq FROM chains WHERE account_id = $1 AND writer_id = $2";
        let mut row = fetch_optional!(*conn, (i64, i64), find, account.0, writer.0)?;
        if row.is_none() {
            let begin = "INSERT INTO chains (account_id, writer_id, settled_seq) VALUES ($1, $2, 1)";
            execute!(*conn, begin, account.0, writer.0)?;
            row = fetch_optional!(*conn, (i64, i64), find, account.0, writer.0)?;
        }
        let (id, settled) = row.ok_or(crate::Error::NotFound)?;
        let mut chain = Self {
            id,
            account,
            writer,
            next_seq: 1,
            head: Hash([0; 32]),
            last_at: at(i64::MIN),
            open: OpenIntents::default(),
            unsealed: Tree::default(),
            unsealed_since: None,
            checkpoints: 0,
            last_checkpoint: Hash([0; 32]),
        };

        let sql = "SELECT seq, at, row_hash FROM records WHERE chain_id = $1 ORDER BY seq DESC LIMIT 1";
        if let Some((seq, time, row_hash)) = fetch_optional!(*conn, (i64, i64, Vec<u8>), sql, id)? {
            (chain.next_seq, chain.last_at, chain.head) = (unsigned(seq)? + 1, at(time), hash(&row_hash)?);
        }
        let mut sealed = 0;
        if let Some(last) = super::read::last_checkpoint(conn, account, id).await? {
            (chain.checkpoints, chain.last_checkpoint, sealed) = (last.number, last.hash(), last.last_seq);
        }
        loop {
            let sql = "SELECT seq, row_hash FROM records WHERE chain_id = $1 AND seq > $2 ORDER BY seq LIMIT 4096";
            let page = fetch_all!(*conn, (i64, Vec<u8>), sql, id, signed(sealed))?;
            for (_, row_hash) in &page {
                chain.seal_later(&hash(row_hash)?);
            }
            let Some((last, _)) = page.last() else { break };
            sealed = unsigned(*last)?;
        }
        for (seq, call) in open_intents(conn, id, settled, i64::MAX, i64::from(i32::MAX)).await? {
            chain.open.begin(CallId(call), unsigned(seq)?);
        }
        Ok(chain)
    }

    /// Appends to the chain in memory.
    pub(super) fn stage(&mut self, entry: Prepared, now: Timestamp) -> (Receipt, Row) {
        let seq = self.next_seq;
        // The clock may have been set back; the journal's time never goes.
        let at = now.max(self.last_at);
        let content = Content {
            account: self.account,
            chain: self.writer,
            seq,
            at,
            kind: entry.kind.as_str(),
            call: entry.call,
            subject: entry.subject,
            body: &entry.body,
            payload_hash: entry.payload_hash,
            prev_hash: self.head,
        };
        let row_hash = content.hash();
        match (entry.kind, entry.call) {
            (kind, Some(call)) if kind.is_intent() => self.open.begin(call, seq),
            (kind, Some(call)) if kind.is_outcome() => self.open.end(call),
            _ => {}
        }
        let row = Row { chain_id: self.id, seq, at, prev_hash: self.head, own_hash: row_hash, entry };
        (self.next_seq, self.last_at, self.head) = (seq + 1, at, row_hash);
        self.seal_later(&row_hash);
        (Receipt { seq, at }, row)
    }

    fn seal_later(&mut self, row_hash: &Hash) {
        self.unsealed.push(row_hash);
        self.unsealed_since.get_or_insert_with(Instant::now);
    }

    /// How many records are not under a checkpoint yet, and since when.
    pub(super) fn unsealed(&self) -> (u64, Option<Instant>) {
        (self.unsealed.leaves(), self.unsealed_since)
    }

    /// A checkpoint over everything that has none; `None` if there is nothing.
    pub(super) fn seal(&mut self, now: Timestamp, key: &SigningKey) -> Option<Checkpoint> {
        let count = self.unsealed.leaves();
        if count == 0 {
            return None;
        }
        let checkpoint = Checkpoint {
            account: self.account,
            chain: self.writer,
            number: self.checkpoints + 1,
            first_seq: self.next_seq - count,
            last_seq: self.next_seq - 1,
            root: self.unsealed.root(),
            previous: self.last_checkpoint,
            at: now.max(self.last_at),
            signature: String::new(),
        }
        .sign(key);
        (self.checkpoints, self.last_checkpoint) = (checkpoint.number, checkpoint.hash());
        (self.unsealed, self.unsealed_since) = (Tree::default(), None);
        Some(checkpoint)
    }

    /// No record ahead of this one is an intent without an outcome.
    pub(super) fn settled_seq(&self) -> u64 {
        self.open.first().unwrap_or(self.next_seq)
    }
}

/// Intents in a run of a chain that no outcome, in whatever chain, belongs to.
pub(super) async fn open_intents(
    conn: &mut Conn<'_>,
    chain: i64,
    from_seq: i64,
    to_seq: i64,
    limit: i64,
) -> Result<Vec<(i64, Uuid)>> {
    let sql = "SELECT i.seq, i.call_id FROM records i \
               WHERE i.chain_id = $1 AND i.seq >= $2 AND i.seq <= $3 AND i.kind IN ('call.intent', 'model.intent') AND i.call_id IS NOT NULL \
               AND NOT EXISTS (SELECT 1 FROM records o WHERE o.call_id = i.call_id AND o.kind IN ('call.outcome', 'model.outcome')) \
               ORDER BY i.seq LIMIT $4";
    fetch_all!(*conn, (i64, Uuid), sql, chain, from_seq, to_seq, limit)
}

/// Calls in flight, to know how far back a restart has to look.
#[derive(Default)]
struct OpenIntents {
    by_call: HashMap<CallId, u64>,
    by_seq: BTreeSet<u64>,
}

impl OpenIntents {
    fn begin(&mut self, call: CallId, seq: u64) {
        if let Some(earlier) = self.by_call.insert(call, seq) {
            self.by_seq.remove(&earlier);
        }
        self.by_seq.insert(seq);
    }

    fn end(&mut self, call: CallId) {
        if let Some(seq) = self.by_call.remove(&call) {
            self.by_seq.remove(&seq);
        }
    }

    fn first(&self) -> Option<u64> {
        self.by_seq.first().copied()
    }
}
