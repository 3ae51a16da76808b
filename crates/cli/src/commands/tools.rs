//! `preloop tools`: what agents are offered, and tools whose definition changed.

use std::time::Duration;

use clap::{Args, Subcommand};
use preloop_api_types::{
    mcp_servers::{AcceptTool, McpServer, McpTool, ToolDiff},
    tools::Tool,
};
use preloop_types::config::PinState;
use serde_json::Value;

use crate::{
    agent::call_tool,
    cli::Global,
    client::Client,
    failure::{Exit, Failure, Result},
    output::{Format, Printer},
    words::not_found,
};

/// How long between two looks at a request that waits for a person.
const POLL: Duration = Duration::from_secs(2);

#[derive(Args)]
pub(crate) struct Tools {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Subcommand)]
enum Command {
    /// List tools and what is configured for them (the default)
    List(List),
    /// Show one tool: its description, arguments and rules
    Describe {
        /// The name agents call it by, or `server/name`
        tool: String,
    },
    /// Call a tool the way an agent does; waits for a person where the policy asks for one
    Call(Call),
    /// Show how a tool's definition changed since it was pinned
    Diff {
        /// The name agents call it by, or `server/name`
        tool: String,
    },
    /// Accept a tool's changed definition: agents are offered it again
    Accept {
        /// The name agents call it by, or `server/name`
        tool: String,
        /// The hash that `diff` showed; refused when the tool has changed again since
        #[arg(long, value_name = "HASH")]
        hash: Option<String>,
    },
}

#[derive(Args)]
struct Call {
    /// The name agents call it by
    tool: String,
    /// Its arguments, a JSON object; `-` reads them from the standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    args: String,
    /// Wait for a person no longer than the server holds the call, then print the pending request
    #[arg(long)]
    no_wait: bool,
}

#[derive(Args)]
struct List {
    /// Only tools of this server
    #[arg(long, value_name = "NAME")]
    server: Option<String>,
}

pub(crate) async fn run(tools: &Tools, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match &tools.command {
        None => list(&client, printer, &tools.list).await,
        Some(Command::List(wanted)) => list(&client, printer, wanted).await,
        Some(Command::Describe { tool }) => describe(&client, printer, tool).await,
        Some(Command::Call(wanted)) => call(&client, printer, wanted).await,
        Some(Command::Diff { tool }) => diff(&client, printer, tool).await,
        Some(Command::Accept { tool, hash }) => accept(&client, printer, tool, hash.as_deref()).await,
    }
}

async fn list(client: &Client, printer: Printer, wanted: &List) -> Result {
    let mut tools: Vec<Tool> = client.get("/api/v1/tools").await?;
    if let Some(server) = &wanted.server {
        let there: Vec<String> = tools.iter().map(|tool| tool.source_name.clone()).collect();
        tools.retain(|tool| tool.source_name == *server);
        if tools.is_empty() {
            return Err(not_found("server with tools", server, there.into_iter()));
        }
    }
    printer.list(
        &tools,
        &[
            ("tool", |tool| tool.name.clone()),
            ("server", |tool| tool.source_name.clone()),
            ("state", |tool| state(tool).to_owned()),
            ("rules", |tool| rules(tool)),
            ("description", |tool| tool.description.lines().next().unwrap_or_default().chars().take(70).collect()),
        ],
        "there are no tools; `preloop mcp add` brings some",
    )
}

async fn describe(client: &Client, printer: Printer, wanted: &str) -> Result {
    let tools: Vec<Tool> = client.get("/api/v1/tools").await?;
    let tool = &tools[named(&tools, wanted, |tool| (&tool.name, &tool.source_name, &tool.upstream_name))?];
    let rules = tool.access_rules.iter().enumerate().map(|(place, rule)| {
        let condition = rule.condition_expression.as_deref().unwrap_or("always");
        let off = if rule.is_enabled { "" } else { " (off)" };
        format!("{}. {} when {condition}{off}", place + 1, rule.action.as_str())
    });
    printer.one(
        tool,
        &[
            ("Tool", tool.name.clone()),
            ("Server", tool.source_name.clone()),
            ("Name there", tool.upstream_name.clone()),
            ("State", state(tool).to_owned()),
            ("Justification", tool.justification_mode.map(|mode| mode.as_str().to_owned()).unwrap_or_default()),
            ("Rules", rules.collect::<Vec<_>>().join("\n")),
            ("Description", tool.description.clone()),
            ("Arguments", serde_json::to_string_pretty(&tool.schema).unwrap_or_default()),
        ],
    )
}

async fn call(client: &Client, printer: Printer, wanted: &Call) -> Result {
    let text = match wanted.args.as_str() {
        "-" => std::io::read_to_string(std::io::stdin())?,
        text => text.to_owned(),
    };
    let arguments: Value = serde_json::from_str(&text)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| Failure::usage("the arguments are not a JSON object, such as `{\"path\": \"a.txt\"}`"))?;
    let mut told = false;
    loop {
        let result = call_tool(client, &wanted.tool, &arguments, |progress| printer.note(progress)).await?;
        let said = &result["structuredContent"];
        if said["status"] != "pending_approval" || wanted.no_wait {
            return print_result(printer, &wanted.tool, &result);
        }
        if !told {
            printer.note(&format!(
                "waiting for a person to decide request {}",
                said["request_id"].as_str().unwrap_or("?")
            ));
            told = true;
        }
        // The same call again joins the open request and gets its result once it has run.
        tokio::time::sleep(POLL).await;
    }
}

