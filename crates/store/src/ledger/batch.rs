//! The lines of one group commit, added up and written in two statements.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, OnceLock},
};

use preloop_types::{AccountId, Subject, Timestamp, Tokens};
use sqlx::{PgConnection, SqliteConnection};
use uuid::Uuid;

use super::{AMOUNT_MAX, LedgerLine, Settled, Usage, WindowKey};
use crate::{Result, db::Conn};

/// Most rows of one statement.
const ROWS_MAX: usize = 32;
pub(super) const HOUR: i64 = 3_600_000_000;

/// What the records of one commit add to the ledger.
#[derive(Default)]
pub(crate) struct Batch {
    usage: HashMap<UsageKey, UsageSum>,
    shares: HashMap<(Uuid, WindowKey), Moved>,
}

#[derive(PartialEq, Eq, Hash)]
struct UsageKey {
    account: AccountId,
    hour: i64,
    chain: i64,
    subject: [Uuid; 4],
    model: Arc<str>,
    provider: Arc<str>,
    outcome: &'static str,
}

#[derive(Default)]
struct UsageSum {
    requests: i64,
    tokens: Tokens,
    cost: i64,
    unpriced: i64,
    zero_priced: i64,
    last_at: i64,
}

/// What one life of a node consumed of one window, and what of its lease that used up.
#[derive(Default)]
struct Moved {
    spent: i64,
    released: i64,
}

impl Batch {
    /// Adds the line of a record of `subject` that was chained at `at`.
    pub(crate) fn add(&mut self, account: AccountId, chain: i64, at: Timestamp, subject: Subject, line: LedgerLine) {
        if let Some(usage) = line.usage {
            self.add_usage(account, chain, at, subject, usage);
        }
        for Settled { life, window, spent, released } in line.settled {
            let sum = self.shares.entry((life, window)).or_default();
            sum.spent = sum.spent.saturating_add(spent.clamp(0, AMOUNT_MAX));
            sum.released = sum.released.saturating_add(released);
        }
    }

    fn add_usage(&mut self, account: AccountId, chain: i64, at: Timestamp, subject: Subject, usage: Usage) {
        let Usage { model, provider, outcome, tokens, cost, priced } = usage;
        let subject = subject_ids(subject);
        let hour = at.micros() - at.micros().rem_euclid(HOUR);
        let key = UsageKey { account, hour, chain, subject, model, provider, outcome };
        let sum = match self.usage.entry(key) {
            Entry::Occupied(sum) => sum.into_mut(),
            Entry::Vacant(free) => free.insert(UsageSum::default()),
        };
        sum.requests += 1;
        sum.tokens = sum.tokens.plus(&tokens);
        sum.cost = sum.cost.saturating_add(cost.map_or(0, |cost| cost.0.clamp(0, AMOUNT_MAX)));
        sum.unpriced += i64::from(priced && cost.is_none());
        sum.zero_priced += i64::from(priced && cost.is_some_and(|cost| cost.0 == 0));
        sum.last_at = at.micros();
    }

    /// Writes the sums.
    pub(crate) async fn write(self, conn: &mut Conn<'_>) -> Result<()> {
        let mut usage = self.usage.into_iter();
        loop {
            let rows: Vec<_> = usage.by_ref().take(ROWS_MAX).collect();
            if rows.is_empty() {
                break;
            }
            match conn {
                Conn::Sqlite(conn) => usage_sqlite(conn, rows).await?,
                Conn::Pg(conn) => usage_postgres(conn, rows).await?,
            }
        }
        let mut shares = self.shares.into_iter();
        loop {
            let rows: Vec<_> = shares.by_ref().take(ROWS_MAX).collect();
            if rows.is_empty() {
                return Ok(());
            }
            match conn {
                Conn::Sqlite(conn) => shares_sqlite(conn, rows).await?,
                Conn::Pg(conn) => shares_postgres(conn, rows).await?,
            }
        }
    }
}

