//! What goes wrong beneath: a full disk, a lost connection, too much at once. Nobody is told that
//! something is written which is not, and the chain never has a hole.

use std::time::Duration;

use futures::future::join_all;
use preloop_store::{Error, each_store, testing};
use preloop_types::EntryKind;

use crate::{entry, with_payload};

#[tokio::test]
async fn p2_a_full_disk_is_an_error_and_the_store_recovers() {
    let store = testing::fresh_sqlite().await;
    let account = store.owner("ann").await.account;
    store.append(with_payload(account, "before")).await.unwrap();
    store.fill_disk(Some(20)).await.unwrap();
    let (mut written, mut refused) = (0, 0);
    for _ in 0..10 {
        for done in join_all((0..8).map(|_| store.append(with_payload(account, &"x".repeat(4000))))).await {
            match done {
                Ok(_) => written += 1,
                Err(Error::Full) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(refused > 0);
    let work = store.write(account, move |tx| {
        Box::pin(async move { tx.insert_server(&crate::server(&"s".repeat(20_000), tx.now())).await })
    });
    assert!(matches!(work.await, Err(Error::Full)));

    store.fill_disk(None).await.unwrap();
    store.append(with_payload(account, "after")).await.unwrap();
    let report = store.account(account).verify_journal().await.unwrap();
    assert!(report.ok, "{report:?}");
    // What began the account, then exactly what was acknowledged.
    assert_eq!(report.payloads, written + 2);
}

each_store! {
    async fn too_much_at_once_is_refused_not_hoarded(store) {
        let account = store.owner("ann").await.account;
        let block = store.write(account, |_| Box::pin(async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Ok(())
        }));
        let flood = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            join_all((0..10_000).map(|_| store.append(entry(account, EntryKind::CallRefused, None)))).await
        };
        let (blocked, flooded) = tokio::join!(block, flood);
        blocked.unwrap();
        let busy = flooded.iter().filter(|done| matches!(done, Err(Error::Busy))).count();
        let written = flooded.iter().filter(|done| done.is_ok()).count();
        assert!(busy > 0 && written > 1000, "{busy} refused, {written} written");
        assert_eq!(busy + written, 10_000);
        let report = store.account(account).verify_journal().await.unwrap();
        assert!(report.ok && report.records >= written as u64);
    }

    async fn after_closing_everything_is_refused_and_nothing_lost(store) {
        let account = store.owner("ann").await.account;
        let appends = join_all((0..100).map(|_| store.append(entry(account, EntryKind::CallRefused, None)))).await;
        assert!(appends.iter().all(Result::is_ok));
        store.close().await;
        assert!(matches!(store.append(entry(account, EntryKind::CallRefused, None)).await, Err(Error::Closed)));
        let store = store.reopen().await;
        let report = store.account(account).verify_journal().await.unwrap();
        assert!(report.ok && report.records >= 100 && report.unsealed == 0, "{report:?}");
    }
}

#[tokio::test]
async fn p2_a_lost_connection_is_an_error_and_the_store_recovers() {
    let Some(store) = testing::fresh_postgres().await else { return };
    let account = store.owner("ann").await.account;
    store.append(with_payload(account, "before")).await.unwrap();
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                WHERE datname = current_database() AND pid <> pg_backend_pid()";
    store.tamper(kill).await.unwrap();
    let mut failures = 0;
    while store.append(with_payload(account, "after")).await.is_err() {
        failures += 1;
        assert!(failures < 50, "the store does not recover");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(failures > 0);
    let report = store.account(account).verify_journal().await.unwrap();
    assert!(report.ok, "{report:?}");
}
