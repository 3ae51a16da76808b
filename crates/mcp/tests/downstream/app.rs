//! The endpoint on a free port, a handler that does what a tool's name says, and a client.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use futures::{StreamExt as _, stream::BoxStream};
use preloop_mcp::{
    downstream::{
        Change, Downstream, EndpointScope, Handler, Identify, Offer, Options, ServerInfo, SessionRecord, SessionStore,
        SessionStoreError, Unidentified, router,
    },
    protocol::{AskError, Client, InputRequest, Notification, Request, RpcError, Version},
};
use preloop_types::{AccountId, KeyId, Principal, Scope, Timestamp, UserId};
use serde_json::{Value, json, value::RawValue};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

/// The endpoint, running.
pub(crate) struct App {
    pub(crate) base: String,
    pub(crate) fake: Arc<Fake>,
    pub(crate) store: Arc<Kept>,
    pub(crate) shutdown: CancellationToken,
    clock: Arc<AtomicI64>,
    http: reqwest::Client,
}

impl App {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(configure: impl FnOnce(&mut Options)) -> Self {
        Self::restart(Arc::new(Kept::default()), configure).await
    }

    /// Another process over the same store.
    pub(crate) async fn restart(store: Arc<Kept>, configure: impl FnOnce(&mut Options)) -> Self {
        let clock = Arc::new(AtomicI64::new(1_800_000_000_000_000));
        let hands = Arc::clone(&clock);
        let info = ServerInfo { name: "preloop".into(), title: "Preloop".into(), version: "1.0.0".into() };
        let mut options = Options::new(info, Arc::new(move || Timestamp::from_micros(hands.load(Ordering::Relaxed))));
        options.limits.stream_after = Duration::from_millis(200);
        configure(&mut options);
        let (fake, shutdown) = (Arc::new(Fake::default()), options.shutdown.clone());
        let router = router(Downstream {
            handler: Arc::clone(&fake) as Arc<dyn Handler>,
            identify: Arc::new(Keys),
            sessions: Arc::clone(&store) as Arc<dyn SessionStore>,
            options,
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { base, fake, store, shutdown, clock, http }
    }

    /// Lets time pass for sessions and request states.
    pub(crate) fn pass(&self, time: Duration) {
        self.clock.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// A request to the endpoint by Ana, as a well-behaved client makes it.
    pub(crate) fn request(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        self.request_to(method, "/mcp/v1")
    }

    pub(crate) fn request_to(&self, method: reqwest::Method, path: &str) -> reqwest::RequestBuilder {
        let accept = "application/json, text/event-stream";
        self.http.request(method, format!("{}{path}", self.base)).header("accept", accept).bearer_auth("ana")
    }

    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::POST).json(body)
    }

    /// Opens a session and says hello.
    pub(crate) async fn session(&self, version: &str, capabilities: Value) -> Session<'_> {
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": version, "capabilities": capabilities, "clientInfo": {"name": "test", "version": "1"}}});
        let response = self.post(&hello).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let id = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let greeting: Value = response.json().await.unwrap();
        let version = greeting["result"]["protocolVersion"].as_str().unwrap().to_owned();
        let session = Session { app: self, id, version, greeting };
        let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
        assert_eq!(session.post(&initialized).send().await.unwrap().status(), 202);
        session
    }

    /// A modern request with everything it needs.
    pub(crate) fn modern(&self, body: &Value) -> reqwest::RequestBuilder {
        let mut request = self
            .post(body)
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", body["method"].as_str().unwrap());
        if let Some(name) = body["params"]["name"].as_str().or(body["params"]["uri"].as_str()) {
            request = request.header("mcp-name", name);
        }
        request
    }
}

/// One modern request body; `params` gains its `_meta`.
pub(crate) fn modern(id: i64, method: &str, mut params: Value, capabilities: Value) -> Value {
    let meta = params.as_object_mut().unwrap().entry("_meta").or_insert(json!({}));
    meta["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "test", "version": "1"});
    meta["io.modelcontextprotocol/clientCapabilities"] = capabilities;
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A tool call as legacy clients send it.
pub(crate) fn call(id: i64, tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call",
        "params": {"name": tool, "arguments": {"text": "hi"}, "_meta": {"progressToken": "t1"}}})
}

/// A legacy session.
pub(crate) struct Session<'a> {
    app: &'a App,
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) greeting: Value,
}

