//! Reading the journal back: pages of records, payloads, checkpoints, proofs of inclusion.

use preloop_types::{AccountId, CallId, EntryKind, Hash, KeyId, SessionId, Subject, Timestamp, UserId, WriterId};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{Order, Record, RecordFilter, entry::open_payload};
use crate::{
    Error, Result, View,
    db::{Conn, at, fetch_all, fetch_optional, hash, row, signed, unsigned, word},
    proof::{self, Checkpoint, Inclusion, RecordLine},
};

/// Most records of one page.
const PAGE_MAX: u32 = 1000;

row! {
    pub(super) struct RecordRow {
        writer_id: Uuid, seq: i64, at: i64, kind: String, call_id: Option<Uuid>, user_id: Option<Uuid>,
        key_id: Option<Uuid>, agent_id: Option<Uuid>, session_id: Option<Uuid>, impersonator_id: Option<Uuid>,
        body: String, payload_hash: Option<Vec<u8>>, prev_hash: Vec<u8>, row_hash: Vec<u8>, has_payload: bool,
    }
}

impl RecordRow {
    fn into_record(self) -> Result<Record> {
        Ok(Record {
            chain: WriterId(self.writer_id),
            seq: unsigned(self.seq)?,
            at: at(self.at),
            kind: word(EntryKind::parse, &self.kind)?,
            call: self.call_id.map(CallId),
            subject: Subject {
                user: self.user_id.map(UserId),
                key: self.key_id.map(KeyId),
                agent: self.agent_id.map(preloop_types::AgentId),
                session: self.session_id.map(SessionId),
                impersonator: self.impersonator_id.map(UserId),
            },
            body: RawValue::from_string(self.body)
                .map_err(|error| Error::Damaged(format!("a journal body: {error}")))?,
            payload_hash: self.payload_hash.as_deref().map(hash).transpose()?,
            prev_hash: hash(&self.prev_hash)?,
            row_hash: hash(&self.row_hash)?,
            has_payload: self.has_payload,
        })
    }
}

macro_rules! select_records {
    ($($tail:literal),+) => {
        concat!(
            "SELECT c.writer_id, r.seq, r.at, r.kind, r.call_id, r.user_id, r.key_id, r.agent_id, r.session_id, \
             r.impersonator_id, r.body, r.payload_hash, r.prev_hash, r.row_hash, r.payload IS NOT NULL AS has_payload \
             FROM records r JOIN chains c ON c.id = r.chain_id WHERE r.account_id = $1 AND ",
            $($tail),+
        )
    };
}

/// A page of the records that are about something, in either order.
macro_rules! record_page {
    ($about:literal, $newest_first:expr) => {
        if $newest_first {
            select_records!(
                $about,
                " AND r.at >= $3 AND r.at < $4 AND ($5 = '' OR $5 LIKE '%,' || r.kind || ',%') \
                 AND (r.at, r.chain_id, r.seq) < ($6, $7, $8) ORDER BY r.at DESC, r.chain_id DESC, r.seq DESC LIMIT $9"
            )
        } else {
            select_records!(
                $about,
                " AND r.at >= $3 AND r.at < $4 AND ($5 = '' OR $5 LIKE '%,' || r.kind || ',%') \
                 AND (r.at, r.chain_id, r.seq) > ($6, $7, $8) ORDER BY r.at, r.chain_id, r.seq LIMIT $9"
            )
        }
    };
}

