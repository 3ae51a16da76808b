//! Reading usage: sums over hours, by whatever a person asks for.

use std::fmt::Write as _;

use preloop_types::{AgentId, KeyId, NanoUsd, SessionId, Timestamp, UserId};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    Result, View,
    db::{at, fetch_all, row, unsigned},
};

/// Which usage to add up. Times are widened to whole hours.
#[derive(Debug, Clone, Default)]
pub struct UsageFilter {
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Only this person's.
    pub user: Option<UserId>,
    /// Only this key's.
    pub key: Option<KeyId>,
    /// Only this agent's.
    pub agent: Option<AgentId>,
    /// Only this run's.
    pub session: Option<SessionId>,
    /// Only of the model with this alias.
    pub model: Option<String>,
    /// Only of this provider.
    pub provider: Option<String>,
    /// Only calls that ended like this.
    pub outcome: Option<String>,
}

/// What to add up apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UsageBy {
    /// Each hour.
    Hour,
    /// Each day, UTC.
    Day,
    /// Each person.
    User,
    /// Each key.
    Key,
    /// Each agent.
    Agent,
    /// Each run.
    Session,
    /// Each model.
    Model,
    /// Each provider.
    Provider,
    /// Each outcome.
    Outcome,
}

/// One sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageRow {
    /// When the hour or day began, where that is asked for.
    pub at: Option<Timestamp>,
    /// Whose, where ids are asked for; `None` for calls that had none.
    pub id: Option<Uuid>,
    /// The alias, provider or outcome, where that is asked for.
    pub name: Option<String>,
    /// What was consumed.
    pub sums: UsageSums,
}

/// What calls consumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UsageSums {
    /// Calls.
    pub requests: u64,
    /// Those that were answered, from the cache too.
    pub succeeded: u64,
    /// Prompt tokens that no cache served.
    pub input: u64,
    /// Prompt tokens a cache served.
    pub cache_read: u64,
    /// Prompt tokens written to a cache.
    pub cache_write: u64,
    /// Answer tokens.
    pub output: u64,
    /// Reasoning tokens.
    pub reasoning: u64,
    /// Audio and image tokens.
    pub other: u64,
    /// What the calls with a price cost.
    pub cost: NanoUsd,
    /// Calls nobody knows a price of.
    pub unpriced: u64,
    /// Calls whose price was zero.
    pub zero_priced: u64,
    /// When the last one ended.
    pub last_at: Option<Timestamp>,
}

impl UsageSums {
    /// All tokens.
    pub const fn tokens(&self) -> u64 {
        self.input + self.cache_read + self.cache_write + self.output + self.reasoning + self.other
    }
}

row! {
    struct SumRow {
        group_at: Option<i64>, group_id: Option<Uuid>, group_name: Option<String>, requests: i64, succeeded: i64,
        input: i64, cache_read: i64, cache_write: i64, output: i64, reasoning: i64, other: i64, cost: i64,
        unpriced: i64, zero_priced: i64, last_at: Option<i64>,
    }
}

impl SumRow {
    fn into_row(self) -> Result<UsageRow> {
        Ok(UsageRow {
            at: self.group_at.map(at),
            id: self.group_id.filter(|id| !id.is_nil()),
            name: self.group_name,
            sums: UsageSums {
                requests: unsigned(self.requests)?,
                succeeded: unsigned(self.succeeded)?,
                input: unsigned(self.input)?,
                cache_read: unsigned(self.cache_read)?,
                cache_write: unsigned(self.cache_write)?,
                output: unsigned(self.output)?,
                reasoning: unsigned(self.reasoning)?,
                other: unsigned(self.other)?,
                cost: NanoUsd(self.cost),
                unpriced: unsigned(self.unpriced)?,
                zero_priced: unsigned(self.zero_priced)?,
                last_at: self.last_at.map(at),
            },
        })
    }
}

const HOUR: i64 = 3_600_000_000;

