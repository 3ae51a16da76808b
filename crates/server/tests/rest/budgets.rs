//! Budgets as they are configured.

use serde_json::{Value, json};

use crate::app::App;

const BUDGETS: &str = "/api/v1/budgets";

#[tokio::test]
async fn a_budget_is_made_changed_and_removed() {
    for app in App::each().await {
        let made = app.owner.post(BUDGETS, json!({"hard_limit": "12.50", "soft_limit": 10})).await.created();
        let expected = json!({"subject_type": "account", "subject_id": null, "model": null, "period": "monthly",
            "unit": "usd", "hard_limit": "12.5", "soft_limit": "10", "state": []});
        for (name, value) in expected.as_object().unwrap() {
            assert_eq!(made[name], *value, "{name}");
        }
        let path = format!("{BUDGETS}/{}", made["id"].as_str().unwrap());
        let changed =
            app.owner.put(&path, json!({"hard_limit": "20", "notification_emails": ["ann@example.org"]})).await.ok();
        assert_eq!((&changed["hard_limit"], &changed["soft_limit"]), (&json!("20"), &json!("10")));
        assert_eq!(app.owner.get(&path).await.ok(), changed);
        let again = app.owner.post(BUDGETS, json!({"hard_limit": 1})).await.fails(400);
        assert!(again.to_string().contains("already exists"), "{again}");
        app.owner.post(BUDGETS, json!({"hard_limit": 1, "model": "openai/*"})).await.created();
        app.owner.post(BUDGETS, json!({"hard_limit": 1000, "unit": "tokens"})).await.created();
        assert_eq!(app.owner.get(&format!("{BUDGETS}?subject_type=account")).await.ok().as_array().unwrap().len(), 3);
        assert_eq!(app.owner.delete(&path).await.status, 204);
        app.owner.get(&path).await.fails(404);
    }
}

#[tokio::test]
async fn a_budget_is_of_somebody_there_is() {
    let app = App::start().await;
    let key = app.owner.post("/api/v1/auth/api-keys", json!({"name": "agent"})).await.created()["id"].clone();
    let of =
        |kind: &str, id: Value| json!({"subject_type": kind, "subject_id": id, "hard_limit": 1, "period": "daily"});
    app.owner.post(BUDGETS, of("key", key.clone())).await.created();
    app.owner.post(BUDGETS, of("key", Value::Null)).await.created();
    app.owner.post(BUDGETS, of("session", Value::Null)).await.created();
    app.owner.post(BUDGETS, of("tag", json!("team=web"))).await.created();
    app.owner.post(BUDGETS, of("user", key.clone())).await.fails(422);
    app.owner.post(BUDGETS, of("account", key.clone())).await.fails(422);
    app.owner.post(BUDGETS, of("planet", Value::Null)).await.fails(422);
    app.stranger().await.post(BUDGETS, of("key", key)).await.fails(422);
}

#[tokio::test]
async fn limits_make_sense() {
    let app = App::start().await;
    for body in [
        json!({}),
        json!({"hard_limit": "-1"}),
        json!({"hard_limit": "1.0000000001"}),
        json!({"hard_limit": "1.5", "unit": "tokens"}),
        json!({"hard_limit": 1, "soft_limit": 2}),
        json!({"hard_limit": 1, "notification_emails": ["nowhere"]}),
    ] {
        app.owner.post(BUDGETS, body.clone()).await.fails(422);
    }
}
