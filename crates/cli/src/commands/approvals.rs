//! `preloop approvals`: what waits for a human, and deciding it.

use std::{collections::HashMap, time::Duration};

use clap::{Args, Subcommand, ValueEnum};
use preloop_api_types::{
    Utc, Uuid,
    approval_requests::{ApprovalEvent, ApprovalLink, ApprovalRequest, ListApprovals, Vote},
};
use preloop_types::text::{one_line, shortened};

use super::desktop::{Desktop, Telling};
use crate::{
    cli::Global,
    client::Client,
    failure::{Exit, Failure, Result},
    output::{Format, Printer},
    words::{at, maybe_at, time_left},
};

const REQUESTS: &str = "/api/v1/approval-requests";

/// Most that the server lists at once.
const PAGE: u32 = 100;

#[derive(Subcommand)]
pub(crate) enum Approvals {
    /// List requests, newest first
    List {
        /// Only requests in this state
        #[arg(long, default_value = "pending")]
        status: Status,
        /// At most this many
        #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=100))]
        limit: u32,
    },
    /// Show one request: who asks, why, with which arguments, and what happened so far
    Show(Which),
    /// Approve a request: the call is carried out, exactly as shown
    Approve(Decide),
    /// Decline a request
    #[command(alias = "deny")]
    Decline(Decide),
    /// Show requests as they come and as they are decided, until interrupted
    Watch {
        /// Only tools of this name
        #[arg(long, value_name = "NAME")]
        tool: Option<String>,
        /// Ring the terminal's bell for a new request
        #[arg(long)]
        bell: bool,
        /// Show a notice on the desktop for a new request
        #[arg(long)]
        desktop: bool,
        /// Run this program for a new request, which finds it in `PRELOOP_REQUEST_ID` and `PRELOOP_REQUEST_TOOL`
        #[arg(long, value_name = "PROGRAM")]
        exec: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    Pending,
    Approved,
    Declined,
    Expired,
    Cancelled,
    /// Whatever its state
    All,
}

#[derive(Args)]
pub(crate) struct Which {
    /// Its id, the beginning of a pending one's, or `latest`
    #[arg(value_name = "ID")]
    id: String,
}

#[derive(Args)]
pub(crate) struct Decide {
    #[command(flatten)]
    which: Which,
    /// Why; told to the agent and kept. Some workflows demand it
    #[arg(short = 'm', long = "comment", visible_alias = "reason", value_name = "TEXT")]
    comment: Option<String>,
}

pub(crate) async fn run(command: &Approvals, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match command {
        Approvals::List { status, limit } => list(&client, printer, *status, *limit).await,
        Approvals::Show(which) => show(&client, printer, which).await,
        Approvals::Approve(decide) => vote(&client, printer, decide, "approve").await,
        Approvals::Decline(decide) => vote(&client, printer, decide, "decline").await,
        Approvals::Watch { tool, bell, desktop, exec } => {
            let desktop = desktop.then(Desktop::find).transpose()?;
            let telling = Telling { bell: *bell, desktop, exec: exec.clone() };
            watch(&client, printer, tool.as_deref(), &telling).await
        }
    }
}

async fn list(client: &Client, printer: Printer, status: Status, limit: u32) -> Result {
    let status = match status {
        Status::All => None,
        status => status.to_possible_value().map(|value| value.get_name().to_owned()),
    };
    let none = match &status {
        Some(status) => format!("there are no {status} requests"),
        None => "there are no requests".to_owned(),
    };
    let query = ListApprovals { status, limit: Some(limit), ..ListApprovals::default() };
    let requests: Vec<ApprovalRequest> = client.list(REQUESTS, &query).await?;
    printer.list(
        &requests,
        &[
            ("id", |request| request.id.to_string()),
            ("tool", |request| request.tool_name.clone()),
            ("status", standing),
            ("requested by", |request| request.requested_by.clone().unwrap_or_default()),
            ("requested", |request| at(request.requested_at)),
            ("arguments", |request| shortened(&request.tool_args.to_string(), 60).into_owned()),
        ],
        &none,
    )
}

async fn show(client: &Client, printer: Printer, which: &Which) -> Result {
    let id = which.find(client).await?;
    let request: ApprovalRequest = client.get(&format!("{REQUESTS}/{id}")).await?;
    let history: Vec<ApprovalEvent> = client.get(&format!("{REQUESTS}/{id}/history")).await?;
    if printer.format != Format::Table {
        let mut whole = serde_json::to_value(&request).map_err(anyhow::Error::from)?;
        whole["history"] = serde_json::to_value(&history).map_err(anyhow::Error::from)?;
        return printer.data(&whole);
    }
    let arguments = serde_json::to_string_pretty(&request.tool_args).unwrap_or_default();
    let page = if request.status == "pending" { page(client, id).await? } else { String::new() };
    printer.one(
        &request,
        &[
            ("Request", request.id.to_string()),
            ("Tool", request.tool_name.clone()),
            ("Server", request.server_name.clone().unwrap_or_default()),
            ("Status", standing(&request)),
            ("Requested by", request.requested_by.clone().unwrap_or_default()),
            ("Agent", request.managed_agent_name.clone().unwrap_or_default()),
            ("Agent's words", request.agent_reasoning.clone().unwrap_or_default()),
            ("Requested", at(request.requested_at)),
            ("Expires", maybe_at(request.expires_at)),
            ("Decided", maybe_at(request.resolved_at)),
            ("Comment", request.approver_comment.clone().unwrap_or_default()),
            ("Call", request.execution_status.clone().unwrap_or_default()),
            ("Arguments", arguments),
            ("Arguments' hash", request.args_hash.clone()),
            ("Decide at", page),
        ],
    )?;
    let lines = history.iter().map(|event| {
        let comment = event.comment.as_deref().map(|comment| format!(" “{comment}”")).unwrap_or_default();
        let who = event.actor_email.as_deref().map(|who| format!(" ({who})")).unwrap_or_default();
        one_line(&format!("  {}  {}: {}{comment}{who}", at(event.timestamp), event.event_type, event.detail))
    });
    let lines: Vec<String> = lines.collect();
    printer.text(&format!("\nWhat happened:\n{}", lines.join("\n")))
}

/// A link of the caller's own to the page on which the request is decided; empty for those who may not.
async fn page(client: &Client, id: Uuid) -> Result<String> {
    match client.post::<_, ApprovalLink>(&format!("{REQUESTS}/{id}/link"), &serde_json::json!({})).await {
        Ok(link) => Ok(link.url),
        Err(failure) if failure.exit == Exit::Forbidden => Ok(String::new()),
        Err(failure) => Err(failure),
    }
}

async fn vote(client: &Client, printer: Printer, decide: &Decide, verb: &str) -> Result {
    let id = decide.which.find(client).await?;
    let body = Vote { comment: decide.comment.clone(), ..Vote::default() };
    let request: ApprovalRequest = client.post(&format!("{REQUESTS}/{id}/{verb}"), &body).await?;
    let done = match request.status.as_str() {
        "pending" => format!(
            "counted: {} of {} approvals for `{}`",
            request.approvals_received, request.approvals_required, request.tool_name
        ),
        status => format!("`{}` is {status}", request.tool_name),
    };
    printer.done(&request, &done)
}

/// Shows what is new in the list again and again. Polls: a watcher must also survive the server's restart.
async fn watch(client: &Client, printer: Printer, tool: Option<&str>, telling: &Telling) -> Result {
    let query = ListApprovals { limit: Some(PAGE), ..ListApprovals::default() };
    let mut known: HashMap<Uuid, String> = HashMap::new();
    let mut first = true;
    let mut lost = false;
    loop {
        match client.list::<_, Vec<ApprovalRequest>>(REQUESTS, &query).await {
            Err(failure) if failure.exit == Exit::Unreachable && !first => {
                if !lost {
                    printer.note(&format!("{}; trying again", failure.message));
                }
                lost = true;
            }
            Err(failure) => return Err(failure),
            Ok(requests) => {
                lost = false;
                for request in requests.iter().rev().filter(|request| tool.is_none_or(|tool| tool == request.tool_name))
                {
                    let news = match known.insert(request.id, request.status.clone()) {
                        Some(status) => status != request.status,
                        None => request.status == "pending" || !first,
                    };
                    if news {
                        announce(printer, request, telling)?;
                    }
                }
                let listed: Vec<Uuid> = requests.iter().map(|request| request.id).collect();
                known.retain(|id, _| listed.contains(id));
                first = false;
            }
        }
        tokio::time::sleep(Duration::from_secs(if lost { 5 } else { 1 })).await;
    }
}

fn announce(printer: Printer, request: &ApprovalRequest, telling: &Telling) -> Result {
    let line = one_line(&format!(
        "{}  {}  {}  {}  {}",
        at(request.resolved_at.unwrap_or(request.requested_at)),
        standing(request),
        request.id,
        request.tool_name,
        shortened(&request.tool_args.to_string(), 200),
    ));
    if request.status == "pending" {
        telling.tell(request);
    }
    printer.item(request, &line)
}

fn standing(request: &ApprovalRequest) -> String {
    match (request.status.as_str(), request.expires_at) {
        ("pending", Some(until)) => format!("pending, {} left", time_left(until, Utc::now())),
        (status, _) => status.to_owned(),
    }
}

/// The newest pending request, else the newest of all.
async fn latest(client: &Client) -> Result<Uuid> {
    for status in [Some("pending".to_owned()), None] {
        let query = ListApprovals { status, limit: Some(1), ..ListApprovals::default() };
        let newest: Vec<ApprovalRequest> = client.list(REQUESTS, &query).await?;
        if let Some(newest) = newest.first() {
            return Ok(newest.id);
        }
    }
    Err(Failure::new(Exit::NotFound, "there are no requests"))
}

impl Which {
    /// The request's id; the beginning of a pending one's id will do.
    async fn find(&self, client: &Client) -> Result<Uuid> {
        if let Ok(id) = self.id.parse() {
            return Ok(id);
        }
        if self.id == "latest" {
            return latest(client).await;
        }
        if self.id.len() < 4 || !self.id.chars().all(|c| c.is_ascii_hexdigit() || c == '-') {
            return Err(Failure::usage(format!("`{}` is not the id of a request", self.id))
                .help("`preloop approvals list` shows them"));
        }
        let query = ListApprovals { status: Some("pending".to_owned()), limit: Some(PAGE), ..ListApprovals::default() };
        let pending: Vec<ApprovalRequest> = client.list(REQUESTS, &query).await?;
        let wanted = self.id.to_ascii_lowercase();
        let mut found = pending.iter().filter(|request| request.id.to_string().starts_with(&wanted));
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.id),
            (None, _) => Err(Failure::new(Exit::NotFound, format!("no pending request begins with `{}`", self.id))
                .help("decided ones are named by their whole id: `preloop approvals list --status all`")),
            (Some(_), Some(_)) => {
                Err(Failure::usage(format!("more than one pending request begins with `{}`", self.id)))
            }
        }
    }
}
