//! `preloop policy lint`: what is odd about policies that are valid.

use std::path::PathBuf;

use clap::Args;
use preloop_api_types::policies::{LintFinding, LintOptions, PolicyLint};
use preloop_policy::{
    document,
    lint::{Against, Linted, lint},
};
use preloop_types::{Timestamp, text::printable};

use super::{
    policy::{self, About, Document, Files},
    policy_test::invalid,
};
use crate::{
    cli::Global,
    client::Client,
    failure::{Exit, Failure, Result},
    output::{Format, Printer},
};

#[derive(Args)]
pub(crate) struct Lint {
    #[command(flatten)]
    files: Files,
    /// Compare with this policy instead of the one in force, without a server
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Ask no server: neither the account's tools nor the policy in force are known
    #[arg(long)]
    offline: bool,
    /// As if applied with `--prune`
    #[arg(long)]
    prune: bool,
    /// Fail for warnings, too
    #[arg(long)]
    strict: bool,
}

pub(super) async fn run(command: &Lint, global: &Global, printer: Printer) -> Result {
    let documents = command.files.read()?;
    let mut answers = Vec::new();
    if command.offline || command.against.is_some() {
        let against = command.against.as_deref().map(policy::read_file).transpose()?;
        for document in &documents {
            let answer = lint_here(document, against.as_ref(), command.prune)?;
            answers.push(About { file: document.name.clone(), answer });
        }
    } else {
        let client = Client::new(global)?;
        let options = LintOptions { against_active: None, prune: command.prune };
        for document in &documents {
            policy::valid(&client, document).await?;
            let answer: PolicyLint =
                client.post_document("/api/v1/policies/lint", &options, document.text.clone()).await?;
            answers.push(About { file: document.name.clone(), answer });
        }
    }
    report(printer, &answers)?;
    let findings = || answers.iter().flat_map(|about| &about.answer.findings);
    let errors = findings().filter(|finding| finding.severity == "error").count();
    let all = findings().count();
    match (errors, all) {
        (0, all) if all == 0 || !command.strict => Ok(()),
        (errors, all) => {
            Err(Failure::new(Exit::Invalid, format!("{errors} errors and {} warnings", all.saturating_sub(errors))))
        }
    }
}

fn report(printer: Printer, answers: &[About<PolicyLint>]) -> Result {
    if printer.format != Format::Table {
        return printer.data(&answers);
    }
    for about in answers {
        for finding in &about.answer.findings {
            printer.text(&shown(&about.file, finding))?;
        }
        if about.answer.findings.is_empty() {
            printer.say(&format!("{}: nothing to remark", about.file))?;
        }
    }
    Ok(())
}

fn shown(file: &str, finding: &LintFinding) -> String {
    let place = match (finding.line, finding.column) {
        (Some(line), Some(column)) => format!("{file}:{line}:{column}"),
        _ => format!("{file}: {}", finding.path),
    };
    let help = finding.help.as_ref().map(|help| format!("\n  help: {help}")).unwrap_or_default();
    printable(&format!("{place}: {} [{}] {}{help}", finding.severity, finding.code, finding.message)).into_owned()
}

/// Lints by nothing but the files.
fn lint_here(document: &Document, against: Option<&Document>, prune: bool) -> Result<PolicyLint> {
    let active = match against {
        None => None,
        Some(file) => {
            let report = document::read(&file.text, document::Options::default());
            Some(report.document.ok_or_else(|| invalid(file, &report.errors))?)
        }
    };
    let report = document::read(&document.text, document::Options::default());
    let Some(read) = report.document else { return Err(invalid(document, &report.errors)) };
    let against = Against { tools: &[], active: active.as_ref(), prune };
    let found = lint(&read, &report.source, against, Timestamp::from_micros(0));
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let shown = |finding: Linted| LintFinding {
        code: finding.code,
        severity: finding.severity,
        path: finding.path,
        message: finding.message,
        help: finding.help,
        line: finding.line.map(number),
        column: finding.column.map(number),
    };
    Ok(PolicyLint { findings: found.into_iter().map(|finding| shown(finding.into())).collect() })
}
