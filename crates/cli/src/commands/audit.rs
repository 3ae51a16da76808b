//! `preloop audit`: read the journal, take it away, and prove that nothing in it was changed.

use std::{
    fs,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use preloop_api_types::{
    DateTime, Utc, Uuid,
    audit::{AuditRecord, ExportAudit, ListAudit},
};
use preloop_store::proof::{self, VerifyReport};
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

#[derive(Subcommand)]
pub(crate) enum Audit {
    /// List records, newest first
    List(List),
    /// Write the journal to a file that `preloop audit verify` checks anywhere
    Export(Export),
    /// Check every hash, link, checkpoint and signature, of a file or of the server's journal
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
    /// A file that `preloop audit export` wrote, or `-`; the server's journal when left out
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
        Audit::Verify(Verify { file: Some(file), key }) => report(printer, &verify_file(file, *key)?),
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
        ],
        "there are no records",
    )
}

/// The facts people look for first.
fn about(record: &AuditRecord) -> String {
    let fact = |name: &str| record.details.get(name).and_then(|value| value.as_str());
    let facts = ["exposed", "tool", "name", "decision", "status", "reason", "error"];
    let mut shown: Vec<&str> = Vec::new();
    for text in facts.into_iter().filter_map(fact) {
        if !shown.contains(&text) {
            shown.push(text);
        }
    }
    shown.join(" · ")
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

fn verify_file(path: &Path, key: Option<[u8; 32]>) -> Result<VerifyReport> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(Exit::NotFound, format!("there is no file `{}`", path.display())),
        _ => Failure::new(Exit::Failure, format!("cannot read `{}`: {error}", path.display())),
    };
    let from: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(fs::File::open(path).map_err(unreadable)?)
    };
    Ok(proof::verify(BufReader::new(from), key))
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

fn report(printer: Printer, report: &VerifyReport) -> Result {
    let VerifyReport { records, chains, checkpoints, unsealed, payloads, .. } = report;
    if printer.format != Format::Table || report.ok {
        let key = report.public_key.clone().unwrap_or_default();
        let known = if report.key_expected { "as expected" } else { "not compared; give `--key` the one you trust" };
        printer.one(
            report,
            &[
                ("Journal", if report.ok { "whole".to_owned() } else { "BROKEN".to_owned() }),
                ("Records", format!("{records} in {chains} chains, {unsealed} not yet under a checkpoint")),
                ("Checkpoints", checkpoints.to_string()),
                ("Payloads", format!("{payloads} checked against their hashes")),
                ("Signed with", if key.is_empty() { key } else { format!("{key} ({known})") }),
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
