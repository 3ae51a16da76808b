//! Upstream servers: added, scanned, changed, their tools pinned.

use serde_json::json;

use crate::app::App;

#[tokio::test]
async fn a_server_is_scanned_when_it_is_added() {
    for app in App::each().await {
        let server = app.add_mock().await;
        assert_eq!((&server["slug"], &server["transport"]), (&json!("mock"), &json!("streamable-http")));
        let tools = app.owner.get(&format!("/api/v1/mcp-servers/{}/tools", server["id"].as_str().unwrap())).await;
        assert_eq!(tools.headers["x-total-count"], "12");
        let names: Vec<_> = tools.ok().as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
        assert!(names.contains(&json!("pay")), "{names:?}");

        let all = app.owner.get("/api/v1/tools").await.ok();
        let builtin = all.as_array().unwrap().iter().filter(|tool| tool["source"] == "builtin").count();
        assert_eq!(all.as_array().unwrap().len() - builtin, 12);
        assert!(builtin >= 2);

        let again = json!({"name": "mock", "url": app.mock.url()});
        let detail = app.owner.post("/api/v1/mcp-servers", again).await.fails(400);
        assert_eq!(detail, "an MCP server named `mock` already exists");
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_is_kept_with_its_error() {
    let app = App::start().await;
    let body = json!({"name": "gone", "url": "http://127.0.0.1:9/mcp", "settings": {"allow_private_network": true}});
    let server = app.owner.post("/api/v1/mcp-servers", body).await.created();
    assert_eq!(server["status"], "error");
    assert!(server["last_error"].as_str().unwrap().contains("connect"), "{server:#}");
    let scan = format!("/api/v1/mcp-servers/{}/scan", server["id"].as_str().unwrap());
    app.owner.post(&scan, json!({})).await.fails(502);
}

#[tokio::test]
async fn secrets_go_in_and_never_come_out() {
    let app = App::start().await;
    let body = json!({
        "name": "mock", "url": app.mock.url(), "transport": "http-streaming", "auth_type": "bearer",
        "auth_config": {"token": "swordfish-of-the-upstream"}, "settings": {"allow_private_network": true},
    });
    let server = app.owner.post("/api/v1/mcp-servers", body).await.created();
    assert_eq!(server["auth_config"], json!({"token": {"redacted": true}}));
    let path = format!("/api/v1/mcp-servers/{}", server["id"].as_str().unwrap());
    // What was shown may be sent back.
    let change = json!({"name": "renamed", "auth_config": server["auth_config"]});
    let changed = app.owner.put(&path, change).await.ok();
    assert_eq!((&changed["name"], &changed["slug"]), (&json!("renamed"), &json!("mock")));
    for place in
        [&path, "/api/v1/mcp-servers", "/api/v1/audit-logs", "/api/v1/audit-logs/export", "/api/v1/policies/export"]
    {
        assert!(!app.owner.get(place).await.text.contains("swordfish"), "{place}");
    }
    let placeholder = json!({"name": "new", "url": app.mock.url(), "auth_type": "bearer",
        "auth_config": {"token": {"redacted": true}}});
    app.owner.post("/api/v1/mcp-servers", placeholder).await.fails(422);
}

#[tokio::test]
async fn bad_servers_are_refused_with_the_field_named() {
    let app = App::with(|options| {
        options.allow_stdio = false;
        options.allow_private_network = false;
    })
    .await;
    let cases = [
        (json!({"name": "", "url": "http://x.example"}), "name"),
        (json!({"name": "a", "url": "ftp://x.example"}), "url"),
        (json!({"name": "a", "url": "http://user:pw@x.example"}), "url"),
        (json!({"name": "a"}), "url"),
        (json!({"name": "a", "url": "http://x.example", "transport": "carrier-pigeon"}), "transport"),
        (json!({"name": "a", "url": "http://x.example", "auth_type": "bearer"}), "auth_config"),
        (json!({"name": "a", "url": "http://x.example", "settings": {"call_ms": 1}}), "call_ms"),
        (json!({"name": "x".repeat(101), "url": "http://x.example"}), "name"),
    ];
    for (body, field) in cases {
        let detail = app.owner.post("/api/v1/mcp-servers", body.clone()).await.fails(422);
        let loc = detail[0]["loc"].as_array().unwrap();
        assert!(loc.contains(&json!(field)), "{body}: {detail}");
    }
    let stdio = json!({"name": "a", "transport": "stdio", "command": "cat"});
    let detail = app.owner.post("/api/v1/mcp-servers", stdio).await.fails(403);
    assert!(detail.as_str().unwrap().contains("--allow-stdio"), "{detail}");
    let private = json!({"name": "a", "url": "http://x.example", "settings": {"allow_private_network": true}});
    app.owner.post("/api/v1/mcp-servers", private).await.fails(403);
    assert_eq!(app.owner.get("/api/v1/mcp-servers").await.ok(), json!([]));
}

#[tokio::test]
async fn a_tool_that_changed_is_shown_and_accepted() {
    for app in App::each().await {
        let server = app.add_mock().await;
        let base = format!("/api/v1/mcp-servers/{}", server["id"].as_str().unwrap());
        app.mock.change_tools(|tools| {
            let pay = tools.iter_mut().find(|tool| tool["name"] == "pay").unwrap();
            pay["description"] = json!("Pays twice.");
        });
        let scan = app.owner.post(&format!("{base}/scan"), json!({})).await.ok();
        assert_eq!(scan["changed"], json!(["pay"]));
        let tools = scan["tools"].as_array().unwrap();
        let pay = tools.iter().find(|tool| tool["name"] == "pay").unwrap();
        assert_eq!(pay["pin"], "drifted");

        let tool = format!("{base}/tools/{}", pay["id"].as_str().unwrap());
        let diff = app.owner.get(&format!("{tool}/diff")).await.ok();
        assert!(diff["diff"].as_str().unwrap().contains("+  \"description\": \"Pays twice.\""), "{diff:#}");
        let stale = json!({"definition_hash": diff["pinned_hash"]});
        app.owner.post(&format!("{tool}/accept"), stale).await.fails(409);
        let seen = json!({"definition_hash": diff["definition_hash"]});
        let accepted = app.owner.post(&format!("{tool}/accept"), seen).await.ok();
        assert_eq!((&accepted["pin"], &accepted["description"]), (&json!("pinned"), &json!("Pays twice.")));
    }
}

#[tokio::test]
async fn a_removed_server_takes_its_tools_along() {
    for app in App::each().await {
        let server = app.add_mock().await;
        let path = format!("/api/v1/mcp-servers/{}", server["id"].as_str().unwrap());
        let config = json!({"tool_name": "pay", "tool_source": "mcp", "mcp_server_id": server["id"]});
        app.owner.post("/api/v1/tool-configurations", config).await.created();
        app.owner.delete(&path).await.ok();
        app.owner.get(&path).await.fails(404);
        assert_eq!(app.owner.get("/api/v1/tool-configurations").await.ok(), json!([]));
        let tools = app.owner.get("/api/v1/tools").await.ok();
        assert!(tools.as_array().unwrap().iter().all(|tool| tool["source"] == "builtin"));
    }
}
