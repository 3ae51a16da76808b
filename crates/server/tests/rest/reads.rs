//! Resources and prompts: governed and recorded like calls of tools.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::post};
use serde_json::{Value, json};
use tokio::join;

use crate::{agent::Agent, app::App};

/// An MCP server of the legacy era that has resources and a prompt, and notes what is read.
#[derive(Clone, Default)]
struct Library(Arc<Mutex<Vec<String>>>);

impl Library {
    /// Starts it and adds it as server `library`.
    async fn added_to(app: &App) -> Self {
        let library = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/mcp", listener.local_addr().unwrap());
        let router = Router::new().route("/mcp", post(serve)).with_state(library.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let body = json!({"name": "library", "url": url, "settings": {"allow_private_network": true}});
        let server = app.owner.post("/api/v1/mcp-servers", body).await.created();
        assert_eq!(server["status"], "active", "{server:#}");
        library
    }

    fn reads(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

async fn serve(State(library): State<Library>, Json(message): Json<Value>) -> impl IntoResponse {
    let params = &message["params"];
    let result = match message["method"].as_str().unwrap_or_default() {
        "initialize" => json!({"protocolVersion": "2025-11-25", "serverInfo": {"name": "library", "version": "1"},
            "capabilities": {"tools": {}, "resources": {}, "prompts": {}}}),
        "tools/list" => json!({"tools": []}),
        "resources/list" => {
            json!({"resources": [{"uri": "book://open", "name": "open"}, {"uri": "book://secret", "name": "secret"}]})
        }
        "resources/templates/list" => json!({"resourceTemplates": []}),
        "prompts/list" => json!({"prompts": [{"name": "greet"}]}),
        "resources/read" => {
            library.0.lock().unwrap().push(params["uri"].as_str().unwrap().to_owned());
            json!({"contents": [{"uri": params["uri"], "text": "once upon a time", "vendor": {"n": 1}}]})
        }
        "prompts/get" => {
            library.0.lock().unwrap().push(params["name"].as_str().unwrap().to_owned());
            let text = format!("Hello, {}", params["arguments"]["name"].as_str().unwrap_or("you"));
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": text}}]})
        }
        method if method.starts_with("notifications/") => return StatusCode::ACCEPTED.into_response(),
        _ => return StatusCode::BAD_REQUEST.into_response(),
    };
    Json(json!({"jsonrpc": "2.0", "id": message["id"], "result": result})).into_response()
}

async fn apply(app: &App, rules: Value) {
    let policy = json!({"metadata": {"name": "reads"}, "approval_workflows": [{"name": "people"}], "tools": rules});
    app.owner.post("/api/v1/policies/apply", policy).await.ok();
}

async fn read(agent: &Agent, uri: &str) -> Value {
    agent.modern("resources/read", json!({"uri": uri}), &json!({})).await
}

/// Records about calls, oldest first: kind, tool, what else.
async fn records(app: &App) -> Vec<(String, Value)> {
    let page = app.owner.get("/api/v1/audit-logs?action=call.intent,call.outcome,call.refused&limit=50").await.ok();
    let items = page.as_array().or(page["items"].as_array()).unwrap_or_else(|| panic!("{page:#}")).clone();
    items.into_iter().rev().map(|item| (item["action"].as_str().unwrap().to_owned(), item["details"].clone())).collect()
}

#[tokio::test]
async fn a_read_leaves_an_intent_and_an_outcome() {
    let app = App::start().await;
    let library = Library::added_to(&app).await;
    let agent = Agent::of(&app).await;

    let answer = read(&agent, "mcp+library:book://open").await;
    assert_eq!(answer["result"]["contents"][0]["vendor"], json!({"n": 1}), "as it came: {answer:#}");
    let params = json!({"name": "library__greet", "arguments": {"name": "Ada"}});
    let prompt = agent.modern("prompts/get", params, &json!({})).await;
    assert_eq!(prompt["result"]["messages"][0]["content"]["text"], "Hello, Ada", "{prompt:#}");
    assert_eq!(library.reads(), ["book://open", "greet"]);

    let records = records(&app).await;
    let kinds: Vec<_> = records.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["call.intent", "call.outcome", "call.intent", "call.outcome"]);
    assert_eq!(records[0].1["tool"], "resources/read", "{records:#?}");
    assert_eq!(records[0].1["server"], "library");
    assert_eq!(records[2].1["tool"], "prompts/get");
    assert_eq!(records[3].1["status"], "succeeded");
}

#[tokio::test]
async fn a_rule_denies_a_resource_by_its_uri() {
    let app = App::start().await;
    let library = Library::added_to(&app).await;
    apply(&app, json!([{"name": "resources/read", "source": "library", "conditions": [
        {"expression": "args.uri.contains('secret')", "action": "deny", "condition_type": "cel", "description": "not for agents"}]}]))
    .await;
    let agent = Agent::of(&app).await;

    let denied = read(&agent, "mcp+library:book://secret").await;
    assert_eq!(denied["error"]["code"], -32003, "{denied:#}");
    assert_eq!(denied["error"]["data"]["status"], "denied", "{denied:#}");
    assert!(denied["error"]["message"].as_str().unwrap().contains("not for agents"), "{denied:#}");
    assert!(read(&agent, "mcp+library:book://open").await["result"].is_object());
    assert_eq!(library.reads(), ["book://open"]);
    assert_eq!(records(&app).await[0].0, "call.refused");
}

#[tokio::test]
async fn a_read_waits_for_a_person() {
    let app = App::start().await;
    let library = Library::added_to(&app).await;
    apply(
        &app,
        json!([{"name": "prompts/get", "source": "library", "approval_workflow": "people",
        "conditions": [{"action": "require_approval"}]}]),
    )
    .await;
    let agent = Agent::of(&app).await;
    let (params, plain) = (json!({"name": "library__greet"}), json!({}));
    for (how, comes) in [("approve", true), ("decline", false)] {
        let (answer, ()) = join!(agent.modern("prompts/get", params.clone(), &plain), async {
            let id = app.one_pending().await;
            app.owner.post(&format!("/api/v1/approval-requests/{id}/{how}"), json!({"approved": comes})).await.ok();
        });
        assert_eq!(answer["result"].is_object(), comes, "{answer:#}");
        if !comes {
            assert_eq!(answer["error"]["data"]["status"], "declined", "{answer:#}");
        }
    }
    assert_eq!(library.reads(), ["greet"]);
}

#[tokio::test]
async fn what_may_not_be_read_is_not_listed() {
    let app = App::start().await;
    let library = Library::added_to(&app).await;
    apply(&app, json!([{"name": "resources/read", "source": "library", "enabled": false}])).await;
    let agent = Agent::of(&app).await;

    let list = agent.modern("resources/list", json!({}), &json!({})).await;
    assert_eq!(list["result"]["resources"], json!([]), "{list:#}");
    let prompts = agent.modern("prompts/list", json!({}), &json!({})).await;
    assert_eq!(prompts["result"]["prompts"][0]["name"], "library__greet", "{prompts:#}");
    let offer = agent.modern("server/discover", json!({}), &json!({})).await;
    assert!(offer["result"]["capabilities"]["resources"].is_null(), "{offer:#}");
    assert!(offer["result"]["capabilities"]["prompts"].is_object(), "{offer:#}");
    assert_eq!(read(&agent, "mcp+library:book://open").await["error"]["code"], -32602);
    assert!(library.reads().is_empty());
}

#[tokio::test]
async fn a_condition_on_what_a_read_does_not_have_is_refused() {
    let app = App::start().await;
    Library::added_to(&app).await;
    let policy = json!({"metadata": {"name": "reads"}, "tools": [{"name": "resources/read", "source": "library",
        "conditions": [{"expression": "args.url == 'x'", "action": "deny", "condition_type": "cel"}]}]});
    let verdict = app.owner.post("/api/v1/policies/apply", policy).await;
    assert!(verdict.text.contains("did you mean `args.uri`?"), "{}", verdict.text);
}
