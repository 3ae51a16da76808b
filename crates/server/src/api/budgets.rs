//! `/api/v1/budgets`

use http::StatusCode;
use preloop_api_types::{
    Page, Update,
    budgets::{Amount, Budget, BudgetState, CreateBudget, ListBudgets, UpdateBudget},
};
use preloop_govern::config::{BudgetChange, NewBudget};
use preloop_store::BudgetWindow;
use preloop_types::{self as types, BudgetAlerts, BudgetId, BudgetSubject, BudgetUnit, ModelPattern, NanoUsd, Period};
use utoipa_axum::router::OpenApiRouter;

use super::shape;
use crate::{
    App,
    caller::{Caller, ManageBudgets, ViewCost},
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
}

/// The account's budgets, oldest first, with what is spent of them.
#[utoipa::path(get, path = "/api/v1/budgets", tag = "budgets", params(ListBudgets, Page),
    responses((status = 200, body = Vec<Budget>)))]
async fn list(
    caller: Caller<ViewCost>,
    Query(query): Query<ListBudgets>,
    Query(page): Query<Page>,
) -> Result<Listed<Budget>, ApiError> {
    let rows = caller.store().account(caller.who().account);
    let mut budgets = rows.budgets().await?;
    budgets.retain(|budget| {
        query.subject_type.as_deref().is_none_or(|kind| kind == budget.subject.kind())
            && query.subject_id.as_ref().is_none_or(|id| budget.subject.id().as_ref() == Some(id))
    });
    let windows = rows.budget_windows(None, caller.store().now()).await?;
    Ok(Listed::page(budgets, &page)?.map(|budget| shown(&budget, &windows)))
}

/// Makes a budget. It counts calls from now on.
#[utoipa::path(post, path = "/api/v1/budgets", tag = "budgets", responses((status = 201, body = Budget)))]
async fn create(
    caller: Caller<ManageBudgets>,
    Json(body): Json<CreateBudget>,
) -> Result<(StatusCode, axum::Json<Budget>), ApiError> {
    let kind = body.subject_type.as_deref().unwrap_or("account");
    let subject = BudgetSubject::parse(kind, body.subject_id.as_deref()).ok_or_else(|| {
        let message = format!(
            "`{kind}` with this `subject_id` is not a subject; kinds are `account` (without an id), \
                               `user`, `team` (with its id), `agent`, `key`, `session` and `tag` (with a label)"
        );
        ApiError::field("body", "subject_type", message, "value_error")
    })?;
    let unit = body.unit.unwrap_or(BudgetUnit::Usd);
    let limit = |field: &str, limit: Option<Amount>| limit.map(|limit| amount(unit, field, &limit)).transpose();
    let usual = BudgetAlerts::default();
    let new = NewBudget {
        subject,
        model: body.model.map(ModelPattern),
        period: body.period.unwrap_or(Period::Monthly),
        unit,
        hard: limit("hard_limit", body.hard_limit)?,
        soft: limit("soft_limit", body.soft_limit)?,
        alerts: BudgetAlerts {
            on_soft: body.notify_on_soft.unwrap_or(usual.on_soft),
            on_hard: body.notify_on_hard.unwrap_or(usual.on_hard),
            emails: body.notification_emails.unwrap_or_default(),
        },
    };
    let budget = caller.config().create_budget(caller.who(), new).await?;
    Ok(created(shown(&budget, &[])))
}

/// One budget with what is spent of it.
#[utoipa::path(get, path = "/api/v1/budgets/{id}", tag = "budgets", responses((status = 200, body = Budget)))]
async fn get(caller: Caller<ViewCost>, Id(id): Id<BudgetId>) -> ApiResult<Budget> {
    let budget = caller.store().account(caller.who().account).budget(id).await?;
    with_state(&caller, budget.ok_or_else(|| ApiError::not_found("budget"))?).await
}

