//! Runs of agents: which one a request belongs to, what is recorded of it, and its end.

use std::time::Duration;

use preloop_govern::{ModelRefusalKind, SessionRefused, SessionSignal, VendorSession};
use preloop_store::{Order, RecordFilter, SessionFilter, UsageFilter, each_store};
use preloop_types::{EntryKind, ModelCall, SessionId, Subject, config::AccountModelSettings};

use crate::desk::{Desk, cost};

fn claude(session: &str) -> SessionSignal<'_> {
    let vendor = VendorSession { kind: "claude_code", session, agent: None, parent: None };
    SessionSignal { vendor: Some(vendor), client: Some("claude-code/2.1"), ..SessionSignal::default() }
}

each_store! {
    async fn a_run_is_one_row_however_often_and_wherever_it_is_seen(store) {
        let desk = Desk::new(store).await;
        let (a, b) = tokio::join!(desk.session(claude("s1")), desk.session(claude("s1")));
        assert_eq!(a, b);
        assert_ne!(a, desk.session(claude("s2")).await);
        let child = VendorSession { agent: Some("explore"), ..claude("s1").vendor.unwrap() };
        let child = desk.session(SessionSignal { vendor: Some(child), ..claude("s1") }).await;

        let desk = desk.restarted().await;
        assert_eq!(desk.session(claude("s1")).await, a);

        let rows = desk.store.account(desk.account);
        assert_eq!(rows.runtime_sessions(SessionFilter::default()).await.unwrap().len(), 3);
        let row = rows.runtime_session(child).await.unwrap().unwrap();
        assert_eq!((row.parent, row.source_type.as_str(), row.source_id.as_deref()), (Some(a), "claude_code", Some("s1:explore")));
        let found = SessionFilter { query: Some("EXPLORE".to_owned()), ..SessionFilter::default() };
        assert_eq!(rows.runtime_sessions(found).await.unwrap()[0].id, child);
        assert_eq!(desk.of_kind(EntryKind::SessionStarted).await.len(), 3);
    }

    async fn the_timeline_of_a_run_is_its_records(store) {
        let desk = Desk::new(store).await;
        let session = desk.session(claude("s1")).await;
        let bound = desk.governor.sessions().bind(&desk.agent, &claude("s1")).await.unwrap();
        assert_eq!(bound.session, Some(session));
        desk.granted(ModelCall { session: Some(session), ..desk.call(1) }).await.settle(cost(7));
        desk.granted(desk.call(1)).await.settle(cost(7));
        desk.quiet().await;

        let filter = RecordFilter { session: Some(session), order: Order::OldestFirst, ..RecordFilter::default() };
        let rows = desk.store.account(desk.account);
        let timeline = rows.records(filter).await.unwrap();
        let kinds: Vec<_> = timeline.iter().map(|record| record.kind.as_str()).collect();
        assert_eq!(kinds, ["session.started", "model.intent", "model.outcome"]);
        let of_run = UsageFilter { session: Some(session), ..UsageFilter::default() };
        assert_eq!(rows.usage_total(of_run).await.unwrap().cost.0, 7);
    }

    async fn an_ended_run_stays_ended_and_its_calls_stop(store) {
        let desk = Desk::new(store).await;
        let session = desk.session(claude("s1")).await;
        let running = desk.granted(ModelCall { session: Some(session), ..desk.call(1) }).await;
        let sessions = desk.governor.sessions();

        assert!(sessions.end(desk.account, session, Subject::default(), "done", false).await.unwrap());

        tokio::time::timeout(Duration::from_secs(5), running.halted()).await.unwrap();
        running.settle(cost(1));
        let refusal = desk.refused(ModelCall { session: Some(session), ..desk.call(1) }).await;
        assert_eq!(refusal.kind, ModelRefusalKind::SessionEnded);
        assert!(!sessions.end(desk.account, session, Subject::default(), "again", false).await.unwrap());
        // The credential outlives it: another run begins.
        let next = desk.session(claude("s1")).await;
        assert_ne!(next, session);
        desk.granted(ModelCall { session: Some(next), ..desk.call(1) }).await.settle(cost(1));
        let row = desk.store.account(desk.account).runtime_session(session).await.unwrap().unwrap();
        assert_eq!((row.end_reason.as_deref(), row.ended_at.is_some()), (Some("done"), true));
    }

    async fn whoever_was_blocked_begins_no_other_run_until_that_is_lifted(store) {
        let desk = Desk::new(store).await;
        let other = desk.session(claude("s0")).await;
        let session = desk.session(claude("s1")).await;
        let sessions = desk.governor.sessions();
        sessions.end(desk.account, session, Subject::default(), "enough", true).await.unwrap();
        desk.settled_down().await;

        for signal in [claude("s1"), claude("s9"), claude("s0"), SessionSignal::default()] {
            let refused = sessions.of(&desk.agent, &signal).await.unwrap_err();
            assert!(matches!(refused, SessionRefused::Blocked), "{refused}");
        }
        assert!(sessions.unblock(desk.account, session, Subject::default()).await.unwrap());
        desk.settled_down().await;
        assert_eq!(desk.session(claude("s0")).await, other);
        assert_ne!(desk.session(claude("s1")).await, session);
    }

    async fn a_silent_agents_run_ends_when_it_was_last_active(store) {
        let desk = Desk::new(store).await;
        desk.settings(AccountModelSettings { session_idle_minutes: 10, ..AccountModelSettings::default() }).await;
        let first = desk.session(SessionSignal::default()).await;
        let named = desk.session(claude("s1")).await;
        desk.store.clock().advance(Duration::from_mins(9));
        assert_eq!(desk.session(SessionSignal::default()).await, first);
        desk.store.clock().advance(Duration::from_mins(11));

        let second = desk.session(SessionSignal::default()).await;

        assert_ne!(first, second);
        assert_eq!(desk.session(claude("s1")).await, named, "whoever names its run ends it");
        let row = desk.store.account(desk.account).runtime_session(first).await.unwrap().unwrap();
        assert_eq!((row.ended_at, row.end_reason.as_deref()), (Some(row.last_activity_at), Some("idle")));
    }

    async fn p9_another_accounts_run_does_not_exist(store) {
        let desk = Desk::new(store).await;
        let session = desk.session(claude("s1")).await;
        let other = desk.store.owner("bob").await.account;
        let sessions = desk.governor.sessions();
        for id in [session, SessionId::new(desk.store.now())] {
            assert!(sessions.end(other, id, Subject::default(), "x", true).await.is_err());
        }
        assert!(desk.store.account(other).runtime_session(session).await.unwrap().is_none());
        assert!(desk.store.account(other).budget_windows(None, desk.store.now()).await.unwrap().is_empty());
        assert_eq!(desk.session(claude("s1")).await, session);
    }
}
