use preloop_types::Tokens;
use serde_json::Value;

use crate::{
    Dialect,
    ir::{Choice, Part, Response, Signature, Stop, Thought, ToolCall},
    translate::{BadAnswer, Names},
};

pub(super) fn decode(body: &[u8], names: &Names) -> Result<Response, BadAnswer> {
    let body: Value = serde_json::from_slice(body).map_err(|error| BadAnswer(format!("it is not JSON: {error}")))?;
    let blocks = body["output"]["message"]["content"].as_array();
    let blocks = blocks.ok_or_else(|| BadAnswer("`output.message.content` is missing".to_owned()))?;
    let parts = blocks.iter().filter_map(|block| part(block, names)).collect::<Result<Vec<_>, _>>()?;
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let stop = stop(&body["stopReason"], &body["additionalModelResponseFields"], calls);
    Ok(Response {
        choices: vec![Choice { parts, stop, logprobs: None }],
        usage: usage(&body["usage"]),
        service_tier: body["serviceTier"]["type"].as_str().map(str::to_owned),
        ..Response::default()
    })
}

/// `None` for a block nothing is known of.
fn part(block: &Value, names: &Names) -> Option<Result<Part, BadAnswer>> {
    if let Some(said) = block["text"].as_str() {
        return Some(Ok(Part::Text { text: said.to_owned(), cache: None }));
    }
    if block["toolUse"].is_object() {
        return Some(call(&block["toolUse"], names));
    }
    let reasoning = &block["reasoningContent"];
    if let Some(hidden) = signature(&reasoning["redactedContent"]) {
        let thought = Thought { text: String::new(), signature: Some(hidden), redacted: true };
        return Some(Ok(Part::Reasoning(thought)));
    }
    let shown = reasoning["reasoningText"].as_object()?;
    let signature = shown.get("signature").and_then(signature);
    let text = shown.get("text").map(text).unwrap_or_default();
    Some(Ok(Part::Reasoning(Thought { text, signature, redacted: false })))
}

fn call(call: &Value, names: &Names) -> Result<Part, BadAnswer> {
    let sent = call["name"].as_str().ok_or_else(|| BadAnswer("a tool call has no name".to_owned()))?;
    let input = if call["input"].is_object() { call["input"].to_string() } else { "{}".to_owned() };
    if names.is_answer(sent) {
        return Ok(Part::Text { text: input, cache: None });
    }
    let name = names.agents(sent).to_owned();
    let arguments = names.arguments(&name, &input).into_owned();
    Ok(Part::ToolCall(ToolCall { id: text(&call["toolUseId"]), name, arguments, ..ToolCall::default() }))
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn signature(value: &Value) -> Option<Signature> {
    let value = value.as_str().filter(|value| !value.is_empty())?.to_owned();
    Some(Signature { dialect: Dialect::Converse, item_id: None, value })
}

/// Why an answer ended. `calls`: it holds tool calls, that of the answer's own schema aside.
pub(super) fn stop(reason: &Value, more: &Value, calls: bool) -> Stop {
    match reason.as_str() {
        Some("max_tokens") => Stop::Length,
        Some("model_context_window_exceeded") => Stop::ContextFull,
        Some("content_filtered" | "guardrail_intervened") => Stop::Filtered,
        _ if calls => Stop::ToolCalls,
        Some("stop_sequence") => Stop::Sequence(more["stop_sequence"].as_str().map(str::to_owned)),
        _ => Stop::End,
    }
}

/// What was consumed. Prompt tokens that a cache served or took are no part of `inputTokens`.
pub(super) fn usage(usage: &Value) -> Option<Tokens> {
    usage.as_object()?;
    let count = |name: &str| usage[name].as_u64().unwrap_or_default();
    let details = usage["cacheDetails"].as_array().into_iter().flatten();
    let hour = details.filter(|detail| detail["ttl"] == "1h").filter_map(|detail| detail["inputTokens"].as_u64());
    let hour = hour.fold(0, u64::saturating_add);
    Some(Tokens {
        input: count("inputTokens"),
        cache_read: count("cacheReadInputTokens"),
        cache_write_5m: count("cacheWriteInputTokens").saturating_sub(hour),
        cache_write_1h: hour,
        output: count("outputTokens"),
        ..Tokens::default()
    })
}
