use std::io::{BufRead, Read as _};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use preloop_types::{AccountId, Hash, Timestamp, WriterId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{
    Checkpoint, Content, Footer, Header, RecordLine, Span, Tree, inclusion::public_key, lines::FORMAT, payload_hash,
};

/// Longest line read.
const LINE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// What verifying a journal found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Whether nothing is wrong.
    pub ok: bool,
    /// Whose journal it says it is.
    pub account: Option<AccountId>,
    /// The key it is signed with, lower-case hex.
    pub public_key: Option<String>,
    /// Whether the caller expected that key. If not, the file only proves that it is whole, not whose it is.
    pub key_expected: bool,
    /// Chains seen.
    pub chains: u64,
    /// Records that are as they were written.
    pub records: u64,
    /// Checkpoints that are as they were signed.
    pub checkpoints: u64,
    /// Payloads that are the ones their records stand for.
    pub payloads: u64,
    /// Records after the last checkpoint of their chain.
    pub unsealed: u64,
    /// The first thing that is wrong.
    pub broken: Option<Break>,
}

/// The first thing that is wrong with a journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Break {
    /// The line of the export, from 1; 0 in a database.
    pub line: u64,
    /// The chain.
    pub chain: Option<WriterId>,
    /// The record.
    pub seq: Option<u64>,
    /// What.
    pub what: String,
}

impl VerifyReport {
    pub(crate) fn broken(mut self, line: u64, place: Option<(WriterId, u64)>, what: impl Into<String>) -> Self {
        let (chain, seq) = place.unzip();
        self.ok = false;
        self.broken = Some(Break { line, chain, seq, what: what.into() });
        self
    }
}

/// Verifies an export: every hash, link, checkpoint and signature, and every byte. `expected` is the
/// public key the journal has to be signed with.
pub fn verify(export: impl BufRead, expected: Option<[u8; 32]>) -> VerifyReport {
    let mut lines = Lines { export, number: 0, digest: Sha256::new() };
    let mut report = VerifyReport::default();
    match verify_lines(&mut lines, &mut report, expected) {
        Ok(()) => VerifyReport { ok: true, ..report },
        Err(Wrong { place, what }) => report.broken(lines.number, place, what),
    }
}

/// What is wrong, and with which record.
pub(crate) struct Wrong {
    pub(crate) place: Option<(WriterId, u64)>,
    pub(crate) what: String,
}

impl From<String> for Wrong {
    fn from(what: String) -> Self {
        Self { place: None, what }
    }
}

impl From<&str> for Wrong {
    fn from(what: &str) -> Self {
        Self { place: None, what: what.to_owned() }
    }
}

fn verify_lines(
    lines: &mut Lines<impl BufRead>,
    report: &mut VerifyReport,
    expected: Option<[u8; 32]>,
) -> Result<(), Wrong> {
    let first = lines.next()?.ok_or("the file is empty")?;
    if kind_of(&first).ok().as_deref() != Some("header") {
        return Err("the first line is not the header of a journal export".into());
    }
    let header: Header = parse(&first)?;
    if header.format != FORMAT {
        return Err(format!("format `{}` is not one this version knows (`{FORMAT}`)", header.format).into());
    }
    let key = public_key(&header.public_key, expected)?;
    report.account = Some(header.account);
    report.public_key = Some(header.public_key.clone());
    report.key_expected = expected.is_some();
    report.chains = header.chains.len() as u64;

    let mut chains = header.chains.into_iter();
    let mut current: Option<Verifier> = None;
    loop {
        // What the footer signs ends where the footer begins.
        let (ahead, digest) = (lines.number, lines.digest.clone());
        let Some(line) = lines.next()? else {
            return Err("the export ends without its footer: its tail is missing".into());
        };
        let kind = kind_of(&line)?;
        if kind == "footer" {
            let rest = current.map(Verifier::finish).transpose()?.unwrap_or_default();
            report.unsealed += rest;
            if let Some(span) = chains.next() {
                return Err(format!("chain `{}` is missing", span.chain).into());
            }
            let footer: Footer = parse(&line)?;
            if footer.lines != ahead || footer.digest != Hash(digest.finalize().into()) {
                return Err("a line ahead of the footer was changed, added or dropped".into());
            }
            if !footer.is_signed_by(header.account, &key) {
                return Err("the footer's signature is wrong".into());
            }
            if serde_json::to_string(&footer).ok().as_deref() != Some(&*line) {
                return Err("the footer was changed".into());
            }
            return match lines.next()? {
                None => Ok(()),
                Some(_) => Err("there is something after the footer".into()),
            };
        }
        // A chain ends where its span says; then the next begins.
        while current.as_ref().is_none_or(Verifier::is_complete) {
            if let Some(done) = current.take() {
                report.unsealed += done.finish()?;
            }
            let Some(span) = chains.next() else {
                return Err("there is a line after the last chain's end".into());
            };
            current = Some(Verifier::new(header.account, key, span));
        }
        let Some(chain) = &mut current else { continue };
        match kind.as_str() {
            "record" => {
                let record: RecordLine = parse(&line)?;
                chain.record(&record.content(header.account), &record.row_hash)?;
                report.records += 1;
                report.payloads += u64::from(check_payload(&record)?);
            }
            "checkpoint" => {
                chain.checkpoint(&parse(&line)?)?;
                report.checkpoints += 1;
            }
            other => return Err(format!("a line of the unknown type `{other}`").into()),
        }
    }
}

/// Follows one chain from the start of its span.
pub(crate) struct Verifier {
    account: AccountId,
    key: [u8; 32],
    span: Span,
    next_seq: u64,
    head: Hash,
    last_at: Option<Timestamp>,
    unsealed: Tree,
    next_checkpoint: u64,
    last_checkpoint: Hash,
}

