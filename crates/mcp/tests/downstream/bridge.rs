//! The stdio bridge, between a client at its standard input and output and the endpoint.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use preloop_mcp::{
    downstream::Change,
    stdio_bridge::{BridgeError, BridgeOptions, run},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use crate::app::{App, Fake, call, modern, until};

struct Bridge {
    input: Option<DuplexStream>,
    output: Lines<BufReader<DuplexStream>>,
    task: JoinHandle<Result<(), BridgeError>>,
}

impl Bridge {
    fn to(app: &App) -> Self {
        Self::with(&app.base, |_| {})
    }

    fn with(base: &str, configure: impl FnOnce(&mut BridgeOptions)) -> Self {
        let url = format!("{base}/mcp/v1").parse().unwrap();
        let mut options = BridgeOptions::new(url, Arc::new(|| Ok("ana\n".to_owned())));
        options.connect_timeout = Duration::from_millis(500);
        configure(&mut options);
        let (input, theirs) = tokio::io::duplex(1 << 16);
        let (ours, output) = tokio::io::duplex(1 << 16);
        let task = tokio::spawn(run(options, theirs, ours, CancellationToken::new()));
        Self { input: Some(input), output: BufReader::new(output).lines(), task }
    }

    async fn say(&mut self, message: &Value) {
        let line = format!("{message}\n");
        self.input.as_mut().unwrap().write_all(line.as_bytes()).await.unwrap();
    }

    async fn hear(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(5), self.output.next_line()).await.expect("silence");
        serde_json::from_str(&line.unwrap().expect("the bridge is gone")).unwrap()
    }

    async fn hello(&mut self, version: &str) -> Value {
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {"protocolVersion": version,
            "capabilities": {"elicitation": {}}, "clientInfo": {"name": "piped", "version": "1"}}});
        self.say(&hello).await;
        let greeting = self.hear().await;
        self.say(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        greeting
    }

    /// Ends the input and waits for the bridge to go.
    async fn end(mut self) -> Result<(), BridgeError> {
        self.input.take();
        tokio::time::timeout(Duration::from_secs(5), self.task).await.expect("an orphan").unwrap()
    }
}

#[tokio::test]
async fn a_legacy_client_talks_through_the_bridge_as_if_it_were_not_there() {
    let app = App::start().await;
    let mut bridge = Bridge::to(&app);
    assert_eq!(bridge.hello("2025-11-25").await["result"]["protocolVersion"], "2025-11-25");

    bridge.say(&call(1, "echo")).await;
    assert_eq!(bridge.hear().await["result"]["content"][0]["text"], "echo");
    let seen = app.fake.last();
    assert_eq!((seen.who.as_str(), seen.client.as_str(), seen.conversation.is_some()), ("ana", "piped", true));

    bridge.say(&call(2, "progress")).await;
    assert_eq!(bridge.hear().await["params"]["progress"], 1);
    assert_eq!(bridge.hear().await["params"]["progress"], 2);
    assert_eq!(bridge.hear().await["id"], 2);

    bridge.say(&call(3, "ask")).await;
    let question = bridge.hear().await;
    assert_eq!(question["method"], "elicitation/create");
    bridge.say(&json!({"jsonrpc": "2.0", "id": question["id"], "result": {"action": "accept"}})).await;
    assert_eq!(bridge.hear().await["result"]["structuredContent"]["name"]["action"], "accept");

    // Multi-line JSON must fit a line.
    bridge.say(&json!({"jsonrpc": "2.0", "id": 4, "method": "pretty"})).await;
    assert_eq!(bridge.hear().await["result"]["x"], 1000.0);

    until("it listens", || app.fake.changes.receiver_count() == 1).await;
    app.fake.changes.send(Change::Tools).unwrap();
    assert_eq!(bridge.hear().await["method"], "notifications/tools/list_changed");

    bridge.end().await.unwrap();
    until("the session was ended", || app.store.0.lock().unwrap().is_empty()).await;
}

#[tokio::test]
async fn one_held_call_does_not_hold_the_others_and_can_be_cancelled() {
    let app = App::start().await;
    let mut bridge = Bridge::to(&app);
    bridge.hello("2025-06-18").await;
    bridge.say(&call(1, "slow")).await;
    until("it is held", || Fake::count(&app.fake.calls) == 1).await;
    for id in 2..20 {
        bridge.say(&call(id, "echo")).await;
    }
    let mut answered = Vec::new();
    for _ in 2..20 {
        answered.push(bridge.hear().await["id"].as_i64().unwrap());
    }
    answered.sort_unstable();
    assert_eq!(answered, (2..20).collect::<Vec<_>>());
    bridge.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    until("the call hears of it", || Fake::count(&app.fake.cancelled) == 1).await;
}

