//! A call that a human decides about.

use std::time::Duration;

use preloop_bench::mock::{Mock, Options};
use preloop_e2e::{App, Era, eventually};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::join;

/// `pay` above 5 needs a human, who has `timeout` seconds; with `asynchronous` the agent polls.
pub(crate) fn ask_for_pay(timeout: u32, asynchronous: bool) -> String {
    format!(
        r#"
version: "1.0"
metadata: {{ name: pay-with-care }}
approval_workflows:
  - {{ name: people, timeout_seconds: {timeout}, async_approval: {asynchronous} }}
tools:
  - name: pay
    source: bank
    approval_workflow: people
    conditions:
      - {{ expression: "args.amount > 5", action: require_approval, condition_type: cel }}
"#
    )
}

/// A server with the mock `bank` behind it, and that policy.
pub(crate) async fn bank(timeout: u32, asynchronous: bool) -> (App, Mock) {
    let app = App::start().await;
    let mock = Mock::start(Options::default()).await.unwrap();
    app.add_mock("bank", &mock).await;
    app.owner().apply(&ask_for_pay(timeout, asynchronous)).await;
    (app, mock)
}

#[tokio::test]
async fn a_small_payment_goes_through_and_a_large_one_waits_for_a_human() {
    let (app, mock) = bank(300, false).await;
    let owner = app.owner();
    for era in Era::ALL {
        let agent = app.agent(era).await;
        let id = era.version();
        let small = agent.call("pay", json!({ "id": "small", "amount": 5 })).await;
        assert!(!small.is_error(), "{small:#?}");

        let (answer, ()) = join!(agent.call("pay", json!({ "id": id, "amount": 6 })), async {
            let request = owner.one_pending().await;
            assert_eq!(mock.count(id), 0, "nothing reaches the bank while a human decides");
            owner.approve(&request).await;
        });

        assert!(!answer.is_error(), "{answer:#?}");
        assert_eq!(answer.result()["structuredContent"]["echo"]["amount"], 6);
        assert_eq!(mock.count(id), 1);
    }
}

#[tokio::test]
async fn a_declined_call_never_happens_and_the_agent_hears_why() {
    let (app, mock) = bank(300, false).await;
    let owner = app.owner();
    for era in Era::ALL {
        let agent = app.agent(era).await;
        let (answer, ()) = join!(agent.call("pay", json!({ "amount": 100 })), async {
            let request = owner.one_pending().await;
            owner.decline(&request, "not during the freeze").await;
        });
        assert!(answer.is_error(), "{answer:#?}");
        assert_eq!(answer.verdict(), "declined", "{answer:#?}");
        assert!(answer.text().contains("not during the freeze"), "{answer:#?}");
    }
    assert!(mock.calls().is_empty());
}

#[tokio::test]
async fn a_call_nobody_decides_about_expires() {
    let (app, mock) = bank(30, false).await;
    let agent = app.agent(Era::Legacy).await;

    let answer = agent.call("pay", json!({ "amount": 100 })).await;

    assert!(answer.is_error(), "{answer:#?}");
    assert_eq!(answer.verdict(), "expired", "{answer:#?}");
    assert!(mock.calls().is_empty());
    let (status, _) = app.owner().decide(&all_requests(&app).await[0], "approve", "too late").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_asynchronous_call_answers_at_once_and_is_polled() {
    let (app, mock) = bank(300, true).await;
    let owner = app.owner();
    for era in Era::ALL {
        let agent = app.agent(era).await;
        let id = era.version();
        let pending = agent.call("pay", json!({ "id": id, "amount": 7 })).await;
        assert!(!pending.is_error(), "{pending:#?}");
        assert_eq!(pending.verdict(), "pending_approval", "{pending:#?}");
        let facts = &pending.result()["structuredContent"];
        let request = facts["request_id"].as_str().unwrap().to_owned();
        assert!(!pending.response.to_string().contains("token="), "an agent must not be able to approve itself");
        assert_eq!(poll(&agent, &request).await["status"], "pending");

        owner.approve(&request).await;
        let done = eventually("the result", || async {
            Some(poll(&agent, &request).await).filter(|status| !status["tool_result"].is_null())
        });
        let done = done.await;

        assert_eq!(done["status"], "approved", "{done:#}");
        assert_eq!(done["tool_result"]["structuredContent"]["echo"]["amount"], 7, "{done:#}");
        assert_eq!(poll(&agent, &request).await["tool_result"], done["tool_result"]);
        assert_eq!(mock.count(id), 1);

        let stranger = app.agent(era).await;
        let peek = stranger.call("get_approval_status", json!({ "request_id": request })).await;
        assert!(!peek.response.to_string().contains("\"amount\""), "another agent sees nothing: {peek:#?}");
    }
}

#[tokio::test]
async fn fifty_polls_at_once_carry_an_approved_call_out_once() {
    let (app, mock) = bank(300, true).await;
    let agent = app.agent(Era::Modern).await;
    let pending = agent.call("pay", json!({ "id": "once", "amount": 7 })).await;
    let request = pending.result()["structuredContent"]["request_id"].as_str().unwrap().to_owned();
    app.owner().approve(&request).await;

    let agent = std::sync::Arc::new(agent);
    let mut polls = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (agent, request) = (agent.clone(), request.clone());
        polls.spawn(async move { poll(&agent, &request).await });
    }
    polls.join_all().await;

    let done = eventually("the result", || async {
        Some(poll(&agent, &request).await).filter(|status| !status["tool_result"].is_null())
    });
    done.await;
    assert_eq!(mock.count("once"), 1);
}

