//! API keys.

use preloop_types::Role;
use serde_json::{Value, json};

use crate::{agent::Agent, app::App};

const KEYS: &str = "/api/v1/auth/api-keys";

#[tokio::test]
async fn a_keys_secret_is_shown_once_and_ends_with_the_key() {
    for app in App::each().await {
        let made = app.owner.post(KEYS, json!({"name": "ci", "scopes": ["admin"]})).await.created();
        let secret = made["key"].as_str().unwrap();
        assert!(secret.starts_with("pl_") && secret.len() == 46, "{secret}");
        let path = format!("{KEYS}/{}", made["id"].as_str().unwrap());
        for place in [KEYS, &path, "/api/v1/audit-logs", "/api/v1/audit-logs/export"] {
            assert!(!app.owner.get(place).await.text.contains(secret), "{place}");
        }
        let shown = app.owner.get(&path).await.ok();
        assert_eq!((&shown["prefix"], &shown["activity_status"]), (&json!(secret[..12]), &json!("idle")));

        let ci = app.with_key(secret);
        ci.get(KEYS).await.ok();
        ci.delete(&path).await.fails(400);
        assert_eq!(app.owner.delete(&path).await.status, 204);
        ci.get(KEYS).await.fails(401);
        assert_eq!(app.owner.get(&path).await.ok()["activity_status"], "revoked");
        // The name is free again.
        app.owner.post(KEYS, json!({"name": "ci"})).await.created();
        app.owner.post(KEYS, json!({"name": "ci"})).await.fails(400);
    }
}

#[tokio::test]
async fn keys_get_no_more_than_was_meant() {
    let app = App::start().await;
    let plain = app.owner.post(KEYS, json!({"name": "plain"})).await.created();
    assert_eq!(plain["scopes"], json!(["mcp:read", "mcp:write", "gateway:invoke"]));
    let detail = app.owner.post(KEYS, json!({"name": "odd", "scopes": ["root"]})).await.fails(400);
    assert_eq!(
        detail,
        "scope `root` is not one of `mcp:read`, `mcp:write`, `gateway:invoke`, `admin`, `push_proxy`, `scim`"
    );
    app.owner.post(KEYS, json!({"name": "old", "expires_at": "2001-01-01T00:00:00Z"})).await.fails(422);
    let agent = app.with_key(plain["key"].as_str().unwrap());
    agent.post(KEYS, json!({"name": "more", "scopes": ["admin"]})).await.fails(403);
    agent.put("/api/v1/auth/users/me", json!({"email": "thief@example.org"})).await.fails(403);
}

#[tokio::test]
async fn a_key_can_be_narrowed_by_rules_of_its_own() {
    for app in App::each().await {
        let made = app.owner.post(KEYS, json!({"name": "narrow"})).await.created();
        let path = format!("{KEYS}/{}/governance", made["id"].as_str().unwrap());
        let empty = app.owner.get(&path).await.ok();
        assert_eq!(empty["config"]["tool_rules"], json!({}));
        let config = json!({
            "tool_rules": {"pay": [{"action": "deny", "condition_expression": "args.amount > 5", "description": "small only"}]},
            "tool_enabled_overrides": {"move_file": false},
        });
        let put = app.owner.put(&path, config).await.ok();
        assert_eq!(put["config"]["tool_rules"]["pay"][0]["condition_type"], "cel");
        assert_eq!(app.owner.get(&path).await.ok(), put);
        let broken = json!({"tool_rules": {"pay": [{"action": "deny", "condition_expression": "args. >"}]}});
        app.owner.put(&path, broken).await.fails(422);
        let models = json!({"allowed_models": ["gpt-*", "tag:cheap"], "rate_limit": {"requests_per_minute": 60}});
        let put = app.owner.put(&path, models.clone()).await.ok();
        assert_eq!(
            (&put["config"]["allowed_models"], &put["config"]["rate_limit"]),
            (&models["allowed_models"], &models["rate_limit"])
        );
        app.owner.put(&path, json!({"allowed_models": [" gpt"]})).await.fails(422);
        app.owner.put(&path, json!({"rate_limit": {"concurrent": 0}})).await.fails(422);
        app.owner.put(&path, json!({})).await.ok();
        assert_eq!(app.owner.get(&path).await.ok()["config"]["tool_enabled_overrides"], json!({}));
    }
}

