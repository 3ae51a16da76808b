//! The first word about each call, with its arguments: what another policy is asked about.

use preloop_types::{CallId, EntryKind, KeyId, SessionId, Subject, Timestamp, UserId};
use uuid::Uuid;

use super::entry::open_payload;
use crate::{
    Result, View,
    db::{at, fetch_all, hash, row, signed, unsigned, word},
};

/// Most calls of one page.
const PAGE_MAX: u32 = 5_000;

/// A call's decision, as it was recorded.
#[derive(Debug, Clone)]
pub struct DecidedCall {
    /// `call.intent`, `approval.requested` or `call.refused`.
    pub kind: EntryKind,
    /// The call.
    pub call: CallId,
    /// When.
    pub at: Timestamp,
    /// Who called.
    pub subject: Subject,
    /// The facts, JSON.
    pub body: String,
    /// Arguments and justification, JSON, opened and checked; `None` once erased.
    pub payload: Option<Vec<u8>>,
    /// Where the page after it goes on.
    pub place: DecidedPlace,
}

/// A place among decided calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecidedPlace {
    at: Timestamp,
    chain: i64,
    seq: u64,
}

row! {
    struct DecidedRow {
        chain_id: i64, seq: i64, at: i64, kind: String, call_id: Uuid, user_id: Option<Uuid>, key_id: Option<Uuid>,
        agent_id: Option<Uuid>, session_id: Option<Uuid>, body: String, payload_hash: Option<Vec<u8>>,
        payload: Option<Vec<u8>>,
    }
}

impl View<'_> {
    /// Calls decided from `since` until just before `until`, newest first, those after `after`.
    pub async fn decided_calls(
        &mut self,
        since: Timestamp,
        until: Timestamp,
        after: Option<DecidedPlace>,
        limit: u32,
    ) -> Result<Vec<DecidedCall>> {
        let sql = "SELECT chain_id, seq, at, kind, call_id, user_id, key_id, agent_id, session_id, body, payload_hash, \
                   payload FROM records WHERE account_id = $1 AND at >= $2 AND at < $3 AND call_id IS NOT NULL \
                   AND kind IN ('call.intent', 'approval.requested', 'call.refused') \
                   AND (at, chain_id, seq) < ($4, $5, $6) ORDER BY at DESC, chain_id DESC, seq DESC LIMIT $7";
        let (last_at, chain, seq) =
            after.map_or((i64::MAX, i64::MAX, i64::MAX), |place| (place.at.micros(), place.chain, signed(place.seq)));
        let (account, limit) = (self.account().0, i64::from(limit.min(PAGE_MAX)));
        let (since, until) = (since.micros(), until.micros());
        let rows = fetch_all!(self.conn, DecidedRow, sql, account, since, until, last_at, chain, seq, limit)?;
        let sealer = self.sealer().await?;
        let open = |row: DecidedRow| {
            let payload = match (&row.payload_hash, &row.payload) {
                (Some(of), Some(sealed)) => Some(open_payload(&sealer, &hash(of)?, sealed)?.1),
                _ => None,
            };
            let place = DecidedPlace { at: at(row.at), chain: row.chain_id, seq: unsigned(row.seq)? };
            Ok(DecidedCall {
                kind: word(EntryKind::parse, &row.kind)?,
                call: CallId(row.call_id),
                at: place.at,
                subject: Subject {
                    user: row.user_id.map(UserId),
                    key: row.key_id.map(KeyId),
                    agent: row.agent_id.map(preloop_types::AgentId),
                    session: row.session_id.map(SessionId),
                    ..Subject::default()
                },
                body: row.body,
                payload,
                place,
            })
        };
        rows.into_iter().map(open).collect()
    }
}
