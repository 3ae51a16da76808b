//! OpenAI's chat completions.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    super::{
        Tokens,
        answer::{Answer, Part, Stop, fragments},
        behaviour::Usage,
    },
    Frames, data,
};

fn finish(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "stop",
        Stop::Calls => "tool_calls",
        Stop::Length => "length",
        Stop::Refusal => "content_filter",
    }
}

fn usage(tokens: &Tokens) -> Value {
    json!({
        "prompt_tokens": tokens.prompt(),
        "completion_tokens": tokens.completion(),
        "total_tokens": tokens.total(),
        "prompt_tokens_details": { "cached_tokens": tokens.cache_read, "audio_tokens": 0 },
        "completion_tokens_details": { "reasoning_tokens": tokens.reasoning, "audio_tokens": 0 },
    })
}

fn head(answer: &Answer, object: &str) -> Value {
    json!({
        "id": format!("chatcmpl-mock{}", answer.n),
        "object": object,
        "created": 1_795_000_000,
        "model": answer.model,
        "system_fingerprint": "fp_mock",
    })
}

pub(super) fn whole(answer: &Answer) -> Value {
    let mut message = json!({ "role": "assistant", "content": null, "refusal": null });
    let mut calls = Vec::new();
    for part in &answer.parts {
        match part {
            Part::Thought { pieces, .. } => message["reasoning_content"] = json!(pieces.concat()),
            Part::Text(pieces) => message["content"] = json!(pieces.concat()),
            Part::Call { id, name, arguments, .. } => {
                let function = json!({ "name": name, "arguments": arguments });
                calls.push(json!({ "id": id, "type": "function", "function": function }));
            }
        }
    }
    if !calls.is_empty() {
        message["tool_calls"] = json!(calls);
    }
    let mut body = head(answer, "chat.completion");
    body["choices"] =
        json!([{ "index": 0, "message": message, "logprobs": null, "finish_reason": finish(answer.stop) }]);
    if answer.usage != Usage::Absent {
        body["usage"] = usage(&answer.tokens);
    }
    body
}

pub(super) fn frames(answer: &Answer, include_usage: bool) -> Frames {
    let mut deltas = vec![json!({ "role": "assistant", "content": "", "refusal": null })];
    let mut index = 0;
    for part in &answer.parts {
        match part {
            Part::Thought { pieces, .. } => {
                deltas.extend(pieces.iter().map(|piece| json!({ "reasoning_content": piece })));
            }
            Part::Text(pieces) => deltas.extend(pieces.iter().map(|piece| json!({ "content": piece }))),
            Part::Call { id, name, arguments, .. } => {
                let function = json!({ "name": name, "arguments": "" });
                let call = json!({ "index": index, "id": id, "type": "function", "function": function });
                deltas.push(json!({ "tool_calls": [call] }));
                deltas.extend(fragments(arguments).iter().map(
                    |fragment| json!({ "tool_calls": [{ "index": index, "function": { "arguments": fragment } }] }),
                ));
                index += 1;
            }
        }
    }
    let count = deltas.len();
    let told = include_usage && answer.usage != Usage::Absent;
    let chunk = |choices: Value, usage: Value| {
        let mut body = head(answer, "chat.completion.chunk");
        body["choices"] = choices;
        if include_usage {
            body["usage"] = usage;
        }
        data(&body)
    };
    let choice = |delta: &Value, finish: Value| json!([{ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish }]);
    let so_far = |n: usize| match answer.usage {
        Usage::Growing => usage(&answer.tokens.part(n, count)),
        _ => Value::Null,
    };
    let mut list: Vec<Bytes> =
        deltas.iter().enumerate().map(|(n, delta)| chunk(choice(delta, Value::Null), so_far(n))).collect();
    let said = list.len();
    list.push(chunk(choice(&json!({}), json!(finish(answer.stop))), so_far(count)));
    if told {
        list.push(chunk(json!([]), usage(&answer.tokens)));
    }
    list.push(Bytes::from_static(b"data: [DONE]\n\n"));
    Frames { ending: list.len() - said, list }
}
