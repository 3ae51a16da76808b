//! The legacy era: handshake, sessions, batches.

use std::time::Duration;

use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    app::{App, Fake, call, until},
    door::bearer,
};

#[tokio::test]
async fn the_handshake_agrees_on_a_revision() {
    let app = App::start().await;
    for (asked, agreed) in [
        ("2024-11-05", "2024-11-05"),
        ("2025-03-26", "2025-03-26"),
        ("2025-06-18", "2025-06-18"),
        ("2025-11-25", "2025-11-25"),
        ("2026-07-28", "2025-11-25"),
        ("2031-01-01", "2025-11-25"),
    ] {
        let session = app.session(asked, json!({})).await;
        assert_eq!(session.version, agreed);
        let result = &session.greeting["result"];
        assert_eq!(result["serverInfo"], json!({"name": "preloop", "title": "Preloop", "version": "1.0.0"}));
        assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
        assert_eq!(result["instructions"], "be kind");
        assert!(result.get("resultType").is_none());
        assert_eq!(session.id.len(), 22, "128 bits");
    }
    let vague = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {}});
    let refused = app.post(&vague).send().await.unwrap();
    assert!(refused.headers().get("mcp-session-id").is_none());
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], -32602);
}

#[tokio::test]
async fn a_server_that_does_not_exist_cannot_be_initialized() {
    let app = App::start().await;
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}});
    let refused = app.request_to(Method::POST, "/mcp/v1/servers/nowhere").json(&hello).send().await.unwrap();
    assert_eq!(refused.json::<Value>().await.unwrap()["error"]["message"], "no server `nowhere`");
}

#[tokio::test]
async fn a_call_comes_back_as_plain_json_and_unchanged() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({"roots": {}})).await;
    let request = json!({"jsonrpc": "2.0", "id": "odd \"id\"", "method": "pretty"});
    let response = session.post(&request).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    let text = response.text().await.unwrap();
    assert!(text.contains(r#""id":"odd \"id\"""#) && text.contains("123456789012345678901234567890"), "{text}");
    assert!(text.contains("1.0e3"), "{text}");

    session.answer(&call(2, "echo")).await;
    let seen = app.fake.last();
    assert_eq!((seen.who.as_str(), seen.client.as_str()), ("ana", "test"));
    assert_eq!((seen.version.as_str(), seen.conversation.as_ref()), ("2025-06-18", Some(&session.id)));
}

#[tokio::test]
async fn the_endpoint_answers_what_is_its_own() {
    let app = App::start().await;
    let session = app.session("2025-11-25", json!({})).await;
    let ask = |method: &str, params: Value| json!({"jsonrpc": "2.0", "id": 9, "method": method, "params": params});
    assert_eq!(session.answer(&ask("ping", json!({}))).await, json!({"jsonrpc": "2.0", "id": 9, "result": {}}));
    assert_eq!(session.answer(&ask("logging/setLevel", json!({"level": "error"}))).await["result"], json!({}));
    assert_eq!(session.answer(&ask("logging/setLevel", json!({"level": "loud"}))).await["error"]["code"], -32602);
    assert_eq!(Fake::count(&app.fake.calls), 0);

    // Unknown methods are an error in a successful response; so are those of the modern era.
    for method in ["nonsense", "server/discover", "subscriptions/listen"] {
        let response = session.post(&ask(method, json!({}))).send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.json::<Value>().await.unwrap()["error"]["code"], -32601, "{method}");
    }
}

#[tokio::test]
async fn notifications_and_answers_are_accepted_without_a_word() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    for body in [
        json!({"jsonrpc": "2.0", "method": "notifications/roots/list_changed"}),
        json!({"jsonrpc": "2.0", "id": 4711, "result": {}}),
        json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 99}}),
    ] {
        let response = session.post(&body).send().await.unwrap();
        assert_eq!(response.status(), 202);
        assert_eq!(response.text().await.unwrap(), "");
    }
    assert_eq!(*app.fake.notified.lock().unwrap(), ["notifications/roots/list_changed"]);
}

