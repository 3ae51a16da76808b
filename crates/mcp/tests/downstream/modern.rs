//! The modern era: checks, results, questions that end a response.

use std::time::Duration;

use futures::future::join_all;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    app::{App, Events, Fake, modern, until},
    door::bearer,
};

fn tool(id: i64, name: &str) -> Value {
    modern(
        id,
        "tools/call",
        json!({"name": name, "arguments": {"text": "hi"}}),
        json!({"elicitation": {}, "roots": {}}),
    )
}

fn list() -> Value {
    modern(1, "tools/list", json!({}), json!({}))
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

/// The request without one of its headers, or with another value for it.
fn with(request: RequestBuilder, name: &'static str, value: Option<&str>) -> RequestBuilder {
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    request.headers_mut().remove(name);
    if let Some(value) = value {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    RequestBuilder::from_parts(client, request)
}

#[tokio::test]
async fn results_carry_what_the_era_demands_and_no_session() {
    let app = App::start().await;
    let response = app.modern(&tool(7, "echo")).header("mcp-session-id", "ignored").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers().get("mcp-session-id").is_none());
    let result = response.json::<Value>().await.unwrap()["result"].clone();
    assert_eq!(result["resultType"], "complete");
    assert_eq!(result["content"][0]["text"], "echo");
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["name"], "preloop");
    assert!(result.get("ttlMs").is_none());

    let (_, list) = answer(app.modern(&list())).await;
    assert_eq!(list["result"]["cacheScope"], "private");
    assert!(list["result"]["ttlMs"].as_u64().unwrap() <= 60_000);
    let seen = app.fake.last();
    assert_eq!((seen.version.as_str(), seen.client.as_str(), seen.conversation), ("2026-07-28", "test", None));
}

#[tokio::test]
async fn discover_is_answered_here() {
    let app = App::start().await;
    let (status, answer) = answer(app.modern(&modern(1, "server/discover", json!({}), json!({})))).await;
    let result = &answer["result"];
    assert_eq!(status, 200);
    assert_eq!(result["supportedVersions"][0], "2026-07-28");
    assert_eq!(result["supportedVersions"].as_array().unwrap().len(), 5);
    assert_eq!(result["capabilities"]["tools"]["listChanged"], true);
    assert_eq!(result["instructions"], "be kind");
    assert_eq!((&result["resultType"], &result["cacheScope"]), (&json!("complete"), &json!("private")));
    assert_eq!(result["_meta"]["io.modelcontextprotocol/serverInfo"]["version"], "1.0.0");
    assert_eq!(Fake::count(&app.fake.calls), 0);
}

#[tokio::test]
async fn headers_must_tell_what_the_body_tells() {
    let app = App::start().await;
    let request = || app.modern(&tool(7, "echo"));
    for (name, value) in [
        ("mcp-protocol-version", None),
        ("mcp-protocol-version", Some("2025-11-25")),
        ("mcp-method", None),
        ("mcp-method", Some("tools/list")),
        ("mcp-method", Some("TOOLS/CALL")),
        ("mcp-name", None),
        ("mcp-name", Some("pay")),
        ("mcp-name", Some("=?base64?%?=")),
        ("mcp-name", Some("=?base64?cGF5?=")),
    ] {
        let (status, answer) = answer(with(request(), name, value)).await;
        assert_eq!(
            (status, &answer["error"]["code"], &answer["id"]),
            (400, &json!(-32020), &json!(7)),
            "{name} {value:?}"
        );
    }
    let (status, twice) = answer(request().header("mcp-method", "tools/list")).await;
    assert_eq!((status, &twice["error"]["code"]), (400, &json!(-32020)));
    assert_eq!(Fake::count(&app.fake.calls), 0);

    assert_eq!(answer(with(request(), "mcp-name", Some("=?base64?ZWNobw==?="))).await.0, 200);
    let read = modern(1, "resources/read", json!({"uri": "x://é"}), json!({}));
    let encoded = with(app.modern(&read), "mcp-name", Some("=?base64?eDovL8Op?="));
    assert_eq!(answer(encoded).await.1["error"]["code"], -32602, "checked, and then not found");
}

#[tokio::test]
async fn arguments_repeated_in_headers_reach_the_handler() {
    let app = App::start().await;
    let request =
        app.modern(&tool(7, "echo")).header("Mcp-Param-Region", "=?base64?w6k=?=").header("Mcp-Param-N", "42");
    assert_eq!(answer(request).await.0, 200);
    let mut headers = app.fake.last().headers;
    headers.sort();
    assert_eq!(headers, [("n".to_owned(), "42".to_owned()), ("region".to_owned(), "é".to_owned())]);
}

