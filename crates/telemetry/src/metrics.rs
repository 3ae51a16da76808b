//! What is counted. Names are those of the documentation; changing one breaks dashboards.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use preloop_govern::{Governor, ModelAttempt, ModelRefusal, Refusal};
use preloop_types::{CallOutcome, CostSource, ModelCall, ModelOutcome, ModelStatus, NanoUsd, ToolCall};

use crate::{
    Gauge,
    text::{Counter, Histogram, single},
};

pub(crate) struct Metrics {
    requests: Counter,
    tokens: Counter,
    cost: Counter,
    unpriced: Counter,
    upstream_errors: Counter,
    budget_denied: Counter,
    refused: Counter,
    duration: Histogram<13>,
    ttft: Histogram<10>,
    overhead: Histogram<10>,
    retries: AtomicU64,
    fallbacks: AtomicU64,
    disconnects: AtomicU64,
    cache_hits: AtomicU64,
    tools: Counter,
    tools_refused: Counter,
    tool_duration: Histogram<11>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Counter::default(),
            tokens: Counter::default(),
            cost: Counter::default(),
            unpriced: Counter::default(),
            upstream_errors: Counter::default(),
            budget_denied: Counter::default(),
            refused: Counter::default(),
            duration: Histogram::new(&[0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0]),
            ttft: Histogram::new(&[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0]),
            overhead: Histogram::new(&[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 1.0]),
            retries: AtomicU64::new(0),
            fallbacks: AtomicU64::new(0),
            disconnects: AtomicU64::new(0),
            cache_hits: AtomicU64::new(0),
            tools: Counter::default(),
            tools_refused: Counter::default(),
            tool_duration: Histogram::new(&[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0]),
        }
    }
}

/// A dash stands for a model that nobody knows: what an agent wrote is no label.
const NOBODY: &str = "-";