#[tokio::test]
async fn two_tabs_that_decide_at_once_make_one_decision() {
    let (app, mock) = bank(300, false).await;
    let owner = app.owner();
    for (id, other) in [("both-approve", "approve"), ("one-declines", "decline")] {
        let agent = app.agent(Era::Legacy).await;
        let (answer, (mine, theirs)) = join!(agent.call("pay", json!({ "id": id, "amount": 8 })), async {
            let request = owner.one_pending().await;
            join!(owner.decide(&request, "approve", "from this tab"), owner.decide(&request, other, "from that tab"))
        });
        let (mine, theirs) = (mine.0.is_success(), theirs.0.is_success());
        // Saying the same twice is no error; of two that contradict each other one is told so.
        assert_eq!((mine, theirs), if other == "approve" { (true, true) } else { (mine, !mine) });
        assert_eq!(!answer.is_error(), mine, "{answer:#?}");
        assert_eq!(mock.count(id), usize::from(mine));
    }
}

#[tokio::test]
async fn an_approval_after_a_restart_still_carries_the_call_out() {
    let (mut app, mock) = bank(300, true).await;
    let agent = app.agent(Era::Legacy).await;
    let pending = agent.call("pay", json!({ "id": "later", "amount": 9 })).await;
    let request = pending.result()["structuredContent"]["request_id"].as_str().unwrap().to_owned();

    app.restart().await;
    app.owner().approve(&request).await;

    let done = eventually("the result", || async {
        Some(poll(&agent, &request).await).filter(|status| !status["tool_result"].is_null())
    });
    assert_eq!(done.await["tool_result"]["structuredContent"]["echo"]["amount"], 9);
    assert_eq!(mock.count("later"), 1);
}

#[tokio::test]
async fn the_agent_hears_that_a_human_is_deciding() {
    let (app, _mock) = bank(300, false).await;
    let owner = app.owner();
    let agent = app.agent(Era::Legacy).await;
    let params = json!({ "name": "pay", "arguments": { "amount": 6 }, "_meta": { "progressToken": "p-1" } });
    let (answer, ()) = join!(agent.request("tools/call", params), async {
        let request = owner.one_pending().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        owner.approve(&request).await;
    });
    let progress: Vec<&Value> =
        answer.notifications.iter().filter(|note| note["method"] == "notifications/progress").collect();
    assert!(!progress.is_empty(), "{answer:#?}");
    let steps: Vec<f64> = progress.iter().filter_map(|note| note["params"]["progress"].as_f64()).collect();
    assert!(steps.windows(2).all(|pair| pair[0] < pair[1]), "progress only ever grows: {steps:?}");
    assert!(progress.iter().all(|note| note["params"]["progressToken"] == "p-1"));
}

/// Asks for the state of a request, as an agent does.
pub(crate) async fn poll(agent: &preloop_e2e::Agent, request: &str) -> Value {
    let answer = agent.call("get_approval_status", json!({ "request_id": request })).await;
    answer.result()["structuredContent"].clone()
}

/// The ids of all requests, newest first.
pub(crate) async fn all_requests(app: &App) -> Vec<String> {
    let requests = app.owner().get("/api/v1/approval-requests").await;
    requests.as_array().unwrap().iter().map(|request| request["id"].as_str().unwrap().to_owned()).collect()
}
