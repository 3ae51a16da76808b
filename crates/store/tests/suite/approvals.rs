use std::time::Duration;

use futures::future::join_all;
use preloop_store::{
    Approval, ApprovalFilter, ApprovalStatus, Ballot, Claim, Event, ExecutionState, Joined, NewApproval, Result, Store,
    VoteOutcome, Voter, each_store, testing::TestStore,
};
use preloop_types::{AccountId, ApprovalId, Hash, OutcomeStatus, SessionId, UserId};
use uuid::Uuid;

use crate::new_approval;

fn people(n: u128) -> Vec<UserId> {
    (1..=n).map(|i| UserId(Uuid::from_u128(i))).collect()
}

async fn ask(store: &Store, account: AccountId, new: &NewApproval) -> Joined {
    let new = new.clone();
    store.write(account, move |tx| Box::pin(async move { tx.insert_or_join_approval(&new).await })).await.unwrap()
}

async fn vote(store: &Store, account: AccountId, id: ApprovalId, who: impl Into<Voter>, yes: bool) -> VoteOutcome {
    let ballot = Ballot { comment: Some("ok".to_owned()), ..Ballot::new(who, yes, "api") };
    let cast = store.write(account, move |tx| Box::pin(async move { tx.vote(id, &ballot).await }));
    cast.await.unwrap()
}

async fn claim(store: &Store, account: AccountId, id: ApprovalId) -> Claim {
    let (writer, until) = (store.writer(), store.now() + Duration::from_secs(30));
    let claim = store.write(account, move |tx| Box::pin(async move { tx.claim_approval(id, writer, until).await }));
    claim.await.unwrap()
}

async fn read(store: &Store, account: AccountId, id: ApprovalId) -> Approval {
    store.account(account).approval(id).await.unwrap().unwrap()
}

async fn sweep(store: &Store, account: AccountId) -> Result<(Vec<Approval>, Vec<Approval>)> {
    let now = store.now();
    let sweep = store.write(account, move |tx| {
        Box::pin(async move { Ok((tx.resolve_expired(now).await?, tx.abandon_claims(now).await?)) })
    });
    sweep.await
}

