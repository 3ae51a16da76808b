//! `preloop policy test`: the cases beside a policy, run here without a server.

use std::{
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use clap::Args;
use preloop_policy::{
    cases::{self, Coverage, TestReport},
    document,
};
use preloop_types::text::printable;
use serde::Serialize;

use super::policy::{self, Document};
use crate::{
    failure::{Exit, Failure, Result},
    output::{Format, Printer},
};

/// What the names of test files end with.
const SUFFIXES: [&str; 2] = [".test.yaml", ".test.yml"];

#[derive(Args)]
pub(crate) struct Test {
    /// Test files (`NAME.test.yaml`), policies that have one beside them, or folders of them
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
    /// The policy to test; else the one a test file names, or the one beside it
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// Fail when the cases saw less than so many percent of the rules and of their conditions' sides
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    min_coverage: Option<u8>,
    /// Also write a `JUnit` report to this file
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

#[derive(Serialize)]
struct Ran {
    file: String,
    policy: String,
    #[serde(flatten)]
    report: TestReport,
}

pub(super) fn run(test: &Test, printer: Printer) -> Result {
    let mut ran = Vec::new();
    for file in test_files(&test.paths)? {
        ran.push(run_file(&file, test.policy.as_deref())?);
    }
    if let Some(path) = &test.junit {
        let suites: String = ran.iter().map(|ran| without_head(&ran.report.to_junit(&ran.file))).collect();
        let xml = format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n{suites}</testsuites>\n");
        fs::write(path, xml)
            .map_err(|error| Failure::new(Exit::Failure, format!("cannot write `{}`: {error}", path.display())))?;
    }
    match printer.format {
        Format::Table => ran.iter().try_for_each(|ran| printer.text(&shown(ran)))?,
        _ => printer.data(&ran)?,
    }
    let failed: usize = ran.iter().map(|ran| ran.report.failed).sum();
    if failed > 0 {
        return Err(Failure::new(Exit::Invalid, format!("{failed} cases failed")));
    }
    let wanted = test.min_coverage.unwrap_or(0);
    match ran.iter().find(|ran| percent(&ran.report.coverage) < wanted) {
        Some(ran) => {
            let seen = percent(&ran.report.coverage);
            Err(Failure::new(Exit::Invalid, format!("`{}` covers {seen} % of its policy, not {wanted} %", ran.file)))
        }
        None => Ok(()),
    }
}

fn run_file(file: &Path, policy: Option<&Path>) -> Result<Ran> {
    let tests = policy::read_file(file)?;
    let cases = cases::read(&tests.text).map_err(|problems| invalid(&tests, &problems))?;
    let beside = |name: &str| file.parent().unwrap_or(Path::new("")).join(name);
    let policy = match (policy, &cases.policy) {
        (Some(policy), _) => policy.to_owned(),
        (None, Some(name)) => beside(name),
        (None, None) => beside(&tested_by(file).unwrap_or_default()),
    };
    let policy = policy::read_file(&policy)?;
    let report = document::read(&policy.text, document::Options::default());
    let Some(document) = report.document else { return Err(invalid(&policy, &report.errors)) };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = preloop_types::Timestamp::from_micros(0) + now;
    let report = cases::run(&document, &cases, now).map_err(|problems| invalid(&policy, &problems))?;
    Ok(Ran { file: tests.name, policy: policy.name, report })
}

/// Shows what is wrong with a file the way compilers do.
pub(super) fn invalid(file: &Document, problems: &[document::Problem]) -> Failure {
    for problem in problems {
        eprintln!("{}", printable(problem.render(&file.name).trim_end()));
    }
    Failure::new(Exit::Invalid, format!("`{}` is invalid", file.name))
}

/// Test files among `paths`: themselves, beside policies, in folders.
fn test_files(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            let before = found.len();
            let unreadable = |error| Failure::new(Exit::Failure, format!("cannot read `{}`: {error}", path.display()));
            for entry in fs::read_dir(path).map_err(unreadable)? {
                let path = entry.map_err(unreadable)?.path();
                if path.is_file() && is_test(&path) {
                    found.push(path);
                }
            }
            found[before..].sort();
            if found.len() == before {
                return Err(Failure::new(Exit::NotFound, format!("no test files in `{}`", path.display()))
                    .help("their names end with `.test.yaml`"));
            }
        } else if is_test(path) || !path.exists() {
            found.push(path.clone());
        } else {
            let beside = SUFFIXES.iter().map(|suffix| path.with_extension("").display().to_string() + suffix);
            let beside = beside.map(PathBuf::from).find(|path| path.is_file());
            // What is neither a test by its name nor has one may still be one.
            found.push(beside.unwrap_or_else(|| path.clone()));
        }
    }
    Ok(found)
}

