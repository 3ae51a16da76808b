//! `preloop prices`: what models cost this account, whatever the catalogue says.

use clap::{Args, Subcommand};
use preloop_api_types::{
    DateTime, Utc,
    price_overrides::{CreatePriceOverride, PriceOverride, PriceRepair, RepairPrices},
};
use preloop_types::Rates;

use super::models::price;
use crate::{
    cli::{Global, some_text},
    client::Client,
    failure::Result,
    output::Printer,
    words::{find, maybe_at, moment},
};

const PRICES: &str = "/api/v1/price-overrides";

#[derive(Subcommand)]
pub(crate) enum Prices {
    /// Say what models cost: `preloop prices add 'openai/*' --discount 20`
    Add(Box<Add>),
    /// List your own prices
    List,
    /// Remove one: from then on the model's own price or the catalogue's counts
    Remove {
        /// Its id, or the models it is about
        #[arg(value_parser = some_text())]
        price: String,
    },
    /// Price calls again after a price was wrong: `preloop prices repair --since 30d --dry-run`
    Repair(Repair),
}

#[derive(Args)]
pub(crate) struct Repair {
    /// Calls that ended from then on: 30d, 12h, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: DateTime<Utc>,
    /// And before
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// Only of these models: an alias, a glob or `tag:<label>`
    #[arg(long, value_name = "MODELS", value_parser = some_text())]
    model: Option<String>,
    /// Why, for the record
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Only say what would change
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args)]
pub(crate) struct Add {
    /// Which models: an alias, a glob (`anthropic/*`) or `tag:<label>`
    #[arg(value_parser = some_text())]
    model: String,
    /// Dollars per million tokens of prompt and of answer: `3,15`
    #[arg(long, value_name = "INPUT,OUTPUT", value_parser = price, required_unless_present_any = ["rates", "discount"])]
    price: Option<Rates>,
    /// All rates as JSON: `{"input": "3", "output": "15", "cache_read": "0.3"}`
    #[arg(long, value_name = "JSON", value_parser = rates, conflicts_with = "price")]
    rates: Option<Rates>,
    /// How much less than otherwise, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    discount: Option<u8>,
    /// When it begins to hold: 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// When it no longer holds
    #[arg(long, value_name = "TIME")]
    until: Option<DateTime<Utc>>,
    /// Why, for people
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
}

pub(crate) async fn run(command: &Prices, global: &Global) -> Result {
    let client = Client::new(global)?;
    let printer = global.printer();
    match command {
        Prices::Add(price) => add(&client, printer, price).await,
        Prices::List => list(&client, printer).await,
        Prices::Remove { price } => remove(&client, printer, price).await,
        Prices::Repair(wanted) => repair(&client, printer, wanted).await,
    }
}

async fn add(client: &Client, printer: Printer, wanted: &Add) -> Result {
    let body = CreatePriceOverride {
        model: wanted.model.clone(),
        rates: wanted.price.clone().or_else(|| wanted.rates.clone()),
        discount_percent: wanted.discount,
        effective_from: wanted.from,
        effective_until: wanted.until,
        note: wanted.note.clone(),
    };
    let made: PriceOverride = client.post(PRICES, &body).await?;
    printer.done(&made, &format!("the price of `{}` counts from now on; what was charged stays", made.model))
}

async fn list(client: &Client, printer: Printer) -> Result {
    let prices: Vec<PriceOverride> = client.get(PRICES).await?;
    printer.list(
        &prices,
        &[
            ("models", |price| price.model.clone()),
            ("$ in", |price| price.rates.as_ref().map(|rates| rates.input.to_string()).unwrap_or_default()),
            ("$ out", |price| price.rates.as_ref().map(|rates| rates.output.to_string()).unwrap_or_default()),
            ("discount", |price| match price.discount_percent {
                0 => String::new(),
                percent => format!("{percent} %"),
            }),
            ("from", |price| maybe_at(price.effective_from)),
            ("until", |price| maybe_at(price.effective_until)),
            ("note", |price| price.note.clone().unwrap_or_default()),
            ("id", |price| price.id.to_string()),
        ],
        "there are no prices of your own; the models' own and the catalogue's count",
    )
}

async fn remove(client: &Client, printer: Printer, wanted: &str) -> Result {
    let prices: Vec<PriceOverride> = client.get(PRICES).await?;
    let price = find("price", &prices, wanted, |price| price.id, |price| vec![&price.model])?;
    client.delete(&format!("{PRICES}/{}", price.id)).await?;
    printer.done(price, &format!("the price of `{}` is removed", price.model))
}

async fn repair(client: &Client, printer: Printer, wanted: &Repair) -> Result {
    let mut ask = RepairPrices {
        since: wanted.since,
        until: wanted.until,
        model: wanted.model.clone(),
        reason: wanted.reason.clone(),
        dry_run: wanted.dry_run,
    };
    loop {
        let done: PriceRepair = client.post(&format!("{PRICES}/repair"), &ask).await?;
        let what = if done.dry_run { "would cost" } else { "cost now" };
        let PriceRepair { examined, repaired, cost_before_usd: before, cost_after_usd: after, .. } = &done;
        let said = format!("{repaired} of {examined} calls {what} ${after} instead of ${before}");
        let unknown = match (done.unpriced, done.model_gone) {
            (0, 0) => String::new(),
            (unpriced, gone) => format!("; {unpriced} have no price even now, the models of {gone} are gone"),
        };
        printer.done(&done, &format!("{said}{unknown}"))?;
        match done.next {
            Some(next) => ask.since = next,
            None => return Ok(()),
        }
    }
}

fn rates(text: &str) -> std::result::Result<Rates, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}
