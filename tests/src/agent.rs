//! An agent: a small MCP client that shows every byte it was answered with.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use reqwest::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::owner::http_client;

/// Which protocol an agent speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25: a handshake and a session.
    Legacy,
    /// 2026-07-28: neither.
    Modern,
}

impl Era {
    /// Both.
    pub const ALL: [Era; 2] = [Era::Legacy, Era::Modern];

    /// The revision spoken.
    pub const fn version(self) -> &'static str {
        match self {
            Era::Legacy => "2025-11-25",
            Era::Modern => "2026-07-28",
        }
    }
}

/// What one request was answered with.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: StatusCode,
    /// The JSON-RPC response, or `null` where there was none.
    pub response: Value,
    /// Notifications that came before it on the same stream.
    pub notifications: Vec<Value>,
}

impl Answer {
    /// The result; panics on an error.
    pub fn result(&self) -> &Value {
        self.response.get("result").unwrap_or_else(|| panic!("no result: {self:#?}"))
    }

    /// Whether the tool's answer, or Preloop's in its place, is an error.
    pub fn is_error(&self) -> bool {
        self.result()["isError"] == json!(true)
    }

    /// The text the model reads.
    pub fn text(&self) -> &str {
        self.result()["content"][0]["text"].as_str().unwrap_or_default()
    }

    /// The word in `structuredContent.status`, by which Preloop says what became of a call.
    pub fn verdict(&self) -> &str {
        self.result()["structuredContent"]["status"].as_str().unwrap_or_default()
    }
}

/// An agent with a credential.
pub struct Agent {
    http: reqwest::Client,
    url: String,
    key: String,
    era: Era,
    session: Option<String>,
    next: AtomicU64,
}

impl Agent {
    /// Connects; in the legacy era with the handshake.
    pub async fn connect(url: String, key: String, era: Era) -> Self {
        let mut agent = Self { http: http_client(), url, key, era, session: None, next: AtomicU64::new(1) };
        if era == Era::Legacy {
            let params = json!({
                "protocolVersion": era.version(),
                "capabilities": { "elicitation": {} },
                "clientInfo": { "name": "e2e", "version": "1.0.0" },
            });
            let response = agent.post(&agent.message("initialize", params, None), None).await.unwrap();
            agent.session = response.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
            let answer = agent.read(response, &mut Vec::new()).await.unwrap();
            assert_eq!(answer.result()["protocolVersion"], era.version(), "{answer:#?}");
            let initialized = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            assert_eq!(agent.post(&initialized, None).await.unwrap().status(), StatusCode::ACCEPTED);
        }
        agent
    }

    /// The same agent at another endpoint of the same server.
    pub async fn at(&self, url: String) -> Self {
        Self::connect(url, self.key.clone(), self.era).await
    }

    /// The id of its session, in the legacy era.
    pub fn session(&self) -> Option<&str> {
        self.session.as_deref()
    }

    /// Sends any request and gives the answer.
    pub async fn request(&self, method: &str, params: Value) -> Answer {
        let answer = self.request_within(method, params, Duration::from_mins(2)).await;
        answer.unwrap_or_else(|| panic!("`{method}` was not answered"))
    }

    /// Lists all tools.
    pub async fn tools(&self) -> Vec<Value> {
        let mut tools = Vec::new();
        let mut params = json!({});
        loop {
            let answer = self.request("tools/list", params).await;
            tools.extend(answer.result()["tools"].as_array().unwrap().iter().cloned());
            match answer.result().get("nextCursor") {
                Some(cursor) if !cursor.is_null() => params = json!({ "cursor": cursor }),
                _ => return tools,
            }
        }
    }

