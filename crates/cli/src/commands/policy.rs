//! `preloop policy`: documents in, documents out.

use std::{
    fmt::Write as _,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use preloop_api_types::policies::{
    ApplyOptions, DiffOptions, ExportOptions, KeepVersion, PolicyChange, PolicyDiff, PolicyError, PolicyImportResult,
    PruneVersions, ValidateOptions, Validation,
};
use preloop_types::text::printable;
use serde::Serialize;

use super::{policy_generate, policy_lint, policy_replay, policy_test, policy_versions};
use crate::{
    cli::Global,
    client::Client,
    failure::{Exit, Failure, Result},
    output::{Format, Printer, warn},
};

const POLICIES: &str = "/api/v1/policies";

/// Largest document the server takes.
const DOCUMENT_MAX: u64 = 1024 * 1024;

/// Widest line of a document that is shown.
const FRAME_MAX: usize = 120;

#[derive(Subcommand)]
pub(crate) enum Policy {
    /// Check documents against the schema, the account's tools and the condition language
    Validate {
        #[command(flatten)]
        files: Files,
        /// Do not check names of servers and tools against the account
        #[arg(long)]
        no_references: bool,
    },
    /// Run the cases beside policies, without a server, and say what of the policies they saw
    Test(policy_test::Test),
    /// Say what is odd about documents: rules that never decide, calls that would get further than now
    Lint(policy_lint::Lint),
    /// Decide recorded calls anew: which decisions would change, and who would have been asked
    Replay(policy_replay::Replay),
    /// Have the account's model write a policy, for you to read; nothing is applied
    Generate(policy_generate::Generate),
    /// Say what applying a document would change
    Diff {
        #[command(flatten)]
        files: Files,
        /// As if applied with `--prune`
        #[arg(long)]
        prune: bool,
        /// Exit with 1 when there are differences
        #[arg(long)]
        exit_code: bool,
    },
    /// Apply documents
    Apply {
        #[command(flatten)]
        files: Files,
        /// Do everything but write
        #[arg(long)]
        dry_run: bool,
        /// Remove what the document does not name
        #[arg(long)]
        prune: bool,
        /// Leave out tools whose server does not exist
        #[arg(long)]
        skip_missing_servers: bool,
        /// Kept with the version this makes
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Print the account's configuration as a document, YAML or with `--json` JSON
    Export {
        /// Write to this file
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// The document's name
        #[arg(long)]
        name: Option<String>,
        /// Leave servers out
        #[arg(long)]
        no_servers: bool,
    },
    /// List what the policy was after each apply
    Versions,
    /// Keep the configuration as it is now as a version
    Keep {
        /// Why
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// A name; it moves here from a version that has it
        #[arg(long)]
        tag: Option<String>,
    },
    /// Go back to a version: what it does not name is removed, secrets stay as they are
    Rollback {
        /// Its number or its name
        #[arg(id = "policy_version", value_name = "VERSION")]
        version: String,
        /// Only say what would change
        #[arg(long)]
        preview: bool,
    },
    /// Give a version a name, which keeps it from being pruned; it moves here from a version that has it
    Tag {
        /// Its number or its present name
        #[arg(id = "policy_version", value_name = "VERSION")]
        version: String,
        /// The name: letters, digits, `.`, `_` and `-`
        #[arg(required_unless_present = "remove")]
        tag: Option<String>,
        /// Take its name away
        #[arg(long, conflicts_with = "tag")]
        remove: bool,
    },
    /// Remove old versions; the one in force always stays
    Prune {
        /// Those made so many days ago or longer
        #[arg(long, value_name = "DAYS", default_value_t = 90)]
        older_than_days: u32,
        /// The newest so many stay whatever their age
        #[arg(long, value_name = "COUNT", default_value_t = 10)]
        keep: u32,
        /// Remove those with a name, too
        #[arg(long)]
        tagged: bool,
    },
}

#[derive(Args)]
pub(crate) struct Files {
    /// Documents, folders of documents, or `-` for the standard input
    #[arg(value_name = "FILE", required = true)]
    paths: Vec<PathBuf>,
    /// Also look into folders within folders
    #[arg(short, long)]
    recursive: bool,
}

/// A policy document and where it came from.
pub(super) struct Document {
    pub(super) name: String,
    pub(super) text: String,
}

/// A server's answer about one document.
#[derive(Serialize)]
pub(super) struct About<T> {
    pub(super) file: String,
    #[serde(flatten)]
    pub(super) answer: T,
}

pub(crate) async fn run(command: &Policy, global: &Global) -> Result {
    let printer = global.printer();
    match command {
        Policy::Validate { files, no_references } => {
            let documents = files.read()?;
            let options = ValidateOptions { check_server_references: no_references.then_some(false) };
            validate(&Client::new(global)?, printer, documents, &options).await
        }
        Policy::Diff { files, prune, exit_code } => {
            let documents = files.read_for(*prune)?;
            diff(&Client::new(global)?, printer, documents, &DiffOptions { prune: *prune }, *exit_code).await
        }
        Policy::Apply { files, dry_run, prune, skip_missing_servers, description } => {
            let documents = files.read_for(*prune)?;
            let options = ApplyOptions {
                dry_run: *dry_run,
                prune: *prune,
                skip_missing_servers: *skip_missing_servers,
                description: description.clone(),
                ..ApplyOptions::default()
            };
            apply(&Client::new(global)?, printer, documents, &options).await
        }
        Policy::Export { output, name, no_servers } => {
            let options = ExportOptions {
                format: Some(if printer.format == Format::Json { "json" } else { "yaml" }.to_owned()),
                policy_name: name.clone(),
                include_mcp_servers: no_servers.then_some(false),
            };
            export(&Client::new(global)?, printer, &options, output.as_deref()).await
        }
        Policy::Test(test) => policy_test::run(test, printer),
        Policy::Lint(lint) => policy_lint::run(lint, global, printer).await,
        Policy::Generate(generate) => policy_generate::run(generate, global, printer).await,
        Policy::Replay(replay) => policy_replay::run(replay, global, printer).await,
        Policy::Keep { description, tag } => {
            let keep = KeepVersion { description: description.clone(), tag: tag.clone() };
            policy_versions::keep(&Client::new(global)?, printer, &keep).await
        }
        Policy::Rollback { version, preview } => {
            policy_versions::rollback(&Client::new(global)?, printer, version, *preview).await
        }
        Policy::Versions => policy_versions::list(&Client::new(global)?, printer).await,
        Policy::Tag { version, tag, .. } => {
            policy_versions::tag(&Client::new(global)?, printer, version, tag.as_deref()).await
        }
        Policy::Prune { older_than_days, keep, tagged } => {
            let which = PruneVersions { older_than_days: *older_than_days, keep_count: *keep, keep_tagged: !*tagged };
            policy_versions::prune(&Client::new(global)?, printer, &which).await
        }
    }
}

async fn validate(client: &Client, printer: Printer, documents: Vec<Document>, options: &ValidateOptions) -> Result {
    let mut answers = Vec::new();
    for document in &documents {
        let answer = check(client, document, options).await?;
        if printer.format == Format::Table {
            report(printer, document, &answer)?;
        }
        answers.push(About { file: document.name.clone(), answer });
    }
    let invalid = answers.iter().filter(|about| !about.answer.is_valid).count();
    if printer.format != Format::Table {
        printer.data(&answers)?;
    }
    match invalid {
        0 => Ok(()),
        invalid => Err(Failure::new(Exit::Invalid, format!("{invalid} of {} documents invalid", answers.len()))),
    }
}

async fn check(client: &Client, document: &Document, options: &ValidateOptions) -> Result<Validation> {
    client.post_document(&format!("{POLICIES}/validate"), options, document.text.clone()).await
}

fn report(printer: Printer, document: &Document, answer: &Validation) -> Result {
    for warning in &answer.warnings {
        warn(&format!("{}: {warning}", document.name));
    }
    for error in &answer.errors {
        eprintln!("{}", printable(&framed(document, error)));
    }
    if answer.is_valid && !printer.quiet {
        printer.text(&format!("{}: valid", document.name))?;
    }
    Ok(())
}

async fn diff(
    client: &Client,
    printer: Printer,
    documents: Vec<Document>,
    options: &DiffOptions,
    exit_code: bool,
) -> Result {
    let mut answers = Vec::new();
    for document in documents {
        valid(client, &document).await?;
        let answer: PolicyDiff =
            client.post_document(&format!("{POLICIES}/diff"), options, document.text.clone()).await?;
        if printer.format == Format::Table {
            let changes: String = answer.changes.iter().map(change).collect();
            printer.text(&format!("{}: {}\n{changes}", document.name, answer.summary))?;
        }
        answers.push(About { file: document.name, answer });
    }
    if printer.format != Format::Table {
        printer.data(&answers)?;
    }
    if exit_code && answers.iter().any(|about| about.answer.has_changes) {
        return Err(Failure::new(Exit::Failure, "there are differences"));
    }
    Ok(())
}

async fn apply(client: &Client, printer: Printer, documents: Vec<Document>, options: &ApplyOptions) -> Result {
    // Nothing is applied unless everything could be.
    for document in &documents {
        valid(client, document).await?;
    }
    let mut answers = Vec::new();
    for document in documents {
        let answer: PolicyImportResult =
            client.post_document(&format!("{POLICIES}/apply"), options, document.text.clone()).await?;
        for warning in &answer.warnings {
            warn(&format!("{}: {warning}", document.name));
        }
        if printer.format == Format::Table {
            printer.text(&applied(&document.name, &answer, options.dry_run))?;
        }
        answers.push(About { file: document.name, answer });
    }
    match printer.format {
        Format::Table => Ok(()),
        _ => printer.data(&answers),
    }
}

/// Shows what is wrong with a document the way compilers do, and fails if it is invalid.
pub(super) async fn valid(client: &Client, document: &Document) -> Result {
    // References are checked by the server once more, under the options of the command itself.
    let answer = check(client, document, &ValidateOptions { check_server_references: Some(false) }).await?;
    if answer.is_valid {
        return Ok(());
    }
    for error in &answer.errors {
        eprintln!("{}", printable(&framed(document, error)));
    }
    Err(Failure::new(Exit::Invalid, format!("`{}` is invalid; nothing was applied", document.name)))
}

async fn export(client: &Client, printer: Printer, options: &ExportOptions, output: Option<&Path>) -> Result {
    let response = client.stream(&format!("{POLICIES}/export"), options).await?;
    let text = response.text().await.map_err(|error| client.broken(error))?;
    match output {
        None => printer.document(&text),
        Some(path) => {
            fs::write(path, &text)
                .map_err(|error| Failure::new(Exit::Failure, format!("cannot write `{}`: {error}", path.display())))?;
            printer.note(&format!("written to `{}`", path.display()));
            Ok(())
        }
    }
}

/// One change, as in a diff.
pub(super) fn change(change: &PolicyChange) -> String {
    let sign = match change.operation.as_str() {
        "add" => '+',
        "remove" => '-',
        _ => '~',
    };
    let mut text = format!("{sign} {}", change.path);
    let _ = match (&change.old_value, &change.new_value) {
        (Some(old), Some(new)) => write!(text, ": {old} → {new}"),
        (None, Some(value)) | (Some(value), None) => write!(text, ": {value}"),
        (None, None) => Ok(()),
    };
    text + "\n"
}

fn applied(name: &str, answer: &PolicyImportResult, dry_run: bool) -> String {
    let counts = [
        (answer.mcp_servers_created, "servers added"),
        (answer.mcp_servers_updated, "servers changed"),
        (answer.policies_created, "workflows added"),
        (answer.policies_updated, "workflows changed"),
        (answer.tools_created, "tools added"),
        (answer.tools_updated, "tools changed"),
        (answer.tools_skipped, "tools skipped"),
        (answer.removed, "removed"),
    ];
    let counts: Vec<String> =
        counts.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}")).collect();
    let what = if counts.is_empty() { "nothing to change".to_owned() } else { counts.join(", ") };
    let how = if dry_run { "would be applied" } else { "applied" };
    let version = answer.version_number.map(|number| format!(" as version {number}")).unwrap_or_default();
    format!("{name}: {how}{version}: {what}")
}

/// An error with the line it is in, the way compilers show it.
fn framed(document: &Document, error: &PolicyError) -> String {
    let Document { name, text } = document;
    let mut out = match (error.line, error.column) {
        (Some(line), Some(column)) => format!("{name}:{line}:{column}: {}", error.message),
        (Some(line), None) => format!("{name}:{line}: {}", error.message),
        _ => format!("{name}: {}: {}", error.path, error.message),
    };
    let place =
        error.line.and_then(|line| Some((line, text.lines().nth(usize::try_from(line).ok()?.checked_sub(1)?)?)));
    if let Some((number, line)) = place.filter(|(_, line)| line.len() <= FRAME_MAX) {
        let number = number.to_string();
        let margin = " ".repeat(number.len());
        let _ = write!(out, "\n  {number} | {line}");
        if let Some(column) = error.column.and_then(|column| usize::try_from(column).ok()) {
            let _ = write!(out, "\n  {margin} | {}^", " ".repeat(column.saturating_sub(1).min(line.chars().count())));
        }
    }
    if let Some(help) = &error.help {
        let _ = write!(out, "\n  help: {help}");
    }
    out
}

impl Files {
    /// Every document, in the order given; those of a folder by name.
    pub(super) fn read(&self) -> Result<Vec<Document>> {
        let mut documents = Vec::new();
        for path in &self.paths {
            if path.as_os_str() == "-" {
                documents.push(read_one(path)?);
            } else if path.is_dir() {
                let found = documents.len();
                read_folder(path, self.recursive, &mut documents)?;
                if documents.len() == found {
                    return Err(Failure::new(Exit::NotFound, format!("no documents in `{}`", path.display()))
                        .help("looked for `*.yaml`, `*.yml` and `*.json`; `--recursive` looks deeper"));
                }
            } else {
                documents.push(read_file(path)?);
            }
        }
        Ok(documents)
    }

    /// The same; with `--prune` only one document, as each would remove what the others brought.
    fn read_for(&self, prune: bool) -> Result<Vec<Document>> {
        let documents = self.read()?;
        if prune && documents.len() > 1 {
            return Err(Failure::usage("`--prune` takes one document: a second would remove what the first brought"));
        }
        Ok(documents)
    }
}

/// One document.
pub(super) fn read_one(path: &Path) -> Result<Document> {
    if path.as_os_str() == "-" {
        return Ok(Document { name: "<stdin>".to_owned(), text: read_all(std::io::stdin(), "<stdin>")? });
    }
    read_file(path)
}

fn read_folder(folder: &Path, recursive: bool, documents: &mut Vec<Document>) -> Result {
    let unreadable = |error| Failure::new(Exit::Failure, format!("cannot read `{}`: {error}", folder.display()));
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        paths.push(entry.map_err(unreadable)?.path());
    }
    paths.sort();
    for path in paths {
        let is_document = path.extension().is_some_and(|kind| kind == "yaml" || kind == "yml" || kind == "json");
        if path.is_file() && is_document && !policy_test::is_test(&path) {
            documents.push(read_file(&path)?);
        } else if recursive && path.is_dir() && !path.is_symlink() {
            read_folder(&path, recursive, documents)?;
        }
    }
    Ok(())
}

