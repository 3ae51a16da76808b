//! `preloop agents`: managed agents and their credentials.

use clap::{Args, Subcommand};
use preloop_api_types::agents::{
    Agent, AgentCredential, AgentDetail, AgentPage, ChangeAgent, CreateAgentCredential, CreatedAgentCredential,
    ListAgents,
};

use crate::{
    cli::{Global, some_text},
    client::Client,
    failure::Result,
    output::{Format, Printer},
    words::{at, find, maybe_at},
};

const AGENTS: &str = "/api/v1/agents";

#[derive(Subcommand)]
pub(crate) enum Agents {
    /// List managed agents
    List(List),
    /// Show an agent, its credentials and onboardings
    Show {
        /// Its name or id
        #[arg(value_parser = some_text())]
        agent: String,
    },
    /// Stop an agent: from now on nothing it does is carried out, and its runs end
    Suspend(Step),
    /// Let a suspended agent go on
    Resume {
        /// Its name or id
        #[arg(value_parser = some_text())]
        agent: String,
    },
    /// Stop an agent for good: its credentials are revoked
    Decommission(Step),
    /// Durable credentials of an agent
    #[command(subcommand)]
    Credentials(Credentials),
}

#[derive(Args)]
pub(crate) struct List {
    /// Whose name, kind or place holds this text
    query: Option<String>,
    /// Of this kind: `claude_code`, `codex`, …
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// `all`, `active`, `suspended` or `decommissioned`
    #[arg(long, default_value = "all")]
    status: String,
    /// With this label (repeatable)
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// At most this many
    #[arg(long, default_value_t = 100)]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct Step {
    /// Its name or id
    #[arg(value_parser = some_text())]
    agent: String,
    /// Why; the agent is told, and the journal keeps it
    #[arg(long)]
    reason: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Credentials {
    /// List an agent's credentials
    List {
        /// The agent's name or id
        #[arg(value_parser = some_text())]
        agent: String,
    },
    /// Make a credential; its secret is shown once
    Create {
        /// The agent's name or id
        #[arg(value_parser = some_text())]
        agent: String,
        /// The credential's name, unique among your keys
        #[arg(value_parser = some_text())]
        name: String,
        /// When it ends, in days from now
        #[arg(long, value_name = "DAYS")]
        days: Option<u32>,
    },
    /// Revoke a credential
    Revoke {
        /// The agent's name or id
        #[arg(value_parser = some_text())]
        agent: String,
        /// The credential's name or id
        #[arg(value_parser = some_text())]
        credential: String,
    },
}

pub(crate) async fn run(command: &Agents, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match command {
        Agents::List(list) => self::list(&client, printer, list).await,
        Agents::Show { agent } => show(&client, printer, agent).await,
        Agents::Suspend(step) => change(&client, printer, step, "suspend", "is suspended").await,
        Agents::Resume { agent } => {
            let step = Step { agent: agent.clone(), reason: None };
            change(&client, printer, &step, "resume", "may go on").await
        }
        Agents::Decommission(step) => change(&client, printer, step, "decommission", "is decommissioned").await,
        Agents::Credentials(command) => credentials(&client, printer, command).await,
    }
}

async fn list(client: &Client, printer: Printer, wanted: &List) -> Result {
    let query = ListAgents {
        query: wanted.query.clone(),
        agent_kind: wanted.kind.clone(),
        status: Some(wanted.status.clone()),
        tags: (!wanted.labels.is_empty()).then(|| wanted.labels.join(",")),
        limit: Some(wanted.limit),
        ..ListAgents::default()
    };
    let page: AgentPage = client.list(AGENTS, &query).await?;
    printer.list(
        &page.items,
        &[
            ("name", |agent| agent.display_name.clone()),
            ("kind", |agent| agent.agent_kind.clone()),
            ("status", |agent| agent.activity_status.replace('_', " ")),
            ("owner", |agent| agent.owner_username.clone().unwrap_or_default()),
            ("labels", |agent| agent.tags.join(", ")),
            ("last seen", |agent| at(agent.last_seen_at)),
            ("id", |agent| agent.id.to_string()),
        ],
        "there are no such agents",
    )
}

async fn show(client: &Client, printer: Printer, wanted: &str) -> Result {
    let agent = named(client, wanted).await?;
    let detail: AgentDetail = client.get(&format!("{AGENTS}/{}", agent.id)).await?;
    if printer.format != Format::Table {
        return printer.data(&detail);
    }
    let AgentDetail { agent, credentials, enrollments, .. } = &detail;
    let why = agent.lifecycle_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    printer.note(&format!(
        "{} ({}), {}{why}",
        agent.display_name,
        agent.agent_kind,
        agent.activity_status.replace('_', " ")
    ));
    printer.note(&format!(
        "owner {}, labels {}, last seen {}, {} onboardings, id {}",
        agent.owner_username.as_deref().unwrap_or("nobody"),
        if agent.tags.is_empty() { "none".to_owned() } else { agent.tags.join(", ") },
        at(agent.last_seen_at),
        enrollments.len(),
        agent.id,
    ));
    table(printer, credentials)
}

async fn change(client: &Client, printer: Printer, step: &Step, action: &str, done: &str) -> Result {
    let agent = named(client, &step.agent).await?;
    let body = ChangeAgent {
        lifecycle_action: Some(action.to_owned()),
        reason: step.reason.clone(),
        ..ChangeAgent::default()
    };
    let agent: Agent = client.patch(&format!("{AGENTS}/{}", agent.id), &body).await?;
    printer.done(&agent, &format!("agent `{}` {done}", agent.display_name))
}

async fn credentials(client: &Client, printer: Printer, command: &Credentials) -> Result {
    let (Credentials::List { agent } | Credentials::Create { agent, .. } | Credentials::Revoke { agent, .. }) = command;
    let agent = named(client, agent).await?;
    let path = format!("{AGENTS}/{}/credentials", agent.id);
    match command {
        Credentials::List { .. } => table(printer, &client.get::<Vec<AgentCredential>>(&path).await?),
        Credentials::Create { name, days, .. } => {
            let body = CreateAgentCredential { name: name.clone(), expires_in_days: *days, scopes: Vec::new() };
            let made: CreatedAgentCredential = client.post(&path, &body).await?;
            if printer.format != Format::Table {
                return printer.data(&made);
            }
            printer.note(&format!("credential `{name}` of agent `{}`. It is shown this once:", agent.display_name));
            printer.text(&made.token)
        }
        Credentials::Revoke { credential, .. } => {
            let all: Vec<AgentCredential> = client.get(&path).await?;
            let there: Vec<_> = all.into_iter().filter(|credential| credential.revoked_at.is_none()).collect();
            let found = find("credential", &there, credential, |row| row.id, |row| vec![&row.name])?;
            client.delete(&format!("{path}/{}", found.id)).await?;
            printer.done(found, &format!("credential `{}` is revoked", found.name))
        }
    }
}

fn table(printer: Printer, credentials: &[AgentCredential]) -> Result {
    printer.list(
        credentials,
        &[
            ("credential", |row| row.name.clone()),
            ("starts with", |row| row.key_prefix.clone()),
            ("status", |row| row.status.clone()),
            ("expires", |row| maybe_at(row.expires_at)),
            ("last used", |row| maybe_at(row.last_used_at)),
            ("id", |row| row.id.to_string()),
        ],
        "there are no credentials",
    )
}

/// The agent of that name or id.
async fn named(client: &Client, wanted: &str) -> Result<Agent> {
    let mut agents: Vec<Agent> = Vec::new();
    loop {
        let offset = u32::try_from(agents.len()).unwrap_or(u32::MAX);
        let query = ListAgents { limit: Some(100), offset: Some(offset), ..ListAgents::default() };
        let page: AgentPage = client.list(AGENTS, &query).await?;
        let last = page.items.len() < 100;
        agents.extend(page.items);
        if last {
            break;
        }
    }
    find("agent", &agents, wanted, |agent| agent.id, |agent| vec![&agent.display_name]).cloned()
}
