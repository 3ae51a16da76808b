//! Requests for a human decision, over REST.

use serde_json::{Value, json};

use crate::app::App;

const REQUESTS: &str = "/api/v1/approval-requests";

#[tokio::test]
async fn a_held_call_is_listed_without_its_secrets_and_decided_once() {
    for app in App::each().await {
        let agent = app.with_held_payments().await;
        let arguments = json!({"amount": 120, "api_key": "hidden-value", "text": "Bearer abcdefghijklmnopqrstuvwxyz"});
        let id = app.held(&agent, "pay", arguments, Some("charged twice")).await;
        let listed = app.owner.get(&format!("{REQUESTS}?status=pending")).await.ok();
        let request = &listed[0];
        assert_eq!(request["id"], id);
        assert_eq!(request["tool_args"], json!({"amount": 120, "api_key": "***REDACTED***", "text": "***REDACTED***"}));
        assert_eq!((&request["agent_reasoning"], &request["requested_by"]), (&json!("charged twice"), &json!("agent")));
        assert!(request["tool_configuration_id"].is_string(), "{request:#}");

        let approve = format!("{REQUESTS}/{id}/approve");
        let decided = app.owner.post(&approve, json!({"approved": true, "comment": "fine"})).await.ok();
        assert_eq!((&decided["status"], &decided["approver_comment"]), (&json!("approved"), &json!("fine")));
        // A second click is no error, a change of mind is.
        app.owner.post(&approve, json!({})).await.ok();
        let detail = app.owner.post(&format!("{REQUESTS}/{id}/decline"), json!({})).await.fails(400);
        assert_eq!(detail, "Request already approved");

        let history = app.owner.get(&format!("{REQUESTS}/{id}/history")).await.ok();
        let words: Vec<_> =
            history.as_array().unwrap().iter().map(|event| event["event_type"].as_str().unwrap()).collect();
        assert!(words.starts_with(&["approval_requested"]) && words.contains(&"vote_received"), "{words:?}");
        let vote = history.as_array().unwrap().iter().find(|event| event["event_type"] == "vote_received").unwrap();
        assert_eq!((&vote["actor_email"], &vote["comment"]), (&json!("ann@example.org"), &json!("fine")));
        assert_eq!(app.owner.get(&format!("{REQUESTS}?status=pending")).await.ok(), json!([]));
        app.owner.get(&format!("{REQUESTS}?status=perhaps")).await.fails(422);
    }
}

#[tokio::test]
async fn several_are_decided_each_for_itself() {
    for app in App::each().await {
        let agent = app.with_held_payments().await;
        let a = app.held(&agent, "pay", json!({"amount": 1}), None).await;
        let b = app.held(&agent, "pay", json!({"amount": 2}), None).await;
        app.owner.post(&format!("{REQUESTS}/{b}/cancel"), json!({"reason": "not now"})).await.ok();
        let nothing = "00000000-0000-7000-8000-000000000000";
        let body = json!({"ids": [a, b, nothing], "approved": false, "comment": "no"});
        let done = app.owner.post(&format!("{REQUESTS}/decide-batch"), body).await.ok();
        assert_eq!(
            done["results"],
            json!([
                {"id": a, "ok": true, "status": "declined", "error": null},
                {"id": b, "ok": false, "status": null, "error": "Request already cancelled"},
                {"id": nothing, "ok": false, "status": null, "error": "not found"},
            ])
        );
        app.owner.post(&format!("{REQUESTS}/{b}/cancel"), json!({})).await.fails(400);
    }
}

#[tokio::test]
async fn a_link_shows_and_decides_one_request_and_nothing_else() {
    for app in App::each().await {
        let agent = app.with_held_payments().await;
        let id = app.held(&agent, "pay", json!({"amount": 1, "password": "hidden-value"}), None).await;
        let other = app.held(&agent, "pay", json!({"amount": 2}), None).await;
        let link = app.owner.post(&format!("{REQUESTS}/{id}/link"), json!({})).await.ok();
        let token = link["url"].as_str().unwrap().split_once("?token=").unwrap().1;
        let nobody = app.nobody();

        let data = nobody.get(&format!("/approval/{id}/data?token={token}")).await.ok();
        assert_eq!((&data["status"], &data["tool_args"]["password"]), (&json!("pending"), &json!("***REDACTED***")));
        let wrong = nobody.get(&format!("/approval/{other}/data?token={token}")).await.fails(404);
        let missing =
            nobody.get(&format!("/approval/{}/data?token={token}", "00000000-0000-7000-8000-000000000000")).await;
        assert_eq!(wrong, missing.fails(404));
        let bad = json!({"action": "perhaps"});
        nobody.post(&format!("/approval/{id}/decide?token={token}"), bad).await.fails(400);

        let decide = format!("/approval/{id}/decide?token={token}");
        let done = nobody.post(&decide, json!({"action": "decline", "comment": "never"})).await.ok();
        assert_eq!(done["status"], "declined");
        assert!(done["history"].as_array().unwrap().iter().any(|event| event["comment"] == "never"));
        assert!(!done.to_string().contains("ann@example.org"), "{done}");
        let status = app.owner.get(&format!("{REQUESTS}/{other}")).await.ok();
        assert_eq!((&status["status"], &status["resolved_at"]), (&json!("pending"), &Value::Null));
    }
}

#[tokio::test]
async fn a_reason_is_demanded_where_the_workflow_says_so() {
    let app = App::start().await;
    let workflow = app.owner.get("/api/v1/approval-workflows").await.ok()[0]["id"].as_str().unwrap().to_owned();
    app.owner.put(&format!("/api/v1/approval-workflows/{workflow}"), json!({"require_reason": true})).await.ok();
    let agent = app.with_held_payments().await;
    let id = app.held(&agent, "pay", json!({"amount": 1}), None).await;
    let decide = format!("{REQUESTS}/{id}/decide");
    app.owner.post(&decide, json!({"approved": true, "comment": "  "})).await.fails(422);
    app.owner.post(&decide, json!({"approved": true, "comment": "because"})).await.ok();
}