#[tokio::test]
async fn one_can_change_ones_own_profile() {
    let app = App::start().await;
    let me = app.owner.put("/api/v1/auth/users/me", json!({"full_name": "Ann Example", "email": null})).await.ok();
    assert_eq!((&me["full_name"], &me["email"]), (&json!("Ann Example"), &Value::Null));
    app.owner.put("/api/v1/auth/users/me", json!({"email": "nowhere"})).await.fails(422);
    assert_eq!(app.owner.get("/api/v1/users/me").await.ok(), me);
}

#[tokio::test]
async fn ones_own_keys_are_ones_own_business_and_others_are_not() {
    for app in App::each().await {
        let viewer = app.colleague("vic", &[Role::Viewer]).await;
        let made = viewer.post(KEYS, json!({"name": "vics", "scopes": ["admin", "mcp:write"]})).await.created();
        let (of_viewer, of_owner) = (format!("{KEYS}/{}", made["id"].as_str().unwrap()), {
            let all = app.owner.get(KEYS).await.ok();
            let owners = all.as_array().unwrap().iter().find(|key| key["name"] == "owner").unwrap();
            format!("{KEYS}/{}", owners["id"].as_str().unwrap())
        });
        let names = |keys: &Value| keys.as_array().unwrap().iter().map(|key| key["name"].clone()).collect::<Vec<_>>();
        assert_eq!(names(&viewer.get(KEYS).await.ok()), ["vics", "vic"]);
        assert!(names(&app.owner.get(KEYS).await.ok()).contains(&json!("vics")));
        for path in [of_owner.clone(), format!("{of_owner}/gateway-usage/summary")] {
            assert_eq!(viewer.get(&path).await.fails(403), "Insufficient permissions. Required: manage_api_keys");
        }
        viewer.delete(&of_owner).await.fails(403);
        assert_eq!(viewer.delete(&of_viewer).await.status, 204);
        app.owner.get(&format!("{KEYS}/{}", uuid::Uuid::now_v7())).await.fails(404);
    }
}

#[tokio::test]
async fn a_key_never_does_more_than_its_makers_roles_allow_now() {
    for app in App::each().await {
        let person = app.colleague("eddie", &[Role::Editor]).await;
        let made = person.post(KEYS, json!({"name": "ci", "scopes": ["admin"]})).await.created();
        let key = app.with_key(made["key"].as_str().unwrap());
        key.get("/api/v1/mcp-servers").await.ok();
        key.get("/api/v1/audit-logs").await.fails(403);
        app.change_roles(&person, &[Role::Editor], &[Role::Analyst]).await;
        key.get("/api/v1/audit-logs").await.ok();
        key.post("/api/v1/budgets", json!({"hard_limit": 1})).await.fails(403);
        app.change_roles(&person, &[Role::Analyst], &[]).await;
        key.get("/api/v1/mcp-servers").await.fails(403);
        key.get("/api/v1/auth/users/me").await.ok();
    }
}

#[tokio::test]
async fn what_a_narrowed_key_makes_is_no_wider() {
    let app = App::start().await;
    let narrow = json!({"name": "narrow", "scopes": ["admin"], "allowed_tools": ["pay"]});
    let made = app.owner.post(KEYS, narrow).await.created();
    let narrow = app.with_key(made["key"].as_str().unwrap());
    narrow.post(KEYS, json!({"name": "wide"})).await.fails(422);
    narrow.post(KEYS, json!({"name": "other", "allowed_tools": ["pay", "move_file"]})).await.fails(422);
    narrow.post(KEYS, json!({"name": "same", "allowed_tools": ["pay"]})).await.created();
}

#[tokio::test]
async fn roles_hold_for_agents_too() {
    let app = App::start().await;
    app.add_mock().await;
    let person = app.colleague("xena", &[Role::Executor]).await;
    let made = person.post(KEYS, json!({"name": "agent"})).await.created();
    let agent = Agent::with_key(&app, &app.with_key(made["key"].as_str().unwrap()));
    let pay = async || agent.call("pay", json!({"amount": 5}), &json!({})).await;
    let tools = async || agent.modern("tools/list", json!({}), &json!({})).await["result"]["tools"].to_string();
    assert_ne!(pay().await["isError"], true);
    assert!(tools().await.contains("\"pay\""));
    app.change_roles(&person, &[Role::Executor], &[Role::Viewer]).await;
    let refused = pay().await;
    assert!(refused["isError"] == true && refused.to_string().contains("execute_tools"), "{refused}");
    assert!(tools().await.contains("\"pay\""));
    app.change_roles(&person, &[Role::Viewer], &[Role::TrackerManager]).await;
    assert!(!tools().await.contains("\"pay\""));
}
