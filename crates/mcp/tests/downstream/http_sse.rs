//! HTTP+SSE, the transport of 2024-11-05.

use preloop_mcp::downstream::Change;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{App, Events, call, until},
    door::bearer,
};

async fn connect(app: &App) -> (Events, String) {
    let mut events = Events::of(app.request_to(Method::GET, "/mcp/v1/sse").send().await.unwrap());
    let endpoint = events.next().await.unwrap();
    assert_eq!(endpoint.kind.as_deref(), Some("endpoint"));
    assert!(endpoint.data.starts_with("/mcp/v1/messages?sessionId="), "{endpoint:?}");
    (events, endpoint.data)
}

async fn say(app: &App, endpoint: &str, body: &Value) {
    let response = app.request_to(Method::POST, endpoint).json(body).send().await.unwrap();
    assert_eq!(response.status(), 202);
}

#[tokio::test]
async fn everything_the_server_says_is_on_one_stream() {
    let app = App::start().await;
    let (mut events, endpoint) = connect(&app).await;
    let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2024-11-05", "capabilities": {"roots": {}, "elicitation": {}}, "clientInfo": {"name": "old"}}});
    say(&app, &endpoint, &hello).await;
    assert_eq!(events.message().await["result"]["protocolVersion"], "2024-11-05");
    say(&app, &endpoint, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;

    say(&app, &endpoint, &json!({"jsonrpc": "2.0", "id": 1, "method": "ping"})).await;
    assert_eq!(events.message().await, json!({"jsonrpc": "2.0", "id": 1, "result": {}}));

    say(&app, &endpoint, &call(2, "progress")).await;
    let progress = [events.message().await, events.message().await];
    assert!(progress.iter().all(|message| message["method"] == "notifications/progress"));
    assert_eq!(events.message().await["id"], 2);
    let seen = app.fake.last();
    assert_eq!((seen.version.as_str(), seen.client.as_str()), ("2024-11-05", "old"));

    say(&app, &endpoint, &call(3, "ask")).await;
    let question = events.message().await;
    assert_eq!(question["method"], "elicitation/create");
    say(&app, &endpoint, &json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}})).await;
    assert_eq!(events.message().await["result"]["structuredContent"]["name"]["action"], "accept");

    app.fake.changes.send(Change::Tools).unwrap();
    assert_eq!(events.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn the_session_belongs_to_its_opener_and_its_connection() {
    let app = App::start().await;
    let (events, endpoint) = connect(&app).await;
    let ping = json!({"jsonrpc": "2.0", "id": 1, "method": "ping"});
    let foreign = app.request_to(Method::POST, &endpoint).headers(bearer("bob")).json(&ping);
    assert_eq!(foreign.send().await.unwrap().status(), 404);
    let nameless = app.request_to(Method::POST, "/mcp/v1/messages").json(&ping);
    assert_eq!(nameless.send().await.unwrap().status(), 404);

    say(&app, &endpoint, &call(1, "slow")).await;
    drop(events);
    for _ in 0..100 {
        let response = app.request_to(Method::POST, &endpoint).json(&ping).send().await.unwrap();
        if response.status() == 404 {
            app.fake.release.notify_one();
            until("the call is carried to its end", || crate::app::Fake::count(&app.fake.finished) == 1).await;
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("the session outlived its connection");
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let app = App::with(|options| options.http_sse = false).await;
    assert_eq!(app.request_to(Method::GET, "/mcp/v1/sse").send().await.unwrap().status(), 404);
}
