//! A wrong price, repaired: records stay, sums and budgets follow.

use std::sync::Arc;

use preloop_govern::{
    ModelRefusalKind,
    config::{Config, ConfigOptions, Pricer, Repair, RepairAsk},
};
use preloop_store::{UsageFilter, each_store};
use preloop_types::{
    BudgetSubject, BudgetUnit, CostBound, CostSource, EntryKind, ModelOutcome, ModelStatus, NanoUsd, Period, Rates,
    Timestamp,
    config::{AccountModelSettings, OnUnpriced},
};

use crate::desk::{CENT, Desk, cost};

/// So many dollars for a million tokens of answer; the desk's answers have twenty.
fn answers_at(dollars: &'static str) -> Pricer {
    Arc::new(move |_, _, _| {
        let rates = Rates { output: dollars.parse().unwrap(), ..Rates::default() };
        Some((rates, CostSource::Override))
    })
}

async fn repaired(desk: &Desk, price: Pricer, dry_run: bool) -> Repair {
    let config = Config::new((*desk.store).clone(), ConfigOptions::default());
    let ask = RepairAsk { since: Timestamp::from_micros(0), until: None, model: None, reason: None, dry_run };
    let done = config.repair_prices(&desk.agent, ask, price).await.unwrap();
    desk.settled_down().await;
    done
}

each_store! {
    async fn sums_and_budgets_follow_a_repaired_price_up_and_down(store) {
        let desk = Desk::new(store).await;
        let all = desk.budget(BudgetUnit::Usd, Some(10 * CENT), None).await;
        let each = desk.budget_of(BudgetSubject::Key(None), Period::AllTime, BudgetUnit::Usd, None, None).await;
        let requests = desk.budget(BudgetUnit::Requests, Some(100), None).await;
        desk.granted(desk.call(8 * CENT)).await.settle(cost(8 * CENT));
        desk.quiet().await;
        assert_eq!(desk.refused(desk.call(3 * CENT)).await.kind, ModelRefusalKind::BudgetExceeded);

        let dry = repaired(&desk, answers_at("500"), true).await;
        assert_eq!((dry.repaired, desk.spent(all).await.0), (1, 8 * CENT));
        let down = repaired(&desk, answers_at("500"), false).await;

        assert_eq!((down.repaired, down.before, down.after), (1, NanoUsd(8 * CENT), NanoUsd(CENT)));
        assert_eq!((desk.spent(all).await.0, desk.spent(each).await.0, desk.spent(requests).await.0), (CENT, CENT, 1));
        let total = desk.store.account(desk.account).usage_total(UsageFilter::default()).await.unwrap();
        assert_eq!((total.cost, total.requests), (NanoUsd(CENT), 2), "the refused one is counted too");
        desk.granted(desk.call(9 * CENT)).await.settle(ModelOutcome::of(ModelStatus::NotSent));
        desk.quiet().await;

        // And up again: what the provider really charged counts, even beyond the limit.
        repaired(&desk, answers_at("6000"), false).await;
        assert_eq!(desk.spent(all).await.0, 12 * CENT);
        assert_eq!(desk.refused(desk.call(1)).await.kind, ModelRefusalKind::BudgetExceeded);
        assert_eq!(repaired(&desk, answers_at("6000"), false).await.repaired, 0, "once is enough");
        assert_eq!(desk.of_kind(EntryKind::ModelRepriced).await.len(), 2);
    }

    async fn a_price_found_later_is_booked_where_the_call_was_made(store) {
        let desk = Desk::new(store).await;
        desk.settings(AccountModelSettings { on_unpriced: OnUnpriced::Warn, ..AccountModelSettings::default() }).await;
        let budget = desk.budget_of(BudgetSubject::Account, Period::AllTime, BudgetUnit::Usd, Some(10 * CENT), None).await;
        let unpriced = preloop_types::ModelCall { bound: CostBound::Unpriced, ..desk.call(0) };
        let outcome = ModelOutcome { cost: None, cost_source: Some(CostSource::Unpriced), ..cost(0) };
        desk.granted(unpriced).await.settle(outcome);
        desk.quiet().await;
        let nobody: Pricer = Arc::new(|_, _, _| None);
        assert_eq!(repaired(&desk, nobody, false).await, Repair { examined: 1, unpriced: 1, ..Repair::default() });

        repaired(&desk, answers_at("500"), false).await;

        assert_eq!(desk.spent(budget).await.0, CENT);
        let total = desk.store.account(desk.account).usage_total(UsageFilter::default()).await.unwrap();
        assert_eq!((total.cost, total.unpriced), (NanoUsd(CENT), 0));
    }

    async fn what_the_provider_said_it_charged_stays(store) {
        let desk = Desk::new(store).await;
        let outcome = ModelOutcome { cost_source: Some(CostSource::Provider), ..cost(8 * CENT) };
        desk.granted(desk.call(8 * CENT)).await.settle(outcome);
        desk.granted(desk.call(8 * CENT)).await.settle(ModelOutcome::of(ModelStatus::Unknown));
        desk.quiet().await;

        let done = repaired(&desk, answers_at("500"), false).await;

        // What was booked at its bound is booked at the bound of the right price: forty tokens.
        assert_eq!((done.kept, done.repaired, done.after), (1, 1, NanoUsd(2 * CENT)));
    }
}