/// Whether a file holds tests, not a policy.
pub(super) fn is_test(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    SUFFIXES.iter().any(|suffix| name.ends_with(suffix))
}

/// The name of the policy beside a test file.
fn tested_by(file: &Path) -> Option<String> {
    let name = file.file_name()?.to_string_lossy();
    let stem = SUFFIXES.iter().find_map(|suffix| name.strip_suffix(suffix))?;
    let kinds = ["yaml", "yml", "json"].map(|kind| format!("{stem}.{kind}"));
    let there = kinds.iter().find(|name| file.with_file_name(name).is_file());
    Some(there.unwrap_or(&kinds[0]).clone())
}

fn without_head(xml: &str) -> String {
    xml.split_once('\n').map_or_else(String::new, |(_, rest)| rest.to_owned())
}

fn percent(coverage: &Coverage) -> u8 {
    let (all, seen) = (coverage.rules + coverage.branches, coverage.rules_seen + coverage.branches_seen);
    (seen * 100).checked_div(all).map_or(100, |percent| u8::try_from(percent).unwrap_or(100))
}

fn shown(ran: &Ran) -> String {
    let Ran { file, report, .. } = ran;
    let Coverage { rules, rules_seen, branches, branches_seen, .. } = &report.coverage;
    let mut text = format!(
        "{file}: {} passed, {} failed; {rules_seen} of {rules} rules and {branches_seen} of {branches} sides of \
         conditions seen\n",
        report.passed, report.failed
    );
    for case in report.cases.iter().filter(|case| !case.passed) {
        let line = case.line.map(|line| format!(":{line}")).unwrap_or_default();
        text.extend(["  failed ", file, &line, ": ", &preloop_types::text::one_line(&case.name), "\n"]);
        text.extend(case.failures.iter().map(|failure| format!("      {failure}\n")));
    }
    for line in unseen(&report.coverage) {
        text.extend(["  not seen: ", &line, "\n"]);
    }
    text
}

/// What no case saw, a line each.
fn unseen(coverage: &Coverage) -> Vec<String> {
    let mut lines = Vec::new();
    for tool in &coverage.tools {
        for rule in &tool.rules {
            let name = format!("{} rule {}", tool.tool, rule.rule);
            let condition = rule.expression.as_deref().unwrap_or("no condition");
            if rule.matched == 0 {
                lines.push(format!("{name} ({}, {condition}) matches", rule.action));
            } else if rule.passed_over == 0 && rule.expression.is_some() {
                lines.push(format!("{name} ({}, {condition}) does not match", rule.action));
            }
            for part in rule.branches.iter().filter(|_| rule.matched + rule.passed_over > 0) {
                if part.held == 0 {
                    lines.push(format!("{name}: `{}` holds", part.condition));
                }
                if part.failed == 0 {
                    lines.push(format!("{name}: `{}` does not hold", part.condition));
                }
            }
        }
    }
    if lines.len() > 40 {
        let more = lines.len() - 40;
        lines.truncate(40);
        lines.push(format!("… and {more} more; `--json` tells all"));
    }
    lines
}
