//! `preloop doctor`: looks for what is wrong with an installation, and says how to mend it.

use std::path::{Path, PathBuf};

use clap::Args;
use preloop_api_types::{
    Utc,
    api_keys::ApiKey,
    audit::{AuditRecord, ListAudit},
    mcp_servers::McpServer,
    policies::{ExportOptions, ValidateOptions, Validation},
    system::{Health, Version},
    tools::Tool,
};
use preloop_types::config::{PinState, ServerStatus};
use serde::Serialize;

use crate::{
    agent::CLIENT,
    cli::Global,
    client::Client,
    commands::{keys::whom, serve, version::OURS},
    credentials,
    failure::{Exit, Failure, Result},
    output::{Format, Printer},
};

/// Clocks further apart than this make expiries surprising.
const SKEW_SECONDS_MAX: i64 = 5;

#[derive(Args)]
pub(crate) struct Doctor {
    /// The server's data directory, when it is on this machine
    #[arg(long, value_name = "FOLDER", env = "PRELOOP_DATA_DIR")]
    data_dir: Option<PathBuf>,
}

/// What one look found.
#[derive(Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Warning,
    Problem,
    Skipped,
}

/// Findings in the order they were made.
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, check: &'static str, state: State, detail: impl Into<String>) -> &mut Finding {
        let at = self.0.len();
        self.0.push(Finding { check, state, detail: detail.into(), help: None });
        &mut self.0[at]
    }

    fn ok(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, State::Ok, detail);
    }

    fn problem(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, State::Problem, detail);
    }

    /// The check could not be made, for the reason the failure gives.
    fn failed(&mut self, check: &'static str, failure: Failure) {
        let state = if failure.exit == Exit::Forbidden { State::Skipped } else { State::Problem };
        self.add(check, state, failure.message).help = failure.help;
    }
}

impl Finding {
    fn help(&mut self, help: impl Into<String>) {
        self.help = Some(help.into());
    }
}

pub(crate) async fn run(command: &Doctor, global: &Global) -> Result {
    let mut found = Findings(Vec::new());
    credentials_file(&mut found);
    data_dir(&mut found, command.data_dir.as_deref());

    let client = Client::new(global)?;
    if reachable(&mut found, &client).await {
        version(&mut found, &client).await;
        if signed_in(&mut found, &client).await {
            servers(&mut found, &client).await;
            tools(&mut found, &client).await;
            policy(&mut found, &client).await;
            agents_keys(&mut found, &client).await;
        }
    }
    print(global.printer(), &found.0)
}

fn print(printer: Printer, found: &[Finding]) -> Result {
    if printer.format == Format::Table {
        let shown = found.iter().filter(|finding| !printer.quiet || finding.state != State::Ok);
        let lines: Vec<String> = shown
            .map(|finding| {
                let mark = match finding.state {
                    State::Ok => "ok     ",
                    State::Warning => "warning",
                    State::Problem => "PROBLEM",
                    State::Skipped => "skipped",
                };
                let help = finding.help.as_deref().map(|help| format!("\n           help: {help}")).unwrap_or_default();
                format!("{mark}  {}: {}{help}", finding.check, finding.detail)
            })
            .collect();
        printer.text(&lines.join("\n"))?;
    } else {
        printer.data(&found)?;
    }
    match found.iter().filter(|finding| finding.state == State::Problem).count() {
        0 => Ok(()),
        count => Err(Failure::new(Exit::Failure, format!("{count} problem(s) found"))),
    }
}

fn credentials_file(found: &mut Findings) {
    const CHECK: &str = "credentials file";
    match credentials::path() {
        Err(error) => found.add(CHECK, State::Warning, error.to_string()).help("set PRELOOP_CONFIG_DIR"),
        Ok(path) if !path.exists() => found.ok(CHECK, "none; PRELOOP_TOKEN is used when set"),
        Ok(path) => match credentials::Credentials::read(&path) {
            Err(error) => found.add(CHECK, State::Problem, error.to_string()).help("mend or remove the file"),
            Ok(_) => private(found, CHECK, &path, 0o600),
        },
    }
}