#[tokio::test]
async fn every_request_says_who_makes_it() {
    let app = App::start().await;
    for missing in ["protocolVersion", "clientCapabilities"] {
        let mut body = list();
        body["params"]["_meta"].as_object_mut().unwrap().remove(&format!("io.modelcontextprotocol/{missing}"));
        let (status, answer) = answer(app.modern(&body)).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32602)), "{missing}");
    }
    let mut body = list();
    body["params"] = json!({});
    assert_eq!(answer(app.modern(&body)).await.0, 400);
    let mut body = list();
    body["params"]["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!(1);
    assert_eq!(answer(app.modern(&body)).await.1["error"]["code"], -32602);
    let mut body = list();
    body["params"]["_meta"].as_object_mut().unwrap().remove("io.modelcontextprotocol/clientInfo");
    assert_eq!(answer(app.modern(&body)).await.0, 200, "the name is optional");
}

#[tokio::test]
async fn an_unknown_revision_learns_the_known_ones() {
    let app = App::start().await;
    let mut body = list();
    body["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2031-01-01".into();
    let (status, answer) = answer(with(app.modern(&body), "mcp-protocol-version", Some("2031-01-01"))).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32022)));
    assert_eq!(answer["error"]["data"]["requested"], "2031-01-01");
    assert_eq!(answer["error"]["data"]["supported"][0], "2026-07-28");
}

#[tokio::test]
async fn errors_have_the_status_of_the_era() {
    let app = App::start().await;
    let of = |method: &str| {
        let params = match method {
            "resources/read" => json!({"uri": "x://y"}),
            _ => json!({"name": "needs-sampling", "level": "error"}),
        };
        let body = modern(1, method, params, json!({}));
        answer(app.modern(&body))
    };
    for method in ["nonsense", "initialize", "ping", "logging/setLevel", "resources/subscribe", "resources/unsubscribe"]
    {
        let (status, answer) = of(method).await;
        assert_eq!((status, &answer["error"]["code"]), (404, &json!(-32601)), "{method}");
    }
    let (status, answer) = of("tools/call").await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32021)));
    assert_eq!(answer["error"]["data"]["requiredCapabilities"], json!({"sampling": {}}));
    let (status, answer) = of("resources/read").await;
    assert_eq!((status, &answer["error"]["code"]), (200, &json!(-32602)), "not -32002 any more");
}

#[tokio::test]
async fn there_are_no_listening_streams_no_sessions_and_no_responses() {
    let app = App::start().await;
    for method in [Method::GET, Method::DELETE] {
        let request = app.request(method).header("mcp-protocol-version", "2026-07-28").header("mcp-session-id", "x");
        assert_eq!(request.send().await.unwrap().status(), 405);
    }
    let response = json!({"jsonrpc": "2.0", "id": 1, "result": {}});
    let (status, answer) = answer(app.post(&response).header("mcp-protocol-version", "2026-07-28")).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(-32600)));
    let notification = json!({"jsonrpc": "2.0", "method": "notifications/whatever"});
    let accepted = app.post(&notification).header("mcp-protocol-version", "2026-07-28").send().await.unwrap();
    assert_eq!(accepted.status(), 202);
}

#[tokio::test]
async fn the_handshake_is_legacy_whatever_the_header_hopes() {
    let app = App::start().await;
    let hello = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize",
        "params": {"protocolVersion": "2026-07-28", "capabilities": {}}});
    let (status, answer) = answer(app.post(&hello).header("mcp-protocol-version", "2026-07-28")).await;
    assert_eq!((status, &answer["result"]["protocolVersion"]), (200, &json!("2025-11-25")));
}

#[tokio::test]
async fn a_stream_has_no_ids_and_is_gone_with_its_connection() {
    let app = App::start().await;
    let mut body = tool(1, "progress");
    body["params"]["_meta"]["progressToken"] = json!(5);
    let mut events = Events::of(app.modern(&body).send().await.unwrap());
    let first = events.next().await.unwrap();
    assert_eq!((first.id.clone(), first.json()["params"]["progressToken"].clone()), (None, json!(5)));
    events.message().await;
    assert_eq!(events.message().await["result"]["resultType"], "complete");
    assert_eq!(events.next().await, None);

    let events = Events::of(app.modern(&tool(2, "slow")).send().await.unwrap());
    drop(events);
    until("closing cancels", || Fake::count(&app.fake.cancelled) == 1).await;

    // Also before anything was streamed.
    let waiting = tokio::spawn(app.modern(&tool(3, "slow")).send());
    until("it began", || Fake::count(&app.fake.calls) == 3).await;
    waiting.abort();
    until("closing cancels", || Fake::count(&app.fake.cancelled) == 2).await;
}