impl Metrics {
    pub(crate) fn model_settled(&self, call: &ModelCall, outcome: &ModelOutcome, took: Duration) {
        let (provider, model) = (&*call.model.provider, &*call.model.alias);
        self.request(call.dialect, provider, model, outcome.status.as_str());
        self.duration.record(took);
        self.overhead.record(took.saturating_sub(Duration::from_micros(outcome.upstream_us)));
        if let Some(ttfb) = outcome.ttfb_us {
            self.ttft.record(Duration::from_micros(ttfb));
        }
        if let Some(tokens) = outcome.tokens {
            let kinds = [
                ("input", tokens.input),
                ("cache_read", tokens.cache_read),
                ("cache_write", tokens.cache_write_5m + tokens.cache_write_1h),
                ("output", tokens.output),
                ("reasoning", tokens.reasoning),
                ("audio", tokens.input_audio + tokens.output_audio),
                ("image", tokens.input_image + tokens.output_image),
            ];
            for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
                self.tokens.add(&[("type", kind)], count);
            }
        }
        match (outcome.cost, outcome.cost_source) {
            (Some(cost), source) => {
                let source = source.map_or(NOBODY, CostSource::as_str);
                self.cost.add(&[("source", source)], u64::try_from(cost.0).unwrap_or(0));
            }
            (None, Some(CostSource::Unpriced)) => self.unpriced.add(&[("model", model)], 1),
            (None, _) => {}
        }
        match outcome.status {
            ModelStatus::UpstreamError | ModelStatus::UpstreamRateLimited | ModelStatus::UpstreamTimeout => {
                let code = outcome.error_code.as_deref().unwrap_or(NOBODY);
                self.upstream_errors.add(&[("provider", provider), ("code", code)], 1);
            }
            ModelStatus::Disconnected => add(&self.disconnects, 1),
            ModelStatus::CacheHit => add(&self.cache_hits, 1),
            _ => {}
        }
        add(&self.retries, u64::from(outcome.attempts.saturating_sub(1)));
    }

    pub(crate) fn model_rerouted(&self) {
        add(&self.fallbacks, 1);
    }

    pub(crate) fn model_refused(&self, attempt: &ModelAttempt, refusal: &ModelRefusal) {
        let model = attempt.model.as_ref();
        let (provider, alias) = model.map_or((NOBODY, NOBODY), |model| (&*model.provider, &*model.alias));
        self.request(attempt.dialect, provider, alias, refusal.kind.outcome());
        self.refused.add(&[("code", refusal.kind.as_str())], 1);
        if refusal.kind.outcome() == "budget_denied" {
            let scope = refusal.data.get("scope").and_then(|scope| scope.as_str()).unwrap_or(NOBODY);
            self.budget_denied.add(&[("scope", scope)], 1);
        }
    }

    fn request(&self, dialect: &str, provider: &str, model: &str, outcome: &str) {
        let labels = [("dialect", dialect), ("provider", provider), ("model", model), ("outcome", outcome)];
        self.requests.add(&labels, 1);
    }

    pub(crate) fn tool_settled(&self, call: &ToolCall, outcome: &CallOutcome, took: Duration) {
        self.tools.add(&[("server", &call.tool.server), ("outcome", outcome.status.as_str())], 1);
        self.tool_duration.record(took);
    }

    pub(crate) fn tool_refused(&self, refusal: &Refusal) {
        self.tools_refused.add(&[("code", refusal.kind.as_str())], 1);
    }

    pub(crate) fn render(&self, governor: &Governor, gauges: &[Gauge]) -> String {
        let mut text = String::with_capacity(16 * 1024);
        let out = &mut text;
        let count = |value: u64| value;
        let dollars = |nano: u64| NanoUsd(i64::try_from(nano).unwrap_or(i64::MAX));
        self.requests.render("gateway_requests_total", "Model calls, served and refused.", count, out);
        self.duration.render("gateway_request_duration_seconds", "From admission to the end of the answer.", out);
        self.ttft.render("gateway_ttft_seconds", "From admission to the first byte of the answer.", out);
        self.overhead.render("gateway_overhead_seconds", "Duration without the provider's share.", out);
        self.tokens.render("gateway_tokens_total", "Tokens consumed.", count, out);
        self.cost.render("gateway_cost_usd_total", "Dollars spent, by who says so.", dollars, out);
        self.unpriced.render("gateway_unpriced_requests_total", "Model calls without a known price.", count, out);
        self.upstream_errors.render("gateway_upstream_errors_total", "Calls a provider failed.", count, out);
        self.budget_denied.render("gateway_budget_denied_total", "Model calls a hard budget refused.", count, out);
        self.refused.render("gateway_refused_total", "Model calls that were not sent.", count, out);
        let in_flight = governor.model_calls_in_flight();
        single("gateway_inflight", "gauge", "Model calls under way.", in_flight, out);
        let (rows, lag) = governor.ledger_backlog();
        single("gateway_ledger_spool_rows", "gauge", "Model calls whose outcome is not durable yet.", rows, out);
        let help = "How long the oldest of them has been over.";
        single("gateway_ledger_lag_seconds", "gauge", help, lag.as_secs_f64(), out);
        let help = "Dollars budgets have set aside for calls under way; a call counts in each of its budgets.";
        single("gateway_budget_reserved_usd", "gauge", help, governor.budget_reserved(), out);
        for (name, help, value) in [
            ("gateway_retries_total", "Requests repeated to a provider.", &self.retries),
            ("gateway_fallbacks_total", "Model calls that went on to another model.", &self.fallbacks),
            ("gateway_client_disconnects_total", "Agents that left before the end.", &self.disconnects),
            ("gateway_cache_hits_total", "Model calls answered from the cache.", &self.cache_hits),
        ] {
            single(name, "counter", help, value.load(Ordering::Relaxed), out);
        }
        self.tools.render("tool_calls_total", "Tool calls carried out.", count, out);
        self.tool_duration.render("tool_call_duration_seconds", "From admission to the result.", out);
        self.tools_refused.render("tool_calls_refused_total", "Tool calls that were not carried out.", count, out);
        let journal = governor.store().journal_stats();
        single("journal_records_total", "counter", "Records this process wrote.", journal.records, out);
        single("journal_commits_total", "counter", "Commits that carried them.", journal.commits, out);
        for gauge in gauges {
            single(gauge.name, "gauge", gauge.help, gauge.value, out);
        }
        text
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
