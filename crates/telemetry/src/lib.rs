//! What operators see of an instance: metrics for Prometheus, spans for OpenTelemetry.
//!
//! [`Telemetry`] observes the one path every call takes, where it is settled or refused. It learns no
//! prompt, answer, argument or credential, holds nobody up and never fails a call; what it says is for
//! dashboards, and the journal is for proof. Nothing leaves the instance unless an exporter is
//! configured.

mod metrics;
mod otlp;
mod text;

use std::{sync::Arc, time::Duration};

use preloop_govern::{Governor, ModelAttempt, ModelRefusal, Observer, Refusal};
use preloop_types::{CallOutcome, ModelCall, ModelOutcome, Principal, ToolCall};
use tokio_util::sync::CancellationToken;

pub use otlp::{OtlpError, OtlpOptions};

use crate::{metrics::Metrics, otlp::Exporter};

/// Metrics and, if configured, spans of an instance.
pub struct Telemetry {
    metrics: Metrics,
    exporter: Option<Exporter>,
}

/// A fact about an instance that is no event: name, explanation, value.
#[derive(Debug, Clone, PartialEq)]
pub struct Gauge {
    /// Its name.
    pub name: &'static str,
    /// What it says.
    pub help: &'static str,
    /// Now.
    pub value: f64,
}

impl Telemetry {
    /// Metrics, and spans if `otlp` says where to. `provider_name` is what OpenTelemetry calls a model
    /// provider.
    pub fn new(otlp: Option<OtlpOptions>, provider_name: fn(&str) -> &str) -> Result<Arc<Self>, OtlpError> {
        let exporter = otlp.map(|options| Exporter::new(options, provider_name)).transpose()?;
        Ok(Arc::new(Self { metrics: Metrics::default(), exporter }))
    }

    /// Sends spans until `shutdown`, and what is left then. Returns at once if none are wanted.
    pub async fn run(&self, shutdown: CancellationToken) {
        if let Some(exporter) = &self.exporter {
            exporter.run(shutdown).await;
        }
    }

    /// Everything counted so far, with `gauges` of the instance, in Prometheus' text format 0.0.4.
    pub fn render(&self, governor: &Governor, gauges: &[Gauge]) -> String {
        self.metrics.render(governor, gauges)
    }
}

impl Observer for Telemetry {
    fn tool_settled(&self, who: &Principal, call: &ToolCall, outcome: &CallOutcome, took: Duration) {
        self.metrics.tool_settled(call, outcome, took);
        if let Some(exporter) = &self.exporter {
            exporter.tool(who, call, outcome, took);
        }
    }

    fn tool_refused(&self, _: &Principal, _: &ToolCall, refusal: &Refusal) {
        self.metrics.tool_refused(refusal);
    }

    fn model_settled(&self, who: &Principal, call: &ModelCall, outcome: &ModelOutcome, took: Duration) {
        self.metrics.model_settled(call, outcome, took);
        if let Some(exporter) = &self.exporter {
            exporter.model(who, call, outcome, took);
        }
    }

    fn model_rerouted(&self, _: &Principal, _: &ModelCall) {
        self.metrics.model_rerouted();
    }

    fn model_refused(&self, _: &Principal, attempt: &ModelAttempt, refusal: &ModelRefusal) {
        self.metrics.model_refused(attempt, refusal);
    }
}
