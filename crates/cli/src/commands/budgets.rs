//! `preloop budgets`: limits on what model calls may consume.

use clap::{Args, Subcommand};
use preloop_api_types::{
    Update,
    budgets::{Amount, Budget, CreateBudget, UpdateBudget},
};
use preloop_types::{BudgetUnit, Period};

use crate::{
    cli::{Global, some_text},
    client::Client,
    failure::{Failure, Result},
    output::Printer,
    words::{at, find, maybe_at},
};

const BUDGETS: &str = "/api/v1/budgets";

#[derive(Subcommand)]
pub(crate) enum Budgets {
    /// Make a budget
    #[command(after_help = "Examples:\n  \
        preloop budgets add --hard 100 --soft 80\n  \
        preloop budgets add --of session --each --hard 5 --period all_time\n  \
        preloop budgets add --of key --id 0190… --hard 1000000 --unit tokens --period daily")]
    Add(Add),
    /// List budgets and what is left of them
    List,
    /// Show a budget and how it is used up
    Show {
        /// Its id
        #[arg(value_parser = some_text())]
        budget: String,
    },
    /// Change a budget's limits
    Update {
        /// Its id
        #[arg(value_parser = some_text())]
        budget: String,
        /// Calls that could pass it are refused; `none` takes it away
        #[arg(long, value_name = "AMOUNT")]
        hard: Option<String>,
        /// Passing it is reported; `none` takes it away
        #[arg(long, value_name = "AMOUNT")]
        soft: Option<String>,
    },
    /// Remove a budget
    Remove {
        /// Its id
        #[arg(value_parser = some_text())]
        budget: String,
    },
}

#[derive(Args)]
pub(crate) struct Add {
    /// Whose calls it counts
    #[arg(long, default_value = "account", value_parser = ["account", "user", "team", "agent", "key", "session", "tag"])]
    of: String,
    /// Which one's: an id, or the label of a `tag`
    #[arg(long, value_name = "ID", conflicts_with = "each")]
    id: Option<String>,
    /// Those of each one by itself
    #[arg(long)]
    each: bool,
    /// Only calls of these models: an alias, a glob or `tag:<label>`
    #[arg(long, value_name = "MODELS")]
    model: Option<String>,
    /// How long it lasts before it begins anew
    #[arg(long, default_value = "monthly", value_parser = period)]
    period: Period,
    /// What it counts: `usd`, `tokens` or `requests`
    #[arg(long, default_value = "usd", value_parser = unit)]
    unit: BudgetUnit,
    /// Calls that could pass it are refused
    #[arg(long, value_name = "AMOUNT", required_unless_present = "soft")]
    hard: Option<String>,
    /// Passing it is reported
    #[arg(long, value_name = "AMOUNT")]
    soft: Option<String>,
    /// Who is told; you, when left out (repeatable)
    #[arg(long = "notify", value_name = "EMAIL")]
    notify: Vec<String>,
}

pub(crate) async fn run(command: &Budgets, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match command {
        Budgets::Add(budget) => add(&client, printer, budget).await,
        Budgets::List => list(&client, printer).await,
        Budgets::Show { budget } => show(&client, printer, budget).await,
        Budgets::Update { budget, hard, soft } => {
            update(&client, printer, budget, hard.as_deref(), soft.as_deref()).await
        }
        Budgets::Remove { budget } => remove(&client, printer, budget).await,
    }
}

async fn add(client: &Client, printer: Printer, wanted: &Add) -> Result {
    if wanted.of != "account" && wanted.id.is_none() && !wanted.each {
        return Err(Failure::usage(format!("a budget of a {} wants to know which", wanted.of))
            .help("`--id ID` for one, `--each` for each one by itself"));
    }
    let body = CreateBudget {
        subject_type: Some(wanted.of.clone()),
        subject_id: wanted.id.clone(),
        model: wanted.model.clone(),
        period: Some(wanted.period),
        unit: Some(wanted.unit),
        hard_limit: wanted.hard.clone().map(Amount::Text),
        soft_limit: wanted.soft.clone().map(Amount::Text),
        notification_emails: (!wanted.notify.is_empty()).then(|| wanted.notify.clone()),
        ..CreateBudget::default()
    };
    let made: Budget = client.post(BUDGETS, &body).await?;
    printer.done(&made, &format!("budget {} is there and counts from now on", made.id))
}

