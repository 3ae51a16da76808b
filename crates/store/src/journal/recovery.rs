//! After a crash: intents whose outcome was never recorded get one that says `unknown`.
//!
//! Runs beside the normal work, page by page. Each page is one transaction that first locks the
//! chain's row, so that two nodes that find the same dead writer do not both speak for it.

use preloop_types::{AccountId, CallId, Entry, EntryKind, Subject, WriterId};
use serde_json::{json, value::to_raw_value};
use uuid::Uuid;

use super::chain::open_intents;
use crate::{
    Error, Result, Store, Tx,
    db::{execute, fetch_all, fetch_optional},
    seal::INSTANCE,
};

/// Outcomes of one transaction.
const PAGE: i64 = 128;

/// A chain whose writer is gone, up to its last record at that time.
pub(crate) struct Orphan {
    chain: i64,
    account: AccountId,
    head: i64,
    own: bool,
}

impl Store {
    /// Chains of writers that are gone: this one's earlier life, and others without a lease. With
    /// SQLite nobody else can be alive.
    pub(crate) async fn orphans(&self, own: bool) -> Result<Vec<Orphan>> {
        let me = self.writer();
        let sql = "SELECT c.id, c.account_id, c.writer_id, c.settled_seq, \
                   (SELECT MAX(r.seq) FROM records r WHERE r.chain_id = c.id) AS head \
                   FROM chains c LEFT JOIN writers w ON w.id = c.writer_id \
                   WHERE (c.writer_id = $1 AND $2) OR (c.writer_id <> $1 AND (w.lease_until IS NULL OR w.lease_until < $3))";
        // A SQLite file has one process at a time, so every other writer is gone.
        let now = if self.is_sqlite() { i64::MAX } else { self.now().micros() };
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let rows = fetch_all!(conn, (i64, Uuid, Uuid, i64, Option<i64>), sql, me.0, own, now)?;
        let orphans = rows.into_iter().filter_map(|(chain, account, writer, settled, head)| {
            let head = head.filter(|head| *head >= settled)?;
            Some(Orphan { chain, account: AccountId(account), head, own: WriterId(writer) == me })
        });
        Ok(orphans.collect())
    }

    /// Gives every open intent of `orphans` an outcome; how many there were.
    pub(crate) async fn settle_orphans(&self, orphans: Vec<Orphan>) -> Result<u64> {
        let mut settled = 0;
        for orphan in orphans {
            let Orphan { chain, account, head, own } = orphan;
            loop {
                let page = self.write(INSTANCE, move |tx| {
                    Box::pin(async move { tx.settle_page(chain, account, head, own).await })
                });
                match page.await {
                    Ok(0) => break,
                    Ok(page) => settled += page,
                    Err(Error::Busy) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                    Err(error) => return Err(error),
                }
            }
            if own {
                // What an earlier life left unsealed gets its checkpoint now.
                self.account(account).checkpoint().await?;
            }
        }
        Ok(settled)
    }
}

impl Tx<'_> {
    async fn settle_page(&mut self, chain: i64, account: AccountId, head: i64, own: bool) -> Result<u64> {
        execute!(self.conn, "UPDATE chains SET settled_seq = settled_seq WHERE id = $1", chain)?;
        let sql = "SELECT settled_seq FROM chains WHERE id = $1";
        let (from,) = fetch_optional!(self.conn, (i64,), sql, chain)?.ok_or(Error::NotFound)?;
        let open = open_intents(&mut self.conn, chain, from, head, PAGE).await?;
        for (seq, call) in &open {
            let body = json!({
                "status": "unknown",
                "error": "the process that carried the call out ended before its outcome was recorded",
                "intent_seq": seq,
            });
            self.record(Entry {
                account,
                kind: EntryKind::CallOutcome,
                call: Some(CallId(*call)),
                subject: Subject::default(),
                body: to_raw_value(&body).map_err(|error| Error::Invalid(error.to_string()))?,
                payload: None,
            });
        }
        // The writer moves its own chains along with their checkpoints.
        if !own {
            let next =
                if open.len() < usize::try_from(PAGE).unwrap_or(0) { head + 1 } else { open[open.len() - 1].0 + 1 };
            execute!(self.conn, "UPDATE chains SET settled_seq = $2 WHERE id = $1", chain, next)?;
        }
        Ok(open.len() as u64)
    }
}
