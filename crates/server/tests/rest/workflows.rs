//! Approval workflows.

use serde_json::{Value, json};

use crate::app::App;

const WORKFLOWS: &str = "/api/v1/approval-workflows";

#[tokio::test]
async fn an_account_has_one_default_and_it_moves() {
    for app in App::each().await {
        let first = app.owner.get(WORKFLOWS).await.ok();
        assert_eq!((&first[0]["name"], &first[0]["is_default"]), (&json!("Default Approval Workflow"), &json!(true)));
        let body = json!({"name": "slow", "is_default": true, "timeout_seconds": 3600, "required_approvals": 2,
            "notification_channels": ["email"]});
        let made = app.owner.post(WORKFLOWS, body).await.created();
        assert_eq!(made["approvals_required"], 2);
        assert!(made["warnings"][0].as_str().unwrap().contains("only 1 can approve"), "{made:#}");
        let all = app.owner.get(WORKFLOWS).await.ok();
        let defaults = all.as_array().unwrap().iter().filter(|workflow| workflow["is_default"] == true);
        assert_eq!(defaults.map(|workflow| &workflow["name"]).collect::<Vec<_>>(), [&json!("slow")]);

        let path = format!("{WORKFLOWS}/{}", made["id"].as_str().unwrap());
        app.owner.delete(&path).await.fails(400);
        let kept = app.owner.put(&path, json!({"require_reason": true})).await.ok();
        assert_eq!((&kept["timeout_seconds"], &kept["require_reason"]), (&json!(3600), &json!(true)));
        let other = format!("{WORKFLOWS}/{}", first[0]["id"].as_str().unwrap());
        app.owner.delete(&other).await.ok();
        app.owner.get(&other).await.fails(404);
    }
}

#[tokio::test]
async fn a_webhooks_key_is_shown_once() {
    let app = App::start().await;
    let channels = json!({"webhook": {"url": "https://grc.example.org/in", "headers": {"X-Team": "hidden-value"}}});
    let body = json!({"name": "hook", "channel_configs": channels});
    let made = app.owner.post(WORKFLOWS, body).await.created();
    assert!(made["webhook_secret"].as_str().unwrap().starts_with("whsec_"));
    let path = format!("{WORKFLOWS}/{}", made["id"].as_str().unwrap());
    let read = app.owner.get(&path).await;
    assert!(!read.text.contains("whsec_") && !read.text.contains("hidden-value"), "{}", read.text);
    assert_eq!(read.json()["channel_configs"]["webhook"]["headers"]["X-Team"], json!({"redacted": true}));
    let back = app.owner.put(&path, json!({"channel_configs": read.json()["channel_configs"]})).await.ok();
    assert_eq!(back.get("webhook_secret"), None);
    let rotated = app.owner.post(&format!("{path}/webhook-secret/rotate"), json!({})).await.ok();
    assert_ne!(rotated["webhook_secret"], made["webhook_secret"]);
}

#[tokio::test]
async fn bad_workflows_are_refused_with_the_field_named() {
    let app = App::start().await;
    let stranger = "00000000-0000-7000-8000-000000000000";
    let cases = [
        (json!({}), "name"),
        (json!({"name": "a", "timeout_seconds": 5}), "timeout_seconds"),
        (json!({"name": "a", "approvals_required": 11}), "approvals_required"),
        (json!({"name": "a", "approver_user_ids": [stranger]}), "approver_user_ids"),
        (json!({"name": "a", "channel_configs": {"webhook": {"url": "file:///etc/passwd"}}}), "channel_configs"),
        (json!({"name": "a", "channel_configs": {"pigeon": {}}}), "channel_configs"),
        (json!({"name": "a", "approval_mode": "ai_driven"}), "ai_model"),
        (json!({"name": "a", "ai_model": "no-such-model"}), "ai_model"),
        (json!({"name": "a", "ai_model": "m", "ai_confidence_threshold": 2}), "ai_confidence_threshold"),
        (json!({"name": "a", "ai_model": "m", "ai_fallback_behavior": "hope"}), "ai_fallback_behavior"),
    ];
    for (body, field) in cases {
        let detail = app.owner.post(WORKFLOWS, body.clone()).await.fails(422);
        let named = detail[0]["loc"].as_array().unwrap().contains(&json!(field));
        assert!(named || detail[0]["msg"].as_str().unwrap().contains(field), "{body}: {detail}");
    }
    assert_eq!(app.owner.get(WORKFLOWS).await.ok().as_array().map(Vec::len), Some(1));
    let defaults = app.owner.put("/api/v1/account/defaults", json!({"unknown_tools": "deny"})).await.ok();
    assert_eq!((&defaults["unknown_tools"], &defaults["default_workflow_id"]), (&json!("deny"), &Value::Null));
}
