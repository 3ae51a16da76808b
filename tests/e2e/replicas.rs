//! Two servers on one PostgreSQL: what one decides the other knows, and nothing happens twice.

use std::sync::Arc;

use preloop_bench::mock::{Mock, Options};
use preloop_e2e::{App, Era, Setup, eventually, fresh_database};
use serde_json::json;
use tokio::join;

use crate::approvals::{ask_for_pay, poll};

/// Two servers that share a database and an instance key, with the mock `bank` behind them.
async fn pair(test: &str, asynchronous: bool) -> Option<(App, App, Mock)> {
    let database = fresh_database(test).await?;
    let env = [("DATABASE_URL", database), ("SECRET_KEY", "one key for both of them, 32 bytes or more".to_owned())];
    let setup = Setup { env: env.map(|(name, value)| (name.to_owned(), value)).to_vec(), ..Setup::default() };
    let one = App::start_with(setup.clone()).await;
    let two = App::start_with(setup).await;
    let mock = Mock::start(Options::default()).await.unwrap();
    one.add_mock("bank", &mock).await;
    one.owner().apply(&ask_for_pay(300, asynchronous)).await;
    Some((one, two, mock))
}

#[tokio::test]
async fn a_call_held_by_one_replica_is_approved_at_another() {
    let Some((one, two, mock)) = pair("a held call on two replicas", false).await else { return };
    let agent = one.agent(Era::Legacy).await;
    let owner = two.owner();
    let (answer, ()) = join!(agent.call("pay", json!({ "id": "held", "amount": 50 })), async {
        let request = owner.one_pending().await;
        owner.approve(&request).await;
    });
    assert!(!answer.is_error(), "{answer:#?}");
    assert_eq!(mock.count("held"), 1);
}

#[tokio::test]
async fn polls_at_two_replicas_carry_an_approved_call_out_once() {
    let Some((one, two, mock)) = pair("polls at two replicas", true).await else { return };
    let here = Arc::new(one.agent(Era::Modern).await);
    let there = Arc::new(here.at(format!("{}/mcp/v1", two.url())).await);
    for round in 0..5 {
        let id = format!("twice-{round}");
        let pending = here.call("pay", json!({ "id": id, "amount": 50 })).await;
        let request = pending.result()["structuredContent"]["request_id"].as_str().unwrap().to_owned();
        let (mine, theirs) = (one.owner(), two.owner());
        join!(mine.decide(&request, "approve", "here"), theirs.decide(&request, "approve", "there"));

        let mut polls = tokio::task::JoinSet::new();
        for n in 0..40 {
            let (agent, request) = (if n % 2 == 0 { here.clone() } else { there.clone() }, request.clone());
            polls.spawn(async move { poll(&agent, &request).await });
        }
        polls.join_all().await;
        eventually("the result", || async {
            Some(poll(&there, &request).await).filter(|status| !status["tool_result"].is_null())
        })
        .await;
        assert_eq!(mock.count(&id), 1);
    }
}

#[tokio::test]
async fn a_policy_applied_at_one_replica_binds_the_other_within_seconds() {
    let Some((one, two, mock)) = pair("a policy on two replicas", false).await else { return };
    let agent = two.agent(Era::Legacy).await;
    let agent = &agent;
    eventually("the tools of a server added elsewhere", || async move {
        Some(agent.call("echo", json!({})).await).filter(|answer| !answer.is_error())
    })
    .await;

    one.owner().apply("version: \"1.0\"\nmetadata: { name: stop }\ndefaults: { unknown_tools: deny }\n").await;

    eventually("a denial", || async move {
        Some(agent.call("echo", json!({ "id": "late" })).await).filter(preloop_e2e::Answer::is_error)
    })
    .await;
    let before = mock.count("late");
    assert!(agent.call("echo", json!({ "id": "late" })).await.is_error());
    assert_eq!(mock.count("late"), before);
}
