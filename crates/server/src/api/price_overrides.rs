//! `/api/v1/price-overrides`

use std::sync::Arc;

use http::StatusCode;
use preloop_api_types::{
    Page,
    price_overrides::{CreatePriceOverride, PriceOverride, PriceRepair, RepairPrices, UpdatePriceOverride},
};
use preloop_gateway::prices;
use preloop_govern::config::{PriceChange, RepairAsk};
use preloop_types::{self as types, ModelPattern, PriceId};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, EditAiModels, ViewAiModels},
    error::{ApiError, ApiResult},
    extract::{Id, Json, Listed, Query, created},
    openapi::guarded,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::default()
        .routes(guarded!(list))
        .routes(guarded!(create))
        .routes(guarded!(get))
        .routes(guarded!(update))
        .routes(guarded!(delete))
        .routes(guarded!(repair))
}

/// The account's own prices, oldest first.
#[utoipa::path(get, path = "/api/v1/price-overrides", tag = "prices", params(Page),
    responses((status = 200, body = Vec<PriceOverride>)))]
async fn list(caller: Caller<ViewAiModels>, Query(page): Query<Page>) -> Result<Listed<PriceOverride>, ApiError> {
    let prices = caller.store().account(caller.who().account).price_overrides().await?;
    Ok(Listed::page(prices, &page)?.map(shown))
}

/// Adds a price. What was charged already stays.
#[utoipa::path(post, path = "/api/v1/price-overrides", tag = "prices",
    responses((status = 201, body = PriceOverride)))]
async fn create(
    caller: Caller<EditAiModels>,
    Json(body): Json<CreatePriceOverride>,
) -> Result<(StatusCode, axum::Json<PriceOverride>), ApiError> {
    let change = PriceChange {
        model: Some(body.model),
        rates: Some(body.rates),
        discount_percent: body.discount_percent,
        effective_from: Some(body.effective_from.map(Into::into)),
        effective_until: Some(body.effective_until.map(Into::into)),
        note: Some(body.note),
    };
    Ok(created(shown(caller.config().create_price(caller.who(), change).await?)))
}

/// One price.
#[utoipa::path(get, path = "/api/v1/price-overrides/{id}", tag = "prices",
    responses((status = 200, body = PriceOverride)))]
async fn get(caller: Caller<ViewAiModels>, Id(id): Id<PriceId>) -> ApiResult<PriceOverride> {
    let price = caller.store().account(caller.who().account).price_override(id).await?;
    Ok(axum::Json(shown(price.ok_or_else(|| ApiError::not_found("price override"))?)))
}

/// Changes a price. What was charged already stays.
#[utoipa::path(put, path = "/api/v1/price-overrides/{id}", tag = "prices",
    responses((status = 200, body = PriceOverride)))]
async fn update(
    caller: Caller<EditAiModels>,
    Id(id): Id<PriceId>,
    Json(body): Json<UpdatePriceOverride>,
) -> ApiResult<PriceOverride> {
    let change = PriceChange {
        model: body.model,
        rates: body.rates.patch(),
        discount_percent: body.discount_percent,
        effective_from: body.effective_from.map(Into::into).patch(),
        effective_until: body.effective_until.map(Into::into).patch(),
        note: body.note.patch(),
    };
    Ok(axum::Json(shown(caller.config().update_price(caller.who(), id, change).await?)))
}

/// Removes a price.
#[utoipa::path(delete, path = "/api/v1/price-overrides/{id}", tag = "prices", responses((status = 204)))]
async fn delete(caller: Caller<EditAiModels>, Id(id): Id<PriceId>) -> Result<StatusCode, ApiError> {
    caller.config().delete_price(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Prices calls again, after a price was corrected. Each call that costs something else gets one more record;
/// none is changed. Sums and budgets follow.
#[utoipa::path(post, path = "/api/v1/price-overrides/repair", tag = "prices",
    responses((status = 200, body = PriceRepair)))]
async fn repair(caller: Caller<EditAiModels>, Json(body): Json<RepairPrices>) -> ApiResult<PriceRepair> {
    let ask = RepairAsk {
        since: body.since.into(),
        until: body.until.map(Into::into),
        model: body.model.map(ModelPattern),
        reason: body.reason,
        dry_run: body.dry_run,
    };
    let done = caller.config().repair_prices(caller.who(), ask, Arc::new(prices::at)).await?;
    Ok(axum::Json(PriceRepair {
        dry_run: body.dry_run,
        examined: done.examined,
        repaired: done.repaired,
        kept: done.kept,
        unpriced: done.unpriced,
        model_gone: done.model_gone,
        cost_before_usd: done.before.to_string(),
        cost_after_usd: done.after.to_string(),
        next: shape::at_opt(done.next),
    }))
}

fn shown(price: types::PriceOverride) -> PriceOverride {
    PriceOverride {
        id: price.id.0,
        model: price.model.0,
        rates: price.rates,
        discount_percent: price.discount_percent,
        effective_from: shape::at_opt(price.effective_from),
        effective_until: shape::at_opt(price.effective_until),
        note: price.note,
        created_at: shape::at(price.created_at),
        updated_at: shape::at(price.updated_at),
    }
}