#[tokio::test]
async fn log_messages_are_sent_when_asked_for() {
    let app = App::start().await;
    let response = app.modern(&tool(1, "log")).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json", "nothing was streamed");

    let mut body = tool(1, "log");
    body["params"]["_meta"]["io.modelcontextprotocol/logLevel"] = "error".into();
    let mut events = Events::of(app.modern(&body).send().await.unwrap());
    assert_eq!(events.message().await["params"]["level"], "error");
    assert_eq!(events.message().await["id"], 1);
}

// === questions ===

/// The request repeated with answers.
fn again(body: &Value, id: i64, asked: &Value, answers: Value) -> Value {
    let mut body = body.clone();
    body["id"] = id.into();
    body["params"]["requestState"] = asked["result"]["requestState"].clone();
    body["params"]["inputResponses"] = answers;
    body
}

fn accepted(name: &str) -> Value {
    json!({"name": {"action": "accept", "content": {"name": name}}})
}

#[tokio::test]
async fn a_question_ends_the_response_and_the_retry_continues_the_same_call() {
    let app = App::start().await;
    let call = tool(1, "ask");
    let (status, asked) = answer(app.modern(&call)).await;
    let result = &asked["result"];
    assert_eq!((status, &result["resultType"]), (200, &json!("input_required")));
    assert_eq!(result["inputRequests"]["name"]["method"], "elicitation/create");
    assert_eq!(result["inputRequests"]["name"]["params"]["message"], "who are you?");

    let (status, done) = answer(app.modern(&again(&call, 2, &asked, accepted("Ana")))).await;
    assert_eq!((status, &done["id"], &done["result"]["resultType"]), (200, &json!(2), &json!("complete")));
    assert_eq!(done["result"]["structuredContent"]["name"]["content"]["name"], "Ana");
    assert_eq!(Fake::count(&app.fake.calls), 1, "one call, two requests");
}

#[tokio::test]
async fn questions_come_in_rounds_and_progress_follows_the_new_token() {
    let app = App::start().await;
    let mut call = tool(1, "ask-twice");
    call["params"]["_meta"]["progressToken"] = json!("old");
    let (_, first) = answer(app.modern(&call)).await;
    let mut retry = again(&call, 2, &first, json!({"first": {"action": "accept"}}));
    retry["params"]["_meta"]["progressToken"] = json!("new");
    let mut events = Events::of(app.modern(&retry).send().await.unwrap());
    assert_eq!(events.message().await["params"], json!({"progressToken": "new", "progress": 5}));
    let second = events.message().await;
    assert_eq!(second["id"], 2);
    assert_eq!(second["result"]["inputRequests"].as_object().unwrap().len(), 2);
    assert_eq!(events.next().await, None);
    assert_ne!(first["result"]["requestState"], second["result"]["requestState"]);

    // An answer may be missing: what that means is for whoever asked.
    let (_, done) = answer(app.modern(&again(&call, 3, &second, json!({"where": {"roots": []}})))).await;
    assert_eq!(done["result"]["structuredContent"], json!({"where": {"roots": []}}));
}

