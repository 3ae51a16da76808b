//! The journal as a file that proves itself, and the same proof over the live database.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures::stream::{self, BoxStream, StreamExt as _};
use preloop_types::{Hash, Timestamp, WriterId};
use sha2::{Digest, Sha256};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::{ExportOptions, Item, Record};
use crate::{
    AccountStore, Error, Result, View,
    db::{fetch_all, fetch_optional, hash, signed, unsigned},
    proof::{self, Checkpoint, Content, Footer, Header, RecordLine, Span, Verifier, VerifyReport},
};

/// Records read at once.
const PAGE: u32 = 256;

impl AccountStore {
    /// The journal as lines of JSON, each with its line feed, that [`proof::verify`] can check anywhere.
    /// Begins by signing a checkpoint, so that nothing of this process is left unsealed.
    pub fn export(&self, options: ExportOptions) -> BoxStream<'static, Result<String>> {
        let (send, receive) = mpsc::channel(64);
        let account = self.clone();
        tokio::spawn(async move {
            let mut out = Out { send, digest: Sha256::new(), lines: 0 };
            if let Err(error) = account.write_export(options, &mut out).await {
                // Whoever reads the export may have gone away.
                let _ = out.send.send(Err(error)).await;
            }
        });
        stream::unfold(receive, async |mut receive| receive.recv().await.map(|line| (line, receive))).boxed()
    }

    /// Verifies the journal where it lies: every hash, link, checkpoint, signature and payload.
    pub async fn verify_journal(&self) -> Result<VerifyReport> {
        let key = self.store().signing_public();
        let mut report = VerifyReport {
            account: Some(self.id()),
            public_key: Some(hex::encode(key)),
            key_expected: true,
            ..VerifyReport::default()
        };
        for part in self.parts(&ExportOptions::default()).await? {
            report.chains += 1;
            let chain = part.span.chain;
            let mut verifier = Verifier::new(self.id(), key, part.span.clone());
            let mut rows = Rows::new(self, &part);
            while let Some((record, checkpoint)) = rows.next().await? {
                let checked = async {
                    verifier.record(&content(self, &record), &record.row_hash)?;
                    report.records += 1;
                    if record.has_payload {
                        self.record_payload(chain, record.seq).await.map_err(|error| error.to_string())?;
                        report.payloads += 1;
                    }
                    if let Some(checkpoint) = checkpoint {
                        verifier.checkpoint(checkpoint)?;
                        report.checkpoints += 1;
                    }
                    Ok::<(), proof::Wrong>(())
                };
                if let Err(wrong) = checked.await {
                    return Ok(report.broken(0, wrong.place.or(Some((chain, record.seq))), wrong.what));
                }
            }
            match verifier.finish() {
                Ok(unsealed) => report.unsealed += unsealed,
                Err(wrong) => return Ok(report.broken(0, wrong.place, wrong.what)),
            }
        }
        report.ok = true;
        Ok(report)
    }

    /// Signs a checkpoint over this process's chain as it stands.
    pub async fn checkpoint(&self) -> Result<()> {
        let (reply, wait) = oneshot::channel();
        self.store().enqueue(Item::Seal { account: self.id(), reply })?;
        wait.await.map_err(|_| Error::Closed)?
    }

    async fn write_export(&self, options: ExportOptions, out: &mut Out) -> Result<()> {
        self.checkpoint().await?;
        let parts = self.parts(&options).await?;
        out.line(&Header {
            r#type: "header".to_owned(),
            format: proof::FORMAT.to_owned(),
            account: self.id(),
            public_key: hex::encode(self.store().signing_public()),
            exported_at: self.store().now(),
            chains: parts.iter().map(|part| part.span.clone()).collect(),
        })
        .await?;
        for part in &parts {
            let mut rows = Rows::new(self, part);
            while let Some((record, checkpoint)) = rows.next().await? {
                let payload = if options.payloads && record.has_payload {
                    let mut reader = self.store().reader().await?;
                    let mut view = View::new(reader.conn(), self.id(), self.store().vault());
                    view.salted_payload(part.id, record.seq).await?
                } else {
                    None
                };
                out.line(&RecordLine::new(record, payload)).await?;
                if let Some(checkpoint) = checkpoint {
                    out.typed_line("checkpoint", checkpoint).await?;
                }
            }
        }
        let digest = Hash(out.digest.clone().finalize().into());
        let footer = Footer::sign(self.id(), out.lines, digest, self.store().signing());
        out.line(&footer).await
    }

    /// What of each chain is to be read, widened to whole checkpoints, as it stands now.
    async fn parts(&self, options: &ExportOptions) -> Result<Vec<Part>> {
        let mut reader = self.store().reader().await?;
        let mut view = View::new(reader.conn(), self.id(), self.store().vault());
        let sql = "SELECT id, writer_id FROM chains WHERE account_id = $1 ORDER BY id";
        let chains = fetch_all!(view.conn, (i64, Uuid), sql, self.id().0)?;
        // Read after the heads, a checkpoint could cover records beyond them.
        let checkpoints = view.checkpoints().await?;
        let mut parts = Vec::new();
        for (id, writer) in chains {
            let chain = WriterId(writer);
            let of_chain = checkpoints.iter().filter(|made| made.chain == chain).cloned().collect();
            parts.extend(view.part(id, chain, of_chain, options).await?);
        }
        Ok(parts)
    }
}

