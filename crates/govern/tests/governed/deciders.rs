//! Who decides: teams, quorum, membership, one's own requests, delegates, escalation.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use preloop_govern::{Admission, Error, Redeemed, RefusalKind, Vote, config::WorkflowChange};
use preloop_store::{ApprovalStatus, Delegation, each_store};
use preloop_types::{
    DelegationId, Principal, Role, Scope, Team, TeamId, User, UserId,
    config::{RuleAction, Workflow},
};
use serde_json::json;

use crate::house::{House, config, governor, key, succeeded};

const ASK: RuleAction = RuleAction::RequireApproval;

fn yes() -> Vote {
    Vote { approve: true, ..Vote::default() }
}

fn no() -> Vote {
    Vote { approve: false, ..Vote::default() }
}

impl House {
    /// A further person with a role, and a key of their own.
    async fn person(&self, name: &str, role: Role) -> Arc<Principal> {
        let now = self.store.now();
        let user = User::new(UserId::new(now), name, now);
        let key = key(&self.store, self.account, user.id, name, vec![Scope::Admin]);
        self.store
            .write(self.account, move |tx| {
                Box::pin(async move {
                    tx.insert_user(&user).await?;
                    tx.grant_user_role(user.id, role, None).await?;
                    tx.insert_key(&key).await
                })
            })
            .await
            .unwrap();
        governor(&self.store).identify(&format!("secret of {name}")).await.unwrap()
    }

    async fn team(&self, name: &str, members: &[&Arc<Principal>]) -> TeamId {
        let now = self.store.now();
        let id = TeamId::new(now);
        let members: Vec<UserId> = members.iter().map(|member| member.user).collect();
        let team = Team {
            id,
            name: name.to_owned(),
            description: None,
            members: Vec::new(),
            created_at: now,
            updated_at: now,
        };
        self.store
            .write(self.account, move |tx| {
                Box::pin(async move {
                    tx.insert_team(&team).await?;
                    for member in members {
                        tx.add_team_member(id, member, None).await?;
                    }
                    Ok(())
                })
            })
            .await
            .unwrap();
        id
    }

    /// Changes the default workflow; what a person should be warned of.
    async fn workflow(&self, change: impl FnOnce(&mut Workflow) + Send + 'static) {
        let mut workflow = self.store.account(self.account).workflows().await.unwrap().remove(0);
        change(&mut workflow);
        self.store
            .write(self.account, move |tx| Box::pin(async move { tx.update_workflow(&workflow).await }))
            .await
            .unwrap();
    }

    /// A governor that knows what was configured last.
    fn fresh(self) -> Self {
        Self { governor: governor(&self.store), ..self }
    }

    async fn votes(
        &self,
        who: &Principal,
        approval: &preloop_store::Approval,
        vote: Vote,
    ) -> Result<ApprovalStatus, Error> {
        self.governor.approvals().decide(who, approval.id, vote).await.map(|now| now.status)
    }
}

