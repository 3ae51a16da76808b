//! Streams of the legacy era: when there is one, what is on it, and how it is resumed.

use std::time::Duration;

use preloop_mcp::downstream::Change;
use reqwest::Method;
use serde_json::{Value, json};

use crate::app::{App, Events, Fake, call, until};

#[tokio::test]
async fn progress_makes_a_stream_that_ends_with_the_response() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let mut events = session.stream(&call(3, "progress")).await;
    for progress in [1, 2] {
        let message = events.message().await;
        assert_eq!(message["method"], "notifications/progress");
        assert_eq!(message["params"], json!({"progressToken": "t1", "progress": progress}));
    }
    let response = events.next().await.unwrap();
    assert_eq!(response.kind.as_deref(), Some("message"));
    assert_eq!(
        (&response.json()["id"], &response.json()["result"]["content"][0]["text"]),
        (&json!(3), &json!("progress"))
    );
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn the_newest_legacy_revision_primes_its_streams() {
    let app = App::start().await;
    let session = app.session("2025-11-25", json!({})).await;
    let mut events = session.stream(&call(3, "progress")).await;
    let first = events.next().await.unwrap();
    assert_eq!((first.data.as_str(), first.retry), ("", Some(1000)));
    let id = first.id.unwrap();
    let second = events.next().await.unwrap();
    let name = id.strip_suffix("-0").unwrap();
    assert_eq!(second.id.unwrap(), format!("{name}-1"), "ids name the stream and count");

    let older = app.session("2025-06-18", json!({})).await;
    let first = older.stream(&call(3, "progress")).await.next().await.unwrap();
    assert!(!first.data.is_empty() && first.id.is_some());
}

#[tokio::test]
async fn a_client_that_reads_no_streams_gets_json_in_the_end() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let headers = reqwest::header::HeaderMap::from_iter([(
        reqwest::header::ACCEPT,
        reqwest::header::HeaderValue::from_static("application/json"),
    )]);
    let response = session.post(&call(3, "progress")).headers(headers).send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/json");
    assert_eq!(response.json::<Value>().await.unwrap()["result"]["content"][0]["text"], "progress");
}

#[tokio::test]
async fn a_silent_call_becomes_a_stream_that_shows_signs_of_life() {
    let app = App::with(|options| options.limits.keep_alive = Duration::from_millis(50)).await;
    let session = app.session("2025-06-18", json!({})).await;
    let mut events = session.stream(&call(3, "slow")).await;
    for _ in 0..2 {
        assert!(events.next().await.unwrap().comment);
    }
    app.fake.release.notify_one();
    assert_eq!(events.message().await["result"]["content"][0]["text"], "slow");
}

#[tokio::test]
async fn results_spelled_over_several_lines_fit_an_event() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let headers = reqwest::header::HeaderMap::from_iter([(
        reqwest::header::ACCEPT,
        reqwest::header::HeaderValue::from_static("text/event-stream"),
    )]);
    let pretty = json!({"jsonrpc": "2.0", "id": 1, "method": "pretty"});
    let mut events = Events::of(session.post(&pretty).headers(headers).send().await.unwrap());
    let event = events.next().await.unwrap();
    assert!(event.data.contains("123456789012345678901234567890"));
    assert_eq!(event.json()["result"]["x"], 1000.0);
}

#[tokio::test]
async fn a_lost_connection_does_not_cancel_and_the_stream_can_be_resumed() {
    let app = App::start().await;
    let session = app.session("2025-11-25", json!({})).await;
    let mut events = session.stream(&call(3, "chatty")).await;
    let primed = events.next().await.unwrap().id.unwrap();
    let progress = events.next().await.unwrap();
    drop(events);
    tokio::time::sleep(Duration::from_millis(50)).await;
    app.fake.release.notify_one();
    until("the call goes on alone", || Fake::count(&app.fake.finished) == 1).await;

    // From the last event seen: only the response is missing.
    let mut resumed = session.resume(progress.id.as_deref().unwrap()).await;
    assert_eq!(resumed.message().await["result"]["content"][0]["text"], "chatty");
    assert_eq!(resumed.next().await, None);
    // From the beginning: everything again.
    let mut resumed = session.resume(&primed).await;
    assert_eq!(resumed.next().await.unwrap(), progress);
    assert_eq!(resumed.message().await["id"], 3);
}

