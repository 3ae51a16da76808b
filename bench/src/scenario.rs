//! One kind of load against one server.

use std::{net::SocketAddr, rc::Rc, time::Duration};

use bytes::Bytes;
use hyper::{HeaderMap, header::HeaderValue};
use preloop_bench::{
    http::{Connection, Error},
    load::{Load, Outcome, Pace, run},
    process::Process,
};

const LEGACY: &str = "2025-11-25";
const MODERN: &str = "2026-07-28";
/// What `_meta` every modern request carries.
const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// Where chat completions are asked for.
const CHAT: &str = "/openai/v1/chat/completions";

/// A load with a name.
pub(crate) struct Scenario {
    name: String,
    load: Load,
    method: &'static str,
    tool: String,
    sessions: bool,
}

/// What a run of a scenario came to.
pub(crate) struct Measured {
    /// The scenario.
    pub(crate) name: String,
    /// Throughput and latency.
    pub(crate) outcome: Outcome,
    /// CPU time of the server for one request.
    pub(crate) cpu: Option<Duration>,
}

impl Scenario {
    /// Calls `tool` with some 200 bytes of arguments over `connections`.
    pub(crate) fn call(name: &str, addr: SocketAddr, path: &str, tool: &str, connections: usize) -> Self {
        let text = "x".repeat(200);
        let called = tool.to_owned();
        let body = move |n: u64| {
            let params = format!(r#"{{"name":"{called}","arguments":{{"text":"{text}"}}}}"#);
            format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"tools/call","params":{params}}}"#).into()
        };
        Self::new(name, addr, path, "tools/call", tool, connections, Rc::new(body), "xxxx")
    }

    /// Lists tools over one connection.
    pub(crate) fn list(name: &str, addr: SocketAddr, path: &str) -> Self {
        let body = |n: u64| format!(r#"{{"jsonrpc":"2.0","id":{n},"method":"tools/list","params":{{}}}}"#).into();
        Self::new(name, addr, path, "tools/list", "", 1, Rc::new(body), "tool_000")
    }

    /// Asks `model` with a prompt of `bytes`, for a whole answer or a stream.
    pub(crate) fn model(
        name: &str,
        addr: SocketAddr,
        model: &str,
        bytes: usize,
        stream: bool,
        connections: usize,
    ) -> Self {
        // Words, so that nothing can take them for media.
        let prompt = "Read the report and answer in a sentence. ".repeat(bytes / 42 + 1);
        let prompt = &prompt[..bytes];
        let streamed = if stream { r#","stream":true,"stream_options":{"include_usage":true}"# } else { "" };
        let body: Bytes = format!(
            r#"{{"model":"{model}","messages":[{{"role":"user","content":"{prompt}"}}],"max_completion_tokens":500{streamed}}}"#
        )
        .into();
        let expect = if stream { "[DONE]" } else { "finish_reason" };
        Self::new(name, addr, CHAT, "", "", connections, Rc::new(move |_| body.clone()), expect)
    }

    /// What it sends.
    pub(crate) fn load(&self) -> &Load {
        &self.load
    }

    #[expect(clippy::too_many_arguments, reason = "one private constructor for the public ones")]
    fn new(
        name: &str,
        addr: SocketAddr,
        path: &str,
        method: &'static str,
        tool: &str,
        connections: usize,
        body: Rc<dyn Fn(u64) -> Bytes>,
        expect: &'static str,
    ) -> Self {
        let headers = vec![HeaderMap::new(); connections];
        let load = Load { addr, path: path.to_owned(), headers, body, expect };
        Self { name: name.to_owned(), load, method, tool: tool.to_owned(), sessions: false }
    }

    /// Sends `key` with every request.
    pub(crate) fn authorized(mut self, key: &HeaderValue) -> Self {
        for headers in &mut self.load.headers {
            headers.insert("authorization", key.clone());
        }
        self
    }

    /// Speaks the legacy era: every run opens a session for each of its connections.
    pub(crate) fn legacy(mut self) -> Self {
        self.sessions = true;
        self
    }

    /// Speaks the modern era: no session, metadata in every request.
    pub(crate) fn modern(mut self) -> Self {
        for headers in &mut self.load.headers {
            headers.insert("mcp-protocol-version", HeaderValue::from_static(MODERN));
            headers.insert("mcp-method", HeaderValue::from_static(self.method));
            if let Ok(name) = HeaderValue::from_str(&self.tool) {
                headers.insert("mcp-name", name);
            }
        }
        let plain = self.load.body;
        self.load.body = Rc::new(move |n| {
            let body =
                String::from_utf8_lossy(&plain(n)).replacen(r#""params":{"#, &format!(r#""params":{{{META},"#), 1);
            body.into()
        });
        self
    }

    /// Runs it; `server` is whose CPU time is counted.
    pub(crate) async fn run(&self, pace: Pace, server: Option<&Process>) -> Result<Measured, Error> {
        let mut load = self.load.clone();
        if self.sessions {
            for headers in &mut load.headers {
                open_session(load.addr, &load.path, headers).await?;
            }
        }
        let before = server.map(Process::cpu).transpose()?;
        let outcome = run(&load, pace).await;
        if let Some(failure) = &outcome.failure {
            return Err(format!("{}: {} wrong answers, the first: {failure}", self.name, outcome.failed).into());
        }
        let after = server.map(Process::cpu).transpose()?;
        // The warm-up ran at the same pace as the rest.
        let seconds = (pace.warm_up + pace.measured).as_secs_f64();
        let cpu =
            before.zip(after).map(|(before, after)| after.saturating_sub(before).div_f64(outcome.per_second * seconds));
        Ok(Measured { name: self.name.clone(), outcome, cpu })
    }
}

/// Shakes hands and puts the session's id into `headers`.
async fn open_session(addr: SocketAddr, path: &str, headers: &mut HeaderMap) -> Result<(), Error> {
    let params = format!(
        r#"{{"protocolVersion":"{LEGACY}","capabilities":{{}},"clientInfo":{{"name":"bench","version":"1"}}}}"#
    );
    let initialize = format!(r#"{{"jsonrpc":"2.0","id":0,"method":"initialize","params":{params}}}"#);
    let mut connection = Connection::new(addr);
    let reply = connection.post(path, headers, initialize.into()).await?;
    if !reply.status.is_success() {
        return Err(format!("initialize: {reply:?}").into());
    }
    headers.insert("mcp-protocol-version", HeaderValue::from_static(LEGACY));
    if let Some(session) = reply.headers.get("mcp-session-id") {
        headers.insert("mcp-session-id", session.clone());
    }
    let initialized = Bytes::from_static(br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    connection.post(path, headers, initialized).await?;
    Ok(())
}
