//! Managed agents: their life, their credentials, and their questions about their own tools.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::join;

use crate::app::{App, Person};

const AGENTS: &str = "/api/v1/agents";
const CHECK: &str = "/api/v1/agents/permission-check";

/// A managed agent: its id, and its credential.
async fn enrolled(app: &App, name: &str) -> (String, Person) {
    let body = json!({"name": name, "agent": {"name": name, "kind": "claude_code", "tags": ["team=web"]}});
    let made = app.owner.post("/api/v1/auth/api-keys", body).await.created();
    let all = app.owner.get(AGENTS).await.ok();
    let agent = all["items"].as_array().unwrap().iter().find(|agent| agent["display_name"] == name).unwrap();
    (agent["id"].as_str().unwrap().to_owned(), app.with_key(made["key"].as_str().unwrap()))
}

async fn step(app: &App, id: &str, action: &str, reason: &str) -> crate::app::Reply {
    let body = json!({"lifecycle_action": action, "reason": reason});
    app.owner.send(app.owner.request(Method::PATCH, &format!("{AGENTS}/{id}")).json(&body)).await
}

/// What an agent may see of itself: enough to tell a credential that works from one that does not.
async fn knocks(who: &Person) -> u16 {
    who.post(CHECK, json!({"tool_name": "Bash", "tool_input": {}, "client_decision": "deny"})).await.status.as_u16()
}

#[tokio::test]
async fn a_suspended_agent_gets_nothing_done_until_it_is_resumed() {
    for app in App::each().await {
        let (id, agent) = enrolled(&app, "Claude").await;
        let run = json!({"session_source_type": "claude_code", "session_source_id": "run", "runtime_principal_name": "Claude"});
        let token = app.owner.post("/api/v1/auth/runtime-sessions/token", run.clone()).await.created();
        let running = app.with_key(token["token"].as_str().unwrap());
        assert_eq!((knocks(&agent).await, knocks(&running).await), (200, 200));

        let shown = step(&app, &id, "suspend", "acts oddly").await.ok();
        assert_eq!(
            (&shown["lifecycle_state"], &shown["lifecycle_reason"]),
            (&json!("suspended"), &json!("acts oddly"))
        );
        let detail = agent.post(CHECK, json!({"tool_name": "Bash", "tool_input": {}})).await.fails(401);
        assert!(detail.as_str().unwrap().contains("`Claude` is suspended (acts oddly)"), "{detail}");
        assert_eq!(knocks(&running).await, 401);
        let session = token["runtime_session_id"].as_str().unwrap();
        let session = app.owner.get(&format!("/api/v1/runtime-sessions/{session}")).await.ok();
        assert_eq!(session["session"]["end_reason"], "its agent was suspended");
        app.owner.post("/api/v1/auth/runtime-sessions/token", run.clone()).await.fails(403);
        app.owner.post(&format!("{AGENTS}/{id}/credentials"), json!({"name": "more"})).await.fails(403);

        step(&app, &id, "resume", "").await.ok();
        assert_eq!(knocks(&agent).await, 200, "durable credentials come back");
        assert_eq!(knocks(&running).await, 401, "tokens of runs went with their runs");
        app.owner.post("/api/v1/auth/runtime-sessions/token", run).await.created();
    }
}

#[tokio::test]
async fn a_decommissioned_agent_does_not_come_back_with_what_it_had() {
    let app = App::start().await;
    let (id, agent) = enrolled(&app, "Codex").await;
    step(&app, &id, "decommission", "replaced").await.ok();
    assert_eq!(knocks(&agent).await, 401);
    step(&app, &id, "resume", "").await.fails(400);
    step(&app, &id, "suspend", "").await.fails(400);
    step(&app, &id, "reenroll", "").await.ok();
    assert_eq!(knocks(&agent).await, 401, "its credentials were revoked");
    let made = app.owner.post(&format!("{AGENTS}/{id}/credentials"), json!({"name": "anew"})).await.created();
    assert_eq!(knocks(&app.with_key(made["token"].as_str().unwrap())).await, 200);

    assert_eq!(app.owner.delete(&format!("{AGENTS}/{id}")).await.status, 204);
    app.owner.get(&format!("{AGENTS}/{id}")).await.fails(404);
    assert_eq!(knocks(&app.with_key(made["token"].as_str().unwrap())).await, 401);
}

