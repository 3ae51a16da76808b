//! Input that is wrong, on purpose or not. Each ends in a clear error, and the server serves on.

use preloop_bench::mock::{Mock, Options};
use preloop_e2e::{Agent, App, Era};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn server() -> (App, Mock) {
    let app = App::start().await;
    let mock = Mock::start(Options::default()).await.unwrap();
    app.add_mock("bank", &mock).await;
    (app, mock)
}

/// The code of a JSON-RPC error.
fn code(body: &str) -> i64 {
    let body: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {body}"));
    body["error"]["code"].as_i64().unwrap_or_else(|| panic!("no error: {body}"))
}

#[tokio::test]
async fn messages_that_are_not_json_rpc_are_refused_with_the_right_code() {
    let (app, mock) = server().await;
    let agent = app.agent(Era::Legacy).await;
    for (body, expected) in [
        ("", -32700),
        ("not json", -32700),
        (r#"{"jsonrpc":"2.0","id":1,"method":"ping""#, -32700),
        ("\"ping\"", -32600),
        ("{}", -32600),
        (r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":{},"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":null,"method":"ping"}"#, -32600),
        (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, -32600),
        (r#"[{"jsonrpc":"2.0","id":1,"method":"ping"}]"#, -32600),
        ("[]", -32600),
    ] {
        let (status, answer) = agent.raw(body, &[]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}: {answer}");
        assert_eq!(code(&answer), expected, "{body}: {answer}");
    }
    let (_, answer) = agent.raw(r#"{"jsonrpc":"2.0","id":1,"method":"no/such"}"#, &[]).await;
    assert_eq!(code(&answer), -32601);
    let (_, answer) = agent.raw(r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":[]}"#, &[]).await;
    assert_eq!(code(&answer), -32602);
    still_serves(&agent).await;
    assert_eq!(mock.calls().len(), 1);
}

#[tokio::test]
async fn deep_and_oversized_bodies_are_refused_before_they_cost_anything() {
    let (app, _mock) = server().await;
    let agent = app.agent(Era::Legacy).await;
    for depth in [200, 100_000] {
        let deep = "[".repeat(depth) + &"]".repeat(depth);
        let call = format!(
            r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":{deep}}}}}}}"#
        );
        let (status, answer) = agent.raw(call, &[]).await;
        assert!(status.is_client_error() || answer.contains("error"), "{depth}: {status} {answer}");
    }
    let big = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"ping","params":{{"x":"{}"}}}}"#, "x".repeat(8 << 20));
    // The refusal comes before the body is read, so a client that is still writing may miss it.
    let refusal = agent.try_raw(big, &[]).await;
    assert!(refusal.is_none_or(|(status, _)| status == StatusCode::PAYLOAD_TOO_LARGE));
    still_serves(&agent).await;
}

#[tokio::test]
async fn arguments_that_two_readers_could_read_differently_are_refused() {
    let (app, mock) = server().await;
    let agent = app.agent(Era::Legacy).await;
    let twice = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"pay","arguments":{"amount":1,"amount":1000}}}"#;
    let (_, answer) = agent.raw(twice, &[]).await;
    assert!(answer.contains("error") || answer.contains("\"isError\":true"), "{answer}");
    assert!(mock.calls().is_empty());
}

#[tokio::test]
async fn wrong_headers_are_refused() {
    let (app, mock) = server().await;
    let agent = app.agent(Era::Legacy).await;
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let refused = async |headers: &[(&str, &str)]| agent.raw(ping, headers).await.0;
    assert_eq!(refused(&[("origin", "https://evil.example")]).await, StatusCode::FORBIDDEN);
    assert_eq!(refused(&[("origin", "null")]).await, StatusCode::FORBIDDEN);
    assert!(refused(&[("host", "evil.example")]).await.is_client_error());

    let url = format!("{}/mcp/v1", app.url());
    let plain = reqwest::Client::builder().no_proxy().build().unwrap();
    let unknown = plain.post(&url).body(ping).header("content-type", "application/json").send().await.unwrap();
    assert_eq!(unknown.status(), StatusCode::UNAUTHORIZED);
    assert!(unknown.headers().contains_key("www-authenticate"));
    let forged = plain.post(&url).body(ping).bearer_auth("pl_nobody").send().await.unwrap();
    assert_eq!(forged.status(), StatusCode::UNAUTHORIZED);

    // The modern era mirrors method and name in headers; a body that says otherwise is refused.
    let modern = app.agent(Era::Modern).await;
    let meta = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;
    let call = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"pay","arguments":{{}},{meta}}}}}"#
    );
    let lie = [("mcp-method", "tools/call"), ("mcp-name", "echo")];
    let (status, answer) = modern.raw(call, &lie).await;
    assert_eq!((status, code(&answer)), (StatusCode::BAD_REQUEST, -32020), "{answer}");
    assert!(mock.calls().is_empty());
}

#[tokio::test]
async fn a_session_is_of_no_use_to_another_key() {
    let (app, _mock) = server().await;
    let owner = app.owner();
    let agent = app.agent(Era::Legacy).await;
    let session = agent.session().unwrap().to_owned();
    let thief = owner.create_key(json!({})).await;
    let response = reqwest::Client::builder().no_proxy().build().unwrap();
    let response = response
        .post(format!("{}/mcp/v1", app.url()))
        .bearer_auth(thief)
        .header("content-type", "application/json")
        .header("accept", "application/json, text/event-stream")
        .header("mcp-session-id", session)
        .header("mcp-protocol-version", "2025-11-25")
        .body(r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#);
    assert_eq!(response.send().await.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn an_agent_cannot_approve_or_reconfigure_anything() {
    let (app, _mock) = server().await;
    let key = app.owner().create_key(json!({ "scopes": ["mcp:read", "mcp:write"] })).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    for (method, path) in [
        (Method::GET, "/api/v1/approval-requests"),
        (Method::POST, "/api/v1/policies/apply"),
        (Method::POST, "/api/v1/mcp-servers"),
        (Method::POST, "/api/v1/auth/api-keys"),
        (Method::GET, "/api/v1/audit-logs/export"),
    ] {
        let request = http.request(method.clone(), format!("{}{path}", app.url())).bearer_auth(&key).json(&json!({}));
        let status = request.send().await.unwrap().status();
        assert_eq!(status, StatusCode::FORBIDDEN, "{method} {path}");
    }
}

#[tokio::test]
async fn servers_on_private_addresses_need_leave() {
    let app = App::start().await;
    let mock = Mock::start(Options::default()).await.unwrap();
    for url in [mock.url(), "http://169.254.169.254/latest/meta-data".to_owned(), "http://[::1]:1/mcp".to_owned()] {
        let body = json!({ "name": url, "url": url, "settings": { "allow_private_network": false } });
        let (status, server) = app.owner().send(Method::POST, "/api/v1/mcp-servers", Some(body)).await;
        assert!(status.is_client_error() || server["status"] == "error", "{url}: {status} {server:#}");
    }
    assert!(mock.calls().is_empty());
}

async fn still_serves(agent: &Agent) {
    assert!(!agent.call("echo", json!({ "id": "still" })).await.is_error());
}