each_store! {
    async fn a_quorum_of_two_from_a_team_of_five_whoever_comes_first(store) {
        let house = House::with_rule(store, ASK, None).await;
        let mut people = Vec::new();
        for name in ["bea", "cem", "dan", "eva", "fay"] {
            people.push(house.person(name, Role::Executor).await);
        }
        let team = house.team("finance", &people.iter().collect::<Vec<_>>()).await;
        let named_twice = people[0].user;
        house.workflow(move |workflow| {
            workflow.approvers = vec![named_twice];
            workflow.settings.approver_teams = vec![team];
            workflow.approvals_required = 2;
        }).await;
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;
        assert_eq!(held.approval.approvers.len(), 5, "who is named and in the team is one person");

        assert_eq!(house.votes(&people[0], &held.approval, yes()).await.unwrap(), ApprovalStatus::Pending);
        assert_eq!(house.votes(&people[0], &held.approval, yes()).await.unwrap(), ApprovalStatus::Pending, "counts once");
        assert_eq!(house.votes(&people[1], &held.approval, no()).await.unwrap(), ApprovalStatus::Pending);
        assert_eq!(house.votes(&people[2], &held.approval, yes()).await.unwrap(), ApprovalStatus::Approved);
    }

    async fn who_is_in_the_team_is_settled_when_it_is_asked(store) {
        let house = House::with_rule(store, ASK, None).await;
        let (bea, cem) = (house.person("bea", Role::Executor).await, house.person("cem", Role::Executor).await);
        let team = house.team("finance", &[&bea]).await;
        house.workflow(move |workflow| workflow.settings.approver_teams = vec![team]).await;
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;
        let joins = cem.user;
        house.store.write(house.account, move |tx| Box::pin(async move { tx.add_team_member(team, joins, None).await })).await.unwrap();

        assert!(matches!(house.votes(&cem, &held.approval, yes()).await, Err(Error::Forbidden(_))));
        assert_eq!(house.votes(&bea, &held.approval, yes()).await.unwrap(), ApprovalStatus::Approved);
    }

    async fn defect_13_only_approvers_decide_and_an_administrators_override_is_recorded(store) {
        let house = House::with_rule(store, ASK, None).await;
        let (bea, cem) = (house.person("bea", Role::Executor).await, house.person("cem", Role::Executor).await);
        let (viewer, admin) = (house.person("vic", Role::Viewer).await, house.person("ada", Role::Admin).await);
        let approver = bea.user;
        house.workflow(move |workflow| workflow.approvers = vec![approver]).await;
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;

        for stranger in [&cem, &viewer] {
            let refused = house.votes(stranger, &held.approval, yes()).await;
            assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
        }
        assert_eq!(house.votes(&admin, &held.approval, yes()).await.unwrap(), ApprovalStatus::Approved);

        let vote = &house.read(&held.approval).await.votes[0];
        assert!(vote.overriding && vote.shown == held.approval.shown_hash);
        let records = house.records(held.approval.call).await;
        let voted = records.iter().find(|record| record.kind.as_str() == "approval.voted").unwrap();
        assert!(voted.body.get().contains("\"override\":true"), "{}", voted.body.get());
    }

    async fn invariant_9_what_asked_never_decides(store) {
        let house = House::with_rule(store, ASK, None).await;
        let held = house.held(json!({"amount": 5})).await;
        let by_agent = house.governor.approvals().decide(&house.agent, held.approval.id, yes()).await;
        let link = house.governor.approvals().link(&house.agent, held.approval.id).await;
        assert!(matches!(by_agent, Err(Error::Forbidden(_))), "{by_agent:?}");
        assert!(matches!(link, Err(Error::Forbidden(_))), "an agent makes itself no link either");

        // A person's own credential that called the tool is what asked, too.
        let Admission::Held(own) = house.governor.admit(&house.owner, house.pay(&json!({"amount": 6}))).await else {
            panic!("not held");
        };
        let refused = house.votes(&house.owner, &own.approval, yes()).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
        let link = house.governor.approvals().link(&house.owner, own.approval.id).await;
        assert!(matches!(link, Err(Error::Forbidden(_))));
    }

    async fn nobody_decides_on_their_own_request_where_the_workflow_says_so(store) {
        let house = House::with_rule(store, ASK, None).await;
        let (bea, owner) = (house.person("bea", Role::Executor).await, house.owner.user);
        let approver = bea.user;
        house.workflow(move |workflow| {
            workflow.approvers = vec![owner, approver];
            workflow.settings.no_self_approval = true;
        }).await;
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;
        assert_eq!(held.approval.approvers, [approver]);

        let own = house.votes(&house.owner, &held.approval, yes()).await;
        assert!(matches!(&own, Err(Error::Forbidden(why)) if why.contains("their own credential")), "{own:?}");
        assert_eq!(house.votes(&bea, &held.approval, yes()).await.unwrap(), ApprovalStatus::Approved);
    }

    async fn a_request_that_nobody_may_decide_is_refused_at_once(store) {
        let house = House::with_rule(store, ASK, None).await;
        house.workflow(|workflow| workflow.settings.no_self_approval = true).await;
        let house = house.fresh();
        let refused = house.refused(json!({"amount": 5})).await;
        assert_eq!(refused.kind, RefusalKind::Misconfigured);
        assert!(refused.message.contains("nobody may give it"), "{}", refused.message);
    }

    async fn duties_are_separated_where_the_workflow_says_so(store) {
        let house = House::with_rule(store, ASK, None).await;
        let (bea, cem) = (house.person("bea", Role::Editor).await, house.person("cem", Role::Executor).await);
        let people = vec![house.owner.user, bea.user, cem.user];
        house.workflow(move |workflow| {
            workflow.approvers = people;
            workflow.settings.separation_of_duties = true;
        }).await;
        let change = preloop_govern::config::RuleChange { description: Some(Some("all payments".to_owned())), ..Default::default() };
        config(&house.store).update_rule(&bea, house.config.rules[0].id, change).await.unwrap();
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;

        let owns_the_key = house.votes(&house.owner, &held.approval, yes()).await;
        assert!(matches!(&owns_the_key, Err(Error::Forbidden(why)) if why.contains("credential")), "{owns_the_key:?}");
        let wrote_the_rule = house.votes(&bea, &held.approval, yes()).await;
        assert!(matches!(&wrote_the_rule, Err(Error::Forbidden(why)) if why.contains("wrote the rule")), "{wrote_the_rule:?}");
        assert_eq!(house.votes(&cem, &held.approval, yes()).await.unwrap(), ApprovalStatus::Approved);
    }

    async fn a_delegate_counts_once_and_as_whom_they_stand_in_for(store) {
        let house = House::with_rule(store, ASK, None).await;
        let (bea, cem) = (house.person("bea", Role::Executor).await, house.person("cem", Role::Executor).await);
        let dan = house.person("dan", Role::Executor).await;
        let approvers = vec![bea.user, cem.user];
        house.workflow(move |workflow| {
            workflow.approvers = approvers;
            workflow.approvals_required = 2;
        }).await;
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;
        let now = house.store.now();
        for (user, delegate) in [(bea.user, dan.user), (cem.user, dan.user)] {
            let delegation = Delegation {
                id: DelegationId::new(now), user, delegate, reason: None, starts_at: now,
                ends_at: now + Duration::from_hours(1), created_at: now, revoked_at: None,
            };
            house.store.write(house.account, move |tx| Box::pin(async move { tx.insert_delegation(&delegation).await })).await.unwrap();
        }

        assert_eq!(house.votes(&dan, &held.approval, yes()).await.unwrap(), ApprovalStatus::Pending);
        assert_eq!(house.votes(&dan, &held.approval, yes()).await.unwrap(), ApprovalStatus::Pending, "one person, one vote");
        let vote = house.read(&held.approval).await.votes[0].clone();
        let (away, other) = if vote.on_behalf_of == Some(bea.user) { (&bea, &cem) } else { (&cem, &bea) };
        let too_late = house.votes(away, &held.approval, yes()).await;
        assert!(matches!(too_late, Err(Error::Conflict(_))), "their seat is taken: {too_late:?}");
        assert_eq!(house.votes(other, &held.approval, yes()).await.unwrap(), ApprovalStatus::Approved);

        // It ends with its time.
        let next = house.held(json!({"amount": 6})).await;
        house.store.clock().advance(Duration::from_hours(1));
        assert!(matches!(house.votes(&dan, &next.approval, yes()).await, Err(Error::Forbidden(_))));
    }

    async fn who_left_does_not_decide_by_an_old_link(store) {
        let house = House::with_rule(store, ASK, None).await;
        let bea = house.person("bea", Role::Executor).await;
        let approver = bea.user;
        house.workflow(move |workflow| workflow.approvers = vec![approver]).await;
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;
        let link = house.governor.approvals().link(&bea, held.approval.id).await.unwrap();
        let token = link.split_once("token=").unwrap().1.to_owned();
        let left = User { is_active: false, ..house.store.account(house.account).user(approver).await.unwrap().unwrap() };
        house.store.write(house.account, move |tx| Box::pin(async move { tx.update_user(&left).await })).await.unwrap();

        let refused = house.governor.approvals().decide_by_token(held.approval.id, &token, yes()).await;
        assert!(matches!(refused, Err(Error::Forbidden(_))), "{refused:?}");
    }

    async fn defect_37_escalation_gives_others_a_window_of_their_own_also_after_a_restart(store) {
        let house = House::with_rule(store, ASK, None).await;
        let (bea, cem) = (house.person("bea", Role::Executor).await, house.person("cem", Role::Executor).await);
        let (first, second) = (bea.user, cem.user);
        house.workflow(move |workflow| {
            workflow.approvers = vec![first];
            workflow.settings.escalation_users = vec![second];
        }).await;
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;
        assert!(matches!(house.votes(&cem, &held.approval, yes()).await, Err(Error::Forbidden(_))), "not asked yet");

        // Nobody waits and the process is gone when the window closes.
        house.store.clock().advance(Duration::from_mins(6));
        let house = house.restarted().await;
        house.sweep_until(&held.approval, |approval| approval.escalated_at.is_some()).await;

        let escalated = house.read(&held.approval).await;
        assert_eq!(escalated.status, ApprovalStatus::Pending);
        assert_eq!(escalated.expires_at, house.store.now() + Duration::from_mins(5));
        let events = house.governor.approvals().history(house.account, held.approval.id).await.unwrap();
        assert_eq!(events.iter().filter(|event| event.event_type == "escalation_triggered").count(), 1);
        // Both may decide now.
        assert_eq!(house.votes(&cem, &held.approval, no()).await.unwrap(), ApprovalStatus::Pending);
        assert_eq!(house.votes(&bea, &held.approval, yes()).await.unwrap(), ApprovalStatus::Approved);
    }

    async fn an_escalated_request_ends_with_its_second_window(store) {
        let house = House::with_rule(store, ASK, None).await;
        let bea = house.person("bea", Role::Executor).await;
        let second = bea.user;
        house.workflow(move |workflow| workflow.settings.escalation_users = vec![second]).await;
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;
        house.store.clock().advance(Duration::from_mins(5));
        house.sweep_until(&held.approval, |approval| approval.escalated_at.is_some()).await;
        house.store.clock().advance(Duration::from_mins(5));
        house.sweep_until(&held.approval, |approval| approval.status == ApprovalStatus::Expired).await;

        let redeemed = house.governor.approvals().redeem(&house.agent, &house.read(&held.approval).await).await.unwrap();
        let Redeemed::Refused(refusal) = redeemed else { panic!("not refused") };
        assert_eq!(refusal.message, "Approval timeout: request expired after 600s (including escalation)");
    }

    async fn fifty_votes_at_the_edge_of_the_quorum_are_one_end_and_one_execution(store) {
        let house = House::with_rule(store, ASK, None).await;
        let mut people = Vec::new();
        for n in 0..50 {
            people.push(house.person(&format!("p{n}"), Role::Executor).await);
        }
        let approvers: Vec<UserId> = people.iter().map(|person| person.user).collect();
        house.workflow(move |workflow| {
            workflow.approvers = approvers;
            workflow.approvals_required = 10;
        }).await;
        let house = house.fresh();
        let held = house.held(json!({"amount": 5})).await;

        let votes = join_all(people.iter().map(|person| house.votes(person, &held.approval, yes()))).await;

        let counted = votes.iter().filter(|vote| vote.is_ok()).count();
        let approved = house.read(&held.approval).await;
        assert_eq!((approved.status, counted, approved.votes.len()), (ApprovalStatus::Approved, 10, 10));
        let approvals = house.governor.approvals();
        let redeemed = join_all((0..20).map(|_| approvals.redeem(&house.agent, &approved))).await;
        let mut permits: Vec<_> = redeemed
            .into_iter()
            .filter_map(|what| if let Redeemed::Granted(permit) = what.unwrap() { Some(permit) } else { None })
            .collect();
        assert_eq!(permits.len(), 1);
        permits.pop().unwrap().settle(&succeeded()).await.unwrap();
    }

    async fn two_approvers_and_expiry_race_for_one_end(store) {
        let house = House::with_rule(store, ASK, None).await;
        let (bea, cem) = (house.person("bea", Role::Executor).await, house.person("cem", Role::Executor).await);
        let approvers = vec![bea.user, cem.user];
        house.workflow(move |workflow| workflow.approvers = approvers).await;
        let house = house.fresh();
        for round in 0..8 {
            let held = house.held(json!({"amount": round})).await;
            // The vote arrives in the last instant of the window, or in the first after it.
            house.store.clock().advance(Duration::from_mins(5) - Duration::from_micros(1));
            let late = async {
                tokio::task::yield_now().await;
                house.store.clock().advance(Duration::from_micros(1));
                house.sweep_until(&held.approval, |approval| approval.status != ApprovalStatus::Pending).await;
            };
            let (bea_says, cem_says, ()) = tokio::join!(
                house.votes(&bea, &held.approval, yes()), house.votes(&cem, &held.approval, no()), late
            );
            let end = house.read(&held.approval).await;
            match end.status {
                ApprovalStatus::Expired => assert!(bea_says.is_err()),
                ApprovalStatus::Approved => assert!(bea_says.is_ok() && end.resolved_at.unwrap() < end.expires_at),
                other => panic!("{other:?}, {cem_says:?}"),
            }
        }
    }

    async fn what_can_never_be_approved_is_warned_of_when_it_is_saved(store) {
        let house = House::with_rule(store, ASK, None).await;
        let workflow = house.store.account(house.account).workflows().await.unwrap().remove(0);
        let change = WorkflowChange { approvals_required: Some(2), ..WorkflowChange::default() };
        let saved = config(&house.store).update_workflow(&house.owner, workflow.id, change).await.unwrap();
        assert!(saved.warnings[0].contains("needs 2 approvals, but only 1 can approve"), "{:?}", saved.warnings);
    }
}
