//! A wrong price, repaired: calls are priced again as if today's prices had held when they were made.
//!
//! Nothing is rewritten. Each call whose cost differs gets one more record, `model.repriced`, which says what
//! it was, what it is and which budgets follow; sums and budgets are corrected in the same transaction. Done
//! twice, it changes nothing the second time.

use std::sync::Arc;

use preloop_store::{Order, Record, RecordFilter, Tx, UsageCorrection, WindowKey};
use preloop_types::{
    Budget, BudgetUnit, CallId, CostSource, Entry, EntryKind, Exposure, Model, ModelId, ModelPattern, ModelStatus,
    NanoUsd, PriceOverride, Principal, Rates, Reserved, Subject, Timestamp, Tokens,
};
use serde::{Deserialize, Serialize};
use serde_json::value::to_raw_value;

use super::{Config, ConfigError, Result, limits};
use crate::budgets::may_have_consumed;

/// Calls of one transaction: short, because the journal waits for it.
const CALLS_AT_ONCE: usize = 50;
const PAGE: u32 = 1000;
/// Calls that one repair looks at.
const CALLS_MAX: u64 = 20_000;

/// What a model cost at a time, by these overrides and whatever else is known of prices.
pub type Pricer = Arc<dyn Fn(&Model, &[PriceOverride], Timestamp) -> Option<(Rates, CostSource)> + Send + Sync>;

/// Which calls to price again.
#[derive(Debug, Clone)]
pub struct RepairAsk {
    /// Calls that ended from then on.
    pub since: Timestamp,
    /// And before.
    pub until: Option<Timestamp>,
    /// Only of these models.
    pub model: Option<ModelPattern>,
    /// Why, for the record.
    pub reason: Option<String>,
    /// Only say what would change.
    pub dry_run: bool,
}

/// What a repair found and did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Repair {
    /// Calls that were looked at.
    pub examined: u64,
    /// Calls that cost something else now.
    pub repaired: u64,
    /// Calls whose cost no price of the account or the catalogue explains: the provider's own figures,
    /// subscriptions, calls that cost nothing.
    pub kept: u64,
    /// Calls nobody knows a price of even now.
    pub unpriced: u64,
    /// Calls of models that are gone.
    pub model_gone: u64,
    /// What the repaired calls cost before.
    pub before: NanoUsd,
    /// What they cost now.
    pub after: NanoUsd,
    /// Where to go on: more calls ended after this time than one repair looks at.
    pub next: Option<Timestamp>,
}

/// What a record says of how a call ended.
#[derive(Deserialize)]
struct Ended {
    status: ModelStatus,
    model: String,
    provider: String,
    #[serde(default)]
    tokens: Option<Tokens>,
    #[serde(default)]
    cost: Option<NanoUsd>,
    #[serde(default)]
    cost_source: Option<CostSource>,
}

/// What a record says of a call that began.
#[derive(Deserialize)]
struct Began {
    model_id: ModelId,
    #[serde(flatten)]
    exposure: ExposureFacts,
    #[serde(default)]
    reserved: Vec<Reserved>,
}

/// The most a call could consume, as its intent says it.
#[derive(Serialize, Deserialize, Default)]
pub(crate) struct ExposureFacts {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    input_tokens_max: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    output_tokens_max: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    cache_writes: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    audio: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    images: bool,
    #[serde(default, skip_serializing_if = "is_zero")]
    web_searches_max: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it like this")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The record of a correction.
#[derive(Serialize)]
struct Repriced<'a> {
    model: &'a str,
    provider: &'a str,
    status: ModelStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_before: Option<NanoUsd>,
    cost: NanoUsd,
    cost_source: CostSource,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    budgets: Vec<Reserved>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Deserialize)]
struct Corrected {
    cost: NanoUsd,
    cost_source: CostSource,
}

impl ExposureFacts {
    pub(crate) fn of(exposure: Option<&Exposure>) -> Self {
        let Some(most) = exposure else { return Self::default() };
        Self {
            input_tokens_max: Some(most.input_tokens),
            output_tokens_max: Some(most.output_tokens),
            cache_writes: most.cache_writes,
            audio: most.audio,
            images: most.images,
            web_searches_max: most.web_searches,
        }
    }

