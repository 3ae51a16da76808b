use preloop_types::Tokens;
use serde_json::{Value, json};

use super::thoughts;
use crate::{
    Dialect,
    ir::{Choice, Part, Response, Signature, Stop, Thought, ToolCall},
    translate::{BadAnswer, Names, Reply, turns::as_object},
};

/// What an agent is told of a picture, document or sound that its API has no place for.
const UNSEEN: &str = "(The model answered with media that this API cannot carry.)";

pub(super) fn decode(body: &[u8], names: &Names) -> Result<Response, BadAnswer> {
    let body: Value = serde_json::from_slice(body).map_err(|error| BadAnswer(format!("it is not JSON: {error}")))?;
    let blocks = body["content"].as_array().ok_or_else(|| BadAnswer("`content` is missing".to_owned()))?;
    let mut parts = Vec::with_capacity(blocks.len());
    for block in blocks {
        parts.extend(part(block, names)?);
    }
    let calls = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let stop = stop(body["stop_reason"].as_str(), body["stop_sequence"].as_str(), calls);
    Ok(Response {
        id: text(&body["id"]),
        model: text(&body["model"]),
        choices: vec![Choice { parts, stop, logprobs: None }],
        usage: usage(&body["usage"]),
        created: None,
        service_tier: body["usage"]["service_tier"].as_str().map(str::to_owned),
    })
}

/// `None` for blocks of tools the provider runs itself: such tools are never asked for in translation.
fn part(block: &Value, names: &Names) -> Result<Option<Part>, BadAnswer> {
    Ok(Some(match block["type"].as_str() {
        Some("text") => Part::Text { text: text(&block["text"]), cache: None },
        Some("thinking") => Part::Reasoning(Thought {
            text: text(&block["thinking"]),
            signature: signature(&block["signature"]),
            redacted: false,
        }),
        Some("redacted_thinking") => {
            Part::Reasoning(Thought { text: String::new(), signature: signature(&block["data"]), redacted: true })
        }
        Some("tool_use") => {
            let sent = block["name"].as_str().ok_or_else(|| BadAnswer("a tool call has no name".to_owned()))?;
            let input = if block["input"].is_null() { "{}".to_owned() } else { block["input"].to_string() };
            if names.is_answer(sent) {
                return Ok(Some(Part::Text { text: input, cache: None }));
            }
            let name = names.agents(sent).to_owned();
            let arguments = names.arguments(&name, &input).into_owned();
            Part::ToolCall(ToolCall { id: text(&block["id"]), name, arguments, ..ToolCall::default() })
        }
        _ => return Ok(None),
    }))
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

pub(super) fn signature(value: &Value) -> Option<Signature> {
    let value = value.as_str().filter(|value| !value.is_empty())?.to_owned();
    Some(Signature { dialect: Dialect::Messages, item_id: None, value })
}

/// Why an answer ended. `calls`: it holds tool calls, that of the answer's own schema aside.
pub(super) fn stop(reason: Option<&str>, sequence: Option<&str>, calls: bool) -> Stop {
    match reason {
        Some("max_tokens") => Stop::Length,
        Some("model_context_window_exceeded") => Stop::ContextFull,
        Some("refusal") => Stop::Filtered,
        Some("pause_turn") => Stop::Paused,
        _ if calls => Stop::ToolCalls,
        Some("stop_sequence") => Stop::Sequence(sequence.map(str::to_owned)),
        _ => Stop::End,
    }
}

/// What was consumed. Prompt tokens that a cache served or took are no part of `input_tokens`.
pub(super) fn usage(usage: &Value) -> Option<Tokens> {
    usage.as_object()?;
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let written = count(&usage["cache_creation_input_tokens"]);
    let hour = count(&usage["cache_creation"]["ephemeral_1h_input_tokens"]);
    Some(Tokens {
        input: count(&usage["input_tokens"]),
        cache_read: count(&usage["cache_read_input_tokens"]),
        cache_write_5m: count(&usage["cache_creation"]["ephemeral_5m_input_tokens"]).max(written.saturating_sub(hour)),
        cache_write_1h: hour,
        output: count(&usage["output_tokens"]),
        web_searches: count(&usage["server_tool_use"]["web_search_requests"]),
        ..Tokens::default()
    })
}

pub(super) fn encode(response: &Response, reply: &Reply) -> Vec<u8> {
    let carrier = &*reply.carrier;
    let shown = thoughts::shown(&reply.request);
    let choice = response.choices.first();
    let mut held: Vec<Value> = Vec::new();
    let mut content: Vec<Value> = Vec::new();
    for part in choice.iter().flat_map(|choice| &choice.parts) {
        match part {
            Part::Reasoning(thought) => {
                let block = thoughts::block(thought, carrier);
                if shown { content.extend(block) } else { held.extend(block) }
            }
            Part::ToolCall(call) => {
                content.append(&mut held);
                content.extend(thoughts::call_block(call, carrier));
                content.push(json!({
                    "type": "tool_use",
                    "id": thoughts::IDS.apply(&call.id),
                    "name": call.name,
                    "input": as_object(&call.arguments),
                }));
            }
            Part::Text { text, .. } | Part::Refusal(text) => {
                held.clear();
                content.push(json!({ "type": "text", "text": text }));
            }
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } => {
                held.clear();
                content.push(json!({ "type": "text", "text": UNSEEN }));
            }
            // No model says it.
            Part::ToolResult { .. } => {}
        }
    }
    let (reason, sequence) = stop_reason(choice.map_or(&Stop::End, |choice| &choice.stop));
    let body = json!({
        "id": message_id(&response.id, &reply.id),
        "type": "message",
        "role": "assistant",
        "model": reply.model,
        "content": content,
        "stop_reason": reason,
        "stop_sequence": sequence,
        "usage": written_usage(&response.usage.unwrap_or_default()),
    });
    body.to_string().into_bytes()
}

pub(super) fn message_id(provider: &str, ours: &str) -> String {
    let id = if provider.is_empty() { ours } else { provider };
    if id.starts_with("msg_") { id.to_owned() } else { format!("msg_{id}") }
}

pub(super) fn stop_reason(stop: &Stop) -> (&'static str, Option<&str>) {
    match stop {
        Stop::End | Stop::Sequence(None) => ("end_turn", None),
        Stop::Sequence(Some(sequence)) => ("stop_sequence", Some(sequence)),
        Stop::Length => ("max_tokens", None),
        Stop::ContextFull => ("model_context_window_exceeded", None),
        Stop::ToolCalls => ("tool_use", None),
        Stop::Filtered => ("refusal", None),
        Stop::Paused => ("pause_turn", None),
    }
}

pub(super) fn written_usage(tokens: &Tokens) -> Value {
    json!({
        "input_tokens": tokens.input.saturating_add(tokens.input_audio).saturating_add(tokens.input_image),
        "cache_creation_input_tokens": tokens.cache_write_5m.saturating_add(tokens.cache_write_1h),
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "output_tokens": tokens.completion(),
    })
}