#[tokio::test]
async fn the_revision_header_may_be_missing_but_not_unknown() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let bare = app.post(&call(1, "echo")).header("mcp-session-id", &session.id).send().await.unwrap();
    assert_eq!(bare.status(), 200);
    assert_eq!(app.fake.last().version.as_str(), "2025-06-18", "the session remembers");

    let unknown = app.post(&call(1, "echo")).header("mcp-protocol-version", "1999-01-01").send().await.unwrap();
    assert_eq!(unknown.status(), 400);
    let unknown: Value = unknown.json().await.unwrap();
    assert_eq!(unknown["error"]["code"], -32022);
    assert_eq!(unknown["error"]["data"]["requested"], "1999-01-01");
    assert_eq!(
        unknown["error"]["data"]["supported"],
        json!(["2026-07-28", "2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
    );
    let get = app.request(Method::GET).header("mcp-session-id", &session.id);
    assert_eq!(get.header("mcp-protocol-version", "1999-01-01").send().await.unwrap().status(), 400);
}

#[tokio::test]
async fn a_request_without_a_session_is_served_as_2025_03_26() {
    let app = App::start().await;
    let response = app.post(&call(1, "echo")).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let seen = app.fake.last();
    assert_eq!((seen.version.as_str(), seen.conversation), ("2025-03-26", None));
}

#[tokio::test]
async fn a_session_is_its_openers_alone() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    for method in [Method::POST, Method::GET, Method::DELETE] {
        let foreign = app.request(method.clone()).headers(bearer("bob")).header("mcp-session-id", &session.id);
        assert_eq!(foreign.json(&call(1, "echo")).send().await.unwrap().status(), 404, "{method}");
    }
    let unknown = app.post(&call(1, "echo")).header("mcp-session-id", "nonsense").send().await.unwrap();
    assert_eq!(unknown.status(), 404);
    assert_eq!(session.answer(&call(1, "echo")).await["result"]["content"][0]["text"], "echo", "and it goes on");
}

#[tokio::test]
async fn a_deleted_session_is_gone() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    assert_eq!(session.request(Method::DELETE).send().await.unwrap().status(), 200);
    assert_eq!(session.post(&call(1, "echo")).send().await.unwrap().status(), 404);
    assert_eq!(session.request(Method::GET).send().await.unwrap().status(), 404);
    until("it is forgotten", || app.store.0.lock().unwrap().is_empty()).await;
}

