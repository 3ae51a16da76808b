//! `preloop mcp`: the servers behind the firewall, and the bridge for clients that only start a
//! process.

use std::{collections::BTreeMap, sync::Arc};

use clap::{Args, Subcommand};
use preloop_api_types::{
    JsonObject,
    mcp_servers::{CreateMcpServer, McpServer, McpTool, OAuthConsent, ScanResult, ServerSettings},
};
use preloop_mcp::stdio_bridge::{self, BridgeOptions};
use preloop_types::config::{PinMode, PinState, PrefixMode, ServerStatus};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{
    cli::{Global, some_text},
    client::{Client, parse_url},
    failure::{Exit, Failure, Result},
    output::{Printer, warn},
    signals::asked_to_end,
    words::{find, from_environment, maybe_at},
};

const SERVERS: &str = "/api/v1/mcp-servers";

#[derive(Subcommand)]
pub(crate) enum Mcp {
    /// Add a server and list its tools
    #[command(after_help = "Examples:\n  \
        preloop mcp add files -- npx -y @modelcontextprotocol/server-filesystem /srv/data\n  \
        preloop mcp add tickets https://mcp.example.com/mcp --bearer-env TICKETS_TOKEN")]
    Add(Box<Add>),
    /// List servers
    List,
    /// List a server's tools anew; for one that waits for OAuth consent, show where it is given
    Scan {
        /// Its name, slug or id
        #[arg(value_parser = some_text())]
        server: String,
    },
    /// Remove a server with its tools and their configuration
    Remove {
        /// Its name, slug or id
        #[arg(value_parser = some_text())]
        server: String,
    },
    /// Speak MCP on the standard input and output, for clients that only start a process
    Bridge {
        /// Only this server's tools
        #[arg(long, value_name = "SLUG")]
        server: Option<String>,
    },
}

#[derive(Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own on the command line")]
pub(crate) struct Add {
    /// Its name, unique in the account
    #[arg(value_parser = some_text())]
    name: String,
    /// Its URL
    #[arg(value_name = "URL", required_unless_present = "command", conflicts_with = "command")]
    address: Option<String>,
    /// The program that serves on its standard input and output, after `--`
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,

    /// How a URL is spoken to: `streamable-http`, or `sse` for servers of 2024
    #[arg(long, default_value = "streamable-http", conflicts_with = "command", value_parser = ["streamable-http", "sse"])]
    transport: String,
    /// Send the token in this environment variable as `Authorization: Bearer`
    #[arg(long, value_name = "VARIABLE", conflicts_with = "command")]
    bearer_env: Option<String>,
    /// Send a header with the value of an environment variable (repeatable)
    #[arg(long = "header", value_name = "NAME=VARIABLE", conflicts_with_all = ["command", "bearer_env"])]
    headers: Vec<String>,
    /// Sign in with OAuth; the consent page's address is shown
    #[arg(long, conflicts_with_all = ["command", "bearer_env", "headers"])]
    oauth: bool,

    /// Give the program an environment variable; `NAME` alone takes its value from here (repeatable)
    #[arg(long = "env", value_name = "NAME[=VALUE]", requires = "command")]
    environment: Vec<String>,
    /// Run the program in this folder
    #[arg(long, value_name = "FOLDER", requires = "command")]
    cwd: Option<String>,

    /// Let the server ask the agent's model for completions
    #[arg(long)]
    allow_sampling: bool,
    /// Do not let the server ask the agent's user for input
    #[arg(long)]
    no_elicitation: bool,
    /// Let the server see which folders the agent works in
    #[arg(long)]
    allow_roots: bool,
    /// Let the URL lead to this machine or a private network, where the instance does not by default
    #[arg(long, conflicts_with = "command")]
    allow_private_network: bool,
    /// Believe what the server says of its tools: read-only, idempotent
    #[arg(long)]
    trust_annotations: bool,
    /// When tools are called `<server>__<tool>`
    #[arg(long, value_parser = prefix)]
    prefix: Option<PrefixMode>,
    /// What happens when a tool's definition changes
    #[arg(long, value_parser = pin)]
    pin: Option<PinMode>,
    /// Longest wait for a call's result, in seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    call_timeout: Option<u64>,
}

