//! P4: settled plus reserved never passes a hard budget, under any concurrency, abort, crash or clock.

use std::time::Duration;

use futures::future::join_all;
use preloop_govern::{Governor, ModelAdmission, ModelRefusalKind};
use preloop_store::{UsageBy, UsageFilter, each_store, testing};
use preloop_types::{
    BudgetId, BudgetSubject, BudgetUnit, EntryKind, ModelOutcome, ModelStatus, NanoUsd, Period, RateLimit, Team,
    TeamId, Tokens, UsageSource,
    config::{SubjectGovernance, SubjectRef},
};
use serde_json::Value;

use crate::desk::{CENT, Desk, cost, granted};

/// Makes calls of ten cents at most that cost three, all at once; how many were let through.
async fn rush(desk: &Desk, governors: &[Governor], calls: usize) -> usize {
    let rush = (0..calls).map(|i| {
        let (governor, agent, call) =
            (governors[i % governors.len()].clone(), desk.agent.clone(), desk.call(10 * CENT));
        tokio::spawn(async move {
            match granted(&governor, &agent, call).await {
                Err(refusal) => {
                    assert_eq!(refusal.kind, ModelRefusalKind::BudgetExceeded, "{}", refusal.message);
                    0
                }
                Ok(permit) => {
                    tokio::time::sleep(Duration::from_millis(u64::try_from(i % 7).unwrap())).await;
                    match i % 5 {
                        0 => drop(permit),
                        1 => permit.settle(ModelOutcome::of(ModelStatus::Disconnected)),
                        2 => permit.settle(ModelOutcome::of(ModelStatus::NotSent)),
                        _ => permit.settle(cost(3 * CENT)),
                    }
                    1
                }
            }
        })
    });
    join_all(rush).await.into_iter().map(Result::unwrap).sum()
}

/// What the journal says was spent.
async fn recorded(desk: &Desk) -> i64 {
    let costs = desk.of_kind(EntryKind::ModelOutcome).await.into_iter().map(|record| {
        let body: Value = serde_json::from_str(record.body.get()).unwrap();
        body["cost"].as_str().map_or(0, |cost| cost.parse::<NanoUsd>().unwrap().0)
    });
    costs.sum()
}

async fn never_above(desk: &Desk, budget: BudgetId, hard: i64) -> (i64, i64) {
    let (settled, leased) = desk.spent(budget).await;
    assert!(settled + leased <= hard, "{settled} settled and {leased} held of {hard}");
    (settled, leased)
}