    fn exposure(&self) -> Option<Exposure> {
        Some(Exposure {
            input_tokens: self.input_tokens_max?,
            output_tokens: self.output_tokens_max?,
            cache_writes: self.cache_writes,
            audio: self.audio,
            images: self.images,
            web_searches: self.web_searches_max,
        })
    }
}

impl Config {
    /// Prices calls again.
    pub async fn repair_prices(&self, who: &Principal, ask: RepairAsk, price: Pricer) -> Result<Repair> {
        if ask.until.is_some_and(|until| until <= ask.since) {
            return Err(ConfigError::invalid("until", "is not after `since`"));
        }
        let reason = ask.reason.as_deref().map(|text| limits::text("reason", text, limits::TEXT_MAX)).transpose()?;
        let (account, subject) = (who.account, Subject::from(who));
        let ask = Arc::new(RepairAsk { reason, ..ask });
        let mut filter = RecordFilter {
            kinds: vec![EntryKind::ModelOutcome],
            since: Some(ask.since),
            until: ask.until,
            order: Order::OldestFirst,
            limit: PAGE,
            ..RecordFilter::default()
        };
        let mut done = Repair::default();
        loop {
            let page = self.store.account(account).records(filter.clone()).await?;
            let is_last = page.len() < PAGE as usize;
            let Some(last) = page.last() else { return Ok(done) };
            filter.after = Some(last.cursor());
            let last_at = last.at;
            let mut page = page.into_iter();
            loop {
                let some: Vec<Record> = page.by_ref().take(CALLS_AT_ONCE).collect();
                if some.is_empty() {
                    break;
                }
                let (ask, price) = (ask.clone(), price.clone());
                let part = self.change(account, move |tx| {
                    Box::pin(async move { Prices::of(tx, price).await?.repair(tx, subject, &some, &ask).await })
                });
                done.add(&part.await?);
            }
            if is_last {
                return Ok(done);
            }
            if done.examined >= CALLS_MAX {
                done.next = Some(last_at);
                return Ok(done);
            }
        }
    }
}

impl Repair {
    fn add(&mut self, part: &Repair) {
        self.examined += part.examined;
        self.repaired += part.repaired;
        self.kept += part.kept;
        self.unpriced += part.unpriced;
        self.model_gone += part.model_gone;
        self.before = NanoUsd(self.before.0.saturating_add(part.before.0));
        self.after = NanoUsd(self.after.0.saturating_add(part.after.0));
    }
}

/// What an account's calls are priced with.
struct Prices {
    models: Vec<Model>,
    overrides: Vec<PriceOverride>,
    budgets: Vec<Budget>,
    price: Pricer,
}

impl Prices {
    async fn of(tx: &mut Tx<'_>, price: Pricer) -> Result<Self> {
        tx.repair_alone().await?;
        Ok(Self {
            models: tx.models().await?,
            overrides: tx.price_overrides().await?,
            budgets: tx.budgets().await?,
            price,
        })
    }

    async fn repair(&self, tx: &mut Tx<'_>, by: Subject, records: &[Record], ask: &RepairAsk) -> Result<Repair> {
        let mut done = Repair::default();
        for record in records {
            let (Some(call), Ok(ended)) = (record.call, serde_json::from_str::<Ended>(record.body.get())) else {
                continue;
            };
            self.repair_one(tx, by, (record, call, &ended), ask, &mut done).await?;
        }
        Ok(done)
    }

