//! How many records a second the journal takes, and what one costs, with 1, 16 and 64 appenders.
//!
//! `cargo run --release -p preloop-store --example journal_bench --features testing -- [sqlite:///file] [postgres://…]`
//! Without arguments: a fresh SQLite file and, where there is PostgreSQL, a throw-away cluster (which
//! does not sync the disk: give a URL to measure a real one).

#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::time::{Duration, Instant};

use preloop_store::{NewOwner, Store, testing};
use preloop_types::{AccountId, CallId, Entry, EntryKind, Subject, UserId, WriterId};
use serde_json::value::RawValue;
use uuid::Uuid;

const SECONDS: u64 = 3;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let urls: Vec<String> = std::env::args().skip(1).collect();
    if urls.is_empty() {
        let sqlite = testing::fresh_sqlite().await;
        measure("sqlite", &sqlite).await;
        if let Some(postgres) = testing::fresh_postgres().await {
            measure("postgres (no fsync)", &postgres).await;
        }
    }
    for url in urls {
        match Store::open(testing::options(&url, WriterId(Uuid::now_v7()))).await {
            Ok(store) => measure(&url, &store).await,
            Err(error) => eprintln!("{url}: {error}"),
        }
    }
}

async fn measure(name: &str, store: &Store) {
    let owner = NewOwner { username: Uuid::now_v7().to_string(), email: None, full_name: None, key: None };
    let Ok(owner) = store.create_account(owner).await else { return eprintln!("{name}: cannot make an account") };
    println!("{name}: records of 300 bytes with a payload of 700");
    for appenders in [1, 16, 64] {
        let (before, cpu, begun) = (store.journal_stats(), cpu_time(), Instant::now());
        let tasks: Vec<_> = (0..appenders).map(|_| tokio::spawn(append(store.clone(), owner.account))).collect();
        let mut waits: Vec<Duration> = Vec::new();
        for task in tasks {
            waits.extend(task.await.unwrap_or_default());
        }
        let (elapsed, cpu) = (begun.elapsed(), cpu_time().saturating_sub(cpu));
        let after = store.journal_stats();
        let (commits, records) = (after.commits - before.commits, (after.records - before.records).max(1));
        waits.sort_unstable();
        let wait = |part: usize| waits.get(waits.len() * part / 1000).copied().unwrap_or_default();
        let per_second = records as f64 / elapsed.as_secs_f64();
        println!(
            "  {appenders:>2} appenders: {per_second:>8.0} records/s, {:>5.1} records/commit, {:>5.1} us CPU/record, \
             wait p50 {:.2?} p99 {:.2?} p99.9 {:.2?}",
            records as f64 / commits.max(1) as f64,
            cpu.as_secs_f64() * 1e6 / records as f64,
            wait(500),
            wait(990),
            wait(999),
        );
    }
}

async fn append(store: Store, account: AccountId) -> Vec<Duration> {
    let end = Instant::now() + Duration::from_secs(SECONDS);
    let body =
        format!(r#"{{"tool":"pay","args_hash":"{}","decision":"allow","text":"{}"}}"#, "0".repeat(64), "x".repeat(170));
    let mut waits = Vec::new();
    let subject = Subject { user: Some(UserId(Uuid::now_v7())), ..Subject::default() };
    while Instant::now() < end {
        let call = CallId(Uuid::now_v7());
        for kind in [EntryKind::CallIntent, EntryKind::CallOutcome] {
            let Ok(body) = RawValue::from_string(body.clone()) else { return waits };
            let payload = Some(vec![b'x'; 700]);
            let begun = Instant::now();
            if let Err(error) = store.append(Entry { account, kind, call: Some(call), subject, body, payload }).await {
                eprintln!("{error}");
                return waits;
            }
            waits.push(begun.elapsed());
        }
    }
    waits
}

/// User and system time of this process so far; zero where there is no `/proc`.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks: u64 = fields.get(11..13).unwrap_or_default().iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}
