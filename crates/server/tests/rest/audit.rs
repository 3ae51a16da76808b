//! The journal, over REST.

use preloop_store::proof;
use serde_json::{Value, json};

use crate::app::App;

const JOURNAL: &str = "/api/v1/audit-logs";

#[tokio::test]
async fn every_change_is_recorded_with_who_made_it() {
    for app in App::each().await {
        app.add_mock().await;
        let records = app.owner.get(&format!("{JOURNAL}?action=config.changed")).await.ok();
        let newest =
            records.as_array().unwrap().iter().find(|record| record["details"]["config_type"] == "mcp_server").unwrap();
        assert_eq!((&newest["details"]["action"], &newest["details"]["name"]), (&json!("created"), &json!("mock")));
        let me = app.owner.get("/api/v1/auth/users/me").await.ok();
        assert_eq!(newest["user_id"], me["id"]);
        assert!(newest["api_key_id"].is_string());
        assert_eq!(app.owner.get("/api/v1/audit?action=config.changed").await.ok(), records);

        let all = app.owner.get(&format!("{JOURNAL}?limit=1000")).await.ok();
        let mut paged: Vec<Value> = Vec::new();
        loop {
            let after =
                paged.last().map(|record| format!("&after={}", record["id"].as_str().unwrap())).unwrap_or_default();
            let page = app.owner.get(&format!("{JOURNAL}?limit=2{after}")).await.ok();
            match page.as_array().unwrap().as_slice() {
                [] => break,
                page => paged.extend_from_slice(page),
            }
        }
        assert_eq!(json!(paged), all);
        app.owner.get(&format!("{JOURNAL}?action=nonsense")).await.fails(422);
        app.owner.get(&format!("{JOURNAL}?after=nonsense")).await.fails(422);
    }
}

#[tokio::test]
async fn an_export_verifies_without_the_server() {
    for app in App::each().await {
        let agent = app.with_held_payments().await;
        app.held(&agent, "pay", json!({"amount": 7}), None).await;
        let here = app.owner.get(&format!("{JOURNAL}/verify")).await.ok();
        assert_eq!((&here["status"], &here["first_break"]), (&json!("ok"), &Value::Null), "{here:#}");
        let export = app.owner.get(&format!("{JOURNAL}/export")).await;
        assert_eq!(export.headers["content-type"], "application/x-ndjson");
        let key = app.server.store().signing_public();
        let report = proof::verify(export.text.as_bytes(), Some(key));
        assert!(report.ok && report.key_expected, "{report:?}");
        let tampered = export.text.replace("\"pay\"", "\"pey\"");
        assert_ne!(tampered, export.text);
        assert!(!proof::verify(tampered.as_bytes(), Some(key)).ok);
    }
}

#[tokio::test]
async fn one_record_can_be_looked_at_alone() {
    let app = App::start().await;
    let agent = app.with_held_payments().await;
    app.held(&agent, "pay", json!({"amount": 7, "token": "hidden-value"}), None).await;
    let records = app.owner.get(&format!("{JOURNAL}?action=approval.requested")).await.ok();
    let id = records[0]["id"].as_str().unwrap();
    let one = app.owner.get(&format!("{JOURNAL}/{id}")).await;
    assert!(!one.text.contains("hidden-value"), "{}", one.text);
    assert_eq!(one.ok()["record"], records[0]);
    app.owner.get(&format!("{JOURNAL}/1.00000000-0000-7000-8000-000000000000.1")).await.fails(404);
}
