//! A whole answer, read from a provider and written to an agent.

use serde_json::{Map, Value, json};

use super::{answer_id, reasoning, stop_of, think, usage, word_of};
use crate::{
    Dialect,
    ir::{Choice, Part, Response, Stop, Thought, ToolCall},
    translate::{BadAnswer, Names, Reply, made_up_id, read_call, tokens_of, unreadable},
};

pub(super) fn read(body: &[u8], names: &Names) -> Result<Response, BadAnswer> {
    let answer: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        // Some report failures under a status of success.
        let code = super::error_of(error).0;
        return Err(BadAnswer(format!("it is an error (`{code}`)")));
    }
    let text = |name: &str| answer.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let Some(choices) = answer.get("choices").and_then(Value::as_array) else {
        return Err(BadAnswer("it has no `choices`".to_owned()));
    };
    let id = text("id");
    Ok(Response {
        choices: choices.iter().map(|choice| read_choice(choice, &id, names)).collect(),
        id,
        model: text("model"),
        usage: answer.get("usage").and_then(|usage| tokens_of(Dialect::Chat, usage)),
        created: answer.get("created").and_then(Value::as_i64),
        service_tier: answer.get("service_tier").and_then(Value::as_str).map(str::to_owned),
    })
}

fn read_choice(choice: &Value, answer: &str, names: &Names) -> Choice {
    let nothing = Value::Null;
    let message = choice.get("message").unwrap_or(&nothing);
    let mut parts = Vec::new();
    let (mut thinking, mut said) = content_of(message);
    let tagged = if names.think_tags { think::split(&said) } else { None };
    if let Some((thought, rest)) = tagged {
        thinking.push_str(thought);
        said = String::from(rest);
    }
    let details = message.get("reasoning_details").and_then(Value::as_array).cloned().unwrap_or_default();
    if thinking.is_empty() {
        thinking = details.iter().filter_map(reasoning::detail_text).collect();
    }
    if !thinking.is_empty() || !details.is_empty() {
        let signature = Some(reasoning::details_signature(details));
        parts.push(Part::Reasoning(Thought { redacted: thinking.is_empty(), text: thinking, signature }));
    }
    if !said.is_empty() {
        parts.push(Part::Text { text: said, cache: None });
    }
    let refusal = message.get("refusal").and_then(Value::as_str).filter(|text| !text.is_empty());
    parts.extend(refusal.map(|text| Part::Refusal(text.to_owned())));

    let calls = message.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let legacy = message.get("function_call").filter(|call| call.is_object());
    for (index, call) in calls.iter().chain(legacy).enumerate() {
        parts.push(call_of(call, index, answer, names));
    }
    let called = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let word = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
    Choice {
        parts,
        stop: stop(stop_of(word), called, refusal.is_some()),
        logprobs: choice.get("logprobs").filter(|logprobs| !logprobs.is_null()).cloned(),
    }
}

/// Why the answer ended, given what is in it: servers say `stop` in many a case.
pub(super) fn stop(said: Option<Stop>, called: bool, refused: bool) -> Stop {
    match said.unwrap_or_default() {
        Stop::End if called => Stop::ToolCalls,
        Stop::ToolCalls if !called => Stop::End,
        Stop::End if refused => Stop::Filtered,
        other => other,
    }
}

/// Thinking and text of a message: fields of their own, or Mistral's list of both.
fn content_of(message: &Value) -> (String, String) {
    let field = |name: &str| message.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    let mut thinking = reasoning::TEXT_FIELDS.iter().find_map(|name| field(name)).unwrap_or_default().to_owned();
    let mut said = String::new();
    match message.get("content") {
        Some(Value::String(text)) => said.push_str(text),
        Some(Value::Array(parts)) => parts.iter().for_each(|part| add_part(part, &mut thinking, &mut said)),
        _ => {}
    }
    (thinking, said)
}

