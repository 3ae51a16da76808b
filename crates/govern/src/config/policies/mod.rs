//! The configuration as one document: read it, say what it would change, apply it whole or not at
//! all, write it down, go back.

mod apply;
mod generate;
mod lint;
mod replay;
mod versions;

use std::sync::{Arc, Mutex, PoisonError};

use preloop_policy::{
    check::{self, Finding, Severity, ToolSchema},
    diff::{Diff, Operation},
    document::{self, Document, Known, LookUp, Report},
    export::Rows,
};
use preloop_store::Tx;
use preloop_types::{
    AccountId, Principal, TeamId, Timestamp, User, UserId,
    config::{Defaults, Server, Tool, ToolConfig, Workflow},
};
use serde_json::Value;

use super::{Config, ConfigError, PolicyProblem, Result, conditions, record::Actor};
pub use apply::Applied;
pub use generate::{GenerateFrom, Generated};
pub use lint::LintRequest;
pub use replay::ReplayRequest;

/// Largest document, in bytes.
const DOCUMENT_MAX: usize = 256 * 1024;

/// Which environment variables a policy document may read.
#[derive(Debug, Clone, Default)]
pub struct EnvAllowList {
    /// Names listed by the operator, besides those that start with `PRELOOP_POLICY_`.
    pub names: Vec<String>,
}

impl EnvAllowList {
    /// The variable's value, if the document may read it and it is set.
    fn value(&self, name: &str) -> Option<String> {
        let allowed = name.starts_with("PRELOOP_POLICY_") || self.names.iter().any(|listed| listed == name);
        allowed.then(|| std::env::var(name).ok()).flatten()
    }
}

/// A document to be applied, and how.
#[derive(Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of one request")]
pub struct ApplyRequest {
    /// The document, YAML or JSON.
    pub text: String,
    /// Do everything but write.
    pub dry_run: bool,
    /// Remove what the document does not name.
    pub prune: bool,
    /// Leave out tools whose server does not exist.
    pub skip_missing_servers: bool,
    /// Replace `${NAME}`.
    pub resolve_env: bool,
    /// Kept with the version this makes.
    pub description: Option<String>,
}

impl Config {
    /// Says what is wrong with a document. With `check_references`, names are also looked up in
    /// the account.
    pub async fn validate_policy(
        &self,
        who: &Principal,
        text: &str,
        check_references: bool,
    ) -> Result<(Vec<PolicyProblem>, Vec<String>)> {
        let rows = self.rows(who.account).await?;
        let known = check_references.then(|| rows.known());
        let tools = if check_references { self.tools(who.account, &rows.servers).await? } else { Vec::new() };
        Ok(self.read(text, known, tools, false).await?.problems(|_| true))
    }

    /// What applying a document would change.
    pub async fn diff_policy(&self, who: &Principal, text: &str, prune: bool) -> Result<Diff> {
        let rows = self.rows(who.account).await?;
        let read = self.read(text, Some(rows.known()), Vec::new(), false).await?;
        let (wanted, _) = read.document(|_, _| true)?;
        Ok(rows.diff(&wanted, prune, self.store.now()))
    }

    /// Applies a document in one transaction.
    pub async fn apply_policy(&self, who: &Principal, request: ApplyRequest) -> Result<Applied> {
        let rows = self.rows(who.account).await?;
        // Without the account's names, a server that is missing is no error of the document.
        let known = (!request.skip_missing_servers).then(|| rows.known());
        let tools = self.tools(who.account, &rows.servers).await?;
        let read = self.read(&request.text, known, tools, request.resolve_env).await?;
        // A condition that was saved before its tool changed must not keep an export from being
        // applied: what stays as it is is not judged.
        let (document, warnings) = read.document(|document, path| {
            let diff = rows.diff(document, false, self.store.now());
            changes_tool(&diff, document, path)
        })?;
        let (by, user, options) = (Actor::from(who), who.user, self.options.clone());
        let rehearsed = Arc::new(Mutex::new(None));
        let stage = rehearsed.clone();
        let dry_run = request.dry_run;
        let outcome = self
            .change(who.account, move |tx| {
                Box::pin(async move {
                    let mut applied = apply::apply(tx, by, user, &options, &document, &request).await?;
                    applied.warnings.splice(0..0, warnings);
                    if dry_run {
                        *stage.lock().unwrap_or_else(PoisonError::into_inner) = Some(applied);
                        return Err(ConfigError::Refused("this was a rehearsal".into()));
                    }
                    Ok(applied)
                })
            })
            .await;
        let rehearsed = rehearsed.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (outcome, rehearsed) {
            (Err(ConfigError::Refused(_)), Some(applied)) => Ok(Applied { version: None, ..applied }),
            (outcome, _) => outcome,
        }
    }

