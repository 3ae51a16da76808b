//! After a crash: intents whose outcome was never recorded get one that says `unknown`, and what the
//! process held of budgets is given back.
//!
//! Runs beside the normal work, page by page. Each page is one transaction that first locks the
//! chain's row, so that two nodes that find the same dead writer do not both speak for it. Leases are
//! given back when all is settled, never before: an open call may have cost what it reserved.

use std::sync::Arc;

use preloop_types::{
    AccountId, AgentId, CallId, Entry, EntryKind, KeyId, NanoUsd, Reserved, SessionId, Subject, Timestamp, UserId,
    WriterId,
};
use serde::Deserialize;
use serde_json::{json, value::to_raw_value};
use uuid::Uuid;

use super::chain::open_intents;
use crate::{
    Error, LedgerLine, Result, Store, Tx, Usage, WindowKey,
    db::{execute, fetch_all, fetch_optional, from_json, row},
    ledger::PAST,
    seal::INSTANCE,
};

/// Outcomes of one transaction.
const PAGE: i64 = 128;
const ENDED: &str = "the process that carried the call out ended before its outcome was recorded";

/// What writers that are gone left behind.
#[derive(Default)]
pub(crate) struct Orphans {
    chains: Vec<Chain>,
    /// Lives that hold leases.
    lives: Vec<Uuid>,
}

/// A chain whose writer is gone, up to its last record at that time.
#[derive(Clone, Copy)]
struct Chain {
    id: i64,
    account: AccountId,
    head: i64,
    own: bool,
}

impl Store {
    /// What earlier lives of this writer left behind, and with SQLite those of any other, because nobody
    /// else can be alive. To be asked before anything is written.
    pub(crate) async fn earlier_lives(&self) -> Result<Orphans> {
        self.orphans(true).await
    }

    /// What other nodes that are gone left behind.
    pub(crate) async fn dead_nodes(&self) -> Result<Orphans> {
        self.end_lives().await?;
        self.orphans(false).await
    }

    async fn orphans(&self, own: bool) -> Result<Orphans> {
        let (me, life) = (self.writer().0, self.life());
        let now = if self.is_sqlite() { i64::MAX } else { self.now().micros() };
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = "SELECT DISTINCT s.life FROM budget_shares s LEFT JOIN writers w ON w.id = s.writer_id \
                   WHERE s.life <> $1 AND s.life <> $2 AND NOT EXISTS (SELECT 1 FROM lives l WHERE l.id = s.life) \
                   AND ((s.writer_id = $3 AND $4) OR (s.writer_id <> $3 AND (w.lease_until IS NULL OR w.lease_until < $5)))";
        let lives = fetch_all!(conn, (Uuid,), sql, life, PAST, me, own, now)?;
        // After the lives: what they held is given back only once all of these are settled.
        let sql = "SELECT c.id, c.account_id, c.writer_id, c.settled_seq, \
                   (SELECT MAX(r.seq) FROM records r WHERE r.chain_id = c.id) AS head \
                   FROM chains c LEFT JOIN writers w ON w.id = c.writer_id \
                   WHERE (c.writer_id = $1 AND $2) OR (c.writer_id <> $1 AND (w.lease_until IS NULL OR w.lease_until < $3) \
                   AND NOT EXISTS (SELECT 1 FROM lives l WHERE l.writer_id = c.writer_id))";
        let rows = fetch_all!(conn, (i64, Uuid, Uuid, i64, Option<i64>), sql, me, own, now)?;
        let chains = rows.into_iter().filter_map(|(id, account, writer, settled, head)| {
            let head = head.filter(|head| *head >= settled)?;
            Some(Chain { id, account: AccountId(account), head, own: WriterId(writer) == self.writer() })
        });
        Ok(Orphans { chains: chains.collect(), lives: lives.into_iter().map(|(life,)| life).collect() })
    }

    /// Gives every open intent of `orphans` an outcome, and their leases back; how many intents there were.
    pub(crate) async fn settle_orphans(&self, orphans: &Orphans) -> Result<u64> {
        let mut settled = 0;
        for chain in &orphans.chains {
            settled += self.settle_chain(*chain).await?;
        }
        for life in &orphans.lives {
            let life = *life;
            self.write(INSTANCE, move |tx| Box::pin(async move { tx.bury(life).await })).await?;
        }
        Ok(settled)
    }