impl Session<'_> {
    pub(crate) fn request(&self, method: reqwest::Method) -> reqwest::RequestBuilder {
        self.app.request(method).header("mcp-session-id", &self.id).header("mcp-protocol-version", &self.version)
    }

    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::POST).json(body)
    }

    pub(crate) async fn answer(&self, body: &Value) -> Value {
        self.post(body).send().await.unwrap().json().await.unwrap()
    }

    pub(crate) async fn stream(&self, body: &Value) -> Events {
        Events::of(self.post(body).send().await.unwrap())
    }

    pub(crate) async fn listen(&self) -> Events {
        Events::of(self.request(reqwest::Method::GET).send().await.unwrap())
    }

    pub(crate) async fn resume(&self, event: &str) -> Events {
        Events::of(self.request(reqwest::Method::GET).header("last-event-id", event).send().await.unwrap())
    }
}

/// Events of a response, read one at a time.
pub(crate) struct Events {
    body: BoxStream<'static, Result<bytes::Bytes, reqwest::Error>>,
    text: String,
}

#[derive(Debug, Default, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: Option<String>,
    pub(crate) kind: Option<String>,
    pub(crate) data: String,
    pub(crate) retry: Option<u64>,
    pub(crate) comment: bool,
}

impl Event {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl Events {
    pub(crate) fn of(response: reqwest::Response) -> Self {
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self { body: response.bytes_stream().boxed(), text: String::new() }
    }

    /// The next event, or `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = Event::default();
                for line in block.lines() {
                    let (field, value) = line.split_once(':').unwrap();
                    let value = value.strip_prefix(' ').unwrap_or(value);
                    match field {
                        "" => event.comment = true,
                        "id" => event.id = Some(value.to_owned()),
                        "event" => event.kind = Some(value.to_owned()),
                        "retry" => event.retry = value.parse().ok(),
                        "data" => event.data.push_str(value),
                        _ => panic!("unknown field in {block:?}"),
                    }
                }
                let rest = rest.len();
                self.text.drain(..self.text.len() - rest);
                return Some(event);
            }
            let more = tokio::time::timeout(Duration::from_secs(5), self.body.next()).await.expect("no event in 5 s");
            match more {
                Some(Ok(bytes)) => self.text.push_str(std::str::from_utf8(&bytes).unwrap()),
                Some(Err(_)) | None => return None,
            }
        }
    }

    /// The next event that carries a message.
    pub(crate) async fn message(&mut self) -> Value {
        loop {
            let event = self.next().await.expect("the stream ended");
            if !event.data.is_empty() {
                return event.json();
            }
        }
    }

    /// Nothing but signs of life comes any more.
    pub(crate) async fn ends(mut self) {
        while let Some(event) = self.next().await {
            assert_eq!(event.data, "", "{event:?}");
        }
    }
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    for _ in 0..500 {
        if so() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}

// === who calls ===

/// `ana`, `bob` and `reader` are credentials; `broken` cannot be checked.
struct Keys;

/// The same people for every process.
static PEOPLE: LazyLock<HashMap<&'static str, Arc<Principal>>> = LazyLock::new(|| {
    let at = Timestamp::from_micros(0);
    let account = AccountId::new(at);
    let principal = |name: &'static str, scopes: &[Scope]| {
        let principal = Principal {
            account,
            user: UserId::new(at),
            username: name.to_owned(),
            key: KeyId::new(at),
            key_name: name.to_owned(),
            credential: preloop_types::CredentialKind::ApiKey,
            permissions: preloop_types::PermissionSet::ALL,
            audience: preloop_types::Audience::Everything,
            impersonator: None,
            scopes: scopes.to_vec(),
            agent: None,
            session: None,
            allowed_tools: None,
            allowed_servers: None,
        };
        (name, Arc::new(principal))
    };
    HashMap::from([
        principal("ana", &[Scope::McpRead, Scope::McpWrite]),
        principal("bob", &[Scope::McpRead, Scope::McpWrite]),
        principal("reader", &[Scope::McpRead]),
    ])
});

#[async_trait]
impl Identify for Keys {
    async fn identify(&self, bearer: &str, _: &str) -> Result<Arc<Principal>, Unidentified> {
        if bearer == "broken" {
            return Err(Unidentified::Unavailable("the database is down".to_owned()));
        }
        PEOPLE.get(bearer).cloned().ok_or(Unidentified::Invalid)
    }
}

