use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use preloop_govern::{Admission, Error, Redeemed, RefusalKind, SessionSignal, Vote, Waited};
use preloop_store::{ApprovalStatus, each_store};
use preloop_types::{
    Subject,
    config::{Defaults, RuleAction},
};
use serde_json::json;

use crate::house::{House, governor, succeeded};

const ASK: RuleAction = RuleAction::RequireApproval;

each_store! {
    async fn p3_an_approved_call_runs_once_however_many_redeem_it(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        let approved = house.approve(&held.approval).await;

        let redeemed = join_all((0..50).map(|_| async {
            house.governor.approvals().redeem(&house.agent, &approved).await.unwrap()
        }))
        .await;

        let mut permits: Vec<_> =
            redeemed.into_iter().filter_map(|what| if let Redeemed::Granted(permit) = what { Some(permit) } else { None }).collect();
        assert_eq!(permits.len(), 1);
        permits.pop().unwrap().settle(&succeeded()).await.unwrap();
        let again = house.governor.approvals().redeem(&house.agent, &house.read(&approved).await).await.unwrap();
        assert!(matches!(again, Redeemed::Finished(stored) if stored.result.is_some()));
        let expected = ["approval.requested", "approval.voted", "approval.resolved", "call.intent", "call.outcome"];
        assert_eq!(house.kinds(held.approval.call).await, expected);
    }

    async fn p3_what_runs_is_what_was_approved(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5, "to": "bob"})).await;
        let approved = house.approve(&held.approval).await;

        let Redeemed::Granted(permit) = house.governor.approvals().redeem(&house.agent, &approved).await.unwrap() else {
            panic!("not granted");
        };

        assert_eq!(permit.call().arguments.get(), r#"{"amount":5,"to":"bob"}"#);
        assert_eq!(permit.call().id, held.approval.call);
        permit.settle(&succeeded()).await.unwrap();
    }

    async fn what_a_run_asked_for_is_cancelled_with_it(store) {
        let house = House::with_rule(store, ASK, None).await;
        let sessions = house.governor.sessions();
        let (of_run, other) = (SessionSignal { explicit: Some("run-1"), ..SessionSignal::default() }, SessionSignal::default());
        let agent = sessions.bind(&house.agent, &of_run).await.unwrap();
        let bystander = sessions.bind(&house.agent, &other).await.unwrap();
        let Admission::Held(asked) = house.governor.admit(&agent, house.pay(&json!({"amount": 5}))).await else { panic!() };
        let Admission::Held(kept) = house.governor.admit(&bystander, house.pay(&json!({"amount": 6}))).await else { panic!() };

        let run = agent.session.unwrap();
        sessions.end(agent.account, run, Subject::default(), "enough", false).await.unwrap();

        assert_eq!(house.read(&asked.approval).await.status, ApprovalStatus::Cancelled);
        assert_eq!(house.read(&kept.approval).await.status, ApprovalStatus::Pending);
        assert_eq!(house.kinds(asked.approval.call).await.last(), Some(&"approval.resolved"));
    }

    async fn a_repeated_call_joins_the_open_request_and_another_does_not(store) {
        let house = House::with_rule(store, ASK, None).await;
        let first = house.held(json!({"amount": 5, "to": "bob"})).await;

        // The same arguments, spelled in another order.
        let repeated = house.held(json!({"to": "bob", "amount": 5})).await;
        let other = house.held(json!({"amount": 6, "to": "bob"})).await;

        assert!(!repeated.created);
        assert_eq!(repeated.approval.id, first.approval.id);
        assert_ne!(other.approval.id, first.approval.id);
    }

    async fn a_result_that_was_delivered_is_not_delivered_again(store) {
        let house = House::with_rule(store, ASK, None).await;
        let first = house.held(json!({"amount": 5})).await;
        let approved = house.approve(&first.approval).await;
        let Redeemed::Granted(permit) = house.governor.approvals().redeem(&house.agent, &approved).await.unwrap() else {
            panic!("not granted");
        };
        permit.settle(&succeeded()).await.unwrap();
        assert_eq!(house.held(json!({"amount": 5})).await.approval.id, first.approval.id);

        house.governor.approvals().delivered(house.account, first.approval.id).await.unwrap();

        assert_ne!(house.held(json!({"amount": 5})).await.approval.id, first.approval.id);
    }

    async fn a_claim_whose_outcome_was_lost_is_not_run_again(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        let approved = house.approve(&held.approval).await;
        let redeemed = house.governor.approvals().redeem(&house.agent, &approved).await.unwrap();
        let Redeemed::Granted(permit) = redeemed else { panic!("not granted") };
        // As if the process had been killed: nothing of the permit runs any more.
        std::mem::forget(permit);

        let house = house.restarted().await;
        house.sweep_until(&approved, |approval| approval.execution.state.as_str() == "unknown").await;

        let again = house.governor.approvals().redeem(&house.agent, &house.read(&approved).await).await.unwrap();
        assert!(matches!(again, Redeemed::Refused(refusal) if refusal.kind == RefusalKind::OutcomeUnknown));
    }

    async fn a_denial_since_the_approval_outweighs_it(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        let approved = house.approve(&held.approval).await;
        let mut config = house.config.clone();
        config.rules[0].action = RuleAction::Deny;
        house
            .store
            .write(house.account, move |tx| Box::pin(async move { tx.update_tool_config(&config).await }))
            .await
            .unwrap();

        let fresh = governor(&house.store);
        let redeemed = fresh.approvals().redeem(&house.agent, &approved).await.unwrap();

        assert!(matches!(redeemed, Redeemed::Refused(refusal) if refusal.kind == RefusalKind::ApprovalStale));
        let later = fresh.approvals().redeem(&house.agent, &house.read(&approved).await).await.unwrap();
        assert!(!matches!(later, Redeemed::Granted(_)));
    }

    async fn nobody_decides_after_the_deadline(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        house.store.clock().advance(Duration::from_mins(5));

        let vote = Vote { approve: true, ..Vote::default() };
        let late = house.governor.approvals().decide(&house.owner, held.approval.id, vote).await;

        assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
        house.sweep_until(&held.approval, |approval| approval.status == ApprovalStatus::Expired).await;
        let redeemed = house.governor.approvals().redeem(&house.agent, &house.read(&held.approval).await).await.unwrap();
        assert!(matches!(redeemed, Redeemed::Refused(refusal) if refusal.kind == RefusalKind::Expired));
    }

    async fn a_second_click_is_not_an_error_and_a_contradiction_is(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        let first = house.approve(&held.approval).await;

        let second = house.approve(&held.approval).await;
        let vote = Vote { approve: false, ..Vote::default() };
        let contradiction = house.governor.approvals().decide(&house.owner, held.approval.id, vote).await;

        assert_eq!(second.resolved_at, first.resolved_at);
        assert!(matches!(contradiction, Err(Error::Conflict(text)) if text == "Request already approved"));
    }

    async fn an_agent_cannot_decide(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;

        let vote = Vote { approve: true, ..Vote::default() };
        let decided = house.governor.approvals().decide(&house.agent, held.approval.id, vote).await;

        assert!(matches!(decided, Err(Error::Forbidden(_))));
        assert!(matches!(house.governor.approvals().link(&house.agent, held.approval.id).await, Err(Error::Forbidden(_))));
    }

    async fn a_link_decides_for_the_person_it_was_made_for(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        let link = house.governor.approvals().link(&house.owner, held.approval.id).await.unwrap();
        let token = link.split_once("token=").unwrap().1;
        let approvals = house.governor.approvals();
        let vote = || Vote { approve: true, comment: Some("fine".to_owned()), ..Vote::default() };

        let forged = approvals.decide_by_token(held.approval.id, "x", vote()).await;
        let decided = approvals.decide_by_token(held.approval.id, token, vote()).await.unwrap();

        assert!(matches!(forged, Err(Error::NotFound(_))));
        assert_eq!(decided.decided_by, Some(house.owner.user));
        assert_eq!(decided.comment.as_deref(), Some("fine"));
    }

    async fn a_waiter_is_woken_by_the_decision(store) {
        let house = Arc::new(House::with_rule(store, ASK, None).await);
        let held = house.held(json!({"amount": 5})).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn({
            let (governor, stop) = (house.governor.clone(), stop.clone());
            async move { governor.run(stop).await }
        });
        let waiting = tokio::spawn({
            let (house, id) = (house.clone(), held.approval.id);
            async move { house.governor.approvals().wait(house.account, id, Duration::from_mins(1)).await }
        });

        house.approve(&held.approval).await;

        assert!(matches!(waiting.await.unwrap().unwrap(), Waited::Changed(now) if now.status == ApprovalStatus::Approved));
        stop.cancel();
        running.await.unwrap();
    }

    async fn without_a_workflow_nobody_is_asked_and_nothing_runs(store) {
        let house = House::with_rule(store, ASK, None).await;
        let workflows = house.store.account(house.account).workflows().await.unwrap();
        house
            .store
            .write(house.account, move |tx| {
                Box::pin(async move {
                    for workflow in workflows {
                        tx.delete_workflow(workflow.id).await?;
                    }
                    tx.put_defaults(&Defaults::default()).await
                })
            })
            .await
            .unwrap();

        let fresh = House { governor: governor(&house.store), ..house };

        assert_eq!(fresh.refused(json!({})).await.kind, RefusalKind::Misconfigured);
    }
}

impl House {
    /// Lets the governor run until its sweeps have brought the request where it belongs.
    pub(crate) async fn sweep_until(
        &self,
        approval: &preloop_store::Approval,
        there: impl Fn(&preloop_store::Approval) -> bool,
    ) {
        let stop = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn({
            let (governor, stop) = (self.governor.clone(), stop.clone());
            async move { governor.run(stop).await }
        });
        while !there(&self.read(approval).await) {
            tokio::task::yield_now().await;
        }
        stop.cancel();
        running.await.unwrap();
    }
}