    /// The account's configuration as a document.
    pub async fn export_policy(&self, who: &Principal, name: &str, with_servers: bool) -> Result<Document> {
        let rows = self.rows(who.account).await?;
        let mut document = Document::from_rows(&rows.borrow(), name, self.store.now());
        if !with_servers {
            document.mcp_servers.clear();
        }
        Ok(document)
    }

    /// Reads a document away from the runtime's threads: conditions are compiled.
    async fn read(&self, text: &str, known: Option<Known>, tools: Vec<KnownTool>, resolve_env: bool) -> Result<Read> {
        if text.len() > DOCUMENT_MAX {
            let message = format!("the document is {} bytes long; at most {DOCUMENT_MAX} are allowed", text.len());
            return Err(ConfigError::Refused(message));
        }
        let (text, options) = (text.to_owned(), self.options.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let look_up = move |name: &str| options.policy_env.value(name);
            let variables: Option<&LookUp> = if resolve_env { Some(&look_up) } else { None };
            let report = document::read(&text, document::Options { known: known.as_ref(), variables });
            let schemas: Vec<_> = tools.iter().filter_map(KnownTool::schema).collect();
            let check = |document| check::document(document, &report.source, &schemas);
            let findings = report.document.as_ref().map(check).unwrap_or_default();
            Read { report, findings }
        });
        reading.await.map_err(|_| unread())
    }

    async fn tools(&self, account: AccountId, servers: &[Server]) -> Result<Vec<KnownTool>> {
        let tools = self.store.account(account).tools().await?.into_iter().filter(|tool| tool.removed_at.is_none());
        let known = |tool: Tool| {
            let server = servers.iter().find(|server| server.id == tool.server_id)?.name.clone();
            Some(KnownTool { server, tool })
        };
        Ok(tools.filter_map(known).collect())
    }

    async fn rows(&self, account: AccountId) -> Result<OwnedRows> {
        let store = self.store.account(account);
        Ok(OwnedRows {
            servers: store.servers().await?,
            workflows: store.workflows().await?,
            configs: store.tool_configs().await?,
            defaults: store.defaults().await?,
            users: names(&store.users().await?),
            teams: store.teams().await?.into_iter().map(|team| (team.id, team.name)).collect(),
        })
    }
}

/// Reading failed for a reason that is not the document's.
fn unread() -> ConfigError {
    ConfigError::Refused("the document could not be read".into())
}

/// A tool that a server of the account has.
struct KnownTool {
    server: String,
    tool: Tool,
}

impl KnownTool {
    fn schema(&self) -> Option<ToolSchema<'_>> {
        let schema = conditions::input_schema(&self.tool)?;
        Some(ToolSchema { server: &self.server, name: &self.tool.upstream_name, schema })
    }
}

/// An account's configuration.
struct OwnedRows {
    servers: Vec<Server>,
    workflows: Vec<Workflow>,
    configs: Vec<ToolConfig>,
    defaults: Defaults,
    users: Vec<(UserId, String)>,
    teams: Vec<(TeamId, String)>,
}

impl OwnedRows {
    async fn read(tx: &mut Tx<'_>) -> Result<Self> {
        Ok(Self {
            servers: tx.servers().await?,
            workflows: tx.workflows().await?,
            configs: tx.tool_configs().await?,
            defaults: tx.defaults().await?,
            users: names(&tx.users().await?),
            teams: tx.teams().await?.into_iter().map(|team| (team.id, team.name)).collect(),
        })
    }

