//! What an agent and its person are told of a budget that is used up.

use preloop_types::{Budget, BudgetUnit, ModelCall, NanoUsd, Timestamp};
use serde_json::{Value, json};

use super::lease::{Lease, Standing};
use crate::{ModelRefusalKind, model::Refused};

/// Too little is left.
pub(super) fn exceeded(budget: &Budget, lease: &Lease, amount: i64, now: Timestamp) -> Refused {
    let Standing { settled, held, .. } = lease.standing();
    let limit = budget.hard.unwrap_or_default();
    let reset = lease.window.end;
    let until = reset.map_or_else(|| "it does not begin anew".to_owned(), |at| format!("it begins anew at {at}"));
    let message = format!(
        "budget reached: the {} budget of the {} is {}, {} is spent and {} is reserved by calls in flight; this call \
         could take {}. {until}. Ask whoever manages budgets to raise it",
        budget.period.as_str(),
        whose(budget),
        shown(budget.unit, limit),
        shown(budget.unit, settled),
        shown(budget.unit, held),
        shown(budget.unit, amount),
    );
    let mut data = facts(budget);
    data["spent"] = number(budget.unit, settled);
    data["reserved"] = number(budget.unit, held);
    data["needed"] = number(budget.unit, amount);
    data["reset_at"] = json!(reset);
    if budget.unit == BudgetUnit::Usd {
        data["limit_usd"] = data["limit"].clone();
        data["spent_usd"] = data["spent"].clone();
    }
    Refused {
        retry_after: reset.map(|end| end.since(now)),
        data,
        ..Refused::new(ModelRefusalKind::BudgetExceeded, message)
    }
}

/// Nothing limits what the call can consume, so nothing can be set aside for it.
pub(super) fn unbounded(budget: &Budget) -> Refused {
    let message = format!(
        "the {} budget of the {} is a hard limit, and nothing bounds what this request can consume: send the whole \
         conversation instead of a reference to it, and a limit on the answer",
        budget.period.as_str(),
        whose(budget),
    );
    Refused { data: facts(budget), ..Refused::new(ModelRefusalKind::CostUnbounded, message) }
}

/// A hard limit in dollars cannot hold without a price.
pub(super) fn unpriced(budget: &Budget, call: &ModelCall) -> Refused {
    let message = format!(
        "the {} budget of the {} is a hard limit in dollars, and nobody knows what `{}` costs: give the model a price, \
         or let unpriced models pass with `on_unpriced: warn`",
        budget.period.as_str(),
        whose(budget),
        call.model.alias,
    );
    Refused { data: facts(budget), ..Refused::new(ModelRefusalKind::BudgetPricingUnavailable, message) }
}

fn facts(budget: &Budget) -> Value {
    json!({
        "scope": budget.subject.kind(),
        "subject_id": budget.subject.id(),
        "budget_id": budget.id,
        "model": budget.model,
        "period": budget.period.as_str(),
        "unit": budget.unit.as_str(),
        "limit": budget.hard.map(|limit| number(budget.unit, limit)),
    })
}

/// Its subject, for people.
pub(super) fn whose(budget: &Budget) -> String {
    match budget.subject.id() {
        Some(id) => format!("{} `{id}`", budget.subject.kind()),
        None => budget.subject.kind().to_owned(),
    }
}

/// An amount for people.
pub(super) fn shown(unit: BudgetUnit, amount: i64) -> String {
    match unit {
        BudgetUnit::Usd => format!("${}", NanoUsd(amount)),
        BudgetUnit::Tokens => format!("{amount} tokens"),
        BudgetUnit::Requests => format!("{amount} requests"),
    }
}

/// An amount for programs: dollars as a decimal text, anything else as a number.
pub(super) fn number(unit: BudgetUnit, amount: i64) -> Value {
    match unit {
        BudgetUnit::Usd => json!(NanoUsd(amount)),
        BudgetUnit::Tokens | BudgetUnit::Requests => json!(amount),
    }
}
