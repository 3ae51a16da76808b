//! Amazon Bedrock's Converse.

use serde_json::{Value, json};

use super::{
    super::{
        Tokens,
        answer::{Answer, Part, Stop, fragments},
        behaviour::Usage,
        eventstream::event,
    },
    Frames,
};

fn stop_reason(stop: Stop) -> &'static str {
    match stop {
        Stop::End => "end_turn",
        Stop::Calls => "tool_use",
        Stop::Length => "max_tokens",
        Stop::Refusal => "content_filtered",
    }
}

fn usage(tokens: &Tokens) -> Value {
    json!({
        "inputTokens": tokens.input,
        "cacheReadInputTokens": tokens.cache_read,
        "cacheWriteInputTokens": tokens.cache_write_5m + tokens.cache_write_1h,
        "outputTokens": tokens.completion(),
        "totalTokens": tokens.total(),
    })
}

fn call_id(id: &str) -> String {
    id.replacen("call_", "tooluse_", 1)
}

pub(super) fn whole(answer: &Answer) -> Value {
    let block = |part: &Part| match part {
        Part::Thought { pieces, signature } => {
            let thought = json!({ "text": pieces.concat(), "signature": signature });
            json!({ "reasoningContent": { "reasoningText": thought } })
        }
        Part::Text(pieces) => json!({ "text": pieces.concat() }),
        Part::Call { id, name, arguments, .. } => {
            let input: Value = serde_json::from_str(arguments).unwrap_or_default();
            json!({ "toolUse": { "toolUseId": call_id(id), "name": name, "input": input } })
        }
    };
    let content: Vec<Value> = answer.parts.iter().map(block).collect();
    let mut body = json!({
        "output": { "message": { "role": "assistant", "content": content } },
        "stopReason": stop_reason(answer.stop),
        "metrics": { "latencyMs": 12 },
    });
    if answer.usage != Usage::Absent {
        body["usage"] = usage(&answer.tokens);
    }
    body
}

pub(super) fn frames(answer: &Answer) -> Frames {
    let mut list = vec![event("messageStart", &json!({ "role": "assistant" }))];
    for (index, part) in answer.parts.iter().enumerate() {
        let delta = |delta: Value| event("contentBlockDelta", &json!({ "contentBlockIndex": index, "delta": delta }));
        match part {
            Part::Thought { pieces, signature } => {
                let text = pieces.iter().map(|piece| json!({ "reasoningContent": { "text": piece } }));
                list.extend(text.chain([json!({ "reasoningContent": { "signature": signature } })]).map(delta));
            }
            // Only tools have a frame that opens them.
            Part::Text(pieces) => list.extend(pieces.iter().map(|piece| delta(json!({ "text": piece })))),
            Part::Call { id, name, arguments, .. } => {
                let start = json!({ "toolUse": { "toolUseId": call_id(id), "name": name } });
                list.push(event("contentBlockStart", &json!({ "contentBlockIndex": index, "start": start })));
                let inputs = fragments(arguments).into_iter();
                list.extend(inputs.map(|input| delta(json!({ "toolUse": { "input": input } }))));
            }
        }
        list.push(event("contentBlockStop", &json!({ "contentBlockIndex": index })));
    }
    let said = list.len();
    list.push(event("messageStop", &json!({ "stopReason": stop_reason(answer.stop) })));
    let mut metadata = json!({ "metrics": { "latencyMs": 12 } });
    if answer.usage != Usage::Absent {
        metadata["usage"] = usage(&answer.tokens);
    }
    list.push(event("metadata", &metadata));
    Frames { ending: list.len() - said, list }
}
