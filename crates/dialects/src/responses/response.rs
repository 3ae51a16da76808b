//! A whole answer, read from a provider and written to an agent; and the items it consists of.

use serde_json::{Map, Value, json};

use super::{
    usage,
    write::{choice_value, text_value, tool_value},
};
use crate::{
    Dialect,
    ir::{Choice, Part, Response, Signature, Stop, Thought, ToolCall},
    translate::{BadAnswer, Carrier, Names, Reply, pack, pack_call, read_call, short_hash, tokens_of, unreadable},
};

pub(super) fn read(body: &[u8], names: &Names) -> Result<Response, BadAnswer> {
    let answer: Value = serde_json::from_slice(body).map_err(|error| unreadable(&error))?;
    if let Some((code, _)) = failure(&answer) {
        return Err(BadAnswer(format!("it is an error (`{code}`)")));
    }
    let Some(items) = answer.get("output").and_then(Value::as_array) else {
        return Err(BadAnswer("it has no `output`".to_owned()));
    };
    let parts: Vec<Part> = items.iter().flat_map(|item| item_parts(item, names)).collect();
    let text = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    Ok(Response {
        id: text("id").unwrap_or_default(),
        model: text("model").unwrap_or_default(),
        choices: vec![Choice { stop: stop(&answer, &parts), logprobs: logprobs(items), parts }],
        usage: answer.get("usage").and_then(|usage| tokens_of(Dialect::Responses, usage)),
        created: answer.get("created_at").and_then(Value::as_f64).map(whole_seconds),
        service_tier: text("service_tier"),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "seconds since 1970, which some servers write with a fraction")]
fn whole_seconds(seconds: f64) -> i64 {
    seconds as i64
}

/// Code and message of an answer that failed.
pub(super) fn failure(answer: &Value) -> Option<(String, String)> {
    let error = answer.get("error").filter(|error| !error.is_null());
    let failed = matches!(answer.get("status").and_then(Value::as_str), Some("failed" | "cancelled"));
    (error.is_some() || failed).then(|| crate::chat::error_of(error.unwrap_or(&Value::Null)))
}

/// Why an answer ended, from its status and what is in it.
pub(super) fn stop(answer: &Value, parts: &[Part]) -> Stop {
    let reason = answer.pointer("/incomplete_details/reason").and_then(Value::as_str);
    match reason {
        Some("content_filter") => Stop::Filtered,
        Some(_) => Stop::Length,
        None if parts.iter().any(|part| matches!(part, Part::ToolCall(_))) => Stop::ToolCalls,
        None if parts.iter().any(|part| matches!(part, Part::Refusal(_))) => Stop::Filtered,
        None => Stop::End,
    }
}

/// What an item says. Items of the provider's own tools say nothing to an agent of another dialect.
pub(super) fn item_parts(item: &Value, names: &Names) -> Vec<Part> {
    let text = |name: &str| item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let call = |arguments: &str, custom: bool| {
        let call = ToolCall { id: call_id(item), arguments: text(arguments), ..ToolCall::default() };
        vec![read_call(names, &text("name"), custom, call)]
    };
    match item.get("type").and_then(Value::as_str) {
        Some("message") => list(item, "content").iter().filter_map(content_part).collect(),
        Some("function_call") => call("arguments", false),
        Some("custom_tool_call") => call("input", true),
        Some("reasoning") => {
            let (text, signature) = (thinking(item), signature(item));
            let thought = Thought { redacted: text.is_empty(), text, signature };
            let nothing = thought.redacted && thought.signature.is_none();
            if nothing { Vec::new() } else { vec![Part::Reasoning(thought)] }
        }
        _ => Vec::new(),
    }
}

pub(super) fn call_id(item: &Value) -> String {
    let id = item.get("call_id").or_else(|| item.get("id"));
    id.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The thinking a reasoning item shows: its summary, or itself where a model hides nothing.
pub(super) fn thinking(item: &Value) -> String {
    let joined = |name: &str| {
        let texts = list(item, name).iter().filter_map(|part| part.get("text")?.as_str());
        texts.collect::<Vec<_>>().join("\n\n")
    };
    let summary = joined("summary");
    if summary.is_empty() { joined("content") } else { summary }
}

/// What proves a reasoning item.
pub(super) fn signature(item: &Value) -> Option<Signature> {
    let value = item.get("encrypted_content")?.as_str()?.to_owned();
    let item_id = item.get("id").and_then(Value::as_str).map(str::to_owned);
    Some(Signature { dialect: Dialect::Responses, item_id, value })
}

fn content_part(part: &Value) -> Option<Part> {
    let text = |name: &str| part.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    match text("text") {
        Some(text) => Some(Part::Text { text, cache: None }),
        None => text("refusal").map(Part::Refusal),
    }
}

fn logprobs(items: &[Value]) -> Option<Value> {
    let parts = items.iter().flat_map(|item| list(item, "content"));
    let tokens: Vec<Value> = parts.flat_map(|part| list(part, "logprobs")).cloned().collect();
    (!tokens.is_empty()).then(|| json!({"content": tokens, "refusal": null}))
}

fn list<'a>(object: &'a Value, name: &str) -> &'a [Value] {
    object.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The answer as the agent gets it.
pub(super) fn write(response: &Response, reply: &Reply) -> Value {
    let id = answer_id(&response.id, &reply.id);
    let nothing = Choice::default();
    let choice = response.choices.first().unwrap_or(&nothing);
    let carrier = reply.carrier.as_ref();
    let mut tokens = choice.logprobs.as_ref().and_then(|logprobs| logprobs.get("content")).cloned();
    let mut output = Vec::with_capacity(choice.parts.len());
    for part in &choice.parts {
        let item = item_id(&id, output.len());
        match part {
            Part::Text { text, .. } => output.push(message(&item, Said::Text(text, tokens.take()), "completed")),
            Part::Refusal(text) => output.push(message(&item, Said::Refusal(text), "completed")),
            Part::Reasoning(thought) => output.extend(reasoning(&item, thought, carrier)),
            Part::ToolCall(call) => {
                output.push(tool_call(&item, call, reply, "completed"));
                if let Some(signature) = &call.signature {
                    output.push(call_proof(&item_id(&id, output.len()), &call.id, signature, carrier));
                }
            }
            // No answer has anything else: these are parts of an agent's turns.
            Part::Image { .. } | Part::Document { .. } | Part::Audio { .. } | Part::ToolResult { .. } => {}
        }
    }
    let refused = choice.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    let mut answer = skeleton(&id, response.created.unwrap_or(reply.created), reply);
    end(&mut answer, &choice.stop, refused);
    answer.insert("output".to_owned(), output.into());
    answer.insert("usage".to_owned(), response.usage.as_ref().map(usage::write).into());
    if let Some(tier) = &response.service_tier {
        answer.insert("service_tier".to_owned(), tier.as_str().into());
    }
    Value::Object(answer)
}

/// An answer that has just begun. Much of it repeats the request.
pub(super) fn skeleton(id: &str, created: i64, reply: &Reply) -> Map<String, Value> {
    let request = &reply.request;
    let effort = request.reasoning.as_ref().and_then(|reasoning| reasoning.effort);
    let summary = request.reasoning.as_ref().and_then(|reasoning| reasoning.summary.clone());
    let tools: Vec<Value> = request.tools.iter().map(|tool| tool_value(tool, str::to_owned)).collect();
    let choice = request.tool_choice.as_ref().map(|choice| choice_value(choice, request, str::to_owned));
    let mut text = text_value(request, &[]);
    text.entry("format").or_insert_with(|| json!({"type": "text"}));
    let metadata: Map<String, Value> =
        request.metadata.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    let answer = json!({
        "id": id,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": false,
        "error": null,
        "incomplete_details": null,
        "instructions": null,
        "max_output_tokens": request.max_output,
        "model": reply.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls.unwrap_or(true),
        "previous_response_id": null,
        "reasoning": {"effort": effort.map(crate::ir::Effort::as_str), "summary": summary},
        "store": false,
        "temperature": request.temperature,
        "text": text,
        "tool_choice": choice.unwrap_or_else(|| "auto".into()),
        "tools": tools,
        "top_p": request.top_p,
        "truncation": "disabled",
        "usage": null,
        "user": request.user,
        "metadata": metadata,
    });
    match answer {
        Value::Object(answer) => answer,
        _ => Map::new(),
    }
}

/// Says why an answer ended.
pub(super) fn end(answer: &mut Map<String, Value>, stop: &Stop, refused: bool) {
    let reason = match stop {
        Stop::Length | Stop::ContextFull => Some("max_output_tokens"),
        // A refusal is said in the answer itself, which is complete.
        Stop::Filtered if !refused => Some("content_filter"),
        _ => None,
    };
    answer.insert("status".to_owned(), if reason.is_some() { "incomplete" } else { "completed" }.into());
    answer.insert("incomplete_details".to_owned(), reason.map(|reason| json!({ "reason": reason })).into());
}

/// The answer's id, as agents of this dialect know ids.
pub(super) fn answer_id(provider: &str, ours: &str) -> String {
    let id = if provider.is_empty() { ours } else { provider };
    if id.starts_with("resp_") { id.to_owned() } else { format!("resp_{id}") }
}

/// An id for the item at `index`, without its prefix.
pub(super) fn item_id(answer: &str, index: usize) -> String {
    short_hash(&format!("{answer}/{index}"))
}

/// What a message says.
pub(super) enum Said<'a> {
    /// With the likelihoods of its tokens, where they were asked for.
    Text(&'a str, Option<Value>),
    Refusal(&'a str),
}

/// A message's one part.
pub(super) fn content(said: Said<'_>) -> Value {
    match said {
        Said::Text(text, logprobs) => {
            json!({"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs.unwrap_or_else(|| json!([]))})
        }
        Said::Refusal(text) => json!({"type": "refusal", "refusal": text}),
    }
}

pub(super) fn message(id: &str, said: Said<'_>, status: &str) -> Value {
    json!({"id": format!("msg_{id}"), "type": "message", "status": status, "role": "assistant", "content": [content(said)]})
}

/// A thought; `None` if there is nothing to it.
pub(super) fn reasoning(id: &str, thought: &Thought, carrier: &dyn Carrier) -> Option<Value> {
    let sealed = pack(thought).map(|packed| carrier.seal(&packed));
    if thought.text.is_empty() && sealed.is_none() {
        return None;
    }
    let summary =
        if thought.text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": thought.text}]) };
    Some(json!({"id": format!("rs_{id}"), "type": "reasoning", "summary": summary, "encrypted_content": sealed}))
}

/// What a provider demands back with a call, as an item behind it: calls have no place for it.
pub(super) fn call_proof(id: &str, call_id: &str, signature: &Signature, carrier: &dyn Carrier) -> Value {
    let sealed = carrier.seal(&pack_call(call_id, signature));
    json!({"id": format!("rs_{id}"), "type": "reasoning", "summary": [], "encrypted_content": sealed})
}

/// A call, under the name and in the namespace the agent declared it with.
pub(super) fn tool_call(id: &str, call: &ToolCall, reply: &Reply, status: &str) -> Value {
    let request = &reply.request;
    let namespaced = request.namespaces.iter().find(|known| known.flat == call.name);
    let name = namespaced.map_or(call.name.as_str(), |known| known.name.as_str());
    let mut item = if request.is_custom(&call.name) {
        json!({"id": format!("ctc_{id}"), "type": "custom_tool_call", "status": status,
            "call_id": call.id, "name": name, "input": call.arguments})
    } else {
        json!({"id": format!("fc_{id}"), "type": "function_call", "status": status,
            "call_id": call.id, "name": name, "arguments": call.arguments})
    };
    if let (Some(known), Value::Object(item)) = (namespaced, &mut item) {
        item.insert("namespace".to_owned(), known.namespace.as_str().into());
    }
    item
}