    /// Calls a tool and waits as long as it takes.
    pub async fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.request("tools/call", json!({ "name": tool, "arguments": arguments })).await
    }

    /// Calls a tool and hangs up after `patience`.
    pub async fn call_within(&self, tool: &str, arguments: Value, patience: Duration) -> Option<Answer> {
        self.request_within("tools/call", json!({ "name": tool, "arguments": arguments }), patience).await
    }

    /// Sends any request; nothing comes of a broken connection or of hanging up after `patience`.
    /// Questions that the server asks on the way are answered.
    pub async fn request_within(&self, method: &str, params: Value, patience: Duration) -> Option<Answer> {
        tokio::time::timeout(patience, self.exchange(method, params)).await.ok()?.ok()
    }

    async fn exchange(&self, method: &str, mut params: Value) -> reqwest::Result<Answer> {
        let mut notifications = Vec::new();
        loop {
            let name = params["name"].as_str().map(str::to_owned);
            let message = self.message(method, params.clone(), Some(self.next.fetch_add(1, Ordering::Relaxed)));
            let response = self.post(&message, name.as_deref()).await?;
            let mut answer = self.read(response, &mut notifications).await?;
            let result = &answer.response["result"];
            if result["resultType"] != "input_required" {
                answer.notifications = notifications;
                return Ok(answer);
            }
            let asked = result["inputRequests"].as_object().cloned().unwrap_or_default();
            let answers: Map<String, Value> = asked.into_iter().map(|(key, _)| (key, elicited())).collect();
            params["inputResponses"] = Value::Object(answers);
            if let Some(state) = result.get("requestState") {
                params["requestState"] = state.clone();
            }
        }
    }

    /// Posts a raw body as this agent would, and gives the status and the body of the answer.
    pub async fn raw(&self, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> (StatusCode, String) {
        self.try_raw(body, headers).await.unwrap()
    }

    /// The same, where the server may break the connection off.
    pub async fn try_raw(
        &self,
        body: impl Into<reqwest::Body>,
        headers: &[(&str, &str)],
    ) -> Option<(StatusCode, String)> {
        let mut request = self.envelope(None, None).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send().await.ok()?;
        Some((response.status(), response.text().await.ok()?))
    }

    fn message(&self, method: &str, mut params: Value, id: Option<u64>) -> Value {
        if self.era == Era::Modern {
            params["_meta"]["io.modelcontextprotocol/protocolVersion"] = json!(self.era.version());
            params["_meta"]["io.modelcontextprotocol/clientInfo"] = json!({ "name": "e2e", "version": "1.0.0" });
            params["_meta"]["io.modelcontextprotocol/clientCapabilities"] = json!({ "elicitation": {} });
        }
        json!({ "jsonrpc": "2.0", "id": id.unwrap_or(0), "method": method, "params": params })
    }

    fn envelope(&self, method: Option<&str>, name: Option<&str>) -> reqwest::RequestBuilder {
        let mut request = self
            .http
            .post(&self.url)
            .bearer_auth(&self.key)
            .header("content-type", "application/json")
            .header("accept", "application/json, text/event-stream");
        if let Some(session) = &self.session {
            request = request.header("mcp-session-id", session).header("mcp-protocol-version", self.era.version());
        }
        if self.era == Era::Modern {
            request = request.header("mcp-protocol-version", self.era.version());
            if let Some(method) = method {
                request = request.header("mcp-method", method);
            }
            if let Some(name) = name {
                request = request.header("mcp-name", name);
            }
        }
        request
    }

    async fn post(&self, message: &Value, name: Option<&str>) -> reqwest::Result<Response> {
        self.envelope(message["method"].as_str(), name).body(message.to_string()).send().await
    }

    /// Reads a JSON answer, or an event stream up to the response in it.
    async fn read(&self, mut response: Response, notifications: &mut Vec<Value>) -> reqwest::Result<Answer> {
        let status = response.status();
        let streamed = response
            .headers()
            .get("content-type")
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"));
        let done = |response| Answer { status, response, notifications: Vec::new() };
        if !streamed {
            let text = response.text().await?;
            return Ok(done(serde_json::from_str(&text).unwrap_or(Value::String(text))));
        }
        let mut buffer = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            buffer.extend_from_slice(&chunk);
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = buffer.drain(..=end).collect();
                let line = String::from_utf8(line).unwrap();
                let Some(data) = line.strip_prefix("data:").map(str::trim).filter(|data| !data.is_empty()) else {
                    continue;
                };
                let message: Value = serde_json::from_str(data).unwrap();
                match (message.get("method"), message.get("id")) {
                    (None, _) => return Ok(done(message)),
                    (Some(_), None) => notifications.push(message),
                    (Some(_), Some(id)) => {
                        let answer = json!({ "jsonrpc": "2.0", "id": id, "result": elicited() });
                        self.post(&answer, None).await?;
                    }
                }
            }
        }
        Ok(done(Value::Null))
    }
}

/// What this agent's user answers to every question.
fn elicited() -> Value {
    json!({ "action": "accept", "content": { "name": "Ada" } })
}