impl View<'_> {
    /// One page of records.
    pub async fn records(&mut self, filter: RecordFilter) -> Result<Vec<Record>> {
        const PLACE: &str = "a place in the journal that this account does not have";
        let newest_first = filter.order == Order::NewestFirst;
        let extreme = if newest_first { i64::MAX } else { i64::MIN };
        let (after_at, after_chain, after_seq) = match filter.after {
            None => (extreme, extreme, extreme),
            Some(place) => {
                let chain = self.chain_id(place.chain).await?.ok_or_else(|| Error::Invalid(PLACE.to_owned()))?;
                (place.at.micros(), chain, signed(place.seq))
            }
        };
        // A text to search in, because the two databases bind lists differently.
        let kinds: String = filter.kinds.iter().fold(String::new(), |all, kind| all + "," + kind.as_str() + ",");
        let (since, until) =
            (filter.since.map_or(i64::MIN, Timestamp::micros), filter.until.map_or(i64::MAX, Timestamp::micros));
        let limit = i64::from(filter.limit.min(PAGE_MAX));
        let about = filter.call.map(|id| id.0).or(filter.session.map(|id| id.0));
        let sql = match (filter.call, filter.session) {
            (Some(_), _) => record_page!("r.call_id = $2", newest_first),
            (None, Some(_)) => record_page!("r.session_id = $2", newest_first),
            (None, None) => record_page!("($2 IS NULL)", newest_first),
        };
        let account = self.account().0;
        let rows = fetch_all!(
            self.conn,
            RecordRow,
            sql,
            account,
            about,
            since,
            until,
            &kinds[..],
            after_at,
            after_chain,
            after_seq,
            limit
        )?;
        rows.into_iter().map(RecordRow::into_record).collect()
    }

    /// Records of one chain, oldest first.
    pub(super) async fn chain_page(&mut self, chain: i64, from: u64, to: u64, limit: u32) -> Result<Vec<Record>> {
        let sql = select_records!("r.chain_id = $2 AND r.seq >= $3 AND r.seq <= $4 ORDER BY r.seq LIMIT $5");
        let (account, from, to) = (self.account().0, signed(from), signed(to));
        let rows = fetch_all!(self.conn, RecordRow, sql, account, chain, from, to, i64::from(limit))?;
        rows.into_iter().map(RecordRow::into_record).collect()
    }

    /// The payload of one record, opened and checked; `None` if there is none (any more).
    pub async fn record_payload(&mut self, chain: WriterId, seq: u64) -> Result<Option<Vec<u8>>> {
        let Some(chain) = self.chain_id(chain).await? else { return Ok(None) };
        Ok(self.salted_payload(chain, seq).await?.map(|(_, payload)| payload))
    }

    pub(super) async fn salted_payload(&mut self, chain: i64, seq: u64) -> Result<Option<(proof::Salt, Vec<u8>)>> {
        let sql = "SELECT payload_hash, payload FROM records WHERE account_id = $1 AND chain_id = $2 AND seq = $3 \
                   AND payload IS NOT NULL AND payload_hash IS NOT NULL";
        let account = self.account().0;
        let row = fetch_optional!(self.conn, (Vec<u8>, Vec<u8>), sql, account, chain, signed(seq))?;
        let Some((payload_hash, sealed)) = row else { return Ok(None) };
        let sealer = self.sealer().await?;
        open_payload(&sealer, &hash(&payload_hash)?, &sealed).map(Some)
    }

    /// The signed checkpoints, by chain and number.
    pub async fn checkpoints(&mut self) -> Result<Vec<Checkpoint>> {
        let sql = "SELECT c.writer_id, k.number, k.first_seq, k.last_seq, k.root, k.previous, k.at, k.signature \
                   FROM checkpoints k JOIN chains c ON c.id = k.chain_id WHERE k.account_id = $1 \
                   ORDER BY k.chain_id, k.number";
        let account = self.account();
        let rows = fetch_all!(self.conn, CheckpointRow, sql, account.0)?;
        rows.into_iter().map(|row| row.into_checkpoint(account)).collect()
    }

    /// The proof that one record is under a signed checkpoint; `None` if there is no such record or it
    /// is not under a checkpoint yet.
    pub async fn inclusion(&mut self, chain: WriterId, seq: u64) -> Result<Option<Inclusion>> {
        let Some(chain_id) = self.chain_id(chain).await? else { return Ok(None) };
        let account = self.account();
        let sql = "SELECT c.writer_id, k.number, k.first_seq, k.last_seq, k.root, k.previous, k.at, k.signature \
                   FROM checkpoints k JOIN chains c ON c.id = k.chain_id \
                   WHERE k.account_id = $1 AND k.chain_id = $2 AND k.first_seq <= $3 AND k.last_seq >= $3";
        let row = fetch_optional!(self.conn, CheckpointRow, sql, account.0, chain_id, signed(seq))?;
        let Some(row) = row else { return Ok(None) };
        let checkpoint = row.into_checkpoint(account)?;
        let Some(record) = self.chain_page(chain_id, seq, seq, 1).await?.pop() else { return Ok(None) };

        let sql = "SELECT row_hash FROM records WHERE account_id = $1 AND chain_id = $2 AND seq >= $3 AND seq <= $4 \
                   ORDER BY seq";
        let (first, last) = (signed(checkpoint.first_seq), signed(checkpoint.last_seq));
        let leaves = fetch_all!(self.conn, (Vec<u8>,), sql, account.0, chain_id, first, last)?;
        let leaves: Vec<Hash> = leaves.iter().map(|(bytes,)| hash(bytes)).collect::<Result<_>>()?;
        let index = usize::try_from(seq - checkpoint.first_seq).unwrap_or(usize::MAX);
        if index >= leaves.len() {
            return Err(Error::Damaged(format!("records under checkpoint {} are missing", checkpoint.number)));
        }
        Ok(Some(Inclusion {
            public_key: hex::encode(self.vault().signing_public()),
            record: RecordLine::new(record, None),
            path: proof::merkle_path(&leaves, index),
            checkpoint,
        }))
    }

    pub(crate) async fn chain_id(&mut self, chain: WriterId) -> Result<Option<i64>> {
        let sql = "SELECT id FROM chains WHERE account_id = $1 AND writer_id = $2";
        let account = self.account().0;
        Ok(fetch_optional!(self.conn, (i64,), sql, account, chain.0)?.map(|(id,)| id))
    }
}

row! {
    struct CheckpointRow {
        writer_id: Uuid, number: i64, first_seq: i64, last_seq: i64, root: Vec<u8>, previous: Vec<u8>, at: i64,
        signature: Vec<u8>,
    }
}

impl CheckpointRow {
    fn into_checkpoint(self, account: AccountId) -> Result<Checkpoint> {
        Ok(Checkpoint {
            account,
            chain: WriterId(self.writer_id),
            number: unsigned(self.number)?,
            first_seq: unsigned(self.first_seq)?,
            last_seq: unsigned(self.last_seq)?,
            root: hash(&self.root)?,
            previous: hash(&self.previous)?,
            at: at(self.at),
            signature: hex::encode(self.signature),
        })
    }
}

/// The newest checkpoint of a chain.
pub(super) async fn last_checkpoint(conn: &mut Conn<'_>, account: AccountId, chain: i64) -> Result<Option<Checkpoint>> {
    let sql = "SELECT c.writer_id, k.number, k.first_seq, k.last_seq, k.root, k.previous, k.at, k.signature \
               FROM checkpoints k JOIN chains c ON c.id = k.chain_id WHERE k.chain_id = $1 ORDER BY k.number DESC LIMIT 1";
    fetch_optional!(*conn, CheckpointRow, sql, chain)?.map(|row| row.into_checkpoint(account)).transpose()
}