fn print_result(printer: Printer, tool: &str, result: &Value) -> Result {
    let content = result["content"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts = content.iter().map(|part| match part["text"].as_str() {
        Some(text) => text.to_owned(),
        None => format!("[{}]", part["type"].as_str().unwrap_or("content")),
    });
    let text = texts.collect::<Vec<_>>().join("\n");
    if printer.format != Format::Table {
        printer.data(result)?;
    }
    if result["isError"] != true {
        return if printer.format == Format::Table { printer.text(&text) } else { Ok(()) };
    }
    let exit = match result["structuredContent"]["status"].as_str() {
        Some("denied" | "declined" | "insufficient_scope") => Exit::Forbidden,
        Some("not_available") => Exit::NotFound,
        _ => Exit::Failure,
    };
    Err(Failure::new(exit, format!("`{tool}`: {text}")))
}

async fn diff(client: &Client, printer: Printer, wanted: &str) -> Result {
    let tool = upstream(client, wanted).await?;
    let diff: ToolDiff = client.get(&format!("{}/diff", tool.path())).await?;
    let findings = diff.findings.iter().map(|finding| format!("{}: {}", finding.severity, finding.detail));
    let findings = findings.collect::<Vec<_>>().join("\n");
    let text = match diff.pin {
        PinState::Pinned => format!("`{}` is what it was when pinned", tool.tool.exposed_name),
        _ => format!("{}\n{findings}\nhash of the new definition: {}", diff.diff, diff.definition_hash),
    };
    match printer.format {
        Format::Table => printer.text(&text),
        _ => printer.data(&diff),
    }
}

async fn accept(client: &Client, printer: Printer, wanted: &str, hash: Option<&str>) -> Result {
    let tool = upstream(client, wanted).await?;
    let name = &tool.tool.exposed_name;
    if tool.tool.pin == PinState::Pinned {
        return printer.done(&tool.tool, &format!("`{name}` is what it was when pinned; there is nothing to accept"));
    }
    // Without a hash, what is accepted is what was listed a moment ago, and nothing newer.
    let hash = hash.unwrap_or(&tool.tool.definition_hash).to_owned();
    let accepted: McpTool =
        client.post(&format!("{}/accept", tool.path()), &AcceptTool { definition_hash: Some(hash) }).await?;
    printer.done(&accepted, &format!("`{name}` is accepted as it is now; agents are offered it again"))
}

/// A tool of an upstream server.
struct Upstream {
    server: McpServer,
    tool: McpTool,
}

impl Upstream {
    fn path(&self) -> String {
        format!("/api/v1/mcp-servers/{}/tools/{}", self.server.id, self.tool.id)
    }
}

async fn upstream(client: &Client, wanted: &str) -> Result<Upstream> {
    let servers: Vec<McpServer> = client.get("/api/v1/mcp-servers").await?;
    let mut all = Vec::new();
    for server in servers {
        let tools: Vec<McpTool> = client.get(&format!("/api/v1/mcp-servers/{}/tools", server.id)).await?;
        all.extend(tools.into_iter().map(|tool| Upstream { server: server.clone(), tool }));
    }
    all.retain(|upstream| upstream.tool.removed_at.is_none());
    let place =
        named(&all, wanted, |upstream| (&upstream.tool.exposed_name, &upstream.server.name, &upstream.tool.name))?;
    Ok(all.swap_remove(place))
}

/// The place of the tool of that name: the one agents use, or `server/name`.
fn named<T>(tools: &[T], wanted: &str, names: impl for<'n> Fn(&'n T) -> (&'n str, &'n str, &'n str)) -> Result<usize> {
    let is_wanted = |tool: &T| {
        let (exposed, server, name) = names(tool);
        exposed == wanted || wanted.split_once('/').is_some_and(|wanted| wanted == (server, name))
    };
    let found = tools.iter().position(is_wanted);
    found.ok_or_else(|| not_found("tool", wanted, tools.iter().map(|tool| names(tool).0.to_owned())))
}

fn state(tool: &Tool) -> &'static str {
    match tool.pin {
        Some(PinState::Drifted) => "changed: blocked until accepted",
        Some(PinState::Quarantined) => "suspicious: blocked until accepted",
        _ if !tool.is_supported => "not available",
        _ if tool.is_enabled => "on",
        _ => "off",
    }
}

fn rules(tool: &Tool) -> String {
    let on: Vec<&str> =
        tool.access_rules.iter().filter(|rule| rule.is_enabled).map(|rule| rule.action.as_str()).collect();
    match on.len() {
        0 if tool.approval_workflow_id.is_some() => "require_approval".to_owned(),
        0..=3 => on.join(", "),
        more => format!("{more} rules"),
    }
}