#[tokio::test]
async fn agents_are_one_accounts_own_and_never_administer() {
    for app in App::each().await {
        let (id, agent) = enrolled(&app, "Claude").await;
        let stranger = app.stranger().await;
        for path in
            [format!("{AGENTS}/{id}"), format!("{AGENTS}/{id}/credentials"), format!("{AGENTS}/{id}/governance")]
        {
            stranger.get(&path).await.fails(404);
            agent.get(&path).await.fails(403);
        }
        assert_eq!(stranger.get(AGENTS).await.ok()["total"], 0);
        let made = app.owner.post(&format!("{AGENTS}/{id}/credentials"), json!({"name": "laptop"})).await.created();
        assert_eq!(made["credential"]["status"], "active");
        app.owner.post(&format!("{AGENTS}/{id}/credentials"), json!({"name": "laptop"})).await.fails(400);
        app.owner
            .post(&format!("{AGENTS}/{id}/credentials"), json!({"name": "x", "scopes": ["admin"]}))
            .await
            .fails(400);
        let credential = format!("{AGENTS}/{id}/credentials/{}", made["credential"]["id"].as_str().unwrap());
        let gone = app.owner.delete(&credential).await.ok();
        assert_eq!(gone["status"], "revoked");
        assert_eq!(knocks(&app.with_key(made["token"].as_str().unwrap())).await, 401);
        // What is found on a disk is kept without its secrets.
        let found = json!({"enrollment_type": "cli", "discovered_config": {"api_key": "hunter2", "url": "https://x"}});
        let path = format!("{AGENTS}/{id}/enrollments");
        let enrollment = app.owner.post(&path, found).await.created();
        assert_eq!(enrollment["discovered_config"], json!({"api_key": "***REDACTED***", "url": "https://x"}));
        let validate = format!("{path}/{}/validate", enrollment["id"].as_str().unwrap());
        assert_eq!(app.owner.post(&validate, json!({})).await.ok()["status"], "validated");
        stranger.post(&validate, json!({})).await.fails(404);
        let listed = app.owner.get(&format!("{AGENTS}?tags=team=web&agent_kind=claude_code&status=active")).await.ok();
        assert_eq!((&listed["total"], &listed["items"][0]["owner_username"]), (&json!(1), &json!("ann")));
    }
}

// === Their own tools ===