/// A run of one chain that is to be read.
struct Part {
    id: i64,
    span: Span,
    checkpoints: Vec<Checkpoint>,
}

impl View<'_> {
    async fn part(
        &mut self,
        id: i64,
        chain: WriterId,
        mut checkpoints: Vec<Checkpoint>,
        options: &ExportOptions,
    ) -> Result<Option<Part>> {
        let since = options.since.map_or(i64::MIN, Timestamp::micros);
        let until = options.until.map_or(i64::MAX, Timestamp::micros);
        let sql =
            "SELECT MIN(seq), MAX(seq) FROM records WHERE account_id = $1 AND chain_id = $2 AND at >= $3 AND at < $4";
        let account = self.account().0;
        let row = fetch_optional!(self.conn, (Option<i64>, Option<i64>), sql, account, id, since, until)?;
        let (first, last) = match row {
            Some((Some(first), Some(last))) => (unsigned(first)?, unsigned(last)?),
            // Records may be gone that checkpoints still speak of.
            _ if options.since.is_none() && options.until.is_none() && !checkpoints.is_empty() => (1, 0),
            _ => return Ok(None),
        };
        let all = options.since.is_none();
        let first = if all { 1 } else { start_of(&checkpoints, first) };
        let last = match checkpoints.iter().find(|made| last <= made.last_seq) {
            Some(made) if options.until.is_some() => made.last_seq,
            _ => last.max(checkpoints.last().map_or(0, |made| made.last_seq)),
        };
        let prev_hash = if first == 1 { Hash([0; 32]) } else { self.row_hash(id, first - 1).await? };
        let ahead = checkpoints.iter().rfind(|made| made.last_seq < first).cloned();
        checkpoints.retain(|made| made.first_seq >= first && made.last_seq <= last);
        let first_checkpoint = ahead.as_ref().map_or(1, |made| made.number + 1);
        let span = Span {
            chain,
            first_seq: first,
            last_seq: last,
            prev_hash,
            first_checkpoint,
            last_checkpoint: checkpoints.last().map_or(first_checkpoint - 1, |made| made.number),
            prev_checkpoint: ahead.map_or(Hash([0; 32]), |made| made.hash()),
        };
        Ok(Some(Part { id, span, checkpoints }))
    }

    async fn row_hash(&mut self, chain: i64, seq: u64) -> Result<Hash> {
        let sql = "SELECT row_hash FROM records WHERE account_id = $1 AND chain_id = $2 AND seq = $3";
        let account = self.account().0;
        let row = fetch_optional!(self.conn, (Vec<u8>,), sql, account, chain, signed(seq))?;
        // Where it is gone the chain is broken, which verifying tells.
        row.map_or(Ok(Hash([0; 32])), |(bytes,)| hash(&bytes))
    }
}

