//! Spans, sent to an OpenTelemetry collector over HTTP as JSON (OTLP 1.x, `http/json`).
//!
//! A span is made where a call is settled, from what is known of it then, so that calls pay nothing
//! while they run. It waits in a bounded queue; what does not fit is counted and dropped.

mod options;
mod span;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Limited};
use preloop_egress::{Chunks, Egress, EgressOptions, LeanClient, Policy};
use preloop_types::{CallOutcome, ModelCall, ModelOutcome, Principal, ToolCall};
use serde_json::{Value, json};
use tokio::{
    sync::{Mutex, mpsc},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

pub use options::{OtlpError, OtlpOptions};

/// Spans that may wait.
const QUEUE_MAX: usize = 4096;
/// Most spans of one request.
const BATCH_MAX: usize = 512;
/// Longest a span waits for others.
const LINGER: Duration = Duration::from_secs(2);
/// Longest wait for the collector.
const SEND_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct Exporter {
    options: OtlpOptions,
    provider_name: fn(&str) -> &str,
    client: LeanClient,
    queue: mpsc::Sender<Value>,
    waiting: Arc<Mutex<mpsc::Receiver<Value>>>,
    dropped: AtomicU64,
}

impl Exporter {
    pub(crate) fn new(options: OtlpOptions, provider_name: fn(&str) -> &str) -> Result<Self, OtlpError> {
        // The operator names the collector, on the command line or in the environment: it may be anywhere.
        let egress = Egress::new(EgressOptions { allow_private_network: true, ..EgressOptions::default() });
        let client = egress.lean(Policy { allow_private: true, ..Policy::default() });
        let client = client.map_err(|error| OtlpError::Client(error.to_string()))?;
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let waiting = Arc::new(Mutex::new(waiting));
        Ok(Self { options, provider_name, client, queue, waiting, dropped: AtomicU64::new(0) })
    }

    pub(crate) fn model(&self, who: &Principal, call: &ModelCall, outcome: &ModelOutcome, took: Duration) {
        if self.options.samples(call.id.0) {
            let provider = (self.provider_name)(&call.model.provider);
            self.enqueue(span::model(who, call, outcome, took, provider));
        }
    }

    pub(crate) fn tool(&self, who: &Principal, call: &ToolCall, outcome: &CallOutcome, took: Duration) {
        if self.options.samples(call.id.0) {
            self.enqueue(span::tool(who, call, outcome, took));
        }
    }

    fn enqueue(&self, span: Value) {
        if self.queue.try_send(span).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends what is queued until `shutdown`, and once more then.
    pub(crate) async fn run(&self, shutdown: CancellationToken) {
        let mut waiting = self.waiting.lock().await;
        let mut batch = Vec::new();
        while let Some(()) = shutdown.run_until_cancelled(fill(&mut waiting, &mut batch)).await {
            self.send(std::mem::take(&mut batch)).await;
        }
        while let Ok(span) = waiting.try_recv() {
            batch.push(span);
        }
        if !batch.is_empty() {
            self.send(batch).await;
        }
    }

    async fn send(&self, batch: Vec<Value>) {
        let count = batch.len();
        let sent = timeout(SEND_WITHIN, self.post(batch)).await;
        let sent = sent.unwrap_or_else(|_| Err(format!("no answer within {}s", SEND_WITHIN.as_secs())));
        if let Err(error) = sent {
            tracing::warn!(%error, "{count} spans could not be sent to the collector");
        }
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        if dropped > 0 {
            tracing::warn!("{dropped} spans were dropped because the collector does not keep up");
        }
    }

    async fn post(&self, spans: Vec<Value>) -> Result<(), String> {
        let scope = json!({"name": "preloop", "version": env!("CARGO_PKG_VERSION")});
        let body = json!({"resourceSpans": [{
            "resource": {"attributes": self.options.resource()},
            "scopeSpans": [{"scope": scope, "spans": spans}],
        }]});
        let mut request = Request::post(&self.options.endpoint)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Chunks::from(Bytes::from(body.to_string())))
            .map_err(|error| error.to_string())?;
        for (name, value) in &self.options.headers {
            request.headers_mut().insert(name, value.clone());
        }
        let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
        let status = answer.status();
        // Read to its end, so that the connection can be used again.
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        match (status.is_success(), body) {
            (true, Ok(_)) => Ok(()),
            (true, Err(error)) => Err(error.to_string()),
            (false, _) => Err(format!("the collector answered HTTP {}", status.as_u16())),
        }
    }
}

/// Takes spans until the batch is full, or the first one has waited long enough.
async fn fill(waiting: &mut mpsc::Receiver<Value>, batch: &mut Vec<Value>) {
    let Some(first) = waiting.recv().await else { return std::future::pending().await };
    batch.push(first);
    let more = async {
        while batch.len() < BATCH_MAX {
            match waiting.recv().await {
                Some(span) => batch.push(span),
                None => return,
            }
        }
    };
    // Whether it is full or time is up: it goes.
    let _ = timeout(LINGER, more).await;
}
