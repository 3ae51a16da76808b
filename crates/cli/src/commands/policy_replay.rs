//! `preloop policy replay`: what a policy would have decided about calls that were made.

use std::{fmt::Write as _, fs, path::PathBuf};

use clap::{Args, ValueEnum};
use preloop_api_types::{DateTime, Utc, policies::ReplayOptions};
use preloop_policy::{
    document,
    replay::{Change, Report, Verdicts, read_export},
};
use preloop_types::Timestamp;

use super::{
    policy::{self, Document},
    policy_test::invalid,
};
use crate::{
    cli::Global,
    client::Client,
    failure::{Exit, Failure, Result},
    output::{Format, Printer, warn},
    words::{at, moment},
};

/// Changes shown to people; programs get all that were listed.
const SHOWN: usize = 50;

#[derive(Args)]
pub(crate) struct Replay {
    /// The policy, or `-` for the standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Calls of this export (`preloop audit export --payloads`) instead of the server's; needs no server
    #[arg(long, value_name = "FILE", conflicts_with_all = ["since", "until", "limit", "prune"])]
    export: Option<PathBuf>,
    /// Calls from then on: a time, or a span before now (`7d`)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Calls before then
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// At most so many, the newest
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    limit: Option<u32>,
    /// As if applied with `--prune`
    #[arg(long)]
    prune: bool,
    /// Exit with 7 when decisions would change so
    #[arg(long, value_name = "CHANGE")]
    fail_on: Option<FailOn>,
}

#[derive(Clone, Copy, ValueEnum)]
enum FailOn {
    /// Any decision would change, or cannot be told
    Changed,
    /// More calls would pass
    Loosened,
    /// Fewer calls would pass
    Tightened,
}

pub(super) async fn run(command: &Replay, global: &Global, printer: Printer) -> Result {
    let policy = policy::read_one(&command.file)?;
    let report = if let Some(export) = &command.export {
        replay_here(&policy, &export.display().to_string(), &read_whole(export)?)?
    } else {
        let client = Client::new(global)?;
        policy::valid(&client, &policy).await?;
        let Replay { since, until, limit, prune, .. } = command;
        let options = ReplayOptions { since: *since, until: *until, limit: *limit, prune: *prune };
        client.post_document("/api/v1/policies/replay", &options, policy.text).await?
    };
    match printer.format {
        Format::Table => printer.text(&shown(&report))?,
        _ => printer.data(&report)?,
    }
    let (count, what) = match command.fail_on {
        None => return Ok(()),
        Some(FailOn::Changed) => (report.changed + report.undecidable, "would change, or cannot be told"),
        Some(FailOn::Loosened) => (report.loosened, "would let more through"),
        Some(FailOn::Tightened) => (report.tightened, "would let less through"),
    };
    match count {
        0 => Ok(()),
        count => Err(Failure::new(Exit::Invalid, format!("{count} decisions {what}"))),
    }
}

fn read_whole(path: &PathBuf) -> Result<String> {
    fs::read_to_string(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(Exit::NotFound, format!("there is no file `{}`", path.display())),
        _ => Failure::new(Exit::Failure, format!("cannot read `{}`: {error}", path.display())),
    })
}

fn replay_here(policy: &Document, name: &str, export: &str) -> Result<Report> {
    let report = document::read(&policy.text, document::Options::default());
    let Some(document) = report.document else { return Err(invalid(policy, &report.errors)) };
    let wrong = |why: String| Failure::new(Exit::Invalid, format!("`{name}`: {why}"));
    let export = read_export(export.lines()).map_err(wrong)?;
    let found = export.replay(&document, Timestamp::from_micros(0)).map_err(|problems| invalid(policy, &problems))?;
    found.notes.iter().for_each(|note| warn(note));
    Ok(found.report)
}

fn shown(report: &Report) -> String {
    let Report { calls, changed, loosened, tightened, .. } = report;
    let mut text = match (report.since, report.until) {
        (Some(since), Some(until)) => {
            let (since, until) = (at(since.to_datetime()), at(until.to_datetime()));
            format!("{changed} of {calls} calls from {since} to {until} would be decided otherwise")
        }
        _ => return "no recorded calls that a policy decided\n".to_owned(),
    };
    let _ = writeln!(text, ": {loosened} let more through, {tightened} less");
    if report.undecidable > 0 {
        let _ = writeln!(text, "{} cannot be told: their arguments are erased", report.undecidable);
    }
    for (tool, counts) in &report.tools {
        let step = |name: &str, of: fn(&Verdicts) -> u64| {
            let (before, after) = (of(&counts.before), of(&counts.after));
            (before + after > 0).then(|| format!("{name} {before} → {after}"))
        };
        let steps = [step("allow", |v| v.allow), step("ask", |v| v.require_approval), step("deny", |v| v.deny)];
        let steps: Vec<String> = steps.into_iter().flatten().collect();
        let _ = writeln!(text, "  {tool}: {} calls, {} changed ({})", counts.calls, counts.changed, steps.join(", "));
    }
    for (workflow, asked) in &report.asked {
        let who = if asked.approvers.is_empty() { "the owner".to_owned() } else { asked.approvers.join(", ") };
        let _ = writeln!(text, "  `{workflow}` asks {who} {} times, {} of them new", asked.calls, asked.newly);
    }
    for (why, count) in &report.left_out {
        let _ = writeln!(text, "  left out: {count} ({why})");
    }
    text.extend(report.changes.iter().take(SHOWN).map(change));
    let more = report.changed.saturating_sub(report.changes.len().min(SHOWN) as u64);
    if more > 0 {
        let _ = writeln!(text, "… and {more} more");
    }
    text
}

fn change(change: &Change) -> String {
    let rule = change.rule.map(|rule| format!("rule {rule}: ")).unwrap_or_default();
    let who = change.user.as_ref().map(|user| format!(" of {user}")).unwrap_or_default();
    format!(
        "{} {} by {}{who}: {} → {} ({rule}{}) [{}]\n",
        at(change.at.to_datetime()),
        change.tool,
        change.key,
        change.before,
        change.after,
        change.after_reason,
        change.call
    )
}
