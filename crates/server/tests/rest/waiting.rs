//! Ways to wait for a person that a client must know of: a question at the client, and tasks.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::join;

use crate::{agent::Agent, app::App};

/// A server whose tool `pay` needs a person, who may be asked at the agent's own client.
async fn bank(elicitation: bool) -> App {
    let app = App::start().await;
    app.add_mock().await;
    let channels = if elicitation { json!({"elicitation": true}) } else { json!({}) };
    let policy = json!({
        "metadata": {"name": "payments"},
        "approval_workflows": [{"name": "people", "channel_configs": channels}],
        "tools": [{"name": "pay", "source": "mock", "approval_workflow": "people",
            "conditions": [{"action": "require_approval"}]}],
    });
    app.owner.post("/api/v1/policies/apply", policy).await.ok();
    app
}

async fn decide(app: &App, id: &str, how: &str) -> u16 {
    let path = format!("/api/v1/approval-requests/{id}/{how}");
    app.owner.post(&path, json!({"approved": how == "approve", "comment": "by REST"})).await.status.as_u16()
}

// === at the client ===

fn answer(content: &Value) -> Value {
    json!({"preloop_approval": {"action": "accept", "content": content}})
}

/// What the client is asked, and the state it must bring back.
async fn asked(agent: &Agent, arguments: &Value) -> (Value, String) {
    let mut result = agent.call("pay", arguments.clone(), &json!({"elicitation": {}})).await;
    assert_eq!(result["resultType"], "input_required", "{result:#}");
    let state = result["requestState"].as_str().unwrap().to_owned();
    (result["inputRequests"]["preloop_approval"].take(), state)
}

async fn answered(agent: &Agent, arguments: &Value, state: &str, responses: Value) -> Value {
    let params = json!({"name": "pay", "arguments": arguments, "requestState": state, "inputResponses": responses});
    agent.modern("tools/call", params, &json!({"elicitation": {}})).await["result"].take()
}

#[tokio::test]
async fn the_owner_approves_at_the_client() {
    let app = bank(true).await;
    let agent = Agent::of(&app).await;
    let arguments = json!({"id": "one", "amount": 9, "password": "hunter2"});

    let (question, state) = asked(&agent, &arguments).await;
    assert_eq!(question["method"], "elicitation/create");
    let message = question["params"]["message"].as_str().unwrap();
    assert!(message.contains("`pay`") && message.contains('9'), "{message}");
    assert!(!message.contains("hunter2"), "secrets are not shown: {message}");
    assert_eq!(app.mock.count("one"), 0, "nothing happens while the question is open");

    let result = answered(&agent, &arguments, &state, answer(&json!({"decision": "approve"}))).await;
    assert_eq!(result["structuredContent"]["echo"]["amount"], 9, "{result:#}");
    assert_eq!(app.mock.count("one"), 1);

    let voted = app.owner.get("/api/v1/audit-logs?action=approval.voted").await.ok();
    assert!(voted.to_string().contains("elicitation"), "the record says how it was decided: {voted:#}");
}

#[tokio::test]
async fn the_owner_declines_at_the_client_of_the_legacy_era() {
    let app = bank(true).await;
    let agent = Agent::of(&app).await;
    let session = agent.session(json!({"elicitation": {}})).await;
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "pay", "arguments": {"id": "one", "amount": 9}}});

    let mut messages = session.send(&call).await;
    let question = messages.next().await;
    assert_eq!(question["method"], "elicitation/create", "{question:#}");
    let content = json!({"decision": "decline", "comment": "not today"});
    let reply = json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept", "content": content}});
    session.send(&reply).await;

    let result = messages.response().await["result"].take();
    assert_eq!(result["structuredContent"]["status"], "declined", "{result:#}");
    assert!(result["content"][0]["text"].as_str().unwrap().contains("not today"), "{result:#}");
    assert_eq!(app.mock.count("one"), 0);
}

#[tokio::test]
async fn a_dismissed_question_leaves_the_decision_to_others() {
    let app = bank(true).await;
    let agent = Agent::of(&app).await;
    let arguments = json!({"id": "one", "amount": 9});
    let (_, state) = asked(&agent, &arguments).await;

    let dismissed = json!({"preloop_approval": {"action": "cancel"}});
    let (result, ()) = join!(answered(&agent, &arguments, &state, dismissed), async {
        let id = app.one_pending().await;
        assert_eq!(decide(&app, &id, "approve").await, 200);
    });
    assert_eq!(result["structuredContent"]["echo"]["amount"], 9, "{result:#}");
    assert_eq!(app.mock.count("one"), 1);
}