pub(crate) async fn run(command: &Mcp, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match command {
        Mcp::Add(server) => add(&client, printer, server).await,
        Mcp::List => list(&client, printer).await,
        Mcp::Scan { server } => scan(&client, printer, server).await,
        Mcp::Remove { server } => remove(&client, printer, server).await,
        Mcp::Bridge { server } => bridge(&client, global, server.as_deref()).await,
    }
}

async fn add(client: &Client, printer: Printer, wanted: &Add) -> Result {
    let added: McpServer = client.post(SERVERS, &wanted.body()?).await?;
    match added.status {
        ServerStatus::Error => {
            let why = added.last_error.as_deref().unwrap_or("it does not answer");
            Err(Failure::new(
                Exit::Failure,
                format!("`{}` was added, but its tools cannot be listed: {why}", added.name),
            )
            .help(format!("once that is mended: `preloop mcp scan {}`", added.slug)))
        }
        ServerStatus::NeedsAuth => consent(client, printer, &added).await,
        _ => {
            let tools: Vec<McpTool> = client.get(&format!("{SERVERS}/{}/tools", added.id)).await?;
            let names: Vec<&str> = tools.iter().map(|tool| tool.exposed_name.as_str()).collect();
            printer.done(&added, &format!("`{}` is added with {} tools: {}", added.name, names.len(), names.join(", ")))
        }
    }
}

async fn list(client: &Client, printer: Printer) -> Result {
    let servers: Vec<McpServer> = client.get(SERVERS).await?;
    printer.list(
        &servers,
        &[
            ("name", |server| server.name.clone()),
            ("slug", |server| server.slug.clone()),
            ("status", |server| server.status.as_str().replace('_', " ")),
            ("transport", |server| server.transport.clone()),
            ("where", target),
            ("scanned", |server| maybe_at(server.last_scan_at)),
            ("error", |server| server.last_error.clone().unwrap_or_default()),
        ],
        "there are no servers; `preloop mcp add` adds one",
    )
}

async fn scan(client: &Client, printer: Printer, wanted: &str) -> Result {
    let server = named(client, wanted).await?;
    if server.status == ServerStatus::NeedsAuth {
        return consent(client, printer, &server).await;
    }
    let found: ScanResult = client.post(&format!("{SERVERS}/{}/scan", server.id), &json!({})).await?;
    for warning in &found.warnings {
        warn(warning);
    }
    let changes = [("new", &found.added), ("changed", &found.changed), ("gone", &found.removed)];
    let changes = changes.iter().filter(|(_, names)| !names.is_empty());
    let changes = changes.fold(String::new(), |text, (what, names)| text + "\n  " + what + ": " + &names.join(", "));
    let blocked = found.tools.iter().filter(|tool| tool.pin != PinState::Pinned && tool.removed_at.is_none()).count();
    let blocked = match blocked {
        0 => String::new(),
        count => format!("\n  {count} blocked until accepted: `preloop tools diff NAME`, `preloop tools accept NAME`"),
    };
    let count = found.tools.iter().filter(|tool| tool.removed_at.is_none()).count();
    printer.done(&found, &format!("`{}` has {count} tools{changes}{blocked}", server.name))
}

/// Begins OAuth consent and shows where a person gives it.
async fn consent(client: &Client, printer: Printer, server: &McpServer) -> Result {
    let consent: OAuthConsent = client.post(&format!("{SERVERS}/{}/oauth/authorize", server.id), &json!({})).await?;
    let page = &consent.authorization_url;
    printer.done(&consent, &format!("`{}` waits for your consent. Open in a browser:\n{page}", server.name))
}

async fn remove(client: &Client, printer: Printer, wanted: &str) -> Result {
    let server = named(client, wanted).await?;
    client.delete(&format!("{SERVERS}/{}", server.id)).await?;
    printer.done(&server, &format!("`{}` is removed", server.name))
}

async fn named(client: &Client, wanted: &str) -> Result<McpServer> {
    let servers: Vec<McpServer> = client.get(SERVERS).await?;
    find("server", &servers, wanted, |server| server.id, |server| vec![&server.name, &server.slug]).cloned()
}