each_store! {
    async fn p4_two_hundred_calls_at_the_edge_of_a_budget(store) {
        let desk = Desk::new(store).await;
        let hard = 100 * CENT;
        let budget = desk.budget(BudgetUnit::Usd, Some(hard), None).await;

        let through = rush(&desk, std::slice::from_ref(&desk.governor), 200).await;
        assert!(through >= 10, "only {through}");
        desk.quiet().await;

        let (settled, _) = never_above(&desk, budget, hard).await;
        assert_eq!(settled, recorded(&desk).await);
        // What is left can be used to the last cent.
        let left = hard - settled;
        desk.granted(desk.call(left)).await.settle(cost(left));
        desk.quiet().await;
        assert_eq!(never_above(&desk, budget, hard).await, (hard, 0));
        let refusal = desk.refused(desk.call(1)).await;
        assert_eq!(refusal.kind, ModelRefusalKind::BudgetExceeded);
        assert_eq!((&refusal.data["limit_usd"], &refusal.data["spent_usd"]), (&"1".into(), &"1".into()));
        assert_eq!(refusal.retry_after, Some(Duration::from_hours(24)));
    }

    async fn p4_a_crash_between_reserve_and_settle_counts_the_bound_and_leaks_nothing(store) {
        let desk = Desk::new(store).await;
        let budget = desk.budget(BudgetUnit::Usd, Some(50 * CENT), None).await;
        desk.granted(desk.call(10 * CENT)).await.settle(cost(CENT));
        desk.quiet().await;
        let lost = desk.granted(desk.call(20 * CENT)).await;
        let call = lost.call().id;
        std::mem::forget(lost);

        let desk = desk.restarted().await;
        desk.quiet().await;

        for _ in 0..200 {
            if desk.spent(budget).await == (21 * CENT, 0) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(desk.spent(budget).await, (21 * CENT, 0));
        let outcome: Value = serde_json::from_str(desk.records(call).await[1].body.get()).unwrap();
        assert_eq!((&outcome["status"], &outcome["cost"]), (&"unknown".into(), &"0.2".into()));
        assert_eq!(desk.records(call).await[1].subject.key, Some(desk.agent.key));
        let total = desk.store.account(desk.account).usage_total(UsageFilter::default()).await.unwrap();
        assert_eq!((total.requests, total.cost), (2, NanoUsd(21 * CENT)));
        desk.granted(desk.call(29 * CENT)).await.settle(cost(0));
        assert_eq!(desk.refused(desk.call(30 * CENT)).await.kind, ModelRefusalKind::BudgetExceeded);
    }

    async fn p4_a_request_may_be_dropped_at_any_point(store) {
        let desk = Desk::new(store).await;
        let hard = 100 * CENT;
        let budget = desk.budget(BudgetUnit::Usd, Some(hard), None).await;
        for step in 0..60 {
            let (governor, agent, call) = (desk.governor.clone(), desk.agent.clone(), desk.call(3 * CENT));
            let running = tokio::spawn(async move { governor.admit_model(&agent, call).await });
            for _ in 0..step {
                tokio::task::yield_now().await;
            }
            running.abort();
            if let Ok(ModelAdmission::Granted(permit)) = running.await {
                permit.settle(cost(CENT));
            }
        }
        desk.quiet().await;
        tokio::time::sleep(Duration::from_millis(100)).await;

        let (settled, _) = never_above(&desk, budget, hard).await;
        assert_eq!(settled, recorded(&desk).await);
        // Nothing is held any more: all that is left can be had.
        desk.granted(desk.call(hard - settled)).await.settle(cost(0));
    }

    async fn p4_a_call_is_booked_to_the_window_it_was_reserved_in(store) {
        let desk = Desk::new(store).await;
        let budget = desk.budget_of(BudgetSubject::Account, Period::Hourly, BudgetUnit::Usd, Some(CENT), None).await;
        desk.store.clock().advance(Duration::from_mins(59));
        let straddling = desk.granted(desk.call(CENT)).await;
        assert_eq!(desk.refused(desk.call(CENT)).await.retry_after, Some(Duration::from_mins(1)));

        desk.store.clock().advance(Duration::from_mins(2));
        let next = desk.granted(desk.call(CENT)).await;
        straddling.settle(cost(CENT));
        desk.quiet_but(1).await;

        // The call of the last hour took nothing from this one.
        assert_eq!(desk.spent(budget).await, (0, CENT));
        next.settle(cost(CENT));
        desk.quiet().await;
        assert_eq!(desk.spent(budget).await, (CENT, 0));
    }

    async fn p4_a_lower_limit_holds_from_the_next_call_on(store) {
        let desk = Desk::new(store).await;
        let id = desk.budget(BudgetUnit::Usd, Some(100 * CENT), None).await;
        desk.granted(desk.call(20 * CENT)).await.settle(cost(20 * CENT));
        desk.quiet().await;

        desk.change_budget(id, |budget| budget.hard = Some(25 * CENT)).await;

        assert_eq!(desk.refused(desk.call(6 * CENT)).await.kind, ModelRefusalKind::BudgetExceeded);
        desk.granted(desk.call(5 * CENT)).await.settle(cost(5 * CENT));
        desk.quiet().await;
        assert_eq!(desk.spent(id).await, (25 * CENT, 0));
    }

    async fn p4_a_rerouted_call_holds_both_reservations_until_it_is_settled(store) {
        let desk = Desk::new(store).await;
        let budget = desk.budget(BudgetUnit::Usd, Some(10 * CENT), None).await;
        let mut permit = desk.granted(desk.call(4 * CENT)).await;
        let (model, bound) = (desk.model.clone(), desk.call(5 * CENT).bound);
        permit.reroute(model.clone(), None, bound).await.unwrap();

        assert_eq!(desk.refused(desk.call(2 * CENT)).await.kind, ModelRefusalKind::BudgetExceeded);
        assert_eq!(permit.reroute(model, None, bound).await.unwrap_err().kind, ModelRefusalKind::BudgetExceeded);
        permit.settle(cost(CENT));
        desk.quiet().await;
        assert_eq!(desk.spent(budget).await.0, CENT);
        desk.granted(desk.call(9 * CENT)).await.settle(cost(0));
    }

    async fn requests_and_tokens_are_budgets_too(store) {
        let desk = Desk::new(store).await;
        let requests = desk.budget(BudgetUnit::Requests, Some(3), None).await;
        let tokens = desk.budget_of(BudgetSubject::Key(None), Period::AllTime, BudgetUnit::Tokens, Some(250), None).await;
        desk.granted(desk.call(CENT)).await.settle(cost(CENT));
        desk.granted(desk.call(CENT)).await.settle(ModelOutcome { tokens: Some(Tokens::default()), ..ModelOutcome::of(ModelStatus::CacheHit) });
        desk.quiet().await;
        assert_eq!((desk.spent(requests).await.0, desk.spent(tokens).await.0), (2, 50));

        let third = desk.granted(desk.call(CENT)).await;
        let refusal = desk.refused(desk.call(CENT)).await;
        // Of two that are used up, the one that never begins anew is named.
        third.settle(cost(CENT));
        assert_eq!((&refusal.data["unit"], &refusal.data["limit"]), (&"requests".into(), &3.into()));
        let each = desk.store.account(desk.account).budget_windows(Some(tokens), desk.store.now()).await.unwrap();
        assert_eq!(each[0].key.subject, desk.agent.key.0);
    }

    async fn p4_an_answer_that_failed_or_was_blocked_is_booked_at_the_most_it_can_have_cost(store) {
        let desk = Desk::new(store).await;
        let dollars = desk.budget(BudgetUnit::Usd, Some(100 * CENT), None).await;
        let tokens = desk.budget(BudgetUnit::Tokens, Some(1000), None).await;
        for status in [ModelStatus::UpstreamError, ModelStatus::GuardrailBlocked, ModelStatus::Truncated] {
            let part = Tokens { input: 30, output: 2, ..Tokens::default() };
            let seen = ModelOutcome { tokens: Some(part), usage_source: Some(UsageSource::Partial), ..ModelOutcome::of(status) };
            desk.granted(desk.call(CENT)).await.settle(seen);
            desk.quiet().await;
        }
        assert_eq!((desk.spent(dollars).await.0, desk.spent(tokens).await.0), (3 * CENT, 300));
        for record in desk.of_kind(EntryKind::ModelOutcome).await {
            let body: Value = serde_json::from_str(record.body.get()).unwrap();
            assert_eq!((&body["cost_source"], &body["usage_source"]), (&"bound".into(), &"partial".into()));
        }
    }

    async fn a_teams_budget_counts_whoever_is_in_it(store) {
        let desk = Desk::new(store).await;
        let now = desk.store.now();
        let team = |name: &str, members| Team {
            id: TeamId::new(now), name: name.to_owned(), description: None, members, created_at: now, updated_at: now,
        };
        let (web, other) = (team("web", vec![desk.agent.user]), team("other", Vec::new()));
        let (of_web, of_other) = (web.id, other.id);
        let user = desk.agent.user;
        let insert = desk.store.write(desk.account, move |tx| Box::pin(async move {
            tx.insert_team(&web).await?;
            tx.insert_team(&other).await?;
            tx.add_team_member(web.id, user, None).await.map(drop)
        }));
        insert.await.unwrap();
        let subject = BudgetSubject::Team;
        let ours = desk.budget_of(subject(of_web), Period::Daily, BudgetUnit::Usd, Some(10 * CENT), None).await;
        let theirs = desk.budget_of(subject(of_other), Period::Daily, BudgetUnit::Usd, Some(CENT), None).await;

        desk.granted(desk.call(8 * CENT)).await.settle(cost(8 * CENT));
        desk.quiet().await;

        assert_eq!((desk.spent(ours).await.0, desk.spent(theirs).await.0), (8 * CENT, 0));
        let refusal = desk.refused(desk.call(3 * CENT)).await;
        assert_eq!((&refusal.data["scope"], &refusal.data["subject_id"]), (&"team".into(), &of_web.to_string().into()));
    }

    async fn a_soft_limit_is_told_once_a_window(store) {
        let desk = Desk::new(store).await;
        let budget = desk.budget(BudgetUnit::Usd, None, Some(5 * CENT)).await;
        for spent in [4, 1, 3, 3] {
            desk.granted(desk.call(10 * CENT)).await.settle(cost(spent * CENT));
            desk.quiet().await;
        }
        let desk = desk.restarted().await;
        desk.granted(desk.call(CENT)).await.settle(cost(CENT));
        desk.quiet().await;
        tokio::time::sleep(Duration::from_millis(100)).await;

        let told = desk.of_kind(EntryKind::BudgetSoftReached).await;
        assert_eq!(told.len(), 1);
        assert!(told[0].body.get().contains(r#""soft":"0.05""#), "{}", told[0].body);
        assert_eq!(desk.spent(budget).await, (12 * CENT, 0));
    }

    async fn a_hard_limit_that_refused_is_told_once_a_window(store) {
        let desk = Desk::new(store).await;
        desk.budget(BudgetUnit::Usd, Some(CENT), None).await;
        for _ in 0..3 {
            desk.refused(desk.call(2 * CENT)).await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(desk.of_kind(EntryKind::BudgetHardReached).await.len(), 1);
    }

    async fn whoever_a_budget_names_is_told_by_mail(store) {
        let desk = Desk::new(store).await;
        let id = desk.budget(BudgetUnit::Usd, Some(10 * CENT), Some(5 * CENT)).await;
        desk.change_budget(id, |budget| budget.alerts.emails = vec!["money@example.com".to_owned()]).await;
        let governor = crate::house::governor_with_mail(&desk.store);
        granted(&governor, &desk.agent, desk.call(6 * CENT)).await.unwrap().settle(cost(6 * CENT));
        desk.quiet().await;
        granted(&governor, &desk.agent, desk.call(6 * CENT)).await.err().unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;

        let mails = desk.store.claim_deliveries("email", desk.store.now(), 10).await.unwrap();
        let mut texts: Vec<_> = mails.iter().map(|mail| String::from_utf8(mail.payload.clone()).unwrap()).collect();
        texts.sort();
        assert!(mails.iter().all(|mail| mail.recipient == "money@example.com") && mails.len() == 2);
        assert!(texts[0].contains("Budget reached: the daily budget of the account") && texts[0].contains("$0.1"), "{}", texts[0]);
        assert!(texts[1].contains("Budget warning") && texts[1].contains("Spent: $0.06"), "{}", texts[1]);
    }

    async fn roll_ups_equal_the_sum_of_the_records(store) {
        let desk = Desk::new(store).await;
        desk.budget(BudgetUnit::Usd, Some(60 * CENT), None).await;
        rush(&desk, std::slice::from_ref(&desk.governor), 60).await;
        desk.store.clock().advance(Duration::from_hours(2));
        rush(&desk, std::slice::from_ref(&desk.governor), 20).await;
        desk.quiet().await;

        let rows = desk.store.account(desk.account);
        let total = rows.usage_total(UsageFilter::default()).await.unwrap();
        assert_eq!(total.cost.0, recorded(&desk).await);
        let outcomes = desk.of_kind(EntryKind::ModelOutcome).await.len();
        let refused = desk.of_kind(EntryKind::ModelRefused).await.len();
        assert_eq!(total.requests, u64::try_from(outcomes + refused).unwrap());
        assert_eq!(total.tokens(), total.succeeded * 50);
        for by in [UsageBy::Hour, UsageBy::Day, UsageBy::Key, UsageBy::Agent, UsageBy::Model, UsageBy::Outcome] {
            let parts = rows.usage(UsageFilter::default(), by).await.unwrap();
            assert_eq!(parts.iter().map(|part| part.sums.requests).sum::<u64>(), total.requests, "{by:?}");
            assert_eq!(parts.iter().map(|part| part.sums.cost).sum::<NanoUsd>(), total.cost, "{by:?}");
        }
        let hours = rows.usage(UsageFilter::default(), UsageBy::Hour).await.unwrap();
        assert_eq!(hours.len(), 2);
        let first = UsageFilter { until: hours[1].at, ..UsageFilter::default() };
        assert_eq!(rows.usage_total(first).await.unwrap(), hours[0].sums);
    }

    async fn calls_tokens_and_calls_at_a_time_are_limited_for_each_key(store) {
        let desk = Desk::new(store).await;
        let limit = |rate_limit: RateLimit| {
            let rules = SubjectGovernance { rate_limit, ..SubjectGovernance::default() };
            let (subject, desk) = (SubjectRef::Key(desk.agent.key), &desk);
            async move {
                let put = desk.store.write(desk.account, move |tx| {
                    Box::pin(async move { tx.put_subject_governance(subject, &rules).await })
                });
                put.await.unwrap();
                desk.settled_down().await;
            }
        };
        limit(RateLimit { requests_per_minute: Some(2), ..RateLimit::default() }).await;
        desk.granted(desk.call(1)).await.settle(cost(1));
        desk.granted(desk.call(1)).await.settle(cost(1));
        let refusal = desk.refused(desk.call(1)).await;
        assert_eq!((refusal.kind, refusal.retry_after), (ModelRefusalKind::RateLimited, Some(Duration::from_secs(30))));
        desk.store.clock().advance(Duration::from_secs(30));
        desk.granted(desk.call(1)).await.settle(cost(1));

        desk.store.clock().advance(Duration::from_mins(5));
        limit(RateLimit { concurrent: Some(1), ..RateLimit::default() }).await;
        let running = desk.granted(desk.call(1)).await;
        assert_eq!(desk.refused(desk.call(1)).await.data["unit"], "concurrent");
        running.settle(cost(1));
        desk.quiet().await;

        // 55 are counted ahead, 50 are consumed: of a hundred a minute the third call has to wait.
        limit(RateLimit { tokens_per_minute: Some(100), ..RateLimit::default() }).await;
        for _ in 0..2 {
            desk.store.clock().advance(Duration::from_secs(3));
            desk.granted(desk.call(1)).await.settle(cost(1));
            desk.quiet().await;
        }
        assert_eq!(desk.refused(desk.call(1)).await.data["unit"], "tokens_per_minute");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_two_nodes_share_one_budget_to_the_cent() {
    let Some(store) = testing::fresh_postgres().await else { return };
    let desk = Desk::new(store).await;
    let hard = 100 * CENT;
    let budget = desk.budget(BudgetUnit::Usd, Some(hard), None).await;
    let (_other, governor, _running) = desk.another_node().await;

    rush(&desk, &[desk.governor.clone(), governor.clone()], 200).await;
    desk.quiet().await;
    let (settled, _) = never_above(&desk, budget, hard).await;
    assert_eq!(settled, recorded(&desk).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_node_holds_of_a_budget_and_does_not_use_the_other_gets_when_it_asks() {
    let Some(store) = testing::fresh_postgres().await else { return };
    let desk = Desk::new(store).await;
    let hard = 100 * CENT;
    let budget = desk.budget(BudgetUnit::Usd, Some(hard), None).await;
    let (_other, governor, _running) = desk.another_node().await;
    granted(&desk.governor, &desk.agent, desk.call(1)).await.unwrap().settle(cost(0));
    desk.quiet().await;
    granted(&governor, &desk.agent, desk.call(hard)).await.unwrap().settle(cost(CENT));
    desk.quiet().await;
    let again = hard - CENT;
    granted(&desk.governor, &desk.agent, desk.call(again)).await.unwrap().settle(cost(again));
    desk.quiet().await;
    assert_eq!(never_above(&desk, budget, hard).await, (hard, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_dead_nodes_lease_returns_when_its_calls_are_settled() {
    let Some(store) = testing::fresh_postgres().await else { return };
    let desk = Desk::new(store).await;
    let budget = desk.budget(BudgetUnit::Usd, Some(100 * CENT), None).await;
    let (other, governor, running) = desk.another_node().await;
    let lost = granted(&governor, &desk.agent, desk.call(40 * CENT)).await.unwrap();
    assert_eq!(desk.refused(desk.call(70 * CENT)).await.kind, ModelRefusalKind::BudgetExceeded);

    std::mem::forget(lost);
    drop(running);
    other.close().await;
    desk.store.clock().advance(Duration::from_secs(61));
    assert_eq!(desk.store.settle_dead_nodes().await.unwrap(), 1);

    assert_eq!(desk.spent(budget).await, (40 * CENT, 0));
    desk.granted(desk.call(60 * CENT)).await.settle(cost(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p4_a_node_that_was_taken_for_dead_spends_nothing_it_no_longer_holds() {
    let Some(store) = testing::fresh_postgres().await else { return };
    let desk = Desk::new(store).await;
    let hard = 100 * CENT;
    let budget = desk.budget(BudgetUnit::Usd, Some(hard), None).await;
    let (other, governor, _running) = desk.another_node().await;
    let in_flight = granted(&governor, &desk.agent, desk.call(10 * CENT)).await.unwrap();
    let cut_off = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 \
                   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                   AND (classid::bigint << 32) | objid::bigint = ";
    let (high, low) = other.writer().0.as_u64_pair();
    // As long as it is connected it is not taken for dead, however late it is.
    desk.store.clock().advance(Duration::from_secs(61));
    desk.store.settle_dead_nodes().await.unwrap();
    assert_eq!(desk.spent(budget).await.0, 0);
    desk.store.tamper(&format!("{cut_off}{}", (high ^ low).cast_signed())).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(desk.store.settle_dead_nodes().await.unwrap(), 1);
    assert_eq!(desk.spent(budget).await.0, 10 * CENT);
    desk.granted(desk.call(90 * CENT)).await.settle(cost(90 * CENT));
    desk.quiet().await;

    for _ in 0..3 {
        let refusal = granted(&governor, &desk.agent, desk.call(CENT)).await.err().unwrap();
        assert!(
            matches!(refusal.kind, ModelRefusalKind::Unavailable | ModelRefusalKind::BudgetExceeded),
            "{refusal:?}"
        );
    }
    in_flight.settle(cost(3 * CENT));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(never_above(&desk, budget, hard).await, (hard, 0));
}
