//! Google's Gemini.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{
    super::{
        Tokens,
        answer::{Answer, Part, Stop},
        behaviour::Usage,
    },
    Frames, data,
};

fn finish(stop: Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Calls => "STOP",
        Stop::Length => "MAX_TOKENS",
        Stop::Refusal => "SAFETY",
    }
}

fn usage(tokens: &Tokens) -> Value {
    json!({
        "promptTokenCount": tokens.prompt(),
        "cachedContentTokenCount": tokens.cache_read,
        "candidatesTokenCount": tokens.output,
        "thoughtsTokenCount": tokens.reasoning,
        "totalTokenCount": tokens.total(),
        "promptTokensDetails": [{ "modality": "TEXT", "tokenCount": tokens.prompt() }],
    })
}

fn chunk(answer: &Answer, parts: &[Value], finish: Option<&str>, tokens: &Tokens) -> Value {
    let mut candidate = json!({ "content": { "parts": parts, "role": "model" }, "index": 0 });
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    let mut body = json!({ "candidates": [candidate] });
    if answer.usage != Usage::Absent {
        body["usageMetadata"] = usage(tokens);
    }
    body["modelVersion"] = json!(answer.model);
    body["responseId"] = json!(format!("mock{}", answer.n));
    body
}

/// The parts of the answer; those of one part of ours that arrive one by one are apart.
fn parts(answer: &Answer) -> Vec<Value> {
    let mut parts = Vec::new();
    let mut signature = None;
    for part in &answer.parts {
        match part {
            Part::Thought { pieces, signature: signed } => {
                parts.extend(pieces.iter().map(|piece| json!({ "text": piece, "thought": true })));
                signature = Some(signed);
            }
            Part::Text(pieces) => parts.extend(pieces.iter().map(|piece| json!({ "text": piece }))),
            Part::Call { id, name, arguments, .. } => {
                let args: Value = serde_json::from_str(arguments).unwrap_or_default();
                let mut part = json!({ "functionCall": { "id": id, "name": name, "args": args } });
                // The first of several calls made at once is signed.
                if let Some(signature) = signature.take() {
                    part["thoughtSignature"] = json!(signature);
                }
                parts.push(part);
            }
        }
    }
    parts
}

pub(super) fn whole(answer: &Answer) -> Value {
    // Text that belongs together comes as one part.
    let mut joined: Vec<Value> = Vec::new();
    for part in parts(answer) {
        match (joined.last_mut(), &part["text"]) {
            (Some(last), Value::String(text)) if last["text"].is_string() && last["thought"] == part["thought"] => {
                last["text"] = json!(format!("{}{text}", last["text"].as_str().unwrap_or_default()));
            }
            _ => joined.push(part),
        }
    }
    chunk(answer, &joined, Some(finish(answer.stop)), &answer.tokens)
}

pub(super) fn frames(answer: &Answer, sse: bool) -> Frames {
    let parts = parts(answer);
    let count = parts.len();
    let so_far = |n: usize| match answer.usage {
        Usage::Growing => answer.tokens.part(n + 1, count + 1),
        _ => answer.tokens,
    };
    let chunks = parts.iter().enumerate().map(|(n, part)| {
        let part = std::slice::from_ref(part);
        chunk(answer, part, None, &so_far(n))
    });
    let last = chunk(answer, &[json!({ "text": "" })], Some(finish(answer.stop)), &answer.tokens);
    let chunks: Vec<Value> = chunks.chain([last]).collect();
    if sse {
        return Frames { list: chunks.iter().map(data).collect(), ending: 1 };
    }
    // Without `alt=sse` the stream is one JSON array.
    let pretty = |chunk: &Value| serde_json::to_string_pretty(chunk).unwrap_or_default();
    let opened = |n: usize| if n == 0 { "[" } else { ",\r\n" };
    let mut list: Vec<Bytes> =
        chunks.iter().enumerate().map(|(n, chunk)| format!("{}{}", opened(n), pretty(chunk)).into()).collect();
    list.push(Bytes::from_static(b"]"));
    Frames { list, ending: 2 }
}
