//! `preloop sessions`: runs of agents.

use clap::{Args, Subcommand};
use preloop_api_types::{
    DateTime, Utc,
    runtime_sessions::{
        ChangeSession, CreateSessionToken, ListSessions, RuntimeSession, SessionDetail, SessionPage, SessionToken,
        Timeline,
    },
    usage::UsagePage,
};

use crate::{
    cli::{Global, some_text},
    client::Client,
    failure::Result,
    output::{Format, Printer},
    words::{at, maybe_at, moment},
};

const SESSIONS: &str = "/api/v1/runtime-sessions";

#[derive(Subcommand)]
pub(crate) enum Sessions {
    /// List runs of agents, those that were active last first
    List(List),
    /// Show a run and what happened in it
    Show {
        /// Its id
        #[arg(value_parser = some_text())]
        session: String,
    },
    /// List a run's model calls, newest first
    Calls {
        /// Its id
        #[arg(value_parser = some_text())]
        session: String,
    },
    /// End a run for good: its calls are stopped and its tokens revoked
    End {
        /// Its id
        #[arg(value_parser = some_text())]
        session: String,
        /// Why, for the journal
        #[arg(long)]
        reason: Option<String>,
        /// Whoever ran it may not begin another until it is unblocked
        #[arg(long)]
        block: bool,
    },
    /// Let whoever ran a blocked run begin another again
    Unblock {
        /// Its id
        #[arg(value_parser = some_text())]
        session: String,
    },
    /// Begin a run and make a short-lived token for it; shown once
    Token(Token),
}

#[derive(Args)]
pub(crate) struct List {
    /// Only runs whose id or client holds this text
    query: Option<String>,
    /// Only those that are not over
    #[arg(long, conflicts_with = "ended")]
    active: bool,
    /// Only those that are over
    #[arg(long)]
    ended: bool,
    /// Active at this time or after: 2026-01-31T12:00:00Z, or a span before now (`2h`)
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
}

#[derive(Args)]
pub(crate) struct Token {
    /// What kind of agent: `claude_code`, `codex`, `gemini_cli`, `opencode`, `custom`, …
    #[arg(value_parser = some_text())]
    kind: String,
    /// What the agent calls the run
    #[arg(value_parser = some_text())]
    run: String,
    /// The managed agent's name; its kind when left out
    #[arg(long)]
    agent: Option<String>,
    /// When the token ends, in minutes from now
    #[arg(long, value_name = "MINUTES", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=1440))]
    minutes: u32,
    /// The only models it may use (repeatable)
    #[arg(long = "model", value_name = "MODELS")]
    models: Vec<String>,
    /// The only tools it may see (repeatable)
    #[arg(long = "tool", value_name = "NAME")]
    tools: Vec<String>,
}

pub(crate) async fn run(command: &Sessions, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match command {
        Sessions::List(wanted) => list(&client, printer, wanted).await,
        Sessions::Show { session } => show(&client, printer, session).await,
        Sessions::Calls { session } => {
            let page: UsagePage = client.get(&format!("{SESSIONS}/{session}/interactions")).await?;
            super::usage::shown(printer, &page)
        }
        Sessions::End { session, reason, block } => {
            let change = ChangeSession { action: "end".to_owned(), reason: reason.clone(), block: *block };
            let ended: RuntimeSession = client.patch(&format!("{SESSIONS}/{session}"), &change).await?;
            printer.done(&ended, &format!("session {} is over", ended.id))
        }
        Sessions::Unblock { session } => {
            let change = ChangeSession { action: "unblock".to_owned(), ..ChangeSession::default() };
            let session: RuntimeSession = client.patch(&format!("{SESSIONS}/{session}"), &change).await?;
            printer.done(&session, "it may begin another session again")
        }
        Sessions::Token(wanted) => token(&client, printer, wanted).await,
    }
}

async fn list(client: &Client, printer: Printer, wanted: &List) -> Result {
    let status = match (wanted.active, wanted.ended) {
        (true, _) => Some("active"),
        (_, true) => Some("ended"),
        _ => None,
    };
    let query = ListSessions {
        query: wanted.query.clone(),
        status: status.map(str::to_owned),
        start_date: wanted.since,
        limit: Some(wanted.limit),
        ..ListSessions::default()
    };
    let page: SessionPage = client.list(SESSIONS, &query).await?;
    printer.list(
        &page.items,
        &[
            ("agent", |session| session.session_source_type.clone()),
            ("name", |session| session.runtime_principal_name.clone().unwrap_or_default()),
            ("run", |session| session.session_source_id.clone().unwrap_or_default()),
            ("status", |session| session.activity_status.replace('_', " ")),
            ("calls", |session| session.usage.request_count.to_string()),
            ("$", |session| session.usage.cost_usd.clone()),
            ("last active", |session| at(session.last_activity_at)),
            ("id", |session| session.id.to_string()),
        ],
        "there are no sessions",
    )
}

async fn show(client: &Client, printer: Printer, id: &str) -> Result {
    let detail: SessionDetail = client.get(&format!("{SESSIONS}/{id}")).await?;
    let session = &detail.session;
    let timeline: Timeline = client.get(&format!("{SESSIONS}/{id}/activity")).await?;
    if printer.format != Format::Table {
        return printer.data(&serde_json::json!({ "session": detail.session, "usage_by_model": detail.usage_by_model, "activity": timeline.items }));
    }
    printer.one(
        session,
        &[
            ("agent", session.session_source_type.clone()),
            ("name", session.runtime_principal_name.clone().unwrap_or_default()),
            ("run", session.session_source_id.clone().unwrap_or_default()),
            ("client", session.client.clone().unwrap_or_default()),
            ("status", session.activity_status.replace('_', " ")),
            ("began", at(session.started_at)),
            ("last active", at(session.last_activity_at)),
            ("ended", maybe_at(session.ended_at)),
            ("because", session.end_reason.clone().unwrap_or_default()),
            ("calls", session.usage.request_count.to_string()),
            ("tokens", session.usage.token_usage.total_tokens.to_string()),
            ("$", session.usage.cost_usd.clone()),
        ],
    )?;
    printer.list(
        &timeline.items,
        &[
            ("at", |activity| at(activity.timestamp)),
            ("what", |activity| activity.title.clone()),
            ("status", |activity| activity.status.clone().unwrap_or_default().replace('_', " ")),
            ("$", |activity| activity.cost_usd.clone().unwrap_or_default()),
        ],
        "nothing happened in it",
    )
}

async fn token(client: &Client, printer: Printer, wanted: &Token) -> Result {
    let body = CreateSessionToken {
        session_source_type: wanted.kind.clone(),
        session_source_id: wanted.run.clone(),
        runtime_principal_id: None,
        runtime_principal_name: wanted.agent.clone(),
        expires_in_minutes: Some(wanted.minutes),
        allowed_models: wanted.models.clone(),
        allowed_tools: (!wanted.tools.is_empty()).then(|| wanted.tools.clone()),
        ..CreateSessionToken::default()
    };
    let made: SessionToken = client.post("/api/v1/auth/runtime-sessions/token", &body).await?;
    if printer.format != Format::Table {
        return printer.data(&made);
    }
    printer.note(&format!(
        "token of session {}, until {}. It is shown this once:",
        made.runtime_session_id,
        at(made.expires_at)
    ));
    printer.text(&made.token)
}