#[tokio::test]
async fn a_resumed_stream_goes_on_while_the_call_runs() {
    let app = App::start().await;
    let session = app.session("2025-11-25", json!({})).await;
    let mut events = session.stream(&call(3, "chatty")).await;
    events.next().await.unwrap();
    let progress = events.next().await.unwrap().id.unwrap();
    // The old connection is still open: the new one takes over.
    let mut resumed = session.resume(&progress).await;
    app.fake.release.notify_one();
    assert_eq!(resumed.message().await["id"], 3);
    events.ends().await;
}

#[tokio::test]
async fn only_the_stream_that_broke_off_is_replayed() {
    let app = App::start().await;
    let session = app.session("2025-11-25", json!({})).await;
    let mut first = session.stream(&call(1, "progress")).await;
    let primed = first.next().await.unwrap().id.unwrap();
    first.ends_with(1).await;
    session.stream(&call(2, "progress")).await.ends_with(2).await;

    let mut resumed = session.resume(&primed).await;
    let mut ids = Vec::new();
    while let Some(event) = resumed.next().await {
        ids.push(event.json()["id"].clone());
    }
    assert_eq!(ids, [Value::Null, Value::Null, json!(1)]);
}

impl Events {
    /// Reads on to the response of this id.
    async fn ends_with(mut self, id: i64) {
        while self.message().await["id"] != id {}
    }
}

#[tokio::test]
async fn streams_of_others_cannot_be_resumed() {
    let app = App::start().await;
    let session = app.session("2025-11-25", json!({})).await;
    let primed = session.stream(&call(1, "progress")).await.next().await.unwrap().id.unwrap();
    let other = app.session("2025-11-25", json!({})).await;
    let lost = other.request(Method::GET).header("last-event-id", &primed).send().await.unwrap();
    assert_eq!(lost.status(), 400);
    for nonsense in ["", "x", "p-", "p1-0", "-1"] {
        let lost = session.request(Method::GET).header("last-event-id", nonsense).send().await.unwrap();
        assert_eq!(lost.status(), 400, "{nonsense:?}");
    }
}

#[tokio::test]
async fn what_is_kept_for_replay_is_bounded() {
    let app = App::with(|options| options.limits.replay_events = 10).await;
    let session = app.session("2025-11-25", json!({})).await;
    let mut events = session.stream(&call(1, "flood")).await;
    let first = events.next().await.unwrap().id.unwrap();
    let name = first.rsplit_once('-').unwrap().0.to_owned();
    events.ends_with(1).await;
    let mut resumed = session.resume(&format!("{name}-0")).await;
    let mut left = 0;
    while resumed.next().await.is_some() {
        left += 1;
    }
    assert_eq!(left, 10);

    let app = App::with(|options| options.limits.replay_for = Duration::ZERO).await;
    let session = app.session("2025-11-25", json!({})).await;
    let primed = session.stream(&call(1, "progress")).await.next().await.unwrap().id.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    session.stream(&call(2, "progress")).await.ends_with(2).await;
    let lost = session.request(Method::GET).header("last-event-id", &primed).send().await.unwrap();
    assert_eq!(lost.status(), 400, "its time is over");
}

#[tokio::test]
async fn cancelling_reaches_the_call_and_ends_its_stream() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let cancel =
        |id: Value| json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": id}});

    let events = session.stream(&call(3, "slow")).await;
    session.post(&cancel(json!("3"))).send().await.unwrap();
    assert_eq!(Fake::count(&app.fake.cancelled), 0, "a string is another id");
    session.post(&cancel(json!(3))).send().await.unwrap();
    events.ends().await;
    until("the handler hears of it", || Fake::count(&app.fake.cancelled) == 1).await;

    // Before anything was streamed, too.
    let waiting = tokio::spawn(session.post(&call(4, "slow")).send());
    until("it began", || Fake::count(&app.fake.calls) == 2).await;
    session.post(&cancel(json!(4))).send().await.unwrap();
    let response: Value = waiting.await.unwrap().unwrap().json().await.unwrap();
    assert!(response["error"].is_object(), "{response}");
    until("the handler hears of it", || Fake::count(&app.fake.cancelled) == 2).await;
}

#[tokio::test]
async fn another_session_cannot_cancel() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let other = app.session("2025-06-18", json!({})).await;
    let mut events = session.stream(&call(3, "slow")).await;
    let cancel = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 3}});
    other.post(&cancel).send().await.unwrap();
    app.fake.release.notify_one();
    assert_eq!(events.message().await["result"]["content"][0]["text"], "slow");
}