    async fn repair_one(
        &self,
        tx: &mut Tx<'_>,
        by: Subject,
        (record, call, ended): (&Record, CallId, &Ended),
        ask: &RepairAsk,
        done: &mut Repair,
    ) -> Result<()> {
        let history = tx.records(RecordFilter { call: Some(call), limit: PAGE, ..RecordFilter::default() }).await?;
        // The newest is first.
        let newest = |kinds: &[EntryKind]| history.iter().find(|record| kinds.contains(&record.kind));
        let began = newest(&[EntryKind::ModelRerouted, EntryKind::ModelIntent]);
        let Some(began) = began.and_then(|record| serde_json::from_str::<Began>(record.body.get()).ok()) else {
            return Ok(());
        };
        let model = self.models.iter().find(|model| model.id == began.model_id);
        match (&ask.model, model) {
            (Some(pattern), Some(model)) if !pattern.matches(model) => return Ok(()),
            (Some(pattern), None) if !pattern.matches_name(&ended.model) => return Ok(()),
            _ => done.examined += 1,
        }
        let Some(model) = model else {
            done.model_gone += 1;
            return Ok(());
        };
        let corrected = newest(&[EntryKind::ModelRepriced]);
        let corrected = corrected.and_then(|record| serde_json::from_str::<Corrected>(record.body.get()).ok());
        let before = corrected.as_ref().map_or(ended.cost, |corrected| Some(corrected.cost));
        let source = corrected.map(|corrected| corrected.cost_source).or(ended.cost_source);
        if !matches!(
            source,
            Some(
                CostSource::Override
                    | CostSource::ModelConfig
                    | CostSource::Catalog
                    | CostSource::Unpriced
                    | CostSource::Bound
            )
        ) {
            done.kept += 1;
            return Ok(());
        }
        // When it was made: that is when its price was looked up.
        let made = history.last().map_or(record.at, |first| first.at);
        let Some((rates, from)) = (self.price)(model, &self.overrides, made) else {
            done.unpriced += 1;
            return Ok(());
        };
        // What was booked at the most it could cost is so again; unpriced calls have their counters.
        let bound = || began.exposure.exposure().map(|most| (rates.bound(&most), CostSource::Bound));
        let priced = match (ended.cost_source, &ended.tokens) {
            (Some(CostSource::Bound), _) | (_, None) => bound(),
            (_, Some(tokens)) => Some((rates.cost(tokens), from)),
        };
        let Some((after, from)) = priced else {
            done.kept += 1;
            return Ok(());
        };
        if before == Some(after) {
            return Ok(());
        }
        done.repaired += 1;
        done.before = NanoUsd(done.before.0.saturating_add(before.unwrap_or_default().0));
        done.after = NanoUsd(done.after.0.saturating_add(after.0));
        if ask.dry_run {
            return Ok(());
        }
        let change = after.0.saturating_sub(before.unwrap_or_default().0);
        let budgets = self.budgets_of(&history, model, change);
        for line in &budgets {
            let window =
                WindowKey { budget: line.budget, subject: line.subject, start: Timestamp::from_micros(line.window) };
            tx.correct_budget(window, change).await?;
        }
        let counts = may_have_consumed(ended.status);
        let is_zero = |cost: Option<NanoUsd>| i64::from(counts && cost == Some(NanoUsd::ZERO));
        tx.correct_usage(UsageCorrection {
            chain: record.chain,
            at: record.at,
            subject: record.subject,
            model: &ended.model,
            provider: &ended.provider,
            outcome: ended.status.as_str(),
            cost: change,
            unpriced: -i64::from(counts && before.is_none()),
            zero_priced: is_zero(Some(after)) - is_zero(before),
        })
        .await?;
        let body = Repriced {
            model: &ended.model,
            provider: &ended.provider,
            status: ended.status,
            cost_before: before,
            cost: after,
            cost_source: from,
            budgets,
            reason: ask.reason.as_deref(),
        };
        tx.record(Entry {
            account: tx.account(),
            kind: EntryKind::ModelRepriced,
            call: Some(call),
            subject: by,
            // Strings and numbers always serialise.
            body: to_raw_value(&body).unwrap_or_default(),
            payload: None,
        });
        Ok(())
    }

    /// The windows that counted the call in dollars, and what each of them gets.
    fn budgets_of(&self, history: &[Record], model: &Model, change: i64) -> Vec<Reserved> {
        let mut windows: Vec<Reserved> = Vec::new();
        let began = history.iter().filter(|record| record.kind != EntryKind::ModelOutcome);
        let began = began.filter_map(|record| serde_json::from_str::<Began>(record.body.get()).ok());
        for line in began.flat_map(|began| began.reserved) {
            let known = windows
                .iter()
                .any(|other| (other.budget, other.subject, other.window) == (line.budget, line.subject, line.window));
            let counts = self.budgets.iter().any(|budget| {
                budget.id == line.budget
                    && budget.unit == BudgetUnit::Usd
                    && budget.model.as_ref().is_none_or(|pattern| pattern.matches(model))
            });
            if counts && !known {
                windows.push(Reserved { amount: change, ..line });
            }
        }
        windows
    }
}
