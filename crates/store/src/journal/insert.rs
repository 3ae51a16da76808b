//! Many records in one statement: what makes a group commit cheap.

use std::sync::OnceLock;

use preloop_types::{Hash, Timestamp};
use sqlx::{PgConnection, SqliteConnection};
use uuid::Uuid;

use super::entry::Prepared;
use crate::{
    Result,
    db::{Conn, signed},
    ledger::Batch,
};

/// Most records one statement inserts.
pub(super) const ROWS_MAX: usize = 256;

/// A chained record on its way to the table.
pub(super) struct Row {
    pub(super) chain_id: i64,
    pub(super) seq: u64,
    pub(super) at: Timestamp,
    pub(super) prev_hash: Hash,
    pub(super) own_hash: Hash,
    pub(super) entry: Prepared,
}

/// What the records add to the ledger.
pub(super) fn ledger(rows: &mut [Row]) -> Batch {
    let mut batch = Batch::default();
    for row in rows {
        if let Some(line) = row.entry.line.take() {
            batch.add(row.entry.account, row.chain_id, row.at, row.entry.subject, *line);
        }
    }
    batch
}

pub(super) async fn rows(conn: &mut Conn<'_>, rows: Vec<Row>) -> Result<()> {
    let mut rows = rows.into_iter();
    loop {
        let chunk: Vec<Row> = rows.by_ref().take(ROWS_MAX).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        match conn {
            Conn::Sqlite(conn) => sqlite(conn, chunk).await?,
            Conn::Pg(conn) => postgres(conn, chunk).await?,
        }
    }
}

const COLUMNS: &str = "chain_id, seq, account_id, at, kind, call_id, user_id, key_id, agent_id, session_id, \
                       impersonator_id, body, payload_hash, prev_hash, row_hash, payload";
const COLUMN_COUNT: usize = 16;

async fn sqlite(conn: &mut SqliteConnection, rows: Vec<Row>) -> Result<()> {
    let mut query = sqlx::query(sqlite_statement(rows.len()));
    for Row { chain_id, seq, at, prev_hash, own_hash, entry } in rows {
        query = query
            .bind(chain_id)
            .bind(signed(seq))
            .bind(entry.account.0)
            .bind(at.micros())
            .bind(entry.kind.as_str())
            .bind(entry.call.map(|id| id.0))
            .bind(entry.subject.user.map(|id| id.0))
            .bind(entry.subject.key.map(|id| id.0))
            .bind(entry.subject.agent.map(|id| id.0))
            .bind(entry.subject.session.map(|id| id.0))
            .bind(entry.subject.impersonator.map(|id| id.0))
            .bind(entry.body)
            .bind(entry.payload_hash.map(|hash| hash.0.to_vec()))
            .bind(prev_hash.0.to_vec())
            .bind(own_hash.0.to_vec())
            .bind(entry.payload);
    }
    query.execute(conn).await?;
    Ok(())
}

/// One statement for each power of two, so that few have to be prepared. Places beyond the rows at hand
/// are left unbound, which makes them null, and are skipped. The parameters are nameless: looking up
/// the name of one costs SQLite a walk over all of them.
fn sqlite_statement(rows: usize) -> &'static str {
    static STATEMENTS: [OnceLock<String>; ROWS_MAX.ilog2() as usize + 1] = [const { OnceLock::new() }; _];
    let places = rows.next_power_of_two();
    STATEMENTS[places.ilog2() as usize].get_or_init(|| {
        let place = format!("({})", ["?"; COLUMN_COUNT].join(", "));
        let places = vec![place; places].join(", ");
        format!("INSERT INTO records ({COLUMNS}) SELECT * FROM (VALUES {places}) WHERE column1 IS NOT NULL")
    })
}

async fn postgres(conn: &mut PgConnection, rows: Vec<Row>) -> Result<()> {
    const STATEMENT: &str = "INSERT INTO records (chain_id, seq, account_id, at, kind, call_id, user_id, key_id, \
         agent_id, session_id, impersonator_id, body, payload_hash, prev_hash, row_hash, payload) \
         SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::uuid[], $4::bigint[], $5::text[], $6::uuid[], \
         $7::uuid[], $8::uuid[], $9::uuid[], $10::uuid[], $11::uuid[], $12::text[], $13::bytea[], $14::bytea[], \
         $15::bytea[], $16::bytea[])";
    #[derive(Default)]
    struct Columns {
        chain: Vec<i64>,
        seq: Vec<i64>,
        account: Vec<Uuid>,
        at: Vec<i64>,
        kind: Vec<&'static str>,
        call: Vec<Option<Uuid>>,
        user: Vec<Option<Uuid>>,
        key: Vec<Option<Uuid>>,
        agent: Vec<Option<Uuid>>,
        session: Vec<Option<Uuid>>,
        impersonator: Vec<Option<Uuid>>,
        body: Vec<String>,
        payload_hash: Vec<Option<Vec<u8>>>,
        prev_hash: Vec<Vec<u8>>,
        row_hash: Vec<Vec<u8>>,
        payload: Vec<Option<Vec<u8>>>,
    }
    let mut columns = Columns::default();
    for Row { chain_id, seq, at, prev_hash, own_hash, entry } in rows {
        columns.chain.push(chain_id);
        columns.seq.push(signed(seq));
        columns.account.push(entry.account.0);
        columns.at.push(at.micros());
        columns.kind.push(entry.kind.as_str());
        columns.call.push(entry.call.map(|id| id.0));
        columns.user.push(entry.subject.user.map(|id| id.0));
        columns.key.push(entry.subject.key.map(|id| id.0));
        columns.agent.push(entry.subject.agent.map(|id| id.0));
        columns.session.push(entry.subject.session.map(|id| id.0));
        columns.impersonator.push(entry.subject.impersonator.map(|id| id.0));
        columns.body.push(entry.body);
        columns.payload_hash.push(entry.payload_hash.map(|hash| hash.0.to_vec()));
        columns.prev_hash.push(prev_hash.0.to_vec());
        columns.row_hash.push(own_hash.0.to_vec());
        columns.payload.push(entry.payload);
    }
    sqlx::query(STATEMENT)
        .bind(columns.chain)
        .bind(columns.seq)
        .bind(columns.account)
        .bind(columns.at)
        .bind(columns.kind)
        .bind(columns.call)
        .bind(columns.user)
        .bind(columns.key)
        .bind(columns.agent)
        .bind(columns.session)
        .bind(columns.impersonator)
        .bind(columns.body)
        .bind(columns.payload_hash)
        .bind(columns.prev_hash)
        .bind(columns.row_hash)
        .bind(columns.payload)
        .execute(conn)
        .await?;
    Ok(())
}