#[tokio::test]
async fn log_messages_are_those_the_session_wants() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let levels = async |session: &crate::app::Session<'_>| {
        let mut events = session.stream(&call(1, "log")).await;
        let mut levels = Vec::new();
        loop {
            let message = events.message().await;
            match message["params"]["level"].as_str() {
                Some(level) => levels.push(level.to_owned()),
                None => return levels,
            }
        }
    };
    assert_eq!(levels(&session).await, ["debug", "warning", "error"]);
    let set = json!({"jsonrpc": "2.0", "id": 2, "method": "logging/setLevel", "params": {"level": "warning"}});
    session.answer(&set).await;
    assert_eq!(levels(&session).await, ["warning", "error"]);
}

#[tokio::test]
async fn changes_are_told_to_who_listens() {
    let app = App::start().await;
    let session = app.session("2025-11-25", json!({})).await;
    let mut events = session.listen().await;
    let primed = events.next().await.unwrap();
    assert_eq!(primed.retry, Some(1000));
    app.fake.changes.send(Change::Tools).unwrap();
    let told = events.next().await.unwrap();
    assert_eq!(told.json(), json!({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}));

    // What happens while the client is away is told when it comes back.
    drop(events);
    tokio::time::sleep(Duration::from_millis(50)).await;
    app.fake.changes.send(Change::Prompts).unwrap();
    let mut events = session.resume(told.id.as_deref().unwrap()).await;
    assert_eq!(events.message().await["method"], "notifications/prompts/list_changed");
}

#[tokio::test]
async fn of_two_listening_streams_one_is_told() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let mut older = session.listen().await;
    let mut newer = session.listen().await;
    app.fake.changes.send(Change::Tools).unwrap();
    assert_eq!(newer.message().await["method"], "notifications/tools/list_changed");
    drop(newer);
    tokio::time::sleep(Duration::from_millis(50)).await;
    app.fake.changes.send(Change::Resources).unwrap();
    assert_eq!(older.message().await["method"], "notifications/resources/list_changed", "and not the tools before");
}

#[tokio::test]
async fn the_oldest_of_too_many_listeners_is_ended() {
    let app = App::with(|options| options.limits.listeners_per_session = 2).await;
    let session = app.session("2025-11-25", json!({})).await;
    let mut first = session.listen().await;
    let primed = first.next().await.unwrap().id.unwrap();
    let _second = session.listen().await;
    let _third = session.listen().await;
    first.ends().await;
    // Coming back, it listens anew.
    let mut again = session.resume(&primed).await;
    app.fake.changes.send(Change::Tools).unwrap();
    assert_eq!(again.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn a_listener_of_a_forgotten_stream_listens_anew() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let mut events = session.resume("g1-7").await;
    app.fake.changes.send(Change::Tools).unwrap();
    assert_eq!(events.message().await["method"], "notifications/tools/list_changed");
}

#[tokio::test]
async fn resources_are_told_of_when_subscribed_to() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let about = |id: i64, verb: &str, uri: &str| json!({"jsonrpc": "2.0", "id": id, "method": format!("resources/{verb}"), "params": {"uri": uri}});
    assert_eq!(session.answer(&about(1, "subscribe", "x://a")).await["result"], json!({}));
    assert_eq!(session.answer(&about(2, "subscribe", "x://a")).await["result"], json!({}));
    assert_eq!(session.answer(&about(3, "subscribe", "x://secret")).await["error"]["code"], -32602);
    let mut events = session.listen().await;
    for uri in ["x://b", "x://secret", "x://a"] {
        app.fake.changes.send(Change::Resource(uri.to_owned())).unwrap();
    }
    let told = events.message().await;
    assert_eq!(
        (told["method"].as_str(), &told["params"]["uri"]),
        (Some("notifications/resources/updated"), &json!("x://a"))
    );

    assert_eq!(session.answer(&about(4, "subscribe", "x://c")).await["result"], json!({}));
    session.answer(&about(5, "unsubscribe", "x://c")).await;
    session.request(Method::DELETE).send().await.unwrap();
    let history = || app.fake.subscriptions.lock().unwrap().clone();
    until("everything is given back", || history().len() == 4).await;
    assert_eq!(history(), ["subscribe x://a", "subscribe x://c", "unsubscribe x://c", "unsubscribe x://a"]);
}

#[tokio::test]
async fn shutdown_ends_every_stream() {
    let app = App::start().await;
    let session = app.session("2025-06-18", json!({})).await;
    let listening = session.listen().await;
    let calling = session.stream(&call(1, "slow")).await;
    app.shutdown.cancel();
    listening.ends().await;
    calling.ends().await;
    assert_eq!(Fake::count(&app.fake.cancelled), 0, "nobody gave the call up");
}