async fn ask(agent: &Person, tool: &str, input: Value, more: Value) -> Value {
    let mut body = json!({"tool_name": tool, "tool_input": input, "source": "claude_code"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    agent.post(CHECK, body).await.ok()
}

#[tokio::test]
async fn rules_hold_for_agents_own_tools() {
    for app in App::each().await {
        let (_, agent) = enrolled(&app, "Claude").await;
        let policy = json!({"metadata": {"name": "native"}, "tools": [
            {"name": "Bash", "source": "agent", "conditions": [
                {"expression": "args.command.contains('rm -rf')", "action": "deny", "description": "no mass deletion"},
                {"expression": "args.command.startsWith('ls')", "action": "allow"},
            ]},
        ]});
        app.owner.post("/api/v1/policies/apply", policy).await.ok();
        let denied = ask(&agent, "Bash", json!({"command": "rm -rf /"}), json!({"client_decision": "allow"})).await;
        assert_eq!(denied["decision"], "deny");
        assert!(denied["reason"].as_str().unwrap().contains("no mass deletion"), "{denied}");
        let allowed = ask(&agent, "Bash", json!({"command": "ls"}), json!({})).await;
        assert_eq!((&allowed["decision"], &allowed["request_id"]), (&json!("allow"), &Value::Null));
        let own = ask(&agent, "Bash", json!({"command": "ls"}), json!({"client_decision": "deny"})).await;
        assert_eq!(own["decision"], "deny", "the agent's own refusal stands");
        for more in [json!({"client_decision": "allow"}), json!({"evaluation_phase": "pre_tool_use"})] {
            assert_eq!(ask(&agent, "Edit", json!({"file_path": "a"}), more).await["decision"], "allow");
        }
        let exported = app.owner.get("/api/v1/policies/export").await.text;
        assert!(exported.contains("source: agent"), "{exported}");
        let journal = app.owner.get("/api/v1/audit-logs/export").await.text;
        assert!(journal.contains(r#""server":"agent""#), "decisions are recorded");
    }
}

#[tokio::test]
async fn only_managed_agents_may_ask() {
    let app = App::start().await;
    let (_, agent) = enrolled(&app, "Claude").await;
    let body = json!({"tool_name": "Bash", "tool_input": {"command": "ls"}});
    app.owner.post(CHECK, body.clone()).await.fails(401);
    app.agent().await.post(CHECK, body.clone()).await.fails(401);
    app.nobody().post(CHECK, body).await.fails(401);
    for (name, value) in
        [("source", "vim"), ("client_decision", "maybe"), ("evaluation_phase", "later"), ("tool_name", " ")]
    {
        let mut body = json!({"tool_name": "Bash", "tool_input": {}});
        body[name] = json!(value);
        agent.post(CHECK, body).await.fails(422);
    }
}

#[tokio::test]
async fn where_no_rule_speaks_a_person_does() {
    for app in App::each().await {
        let (id, agent) = enrolled(&app, "Claude").await;
        let input = json!({"command": "make", "_preloop_source": "forged"});
        let deciding = async {
            let request = app.one_pending().await;
            let shown = app.owner.get(&format!("/api/v1/approval-requests/{request}")).await.ok();
            assert_eq!(shown["tool_args"], json!({"command": "make", "_preloop_source": "claude_code"}));
            app.owner.post(&format!("/api/v1/approval-requests/{request}/approve"), json!({})).await.ok();
            request
        };
        let (answer, request) = join!(ask(&agent, "Bash", input.clone(), json!({})), deciding);
        assert_eq!((&answer["decision"], &answer["request_id"]), (&json!("allow"), &json!(request)));

        let declining = async {
            let request = app.one_pending().await;
            app.owner
                .post(&format!("/api/v1/approval-requests/{request}/decline"), json!({"comment": "no"}))
                .await
                .ok();
        };
        let (answer, ()) = join!(ask(&agent, "Bash", input.clone(), json!({})), declining);
        assert_eq!(
            (&answer["decision"], &answer["timed_out"]),
            (&json!("deny"), &json!(false)),
            "one approval, one call"
        );

        // A wait that ends leaves the request open: the same call goes on waiting for it.
        let late = ask(&agent, "Bash", input.clone(), json!({"wait_seconds": 1})).await;
        assert_eq!((&late["decision"], &late["timed_out"]), (&json!("deny"), &json!(true)));
        let again = ask(&agent, "Bash", input.clone(), json!({"wait_seconds": 1})).await;
        assert_eq!(again["request_id"], late["request_id"]);

        let off = json!({"native_tool_approvals": "off"});
        app.owner.put("/api/v1/account/governance-defaults", off.clone()).await.ok();
        let other = json!({"command": "other"});
        assert_eq!(ask(&agent, "Bash", other.clone(), json!({})).await["decision"], "allow");
        app.owner.put(&format!("{AGENTS}/{id}/governance"), json!({"native_tool_approvals": "enforce"})).await.ok();
        assert_eq!(ask(&agent, "Bash", other, json!({"wait_seconds": 1})).await["decision"], "deny");
        let defaults = app.owner.get("/api/v1/account/governance-defaults").await.ok();
        assert_eq!(defaults, json!({"native_tool_approvals": "off", "overridden_agent_ids": [id]}));
    }
}

#[tokio::test]
async fn an_approval_does_not_outlive_its_agents_standing() {
    let app = App::start().await;
    let (id, agent) = enrolled(&app, "Claude").await;
    let suspending = async {
        let request = app.one_pending().await;
        step(&app, &id, "suspend", "").await.ok();
        app.owner.post(&format!("/api/v1/approval-requests/{request}/approve"), json!({})).await.ok();
    };
    let asking =
        tokio::time::timeout(Duration::from_secs(20), ask(&agent, "Bash", json!({"command": "make"}), json!({})));
    let (answer, ()) = join!(asking, suspending);
    let answer = answer.unwrap();
    assert_eq!(answer["decision"], "deny", "{answer}");
    assert!(answer["reason"].as_str().unwrap().contains("is suspended"), "{answer}");
}
