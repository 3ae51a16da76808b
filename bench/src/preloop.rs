//! The server under measurement.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use hyper::{HeaderMap, header::HeaderValue};
use preloop_bench::{
    http::{Connection, Error},
    mock::Mock,
    process::{Process, free_port},
    provider::{Api, Provider},
};
use serde_json::{Value, json};

use crate::SERVER_CORE;

const KEY: &str = "pl_bench0bench0bench0bench0bench0bench0bench0";

/// A release build of the server, pinned to its core.
pub(crate) struct Preloop {
    binary: PathBuf,
    folder: PathBuf,
    process: Process,
    addr: SocketAddr,
    authorization: HeaderValue,
    ready: Duration,
}

/// How far the journal got.
#[derive(Clone, Copy)]
pub(crate) struct Journal {
    commits: u64,
    records: u64,
}

/// What the journal did in a while.
#[derive(Clone, Copy)]
pub(crate) struct Commits {
    /// Commits to disk in a second.
    pub(crate) per_second: f64,
    /// Records that shared one commit.
    pub(crate) records_each: f64,
}

impl Journal {
    /// What happened since `before`, `elapsed` ago. Nothing if the server does not say.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn since(self, before: Journal, elapsed: Duration) -> Option<Commits> {
        let commits = self.commits.checked_sub(before.commits).filter(|commits| *commits > 0)? as f64;
        let records = (self.records - before.records) as f64;
        Some(Commits { per_second: commits / elapsed.as_secs_f64(), records_each: records / commits })
    }
}

impl Preloop {
    /// Starts it on an empty data directory.
    pub(crate) async fn start(binary: &Path, folder: &Path) -> Result<Self, Error> {
        let addr = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let (process, ready) = start(binary, folder, addr).await?;
        let authorization = HeaderValue::from_str(&format!("Bearer {KEY}"))?;
        Ok(Self { binary: binary.to_owned(), folder: folder.to_owned(), process, addr, authorization, ready })
    }

    /// Ends it in order and starts it on the same data.
    pub(crate) async fn restart(&mut self) -> Result<(), Error> {
        self.process.stop().await?;
        (self.process, self.ready) = start(&self.binary, &self.folder, self.addr).await?;
        Ok(())
    }

    /// Ends it in order.
    pub(crate) async fn stop(&mut self) -> Result<(), Error> {
        self.process.stop().await?;
        Ok(())
    }

    /// How long after its last start it accepted connections.
    pub(crate) fn ready(&self) -> Duration {
        self.ready
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The owner's credential, as a header.
    pub(crate) fn key(&self) -> &HeaderValue {
        &self.authorization
    }

    /// The process.
    pub(crate) fn process(&self) -> &Process {
        &self.process
    }

    /// Two upstream servers, and a hundred rules for one tool, of which the last matches.
    pub(crate) async fn set_up(&self, mock: &Mock) -> Result<(), Error> {
        for (name, tools) in [("fifty", 50), ("many", 500)] {
            let server = json!({
                "name": name,
                "url": format!("{}/{tools}", mock.url()),
                "settings": { "allow_private_network": true },
            });
            self.post("/api/v1/mcp-servers", "application/json", server.to_string()).await?;
        }
        let rules: String = (0..100)
            .map(|n| match n {
                99 => "      - { expression: 'args.text.startsWith(\"x\")', action: allow, condition_type: cel }\n"
                    .to_owned(),
                n => format!(
                    "      - {{ expression: 'args.text == \"never {n}\"', action: deny, condition_type: cel }}\n"
                ),
            })
            .collect();
        let policy = format!(
            "version: \"1.0\"\nmetadata: {{ name: bench }}\ntools:\n  - name: tool_001\n    source: fifty\n    conditions:\n{rules}"
        );
        self.post("/api/v1/policies/apply", "application/yaml", policy).await?;
        Ok(())
    }

    /// Models behind `provider`, each priced and under a budget, and the credential of an agent that may
    /// use them and nothing else.
    pub(crate) async fn set_up_models(&self, provider: &Provider, models: &[&str]) -> Result<HeaderValue, Error> {
        let budget = json!({ "subject_type": "account", "period": "monthly", "hard_limit_usd": "1000000" });
        self.send("/api/v1/budgets", &budget).await?;
        for name in models {
            let model = json!({
                "alias": name,
                "provider": "openai-compatible",
                "identifier": name,
                "endpoint": provider.base(Api::Chat),
                "credentials": { "api_key": "sk-bench" },
                "pricing": { "input": "3", "output": "15" },
                "settings": { "context_window": 400_000, "max_output": 4_096 },
            });
            self.send("/api/v1/ai-models", &model).await?;
        }
        let key = self.send("/api/v1/auth/api-keys", &json!({ "name": "bench" })).await?;
        let (id, secret) = (key["id"].as_str().unwrap_or_default(), key["key"].as_str().unwrap_or_default());
        let narrowed = json!({ "allowed_models": ["mock*"] });
        self.put(&format!("/api/v1/auth/api-keys/{id}/governance"), &narrowed).await?;
        Ok(HeaderValue::from_str(&format!("Bearer {secret}"))?)
    }

    /// How far the journal got.
    pub(crate) async fn journal(&self) -> Result<Journal, Error> {
        let request = hyper::Request::get("/api/v1/audit-logs/progress")
            .header("host", self.addr.to_string())
            .header("authorization", &self.authorization)
            .body(preloop_bench::http::full(""))?;
        let body = http_body_util::BodyExt::collect(Connection::new(self.addr).send(request).await?).await?.to_bytes();
        let progress: Value = serde_json::from_slice(&body)?;
        let count = |name: &str| progress[name].as_u64().unwrap_or_default();
        Ok(Journal { commits: count("commits"), records: count("records") })
    }

    async fn send(&self, path: &str, body: &Value) -> Result<Value, Error> {
        self.post(path, "application/json", body.to_string()).await
    }

    async fn post(&self, path: &str, kind: &str, body: String) -> Result<Value, Error> {
        let mut headers = HeaderMap::new();
        headers.insert("authorization", self.authorization.clone());
        headers.insert("content-type", HeaderValue::from_str(kind)?);
        let reply = Connection::new(self.addr).post(path, &headers, body.into()).await?;
        if reply.status.is_success() { reply.json() } else { Err(format!("POST {path}: {reply:?}").into()) }
    }

    async fn put(&self, path: &str, body: &Value) -> Result<(), Error> {
        let request = hyper::Request::put(path)
            .header("host", self.addr.to_string())
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .body(preloop_bench::http::full(body.to_string()))?;
        let status = Connection::new(self.addr).send(request).await?.status();
        if status.is_success() { Ok(()) } else { Err(format!("PUT {path}: {status}").into()) }
    }
}

async fn start(binary: &Path, folder: &Path, addr: SocketAddr) -> Result<(Process, Duration), Error> {
    let (binary, data) = (binary.to_string_lossy(), folder.join("data"));
    let (listen, data) = (addr.to_string(), data.to_string_lossy());
    let command = [&*binary, "serve", "--listen", &listen, "--data-dir", &*data];
    let env = [("PRELOOP_BOOTSTRAP_KEY", KEY), ("LOG_LEVEL", "warn")];
    let mut process = Process::start(Some(SERVER_CORE), &command, &env, &folder.join("server.log"))?;
    let ready = process.ready(addr, Duration::from_secs(30)).await?;
    Ok((process, ready))
}
