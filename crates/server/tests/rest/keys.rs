//! API keys.

use serde_json::{Value, json};

use crate::app::App;

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
    assert_eq!(detail, "scope `root` is not one of `mcp:read`, `mcp:write`, `gateway:invoke`, `admin`");
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