// === where sessions are kept ===

#[derive(Default)]
pub(crate) struct Kept(pub(crate) Mutex<BTreeMap<String, SessionRecord>>, pub(crate) Mutex<Vec<String>>);

#[async_trait]
impl SessionStore for Kept {
    async fn put(&self, session: &SessionRecord) -> Result<(), SessionStoreError> {
        self.0.lock().unwrap().insert(session.id.clone(), session.clone());
        Ok(())
    }

    async fn get(&self, account: AccountId, id: &str) -> Result<Option<SessionRecord>, SessionStoreError> {
        Ok(self.0.lock().unwrap().get(id).filter(|session| session.account == account).cloned())
    }

    fn touch(&self, _account: AccountId, id: &str) {
        self.1.lock().unwrap().push(id.to_owned());
    }

    async fn delete(&self, _account: AccountId, id: &str) -> Result<(), SessionStoreError> {
        self.0.lock().unwrap().remove(id);
        Ok(())
    }

    async fn delete_idle(&self, before: Timestamp) -> Result<(), SessionStoreError> {
        self.0.lock().unwrap().retain(|_, session| session.last_seen >= before);
        Ok(())
    }
}

// === what is behind ===

/// Does what a tool's name says and remembers what happened.
pub(crate) struct Fake {
    pub(crate) calls: AtomicUsize,
    pub(crate) finished: AtomicUsize,
    pub(crate) cancelled: AtomicUsize,
    pub(crate) asked_in_vain: AtomicUsize,
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) notified: Mutex<Vec<String>>,
    pub(crate) subscriptions: Mutex<Vec<String>>,
    /// Lets `slow` calls go on.
    pub(crate) release: Notify,
    pub(crate) changes: broadcast::Sender<Change>,
}

/// A request as it reached the handler.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) who: String,
    pub(crate) scope: EndpointScope,
    pub(crate) version: Version,
    pub(crate) client: String,
    pub(crate) params: String,
    pub(crate) conversation: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            calls: AtomicUsize::new(0),
            finished: AtomicUsize::new(0),
            cancelled: AtomicUsize::new(0),
            asked_in_vain: AtomicUsize::new(0),
            seen: Mutex::default(),
            notified: Mutex::default(),
            subscriptions: Mutex::default(),
            release: Notify::new(),
            changes: broadcast::channel(64).0,
        }
    }
}

impl Fake {
    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().expect("nothing reached the handler")
    }

    pub(crate) fn count(counter: &AtomicUsize) -> usize {
        counter.load(Ordering::SeqCst)
    }

    async fn call(&self, tool: &str, client: &dyn Client) -> Result<Value, RpcError> {
        let progress = |progress: u32| {
            if let Some(token) = client.progress_token() {
                client.notify(
                    "notifications/progress",
                    Some(raw(&json!({"progressToken": token, "progress": progress}))),
                );
            }
        };
        match tool {
            "slow" => tokio::select! {
                () = self.release.notified() => {}
                () = client.cancelled().cancelled_owned() => {
                    self.cancelled.fetch_add(1, Ordering::SeqCst);
                    return Err(RpcError::new(-32000, "cancelled"));
                }
            },
            "progress" => {
                progress(1);
                tokio::task::yield_now().await;
                progress(2);
            }
            // Says something at once, then waits to be released.
            "chatty" => {
                progress(1);
                self.release.notified().await;
            }
            "log" => {
                for level in ["debug", "warning", "error"] {
                    client.notify("notifications/message", Some(raw(&json!({"level": level, "data": level}))));
                }
            }
            "flood" => {
                for n in 0..300 {
                    progress(n);
                }
            }
            "panic" => panic!("a tool fell over"),
            "needs-sampling" => {
                return Err(RpcError::new(-32021, "sampling is needed")
                    .with_data(&json!({"requiredCapabilities": {"sampling": {}}})));
            }
            "ask-then-slow" => {
                self.ask(client, &[("name", "elicitation/create")]).await?;
                client.cancelled().cancelled_owned().await;
                self.cancelled.fetch_add(1, Ordering::SeqCst);
            }
            "ask" => return self.ask(client, &[("name", "elicitation/create")]).await,
            "ask-twice" => {
                self.ask(client, &[("first", "elicitation/create")]).await?;
                progress(5);
                return self.ask(client, &[("second", "elicitation/create"), ("where", "roots/list")]).await;
            }
            "sample" => return self.ask(client, &[("thought", "sampling/createMessage")]).await,
            _ => {}
        }
        Ok(json!({"content": [{"type": "text", "text": tool}]}))
    }

    async fn ask(&self, client: &dyn Client, what: &[(&str, &str)]) -> Result<Value, RpcError> {
        let request = |method: &str| InputRequest {
            method: method.to_owned(),
            params: Some(raw(&json!({"message": "who are you?", "requestedSchema": {"type": "object"}}))),
        };
        let requests = what.iter().map(|(key, method)| ((*key).to_owned(), request(method))).collect();
        match client.ask(requests).await {
            Ok(answers) => {
                let answers: BTreeMap<_, _> = answers
                    .into_iter()
                    .map(|(key, answer)| match answer {
                        Ok(answer) => (key, serde_json::from_str::<Value>(answer.get()).unwrap()),
                        Err(error) => (key, json!({"error": error.message})),
                    })
                    .collect();
                Ok(json!({"content": [], "structuredContent": answers}))
            }
            Err(error) => {
                self.asked_in_vain.fetch_add(1, Ordering::SeqCst);
                let kind = if matches!(error, AskError::Gone) { "gone" } else { "unsupported" };
                Ok(json!({"content": [], "structuredContent": {kind: error.to_string()}}))
            }
        }
    }
}