#[tokio::test]
async fn nobody_is_asked_at_a_client_that_cannot_or_where_the_workflow_does_not_say_so() {
    for (elicitation, capabilities) in [(true, json!({})), (false, json!({"elicitation": {}}))] {
        let app = bank(elicitation).await;
        let agent = Agent::of(&app).await;
        let (result, ()) = join!(agent.call("pay", json!({"id": "one", "amount": 9}), &capabilities), async {
            let id = app.one_pending().await;
            assert_eq!(decide(&app, &id, "approve").await, 200);
        });
        assert_eq!(result["resultType"], "complete", "{result:#}");
        assert_eq!(app.mock.count("one"), 1);
    }
}

// === as a task ===

fn tasks() -> Value {
    json!({"extensions": {"io.modelcontextprotocol/tasks": {}}})
}

/// Calls `pay` as a task; the task's id.
async fn task(agent: &Agent, arguments: Value) -> String {
    let task = agent.call("pay", arguments, &tasks()).await;
    assert_eq!((&task["resultType"], &task["status"]), (&json!("task"), &json!("working")), "{task:#}");
    assert!(task["ttlMs"].as_u64().unwrap() > 300_000 && task["pollIntervalMs"].is_u64(), "{task:#}");
    assert!(!task.to_string().contains("token"), "an agent must not be able to approve itself: {task:#}");
    task["taskId"].as_str().unwrap().to_owned()
}

async fn get_task(agent: &Agent, id: &str) -> Value {
    agent.modern("tasks/get", json!({"taskId": id}), &tasks()).await
}

async fn ended(agent: &Agent, id: &str) -> Value {
    for _ in 0..500 {
        let task = get_task(agent, id).await["result"].clone();
        if task["status"] != "working" {
            return task;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the task never ended");
}

#[tokio::test]
async fn an_approved_task_completes_with_the_tools_result_once() {
    let app = bank(false).await;
    let agent = Agent::of(&app).await;
    let id = task(&agent, json!({"id": "one", "amount": 9})).await;
    assert_eq!(get_task(&agent, &id).await["result"]["status"], "working");
    assert_eq!(app.mock.count("one"), 0);

    assert_eq!(decide(&app, &app.one_pending().await, "approve").await, 200);
    let (done, again) = join!(ended(&agent, &id), ended(&agent, &id));
    assert_eq!(done["status"], "completed", "{done:#}");
    assert_eq!(done["result"]["structuredContent"]["echo"]["amount"], 9, "{done:#}");
    assert_eq!(done["result"], again["result"]);
    assert_eq!(app.mock.count("one"), 1);
}

#[tokio::test]
async fn a_declined_task_completes_with_an_error_result() {
    let app = bank(false).await;
    let agent = Agent::of(&app).await;
    let id = task(&agent, json!({"id": "one", "amount": 9})).await;
    assert_eq!(decide(&app, &app.one_pending().await, "decline").await, 200);
    let done = ended(&agent, &id).await;
    assert_eq!((&done["status"], &done["result"]["isError"]), (&json!("completed"), &json!(true)), "{done:#}");
    assert_eq!(done["result"]["structuredContent"]["status"], "declined", "{done:#}");
    assert_eq!(app.mock.count("one"), 0);
}

#[tokio::test]
async fn a_cancelled_task_can_no_longer_be_approved() {
    let app = bank(false).await;
    let agent = Agent::of(&app).await;
    let id = task(&agent, json!({"id": "one", "amount": 9})).await;
    let request = app.one_pending().await;
    agent.modern("tasks/cancel", json!({"taskId": id}), &tasks()).await;
    assert_eq!(get_task(&agent, &id).await["result"]["status"], "cancelled");
    assert_eq!(decide(&app, &request, "approve").await, 400);
    assert_eq!(app.mock.count("one"), 0);
}

#[tokio::test]
async fn a_task_is_its_agents_own_and_only_for_clients_that_know_tasks() {
    let app = bank(false).await;
    let agent = Agent::of(&app).await;
    let id = task(&agent, json!({"id": "one", "amount": 9})).await;

    let other = app.owner.post("/api/v1/auth/api-keys", json!({"name": "other"})).await.created();
    let other = Agent::with_key(&app, &app.with_key(other["key"].as_str().unwrap()));
    for method in ["tasks/get", "tasks/cancel", "tasks/update"] {
        let refused = other.modern(method, json!({"taskId": id}), &tasks()).await;
        assert_eq!(refused["error"]["code"], -32602, "{method}: {refused:#}");
    }
    assert_eq!(get_task(&agent, &id).await["result"]["status"], "working", "another's attempt changed nothing");

    let unknown = agent.modern("tasks/get", json!({"taskId": id}), &json!({})).await;
    assert_eq!(unknown["error"]["code"], -32601, "{unknown:#}");
}