    fn borrow(&self) -> Rows<'_> {
        Rows {
            servers: &self.servers,
            workflows: &self.workflows,
            configs: &self.configs,
            defaults: &self.defaults,
            users: &self.users,
            teams: &self.teams,
        }
    }

    fn known(&self) -> Known {
        Known {
            servers: self.servers.iter().map(|server| server.name.clone()).collect(),
            workflows: self.workflows.iter().map(|workflow| workflow.name.clone()).collect(),
            users: self.users.iter().map(|(_, name)| name.clone()).collect(),
            teams: self.teams.iter().map(|(_, name)| name.clone()).collect(),
            has_default_workflow: self.defaults.default_workflow.is_some()
                || self.workflows.iter().any(|workflow| workflow.is_default),
        }
    }

    fn diff(&self, wanted: &Document, prune: bool, now: Timestamp) -> Diff {
        let current = Document::from_rows(&self.borrow(), "current", now);
        let mut diff = Diff::between(&current, wanted, prune);
        if keeps_default(wanted) {
            diff.changes.retain(|change| {
                let is_default = change.old_value.as_ref().and_then(|old| old.get("is_default"));
                change.operation != Operation::Remove || is_default != Some(&Value::Bool(true))
            });
        }
        diff
    }
}

/// Without a default workflow nobody could be asked, so pruning keeps the one there is unless the
/// document brings another.
fn keeps_default(wanted: &Document) -> bool {
    !wanted.approval_workflows.iter().any(|workflow| workflow.is_default)
}

fn names(users: &[User]) -> Vec<(UserId, String)> {
    users.iter().map(|user| (user.id, user.username.clone())).collect()
}

fn problem(problem: &document::Problem) -> PolicyProblem {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    PolicyProblem {
        path: problem.path.clone(),
        message: problem.message.clone(),
        line: problem.place.as_ref().map(|place| number(place.line)),
        column: problem.place.as_ref().map(|place| number(place.column)),
        help: problem.help.clone(),
    }
}

/// A document that was read, and what checking its conditions found.
struct Read {
    report: Report,
    findings: Vec<Finding>,
}

impl Read {
    /// Everything that is wrong, and what to look at. Findings count if `judged` says so of their
    /// path.
    fn problems(&self, judged: impl Fn(&str) -> bool) -> (Vec<PolicyProblem>, Vec<String>) {
        let findings = || self.findings.iter().filter(|finding| judged(&finding.problem.path));
        let bad = findings().filter(|finding| finding.severity == Severity::Error).map(|finding| &finding.problem);
        let odd = findings().filter(|finding| finding.severity == Severity::Warning).map(|finding| &finding.problem);
        let errors = self.report.errors.iter().chain(bad).map(problem).collect();
        let warnings = self.report.warnings.iter().chain(odd).map(warning).collect();
        (errors, warnings)
    }

    /// The document and its warnings, or everything that is wrong with it.
    fn document(mut self, judged: impl Fn(&Document, &str) -> bool) -> Result<(Document, Vec<String>)> {
        let Some(document) = self.report.document.take() else {
            let (errors, warnings) = self.problems(|_| true);
            return Err(ConfigError::Policy { errors, warnings });
        };
        match self.problems(|path| judged(&document, path)) {
            (errors, warnings) if errors.is_empty() => Ok((document, warnings)),
            (errors, warnings) => Err(ConfigError::Policy { errors, warnings }),
        }
    }
}

fn warning(problem: &document::Problem) -> String {
    match (&problem.place, &problem.help) {
        (Some(place), Some(help)) => format!("line {}: {} ({help})", place.line, problem.message),
        (Some(place), None) => format!("line {}: {}", place.line, problem.message),
        (None, _) => format!("{}: {}", problem.path, problem.message),
    }
}

/// Whether applying changes the tool that `path` (`$.tools.2…`) is about.
fn changes_tool(diff: &Diff, document: &Document, path: &str) -> bool {
    let index = path.strip_prefix("$.tools.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
    let Some(tool) = index.and_then(|index| document.tools.get(index)) else { return true };
    let key = format!("$.tools[name={},source={}]", tool.name, tool.source.as_str());
    diff.changes.iter().any(|change| change.path == key)
}