/// Where a server is, for people.
fn target(server: &McpServer) -> String {
    match (&server.url, &server.command) {
        (Some(url), _) => url.clone(),
        (None, Some(command)) => {
            std::iter::once(command).chain(&server.args).map(String::as_str).collect::<Vec<_>>().join(" ")
        }
        (None, None) => String::new(),
    }
}

impl Add {
    fn body(&self) -> Result<CreateMcpServer> {
        let (auth_type, auth_config) = self.auth()?;
        let (command, args) = match self.command.split_first() {
            Some((command, args)) => (Some(command.clone()), args.to_vec()),
            None => (None, Vec::new()),
        };
        let environment = self.environment.iter().map(|pair| variable(pair)).collect::<Result<BTreeMap<_, _>>>()?;
        Ok(CreateMcpServer {
            name: self.name.clone(),
            transport: if command.is_some() { "stdio".to_owned() } else { self.transport.clone() },
            url: self.address.clone(),
            command,
            args,
            env: environment,
            cwd: self.cwd.clone(),
            auth_type: auth_type.to_owned(),
            auth_config,
            settings: self.settings(),
            ..CreateMcpServer::default()
        })
    }

    /// Tokens come from the environment only: a command line can be read by others.
    fn auth(&self) -> Result<(&'static str, Option<JsonObject>)> {
        if let Some(name) = &self.bearer_env {
            return Ok(("bearer", object(json!({ "token": from_environment(name)? }))));
        }
        if !self.headers.is_empty() {
            let mut headers = JsonObject::new();
            for pair in &self.headers {
                let (name, variable) = pair.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| {
                    Failure::usage("a header is given as `NAME=VARIABLE`, with the name of an environment variable")
                })?;
                headers.insert(name.to_owned(), Value::from(from_environment(variable)?));
            }
            return Ok(("header", object(json!({ "headers": headers }))));
        }
        Ok((if self.oauth { "oauth" } else { "none" }, None))
    }

    fn settings(&self) -> ServerSettings {
        let yes = |flag: bool| flag.then_some(true);
        ServerSettings {
            prefix: self.prefix,
            pin: self.pin,
            call_ms: self.call_timeout.map(|seconds| seconds * 1_000),
            trusted_annotations: yes(self.trust_annotations),
            allow_sampling: yes(self.allow_sampling),
            allow_elicitation: self.no_elicitation.then_some(false),
            allow_roots: yes(self.allow_roots),
            allow_private_network: yes(self.allow_private_network),
            ..ServerSettings::default()
        }
    }
}

fn object(value: Value) -> Option<JsonObject> {
    match value {
        Value::Object(members) => Some(members),
        _ => None,
    }
}

/// Reads `NAME=VALUE`, or `NAME` with its value here.
fn variable(pair: &str) -> Result<(String, Value)> {
    match pair.split_once('=') {
        Some(("", _)) => Err(Failure::usage(format!("`{pair}` has no name; it is `NAME=VALUE` or `NAME`"))),
        Some((name, value)) => Ok((name.to_owned(), Value::from(value))),
        None => Ok((pair.to_owned(), Value::from(from_environment(pair)?))),
    }
}

fn prefix(text: &str) -> std::result::Result<PrefixMode, String> {
    PrefixMode::parse(text).ok_or_else(|| "it is one of `auto`, `always`, `never`".to_owned())
}

fn pin(text: &str) -> std::result::Result<PinMode, String> {
    PinMode::parse(text).ok_or_else(|| "it is one of `block`, `warn`, `off`".to_owned())
}

async fn bridge(client: &Client, global: &Global, server: Option<&str>) -> Result {
    let credential = client.credential(global);
    credential().map_err(|error| {
        Failure::new(Exit::Forbidden, error.to_string())
            .help("set PRELOOP_TOKEN to an agent's key; `preloop keys create NAME` makes one")
    })?;
    let mut url = parse_url(client.base())?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["mcp", "v1"]);
        if let Some(slug) = server {
            path.extend(["servers", slug]);
        }
    }
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        asked_to_end().await;
        stopping.cancel();
    });
    let options = BridgeOptions::new(url, Arc::new(credential));
    let ran = stdio_bridge::run(options, tokio::io::stdin(), tokio::io::stdout(), stop).await;
    ran.map_err(|error| Failure::new(Exit::Failure, error.to_string()))
}
