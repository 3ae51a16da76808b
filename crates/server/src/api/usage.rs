//! `/api/v1/account/gateway-usage`, `/api/v1/cost` and the usage of one model or key

use preloop_api_types::{
    DateTime, Utc,
    usage::{
        BudgetHealth, CostHealth, HealthCheck, SearchUsage, TokenUsage, UsageItem, UsageOf, UsageOfDay, UsagePage,
        UsageQuery, UsageSummary, UsageSums,
    },
};
use preloop_store::{AccountStore, UsageBy, UsageFilter, UsageRow};
use preloop_types::{
    AgentId, BudgetSubject, BudgetUnit, EntryKind, KeyId, ModelId, NanoUsd, Period, SessionId, Timestamp,
};
use utoipa_axum::router::OpenApiRouter;

use super::{ai_models, calls, shape};
use crate::{
    App,
    caller::{Caller, Person, ViewCost},
    error::{ApiError, ApiResult},
    extract::{Id, Query, limit},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(summary))
        .routes(guarded!(search))
        .routes(guarded!(cost_summary))
        .routes(guarded!(cost_health))
        .routes(guarded!(of_model))
        .routes(guarded!(of_key))
}

/// What the account's model calls consumed.
#[utoipa::path(get, path = "/api/v1/account/gateway-usage/summary", tag = "usage", params(UsageQuery),
    responses((status = 200, body = UsageSummary)))]
async fn summary(caller: Caller<ViewCost>, Query(query): Query<UsageQuery>) -> ApiResult<UsageSummary> {
    summed(&caller, query).await
}

/// The account's model calls, newest first.
#[utoipa::path(get, path = "/api/v1/account/gateway-usage/search", tag = "usage", params(SearchUsage),
    responses((status = 200, body = UsagePage)))]
async fn search(caller: Caller<ViewCost>, Query(query): Query<SearchUsage>) -> ApiResult<UsagePage> {
    let rows = caller.store().account(caller.who().account);
    let wanted = limit(query.limit, 20, 100)? as usize;
    Ok(axum::Json(calls::search(&rows, query, wanted).await?))
}

/// What the account's model calls cost; the same figures as the usage summary.
#[utoipa::path(get, path = "/api/v1/cost/summary", tag = "usage", params(UsageQuery),
    responses((status = 200, body = UsageSummary)))]
async fn cost_summary(caller: Caller<ViewCost>, Query(query): Query<UsageQuery>) -> ApiResult<UsageSummary> {
    summed(&caller, query).await
}

/// Whether the figures can be trusted: whether calls have counters, prices, and the provider's own word.
#[utoipa::path(get, path = "/api/v1/cost/health", tag = "usage", params(UsageQuery),
    responses((status = 200, body = CostHealth)))]
async fn cost_health(caller: Caller<ViewCost>, Query(query): Query<UsageQuery>) -> ApiResult<CostHealth> {
    let rows = caller.store().account(caller.who().account);
    let (since, until) = stretch(&query, caller.store().now());
    let total = rows.usage_total(filter(&query, since, until)).await?;
    let sample =
        SearchUsage { start_date: Some(shape::at(since)), end_date: Some(shape::at(until)), ..SearchUsage::default() };
    let calls = calls::newest(&rows, &sample, &[EntryKind::ModelOutcome]).await?;
    let answered: Vec<&UsageItem> = calls.iter().filter(|call| call.outcome == "succeeded").collect();
    let count = |calls: &[&UsageItem], is: fn(&UsageItem) -> bool| calls.iter().filter(|call| is(call)).count() as u64;
    let counted: Vec<&UsageItem> = answered.iter().copied().filter(|call| call.token_usage.is_some()).collect();
    let check = |name: &str, good: u64, of: u64, detail: &str| HealthCheck {
        name: name.to_owned(),
        ok: good == of,
        good,
        of,
        detail: detail.to_owned(),
    };
    let checks = vec![
        check(
            "answers_have_tokens",
            counted.len() as u64,
            answered.len() as u64,
            "answered calls whose tokens are known, of the newest thousand; others cost nobody knows what",
        ),
        check(
            "calls_are_priced",
            total.requests.saturating_sub(total.unpriced),
            total.requests,
            "calls that have a price or need none; give the others' models one with a price override",
        ),
        check(
            "counts_are_the_providers",
            count(&counted, |call| call.usage_source.as_deref() == Some("provider")),
            counted.len() as u64,
            "counted calls whose figures are the provider's own, not estimated here",
        ),
    ];
    let status = match (total.requests, checks.iter().all(|check| check.ok)) {
        (0, _) => "no_traffic",
        (_, true) => "ok",
        (_, false) => "attention",
    };
    Ok(axum::Json(CostHealth {
        status: status.to_owned(),
        period_start: shape::at(since),
        period_end: shape::at(until),
        checks,
    }))
}

/// What calls of one model consumed.
#[utoipa::path(get, path = "/api/v1/ai-models/{id}/summary", tag = "usage", params(UsageQuery),
    responses((status = 200, body = UsageSummary)))]
async fn of_model(
    caller: Caller<ViewCost>,
    Id(id): Id<ModelId>,
    Query(query): Query<UsageQuery>,
) -> ApiResult<UsageSummary> {
    let model = ai_models::find(&caller, caller.who().account, id).await?;
    summed(&caller, UsageQuery { model_alias: Some(model.alias), ..query }).await
}

/// What calls with one key consumed. Somebody else's needs `manage_api_keys`.
#[utoipa::path(get, path = "/api/v1/auth/api-keys/{id}/gateway-usage/summary", tag = "usage", params(UsageQuery),
    responses((status = 200, body = UsageSummary)))]
