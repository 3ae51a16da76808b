//! Anthropic's Messages.

use serde_json::{Value, json};

use super::{
    super::{
        Tokens,
        answer::{Answer, Part, Stop, fragments},
        behaviour::Usage,
    },
    Frames, event,
};

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Calls => "tool_use",
        Stop::Length => "max_tokens",
        Stop::Refusal => "refusal",
    }
}

fn usage(tokens: &Tokens, output: u64) -> Value {
    json!({
        "input_tokens": tokens.input,
        "cache_creation_input_tokens": tokens.cache_write_5m + tokens.cache_write_1h,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m,
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
        "output_tokens": output,
        "service_tier": "standard",
    })
}

fn message(answer: &Answer, content: &[Value], stop: Option<&str>, usage: &Value) -> Value {
    let mut message = json!({
        "id": format!("msg_mock{}", answer.n),
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": content,
        "stop_reason": stop,
        "stop_sequence": null,
    });
    if answer.usage != Usage::Absent {
        message["usage"] = usage.clone();
    }
    message
}

/// The id as this API spells it.
fn call_id(id: &str) -> String {
    id.replacen("call_", "toolu_", 1)
}

pub(super) fn whole(answer: &Answer) -> Value {
    let block = |part: &Part| match part {
        Part::Thought { pieces, signature } => {
            json!({ "type": "thinking", "thinking": pieces.concat(), "signature": signature })
        }
        Part::Text(pieces) => json!({ "type": "text", "text": pieces.concat() }),
        Part::Call { id, name, arguments, .. } => {
            let input: Value = serde_json::from_str(arguments).unwrap_or_default();
            json!({ "type": "tool_use", "id": call_id(id), "name": name, "input": input })
        }
    };
    let content: Vec<Value> = answer.parts.iter().map(block).collect();
    let usage = usage(&answer.tokens, answer.tokens.completion());
    message(answer, &content, Some(stop_reason(answer.stop)), &usage)
}

pub(super) fn frames(answer: &Answer) -> Frames {
    let start = message(answer, &[], None, &usage(&answer.tokens, 1));
    let mut list = vec![event(&json!({ "type": "message_start", "message": start }))];
    for (index, part) in answer.parts.iter().enumerate() {
        let (opening, deltas) = match part {
            Part::Thought { pieces, signature } => {
                let thoughts = pieces.iter().map(|piece| json!({ "type": "thinking_delta", "thinking": piece }));
                let signed = json!({ "type": "signature_delta", "signature": signature });
                let opening = json!({ "type": "thinking", "thinking": "", "signature": "" });
                (opening, thoughts.chain([signed]).collect::<Vec<_>>())
            }
            Part::Text(pieces) => {
                let texts = pieces.iter().map(|piece| json!({ "type": "text_delta", "text": piece }));
                (json!({ "type": "text", "text": "" }), texts.collect())
            }
            Part::Call { id, name, arguments, .. } => {
                let fragments = fragments(arguments).into_iter();
                let deltas = fragments.map(|json| json!({ "type": "input_json_delta", "partial_json": json }));
                (json!({ "type": "tool_use", "id": call_id(id), "name": name, "input": {} }), deltas.collect())
            }
        };
        list.push(event(&json!({ "type": "content_block_start", "index": index, "content_block": opening })));
        if index == 0 {
            list.push(event(&json!({ "type": "ping" })));
        }
        let deltas = deltas.iter();
        list.extend(
            deltas.map(|delta| event(&json!({ "type": "content_block_delta", "index": index, "delta": delta }))),
        );
        list.push(event(&json!({ "type": "content_block_stop", "index": index })));
    }
    let said = list.len();
    let all = answer.tokens.completion();
    let mut ending = |stop: Option<&str>, output: u64| {
        let mut delta =
            json!({ "type": "message_delta", "delta": { "stop_reason": stop, "stop_sequence": null }, "usage": {} });
        delta["usage"] = match answer.usage {
            // The counters of the prompt are repeated by newer versions of the API.
            Usage::Growing => usage(&answer.tokens, output),
            Usage::Told => json!({ "output_tokens": output }),
            Usage::Absent => Value::Null,
        };
        list.push(event(&super::dense(delta)));
    };
    if answer.usage == Usage::Growing {
        ending(None, all / 2);
    }
    ending(Some(stop_reason(answer.stop)), all);
    list.push(event(&json!({ "type": "message_stop" })));
    Frames { ending: list.len() - said, list }
}
