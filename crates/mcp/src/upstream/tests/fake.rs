//! An MCP server over HTTP, in this process. Which eras it speaks and how it behaves is switched
//! while it runs; its tools are named after what they do.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use futures::StreamExt;
use preloop_types::config::Transport;
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc, oneshot};

/// How a server of the legacy era turns `server/discover` down.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Eras {
    Modern,
    Legacy,
    Both,
    /// Legacy, and answers 400 "Server not initialized" to what comes before `initialize`.
    NotInitialized,
    /// HTTP+SSE of 2024-11-05 at this very URL.
    EventStream,
}

pub(super) struct Fake(pub(super) Arc<Inner>);

pub(super) struct Inner {
    url: String,
    eras: Mutex<Eras>,
    /// Whether `initialize` opens a session.
    pub(super) sessions: AtomicBool,
    pub(super) tools: Mutex<Vec<Value>>,
    pub(super) capabilities: Mutex<Value>,
    /// Every request as it came: headers and body.
    pub(super) seen: Mutex<Vec<(HeaderMap, Value)>>,
    open: Mutex<BTreeMap<String, Value>>,
    next_session: AtomicU64,
    /// What goes out on GET streams and subscriptions.
    pub(super) push: broadcast::Sender<Value>,
    waiting: Mutex<BTreeMap<String, oneshot::Sender<Value>>>,
    /// The rest of a response whose stream was cut.
    resumable: Mutex<Option<mpsc::Receiver<String>>>,
    pub(super) polls: AtomicU32,
    /// The bearer token demanded, if any, and who issues it.
    pub(super) token: Mutex<Option<String>>,
    issuer: Mutex<String>,
}

pub(super) const ODD_RESULT: &str = r#"{"content":[{"type":"hologram","data":"é\u0041","n":12345678901234567890123}],"structuredContent":[1.50,1e400],"isError":true,"_meta":{"vendor/x": {}},"extra" : null,"resultType":"complete"}"#;

impl Fake {
    pub(super) async fn start(eras: Eras, tools: &[&str]) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Arc::new(Inner {
            url: format!("http://{}/mcp", listener.local_addr().unwrap()),
            eras: Mutex::new(eras),
            sessions: AtomicBool::new(true),
            tools: Mutex::new(tools.iter().map(|name| super::tool(name)).collect()),
            capabilities: Mutex::new(json!({"tools": {"listChanged": true}})),
            seen: Mutex::default(),
            open: Mutex::default(),
            next_session: AtomicU64::new(1),
            push: broadcast::channel(64).0,
            waiting: Mutex::default(),
            resumable: Mutex::default(),
            polls: AtomicU32::new(0),
            token: Mutex::default(),
            issuer: Mutex::default(),
        });
        let app = Router::new()
            .route("/mcp", post(handle).get(listen).delete(|| async { StatusCode::OK }))
            .route("/messages", post(message))
            .route("/.well-known/oauth-protected-resource", get(resource))
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self(inner)
    }

    pub(super) fn transport(&self) -> Transport {
        Transport::StreamableHttp { url: self.0.url.clone() }
    }

    /// How often a method was called.
    pub(super) fn count(&self, method: &str) -> usize {
        self.requests(method).len()
    }

    pub(super) fn requests(&self, method: &str) -> Vec<(HeaderMap, Value)> {
        self.0.seen.lock().unwrap().iter().filter(|(_, body)| body["method"] == method).cloned().collect()
    }

    pub(super) fn forget_sessions(&self) {
        self.0.open.lock().unwrap().clear();
    }

    pub(super) fn describe(&self, tool: &str, description: &str) {
        for known in self.0.tools.lock().unwrap().iter_mut().filter(|known| known["name"] == tool) {
            known["description"] = json!(description);
        }
    }

    pub(super) fn protected_by(&self, issuer: &str) {
        issuer.clone_into(&mut self.0.issuer.lock().unwrap());
    }

    pub(super) fn push(&self, method: &str, params: Value) {
        let _ = self.0.push.send(json!({"jsonrpc": "2.0", "method": method, "params": params}));
    }
}

async fn resource(State(fake): State<Arc<Inner>>) -> axum::Json<Value> {
    axum::Json(json!({"resource": fake.url, "authorization_servers": [*fake.issuer.lock().unwrap()]}))
}