impl View<'_> {
    /// What calls consumed, in all.
    pub async fn usage_total(&mut self, filter: UsageFilter) -> Result<UsageSums> {
        let rows = self.sum_usage(&filter, None).await?;
        Ok(rows.into_iter().next().map(|row| row.sums).unwrap_or_default())
    }

    /// What calls consumed, by hour or day in their order, by anything else with the dearest first.
    pub async fn usage(&mut self, filter: UsageFilter, by: UsageBy) -> Result<Vec<UsageRow>> {
        self.sum_usage(&filter, Some(by)).await
    }

    async fn sum_usage(&mut self, filter: &UsageFilter, by: Option<UsageBy>) -> Result<Vec<UsageRow>> {
        // Made of nothing but the words below.
        let sql = statement(by);
        let since = filter.since.map_or(i64::MIN, |at| at.micros() - at.micros().rem_euclid(HOUR));
        let until = filter.until.map_or(i64::MAX, Timestamp::micros);
        let account = self.account().0;
        let rows = fetch_all!(
            self.conn,
            SumRow,
            AssertSqlSafe(sql.clone()),
            account,
            since,
            until,
            filter.user.map(|id| id.0),
            filter.key.map(|id| id.0),
            filter.agent.map(|id| id.0),
            filter.session.map(|id| id.0),
            filter.model.clone(),
            filter.provider.clone(),
            filter.outcome.clone()
        )?;
        rows.into_iter().map(SumRow::into_row).collect()
    }
}

fn statement(by: Option<UsageBy>) -> String {
    const NO: [&str; 3] = ["CAST(NULL AS BIGINT)", "CAST(NULL AS UUID)", "CAST(NULL AS TEXT)"];
    let [no_at, no_id, no_name] = NO;
    let (at, id, name, order) = match by {
        None => (no_at, no_id, no_name, ""),
        Some(UsageBy::Hour) => ("hour", no_id, no_name, "group_at"),
        Some(UsageBy::Day) => ("hour / 86400000000 * 86400000000", no_id, no_name, "group_at"),
        Some(UsageBy::User) => (no_at, "user_id", no_name, "cost DESC, group_id"),
        Some(UsageBy::Key) => (no_at, "key_id", no_name, "cost DESC, group_id"),
        Some(UsageBy::Agent) => (no_at, "agent_id", no_name, "cost DESC, group_id"),
        Some(UsageBy::Session) => (no_at, "session_id", no_name, "cost DESC, group_id"),
        Some(UsageBy::Model) => (no_at, no_id, "model", "cost DESC, group_name"),
        Some(UsageBy::Provider) => (no_at, no_id, "provider", "cost DESC, group_name"),
        Some(UsageBy::Outcome) => (no_at, no_id, "outcome", "cost DESC, group_name"),
    };
    let mut sql = format!("SELECT {at} AS group_at, {id} AS group_id, {name} AS group_name");
    let answered = "CASE WHEN outcome IN ('succeeded', 'cache_hit') THEN requests ELSE 0 END";
    let sums = [
        ("requests", "requests"),
        (answered, "succeeded"),
        ("input", "input"),
        ("cache_read", "cache_read"),
        ("cache_write", "cache_write"),
        ("output", "output"),
        ("reasoning", "reasoning"),
        ("other", "other"),
        ("cost", "cost"),
        ("unpriced", "unpriced"),
        ("zero_priced", "zero_priced"),
    ];
    for (of, name) in sums {
        // Writing to a string cannot fail.
        let _ = write!(sql, ", CAST(COALESCE(SUM({of}), 0) AS BIGINT) AS {name}");
    }
    sql.push_str(
        ", MAX(last_at) AS last_at FROM usage_rollups WHERE account_id = $1 AND hour >= $2 AND hour < $3 \
         AND ($4 IS NULL OR user_id = $4) AND ($5 IS NULL OR key_id = $5) AND ($6 IS NULL OR agent_id = $6) \
         AND ($7 IS NULL OR session_id = $7) AND ($8 IS NULL OR model = $8) AND ($9 IS NULL OR provider = $9) \
         AND ($10 IS NULL OR outcome = $10)",
    );
    if !order.is_empty() {
        let _ = write!(sql, " GROUP BY 1, 2, 3 ORDER BY {order} LIMIT 10000");
    }
    sql
}