async fn of_key(caller: Caller<Person>, Id(id): Id<KeyId>, Query(query): Query<UsageQuery>) -> ApiResult<UsageSummary> {
    let key = caller.config().key(caller.who(), id).await?;
    summed(&caller, UsageQuery { api_key_id: Some(key.id.0), ..query }).await
}

async fn summed<P>(caller: &Caller<P>, query: UsageQuery) -> ApiResult<UsageSummary> {
    let now = caller.store().now();
    let rows = caller.store().account(caller.who().account);
    let (since, until) = stretch(&query, now);
    let filter = filter(&query, since, until);
    let total = sums(rows.usage_total(filter.clone()).await?);
    let detailed = query.include_breakdown != Some(false);
    let by = async |by: UsageBy| {
        if !detailed {
            return Ok(Vec::new());
        }
        rows.usage(filter.clone(), by).await.map_err(ApiError::from)
    };
    let of = |rows: Vec<UsageRow>| rows.into_iter().map(usage_of).collect();
    let days = by(UsageBy::Day).await?.iter().map(day).collect();
    Ok(axum::Json(UsageSummary {
        period_start: shape::at(since),
        period_end: shape::at(until),
        total_requests: total.request_count,
        successful_requests: total.successful_request_count,
        failed_requests: total.failed_request_count,
        unpriced_request_count: total.unpriced_request_count,
        zero_priced_request_count: total.zero_priced_request_count,
        token_usage: total.token_usage,
        estimated_cost: total.estimated_cost,
        cost_usd: total.cost_usd,
        budget: budget_health(&rows, now).await?,
        requests_by_day: days,
        usage_by_model: of(by(UsageBy::Model).await?),
        usage_by_provider: of(by(UsageBy::Provider).await?),
        usage_by_session: of(by(UsageBy::Session).await?),
        usage_by_agent: of(by(UsageBy::Agent).await?),
        usage_by_api_key: of(by(UsageBy::Key).await?),
        usage_by_outcome: of(by(UsageBy::Outcome).await?),
    }))
}

/// The account's monthly budget in dollars over all models, where it has one.
async fn budget_health(rows: &AccountStore, now: Timestamp) -> Result<BudgetHealth, ApiError> {
    let budgets = rows.budgets().await?;
    let monthly = budgets.into_iter().find(|budget| {
        let kind = (&budget.subject, budget.period, budget.unit);
        kind == (&BudgetSubject::Account, Period::Monthly, BudgetUnit::Usd) && budget.model.is_none()
    });
    let Some(budget) = monthly else { return Ok(BudgetHealth::default()) };
    let windows = rows.budget_windows(Some(budget.id), now).await?;
    let spent = windows.first().map_or(0, |window| window.settled);
    Ok(BudgetHealth {
        monthly_limit_usd: budget.hard.map(|hard| shape::dollars(NanoUsd(hard))),
        soft_limit_usd: budget.soft.map(|soft| shape::dollars(NanoUsd(soft))),
        current_spend_usd: shape::dollars(NanoUsd(spent)),
        soft_limit_exceeded: budget.soft.is_some_and(|soft| spent > soft),
        hard_limit_exceeded: budget.hard.is_some_and(|hard| spent >= hard),
    })
}

const USUAL_STRETCH_US: i64 = 30 * 24 * 3_600 * 1_000_000;

fn stretch(query: &UsageQuery, now: Timestamp) -> (Timestamp, Timestamp) {
    let until = query.end_date.map_or(now, Into::into);
    let usual = || Timestamp::from_micros(until.micros().saturating_sub(USUAL_STRETCH_US));
    (query.start_date.map_or_else(usual, Into::into), until)
}

fn filter(query: &UsageQuery, since: Timestamp, until: Timestamp) -> UsageFilter {
    UsageFilter {
        since: Some(since),
        until: Some(until),
        user: None,
        key: query.api_key_id.map(KeyId),
        agent: query.managed_agent_id.map(AgentId),
        session: query.runtime_session_id.map(SessionId),
        model: query.model_alias.clone(),
        provider: query.provider_name.clone(),
        outcome: None,
    }
}

fn day(row: &UsageRow) -> UsageOfDay {
    let at: DateTime<Utc> = row.at.map(shape::at).unwrap_or_default();
    UsageOfDay {
        date: at.format("%Y-%m-%d").to_string(),
        request_count: row.sums.requests,
        estimated_cost: shape::dollars(row.sums.cost),
        total_tokens: row.sums.tokens(),
    }
}

pub(super) fn usage_of(row: UsageRow) -> UsageOf {
    UsageOf { id: row.id, name: row.name.filter(|name| !name.is_empty()), sums: sums(row.sums) }
}

pub(super) fn sums(sums: preloop_store::UsageSums) -> UsageSums {
    UsageSums {
        request_count: sums.requests,
        successful_request_count: sums.succeeded,
        failed_request_count: sums.requests.saturating_sub(sums.succeeded),
        unpriced_request_count: sums.unpriced,
        zero_priced_request_count: sums.zero_priced,
        token_usage: TokenUsage {
            prompt_tokens: sums.input + sums.cache_read + sums.cache_write,
            completion_tokens: sums.output + sums.reasoning,
            total_tokens: sums.tokens(),
            cache_read_tokens: sums.cache_read,
            cache_creation_tokens: sums.cache_write,
            reasoning_tokens: sums.reasoning,
        },
        estimated_cost: shape::dollars(sums.cost),
        cost_usd: sums.cost.to_string(),
        last_request_at: shape::at_opt(sums.last_at),
    }
}
