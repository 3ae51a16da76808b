//! SIGKILL at random points. What an upstream saw is on record (P1), an approved call runs at most
//! once (P3), and the journal still proves itself (P10).

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use preloop_bench::mock::{Mock, Options};
use preloop_e2e::{App, Era, eventually};
use serde_json::{Value, json};

use crate::approvals::{all_requests, bank, poll};

const PATIENCE: Duration = Duration::from_secs(5);

#[tokio::test]
async fn after_sigkill_under_load_every_call_the_upstream_saw_is_on_record() {
    let mut app = App::start().await;
    let mock = Mock::start(Options::default()).await.unwrap();
    app.add_mock("bank", &mock).await;
    let next = Arc::new(AtomicU64::new(0));
    for round in 0..6 {
        let stop = Arc::new(AtomicBool::new(false));
        let mut agents = tokio::task::JoinSet::new();
        for n in 0..6 {
            let agent = app.agent(if n % 2 == 0 { Era::Legacy } else { Era::Modern }).await;
            let (next, stop) = (next.clone(), stop.clone());
            agents.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("call-{}", next.fetch_add(1, Ordering::Relaxed));
                    agent.call_within("echo", json!({ "id": id }), PATIENCE).await;
                }
            });
        }
        // Another moment every round: early ones fall into start-up, late ones into full load.
        tokio::time::sleep(Duration::from_millis(40 + 97 * round)).await;
        app.kill().await;
        stop.store(true, Ordering::Relaxed);
        agents.join_all().await;
        app.revive().await;
    }
    assert!(mock.calls().len() > 20, "the load was no load: {}", mock.calls().len());
    every_call_is_on_record(&app, &mock).await;
}

#[tokio::test]
async fn an_approved_call_runs_at_most_once_however_often_the_server_is_killed() {
    let (mut app, mock) = bank(300, true).await;
    let agent = app.agent(Era::Legacy).await;
    for round in 0..6_u64 {
        let id = format!("pay-{round}");
        let pending = agent.call("pay", json!({ "id": id, "amount": 50 })).await;
        let request = pending.result()["structuredContent"]["request_id"].as_str().unwrap().to_owned();
        let owner = app.owner();
        let approve = tokio::spawn({
            let request = request.clone();
            async move { tokio::time::timeout(PATIENCE, owner.try_decide(&request, "approve")).await }
        });
        // Between nothing and a few milliseconds: before, within and after claim and call.
        tokio::time::sleep(Duration::from_micros(1_500 * round)).await;
        app.kill().await;
        let _ = approve.await;
        app.revive().await;

        // Approved before the kill or not: a person approves again, and the agent asks again.
        app.owner().decide(&request, "approve", "again").await;
        eventually("an end", || async {
            let status = poll(&agent, &request).await;
            Some(()).filter(|()| !status["tool_result"].is_null() || !status["tool_execution_error"].is_null())
        })
        .await;
        agent.call_within("pay", json!({ "id": id, "amount": 50 }), PATIENCE).await;
        assert!(mock.count(&id) <= 1, "{id} ran {} times", mock.count(&id));
    }
    assert!(all_requests(&app).await.len() >= 6);
    every_call_is_on_record(&app, &mock).await;
}

/// Every call that reached `mock` has an intent in the journal, and the exported journal verifies.
pub(crate) async fn every_call_is_on_record(app: &App, mock: &Mock) {
    let export = app.owner().export().await;
    let recorded: HashSet<String> = export.lines().filter_map(intended).collect();
    let unrecorded: Vec<String> =
        mock.calls().into_iter().filter_map(|call| call.id).filter(|id| !recorded.contains(id)).collect();
    assert!(unrecorded.is_empty(), "calls without a record: {unrecorded:?}");

    let file = app.data_dir().join("export.jsonl");
    std::fs::write(&file, export).unwrap();
    let (verified, said) = app.command(&["audit", "verify", file.to_str().unwrap()]).await;
    assert!(verified, "{said}");
}

/// The argument `id` of the call that a line of an export intends, if it does.
fn intended(line: &str) -> Option<String> {
    let line: Value = serde_json::from_str(line).unwrap();
    if line["kind"] != "call.intent" {
        return None;
    }
    let payload = STANDARD.decode(line["payload"].as_str()?).unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    payload["arguments"]["id"].as_str().map(str::to_owned)
}