pub(super) fn read_file(path: &Path) -> Result<Document> {
    let name = path.display().to_string();
    let file = fs::File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Failure::new(Exit::NotFound, format!("there is no file `{name}`")),
        _ => Failure::new(Exit::Failure, format!("cannot read `{name}`: {error}")),
    })?;
    Ok(Document { text: read_all(file, &name)?, name })
}

fn read_all(from: impl Read, name: &str) -> Result<String> {
    let mut text = String::new();
    from.take(DOCUMENT_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(Exit::Invalid, format!("cannot read `{name}`: {error}")))?;
    if text.len() as u64 > DOCUMENT_MAX {
        return Err(Failure::new(Exit::Invalid, format!("`{name}` is larger than {} KiB", DOCUMENT_MAX / 1024)));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_its_line() {
        let document = Document { name: "policy.yaml".to_owned(), text: "a: 1\n  tols: []\n".to_owned() };
        let error = PolicyError {
            path: "$.tols".to_owned(),
            message: "unknown key `tols`".to_owned(),
            value: None,
            line: Some(2),
            column: Some(3),
            help: Some("did you mean `tools`?".to_owned()),
        };
        let shown = "policy.yaml:2:3: unknown key `tols`\n  2 |   tols: []\n    |   ^\n  help: did you mean `tools`?";
        assert_eq!(framed(&document, &error), shown);

        let beyond = PolicyError { line: Some(99), help: None, ..error };
        assert_eq!(framed(&document, &beyond), "policy.yaml:99:3: unknown key `tols`");
    }
}