/// Changes a budget's limits and who is told. Calls that are running keep what they reserved.
#[utoipa::path(put, path = "/api/v1/budgets/{id}", tag = "budgets", responses((status = 200, body = Budget)))]
async fn update(
    caller: Caller<ManageBudgets>,
    Id(id): Id<BudgetId>,
    Json(body): Json<UpdateBudget>,
) -> ApiResult<Budget> {
    let old = caller.store().account(caller.who().account).budget(id).await?;
    let old = old.ok_or_else(|| ApiError::not_found("budget"))?;
    let limit = |field: &str, limit: Update<Amount>| {
        let limit = limit.patch();
        limit.map(|limit| limit.map(|limit| amount(old.unit, field, &limit)).transpose()).transpose()
    };
    let alerts = BudgetAlerts {
        on_soft: body.notify_on_soft.unwrap_or(old.alerts.on_soft),
        on_hard: body.notify_on_hard.unwrap_or(old.alerts.on_hard),
        emails: body.notification_emails.unwrap_or_else(|| old.alerts.emails.clone()),
    };
    let change = BudgetChange {
        hard: limit("hard_limit", body.hard_limit)?,
        soft: limit("soft_limit", body.soft_limit)?,
        alerts: Some(alerts),
    };
    let budget = caller.config().update_budget(caller.who(), id, change).await?;
    with_state(&caller, budget).await
}

/// Removes a budget: nothing is counted or refused by it any more.
#[utoipa::path(delete, path = "/api/v1/budgets/{id}", tag = "budgets", responses((status = 204)))]
async fn delete(caller: Caller<ManageBudgets>, Id(id): Id<BudgetId>) -> Result<StatusCode, ApiError> {
    caller.config().delete_budget(caller.who(), id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn with_state<P>(caller: &Caller<P>, budget: types::Budget) -> ApiResult<Budget> {
    let rows = caller.store().account(caller.who().account);
    let windows = rows.budget_windows(Some(budget.id), caller.store().now()).await?;
    Ok(axum::Json(shown(&budget, &windows)))
}

/// A limit in the budget's unit.
fn amount(unit: BudgetUnit, field: &str, amount: &Amount) -> Result<i64, ApiError> {
    let text = amount.text();
    let wrong = |message: String| ApiError::field("body", field, message, "value_error");
    match unit {
        BudgetUnit::Usd => text.parse::<NanoUsd>().map(|amount| amount.0).map_err(|error| wrong(error.to_string())),
        BudgetUnit::Tokens | BudgetUnit::Requests => {
            text.parse().map_err(|_| wrong(format!("`{text}` is not a whole number of {}", unit.as_str())))
        }
    }
}

fn written(unit: BudgetUnit, amount: i64) -> String {
    match unit {
        BudgetUnit::Usd => NanoUsd(amount).to_string(),
        BudgetUnit::Tokens | BudgetUnit::Requests => amount.to_string(),
    }
}

fn shown(budget: &types::Budget, windows: &[BudgetWindow]) -> Budget {
    let write = |amount: i64| written(budget.unit, amount);
    let state = |window: &BudgetWindow| {
        let left = budget.hard.map(|hard| hard.saturating_sub(window.settled).saturating_sub(window.leased).max(0));
        BudgetState {
            subject_id: Some(window.key.subject).filter(|id| !id.is_nil()),
            spent: write(window.settled),
            reserved: write(window.leased),
            remaining: left.map(write),
            soft_limit_exceeded: budget.soft.is_some_and(|soft| window.settled > soft),
            hard_limit_exceeded: budget.hard.is_some_and(|hard| window.settled >= hard),
            window_start: shape::at(window.key.start),
            reset_at: shape::at_opt(window.end),
        }
    };
    Budget {
        id: budget.id.0,
        subject_type: budget.subject.kind().to_owned(),
        subject_id: budget.subject.id(),
        model: budget.model.as_ref().map(|model| model.0.clone()),
        period: budget.period,
        unit: budget.unit,
        hard_limit: budget.hard.map(write),
        soft_limit: budget.soft.map(write),
        notify_on_soft: budget.alerts.on_soft,
        notify_on_hard: budget.alerts.on_hard,
        notification_emails: budget.alerts.emails.clone(),
        state: windows.iter().filter(|window| window.key.budget == budget.id).map(state).collect(),
        created_at: shape::at(budget.created_at),
        updated_at: shape::at(budget.updated_at),
    }
}
