use preloop_govern::RefusalKind;
use preloop_store::each_store;
use preloop_types::{OutcomeStatus, config::RuleAction};
use serde_json::json;

use crate::house::{House, succeeded};

each_store! {
    async fn p1_the_intent_is_recorded_before_the_permit_and_the_outcome_after(store) {
        let house = House::with_rule(store, RuleAction::Allow, None).await;
        let permit = house.granted(json!({"amount": 5})).await;
        let call = permit.call().id;
        assert_eq!(house.kinds(call).await, ["call.intent"]);

        permit.settle(&succeeded()).await.unwrap();

        assert_eq!(house.kinds(call).await, ["call.intent", "call.outcome"]);
    }

    async fn a_permit_that_is_dropped_settles_as_unknown(store) {
        let house = House::with_rule(store, RuleAction::Allow, None).await;
        let permit = house.granted(json!({})).await;
        let call = permit.call().id;

        drop(permit);

        let outcome = loop {
            let records = house.records(call).await;
            if let Some(outcome) = records.into_iter().find(|record| record.kind.as_str() == "call.outcome") {
                break outcome;
            }
            tokio::task::yield_now().await;
        };
        assert!(outcome.body.get().contains(&format!(r#""status":"{}""#, OutcomeStatus::Unknown.as_str())));
    }

    async fn a_denial_is_recorded_with_its_rule(store) {
        let house = House::with_rule(store, RuleAction::Deny, Some("args.amount > 3")).await;

        let refusal = house.refused(json!({"amount": 5})).await;

        assert_eq!(refusal.kind, RefusalKind::Denied);
        assert_eq!(refusal.message, "payments are reviewed");
        let records = house.records(refusal.call).await;
        assert_eq!(records[0].kind.as_str(), "call.refused");
        assert!(records[0].body.get().contains("args.amount > 3"));
    }

    async fn p2_a_rule_that_cannot_be_evaluated_denies(store) {
        let house = House::with_rule(store, RuleAction::Allow, Some("args.amuont < 3")).await;
        assert_eq!(house.refused(json!({"amount": 1})).await.kind, RefusalKind::Denied);
    }

    async fn p2_a_store_that_cannot_be_written_refuses(store) {
        let house = House::with_rule(store, RuleAction::Allow, None).await;
        house.granted(json!({})).await.settle(&succeeded()).await.unwrap();

        house.store.close().await;

        assert_eq!(house.refused(json!({})).await.kind, RefusalKind::Unavailable);
    }

    async fn a_revoked_key_is_nobody_at_once(store) {
        let house = House::with_rule(store, RuleAction::Allow, None).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn({
            let (governor, stop) = (house.governor.clone(), stop.clone());
            async move { governor.run(stop).await }
        });
        let (account, key) = (house.account, house.agent.key);
        house
            .store
            .write(account, move |tx| {
                Box::pin(async move {
                    tx.revoke_key(key).await?;
                    tx.emit(preloop_store::Event::KeysChanged(account));
                    Ok(())
                })
            })
            .await
            .unwrap();

        while house.governor.identify("secret of agent").await.is_ok() {
            tokio::task::yield_now().await;
        }

        stop.cancel();
        running.await.unwrap();
    }
}
