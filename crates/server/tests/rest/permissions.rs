//! Who may do what: the document says it, every endpoint keeps it.

use preloop_types::Permission;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::App;

/// Every operation of the document: its method, path and description.
fn operations() -> Vec<(Method, String, Value)> {
    let document = serde_json::to_value(preloop_server::document()).unwrap();
    let mut all = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            all.push((method, path.clone(), operation.clone()));
        }
    }
    assert!(all.len() > 50, "{}", all.len());
    all
}

/// The path with some id in each place.
fn filled(path: &str) -> String {
    let nothing = "00000000-0000-7000-8000-000000000000";
    path.replace("/audit-logs/{id}", &format!("/audit-logs/1.{nothing}.1"))
        .replace("{id}", nothing)
        .replace("{tool_id}", nothing)
        .replace("{provider}", "openai")
}

#[test]
fn what_is_open_to_everybody_is_a_short_list() {
    let open = operations().into_iter().filter(|(_, _, operation)| operation["x-public"] == "true");
    let mut open: Vec<_> = open.map(|(method, path, _)| format!("{method} {path}")).collect();
    open.sort();
    insta::assert_snapshot!(open.join("\n"), @r"
    GET /api/v1/features
    GET /api/v1/health
    GET /api/v1/mcp-servers/oauth/callback
    GET /api/v1/mcp-servers/oauth/client-metadata
    GET /api/v1/ping
    GET /api/v1/version
    GET /approval/{id}/data
    POST /approval/{id}/approve
    POST /approval/{id}/decide
    POST /approval/{id}/decline
    ");
}

#[tokio::test]
async fn nothing_else_answers_without_a_credential() {
    let app = App::start().await;
    for (method, path, operation) in operations() {
        if operation["x-public"] == "true" {
            continue;
        }
        for person in [app.nobody(), app.with_key("pl_nobody-has-this-key")] {
            let reply = person.send(person.request(method.clone(), &filled(&path)).json(&json!({}))).await;
            assert_eq!(reply.status, 401, "{method} {path}: {}", reply.text);
            assert_eq!(reply.headers["www-authenticate"], "Bearer");
        }
    }
}

#[tokio::test]
async fn an_agent_may_administer_nothing() {
    let app = App::start().await;
    let agent = app.agent().await;
    let mut refused = 0;
    for (method, path, operation) in operations() {
        let Some(permission) = operation["x-permission"].as_str() else { continue };
        assert!(Permission::ALL.iter().any(|known| known.name() == permission), "{permission}");
        let reply = agent.send(agent.request(method.clone(), &filled(&path)).json(&json!({}))).await;
        let detail = format!("Insufficient permissions. Required: {permission}");
        assert_eq!(reply.fails(403), json!(detail), "{method} {path}");
        refused += 1;
    }
    assert!(refused > 50, "{refused}");
    let me = agent.get("/api/v1/auth/users/me").await.ok();
    assert_eq!(me["username"], "ann");
}

#[tokio::test]
async fn another_tenants_ids_do_not_exist() {
    for app in App::each().await {
        let agent = app.with_held_payments().await;
        let owner = &app.owner;
        let approval = app.held(&agent, "pay", json!({"amount": 5}), None).await;
        let id = |list: &Value| list[0]["id"].as_str().unwrap().to_owned();
        let server = id(&owner.get("/api/v1/mcp-servers").await.ok());
        let tool = id(&owner.get(&format!("/api/v1/mcp-servers/{server}/tools")).await.ok());
        let configs = owner.get("/api/v1/tool-configurations").await.ok();
        let (config, rule) = (id(&configs), id(&configs[0]["access_rules"]));
        let workflow = id(&owner.get("/api/v1/approval-workflows").await.ok());
        let version = id(&owner.get("/api/v1/policies/versions").await.ok()["versions"]);
        let key = id(&owner.get("/api/v1/auth/api-keys").await.ok());
        let record = id(&owner.get("/api/v1/audit-logs").await.ok());
        let made =
            async |path: &str, body: Value| owner.post(path, body).await.created()["id"].as_str().unwrap().to_owned();
        let model = made("/api/v1/ai-models", json!({"provider": "openai", "identifier": "gpt-x"})).await;
        let price = made("/api/v1/price-overrides", json!({"model": "*", "discount_percent": 1})).await;
        let budget = made("/api/v1/budgets", json!({"hard_limit": 1})).await;
        let run = json!({"session_source_type": "codex", "session_source_id": "one"});
        let run = owner.post("/api/v1/auth/runtime-sessions/token", run).await.created();
        let run = run["runtime_session_id"].as_str().unwrap().to_owned();

        let stranger = app.stranger().await;
        let mut tried = 0;
        for (method, path, operation) in operations() {
            let ours = [
                ("/mcp-servers/{id}", &server),
                ("/tool-configurations/{id}", &config),
                ("/access-rules/{id}", &rule),
                ("/approval-workflows/{id}", &workflow),
                ("/approval-requests/{id}", &approval),
                ("/policies/versions/{id}", &version),
                ("/auth/api-keys/{id}", &key),
                ("/audit-logs/{id}", &record),
                ("/ai-models/{id}", &model),
                ("/price-overrides/{id}", &price),
                ("/budgets/{id}", &budget),
                ("/runtime-sessions/{id}", &run),
            ];
            let Some((_, id)) = ours.iter().find(|(place, _)| path.contains(place)) else { continue };
            assert_ne!(operation["x-public"], "true");
            let body = json!({
                "action": "deny", "rule_ids": [], "expression": "true", "sample_args": {}, "approved": true, "tag": "x",
            });
            let path = path.replace("{id}", id).replace("{tool_id}", &tool);
            let reply = stranger.send(stranger.request(method.clone(), &path).json(&body)).await;
            assert_eq!(reply.status, 404, "{method} {path}: {}", reply.text);
            tried += 1;
        }
        assert!(tried > 30, "{tried}");
        assert_eq!(owner.get(&format!("/api/v1/approval-requests/{approval}")).await.ok()["status"], "pending");
        assert_eq!(
            owner.get(&format!("/api/v1/tool-configurations/{config}")).await.ok()["access_rules"][0]["id"],
            *rule
        );
    }
}
