//! Calls as spans, in the words of OpenTelemetry's conventions for generative AI.

use std::time::Duration;

use preloop_types::{
    CallId, CallOutcome, CostSource, ModelCall, ModelOutcome, ModelStatus, OutcomeStatus, Principal, ToolCall,
};
use serde_json::{Value, json};

const CLIENT: u8 = 3;

pub(super) fn model(
    who: &Principal,
    call: &ModelCall,
    outcome: &ModelOutcome,
    took: Duration,
    provider: &str,
) -> Value {
    let operation = match (call.operation, call.dialect) {
        ("embed", _) => "embeddings",
        ("generate", "gemini") => "generate_content",
        ("generate", _) => "chat",
        (other, _) => other,
    };
    let mut attributes = Attributes::of(who);
    attributes.text("gen_ai.operation.name", Some(operation));
    attributes.text("gen_ai.provider.name", Some(provider));
    attributes.text("gen_ai.request.model", Some(&call.requested));
    attributes.text("gen_ai.response.model", outcome.upstream_model.as_deref());
    attributes.text("gen_ai.response.id", outcome.upstream_id.as_deref());
    attributes.texts("gen_ai.response.finish_reasons", outcome.stop.as_deref());
    attributes.text("gen_ai.conversation.id", call.session.map(|session| session.to_string()).as_deref());
    if let Some(tokens) = outcome.tokens {
        attributes.number("gen_ai.usage.input_tokens", tokens.prompt());
        attributes.number("gen_ai.usage.output_tokens", tokens.completion());
        attributes.number("gen_ai.usage.cache_read.input_tokens", tokens.cache_read);
        let written = tokens.cache_write_5m.saturating_add(tokens.cache_write_1h);
        attributes.number("gen_ai.usage.cache_creation.input_tokens", written);
        attributes.number("gen_ai.usage.reasoning.output_tokens", tokens.reasoning);
    }
    if outcome.http_status > 0 {
        attributes.number("http.response.status_code", u64::from(outcome.http_status));
    }
    attributes.text("preloop.usage.id", Some(&call.id.to_string()));
    attributes.text("preloop.model", Some(&call.model.alias));
    attributes.text("preloop.outcome", Some(outcome.status.as_str()));
    attributes.text("preloop.cost_usd", outcome.cost.map(|cost| cost.to_string()).as_deref());
    attributes.text("preloop.cost_source", outcome.cost_source.map(CostSource::as_str));
    let failed = !matches!(outcome.status, ModelStatus::Succeeded | ModelStatus::CacheHit);
    if failed {
        attributes.text("error.type", Some(outcome.error_code.as_deref().unwrap_or(outcome.status.as_str())));
    }
    span(call.id, &format!("{operation} {}", call.requested), took, &attributes, failed)
}

pub(super) fn tool(who: &Principal, call: &ToolCall, outcome: &CallOutcome, took: Duration) -> Value {
    let mut attributes = Attributes::of(who);
    attributes.text("gen_ai.operation.name", Some("execute_tool"));
    attributes.text("gen_ai.tool.name", Some(&call.tool.exposed));
    attributes.text("gen_ai.tool.call.id", Some(&call.id.to_string()));
    attributes.text("preloop.mcp.server", Some(&call.tool.server));
    attributes.text("preloop.outcome", Some(outcome.status.as_str()));
    let failed = outcome.status != OutcomeStatus::Succeeded;
    if failed {
        attributes.text("error.type", Some(outcome.status.as_str()));
    }
    span(call.id, &format!("execute_tool {}", call.tool.exposed), took, &attributes, failed)
}

/// A span of its own trace, named by the call's id, so that both can be found from each other. Ids hold
/// the time they were made at, which is when the call came.
fn span(id: CallId, name: &str, took: Duration, attributes: &Attributes, failed: bool) -> Value {
    let (seconds, nanos) = id.0.get_timestamp().map_or((0, 0), |timestamp| timestamp.to_unix());
    let start = Duration::new(seconds, nanos);
    let bytes = id.0.as_bytes();
    json!({
        "traceId": hex::encode(bytes),
        "spanId": hex::encode(&bytes[8..]),
        "name": name,
        "kind": CLIENT,
        "startTimeUnixNano": start.as_nanos().to_string(),
        "endTimeUnixNano": (start + took).as_nanos().to_string(),
        "attributes": &attributes.0,
        "status": if failed { json!({"code": 2}) } else { json!({}) },
    })
}

struct Attributes(Vec<Value>);

impl Attributes {
    fn of(who: &Principal) -> Self {
        let mut attributes = Self(Vec::with_capacity(24));
        attributes.text("preloop.account.id", Some(&who.account.to_string()));
        attributes.text("gen_ai.agent.name", who.agent.as_ref().map(|agent| &*agent.name));
        attributes
    }

    fn push(&mut self, key: &str, value: &Value) {
        self.0.push(json!({"key": key, "value": value}));
    }

    fn text(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.push(key, &json!({"stringValue": value}));
        }
    }

    fn texts(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.push(key, &json!({"arrayValue": {"values": [{"stringValue": value}]}}));
        }
    }

    /// Whole numbers are strings in this encoding.
    fn number(&mut self, key: &str, value: u64) {
        self.push(key, &json!({"intValue": value.to_string()}));
    }
}
