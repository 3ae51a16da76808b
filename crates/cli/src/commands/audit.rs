//! `preloop audit`: read the journal, take it away, and prove that nothing in it was changed.

use std::{
    fs,
    io::{BufReader, Cursor, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use preloop_api_types::{
    DateTime, Utc, Uuid,
    audit::{AuditRecord, ExportAudit, ListAudit, ProvenRecord},
};
use preloop_store::proof::{self, Inclusion, VerifyReport};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{
    cli::Global,
    client::Client,
    download::Download,
    failure::{Exit, Failure, Result},
    output::{Format, Printer},
    words::{at, moment},
};

const JOURNAL: &str = "/api/v1/audit-logs";
const EXPORT: &str = "/api/v1/audit-logs/export";

/// No proof of one record is larger.
const PROOF_MAX: u64 = 1024 * 1024;

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// List records, newest first
    List(List),
    /// Show one record, with the arguments or the result kept beside it
    Show(Show),
    /// Write the journal to a file that `preloop audit verify` checks anywhere
    Export(Export),
    /// Check every hash, link, checkpoint and signature, of a file or of the server's journal; or the
    /// proof of one record
    Verify(Verify),
}

#[derive(Args)]
pub(crate) struct List {
    /// Only these kinds: `call.intent`, `approval.voted`, … (repeatable)
    #[arg(long = "kind", value_name = "KIND")]
    kinds: Vec<String>,
    /// Only records about this call
    #[arg(long, value_name = "ID")]
    call: Option<Uuid>,
    #[command(flatten)]
    window: Window,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct Show {
    /// Its id, as `preloop audit list` shows it
    id: String,
    /// Write what proves the record alone to this file, for `preloop audit verify`
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Export {
    /// Write to this file; else to the standard output
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    window: Window,
    /// With arguments and results, in clear
    #[arg(long)]
    payloads: bool,
}

#[derive(Args)]
pub(crate) struct Verify {
    /// A file that `audit export` or `audit show --proof` wrote, or `-`; the server's journal when left out
    file: Option<PathBuf>,
    /// The key the journal must be signed with, as `verify` printed it when you trusted it
    #[arg(long, value_name = "HEX", value_parser = public_key)]
    key: Option<[u8; 32]>,
}

#[derive(Args)]
struct Window {
    /// Not before: `2026-01-31T12:00:00Z`, or a span before now: `2h`, `30d`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
}

pub(crate) async fn run(command: &Audit, global: &Global) -> Result {
    let printer = global.printer();
    match command {
        Audit::List(wanted) => list(&Client::new(global)?, printer, wanted).await,
        Audit::Export(wanted) => export(&Client::new(global)?, printer, wanted).await,
        Audit::Show(wanted) => show(&Client::new(global)?, printer, wanted).await,
        Audit::Verify(Verify { file: Some(file), key }) => verify_file(printer, file, *key),
        Audit::Verify(Verify { file: None, key }) => {
            report(printer, &verify_server(&Client::new(global)?, *key).await?)
        }
    }
}

async fn list(client: &Client, printer: Printer, wanted: &List) -> Result {
    let query = ListAudit {
        action: (!wanted.kinds.is_empty()).then(|| wanted.kinds.join(",")),
        correlation_id: wanted.call,
        start_date: wanted.window.since,
        end_date: wanted.window.until,
        limit: Some(wanted.limit),
        after: None,
    };
    let records: Vec<AuditRecord> = client.list(JOURNAL, &query).await?;
    printer.list(
        &records,
        &[
            ("at", |record| at(record.timestamp)),
            ("kind", |record| record.action.clone()),
            ("about", about),
            ("call", |record| record.correlation_id.map(|id| id.to_string()).unwrap_or_default()),
            ("id", |record| record.id.clone()),
        ],
        "there are no records",
    )
}

/// The facts people look for first.
fn about(record: &AuditRecord) -> String {
    let fact = |name: &str| record.details.get(name).and_then(|value| value.as_str());
    let facts = [
        "config_type",
        "action",
        "change",
        "exposed",
        "tool",
        "name",
        "decision",
        "status",
        "channel",
        "reason",
        "error",
    ];
    let mut shown: Vec<&str> = Vec::new();
    for text in facts.into_iter().filter_map(fact) {
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    shown.join(" · ")
}

async fn show(client: &Client, printer: Printer, wanted: &Show) -> Result {
    if !wanted.id.chars().all(|c| c.is_ascii_alphanumeric() || c == '.' || c == '-') {
        return Err(Failure::usage(format!("`{}` is not the id of a record", wanted.id)));
    }
    let found: ProvenRecord = client.get(&format!("{JOURNAL}/{}", wanted.id)).await?;
    let record = &found.record;
    let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap_or_default();
    printer.one(
        &found,
        &[
            ("At", at(record.timestamp)),
            ("Kind", record.action.clone()),
            ("Call", record.correlation_id.map(|id| id.to_string()).unwrap_or_default()),
            ("Place", format!("{} in chain {}", record.seq, record.chain)),
            ("Hash", record.row_hash.clone()),
            ("Facts", pretty(&record.details)),
            ("Kept beside it", found.payload.as_ref().map(pretty).unwrap_or_default()),
        ],
    )?;
    let Some(path) = &wanted.proof else { return Ok(()) };
    let Some(proof) = &found.proof else {
        return Err(Failure::new(Exit::Conflict, "no checkpoint covers the record yet")
            .help("one is made some ten seconds after a record, and when the server stops"));
    };
    fs::write(path, pretty(proof))
        .map_err(|error| Failure::new(Exit::Failure, format!("cannot write `{}`: {error}", path.display())))
}

async fn export(client: &Client, printer: Printer, wanted: &Export) -> Result {
    let query =
        ExportAudit { start_date: wanted.window.since, end_date: wanted.window.until, payloads: wanted.payloads };
    let mut answer = client.stream(EXPORT, &query).await?;
    let Some(path) = &wanted.output else {
        let mut out = tokio::io::stdout();
        while let Some(piece) = answer.chunk().await.map_err(|error| client.broken(error))? {
            out.write_all(&piece).await?;
        }
        return Ok(out.flush().await?);
    };
    let failed =
        |error: std::io::Error| Failure::new(Exit::Failure, format!("cannot write `{}`: {error}", path.display()));
    // A name of its own until it is whole, so that half an export is never taken for one.
    let beside = PathBuf::from(format!("{}.part", path.display()));
    let mut file = tokio::fs::File::create(&beside).await.map_err(failed)?;
    while let Some(piece) = answer.chunk().await.map_err(|error| client.broken(error))? {
        file.write_all(&piece).await.map_err(failed)?;
    }
    file.sync_all().await.map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    printer.note(&format!("written to `{0}`; check it with `preloop audit verify {0}`", path.display()));
    Ok(())
}

/// Checks an export, or the proof of one record.
fn verify_file(printer: Printer, path: &Path, key: Option<[u8; 32]>) -> Result {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(Exit::NotFound, format!("there is no file `{}`", path.display())),
        _ => Failure::new(Exit::Failure, format!("cannot read `{}`: {error}", path.display())),
    };
    let mut from: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(fs::File::open(path).map_err(unreadable)?)
    };
    let mut head = Vec::new();
    from.by_ref().take(PROOF_MAX).read_to_end(&mut head).map_err(unreadable)?;
    match serde_json::from_slice::<Inclusion>(&head) {
        Ok(inclusion) => report_inclusion(printer, &inclusion, key),
        Err(_) => report(printer, &proof::verify(BufReader::new(Cursor::new(head).chain(from)), key)),
    }
}

/// Takes the journal from the server and checks it here: the server's own word is not needed.
async fn verify_server(client: &Client, key: Option<[u8; 32]>) -> Result<VerifyReport> {
    let (download, reader) = Download::new(client.stream(EXPORT, &ExportAudit::default()).await?);
    let verifying = tokio::task::spawn_blocking(move || proof::verify(reader, key));
    let downloaded = download.run().await;
    let report = verifying.await.map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    downloaded.map_err(|error| client.broken(error))?;
    Ok(report)
}

fn report_inclusion(printer: Printer, inclusion: &Inclusion, key: Option<[u8; 32]>) -> Result {
    let checked = inclusion.verify(key);
    let record = &inclusion.record;
    checked.map_err(|why| Failure::new(Exit::Invalid, format!("the record is not proven: {why}")))?;
    let place = format!("{} in chain {}", record.seq, record.chain);
    printer.one(
        &json!({ "ok": true, "chain": record.chain, "seq": record.seq, "public_key": inclusion.public_key }),
        &[("Record", place), ("Signed with", signed_with(&inclusion.public_key, key.is_some()))],
    )
}

/// The key, and whether anybody vouches for it.
fn signed_with(key: &str, expected: bool) -> String {
    match (key, expected) {
        ("", _) => String::new(),
        (key, true) => format!("{key} (as expected)"),
        (key, false) => format!("{key} (not compared; give `--key` the one you trust)"),
    }
}

fn report(printer: Printer, report: &VerifyReport) -> Result {
    let VerifyReport { records, chains, checkpoints, unsealed, payloads, .. } = report;
    if printer.format != Format::Table || report.ok {
        printer.one(
            report,
            &[
                ("Journal", if report.ok { "whole".to_owned() } else { "BROKEN".to_owned() }),
                ("Records", format!("{records} in {chains} chains, {unsealed} not yet under a checkpoint")),
                ("Checkpoints", checkpoints.to_string()),
                ("Payloads", format!("{payloads} checked against their hashes")),
                ("Signed with", signed_with(report.public_key.as_deref().unwrap_or_default(), report.key_expected)),
            ],
        )?;
    }
    let Some(broken) = &report.broken else {
        return if report.ok { Ok(()) } else { Err(Failure::new(Exit::Invalid, "the journal does not verify")) };
    };
    let record = match (broken.chain, broken.seq) {
        (Some(chain), Some(seq)) => format!(", record {seq} of chain {chain}"),
        _ => String::new(),
    };
    Err(Failure::new(Exit::Invalid, format!("the journal is broken at line {}{record}: {}", broken.line, broken.what)))
}

fn public_key(text: &str) -> std::result::Result<[u8; 32], String> {
    let mut key = [0; 32];
    hex::decode_to_slice(text, &mut key).map_err(|_| "it is 64 hexadecimal digits".to_owned())?;
    Ok(key)
}
