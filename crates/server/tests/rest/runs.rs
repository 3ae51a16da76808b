//! What an agent does over MCP is part of its run.

use preloop_types::{SessionId, Subject};
use serde_json::{Value, json};

use crate::{agent::Agent, app::App};

/// The runs that calls were recorded under, oldest first.
async fn runs(app: &App) -> Vec<Value> {
    let records = app.owner.get("/api/v1/audit-logs?action=call.intent&limit=50").await.ok();
    records.as_array().unwrap().iter().rev().map(|record| record["runtime_session_id"].clone()).collect()
}

#[tokio::test]
async fn calls_of_either_era_join_the_agents_run() {
    let app = App::start().await;
    app.add_mock().await;
    let (agent, other) =
        (Agent::of(&app).await, app.owner.post("/api/v1/auth/api-keys", json!({"name": "two"})).await.created());
    let other = Agent::with_key(&app, &app.with_key(other["key"].as_str().unwrap()));

    agent.call("echo", json!({}), &json!({})).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "echo", "arguments": {}}});
    for _ in 0..2 {
        // Two MCP sessions are two conversations of one run.
        agent.session(json!({})).await.send(&call).await.response().await;
    }
    other.call("echo", json!({}), &json!({})).await;
    agent.named_run("nightly-7").call("echo", json!({}), &json!({})).await;

    let runs = runs(&app).await;
    assert!(runs[0].is_string(), "{runs:?}");
    assert_eq!((&runs[0], &runs[0]), (&runs[1], &runs[2]), "{runs:?}");
    assert_ne!(runs[0], runs[3], "another credential is another run");
    assert_ne!(runs[0], runs[4], "the agent may name its runs");
}

#[tokio::test]
async fn a_run_that_was_ended_with_a_block_calls_nothing_more() {
    let app = App::start().await;
    app.add_mock().await;
    let agent = Agent::of(&app).await;
    agent.call("echo", json!({"id": "before"}), &json!({})).await;

    let (governor, run) = (app.server.governor(), runs(&app).await.remove(0));
    let (run, me): (SessionId, _) =
        (run.as_str().unwrap().parse().unwrap(), governor.identify(&app.owner.key).await.unwrap());
    assert!(governor.sessions().end(me.account, run, Subject::from(&*me), "went astray", true).await.unwrap());

    let refused = agent.call("echo", json!({"id": "after"}), &json!({})).await;
    assert_eq!(refused["isError"], true, "{refused:#}");
    assert_eq!(refused["structuredContent"]["status"], "agent_suspended", "{refused:#}");
    assert_eq!((app.mock.count("before"), app.mock.count("after")), (1, 0));
    let read = agent.modern("resources/read", json!({"uri": "x://y"}), &json!({})).await;
    assert!(read["error"].is_object(), "{read:#}");
}
