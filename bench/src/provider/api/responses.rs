//! OpenAI's Responses.

use serde_json::{Value, json};

use super::{
    super::{
        Tokens,
        answer::{Answer, Part, Stop, fragments},
        behaviour::Usage,
    },
    Frames, event,
};

fn usage(tokens: &Tokens) -> Value {
    json!({
        "input_tokens": tokens.prompt(),
        "input_tokens_details": { "cached_tokens": tokens.cache_read, "cache_write_tokens": 0 },
        "output_tokens": tokens.completion(),
        "output_tokens_details": { "reasoning_tokens": tokens.reasoning },
        "total_tokens": tokens.total(),
    })
}

fn response(answer: &Answer, status: &str, output: &[Value], usage: &Value) -> Value {
    let reason = if answer.stop == Stop::Refusal { "content_filter" } else { "max_output_tokens" };
    let incomplete = (status == "incomplete").then(|| json!({ "reason": reason }));
    json!({
        "id": format!("resp_mock{}", answer.n),
        "object": "response",
        "created_at": 1_795_000_000,
        "status": status,
        "background": false,
        "error": null,
        "incomplete_details": incomplete,
        "instructions": null,
        "max_output_tokens": null,
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "reasoning": { "effort": null, "summary": null },
        "store": false,
        "temperature": 1.0,
        "text": { "format": { "type": "text" } },
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": usage,
        "user": null,
        "metadata": {},
    })
}

fn status(answer: &Answer) -> &'static str {
    match answer.stop {
        Stop::End | Stop::Calls => "completed",
        Stop::Length | Stop::Refusal => "incomplete",
    }
}

fn output_text(text: &str) -> Value {
    json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": [] })
}

/// The finished item that `part` is.
fn item(answer: &Answer, index: usize, part: &Part) -> Value {
    let n = answer.n;
    match part {
        Part::Thought { pieces, signature } => json!({
            "id": format!("rs_mock{n}x{index}"), "type": "reasoning", "encrypted_content": signature,
            "summary": [{ "type": "summary_text", "text": pieces.concat() }],
        }),
        Part::Text(pieces) => json!({
            "id": format!("msg_mock{n}x{index}"), "type": "message", "status": status(answer), "role": "assistant",
            "content": [output_text(&pieces.concat())],
        }),
        Part::Call { id, kind, arguments, .. } if kind == "tool_search" => {
            let arguments: Value = serde_json::from_str(arguments).unwrap_or_default();
            json!({
                "id": format!("tsc_mock{n}x{index}"), "type": "tool_search_call", "call_id": id, "execution": "client",
                "arguments": arguments, "status": "completed",
            })
        }
        Part::Call { id, name, namespace, arguments, .. } => {
            let mut item = json!({
                "id": format!("fc_mock{n}x{index}"), "type": "function_call", "status": "completed",
                "arguments": arguments, "call_id": id, "name": name,
            });
            if let Some(namespace) = namespace {
                item["namespace"] = json!(namespace);
            }
            item
        }
    }
}

fn told(answer: &Answer) -> Value {
    if answer.usage == Usage::Absent { Value::Null } else { usage(&answer.tokens) }
}

fn output(answer: &Answer) -> Vec<Value> {
    answer.parts.iter().enumerate().map(|(index, part)| item(answer, index, part)).collect()
}

pub(super) fn whole(answer: &Answer) -> Value {
    response(answer, status(answer), &output(answer), &told(answer))
}

/// Numbers events as they are added.
struct Events(Vec<Value>);

impl Events {
    fn add(&mut self, kind: &str, members: Value) {
        let mut event = json!({ "type": kind });
        if let (Some(event), Value::Object(members)) = (event.as_object_mut(), members) {
            event.extend(members);
        }
        event["sequence_number"] = json!(self.0.len());
        self.0.push(event);
    }
}

pub(super) fn frames(answer: &Answer) -> Frames {
    let mut events = Events(Vec::new());
    let begun = response(answer, "in_progress", &[], &Value::Null);
    events.add("response.created", json!({ "response": begun }));
    events.add("response.in_progress", json!({ "response": begun }));
    for (index, part) in answer.parts.iter().enumerate() {
        add_item(&mut events, index, &item(answer, index, part), part);
    }
    let last = response(answer, status(answer), &output(answer), &told(answer));
    events.add(&format!("response.{}", status(answer)), json!({ "response": last }));
    Frames { list: events.0.iter().map(event).collect(), ending: 1 }
}

fn add_item(events: &mut Events, index: usize, item: &Value, part: &Part) {
    let mut begun = item.clone();
    for (member, empty) in [("content", json!([])), ("summary", json!([]))] {
        if begun.get(member).is_some() {
            begun[member] = empty;
        }
    }
    if begun.get("status").is_some() {
        begun["status"] = json!("in_progress");
    }
    if begun["arguments"].is_string() {
        begun["arguments"] = json!("");
    }
    events.add("response.output_item.added", json!({ "output_index": index, "item": begun }));
    let id = &item["id"];
    match part {
        Part::Thought { pieces, .. } => {
            let at = |key: &str, value: Value| json!({ "item_id": id, "output_index": index, "summary_index": 0, key: value });
            let summary = |text: &str| json!({ "type": "summary_text", "text": text });
            events.add("response.reasoning_summary_part.added", at("part", summary("")));
            for piece in pieces {
                events.add("response.reasoning_summary_text.delta", at("delta", json!(piece)));
            }
            let text = pieces.concat();
            events.add("response.reasoning_summary_text.done", at("text", json!(text)));
            events.add("response.reasoning_summary_part.done", at("part", summary(&text)));
        }
        Part::Text(pieces) => {
            let at = |key: &str, value: Value| json!({ "item_id": id, "output_index": index, "content_index": 0, key: value });
            events.add("response.content_part.added", at("part", output_text("")));
            for piece in pieces {
                let mut delta = at("delta", json!(piece));
                delta["logprobs"] = json!([]);
                events.add("response.output_text.delta", delta);
            }
            let text = pieces.concat();
            let mut done = at("text", json!(text));
            done["logprobs"] = json!([]);
            events.add("response.output_text.done", done);
            events.add("response.content_part.done", at("part", output_text(&text)));
        }
        Part::Call { kind, .. } if kind == "tool_search" => {}
        Part::Call { arguments, .. } => {
            let at = |key: &str, value: Value| json!({ "item_id": id, "output_index": index, key: value });
            for fragment in fragments(arguments) {
                events.add("response.function_call_arguments.delta", at("delta", json!(fragment)));
            }
            let mut done = at("arguments", json!(arguments));
            done["name"] = item["name"].clone();
            events.add("response.function_call_arguments.done", done);
        }
    }
    events.add("response.output_item.done", json!({ "output_index": index, "item": item }));
}