#[tokio::test]
async fn a_session_ends_when_it_is_idle_for_half_an_hour() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    app.pass(Duration::from_mins(29));
    assert_eq!(session.post(&call(1, "echo")).send().await.unwrap().status(), 200);
    assert_eq!(app.store.1.lock().unwrap().as_slice(), std::slice::from_ref(&session.id), "the store hears of it");
    app.pass(Duration::from_mins(29));
    assert_eq!(session.post(&call(2, "echo")).send().await.unwrap().status(), 200);
    app.pass(Duration::from_mins(31));
    assert_eq!(session.post(&call(3, "echo")).send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_session_survives_a_restart() {
    let app = App::start().await;
    let session = app.session("2025-11-25", json!({"roots": {}})).await;
    let again = App::restart(app.store.clone(), |_| {}).await;
    let response = again.post(&call(1, "echo")).header("mcp-session-id", &session.id).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let seen = again.fake.last();
    assert_eq!((seen.version.as_str(), seen.client.as_str()), ("2025-11-25", "test"));

    let foreign = again.post(&call(1, "echo")).headers(bearer("bob")).header("mcp-session-id", &session.id);
    assert_eq!(foreign.send().await.unwrap().status(), 404);
    let late = App::restart(app.store.clone(), |_| {}).await;
    late.pass(Duration::from_mins(31));
    let response = late.post(&call(1, "echo")).header("mcp-session-id", &session.id).send().await.unwrap();
    assert_eq!(response.status(), 404, "idle too long, restart or not");
}

#[tokio::test]
async fn the_session_idle_longest_makes_room_for_a_new_one() {
    let app = App::with(|options| options.limits.sessions_per_key = 2).await;
    let first = app.session("2025-06-18", json!({})).await;
    app.pass(Duration::from_secs(1));
    let second = app.session("2025-06-18", json!({})).await;
    app.pass(Duration::from_secs(1));
    first.answer(&call(1, "echo")).await;
    let third = app.session("2025-06-18", json!({})).await;
    assert_eq!(second.post(&call(1, "echo")).send().await.unwrap().status(), 404);
    assert_eq!(first.post(&call(1, "echo")).send().await.unwrap().status(), 200);
    assert_eq!(third.post(&call(1, "echo")).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn batches_exist_in_one_revision_only() {
    let app = App::start().await;
    let batch = json!([
        call(1, "echo"),
        {"jsonrpc": "2.0", "method": "notifications/roots/list_changed"},
        {"jsonrpc": "2.0", "id": 2, "method": "ping"},
        {"jsonrpc": "2.0", "id": 3, "method": "initialize", "params": {"protocolVersion": "2025-03-26"}},
        {"id": 4},
    ]);
    let old = app.session("2025-03-26", json!({})).await;
    let responses = old.answer(&batch).await;
    let responses = responses.as_array().unwrap();
    assert_eq!(responses.len(), 4);
    assert_eq!(responses[0]["result"]["content"][0]["text"], "echo");
    assert_eq!(responses[1], json!({"jsonrpc": "2.0", "id": 2, "result": {}}));
    assert_eq!(responses[2]["error"]["code"], -32601);
    assert_eq!(responses[3]["error"]["code"], -32600);
    assert_eq!(app.fake.notified.lock().unwrap().len(), 1);

    let silent = json!([{"jsonrpc": "2.0", "method": "notifications/initialized"}]);
    assert_eq!(old.post(&silent).send().await.unwrap().status(), 202);
    for refused in [json!([]), Value::Array(vec![json!({"jsonrpc": "2.0", "id": 1, "method": "ping"}); 65])] {
        assert_eq!(old.post(&refused).send().await.unwrap().status(), 400);
    }
    for version in ["2024-11-05", "2025-06-18", "2025-11-25"] {
        let session = app.session(version, json!({})).await;
        let refused = session.post(&batch).send().await.unwrap();
        assert_eq!(refused.status(), 400);
        assert_eq!(refused.json::<Value>().await.unwrap()["error"]["code"], -32600);
    }
    let modern = app.post(&batch).header("mcp-protocol-version", "2026-07-28").send().await.unwrap();
    assert_eq!(modern.status(), 400);
}

#[tokio::test]
async fn a_batch_may_not_do_what_its_credential_may_not() {
    let app = App::start().await;
    let batch = json!([{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, call(2, "echo")]);
    let refused = app.post(&batch).headers(bearer("reader")).send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(Fake::count(&app.fake.calls), 0);
}

#[tokio::test]
async fn many_calls_of_one_session_run_at_once() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let held = tokio::spawn(session.post(&call(0, "slow")).send());
    until("it began", || Fake::count(&app.fake.calls) == 1).await;
    let calls: Vec<_> = (1..=100).map(|id| call(id, "echo")).collect();
    let answers = join_all(calls.iter().map(|call| session.answer(call))).await;
    for (answer, call) in answers.iter().zip(&calls) {
        assert_eq!(answer["id"], call["id"]);
    }
    app.fake.release.notify_one();
    assert_eq!(held.await.unwrap().unwrap().status(), 200);
}

#[tokio::test]
async fn a_handler_that_falls_over_is_an_internal_error() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    assert_eq!(session.answer(&call(1, "panic")).await["error"]["code"], -32603);
}

#[tokio::test]
async fn a_missing_resource_has_its_legacy_code() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let read = json!({"jsonrpc": "2.0", "id": 1, "method": "resources/read", "params": {"uri": "x://y"}});
    assert_eq!(session.answer(&read).await["error"]["code"], -32002);
}