const USAGE_INTO: &str = "INSERT INTO usage_rollups (account_id, hour, chain_id, user_id, key_id, agent_id, session_id, \
     model, provider, outcome, requests, input, cache_read, cache_write, output, reasoning, other, cost, unpriced, \
     zero_priced, last_at) ";
const USAGE_ADD: &str = " ON CONFLICT (account_id, hour, chain_id, key_id, session_id, model, outcome, agent_id, \
     user_id, provider) DO UPDATE SET requests = usage_rollups.requests + excluded.requests, \
     input = usage_rollups.input + excluded.input, cache_read = usage_rollups.cache_read + excluded.cache_read, \
     cache_write = usage_rollups.cache_write + excluded.cache_write, output = usage_rollups.output + excluded.output, \
     reasoning = usage_rollups.reasoning + excluded.reasoning, other = usage_rollups.other + excluded.other, \
     cost = usage_rollups.cost + excluded.cost, unpriced = usage_rollups.unpriced + excluded.unpriced, \
     zero_priced = usage_rollups.zero_priced + excluded.zero_priced, last_at = excluded.last_at";
const USAGE_COLUMNS: usize = 21;

/// Whose row it is: nil stands for none.
pub(super) fn subject_ids(subject: Subject) -> [Uuid; 4] {
    [
        subject.user.map(|id| id.0),
        subject.key.map(|id| id.0),
        subject.agent.map(|id| id.0),
        subject.session.map(|id| id.0),
    ]
    .map(Option::unwrap_or_default)
}

/// The counters as columns, from `input` to `other`.
fn counters(tokens: &Tokens) -> [i64; 6] {
    [
        tokens.input,
        tokens.cache_read,
        tokens.cache_write_5m.saturating_add(tokens.cache_write_1h),
        tokens.output,
        tokens.reasoning,
        [tokens.input_audio, tokens.output_audio, tokens.input_image, tokens.output_image]
            .into_iter()
            .fold(0, u64::saturating_add),
    ]
    .map(|counter| i64::try_from(counter).unwrap_or(i64::MAX).min(AMOUNT_MAX))
}

/// As with records: one statement for each power of two, places beyond the rows at hand are null.
fn places(rows: usize, columns: usize) -> String {
    let place = format!("({})", vec!["?"; columns].join(", "));
    vec![place; rows].join(", ")
}

async fn usage_sqlite(conn: &mut SqliteConnection, rows: Vec<(UsageKey, UsageSum)>) -> Result<()> {
    static STATEMENTS: [OnceLock<String>; ROWS_MAX.ilog2() as usize + 1] = [const { OnceLock::new() }; _];
    let count = rows.len().next_power_of_two();
    let sql = STATEMENTS[count.ilog2() as usize].get_or_init(|| {
        let places = places(count, USAGE_COLUMNS);
        format!("{USAGE_INTO}SELECT * FROM (VALUES {places}) WHERE column1 IS NOT NULL{USAGE_ADD}")
    });
    let mut query = sqlx::query(sql.as_str());
    for (key, sum) in rows {
        query = query.bind(key.account.0).bind(key.hour).bind(key.chain);
        for id in key.subject {
            query = query.bind(id);
        }
        query = query.bind(key.model.to_string()).bind(key.provider.to_string()).bind(key.outcome).bind(sum.requests);
        for counter in counters(&sum.tokens) {
            query = query.bind(counter);
        }
        query = query.bind(sum.cost).bind(sum.unpriced).bind(sum.zero_priced).bind(sum.last_at);
    }
    query.execute(conn).await?;
    Ok(())
}