async fn handle(State(fake): State<Arc<Inner>>, headers: HeaderMap, body: Bytes) -> Response {
    let message: Value = serde_json::from_slice(&body).unwrap();
    if let Some(token) = &*fake.token.lock().unwrap()
        && headers.get("authorization").and_then(|value| value.to_str().ok()) != Some(&format!("Bearer {token}"))
    {
        let place = fake.url.replace("/mcp", "/.well-known/oauth-protected-resource");
        let challenge = format!("Bearer resource_metadata=\"{place}\", scope=\"files\"");
        return (StatusCode::UNAUTHORIZED, [("www-authenticate", challenge)]).into_response();
    }
    fake.seen.lock().unwrap().push((headers.clone(), message.clone()));
    let Some(method) = message["method"].as_str() else {
        let id = message["id"].as_str().unwrap_or_default().to_owned();
        if let Some(waiting) = fake.waiting.lock().unwrap().remove(&id) {
            let _ = waiting.send(message["result"].clone());
        }
        return StatusCode::ACCEPTED.into_response();
    };
    let eras = *fake.eras.lock().unwrap();
    let modern = headers.get("mcp-protocol-version").is_some_and(|version| version == "2026-07-28");
    match eras {
        Eras::EventStream => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
        Eras::Modern if !modern => {
            let error = json!({"code": -32022, "message": "unsupported", "data": {"supported": ["2026-07-28"]}});
            return (
                StatusCode::BAD_REQUEST,
                axum::Json(json!({"jsonrpc": "2.0", "id": message["id"], "error": error})),
            )
                .into_response();
        }
        Eras::NotInitialized if modern => {
            let error = json!({"code": -32000, "message": "Bad Request: Server not initialized"});
            return (StatusCode::BAD_REQUEST, axum::Json(json!({"jsonrpc": "2.0", "id": null, "error": error})))
                .into_response();
        }
        Eras::Legacy if modern => return reply(&message, &Err((-32601, "unknown method"))),
        _ => {}
    }
    if !modern && method != "initialize" && fake.sessions.load(Ordering::SeqCst) {
        let session = headers.get("mcp-session-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !fake.open.lock().unwrap().contains_key(session) {
            return StatusCode::NOT_FOUND.into_response();
        }
    }
    if message.get("id").is_none() {
        return StatusCode::ACCEPTED.into_response();
    }
    match method {
        "initialize" => {
            let mut response = reply(&message, &Ok(fake.welcome()));
            if fake.sessions.load(Ordering::SeqCst) {
                let id = format!("s{}", fake.next_session.fetch_add(1, Ordering::SeqCst));
                response.headers_mut().insert("mcp-session-id", id.parse().unwrap());
                fake.open.lock().unwrap().insert(id, message["params"]["capabilities"].clone());
            }
            response
        }
        "tools/call" => fake.call(&message, modern).await,
        "subscriptions/listen" => {
            let ack = json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}});
            fake.stream(vec![ack])
        }
        _ => reply(&message, &fake.answer(&message)),
    }
}

/// A GET: the stream of a session, the rest of a cut response, or the stream of 2024-11-05.
async fn listen(State(fake): State<Arc<Inner>>, headers: HeaderMap) -> Response {
    if *fake.eras.lock().unwrap() == Eras::EventStream {
        let endpoint = "event: endpoint\ndata: /messages?session=1\n\n".to_owned();
        return events(futures::stream::once(async { endpoint }).chain(pushed(&fake)));
    }
    if headers.contains_key("last-event-id") {
        return match fake.resumable.lock().unwrap().take() {
            Some(rest) => events(tokio_stream(rest)),
            None => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        };
    }
    fake.stream(Vec::new())
}

async fn message(
    State(fake): State<Arc<Inner>>,
    Query(_query): Query<BTreeMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let message: Value = serde_json::from_slice(&body).unwrap();
    fake.seen.lock().unwrap().push((headers, message.clone()));
    if message.get("id").is_some() {
        let answer = match message["method"].as_str() {
            Some("initialize") => Ok(fake.welcome()),
            _ => fake.answer(&message),
        };
        let _ = fake.push.send(envelope(&message, &answer));
    }
    StatusCode::ACCEPTED
}

