//! P4 over SIGKILL: a process that calls models as fast as it can is killed, again and again.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

use futures::future::join_all;
use preloop_store::{RecordFilter, Store, UsageFilter, each_store, testing};
use preloop_types::{BudgetId, BudgetUnit, EntryKind, WriterId};
use uuid::Uuid;

use crate::{
    desk::{CENT, Desk, cost, granted},
    house,
};

each_store! {
    async fn p4_sigkill_never_passes_the_limit_and_leaks_nothing(store) {
        let hard = 2_000 * CENT;
        let desk = Desk::new(store).await;
        let budget = desk.budget(BudgetUnit::Usd, Some(hard), None).await;
        desk.store.close().await;
        let writer = WriterId(Uuid::now_v7());
        for round in 0..2 {
            let url = desk.store.url().to_owned();
            tokio::task::spawn_blocking(move || run_child(&url, writer, Duration::from_millis(600 + 250 * round))).await.unwrap();
            let reopened = loop {
                match Store::open(testing::options(desk.store.url(), writer)).await {
                    Err(preloop_store::Error::InUse(_)) => tokio::time::sleep(Duration::from_millis(50)).await,
                    opened => break opened.unwrap(),
                }
            };
            let (settled, leased) = until_quiet(&reopened, &desk, budget).await;
            assert!(settled > 0, "the child spent nothing");
            assert!(settled <= hard && leased == 0, "{settled} settled and {leased} held of {hard}");
            let total = reopened.account(desk.account).usage_total(UsageFilter::default()).await.unwrap();
            assert_eq!(total.cost.0, settled, "the roll-ups and the budget disagree");
            reopened.close().await;
        }
    }
}

/// Until every intent has an outcome and nothing is held; how the budget stands then.
async fn until_quiet(store: &Store, desk: &Desk, budget: BudgetId) -> (i64, i64) {
    let rows = store.account(desk.account);
    let mut stands = (0, 0);
    for _ in 0..400 {
        let windows = rows.budget_windows(Some(budget), store.now()).await.unwrap();
        stands = windows.iter().fold((0, 0), |sum, window| (sum.0 + window.settled, sum.1 + window.leased));
        let records = |kind| {
            let filter = RecordFilter { kinds: vec![kind], limit: 1000, ..RecordFilter::default() };
            rows.records(filter)
        };
        let (intents, outcomes) = (records(EntryKind::ModelIntent).await, records(EntryKind::ModelOutcome).await);
        if stands.1 == 0 && intents.unwrap().len() <= outcomes.unwrap().len() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    stands
}

/// Runs `child` below in a process of its own and kills it.
fn run_child(url: &str, writer: WriterId, kill_after: Duration) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::child", "--ignored", "--nocapture"])
        .env("CRASH_URL", url)
        .env("CRASH_WRITER", writer.to_string())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(kill_after);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "run by the test above, which kills it"]
async fn child() {
    let Ok(url) = std::env::var("CRASH_URL") else { return };
    let writer = std::env::var("CRASH_WRITER").unwrap().parse().unwrap();
    let store = Store::open(testing::options(&url, writer)).await.unwrap();
    let governor = house::governor_over(&store);
    let agent = governor.identify("secret of agent").await.unwrap();
    let account = agent.account;
    let model = std::sync::Arc::new(store.account(account).models().await.unwrap().remove(0));
    let callers = (0..16_i64).map(|caller| {
        let (governor, agent, model) = (governor.clone(), agent.clone(), model.clone());
        async move {
            for step in 0.. {
                let call = crate::desk::call_of(governor.now(), &model, 10 * CENT);
                match granted(&governor, &agent, call).await {
                    Ok(permit) if step % 3 == 0 => drop(permit),
                    Ok(permit) => permit.settle(cost((caller + 1) * CENT / 8)),
                    Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        }
    });
    join_all(callers).await;
}