async fn usage_postgres(conn: &mut PgConnection, rows: Vec<(UsageKey, UsageSum)>) -> Result<()> {
    static STATEMENT: OnceLock<String> = OnceLock::new();
    let sql = STATEMENT.get_or_init(|| {
        format!(
            "{USAGE_INTO}SELECT * FROM UNNEST($1::uuid[], $2::bigint[], $3::bigint[], $4::uuid[], $5::uuid[], \
             $6::uuid[], $7::uuid[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], \
             $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], \
             $20::bigint[], $21::bigint[]){USAGE_ADD}"
        )
    });
    let column = |of: &dyn Fn(&(UsageKey, UsageSum)) -> i64| rows.iter().map(of).collect::<Vec<_>>();
    let id = |of: &dyn Fn(&UsageKey) -> Uuid| rows.iter().map(|(key, _)| of(key)).collect::<Vec<_>>();
    let text = |of: &dyn Fn(&UsageKey) -> &str| rows.iter().map(|(key, _)| of(key).to_owned()).collect::<Vec<_>>();
    let mut query = sqlx::query(sql.as_str())
        .bind(id(&|key| key.account.0))
        .bind(column(&|(key, _)| key.hour))
        .bind(column(&|(key, _)| key.chain));
    for at in 0..4 {
        query = query.bind(id(&|key| key.subject[at]));
    }
    query = query
        .bind(text(&|key| &key.model))
        .bind(text(&|key| &key.provider))
        .bind(text(&|key| key.outcome))
        .bind(column(&|(_, sum)| sum.requests));
    for at in 0..6 {
        query = query.bind(column(&|(_, sum)| counters(&sum.tokens)[at]));
    }
    query
        .bind(column(&|(_, sum)| sum.cost))
        .bind(column(&|(_, sum)| sum.unpriced))
        .bind(column(&|(_, sum)| sum.zero_priced))
        .bind(column(&|(_, sum)| sum.last_at))
        .execute(conn)
        .await?;
    Ok(())
}

// An update, never an insert: where the share is gone, this life was taken for dead and its open calls
// were settled at their bound, so nothing may be added or given back any more.

async fn shares_sqlite(conn: &mut SqliteConnection, rows: Vec<((Uuid, WindowKey), Moved)>) -> Result<()> {
    static STATEMENTS: [OnceLock<String>; ROWS_MAX.ilog2() as usize + 1] = [const { OnceLock::new() }; _];
    let count = rows.len().next_power_of_two();
    let sql = STATEMENTS[count.ilog2() as usize].get_or_init(|| {
        format!(
            "UPDATE budget_shares SET settled = settled + line.column5, leased = leased - line.column6 \
             FROM (VALUES {}) AS line WHERE budget_id = line.column1 AND subject_id = line.column2 \
             AND window_start = line.column3 AND life = line.column4",
            places(count, 6)
        )
    });
    let mut query = sqlx::query(sql.as_str());
    for ((life, window), Moved { spent, released }) in rows {
        query = query.bind(window.budget.0).bind(window.subject).bind(window.start.micros());
        query = query.bind(life).bind(spent).bind(released);
    }
    query.execute(conn).await?;
    Ok(())
}

async fn shares_postgres(conn: &mut PgConnection, rows: Vec<((Uuid, WindowKey), Moved)>) -> Result<()> {
    const STATEMENT: &str = "UPDATE budget_shares s SET settled = s.settled + line.spent, leased = s.leased - line.released \
         FROM UNNEST($1::uuid[], $2::uuid[], $3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[]) \
         AS line(budget_id, subject_id, window_start, life, spent, released) \
         WHERE s.budget_id = line.budget_id AND s.subject_id = line.subject_id \
         AND s.window_start = line.window_start AND s.life = line.life";
    let window = rows.iter().map(|((_, window), _)| window);
    sqlx::query(STATEMENT)
        .bind(window.clone().map(|window| window.budget.0).collect::<Vec<_>>())
        .bind(window.clone().map(|window| window.subject).collect::<Vec<_>>())
        .bind(window.map(|window| window.start.micros()).collect::<Vec<_>>())
        .bind(rows.iter().map(|((life, _), _)| *life).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, moved)| moved.spent).collect::<Vec<_>>())
        .bind(rows.iter().map(|(_, moved)| moved.released).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}
