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
async fn it_is_known_who_looked_at_a_request() {
    for app in App::each().await {
        let agent = app.with_held_payments().await;
        let id = app.held(&agent, "pay", json!({"amount": 1}), None).await;
        for _ in 0..2 {
            app.owner.get(&format!("{REQUESTS}/{id}")).await.ok();
        }
        let link = app.owner.post(&format!("{REQUESTS}/{id}/link"), json!({})).await.ok();
        let page = link["url"].as_str().unwrap().split_once("/approval/").unwrap().1.to_owned();
        assert_eq!(app.nobody().get(&format!("/approval/{page}")).await.status, 200);

        let history = app.owner.get(&format!("{REQUESTS}/{id}/history")).await.ok();
        let viewed: Vec<_> =
            history.as_array().unwrap().iter().filter(|event| event["event_type"] == "viewed").collect();
        let ways: Vec<_> = viewed.iter().map(|event| event["detail"].as_str().unwrap()).collect();
        assert_eq!(ways, ["api", "link"], "once for each way: {history:#}");
        assert!(viewed.iter().all(|event| event["actor_email"] == "ann@example.org"), "{history:#}");
    }
}

#[tokio::test]
async fn a_request_says_when_its_webhook_was_told() {
    let app = App::start().await;
    app.add_mock().await;
    let hook = axum::Router::new().route("/hook", axum::routing::post(|| async {}));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, hook).await });
    let policy = json!({
        "metadata": {"name": "payments"},
        "approval_workflows": [{"name": "people", "channel_configs": {"webhook": {"url": url}}}],
        "tools": [{"name": "pay", "source": "mock", "approval_workflow": "people",
            "conditions": [{"action": "require_approval"}]}],
    });
    app.owner.post("/api/v1/policies/apply", policy).await.ok();
    let agent = app.agent().await;
    let id = app.held(&agent, "pay", json!({"amount": 1}), None).await;
    for _ in 0..500 {
        let request = app.owner.get(&format!("{REQUESTS}/{id}")).await.ok();
        if request["webhook_posted_at"].is_string() {
            let listed = app.owner.get(REQUESTS).await.ok();
            assert_eq!(listed[0]["webhook_posted_at"], request["webhook_posted_at"]);
            assert_eq!(request["webhook_error"], Value::Null);
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the webhook was never told: {:#}", app.owner.get(&format!("{REQUESTS}/{id}/history")).await.ok());
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
