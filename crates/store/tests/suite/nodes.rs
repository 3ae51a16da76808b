//! Several processes: kept apart with SQLite, working together with PostgreSQL.

use std::time::Duration;

use futures::future::join_all;
use preloop_store::{Claim, Error, Event, RecordFilter, Store, StoreOptions, testing};
use preloop_types::{EntryKind, UserId, WriterId, config::Defaults};
use tokio::time::timeout;
use uuid::Uuid;

use crate::{call, entry, new_approval};

#[tokio::test]
async fn a_sqlite_file_is_refused_to_a_second_process() {
    let store = testing::fresh_sqlite().await;
    let second = StoreOptions { writer: WriterId(Uuid::now_v7()), ..store.options() };
    let Err(Error::InUse(said)) = Store::open(second.clone()).await else { panic!("it was let in") };
    assert!(said.contains("is in use by another process"), "{said}");
    store.close().await;
    Store::open(second).await.unwrap();
}

#[tokio::test]
async fn a_file_that_nobody_can_make_is_named() {
    let options = testing::options("sqlite:///nowhere/at/all.db", WriterId(Uuid::now_v7()));
    let Err(error) = Store::open(options).await else { panic!("it was opened") };
    assert!(error.to_string().contains("/nowhere/at/all.db"), "{error}");
    let options = testing::options("mysql://root:hunter2@db", WriterId(Uuid::now_v7()));
    let Err(error) = Store::open(options).await else { panic!("it was opened") };
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_hear_each_other_and_share_a_journal() {
    let Some(one) = testing::fresh_postgres().await else { return };
    let account = one.owner("ann").await.account;
    let two = one.another_node().await;
    let mut heard = two.events();
    // It listens once it has told everybody to look again.
    assert_eq!(timeout(Duration::from_secs(10), heard.recv()).await.unwrap().unwrap(), Event::Resync);

    one.write(account, |tx| Box::pin(async move { tx.put_defaults(&Defaults::default()).await })).await.unwrap();
    let event = timeout(Duration::from_secs(10), heard.recv()).await.unwrap().unwrap();
    assert_eq!(event, Event::ConfigChanged(account));

    let both = [one.clone(), two.clone()];
    let appends = (0..200).map(|i| both[i % 2].append(entry(account, EntryKind::CallRefused, None)));
    assert!(join_all(appends).await.iter().all(Result::is_ok));
    let report = one.account(account).verify_journal().await.unwrap();
    assert!(report.ok && report.chains == 2, "{report:?}");
    let export = crate::exported(&one, account, false).await;
    assert!(preloop_store::proof::verify(export.as_bytes(), Some(one.signing_public())).ok);
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p3_nodes_join_one_request_and_claim_it_once() {
    let Some(one) = testing::fresh_postgres().await else { return };
    let account = one.owner("ann").await.account;
    let two = one.another_node().await;
    let both = [one.clone(), two.clone()];
    for round in 0..5 {
        let asks = (0..20).map(|i| {
            let new = new_approval(vec![UserId(Uuid::from_u128(1))], 1, &format!("[{round}]"));
            both[i % 2].write(account, move |tx| Box::pin(async move { tx.insert_or_join_approval(&new).await }))
        });
        let joined: Vec<_> = join_all(asks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(joined.iter().filter(|joined| joined.created).count(), 1);
        let id = joined[0].approval.id;
        assert!(joined.iter().all(|joined| joined.approval.id == id));

        let rush = (0..20).map(|i| {
            let store = both[i % 2].clone();
            async move {
                let user = UserId(Uuid::from_u128(1));
                let vote = store.write(account, move |tx| {
                    Box::pin(async move { tx.vote(id, &preloop_store::Ballot::new(user, true, "api")).await })
                });
                vote.await.unwrap();
                let (writer, until) = (store.writer(), store.now() + Duration::from_secs(30));
                let claim =
                    store.write(account, move |tx| Box::pin(async move { tx.claim_approval(id, writer, until).await }));
                matches!(claim.await.unwrap(), Claim::Claimed(_))
            }
        });
        assert_eq!(join_all(rush).await.into_iter().filter(|claimed| *claimed).count(), 1);
    }
    two.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn p1_a_dead_nodes_open_calls_are_settled_by_another_once() {
    let Some(one) = testing::fresh_postgres().await else { return };
    let account = one.owner("ann").await.account;
    let two = one.another_node().await;
    let open = call();
    two.append(entry(account, EntryKind::CallIntent, Some(open))).await.unwrap();
    assert_eq!(one.settle_dead_nodes().await.unwrap(), 0, "it lives");
    two.close().await;
    drop(two);
    one.clock().advance(Duration::from_secs(61));
    let settled = tokio::join!(one.settle_dead_nodes(), one.settle_dead_nodes());
    assert_eq!(settled.0.unwrap() + settled.1.unwrap(), 1);
    let records = one.account(account).records(RecordFilter { call: Some(open), ..Default::default() }).await.unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].chain, one.writer(), "told in the chain of the one that lives");
}

#[tokio::test]
async fn a_writer_is_one_process() {
    let Some(one) = testing::fresh_postgres().await else { return };
    assert!(matches!(Store::open(one.options()).await, Err(Error::InUse(_))));
}
