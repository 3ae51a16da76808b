//! Model calls through the governor: allowed, reserved, recorded, settled.

use preloop_govern::{Halt, ModelRefusalKind};
use preloop_store::{UsageBy, UsageFilter, each_store};
use preloop_types::{
    BudgetUnit, CostBound, EntryKind, HaltScope, ModelOutcome, ModelPattern, ModelStatus, NanoUsd,
    config::{AccountModelSettings, OnUnpriced},
};
use serde_json::Value;

use crate::desk::{CENT, Desk, cost};

each_store! {
    async fn p1_a_model_calls_intent_is_durable_before_the_permit_and_its_outcome_follows(store) {
        let desk = Desk::new(store).await;
        let permit = desk.granted(desk.call(CENT)).await;
        let id = permit.call().id;
        let kinds = |records: Vec<preloop_store::Record>| records.iter().map(|r| r.kind.as_str()).collect::<Vec<_>>();
        assert_eq!(kinds(desk.records(id).await), ["model.intent"]);

        permit.settle(ModelOutcome { conversation: Some(b"{}".to_vec()), ..cost(7) });
        desk.quiet().await;

        let records = desk.records(id).await;
        assert_eq!(kinds(records.clone()), ["model.intent", "model.outcome"]);
        let outcome: Value = serde_json::from_str(records[1].body.get()).unwrap();
        assert_eq!(outcome["status"], "succeeded");
        assert_eq!(outcome["cost"], "0.000000007");
        assert_eq!(outcome["tokens"]["output"], 20);
        assert!(records[1].has_payload);
    }

    async fn p2_a_store_that_cannot_be_written_refuses_a_model_call(store) {
        let desk = Desk::new(store).await;
        desk.granted(desk.call(CENT)).await.settle(cost(1));
        desk.quiet().await;

        desk.store.close().await;

        assert_eq!(desk.refused(desk.call(CENT)).await.kind, ModelRefusalKind::Unavailable);
    }

    async fn a_permit_that_is_dropped_settles_as_unknown_at_its_bound(store) {
        let desk = Desk::new(store).await;
        let budget = desk.budget(BudgetUnit::Usd, Some(10 * CENT), None).await;
        let permit = desk.granted(desk.call(3 * CENT)).await;
        let id = permit.call().id;

        drop(permit);
        desk.quiet().await;

        let outcome: Value = serde_json::from_str(desk.records(id).await[1].body.get()).unwrap();
        assert_eq!((&outcome["status"], &outcome["cost"], &outcome["cost_source"]),
            (&"unknown".into(), &"0.03".into(), &"bound".into()));
        assert_eq!(desk.spent(budget).await.0, 3 * CENT);
    }

    async fn the_kill_switch_stops_all_model_calls(store) {
        let desk = Desk::new(store).await;
        desk.halt(HaltScope::Gateway).await;

        let refusal = desk.refused(desk.call(CENT)).await;

        assert_eq!(refusal.kind, ModelRefusalKind::AccountHalted);
        assert!(refusal.message.contains("halted by `ann`"), "{}", refusal.message);
        assert_eq!(desk.records(refusal.call).await[0].kind, EntryKind::ModelRefused);
        desk.resume(HaltScope::Gateway).await;
        desk.granted(desk.call(CENT)).await.settle(cost(1));
    }

    async fn a_model_that_no_list_names_is_refused_with_the_scope(store) {
        let desk = Desk::new(store).await;
        let only = vec![ModelPattern("anthropic/*".to_owned())];
        desk.settings(AccountModelSettings { allowed_models: only, ..AccountModelSettings::default() }).await;

        let refusal = desk.refused(desk.call(CENT)).await;

        assert_eq!(refusal.kind, ModelRefusalKind::ModelNotAllowed);
        assert_eq!(refusal.data["scope"], "account");
        let denied = desk.store.account(desk.account).usage(UsageFilter::default(), UsageBy::Outcome).await.unwrap();
        assert_eq!((denied[0].name.as_deref(), denied[0].sums.requests), (Some("denied"), 1));
    }

    async fn an_unpriced_model_meets_a_hard_dollar_budget_as_the_account_wants(store) {
        let desk = Desk::new(store).await;
        let budget = desk.budget(BudgetUnit::Usd, Some(CENT), None).await;
        let unpriced = || preloop_types::ModelCall { bound: CostBound::Unpriced, ..desk.call(0) };

        assert_eq!(desk.refused(unpriced()).await.kind, ModelRefusalKind::BudgetPricingUnavailable);

        desk.settings(AccountModelSettings { on_unpriced: OnUnpriced::Warn, ..AccountModelSettings::default() }).await;
        let permit = desk.granted(unpriced()).await;
        assert_eq!(permit.warnings(), ["budget_pricing_unavailable"]);
        permit.settle(ModelOutcome { cost: None, cost_source: None, ..cost(0) });
        desk.quiet().await;
        assert_eq!(desk.spent(budget).await.0, 0);
        let total = desk.store.account(desk.account).usage_total(UsageFilter::default()).await.unwrap();
        assert_eq!((total.unpriced, total.cost), (1, NanoUsd::ZERO));
    }

    async fn a_call_that_nothing_bounds_is_refused_where_a_hard_budget_counts_it(store) {
        let desk = Desk::new(store).await;
        let unbounded = || preloop_types::ModelCall { bound: CostBound::Unbounded, exposure: None, ..desk.call(0) };
        desk.granted(unbounded()).await.settle(cost(1));

        desk.budget(BudgetUnit::Usd, Some(CENT), None).await;

        assert_eq!(desk.refused(unbounded()).await.kind, ModelRefusalKind::CostUnbounded);
    }

    async fn the_kill_switch_stops_what_is_running_and_nothing_after_it_is_on_again(store) {
        let desk = Desk::new(store).await;
        let running = desk.granted(desk.call(CENT)).await;
        desk.settings(AccountModelSettings { session_idle_minutes: 7, ..AccountModelSettings::default() }).await;
        assert!(!running.is_halted(), "another setting changed");

        desk.halt(HaltScope::Gateway).await;

        let halt = tokio::time::timeout(std::time::Duration::from_secs(5), running.halted()).await.unwrap();
        assert_eq!(halt, Halt::TrafficOff);
        running.settle(cost(1));
        desk.resume(HaltScope::Gateway).await;
        let next = desk.granted(desk.call(CENT)).await;
        assert!(!next.is_halted());
        next.settle(cost(1));
    }

    async fn what_was_never_charged_gives_back_all_it_reserved(store) {
        let desk = Desk::new(store).await;
        let budget = desk.budget(BudgetUnit::Usd, Some(CENT), None).await;
        let refused = ModelOutcome { cost: Some(NanoUsd::ZERO), ..ModelOutcome::of(ModelStatus::UpstreamError) };
        let others = [ModelStatus::NotSent, ModelStatus::ConfigError, ModelStatus::CacheHit].map(ModelOutcome::of);
        for outcome in others.into_iter().chain([refused]) {
            desk.granted(desk.call(CENT)).await.settle(outcome);
            desk.quiet().await;
        }
        assert_eq!(desk.spent(budget).await.0, 0);
        desk.granted(desk.call(CENT)).await.settle(cost(CENT));
    }
}
