//! `preloop usage`: what model calls consumed and cost.

use clap::{Args, Subcommand, ValueEnum};
use preloop_api_types::{
    DateTime, Utc,
    usage::{CostHealth, SearchUsage, UsageOf, UsagePage, UsageQuery, UsageSummary},
};

use crate::{
    cli::Global,
    client::Client,
    failure::Result,
    output::{Format, Printer},
    words::{at, moment},
};

#[derive(Args)]
pub(crate) struct Usage {
    #[command(subcommand)]
    command: Option<What>,
    #[command(flatten)]
    summary: Summary,
}

#[derive(Subcommand)]
enum What {
    /// Calls, newest first
    Calls(Calls),
    /// Whether the figures can be trusted: what is unpriced, estimated or not counted
    Health,
}

#[derive(Args)]
pub(crate) struct Summary {
    /// Not before: 2026-01-31T12:00:00Z, or a span before now (`7d`); the last 30 days when left out
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<DateTime<Utc>>,
    /// Only of the model with this alias
    #[arg(long, value_name = "ALIAS")]
    model: Option<String>,
    /// What to add up apart
    #[arg(long, value_enum, default_value_t = By::Model)]
    by: By,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    Day,
    Model,
    Provider,
    Session,
    Agent,
    Key,
    Outcome,
}

#[derive(Args)]
struct Calls {
    /// Only calls whose record or captured conversation holds this text
    query: Option<String>,
    /// Not before
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<DateTime<Utc>>,
    /// Only of the model with this alias
    #[arg(long, value_name = "ALIAS")]
    model: Option<String>,
    /// Only calls that ended like this: `succeeded`, `upstream_error`, `budget_denied`, …
    #[arg(long)]
    outcome: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
}

pub(crate) async fn run(command: &Usage, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match &command.command {
        None => summary(&client, printer, &command.summary).await,
        Some(What::Calls(wanted)) => calls(&client, printer, wanted).await,
        Some(What::Health) => health(&client, printer).await,
    }
}

async fn summary(client: &Client, printer: Printer, wanted: &Summary) -> Result {
    let query = UsageQuery {
        start_date: wanted.since,
        end_date: wanted.until,
        model_alias: wanted.model.clone(),
        ..UsageQuery::default()
    };
    let usage: UsageSummary = client.list("/api/v1/account/gateway-usage/summary", &query).await?;
    if printer.format != Format::Table {
        return printer.data(&usage);
    }
    printer.note(&format!(
        "{} to {}: {} calls, {} failed or refused, {} tokens, ${}",
        at(usage.period_start),
        at(usage.period_end),
        usage.total_requests,
        usage.failed_requests,
        usage.token_usage.total_tokens,
        usage.cost_usd
    ));
    if usage.unpriced_request_count > 0 {
        printer.note(&format!("{} calls have no known price and are not in the sum", usage.unpriced_request_count));
    }
    let rows = match wanted.by {
        By::Day => {
            return printer.list(
                &usage.requests_by_day,
                &[
                    ("day", |day| day.date.clone()),
                    ("calls", |day| day.request_count.to_string()),
                    ("tokens", |day| day.total_tokens.to_string()),
                    ("$", |day| day.estimated_cost.to_string()),
                ],
                "there were no calls",
            );
        }
        By::Model => &usage.usage_by_model,
        By::Provider => &usage.usage_by_provider,
        By::Session => &usage.usage_by_session,
        By::Agent => &usage.usage_by_agent,
        By::Key => &usage.usage_by_api_key,
        By::Outcome => &usage.usage_by_outcome,
    };
    printer.list(
        rows,
        &[
            ("what", what),
            ("calls", |row| row.sums.request_count.to_string()),
            ("failed", |row| row.sums.failed_request_count.to_string()),
            ("unpriced", |row| row.sums.unpriced_request_count.to_string()),
            ("prompt", |row| row.sums.token_usage.prompt_tokens.to_string()),
            ("answer", |row| row.sums.token_usage.completion_tokens.to_string()),
            ("$", |row| row.sums.cost_usd.clone()),
        ],
        "there were no calls",
    )
}

fn what(row: &UsageOf) -> String {
    row.name.clone().or_else(|| row.id.map(|id| id.to_string())).unwrap_or_else(|| "none".to_owned())
}

async fn calls(client: &Client, printer: Printer, wanted: &Calls) -> Result {
    let query = SearchUsage {
        query: wanted.query.clone(),
        start_date: wanted.since,
        model_alias: wanted.model.clone(),
        outcome: wanted.outcome.clone(),
        limit: Some(wanted.limit),
        ..SearchUsage::default()
    };
    let found: UsagePage = client.list("/api/v1/account/gateway-usage/search", &query).await?;
    shown(printer, &found)
}

/// A page of calls.
pub(crate) fn shown(printer: Printer, page: &UsagePage) -> Result {
    printer.list(
        &page.items,
        &[
            ("at", |call| at(call.timestamp)),
            ("model", |call| call.model_alias.clone().or_else(|| call.requested_model.clone()).unwrap_or_default()),
            ("outcome", |call| call.outcome.replace('_', " ")),
            ("key", |call| call.api_key_name.clone().unwrap_or_default()),
            ("tokens", |call| call.token_usage.as_ref().map(|used| used.total_tokens.to_string()).unwrap_or_default()),
            ("$", |call| call.cost_usd.clone().unwrap_or_else(|| "unpriced".to_owned())),
            ("ms", |call| call.duration_ms.map(|millis| millis.to_string()).unwrap_or_default()),
            ("call", |call| call.api_usage_id.to_string()),
        ],
        "no such calls",
    )
}

async fn health(client: &Client, printer: Printer) -> Result {
    let health: CostHealth = client.get("/api/v1/cost/health").await?;
    if printer.format != Format::Table {
        return printer.data(&health);
    }
    printer.note(&health.status.replace('_', " "));
    printer.list(
        &health.checks,
        &[
            ("check", |check| check.name.replace('_', " ")),
            ("ok", |check| if check.ok { "yes" } else { "no" }.to_owned()),
            ("share", |check| format!("{} of {}", check.good, check.of)),
            ("what it means", |check| check.detail.clone()),
        ],
        "nothing was checked",
    )
}