#[tokio::test]
async fn a_forgotten_session_is_opened_again_without_the_client_noticing() {
    let app = App::with(|options| options.limits.sessions_per_key = 1).await;
    let mut bridge = Bridge::to(&app);
    bridge.hello("2025-06-18").await;
    bridge.say(&call(1, "echo")).await;
    bridge.hear().await;
    // Another client of the same key takes the only place.
    app.session("2025-06-18", json!({})).await;
    bridge.say(&call(2, "echo")).await;
    let heard = [bridge.hear().await, bridge.hear().await];
    assert!(heard.iter().any(|message| message["method"] == "notifications/tools/list_changed"), "{heard:?}");
    assert!(heard.iter().any(|message| message["result"]["content"][0]["text"] == "echo"), "{heard:?}");
}

#[tokio::test]
async fn a_modern_client_gets_its_headers_and_cancels_by_closing() {
    let app = App::start().await;
    let mut bridge = Bridge::to(&app);
    bridge.say(&modern(1, "server/discover", json!({}), json!({}))).await;
    assert_eq!(bridge.hear().await["result"]["supportedVersions"][0], "2026-07-28");
    bridge.say(&modern(2, "tools/list", json!({}), json!({}))).await;
    assert_eq!(bridge.hear().await["result"]["resultType"], "complete");
    let arguments = json!({"where": {"region": "Köln"}, "text": "hi"});
    bridge.say(&modern(3, "tools/call", json!({"name": "echo", "arguments": arguments}), json!({}))).await;
    assert_eq!(bridge.hear().await["result"]["content"][0]["text"], "echo");
    assert_eq!(app.fake.last().headers, [("region".to_owned(), "Köln".to_owned())]);

    bridge.say(&modern(4, "tools/call", json!({"name": "slow"}), json!({}))).await;
    until("it is held", || Fake::count(&app.fake.calls) == 3).await;
    bridge.say(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 4}})).await;
    until("the call hears of it", || Fake::count(&app.fake.cancelled) == 1).await;

    bridge.say(&modern(5, "nonsense", json!({}), json!({}))).await;
    assert_eq!(bridge.hear().await["error"]["code"], -32601, "an unknown method is no lost session");
}

#[tokio::test]
async fn a_rotated_credential_is_read_again_and_a_bad_one_is_explained() {
    let app = App::start().await;
    let reads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&reads);
    let mut bridge = Bridge::with(&app.base, |options| {
        options.credential = Arc::new(move || {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            Ok(if first { "revoked-token" } else { "ana" }.to_owned())
        });
    });
    bridge.hello("2025-06-18").await;
    bridge.say(&call(1, "echo")).await;
    assert_eq!(bridge.hear().await["result"]["content"][0]["text"], "echo");
    assert_eq!(reads.load(Ordering::SeqCst), 2);

    let mut bridge = Bridge::with(&app.base, |options| {
        options.credential = Arc::new(|| Ok("revoked-token".to_owned()));
    });
    bridge.say(&call(7, "echo")).await;
    let refused = bridge.hear().await;
    assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(7), &json!(-32001)));
    let message = refused["error"]["message"].as_str().unwrap();
    assert!(message.contains("preloop agents validate") && !message.contains("revoked-token"), "{message}");
}

#[tokio::test]
async fn a_server_that_is_down_is_an_answer_and_not_the_end() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let mut bridge = Bridge::with(&base, |_| {});
    for id in [1, 2] {
        bridge.say(&json!({"jsonrpc": "2.0", "id": id, "method": "initialize", "params": {}})).await;
        let refused = bridge.hear().await;
        assert_eq!((&refused["id"], &refused["error"]["code"]), (&json!(id), &json!(-32000)));
        assert!(refused["error"]["message"].as_str().unwrap().contains("nothing answers at"));
    }
    bridge.end().await.unwrap();
}

#[tokio::test]
async fn what_is_no_message_is_answered_and_what_is_too_long_ends_the_bridge() {
    let app = App::start().await;
    let mut bridge = Bridge::with(&app.base, |options| options.line_bytes = 1000);
    let input = bridge.input.as_mut().unwrap();
    input.write_all(b"nonsense\n\n").await.unwrap();
    assert_eq!(bridge.hear().await["error"]["code"], -32700);
    bridge.say(&json!([{"jsonrpc": "2.0", "id": 1, "method": "ping"}])).await;
    assert_eq!(bridge.hear().await, json!([{"jsonrpc": "2.0", "id": 1, "result": {}}]));
    bridge.say(&json!({"jsonrpc": "2.0", "id": 1, "method": "x".repeat(1000)})).await;
    assert!(bridge.end().await.is_err());
}