type Answer = Result<Value, (i64, &'static str)>;

impl Inner {
    fn welcome(&self) -> Value {
        json!({
            "protocolVersion": if *self.eras.lock().unwrap() == Eras::EventStream { "2024-11-05" } else { "2025-11-25" },
            "capabilities": *self.capabilities.lock().unwrap(),
            "serverInfo": {"name": "fake", "version": "1"},
        })
    }

    fn answer(&self, message: &Value) -> Answer {
        let params = &message["params"];
        match message["method"].as_str().unwrap_or_default() {
            "server/discover" => Ok(json!({
                "resultType": "complete",
                "supportedVersions": ["2026-07-28"],
                "capabilities": *self.capabilities.lock().unwrap(),
                "_meta": {"io.modelcontextprotocol/serverInfo": {"name": "fake", "version": "2"}},
            })),
            "tools/list" => {
                // One tool a page.
                let tools = self.tools.lock().unwrap();
                let at: usize = params["cursor"].as_str().map_or(0, |cursor| cursor.parse().unwrap());
                let mut page = json!({"resultType": "complete", "tools": tools.get(at..=at).unwrap_or_default()});
                if at + 1 < tools.len() {
                    page["nextCursor"] = json!((at + 1).to_string());
                }
                Ok(page)
            }
            "resources/list" => Ok(json!({"resources": [{"uri": "file:///a", "name": "a", "x": 1.50}]})),
            "resources/templates/list" => Err((-32601, "no templates")),
            "prompts/list" => Ok(json!({"prompts": [{"name": "greet"}]})),
            "resources/read" => Err((-32002, "no such resource")),
            "resources/subscribe" | "resources/unsubscribe" | "logging/setLevel" | "tasks/cancel" | "tasks/update" => {
                Ok(json!({"resultType": "complete"}))
            }
            "tools/call" => Ok(json!({"content": [{"type": "text", "text": params["name"]}]})),
            // Two polls until a task is done.
            "tasks/get" if self.polls.fetch_add(1, Ordering::SeqCst) == 0 => Ok(
                json!({"taskId": "t", "status": "working", "statusMessage": "half way", "pollInterval": 1, "pollIntervalMs": 1}),
            ),
            "tasks/get" => Ok(json!({
                "taskId": "t", "status": "completed", "pollInterval": 1, "pollIntervalMs": 1,
                "result": {"content": [{"type": "text", "text": "task done"}]},
            })),
            "tasks/result" => Ok(json!({"content": [{"type": "text", "text": "task done"}]})),
            _ => Err((-32601, "unknown method")),
        }
    }

    async fn call(self: &Arc<Self>, message: &Value, modern: bool) -> Response {
        let params = &message["params"];
        let text = |text: &str| Ok(json!({"content": [{"type": "text", "text": text}]}));
        match params["name"].as_str().unwrap_or_default() {
            "echo" => reply(message, &text(&params["arguments"].to_string())),
            "odd" => {
                let body = format!(r#"{{"jsonrpc":"2.0","id":{},"result":{ODD_RESULT}}}"#, message["id"]);
                ([("content-type", "application/json")], body).into_response()
            }
            "error" => reply(message, &Err((-32050, "out of ink"))),
            "meta" => reply(message, &text(&params["_meta"].to_string())),
            "streamed" => streamed(message),
            "ask" if modern => ask_modern(message),
            "ask" => self.ask_legacy(message),
            "ping" => self.ping(message),
            "cut" => self.cut(message),
            "task" if modern => reply(
                message,
                &Ok(json!({"resultType": "task", "taskId": "t", "status": "working", "pollIntervalMs": 1})),
            ),
            "task" if params.get("task").is_some() => {
                reply(message, &Ok(json!({"task": {"taskId": "t", "status": "working", "pollInterval": 1}})))
            }
            "task" => reply(message, &Err((-32601, "must be called as a task"))),
            "hang" => std::future::pending().await,
            "die" => Body::from_stream(futures::stream::iter([
                Ok(Bytes::from_static(b"{\"jsonrpc\"")),
                Err(std::io::Error::other("died")),
            ]))
            .into_response_of("application/json"),
            "html" => ([("content-type", "text/html")], "<h1>It works!</h1>").into_response(),
            "not_json" => ([("content-type", "application/json")], "It works!").into_response(),
            "wrong_id" => reply(&json!({"id": 999_999}), &text("not yours")),
            "scoped" => {
                let challenge = "Bearer error=\"insufficient_scope\", scope=\"files files:write\"";
                (StatusCode::FORBIDDEN, [("www-authenticate", challenge)]).into_response()
            }
            "bad_gateway" => StatusCode::BAD_GATEWAY.into_response(),
            "huge" => reply(message, &text(&"x".repeat(3 << 20))),
            "huge_streamed" => Body::from_stream(futures::stream::iter(std::iter::repeat_n(
                Ok::<_, Infallible>(Bytes::from("data: ".to_owned() + &"x".repeat(60_000))),
                100,
            )))
            .into_response_of("text/event-stream"),
            "flood" => {
                let line =
                    r#"data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":1}}"#;
                let flood = futures::stream::repeat(Bytes::from(format!("{line}\n\n").repeat(100)));
                Body::from_stream(flood.map(Ok::<_, Infallible>)).into_response_of("text/event-stream")
            }
            "trickle" => Body::from_stream(futures::stream::unfold((), |()| async {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Some((Ok::<_, Infallible>(Bytes::from_static(b" ")), ()))
            }))
            .into_response_of("application/json"),
            _ => reply(message, &Err((-32602, "no such tool"))),
        }
    }

    /// Asks on the stream of the call and answers with what it heard.
    fn ask_legacy(self: &Arc<Self>, message: &Value) -> Response {
        self.conversation(
            message,
            json!({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {"message": "Who?"}}),
        )
    }

    fn ping(self: &Arc<Self>, message: &Value) -> Response {
        self.conversation(message, json!({"jsonrpc": "2.0", "id": "q", "method": "ping"}))
    }

    fn conversation(self: &Arc<Self>, message: &Value, question: Value) -> Response {
        let (heard, hear) = oneshot::channel();
        self.waiting.lock().unwrap().insert("q".to_owned(), heard);
        let message = message.clone();
        let first = futures::stream::once(async move { frame(&question) });
        events(first.chain(futures::stream::once(async move {
            let answer = hear.await.unwrap_or(Value::Null);
            frame(&envelope(&message, &Ok(json!({"content": [{"type": "text", "text": answer.to_string()}]}))))
        })))
    }

    /// Closes the stream after its first event; the result waits where `Last-Event-ID` leads.
    fn cut(&self, message: &Value) -> Response {
        let (rest, resumed) = mpsc::channel(2);
        let result = envelope(message, &Ok(json!({"content": [{"type": "text", "text": "resumed"}]})));
        rest.try_send(format!("id: 2\n{}", frame(&result))).unwrap();
        *self.resumable.lock().unwrap() = Some(resumed);
        events(futures::stream::iter(["id: 1\nretry: 10\ndata: \n\n".to_owned()]))
    }

    /// A stream that stays open, for what is pushed.
    fn stream(self: &Arc<Self>, first: Vec<Value>) -> Response {
        let first: Vec<String> = first.iter().map(frame).collect();
        events(futures::stream::iter(first).chain(pushed(self)))
    }
}

/// Progress (once backwards, once under another token), two log messages, then the result.
fn streamed(message: &Value) -> Response {
    let token = &message["params"]["_meta"]["progressToken"];
    let progress = |token: &Value, at: f64| {
        json!({"jsonrpc": "2.0", "method": "notifications/progress",
               "params": {"progressToken": token, "progress": at, "total": 10, "vendor": [1]}})
    };
    let log = |level: &str| json!({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": level, "logger": "core", "data": level}});
    finished(vec![
        progress(token, 1.0),
        progress(token, 5.0),
        progress(token, 4.0),
        progress(&json!("another"), 9.0),
        log("debug"),
        log("warning"),
        envelope(message, &Ok(json!({"content": [{"type": "text", "text": "streamed"}]}))),
    ])
}

fn ask_modern(message: &Value) -> Response {
    let params = &message["params"];
    let answer = match (&params["requestState"], &params["inputResponses"]) {
        (Value::String(state), answers) if state == "round 2" => {
            json!({"content": [{"type": "text", "text": answers.to_string()}]})
        }
        (Value::String(_), answers) => {
            json!({"resultType": "input_required", "requestState": "round 2", "inputRequests": {
                "again": {"method": "elicitation/create", "params": {"message": format!("{answers}?")}},
                "forbidden": {"method": "sampling/createMessage", "params": {}},
            }})
        }
        _ => json!({"resultType": "input_required", "requestState": "round 1", "inputRequests": {
            "name": {"method": "elicitation/create", "params": {"message": "Who?", "requestedSchema": {}}},
        }}),
    };
    reply(message, &Ok(answer))
}

fn pushed(fake: &Arc<Inner>) -> impl futures::Stream<Item = String> + Send + use<> {
    futures::stream::unfold(fake.push.subscribe(), |mut pushed| async move {
        let message = pushed.recv().await.ok()?;
        Some((frame(&message), pushed))
    })
}

fn tokio_stream(rest: mpsc::Receiver<String>) -> impl futures::Stream<Item = String> + Send {
    futures::stream::unfold(rest, |mut rest| async move { Some((rest.recv().await?, rest)) })
}

fn frame(message: &Value) -> String {
    format!("data: {message}\n\n")
}

fn finished(messages: Vec<Value>) -> Response {
    events(futures::stream::iter(messages.iter().map(frame).collect::<Vec<_>>()))
}

fn events(stream: impl futures::Stream<Item = String> + Send + 'static) -> Response {
    Body::from_stream(stream.map(Ok::<_, Infallible>)).into_response_of("text/event-stream")
}

fn envelope(message: &Value, answer: &Answer) -> Value {
    match answer {
        Ok(result) => json!({"jsonrpc": "2.0", "id": message["id"], "result": result}),
        Err((code, text)) => {
            json!({"jsonrpc": "2.0", "id": message["id"], "error": {"code": code, "message": text, "data": {"why": 1}}})
        }
    }
}

fn reply(message: &Value, answer: &Answer) -> Response {
    axum::Json(envelope(message, answer)).into_response()
}

trait IntoResponseOf {
    fn into_response_of(self, kind: &'static str) -> Response;
}

impl IntoResponseOf for Body {
    fn into_response_of(self, kind: &'static str) -> Response {
        ([("content-type", kind)], self).into_response()
    }
}
