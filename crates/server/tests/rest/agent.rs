//! A small MCP client that shows what it was answered with.

use std::time::Duration;

use futures::{StreamExt as _, stream::BoxStream};
use reqwest::RequestBuilder;
use serde_json::{Value, json};

use crate::app::{App, Person};

pub(crate) const MODERN: &str = "2026-07-28";
pub(crate) const LEGACY: &str = "2025-11-25";

/// An agent with a credential of its own.
pub(crate) struct Agent {
    http: reqwest::Client,
    url: String,
    key: String,
    run: Option<String>,
}

impl Agent {
    pub(crate) async fn of(app: &App) -> Self {
        Self::with_key(app, &app.agent().await)
    }

    pub(crate) fn with_key(app: &App, person: &Person) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { http, url: format!("{}/mcp/v1", app.url), key: person.key.clone(), run: None }
    }

    fn post(&self, body: &Value) -> RequestBuilder {
        let accept = "application/json, text/event-stream";
        let request = self.http.post(&self.url).header("accept", accept).bearer_auth(&self.key).json(body);
        match &self.run {
            Some(run) => request.header("x-preloop-session-id", run),
            None => request,
        }
    }

    /// The same agent in a run it names.
    pub(crate) fn named_run(&self, run: &str) -> Self {
        Self { http: self.http.clone(), url: self.url.clone(), key: self.key.clone(), run: Some(run.to_owned()) }
    }

    /// One request of the modern era, by a client that declares `capabilities`: the whole response.
    pub(crate) async fn modern(&self, method: &str, mut params: Value, capabilities: &Value) -> Value {
        let meta = params.as_object_mut().unwrap().entry("_meta").or_insert(json!({}));
        meta["io.modelcontextprotocol/protocolVersion"] = MODERN.into();
        meta["io.modelcontextprotocol/clientInfo"] = json!({"name": "test", "version": "1"});
        meta["io.modelcontextprotocol/clientCapabilities"] = capabilities.clone();
        let name = params["name"].as_str().or(params["uri"].as_str()).map(str::to_owned);
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let mut request = self.post(&body).header("mcp-protocol-version", MODERN).header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        Messages::of(request.send().await.unwrap()).response().await
    }

    /// Calls a tool in the modern era: the result.
    pub(crate) async fn call(&self, tool: &str, arguments: Value, capabilities: &Value) -> Value {
        let params = json!({"name": tool, "arguments": arguments});
        self.modern("tools/call", params, capabilities).await["result"].take()
    }

    /// Opens a session of the legacy era.
    pub(crate) async fn session(&self, capabilities: Value) -> Session<'_> {
        let hello = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": LEGACY, "capabilities": capabilities, "clientInfo": {"name": "test", "version": "1"}}});
        let response = self.post(&hello).send().await.unwrap();
        let id = response.headers()["mcp-session-id"].to_str().unwrap().to_owned();
        let session = Session { agent: self, id };
        session.send(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"})).await;
        session
    }
}

/// A session of the legacy era.
pub(crate) struct Session<'a> {
    agent: &'a Agent,
    id: String,
}

impl Session<'_> {
    /// Sends a message; what comes back.
    pub(crate) async fn send(&self, message: &Value) -> Messages {
        let request =
            self.agent.post(message).header("mcp-session-id", &self.id).header("mcp-protocol-version", LEGACY);
        Messages::of(request.send().await.unwrap())
    }
}

/// The messages of one response, a stream or not.
pub(crate) struct Messages {
    body: BoxStream<'static, Vec<u8>>,
    text: String,
    streamed: bool,
}

impl Messages {
    fn of(response: reqwest::Response) -> Self {
        let kind = response.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let streamed = kind.starts_with("text/event-stream");
        let body = response.bytes_stream().map(|chunk| chunk.unwrap().to_vec()).boxed();
        Self { body, text: String::new(), streamed }
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if self.streamed
                && let Some((event, rest)) = self.text.split_once("\n\n")
            {
                let data =
                    event.lines().find_map(|line| line.strip_prefix("data:")).unwrap_or_default().trim().to_owned();
                let rest = rest.len();
                self.text.drain(..self.text.len() - rest);
                if !data.is_empty() {
                    return serde_json::from_str(&data).unwrap();
                }
                continue;
            }
            let chunk = tokio::time::timeout(Duration::from_secs(20), self.body.next()).await.unwrap();
            match chunk {
                Some(chunk) => self.text.push_str(std::str::from_utf8(&chunk).unwrap()),
                None => {
                    return serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("no message: {}", self.text));
                }
            }
        }
    }

    /// The response, after whatever comes before it.
    pub(crate) async fn response(&mut self) -> Value {
        loop {
            let message = self.next().await;
            if message.get("method").is_none() {
                return message;
            }
        }
    }
}