    async fn settle_chain(&self, chain: Chain) -> Result<u64> {
        let mut settled = 0;
        loop {
            // A page of the account's own, because its records and budgets are.
            let page = self.write(chain.account, move |tx| Box::pin(async move { tx.settle_page(chain).await }));
            match page.await {
                Ok(0) => break,
                Ok(page) => settled += page,
                Err(Error::Busy) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
                Err(error) => return Err(error),
            }
        }
        if chain.own {
            // What an earlier life left unsealed gets its checkpoint now.
            self.account(chain.account).checkpoint().await?;
        }
        Ok(settled)
    }
}

row! {
    struct OpenRow {
        kind: String, user_id: Option<Uuid>, key_id: Option<Uuid>, agent_id: Option<Uuid>, session_id: Option<Uuid>,
        impersonator_id: Option<Uuid>,
        body: String,
    }
}

/// What the intent of a model call says of what it may consume.
#[derive(Deserialize)]
struct OpenModelCall {
    model: Arc<str>,
    provider: Arc<str>,
    #[serde(default)]
    bound: Option<NanoUsd>,
    #[serde(default)]
    reserved: Vec<Reserved>,
}

impl Tx<'_> {
    async fn settle_page(&mut self, chain: Chain) -> Result<u64> {
        execute!(self.conn, "UPDATE chains SET settled_seq = settled_seq WHERE id = $1", chain.id)?;
        let sql = "SELECT settled_seq FROM chains WHERE id = $1";
        let (from,) = fetch_optional!(self.conn, (i64,), sql, chain.id)?.ok_or(Error::NotFound)?;
        let open = open_intents(&mut self.conn, chain.id, from, chain.head, PAGE).await?;
        for (seq, call) in &open {
            self.settle_unknown(chain, *seq, CallId(*call)).await?;
        }
        // The writer moves its own chains along with their checkpoints.
        if !chain.own {
            let full = open.len() >= usize::try_from(PAGE).unwrap_or(0);
            let next = if full { open[open.len() - 1].0 + 1 } else { chain.head + 1 };
            execute!(self.conn, "UPDATE chains SET settled_seq = $2 WHERE id = $1", chain.id, next)?;
        }
        Ok(open.len() as u64)
    }

    async fn settle_unknown(&mut self, chain: Chain, seq: i64, call: CallId) -> Result<()> {
        let sql = "SELECT kind, user_id, key_id, agent_id, session_id, impersonator_id, body FROM records WHERE chain_id = $1 AND seq = $2";
        let row = fetch_optional!(self.conn, OpenRow, sql, chain.id, seq)?.ok_or(Error::NotFound)?;
        let mut body = json!({ "status": "unknown", "error": ENDED, "intent_seq": seq });
        let mut line = LedgerLine::default();
        let is_model = row.kind == EntryKind::ModelIntent.as_str();
        if is_model {
            let mut open: OpenModelCall = from_json(&row.body)?;
            let sql = "SELECT body FROM records WHERE call_id = $1 AND kind = 'model.rerouted'";
            for (body,) in fetch_all!(self.conn, (String,), sql, call.0)? {
                // The models before may have cost something too.
                let next: OpenModelCall = from_json(&body)?;
                open.reserved.extend(next.reserved);
                let bounds = [open.bound, next.bound].into_iter().flatten();
                open = OpenModelCall { bound: bounds.reduce(|a, b| a + b), reserved: open.reserved, ..next };
            }
            for Reserved { budget, subject, window, amount } in open.reserved {
                let window = WindowKey { budget, subject, start: Timestamp::from_micros(window) };
                self.settle_past(window, amount).await?;
            }
            body["model"] = json!(open.model);
            body["provider"] = json!(open.provider);
            if let Some(bound) = open.bound {
                body["cost"] = json!(bound);
                body["cost_source"] = json!("bound");
            }
            line.usage = Some(Usage {
                model: open.model,
                provider: open.provider,
                outcome: "unknown",
                tokens: preloop_types::Tokens::default(),
                cost: open.bound,
                priced: true,
            });
        }
        let entry = Entry {
            account: chain.account,
            kind: if is_model { EntryKind::ModelOutcome } else { EntryKind::CallOutcome },
            call: Some(call),
            subject: if is_model { row.subject() } else { Subject::default() },
            body: to_raw_value(&body).map_err(|error| Error::Invalid(error.to_string()))?,
            payload: None,
        };
        self.record_with(entry, line);
        Ok(())
    }
}

impl OpenRow {
    fn subject(&self) -> Subject {
        Subject {
            user: self.user_id.map(UserId),
            key: self.key_id.map(KeyId),
            agent: self.agent_id.map(AgentId),
            session: self.session_id.map(SessionId),
            impersonator: self.impersonator_id.map(UserId),
        }
    }
}