fn data_dir(found: &mut Findings, named: Option<&Path>) {
    const CHECK: &str = "data directory";
    let path = match named.map_or_else(serve::default_data_dir, |path| Ok(path.to_owned())) {
        Ok(path) => path,
        Err(failure) => return found.failed(CHECK, failure),
    };
    if !path.exists() {
        found.add(CHECK, State::Skipped, format!("`{}` is not there", path.display()));
        return;
    }
    private(found, CHECK, &path, 0o700);
    let key = path.join(serve::INSTANCE_KEY);
    if key.exists() {
        private(found, "instance key", &key, 0o600);
    }
}

/// Whether nobody but the owner can get at a file or folder.
#[cfg(unix)]
fn private(found: &mut Findings, check: &'static str, path: &Path, wanted: u32) {
    use std::os::unix::fs::PermissionsExt;
    let shown = path.display();
    match path.metadata().map(|facts| facts.permissions().mode() & 0o777) {
        Err(error) => found.problem(check, format!("cannot look at `{shown}`: {error}")),
        Ok(mode) if mode & !wanted == 0 => found.ok(check, format!("`{shown}` is its owner's alone")),
        Ok(mode) => found
            .add(check, State::Problem, format!("`{shown}` has mode {mode:04o}: others can get at secrets"))
            .help(format!("`chmod {wanted:04o} {shown}`")),
    }
}

#[cfg(not(unix))]
fn private(found: &mut Findings, check: &'static str, path: &Path, _wanted: u32) {
    found.add(check, State::Skipped, format!("who can read `{}` is not checked on this system", path.display()));
}

async fn reachable(found: &mut Findings, client: &Client) -> bool {
    const CHECK: &str = "server";
    match client.get::<Health>("/api/v1/health").await {
        Err(failure) => {
            found.failed(CHECK, failure);
            false
        }
        Ok(health) => {
            match health.status.as_str() {
                "healthy" => found.ok(CHECK, format!("healthy at `{}`", client.base())),
                _ => found.problem(CHECK, format!("unhealthy: the database is {}", health.database)),
            }
            let skew = (Utc::now() - health.timestamp).num_seconds().abs();
            match skew {
                ..=SKEW_SECONDS_MAX => found.ok("clock", "agrees with the server's"),
                skew => found
                    .add("clock", State::Warning, format!("{skew} s away from the server's"))
                    .help("expiries of approvals and keys follow the server's clock; set both with NTP"),
            }
            true
        }
    }
}

async fn version(found: &mut Findings, client: &Client) {
    const CHECK: &str = "version";
    match client.get::<Version>("/api/v1/version").await {
        Err(failure) => found.failed(CHECK, failure),
        Ok(there) if there.server_version == OURS => found.ok(CHECK, OURS),
        Ok(there) => found
            .add(CHECK, State::Warning, format!("this client is {OURS}, the server {}", there.server_version))
            .help("use the client that came with the server"),
    }
}

async fn signed_in(found: &mut Findings, client: &Client) -> bool {
    const CHECK: &str = "credential";
    match client.get::<Vec<ApiKey>>("/api/v1/auth/api-keys").await {
        Ok(_) => {
            found.ok(CHECK, "accepted, with administration");
            true
        }
        Err(failure) => {
            found.add(CHECK, State::Problem, failure.message).help = failure.help;
            false
        }
    }
}