/// Where the checkpoint over `seq` begins, or what is under none.
fn start_of(checkpoints: &[Checkpoint], seq: u64) -> u64 {
    match checkpoints.iter().find(|made| seq <= made.last_seq) {
        Some(made) => made.first_seq,
        None => checkpoints.last().map_or(1, |made| made.last_seq + 1),
    }
}

/// Walks a part page by page, giving each record with the checkpoint that ends with it.
struct Rows<'a> {
    account: &'a AccountStore,
    part: &'a Part,
    next_seq: u64,
    page: std::vec::IntoIter<Record>,
    checkpoints: std::slice::Iter<'a, Checkpoint>,
}

impl<'a> Rows<'a> {
    fn new(account: &'a AccountStore, part: &'a Part) -> Self {
        let checkpoints = part.checkpoints.iter();
        Self { account, part, next_seq: part.span.first_seq, page: Vec::new().into_iter(), checkpoints }
    }

    async fn next(&mut self) -> Result<Option<(Record, Option<&'a Checkpoint>)>> {
        if self.page.as_slice().is_empty() {
            let store = self.account.store();
            let mut reader = store.reader().await?;
            let mut view = View::new(reader.conn(), self.account.id(), store.vault());
            let page = view.chain_page(self.part.id, self.next_seq, self.part.span.last_seq, PAGE).await?;
            self.page = page.into_iter();
        }
        let Some(record) = self.page.next() else { return Ok(None) };
        self.next_seq = record.seq + 1;
        let ends_here = self.checkpoints.as_slice().first().is_some_and(|made| made.last_seq <= record.seq);
        let checkpoint = if ends_here { self.checkpoints.next() } else { None };
        Ok(Some((record, checkpoint)))
    }
}

fn content<'a>(account: &AccountStore, record: &'a Record) -> Content<'a> {
    Content {
        account: account.id(),
        chain: record.chain,
        seq: record.seq,
        at: record.at,
        kind: record.kind.as_str(),
        call: record.call,
        subject: record.subject,
        body: record.body.get(),
        payload_hash: record.payload_hash,
        prev_hash: record.prev_hash,
    }
}

impl RecordLine {
    pub(super) fn new(record: Record, payload: Option<(proof::Salt, Vec<u8>)>) -> Self {
        let (salt, payload) = payload.unzip();
        Self {
            r#type: "record".to_owned(),
            chain: record.chain,
            seq: record.seq,
            at: record.at,
            kind: record.kind.as_str().to_owned(),
            call: record.call,
            subject: record.subject,
            body: record.body,
            payload_hash: record.payload_hash,
            salt: salt.map(hex::encode),
            payload: payload.map(|bytes| STANDARD.encode(bytes)),
            prev_hash: record.prev_hash,
            row_hash: record.row_hash,
        }
    }
}

/// Where the lines go.
struct Out {
    send: mpsc::Sender<Result<String>>,
    digest: Sha256,
    lines: u64,
}

impl Out {
    async fn line(&mut self, value: &impl serde::Serialize) -> Result<()> {
        self.send(crate::db::json(value)?).await
    }

    async fn typed_line(&mut self, kind: &str, value: &impl serde::Serialize) -> Result<()> {
        let text = crate::db::json(value)?;
        self.send(format!("{{\"type\":\"{kind}\",{}", text.strip_prefix('{').unwrap_or_default())).await
    }

    async fn send(&mut self, mut line: String) -> Result<()> {
        line.push('\n');
        self.digest.update(&line);
        self.lines += 1;
        self.send.send(Ok(line)).await.map_err(|_| Error::Closed)
    }
}