#[async_trait]
impl Handler for Fake {
    async fn handle(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        request: Request,
        client: Arc<dyn Client>,
    ) -> Result<Arc<RawValue>, RpcError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let params = request.params.as_ref().map_or("null", |params| params.get()).to_owned();
        self.seen.lock().unwrap().push(Seen {
            who: who.username.clone(),
            scope: scope.clone(),
            version: client.version(),
            client: client.info().name.clone(),
            params: params.clone(),
            conversation: client.conversation().map(str::to_owned),
            headers: client.param_headers().to_vec(),
        });
        let params: Value = serde_json::from_str(&params).unwrap();
        let result = match request.method.as_str() {
            "tools/list" => Ok(json!({"tools": [{"name": "echo", "inputSchema": {"type": "object", "properties": {
                "where": {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}},
                "text": {"type": "string"}}}}]})),
            "tools/call" => self.call(params["name"].as_str().unwrap_or_default(), &*client).await,
            "resources/read" => Err(RpcError::new(-32002, "no such resource")),
            "resources/subscribe" if params["uri"] == "x://secret" => Err(RpcError::new(-32602, "no")),
            "resources/subscribe" | "resources/unsubscribe" => {
                let verb = request.method.trim_start_matches("resources/");
                self.subscriptions.lock().unwrap().push(format!("{verb} {}", params["uri"].as_str().unwrap()));
                Ok(json!({}))
            }
            "pretty" => {
                let text = "{\n  \"big\": 123456789012345678901234567890,\r\n  \"x\": 1.0e3\n}".to_owned();
                return Ok(Arc::from(RawValue::from_string(text).unwrap()));
            }
            _ => Err(RpcError::new(-32601, "no such method")),
        };
        self.finished.fetch_add(1, Ordering::SeqCst);
        result.map(|result| raw(&result))
    }

    async fn capabilities(&self, _: &Arc<Principal>, scope: &EndpointScope, _: Version) -> Result<Offer, RpcError> {
        if *scope == EndpointScope::Server("nowhere".to_owned()) {
            return Err(RpcError::new(-32602, "no server `nowhere`"));
        }
        let capabilities = json!({"tools": {"listChanged": true}, "resources": {"subscribe": true}});
        let Value::Object(capabilities) = capabilities else { unreachable!() };
        Ok(Offer { capabilities, instructions: Some("be kind".to_owned()) })
    }

    fn notified(&self, _: &Arc<Principal>, _: &EndpointScope, notification: Notification) {
        self.notified.lock().unwrap().push(notification.method);
    }

    fn changes(&self, _: &Arc<Principal>, _: &EndpointScope) -> BoxStream<'static, Change> {
        let changes = self.changes.subscribe();
        futures::stream::unfold(changes, |mut changes| async move { Some((changes.recv().await.ok()?, changes)) })
            .boxed()
    }
}

fn raw(value: &Value) -> Arc<RawValue> {
    Arc::from(serde_json::value::to_raw_value(value).unwrap())
}