impl Verifier {
    pub(crate) fn new(account: AccountId, key: [u8; 32], span: Span) -> Self {
        Self {
            account,
            key,
            next_seq: span.first_seq,
            head: span.prev_hash,
            last_at: None,
            unsealed: Tree::default(),
            next_checkpoint: span.first_checkpoint,
            last_checkpoint: span.prev_checkpoint,
            span,
        }
    }

    /// Takes the next record.
    pub(crate) fn record(&mut self, record: &Content<'_>, row_hash: &Hash) -> Result<(), Wrong> {
        let wrong = |what: String| Wrong { place: Some((record.chain, record.seq)), what };
        if record.chain != self.span.chain {
            return Err(wrong(format!("a record of chain `{}` inside chain `{}`", record.chain, self.span.chain)));
        }
        if record.seq != self.next_seq {
            return Err(wrong(format!("record {} where record {} belongs", record.seq, self.next_seq)));
        }
        if record.prev_hash != self.head {
            return Err(wrong(format!("record {} does not continue the one ahead of it", record.seq)));
        }
        if record.hash() != *row_hash {
            return Err(wrong(format!("the content of record {} does not match its hash", record.seq)));
        }
        if self.last_at.is_some_and(|last| record.at < last) {
            return Err(wrong(format!("record {} is older than the one ahead of it", record.seq)));
        }
        self.unsealed.push(row_hash);
        (self.next_seq, self.head, self.last_at) = (record.seq + 1, *row_hash, Some(record.at));
        Ok(())
    }

    /// Takes the next checkpoint, which has to stand right after the last record it covers.
    pub(crate) fn checkpoint(&mut self, made: &Checkpoint) -> Result<(), Wrong> {
        let number = made.number;
        let wrong = |what: String| Wrong { place: Some((made.chain, made.last_seq)), what };
        if !made.is_signed_by(&self.key) {
            return Err(wrong(format!("the signature of checkpoint {number} is wrong")));
        }
        if made.account != self.account || made.chain != self.span.chain {
            return Err(wrong(format!("checkpoint {number} belongs to another chain")));
        }
        if number != self.next_checkpoint || made.previous != self.last_checkpoint {
            return Err(wrong(format!("checkpoint {number} where checkpoint {} belongs", self.next_checkpoint)));
        }
        if made.last_seq + 1 != self.next_seq || made.count() != self.unsealed.leaves() {
            return Err(wrong(format!(
                "checkpoint {number} covers records {} to {}, but it stands after record {} and {} are not covered yet",
                made.first_seq,
                made.last_seq,
                self.next_seq - 1,
                self.unsealed.leaves()
            )));
        }
        if made.root != self.unsealed.root() {
            return Err(wrong(format!("the records under checkpoint {number} are not the ones it signed")));
        }
        self.unsealed = Tree::default();
        (self.next_checkpoint, self.last_checkpoint) = (number + 1, made.hash());
        Ok(())
    }

    fn is_complete(&self) -> bool {
        self.next_seq > self.span.last_seq && self.next_checkpoint > self.span.last_checkpoint
    }

    /// Ends the chain; how many records are under no checkpoint.
    pub(crate) fn finish(self) -> Result<u64, Wrong> {
        let place = Some((self.span.chain, self.next_seq));
        if self.next_seq != self.span.last_seq + 1 {
            let what = format!("the chain ends before record {}, but it has {}", self.next_seq, self.span.last_seq);
            return Err(Wrong { place, what });
        }
        if self.next_checkpoint != self.span.last_checkpoint + 1 {
            return Err(Wrong { place, what: format!("checkpoint {} is missing", self.next_checkpoint) });
        }
        Ok(self.unsealed.leaves())
    }
}

/// Whether there was a payload, and it is the one its record stands for.
fn check_payload(record: &RecordLine) -> Result<bool, Wrong> {
    let wrong = |what: &str| Wrong {
        place: Some((record.chain, record.seq)),
        what: format!("the payload of record {} {what}", record.seq),
    };
    let (payload, salt) = match (&record.payload, &record.salt) {
        (None, None) => return Ok(false),
        (Some(payload), Some(salt)) => (payload, salt),
        _ => return Err(wrong("lacks its salt")),
    };
    let payload = STANDARD.decode(payload).map_err(|_| wrong("is not base64"))?;
    let mut bytes = super::Salt::default();
    hex::decode_to_slice(salt, &mut bytes).map_err(|_| wrong("has no readable salt"))?;
    if record.payload_hash != Some(payload_hash(&bytes, &payload)) {
        return Err(wrong("is not the one it stands for"));
    }
    Ok(true)
}

struct Lines<R> {
    export: R,
    number: u64,
    digest: Sha256,
}

impl<R: BufRead> Lines<R> {
    /// The next line without its line feed.
    fn next(&mut self) -> Result<Option<String>, Wrong> {
        let mut line = Vec::new();
        let read = self.export.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        read.map_err(|error| format!("the file cannot be read: {error}"))?;
        if line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        self.digest.update(&line);
        if line.pop() != Some(b'\n') {
            return Err("the line is cut off, or longer than 32 MiB".into());
        }
        String::from_utf8(line).map(Some).map_err(|_| "the line is not UTF-8".into())
    }
}

fn kind_of(line: &str) -> Result<String, Wrong> {
    #[derive(Deserialize)]
    struct Kind {
        r#type: String,
    }
    parse::<Kind>(line).map(|kind| kind.r#type)
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T, Wrong> {
    serde_json::from_str(line).map_err(|error| format!("the line is not what it should be: {error}").into())
}