/// A request that was approved.
async fn approved(store: &TestStore, account: AccountId) -> Approval {
    let joined = ask(store, account, &new_approval(people(1), 1, r#"{"amount":5}"#)).await;
    match vote(store, account, joined.approval.id, people(1)[0], true).await {
        VoteOutcome::Resolved(approval) => approval,
        other => panic!("not resolved: {other:?}"),
    }
}

each_store! {
    async fn a_request_comes_back_as_it_was(store) {
        let account = store.owner("ann").await.account;
        let new = new_approval(people(2), 2, r#"{"amount" : 5}"#);
        let mut events = store.events();
        let joined = ask(&store, account, &new).await;
        assert!(joined.created);
        assert_eq!(events.recv().await.unwrap(), Event::ApprovalChanged { account, id: new.id });

        let approval = read(&store, account, new.id).await;
        assert_eq!((approval.call, &approval.tool, &approval.requester), (new.call, &new.tool, &new.requester));
        assert_eq!(approval.arguments().unwrap().get(), r#"{"amount" : 5}"#);
        assert_eq!((approval.status, approval.execution.state), (ApprovalStatus::Pending, ExecutionState::None));
        assert_eq!(approval.expires_at, store.now() + Duration::from_mins(5));
        assert_eq!(approval.approvers, people(2));
        assert!(!format!("{approval:?}").contains("amount"), "arguments are not shown by accident");
        let found = store.account(account).approvals(ApprovalFilter {
            status: vec![ApprovalStatus::Pending, ApprovalStatus::Expired],
            requester_key: Some(new.requester.key),
            ..Default::default()
        }).await.unwrap();
        assert_eq!(found.len(), 1);
        let none = ApprovalFilter { status: vec![ApprovalStatus::Approved], ..Default::default() };
        assert!(store.account(account).approvals(none).await.unwrap().is_empty());
    }

    async fn the_same_call_joins_the_open_request(store) {
        let account = store.owner("ann").await.account;
        let new = || new_approval(people(1), 1, r#"{"a":1}"#);
        let joined = join_all((0..20).map(|_| { let (store, new) = (&store, new()); async move { ask(store, account, &new).await } })).await;
        assert_eq!(joined.iter().filter(|joined| joined.created).count(), 1);
        let id = joined[0].approval.id;
        assert!(joined.iter().all(|joined| joined.approval.id == id));

        let mut other_session = new();
        other_session.requester.session = Some(SessionId(Uuid::now_v7()));
        assert!(ask(&store, account, &other_session).await.created);
        assert!(ask(&store, account, &new_approval(people(1), 1, r#"{"a":2}"#)).await.created);
        let mut other_definition = new();
        other_definition.tool.definition = Hash::of("changed");
        assert!(ask(&store, account, &other_definition).await.created);

        vote(&store, account, id, people(1)[0], true).await;
        assert_eq!(ask(&store, account, &new()).await.approval.id, id, "approved, not delivered");
        let delivered = || store.write(account, move |tx| Box::pin(async move { tx.mark_delivered(id).await }));
        assert!(delivered().await.unwrap());
        assert!(!delivered().await.unwrap());
        assert!(ask(&store, account, &new()).await.created, "delivered: the next call asks anew");
    }

    async fn a_request_that_is_over_is_not_joined(store) {
        let account = store.owner("ann").await.account;
        let new = || new_approval(people(1), 1, r#"{"a":1}"#);
        let first = ask(&store, account, &new()).await.approval.id;
        vote(&store, account, first, people(1)[0], false).await;
        let second = ask(&store, account, &new()).await;
        assert!(second.created, "declined");
        store.clock().advance(Duration::from_mins(5));
        let third = ask(&store, account, &new()).await;
        assert!(third.created, "past its deadline, though not swept yet");
        vote(&store, account, third.approval.id, people(1)[0], true).await;
        store.clock().advance(Duration::from_mins(10));
        assert!(ask(&store, account, &new()).await.created, "approved too long ago to be carried out");
    }

    async fn a_quorum_is_of_different_people(store) {
        let account = store.owner("ann").await.account;
        let id = ask(&store, account, &new_approval(people(3), 2, "{}")).await.approval.id;
        let [a, b, _] = people(3)[..] else { unreachable!() };
        assert!(matches!(vote(&store, account, id, a, true).await, VoteOutcome::Counted(_)));
        assert!(matches!(vote(&store, account, id, a, true).await, VoteOutcome::AlreadyVoted(_)));
        assert!(matches!(vote(&store, account, id, Voter::Anonymous, false).await, VoteOutcome::Counted(_)));
        assert!(matches!(vote(&store, account, id, Voter::Anonymous, true).await, VoteOutcome::AlreadyVoted(_)));
        let VoteOutcome::Resolved(approval) = vote(&store, account, id, b, true).await else { panic!("not resolved") };
        assert_eq!((approval.status, approval.decided_by), (ApprovalStatus::Approved, Some(b)));
        assert_eq!((approval.votes.len(), approval.comment.as_deref()), (3, Some("ok")));
        assert!(matches!(vote(&store, account, id, people(3)[2], false).await, VoteOutcome::Closed(_)));
        assert_eq!(read(&store, account, id).await.status, ApprovalStatus::Approved);
    }

    async fn a_quorum_out_of_reach_declines(store) {
        let account = store.owner("ann").await.account;
        let id = ask(&store, account, &new_approval(people(3), 2, "{}")).await.approval.id;
        let [a, b, _] = people(3)[..] else { unreachable!() };
        assert!(matches!(vote(&store, account, id, a, false).await, VoteOutcome::Counted(_)), "two can still say yes");
        let VoteOutcome::Resolved(approval) = vote(&store, account, id, b, false).await else { panic!("not resolved") };
        assert_eq!((approval.status, approval.decided_by), (ApprovalStatus::Declined, Some(b)));
        assert!(matches!(claim(&store, account, id).await, Claim::NotApproved(ApprovalStatus::Declined)));
    }

    async fn p3_whatever_races_there_is_one_end_and_one_claim(store) {
        let account = store.owner("ann").await.account;
        for round in 0..6 {
            let quorum = 1 + round % 3;
            let new = new_approval(people(50), quorum, &format!("[{round}]"));
            let id = ask(&store, account, &new).await.approval.id;
            // In some rounds the deadline passes while they vote.
            let racers = people(50).into_iter().enumerate().map(|(i, user)| {
                let store = &store;
                async move {
                    if round % 2 == 1 && i == 20 {
                        store.clock().advance(Duration::from_secs(301));
                    }
                    let outcome = vote(store, account, id, user, i % 5 != 0).await;
                    if i % 7 == 0 {
                        sweep(store, account).await.unwrap();
                    }
                    let claimed = matches!(claim(store, account, id).await, Claim::Claimed(_));
                    (matches!(outcome, VoteOutcome::Resolved(_)), claimed)
                }
            });
            let done = join_all(racers).await;
            let (resolved, claims) =
                (done.iter().filter(|(r, _)| *r).count(), done.iter().filter(|(_, c)| *c).count());
            let approval = read(&store, account, id).await;
            assert_ne!(approval.status, ApprovalStatus::Pending);
            let by_vote = approval.status != ApprovalStatus::Expired;
            assert_eq!(resolved, usize::from(by_vote), "one vote resolves, unless the deadline did");
            assert_eq!(claims, usize::from(approval.status == ApprovalStatus::Approved));
            if approval.status == ApprovalStatus::Approved {
                assert_eq!(approval.votes.iter().filter(|vote| vote.approve).count(), quorum as usize);
            }
        }
    }

    async fn a_late_vote_does_not_count(store) {
        let account = store.owner("ann").await.account;
        let id = ask(&store, account, &new_approval(people(1), 1, "{}")).await.approval.id;
        store.clock().advance(Duration::from_mins(5));
        assert!(matches!(vote(&store, account, id, people(1)[0], true).await, VoteOutcome::Closed(_)));
        assert_eq!(store.due_approvals(store.now()).await.unwrap(), [account]);
        let (expired, _) = sweep(&store, account).await.unwrap();
        assert_eq!((expired.len(), expired[0].status), (1, ApprovalStatus::Expired));
        assert!(sweep(&store, account).await.unwrap().0.is_empty());
        assert!(store.due_approvals(store.now()).await.unwrap().is_empty());
    }

    async fn a_withdrawn_request_stays_withdrawn(store) {
        let account = store.owner("ann").await.account;
        let id = ask(&store, account, &new_approval(people(1), 1, "{}")).await.approval.id;
        let cancel = || store.write(account, move |tx| Box::pin(async move { tx.cancel_approval(id, Some("gone")).await }));
        assert!(cancel().await.unwrap());
        assert!(!cancel().await.unwrap());
        assert!(matches!(vote(&store, account, id, people(1)[0], true).await, VoteOutcome::Closed(_)));
        let approval = read(&store, account, id).await;
        assert_eq!((approval.status, approval.comment.as_deref()), (ApprovalStatus::Cancelled, Some("gone")));
    }

    async fn a_claim_is_finished_once_and_its_result_is_kept(store) {
        let account = store.owner("ann").await.account;
        let id = approved(&store, account).await.id;
        assert_eq!(store.ready_approvals(store.now()).await.unwrap(), [(account, id)]);
        let Claim::Claimed(claimed) = claim(&store, account, id).await else { panic!("not claimed") };
        assert!(store.ready_approvals(store.now()).await.unwrap().is_empty());
        assert_eq!(claimed.execution.attempt, 1);
        let finish = |attempt| store.write(account, move |tx| Box::pin(async move {
            tx.finish_approval(id, attempt, Some(b"{\"ok\":true}"), OutcomeStatus::Succeeded).await
        }));
        assert!(!finish(2).await.unwrap(), "not the claim that holds");
        assert!(finish(1).await.unwrap());
        assert!(!finish(1).await.unwrap());
        let store = store.reopen().await;
        let approval = read(&store, account, id).await;
        assert_eq!(approval.execution.state, ExecutionState::Finished);
        assert_eq!(approval.execution.outcome, Some(OutcomeStatus::Succeeded));
        assert_eq!(approval.result().unwrap().as_deref(), Some(&b"{\"ok\":true}"[..]));
        assert!(matches!(claim(&store, account, id).await, Claim::AlreadyClaimed(_)));
    }

    async fn an_abandoned_claim_is_unknown_and_never_runs_again(store) {
        let account = store.owner("ann").await.account;
        let id = approved(&store, account).await.id;
        let Claim::Claimed(_) = claim(&store, account, id).await else { panic!("not claimed") };
        store.clock().advance(Duration::from_secs(20));
        let until = store.now() + Duration::from_secs(30);
        let renewed = store.write(account, move |tx| Box::pin(async move { tx.renew_claim(id, 1, until).await }));
        assert!(renewed.await.unwrap());
        store.clock().advance(Duration::from_secs(20));
        assert!(sweep(&store, account).await.unwrap().1.is_empty(), "renewed");
        store.clock().advance(Duration::from_secs(10));
        assert_eq!(store.due_approvals(store.now()).await.unwrap(), [account]);
        let (_, abandoned) = sweep(&store, account).await.unwrap();
        assert_eq!(abandoned[0].execution.state, ExecutionState::Unknown);
        assert!(matches!(claim(&store, account, id).await, Claim::AlreadyClaimed(_)));
        let late = store.write(account, move |tx| Box::pin(async move {
            tx.finish_approval(id, 1, None, OutcomeStatus::Succeeded).await
        }));
        assert!(!late.await.unwrap());
    }

    async fn an_approval_does_not_hold_for_ever(store) {
        let account = store.owner("ann").await.account;
        let id = approved(&store, account).await.id;
        store.clock().advance(Duration::from_mins(10));
        assert!(matches!(claim(&store, account, id).await, Claim::TooLate));
    }

    async fn a_link_leads_to_its_request_only(store) {
        let account = store.owner("ann").await.account;
        let (a, b) = (new_approval(people(1), 1, "[1]"), new_approval(people(1), 1, "[2]"));
        ask(&store, account, &a).await;
        ask(&store, account, &b).await;
        let (id, user, token) = (a.id, people(1)[0], Hash::of("token"));
        store.write(account, move |tx| Box::pin(async move {
            tx.insert_approval_token(id, Some(user), "ann@example.org", &token).await?;
            tx.add_approval_event(id, "notification_sent", Some("email"), None, None).await?;
            tx.add_approval_event(id, "viewed", None, Some("hm"), Some(user)).await
        })).await.unwrap();
        let grant = store.approval_by_token(a.id, &token).await.unwrap().unwrap();
        assert_eq!((grant.approval.id, grant.user, grant.recipient.as_str()), (a.id, Some(user), "ann@example.org"));
        assert!(store.approval_by_token(b.id, &token).await.unwrap().is_none());
        assert!(store.approval_by_token(a.id, &Hash::of("guess")).await.unwrap().is_none());
        let events = store.account(account).approval_events(a.id).await.unwrap();
        assert_eq!(events.iter().map(|e| e.event_type.as_str()).collect::<Vec<_>>(), ["notification_sent", "viewed"]);
    }
}
