//! The kill switch.

use preloop_types::Role;
use serde_json::{Value, json};

use crate::{agent::Agent, app::App};

const SWITCH: &str = "/api/v1/account/kill-switch";

async fn press(app: &App, what: &str, body: Value) -> Value {
    app.owner.post(&format!("{SWITCH}/{what}"), body).await.ok()
}

#[tokio::test]
async fn agents_are_halted_at_once_and_go_on_scope_by_scope() {
    for app in App::each().await {
        app.add_mock().await;
        let person = app.agent().await;
        let agent = Agent::with_key(&app, &person);
        let model = json!({"provider": "openai", "identifier": "gpt-x", "alias": "x", "api_key": "sk-x"});
        app.owner.post("/api/v1/ai-models", model).await.created();
        let pay = async || agent.call("pay", json!({"amount": 5}), &json!({})).await;
        assert_ne!(pay().await["isError"], true);
        let viewer = app.colleague("vic", &[Role::Viewer]).await;
        assert_eq!(viewer.get(&format!("{SWITCH}/status")).await.ok(), json!({"active": false, "scopes": []}));

        let halted = press(&app, "activate", json!({"reason": "a leak"})).await;
        let names: Vec<_> = halted["scopes"].as_array().unwrap().iter().map(|scope| scope["scope"].clone()).collect();
        assert_eq!((names, &halted["active"]), (vec![json!("flows"), json!("gateway"), json!("tools")], &json!(true)));
        let calls = app.mock.calls().len();
        let refused = pay().await;
        let text = refused["content"][0]["text"].as_str().unwrap();
        assert!(refused["isError"] == true && text.contains("halted by `ann`") && text.contains("a leak"), "{refused}");
        assert!(refused.to_string().contains("preloop_account_halted"), "{refused}");
        assert_eq!(app.mock.calls().len(), calls);

        let body = json!({"model": "x", "messages": [{"role": "user", "content": "hi"}]});
        let model = person.post("/openai/v1/chat/completions", body).await;
        assert!(model.status == 403 && model.text.contains("preloop_account_halted"), "{}", model.text);

        // Whoever was first stays; a repeat is recorded as one.
        let again = press(&app, "activate", json!({"scopes": ["tools"], "reason": "once more"})).await;
        assert_eq!(again, halted);
        let log = app.owner.get("/api/v1/audit-logs?action=kill_switch.changed").await.ok();
        assert_eq!((&log[0]["details"]["changed"], &log[1]["details"]["changed"]), (&json!(false), &json!(true)));

        let left = press(&app, "deactivate", json!({"scopes": ["tools"]})).await;
        assert_eq!(left["scopes"].as_array().unwrap().len(), 2);
        assert_ne!(pay().await["isError"], true);
        app.owner.post(&format!("{SWITCH}/deactivate"), json!({})).await.fails(422);
        viewer.post(&format!("{SWITCH}/activate"), json!({})).await.fails(403);
    }
}

#[tokio::test]
async fn what_was_approved_does_not_run_while_tools_are_halted() {
    for app in App::each().await {
        let agent = app.with_held_payments().await;
        let id = app.held(&agent, "pay", json!({"amount": 5}), None).await;
        press(&app, "activate", json!({"scopes": ["tools"]})).await;
        app.owner.post(&format!("/api/v1/approval-requests/{id}/approve"), json!({"approved": true})).await.ok();
        let calls = app.mock.calls().len();
        let speaking = Agent::with_key(&app, &agent);
        let status = speaking.call("get_approval_status", json!({"request_id": id}), &json!({})).await;
        assert!(status.to_string().contains("halted by `ann`"), "{status}");
        press(&app, "deactivate", json!({"scopes": ["tools"]})).await;
        // It was refused for good: agents are not surprised by what they were told would not happen.
        speaking.call("get_approval_status", json!({"request_id": id}), &json!({})).await;
        assert_eq!(app.mock.calls().len(), calls);
    }
}

#[tokio::test]
async fn people_get_back_the_time_in_which_agents_were_halted() {
    for app in App::each().await {
        let agent = app.with_held_payments().await;
        let id = app.held(&agent, "pay", json!({"amount": 5}), None).await;
        let path = format!("/api/v1/approval-requests/{id}");
        let before = app.owner.get(&path).await.ok()["expires_at"].as_str().unwrap().to_owned();
        press(&app, "activate", json!({"scopes": ["tools"]})).await;
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        press(&app, "deactivate", json!({"scopes": ["tools"]})).await;
        let after = app.owner.get(&path).await.ok()["expires_at"].as_str().unwrap().to_owned();
        assert!(after > before, "{after} {before}");
    }
}

#[tokio::test]
async fn the_setting_of_model_traffic_is_the_same_switch() {
    let app = App::start().await;
    let settings = "/api/v1/account/model-settings";
    assert_eq!(app.owner.put(settings, json!({"model_traffic": false})).await.ok()["model_traffic"], false);
    let status = app.owner.get(&format!("{SWITCH}/status")).await.ok();
    assert_eq!(status["scopes"][0]["scope"], "gateway");
    press(&app, "deactivate", json!({"scopes": ["gateway"]})).await;
    assert_eq!(app.owner.get(settings).await.ok()["model_traffic"], true);
}
