//! Questions to the agent, in the legacy era as requests of ours.

use std::time::Duration;

use serde_json::{Value, json};

use crate::app::{App, Events, Fake, Session, call, until};

async fn answer(session: &Session<'_>, question: &Value, result: Value) {
    let answer = json!({"jsonrpc": "2.0", "id": question["id"], "result": result});
    assert_eq!(session.post(&answer).send().await.unwrap().status(), 202);
}

#[tokio::test]
async fn a_question_is_asked_on_the_stream_of_its_call() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({"elicitation": {}})).await;
    let mut events = session.stream(&call(1, "ask")).await;
    let question = events.message().await;
    assert_eq!(question["method"], "elicitation/create");
    assert_eq!(question["params"]["message"], "who are you?");
    answer(&session, &question, json!({"action": "accept", "content": {"name": "Ana"}})).await;
    let response = events.message().await;
    assert_eq!(response["result"]["structuredContent"]["name"]["content"]["name"], "Ana");
}

#[tokio::test]
async fn questions_follow_one_another_and_come_together() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({"elicitation": {}, "roots": {}})).await;
    let mut events = session.stream(&call(1, "ask-twice")).await;
    let first = events.message().await;
    answer(&session, &first, json!({"action": "decline"})).await;
    assert_eq!(events.message().await["params"]["progress"], 5);
    let (second, third) = (events.message().await, events.message().await);
    assert_eq!((&second["method"], &third["method"]), (&json!("elicitation/create"), &json!("roots/list")));
    // Answers may come in any order, and may be errors.
    let error = json!({"jsonrpc": "2.0", "id": third["id"], "error": {"code": -1, "message": "no roots here"}});
    session.post(&error).send().await.unwrap();
    answer(&session, &second, json!({"action": "accept"})).await;
    let response = events.message().await;
    assert_eq!(
        response["result"]["structuredContent"],
        json!({"second": {"action": "accept"}, "where": {"error": "no roots here"}})
    );
}

#[tokio::test]
async fn only_what_the_client_declared_is_asked() {
    let app = App::start().await;
    for (capabilities, tool) in [
        (json!({}), "ask"),
        (json!({"elicitation": {"url": {}}}), "ask"),
        (json!({"elicitation": {}}), "sample"),
        (json!({"sampling": null}), "sample"),
    ] {
        let session = app.session("2025-11-25", capabilities).await;
        let response = session.answer(&call(1, tool)).await;
        assert!(response["result"]["structuredContent"]["unsupported"].is_string(), "{response}");
    }
    let nobody = app.post(&call(1, "ask")).send().await.unwrap();
    let response: Value = nobody.json().await.unwrap();
    assert!(response["result"]["structuredContent"]["unsupported"].is_string(), "no session, no capabilities");
}

#[tokio::test]
async fn a_client_that_streams_no_calls_is_asked_where_it_listens() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({"elicitation": {}})).await;
    let plain = || {
        session.post(&call(1, "ask")).headers(reqwest::header::HeaderMap::from_iter([(
            reqwest::header::ACCEPT,
            reqwest::header::HeaderValue::from_static("application/json"),
        )]))
    };
    let response: Value = plain().send().await.unwrap().json().await.unwrap();
    assert!(response["result"]["structuredContent"]["unsupported"].is_string(), "{response}");

    let mut listening = session.listen().await;
    let calling = tokio::spawn(plain().send());
    let question = listening.message().await;
    answer(&session, &question, json!({"action": "accept"})).await;
    let response: Value = calling.await.unwrap().unwrap().json().await.unwrap();
    assert_eq!(response["result"]["structuredContent"]["name"]["action"], "accept");
}

#[tokio::test]
async fn answers_of_another_session_do_not_count() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({"elicitation": {}})).await;
    let other = app.session("2025-06-18", json!({"elicitation": {}})).await;
    let mut events = session.stream(&call(1, "ask")).await;
    let question = events.message().await;
    answer(&other, &question, json!({"action": "accept", "content": {"name": "Mallory"}})).await;
    answer(&session, &question, json!({"action": "accept", "content": {"name": "Ana"}})).await;
    assert_eq!(events.message().await["result"]["structuredContent"]["name"]["content"]["name"], "Ana");
}

#[tokio::test]
async fn a_question_nobody_answers_is_withdrawn() {
    let app = App::with(|options| options.limits.ask_for = Duration::from_millis(100)).await;
    let session = app.session("2025-06-18", json!({"elicitation": {}})).await;
    let mut events = session.stream(&call(1, "ask")).await;
    let question = events.message().await;
    let withdrawn = events.message().await;
    assert_eq!(withdrawn["method"], "notifications/cancelled");
    assert_eq!(withdrawn["params"]["requestId"], question["id"]);
    assert!(events.message().await["result"]["structuredContent"]["gone"].is_string());
    answer(&session, &question, json!({"action": "accept"})).await;
}

#[tokio::test]
async fn cancelling_the_call_takes_its_question_back() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({"elicitation": {}})).await;
    let mut events = session.stream(&call(1, "ask")).await;
    events.message().await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}});
    session.post(&cancel).send().await.unwrap();
    until("the handler hears of it", || Fake::count(&app.fake.asked_in_vain) == 1).await;
}

#[tokio::test]
async fn a_question_waits_for_a_client_that_comes_back() {
    let app = App::start().await;
    let session = app.session("2025-11-25", json!({"elicitation": {}, "roots": {}})).await;
    let mut events: Events = session.stream(&call(1, "ask")).await;
    let primed = events.next().await.unwrap().id.unwrap();
    events.message().await;
    drop(events);
    let mut resumed = session.resume(&primed).await;
    let question = resumed.message().await;
    answer(&session, &question, json!({"action": "accept"})).await;
    assert_eq!(resumed.message().await["result"]["structuredContent"]["name"]["action"], "accept");
}