async fn servers(found: &mut Findings, client: &Client) {
    const CHECK: &str = "upstream servers";
    let servers: Vec<McpServer> = match client.get("/api/v1/mcp-servers").await {
        Ok(servers) => servers,
        Err(failure) => return found.failed(CHECK, failure),
    };
    let before = found.0.len();
    for server in &servers {
        let why = server.last_error.as_deref().unwrap_or("no reason was given");
        match server.status {
            ServerStatus::Error => found
                .add(CHECK, State::Problem, format!("`{}` fails: {why}", server.name))
                .help(format!("mend it, then `preloop mcp scan {}`", server.slug)),
            ServerStatus::NeedsAuth => found
                .add(CHECK, State::Problem, format!("`{}` waits for your consent", server.name))
                .help(format!("`preloop mcp scan {}` shows where it is given", server.slug)),
            ServerStatus::Active | ServerStatus::Disabled => {}
        }
    }
    if found.0.len() == before {
        found.ok(CHECK, format!("{} and none fails", servers.len()));
    }
}

async fn tools(found: &mut Findings, client: &Client) {
    const CHECK: &str = "tools";
    let tools: Vec<Tool> = match client.get("/api/v1/tools").await {
        Ok(tools) => tools,
        Err(failure) => return found.failed(CHECK, failure),
    };
    let blocked: Vec<&str> = tools
        .iter()
        .filter(|tool| matches!(tool.pin, Some(PinState::Drifted | PinState::Quarantined)))
        .map(|tool| tool.name.as_str())
        .collect();
    match blocked.first() {
        None => found.ok(CHECK, format!("{} and none is blocked", tools.len())),
        Some(first) => found
            .add(CHECK, State::Warning, format!("blocked because their definition changed: {}", blocked.join(", ")))
            .help(format!("`preloop tools diff {first}`, then `preloop tools accept {first}`")),
    }
}

/// Holds what is configured against the checks a new document must pass.
async fn policy(found: &mut Findings, client: &Client) {
    const CHECK: &str = "policy";
    match checked_policy(client).await {
        Err(failure) => found.failed(CHECK, failure),
        Ok(Validation { errors, warnings, .. }) => {
            let before = found.0.len();
            for error in &errors {
                found
                    .add(CHECK, State::Problem, format!("{}: {}", error.path, error.message))
                    .help
                    .clone_from(&error.help);
            }
            for warning in warnings {
                found.add(CHECK, State::Warning, warning);
            }
            if found.0.len() == before {
                found.ok(CHECK, "nothing to complain about");
            }
        }
    }
}

async fn checked_policy(client: &Client) -> Result<Validation> {
    let answer = client.stream("/api/v1/policies/export", &ExportOptions::default()).await?;
    let text = answer.text().await.map_err(|error| client.broken(error))?;
    client.post_document("/api/v1/policies/validate", &ValidateOptions::default(), text).await
}

/// An agent that holds an administrator's key could approve its own calls.
async fn agents_keys(found: &mut Findings, client: &Client) {
    const CHECK: &str = "agents' keys";
    match administrators_that_call(client).await {
        Err(failure) => found.failed(CHECK, failure),
        Ok(names) if names.is_empty() => found.ok(CHECK, "no agent was seen with an administrator's key"),
        Ok(names) => found
            .add(CHECK, State::Problem, format!("tools were called with an administrator's key: {}", names.join(", ")))
            .help("an agent with it could approve its own calls: `preloop keys create NAME` makes one for an agent"),
    }
}

async fn administrators_that_call(client: &Client) -> Result<Vec<String>> {
    let keys: Vec<ApiKey> = client.get("/api/v1/auth/api-keys").await?;
    let query = ListAudit { action: Some("call.intent".to_owned()), limit: Some(1000), ..ListAudit::default() };
    let calls: Vec<AuditRecord> = client.list("/api/v1/audit-logs", &query).await?;
    // People try tools out with `preloop tools call`; that is no agent.
    let by_hand = |call: &AuditRecord| call.details["client"].as_str().is_some_and(|name| name.starts_with(CLIENT));
    let called = |key: &&ApiKey| calls.iter().any(|call| call.api_key_id == Some(key.id) && !by_hand(call));
    let administrators = keys.iter().filter(|key| key.revoked_at.is_none() && whom(&key.scopes) == "a person");
    Ok(administrators.filter(called).map(|key| format!("`{}`", key.name)).collect())
}