async fn update(client: &Client, printer: Printer, wanted: &str, hard: Option<&str>, soft: Option<&str>) -> Result {
    let limit = |limit: Option<&str>| match limit {
        None => Update::Keep,
        Some("none") => Update::Clear,
        Some(amount) => Update::Set(Amount::Text(amount.to_owned())),
    };
    let body = UpdateBudget { hard_limit: limit(hard), soft_limit: limit(soft), ..UpdateBudget::default() };
    let budget = named(client, wanted).await?;
    let changed: Budget = client.put(&format!("{BUDGETS}/{}", budget.id), &body).await?;
    printer.done(&changed, &format!("budget {} is changed", changed.id))
}

async fn list(client: &Client, printer: Printer) -> Result {
    let budgets: Vec<Budget> = client.get(BUDGETS).await?;
    printer.list(
        &budgets,
        &[
            ("of", subject),
            ("models", |budget| budget.model.clone().unwrap_or_else(|| "all".to_owned())),
            ("period", |budget| budget.period.as_str().replace('_', " ")),
            ("unit", |budget| budget.unit.as_str().to_owned()),
            ("soft", |budget| budget.soft_limit.clone().unwrap_or_default()),
            ("hard", |budget| budget.hard_limit.clone().unwrap_or_default()),
            ("spent", |budget| match budget.state.as_slice() {
                [] => "0".to_owned(),
                [one] => one.spent.clone(),
                each => format!("{} of them", each.len()),
            }),
            ("resets", |budget| maybe_at(budget.state.first().and_then(|state| state.reset_at))),
            ("id", |budget| budget.id.to_string()),
        ],
        "there are no budgets: nothing limits what models may cost",
    )
}

async fn show(client: &Client, printer: Printer, wanted: &str) -> Result {
    let budget = named(client, wanted).await?;
    let mut facts = vec![
        ("of", subject(&budget)),
        ("models", budget.model.clone().unwrap_or_else(|| "all".to_owned())),
        ("period", budget.period.as_str().replace('_', " ")),
        ("unit", budget.unit.as_str().to_owned()),
        ("soft limit", budget.soft_limit.clone().unwrap_or_default()),
        ("hard limit", budget.hard_limit.clone().unwrap_or_default()),
        ("told", budget.notification_emails.join(", ")),
    ];
    for state in &budget.state {
        let whose = state.subject_id.map(|id| format!("{id}: ")).unwrap_or_default();
        let left = state.remaining.as_ref().map(|left| format!(", {left} left")).unwrap_or_default();
        let line = format!(
            "{whose}{} spent, {} reserved{left}, since {}",
            state.spent,
            state.reserved,
            at(state.window_start)
        );
        facts.push(("now", line));
    }
    printer.one(&budget, &facts)
}

async fn remove(client: &Client, printer: Printer, wanted: &str) -> Result {
    let budget = named(client, wanted).await?;
    client.delete(&format!("{BUDGETS}/{}", budget.id)).await?;
    printer.done(&budget, &format!("budget {} is removed", budget.id))
}

async fn named(client: &Client, wanted: &str) -> Result<Budget> {
    let budgets: Vec<Budget> = client.get(BUDGETS).await?;
    find("budget", &budgets, wanted, |budget| budget.id, |_| Vec::new()).cloned()
}

fn subject(budget: &Budget) -> String {
    match (&budget.subject_id, budget.subject_type.as_str()) {
        (Some(id), kind) => format!("{kind} {id}"),
        (None, "account") => "account".to_owned(),
        (None, kind) => format!("each {kind}"),
    }
}

fn period(text: &str) -> std::result::Result<Period, String> {
    Period::parse(text).ok_or_else(|| words(text, Period::ALL.iter().map(|period| period.as_str())))
}

fn unit(text: &str) -> std::result::Result<BudgetUnit, String> {
    BudgetUnit::parse(text).ok_or_else(|| words(text, BudgetUnit::ALL.iter().map(|unit| unit.as_str())))
}

fn words<'a>(text: &str, known: impl Iterator<Item = &'a str>) -> String {
    format!("`{text}` is not one of {}", known.collect::<Vec<_>>().join(", "))
}
