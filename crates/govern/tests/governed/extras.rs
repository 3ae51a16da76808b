//! What a vote brings besides a yes: other arguments, a leave for later, an answer; and other people.

use std::time::Duration;

use futures::future::join_all;
use preloop_govern::{ASK_USER, Admission, Allow, Answer, Asking, Error, Redeemed, Vote, Waited};
use preloop_store::{ApprovalStatus, each_store};
use preloop_types::{Amount, CallId, Hash, SpendLimit, ToolCall, ToolRef, config::RuleAction};
use serde_json::{Value, json, value::to_raw_value};

use crate::house::{House, succeeded};

const ASK: RuleAction = RuleAction::RequireApproval;

fn yes() -> Vote {
    Vote { approve: true, ..Vote::default() }
}

fn instead(arguments: &Value) -> Vote {
    Vote { edit: Some(to_raw_value(arguments).unwrap()), ..yes() }
}

fn again(times: u32) -> Vote {
    Vote { allow: Some(Allow { lasts: Duration::from_hours(1), times, spend: None }), ..yes() }
}

each_store! {
    async fn what_runs_is_what_the_approver_made_of_it(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 500, "to": "bob", "api_key": "sk-secret"})).await;
        let approvals = house.governor.approvals();
        // The secret was never shown, and stays what it was.
        let wanted = instead(&json!({"amount": 50, "to": "bob", "api_key": "***REDACTED***"}));
        let approved = approvals.decide(&house.owner, held.approval.id, wanted).await.unwrap();
        assert_eq!(approved.status, ApprovalStatus::Approved);
        assert_ne!(approved.shown_hash, held.approval.shown_hash, "the vote is about the call as changed");
        assert_eq!(approved.votes[0].shown, approved.shown_hash);

        let Redeemed::Granted(permit) = approvals.redeem(&house.agent, &approved).await.unwrap() else {
            panic!("not granted");
        };
        let ran: Value = serde_json::from_str(permit.call().arguments.get()).unwrap();
        assert_eq!(ran, json!({"amount": 50, "to": "bob", "api_key": "sk-secret"}));
        permit.settle(&succeeded()).await.unwrap();

        let records = house.records(held.approval.call).await;
        let edited = records.iter().find(|record| record.kind.as_str() == "approval.edited").unwrap().body.get();
        assert!(edited.contains(r#""path":"amount""#) && edited.contains("500") && !edited.contains("sk-secret"), "{edited}");
        let told = preloop_govern::Approvals::changes_of(&approved).unwrap();
        assert_eq!((told.len(), told[0].path.as_str()), (1, "amount"));
    }

    async fn an_edit_the_policy_denies_is_not_made(store) {
        let house = House::with_rule(store, ASK, Some("args.amount > 10")).await;
        let mut config = house.config.clone();
        let deny = preloop_types::config::AccessRule {
            id: preloop_types::RuleId::new(house.store.now()),
            action: RuleAction::Deny,
            expression: Some("args.amount > 1000".to_owned()),
            ..config.rules[0].clone()
        };
        config.rules.insert(0, deny);
        house.store.write(house.account, move |tx| Box::pin(async move { tx.update_tool_config(&config).await })).await.unwrap();
        let house = House { governor: crate::house::governor(&house.store), ..house };
        let held = house.held(json!({"amount": 500})).await;

        let approvals = house.governor.approvals();
        let denied = approvals.decide(&house.owner, held.approval.id, instead(&json!({"amount": 5000}))).await;
        assert!(matches!(&denied, Err(Error::Invalid(why)) if why.contains("the policy denies")), "{denied:?}");
        assert_eq!(house.read(&held.approval).await.status, ApprovalStatus::Pending);
    }

    async fn a_vote_for_what_is_not_there_any_more_does_not_count(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        let stale = Vote { shown: Some(Hash::of("what was there before")), ..yes() };
        let refused = house.governor.approvals().decide(&house.owner, held.approval.id, stale).await;
        assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
        let right = Vote { shown: held.approval.shown_hash, ..yes() };
        assert!(house.governor.approvals().decide(&house.owner, held.approval.id, right).await.is_ok());
    }

    async fn the_same_may_be_called_again_as_often_as_was_allowed_and_no_more(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        let approvals = house.governor.approvals();
        let approved = approvals.decide(&house.owner, held.approval.id, again(3)).await.unwrap();
        let Redeemed::Granted(permit) = approvals.redeem(&house.agent, &approved).await.unwrap() else { panic!("not granted") };
        permit.settle(&succeeded()).await.unwrap();
        approvals.delivered(house.account, approved.id).await.unwrap();

        let house = House { governor: crate::house::governor(&house.store), ..house };
        // Other arguments are another call.
        assert_ne!(house.held(json!({"amount": 6})).await.approval.id, approved.id);
        let calls = join_all((0..10).map(|_| house.governor.admit(&house.agent, house.pay(&json!({"amount": 5}))))).await;
        let mut granted = 0;
        for call in calls {
            if let Admission::Granted(permit) = call {
                granted += 1;
                let call = permit.call().id;
                permit.settle(&succeeded()).await.unwrap();
                let records = house.records(call).await;
                assert!(records.iter().any(|record| record.body.get().contains("standing_grant")));
            }
        }
        assert_eq!(granted, 3);
        let grants = house.governor.approvals().standing_grants(house.account, false).await.unwrap();
        assert_eq!((grants.len(), grants[0].uses), (1, 3));
    }

    async fn a_leave_ends_when_it_is_taken_back_and_never_passes_its_spend(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 40})).await;
        let spend = Some(SpendLimit { argument: "amount".to_owned(), max: Amount::parse("100").unwrap() });
        let allow = Allow { lasts: Duration::from_hours(1), times: 100, spend };
        let vote = Vote { allow: Some(allow), ..yes() };
        let approvals = house.governor.approvals();
        let approved = approvals.decide(&house.owner, held.approval.id, vote).await.unwrap();
        let Redeemed::Granted(permit) = approvals.redeem(&house.agent, &approved).await.unwrap() else { panic!("not granted") };
        permit.settle(&succeeded()).await.unwrap();
        approvals.delivered(house.account, approved.id).await.unwrap();
        let house = House { governor: crate::house::governor(&house.store), ..house };
        for _ in 0..2 {
            house.granted(json!({"amount": 40})).await.settle(&succeeded()).await.unwrap();
        }
        let _ = house.held(json!({"amount": 40})).await;

        let grant = house.governor.approvals().standing_grants(house.account, false).await.unwrap().remove(0);
        assert_eq!(grant.spent, Amount::parse("80").unwrap());
        house.governor.approvals().revoke_standing_grant(&house.owner, grant.id).await.unwrap();
        assert!(house.governor.approvals().standing_grants(house.account, false).await.unwrap().is_empty());
    }

    async fn an_agents_question_is_answered_by_a_person(store) {
        let house = House::with_rule(store, ASK, None).await;
        let arguments = json!({"question": "Which region?", "options": ["eu", "us"], "allow_free_text": false});
        let call = ToolCall {
            id: CallId::new(house.store.now()),
            tool: ToolRef {
                id: None,
                server_id: None,
                server: "builtin".into(),
                name: ASK_USER.into(),
                exposed: ASK_USER.into(),
                definition: Hash::of(ASK_USER),
            },
            arguments: std::sync::Arc::from(to_raw_value(&arguments).unwrap()),
            justification: None,
            client: None,
        };
        let workflow = house.store.account(house.account).workflows().await.unwrap().remove(0).id;
        let asking = Asking { workflow, reason: "Which region?".to_owned(), window: Some(Duration::from_mins(30)) };
        let Admission::Held(held) = house.governor.ask(&house.agent, call, asking).await else { panic!("not held") };
        assert_eq!(held.approval.window, Duration::from_mins(30));

        let approvals = house.governor.approvals();
        let none = approvals.decide(&house.owner, held.approval.id, yes()).await;
        assert!(matches!(none, Err(Error::Form(_))), "{none:?}");
        let answer = Answer { selected_option: Some("eu".to_owned()), ..Answer::default() };
        let vote = Vote { answer: Some(answer), ..yes() };
        let approved = approvals.decide(&house.owner, held.approval.id, vote).await.unwrap();
        let Redeemed::Granted(permit) = approvals.redeem(&house.agent, &approved).await.unwrap() else { panic!("not granted") };
        let answered = permit.answer().unwrap();
        assert_eq!((answered["answer_text"].as_str(), answered["answered_by"].as_str()), (Some("eu"), Some("ann")));
        permit.settle(&succeeded()).await.unwrap();
    }

    async fn defect_41_a_request_that_is_handed_over_is_the_other_workflows(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        let owner = house.owner.clone();
        let change = preloop_govern::config::WorkflowChange {
            name: Some("two eyes".to_owned()),
            approvals_required: Some(2),
            timeout_seconds: Some(900),
            ..Default::default()
        };
        let other = crate::house::config(&house.store).create_workflow(&owner, change).await.unwrap().workflow.id;
        let house = House { governor: crate::house::governor(&house.store), ..house };
        let handed = house.governor.approvals().switch_to_workflow(&held.approval, other, "the reviewer was not sure").await.unwrap();
        assert_eq!((handed.workflow, handed.approvals_required), (other, 2));
        assert_eq!(handed.expires_at, house.store.now() + Duration::from_mins(15));
        assert_eq!(house.approve(&handed).await.status, ApprovalStatus::Pending, "the other quorum holds");
    }

    async fn time_in_which_nobody_could_act_is_given_back(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        house.store.clock().advance(Duration::from_mins(1));
        let since = house.store.now();
        house.store.clock().advance(Duration::from_mins(10));
        let extended = house.store.write(house.account, move |tx| Box::pin(async move { tx.extend_pending(since).await })).await.unwrap();
        assert_eq!(extended, 1);
        assert_eq!(house.read(&held.approval).await.expires_at, house.store.now() + Duration::from_mins(4));
    }

    async fn a_decision_reaches_who_waits_at_once(store) {
        let house = House::with_rule(store, ASK, None).await;
        let stop = tokio_util::sync::CancellationToken::new();
        let running = tokio::spawn({
            let (governor, stop) = (house.governor.clone(), stop.clone());
            async move { governor.run(stop).await }
        });
        // The best of a few: the machine may be busy, the way may not be long.
        let mut best = Duration::MAX;
        for round in 0..5 {
            let held = house.held(json!({"amount": round})).await;
            let waiting = tokio::spawn({
                let (governor, account, id) = (house.governor.clone(), house.account, held.approval.id);
                async move {
                    let waited = governor.approvals().wait(account, id, Duration::from_secs(20)).await.unwrap();
                    (matches!(waited, Waited::Changed(_)), std::time::Instant::now())
                }
            });
            tokio::time::sleep(Duration::from_millis(50)).await;
            house.approve(&held.approval).await;
            let decided = std::time::Instant::now();
            let (changed, woken) = waiting.await.unwrap();
            assert!(changed);
            best = best.min(woken.saturating_duration_since(decided));
        }
        stop.cancel();
        running.await.unwrap();
        assert!(best < Duration::from_millis(50), "{best:?}");
    }
}