#[tokio::test]
async fn a_request_state_is_good_for_its_holder_its_request_and_one_use() {
    let app = App::start().await;
    let call = tool(1, "ask");
    let (_, asked) = answer(app.modern(&call)).await;
    let state = asked["result"]["requestState"].as_str().unwrap();
    let retry = again(&call, 2, &asked, accepted("Ana"));
    let refused = async |request: RequestBuilder| {
        let (status, answer) = answer(request).await;
        assert_eq!((status, &answer["error"]["code"], &answer["id"]), (200, &json!(-32602), &json!(2)));
        answer["error"]["message"].as_str().unwrap().to_owned()
    };

    for tampered in [format!("A{}", &state[1..]), state[..state.len() - 4].to_owned(), "x".to_owned(), String::new()] {
        let mut retry = retry.clone();
        retry["params"]["requestState"] = tampered.into();
        assert!(refused(app.modern(&retry)).await.contains("not one this server gave you"));
    }
    assert!(refused(app.modern(&retry).headers(bearer("bob"))).await.contains("not one this server gave you"));
    let mut other = retry.clone();
    other["params"]["arguments"]["text"] = "something else".into();
    assert!(refused(app.modern(&other)).await.contains("another request"));
    let mut nonsense = retry.clone();
    nonsense["params"]["inputResponses"] = json!([1]);
    assert!(refused(app.modern(&nonsense)).await.contains("must be an object"));

    // None of that spent it; using it does.
    let mut reordered = retry.clone();
    reordered["params"]["arguments"] = serde_json::from_str(r#"{ "text" : "hi" }"#).unwrap();
    assert_eq!(answer(app.modern(&reordered)).await.1["result"]["resultType"], "complete");
    assert!(refused(app.modern(&retry)).await.contains("expired or was used before"));

    let elsewhere = App::start().await;
    assert!(refused(elsewhere.modern(&retry)).await.contains("not one this server gave you"));
}

#[tokio::test]
async fn racing_retries_continue_the_call_once() {
    let app = App::start().await;
    let call = tool(1, "ask");
    let (_, asked) = answer(app.modern(&call)).await;
    let retries: Vec<_> = (2..12).map(|id| again(&call, id, &asked, accepted("Ana"))).collect();
    let answers = join_all(retries.iter().map(|retry| answer(app.modern(retry)))).await;
    let done = answers.iter().filter(|(_, answer)| answer.get("result").is_some()).count();
    assert_eq!((done, Fake::count(&app.fake.finished)), (1, 1));
}

#[tokio::test]
async fn a_parked_request_waits_five_minutes_and_no_longer() {
    let app = App::start().await;
    let call = tool(1, "ask");
    let (_, asked) = answer(app.modern(&call)).await;
    app.pass(Duration::from_secs(5 * 60 + 1));
    let (_, late) = answer(app.modern(&again(&call, 2, &asked, accepted("Ana")))).await;
    assert_eq!(late["error"]["code"], -32602);

    let app = App::with(|options| options.limits.ask_for = Duration::from_millis(50)).await;
    let (_, asked) = answer(app.modern(&call)).await;
    until("whoever asked learns it", || Fake::count(&app.fake.asked_in_vain) == 1).await;
    let (_, late) = answer(app.modern(&again(&call, 2, &asked, accepted("Ana")))).await;
    assert_eq!(late["error"]["code"], -32602);
}

#[tokio::test]
async fn the_number_of_parked_requests_is_bounded() {
    let app = App::with(|options| options.limits.parked_per_key = 2).await;
    let call = tool(1, "ask");
    let (_, first) = answer(app.modern(&call)).await;
    answer(app.modern(&call)).await;
    let (_, refused) = answer(app.modern(&call)).await;
    assert!(refused["result"]["structuredContent"]["unsupported"].is_string(), "{refused}");
    let (_, other) = answer(app.modern(&call).headers(bearer("bob"))).await;
    assert_eq!(other["result"]["resultType"], "input_required", "another's do not count");

    answer(app.modern(&again(&call, 2, &first, accepted("Ana")))).await;
    let (_, asked) = answer(app.modern(&call)).await;
    assert_eq!(asked["result"]["resultType"], "input_required", "one came back");
}

#[tokio::test]
async fn only_what_the_request_declares_is_asked() {
    let app = App::start().await;
    let (_, answer) = answer(app.modern(&tool(1, "sample"))).await;
    assert!(answer["result"]["structuredContent"]["unsupported"].is_string(), "{answer}");
}

#[tokio::test]
async fn a_parked_call_is_not_given_up_but_one_taken_up_again_can_be() {
    let app = App::start().await;
    let call = tool(1, "ask-then-slow");
    let (_, asked) = answer(app.modern(&call)).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(Fake::count(&app.fake.cancelled), 0);
    let events = Events::of(app.modern(&again(&call, 2, &asked, accepted("Ana"))).send().await.unwrap());
    drop(events);
    until("closing cancels", || Fake::count(&app.fake.cancelled) == 1).await;
}

#[tokio::test]
async fn answers_without_a_state_are_a_new_request() {
    let app = App::start().await;
    let mut call = tool(1, "echo");
    call["params"]["inputResponses"] = accepted("Ana");
    assert_eq!(answer(app.modern(&call)).await.0, 200);
    let seen: Value = serde_json::from_str(&app.fake.last().params).unwrap();
    assert_eq!(seen["inputResponses"], accepted("Ana"));
}
