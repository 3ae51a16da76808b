//! `subscriptions/listen`.

use std::time::Duration;

use preloop_mcp::downstream::Change;
use serde_json::{Value, json};

use crate::app::{App, Events, modern, until};

fn wants(filter: &Value) -> Value {
    modern(4, "subscriptions/listen", json!({"notifications": filter}), json!({}))
}

const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

#[tokio::test]
async fn a_listener_hears_what_it_asked_for_and_nothing_else() {
    let app = App::start().await;
    let all = json!({"toolsListChanged": true, "promptsListChanged": true,
        "resourceSubscriptions": ["x://a", "x://secret", "x://a"]});
    let mut events = Events::of(app.modern(&wants(&all)).send().await.unwrap());
    let first = events.next().await.unwrap();
    assert_eq!(first.id, None);
    assert_eq!(
        first.json(),
        json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {
            "_meta": {SUBSCRIPTION: 4},
            // No prompts are offered, and one resource may not be watched.
            "notifications": {"toolsListChanged": true, "resourceSubscriptions": ["x://a"]}}})
    );
    for change in [Change::Prompts, Change::Resources, Change::Resource("x://b".into()), Change::Tools] {
        app.fake.changes.send(change).unwrap();
    }
    app.fake.changes.send(Change::Resource("x://a".into())).unwrap();
    let told = events.message().await;
    assert_eq!(told["method"], "notifications/tools/list_changed");
    assert_eq!(told["params"]["_meta"][SUBSCRIPTION], 4);
    let told = events.message().await;
    assert_eq!(told["method"], "notifications/resources/updated");
    assert_eq!(told["params"], json!({"uri": "x://a", "_meta": {SUBSCRIPTION: 4}}));

    drop(events);
    let history = || app.fake.subscriptions.lock().unwrap().clone();
    until("the resource is given back", || history().len() == 2).await;
    assert_eq!(history(), ["subscribe x://a", "unsubscribe x://a"]);
}

#[tokio::test]
async fn a_listening_stream_shows_signs_of_life_and_says_farewell() {
    let app = App::with(|options| options.limits.keep_alive = Duration::from_millis(50)).await;
    let mut events = Events::of(app.modern(&wants(&json!({}))).send().await.unwrap());
    assert_eq!(events.message().await["params"]["notifications"], json!({}));
    assert!(events.next().await.unwrap().comment);
    app.shutdown.cancel();
    let farewell = events.message().await;
    assert_eq!((&farewell["id"], &farewell["result"]["resultType"]), (&json!(4), &json!("complete")));
    assert_eq!(farewell["result"]["_meta"][SUBSCRIPTION], 4);
    assert_eq!(events.next().await, None);
}

#[tokio::test]
async fn a_listener_must_accept_streams_and_say_what_it_wants() {
    let app = App::start().await;
    let headers = reqwest::header::HeaderMap::from_iter([(
        reqwest::header::ACCEPT,
        reqwest::header::HeaderValue::from_static("application/json"),
    )]);
    let refused = app.modern(&wants(&json!({}))).headers(headers).send().await.unwrap();
    assert_eq!(refused.status(), 406);
    let vague = modern(4, "subscriptions/listen", json!({}), json!({}));
    let refused: Value = app.modern(&vague).send().await.unwrap().json().await.unwrap();
    assert_eq!(refused["error"]["code"], -32602);
}

#[tokio::test]
async fn the_number_of_listeners_is_bounded() {
    let app = App::with(|options| options.limits.listens_per_key = 1).await;
    let first = Events::of(app.modern(&wants(&json!({}))).send().await.unwrap());
    assert_eq!(app.modern(&wants(&json!({}))).send().await.unwrap().status(), 429);
    drop(first);
    for _ in 0..100 {
        if app.modern(&wants(&json!({}))).send().await.unwrap().status() == 200 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a closed stream still counts");
}