/// Adds one part of a content list to what it belongs to.
pub(super) fn add_part(part: &Value, thinking: &mut String, said: &mut String) {
    if let Some(text) = part.get("text").and_then(Value::as_str) {
        said.push_str(text);
    }
    match part.get("thinking") {
        Some(Value::String(text)) => thinking.push_str(text),
        Some(Value::Array(inner)) => {
            inner.iter().filter_map(|part| part.get("text")?.as_str()).for_each(|text| thinking.push_str(text));
        }
        _ => {}
    }
}

fn call_of(call: &Value, index: usize, answer: &str, names: &Names) -> Part {
    let inner = call.get("function").or_else(|| call.get("custom")).unwrap_or(call);
    let text = |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let sent = text(inner, "name");
    let arguments = match inner.get("arguments").or_else(|| inner.get("input")) {
        Some(Value::String(text)) => text.clone(),
        // Some servers forget that arguments are a text.
        Some(object @ Value::Object(_)) => object.to_string(),
        _ => String::new(),
    };
    let id = match text(call, "id") {
        id if id.is_empty() => made_up_id(answer, index, &sent),
        id => id,
    };
    let custom = call.get("custom").is_some();
    read_call(names, &sent, custom, ToolCall { id, arguments, ..ToolCall::default() })
}

pub(super) fn write(response: &Response, reply: &Reply) -> Vec<u8> {
    let choices: Vec<Value> =
        response.choices.iter().enumerate().map(|(index, choice)| write_choice(index, choice, reply)).collect();
    let mut answer = json!({
        "id": answer_id(&response.id, &reply.id),
        "object": "chat.completion",
        "created": response.created.unwrap_or(reply.created),
        "model": reply.model,
        "choices": choices,
    });
    if let Value::Object(answer) = &mut answer {
        if let Some(tokens) = &response.usage {
            answer.insert("usage".to_owned(), usage::write(tokens));
        }
        if let Some(tier) = &response.service_tier {
            answer.insert("service_tier".to_owned(), tier.as_str().into());
        }
    }
    answer.to_string().into_bytes()
}

fn write_choice(index: usize, choice: &Choice, reply: &Reply) -> Value {
    let mut said: Option<String> = None;
    let mut refusal: Option<String> = None;
    let (mut thoughts, mut details, mut calls) = (Vec::new(), Vec::new(), Vec::new());
    let carrier = reply.carrier.as_ref();
    for part in &choice.parts {
        match part {
            Part::Text { text, .. } => said.get_or_insert_default().push_str(text),
            Part::Refusal(text) => refusal.get_or_insert_default().push_str(text),
            Part::Reasoning(thought) => {
                details.extend(reasoning::shown(thought, details.len(), carrier));
                thoughts.push(thought.clone());
            }
            Part::ToolCall(call) => {
                if calls.is_empty() {
                    reasoning::remember(&call.id, &thoughts, carrier);
                }
                if let Some(signature) = &call.signature {
                    details.push(reasoning::shown_call(&call.id, signature, details.len(), carrier));
                    reasoning::remember_call(&call.id, signature, carrier);
                }
                calls.push(write_call(call, reply));
            }
            // No answer has anything else: these are parts of an agent's turns.
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {}
        }
    }
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    let empty = (calls.is_empty() && refusal.is_none()).then(String::new);
    message.insert("content".to_owned(), said.or(empty).into());
    message.insert("refusal".to_owned(), refusal.into());
    let thinking: String = thoughts.iter().map(|thought| thought.text.as_str()).collect();
    if !thinking.is_empty() {
        message.insert("reasoning_content".to_owned(), thinking.into());
    }
    if !details.is_empty() {
        message.insert("reasoning_details".to_owned(), details.into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    json!({
        "index": index,
        "message": message,
        "logprobs": choice.logprobs,
        "finish_reason": word_of(&choice.stop),
    })
}

fn write_call(call: &ToolCall, reply: &Reply) -> Value {
    if reply.request.is_custom(&call.name) {
        return json!({"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}});
    }
    json!({"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}})
}
