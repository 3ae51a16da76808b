//! P1: what was acknowledged is there after SIGKILL, the chain is whole, and open calls say `unknown`.

use std::{
    collections::HashSet,
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use preloop_store::{Order, RecordFilter, Store, each_store, testing};
use preloop_types::{AccountId, CallId, EntryKind, WriterId};
use uuid::Uuid;

use crate::{entry, with_payload};

each_store! {
    async fn p1_sigkill_loses_nothing_that_was_acknowledged(store) {
        let account = store.owner("ann").await.account;
        store.close().await;
        let writer = WriterId(Uuid::now_v7());
        let (url, mut acknowledged) = (store.url().to_owned(), HashSet::new());
        for round in 0..3_u64 {
            let (from, url) = (url.clone(), url.clone());
            let kill_after = Duration::from_millis(150 + 130 * round);
            let acks = tokio::task::spawn_blocking(move || run_child(&from, writer, account, kill_after)).await.unwrap();
            assert!(!acks.is_empty(), "the child wrote nothing");
            acknowledged.extend(acks);

            let reopened = loop {
                match Store::open(testing::options(&url, writer)).await {
                    Err(preloop_store::Error::InUse(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                    opened => break opened.unwrap(),
                }
            };
            let view = reopened.account(account);
            let report = view.verify_journal().await.unwrap();
            assert!(report.ok, "{report:?}");
            let give_up = Instant::now() + Duration::from_secs(20);
            loop {
                let (intents, outcomes) = calls(&reopened, account).await;
                assert!(acknowledged.is_subset(&intents), "an acknowledged record is missing");
                if outcomes.is_superset(&intents) {
                    break;
                }
                assert!(Instant::now() < give_up, "open calls are not settled");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            reopened.close().await;
        }
    }
}

async fn calls(store: &Store, account: AccountId) -> (HashSet<CallId>, HashSet<CallId>) {
    let (mut intents, mut outcomes) = (HashSet::new(), HashSet::new());
    let mut filter = RecordFilter { order: Order::OldestFirst, limit: 1000, ..Default::default() };
    loop {
        let page = store.account(account).records(filter.clone()).await.unwrap();
        let Some(last) = page.last() else { return (intents, outcomes) };
        filter.after = Some(last.cursor());
        for record in page {
            match record.kind {
                EntryKind::CallIntent => intents.extend(record.call),
                EntryKind::CallOutcome => outcomes.extend(record.call),
                _ => {}
            }
        }
    }
}

/// Runs `child` below in a process of its own and kills it; the calls it said were durable.
fn run_child(url: &str, writer: WriterId, account: AccountId, kill_after: Duration) -> Vec<CallId> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .env("CRASH_URL", url)
        .env("CRASH_WRITER", writer.to_string())
        .env("CRASH_ACCOUNT", account.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let ack = |line: &str| line.strip_prefix("ack ").and_then(|id| id.parse().ok());
    // Killed so long after it began to write, not to start.
    let mut acks: Vec<CallId> = lines.by_ref().map_while(Result::ok).filter_map(|line| ack(&line)).take(1).collect();
    let killer = std::thread::spawn(move || {
        std::thread::sleep(kill_after);
        child.kill().unwrap();
        child.wait().unwrap();
    });
    // A last line may be cut in the middle; it is no acknowledgement then.
    acks.extend(lines.map_while(Result::ok).filter_map(|line| ack(&line)));
    killer.join().unwrap();
    acks
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by p1_sigkill_loses_nothing_that_was_acknowledged in a process of its own"]
async fn child() {
    let Ok(url) = std::env::var("CRASH_URL") else { return };
    let writer = std::env::var("CRASH_WRITER").unwrap().parse().unwrap();
    let account: AccountId = std::env::var("CRASH_ACCOUNT").unwrap().parse().unwrap();
    let store = Store::open(testing::options(&url, writer)).await.unwrap();
    let tasks = (0..16).map(|task| {
        let store = store.clone();
        tokio::spawn(async move {
            loop {
                let intent = with_payload(account, "arguments");
                let call = intent.call.unwrap();
                store.append(intent).await.unwrap();
                println!("ack {call}");
                if task % 2 == 0 {
                    store.append(entry(account, EntryKind::CallOutcome, Some(call))).await.unwrap();
                }
            }
        })
    });
    futures::future::join_all(tasks).await;
}
