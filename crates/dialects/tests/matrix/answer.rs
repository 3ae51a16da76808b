//! What providers answer, in their dialects, whole and streamed. Written by hand, without a codec.

use preloop_dialects::Dialect;
use serde_json::{Value, json};

/// An answer, in no dialect.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) thinking: Option<&'static str>,
    pub(crate) text: Option<&'static str>,
    /// Id, tool, arguments.
    pub(crate) calls: Vec<(&'static str, String, &'static str)>,
    pub(crate) end: End,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum End {
    #[default]
    Done,
    Sequence,
    Length,
    Refusal,
}

/// What proves the thinking, wherever a provider puts it.
pub(crate) const PROOF: &str = "c2lnLTEyMw==";

pub(crate) fn whole(dialect: Dialect, answer: &Answer) -> Vec<u8> {
    let body = match dialect {
        Dialect::Chat => json!({"id": "chatcmpl-p", "object": "chat.completion", "created": 1, "model": "p",
            "choices": [{"index": 0, "message": chat_message(answer), "finish_reason": chat_end(answer)}], "usage": chat_usage()}),
        Dialect::Responses => responses_answer(answer),
        Dialect::Messages => json!({"id": "msg_p", "type": "message", "role": "assistant", "model": "p",
            "content": blocks(answer), "stop_reason": messages_end(answer),
            "stop_sequence": (answer.end == End::Sequence).then_some("END"), "usage": messages_usage()}),
        Dialect::Gemini => gemini_chunk(&gemini_parts(answer), Some(gemini_end(answer))),
        Dialect::Converse => json!({"output": {"message": {"role": "assistant", "content": converse_blocks(answer)}},
            "stopReason": converse_end(answer), "usage": converse_usage(), "metrics": {"latencyMs": 1}}),
    };
    body.to_string().into_bytes()
}

pub(crate) fn streamed(dialect: Dialect, answer: &Answer) -> Vec<u8> {
    match dialect {
        Dialect::Chat => chat_stream(answer),
        Dialect::Responses => responses_stream(answer),
        Dialect::Messages => messages_stream(answer),
        Dialect::Gemini => gemini_stream(answer),
        Dialect::Converse => converse_stream(answer),
    }
}

/// Halves, so that a stream has something to put together.
fn halves(text: &str) -> [&str; 2] {
    let mut middle = text.len() / 2;
    while !text.is_char_boundary(middle) {
        middle -= 1;
    }
    [&text[..middle], &text[middle..]]
}

fn data(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn event(value: &Value) -> String {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap())
}

fn parsed(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap()
}

fn chat_usage() -> Value {
    json!({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "prompt_tokens_details": {"cached_tokens": 3}})
}

fn chat_end(answer: &Answer) -> &'static str {
    match answer.end {
        End::Length => "length",
        End::Done if !answer.calls.is_empty() => "tool_calls",
        _ => "stop",
    }
}

fn chat_message(answer: &Answer) -> Value {
    let calls: Vec<Value> = answer.calls.iter().map(|(id, name, arguments)| {
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }).collect();
    let refused = answer.end == End::Refusal;
    let mut message = json!({"role": "assistant", "content": answer.text.filter(|_| !refused),
        "refusal": answer.text.filter(|_| refused), "reasoning_content": answer.thinking});
    if !calls.is_empty() {
        message["tool_calls"] = calls.into();
    }
    message
}

fn chat_stream(answer: &Answer) -> Vec<u8> {
    let mut deltas = vec![json!({"role": "assistant", "content": ""})];
    deltas.extend(answer.thinking.map(halves).into_iter().flatten().map(|piece| json!({ "reasoning_content": piece })));
    let field = if answer.end == End::Refusal { "refusal" } else { "content" };
    deltas.extend(answer.text.map(halves).into_iter().flatten().map(|piece| json!({ field: piece })));
    for (index, (id, name, _)) in answer.calls.iter().enumerate() {
        deltas.push(json!({"tool_calls": [{"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}]}));
    }
    // All calls at once, a piece of each in turn.
    for half in [0, 1] {
        for (index, (_, _, arguments)) in answer.calls.iter().enumerate() {
            deltas.push(json!({"tool_calls": [{"index": index, "function": {"arguments": halves(arguments)[half]}}]}));
        }
    }
    let chunk = |choices: Value, usage: Value| {
        data(
            &json!({"id": "chatcmpl-p", "object": "chat.completion.chunk", "created": 1, "model": "p", "choices": choices, "usage": usage}),
        )
    };
    let mut stream: String = deltas
        .iter()
        .map(|delta| chunk(json!([{"index": 0, "delta": delta, "finish_reason": null}]), Value::Null))
        .collect();
    stream.push_str(&chunk(json!([{"index": 0, "delta": {}, "finish_reason": chat_end(answer)}]), Value::Null));
    stream.push_str(&chunk(json!([]), chat_usage()));
    stream.push_str("data: [DONE]\n\n");
    stream.into_bytes()
}

fn responses_items(answer: &Answer) -> Vec<Value> {
    let mut items = Vec::new();
    items.extend(answer.thinking.map(|text| {
        json!({"id": "rs_p", "type": "reasoning",
        "summary": [{"type": "summary_text", "text": text}], "encrypted_content": PROOF})
    }));
    items.extend(answer.text.map(|text| {
        let content = if answer.end == End::Refusal {
            json!({"type": "refusal", "refusal": text})
        } else {
            json!({"type": "output_text", "text": text, "annotations": []})
        };
        json!({"id": "msg_p", "type": "message", "role": "assistant", "status": "completed", "content": [content]})
    }));
    items.extend(answer.calls.iter().map(|(id, name, arguments)| {
        json!({"id": format!("fc_{id}"), "type": "function_call", "status": "completed", "call_id": id, "name": name, "arguments": arguments})
    }));
    items
}

fn responses_answer(answer: &Answer) -> Value {
    let cut = answer.end == End::Length;
    json!({"id": "resp_p", "object": "response", "created_at": 1, "model": "p", "error": null,
        "status": if cut { "incomplete" } else { "completed" },
        "incomplete_details": cut.then(|| json!({"reason": "max_output_tokens"})),
        "output": responses_items(answer),
        "usage": {"input_tokens": 10, "input_tokens_details": {"cached_tokens": 3}, "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 15}})
}

fn responses_stream(answer: &Answer) -> Vec<u8> {
    let mut events = vec![
        json!({"type": "response.created", "response": {"id": "resp_p", "model": "p", "status": "in_progress", "output": []}}),
    ];
    for (index, item) in responses_items(answer).iter().enumerate() {
        let mut begun = item.clone();
        for (field, empty) in [("arguments", json!("")), ("content", json!([])), ("summary", json!([]))] {
            if begun.get(field).is_some() {
                begun[field] = empty;
            }
        }
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": begun}));
        let (kind, said) = [
            ("reasoning_summary_text", "/summary/0/text"),
            ("output_text", "/content/0/text"),
            ("refusal", "/content/0/refusal"),
            ("function_call_arguments", "/arguments"),
        ]
        .into_iter()
        .find_map(|(kind, path)| Some((kind, item.pointer(path)?.as_str()?)))
        .unwrap();
        for piece in halves(said) {
            events.push(json!({"type": format!("response.{kind}.delta"), "output_index": index, "item_id": item["id"],
                "content_index": 0, "summary_index": 0, "delta": piece}));
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    let last = responses_answer(answer);
    events.push(json!({"type": format!("response.{}", last["status"].as_str().unwrap()), "response": last}));
    events.iter().map(event).collect::<String>().into_bytes()
}

fn messages_usage() -> Value {
    json!({"input_tokens": 7, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0, "output_tokens": 5})
}

fn messages_end(answer: &Answer) -> &'static str {
    match answer.end {
        End::Length => "max_tokens",
        End::Sequence => "stop_sequence",
        End::Refusal => "refusal",
        End::Done if !answer.calls.is_empty() => "tool_use",
        End::Done => "end_turn",
    }
}

fn blocks(answer: &Answer) -> Vec<Value> {
    let mut blocks = Vec::new();
    blocks.extend(answer.thinking.map(|text| json!({"type": "thinking", "thinking": text, "signature": PROOF})));
    blocks.extend(answer.text.map(|text| json!({"type": "text", "text": text})));
    blocks.extend(
        answer.calls.iter().map(
            |(id, name, arguments)| json!({"type": "tool_use", "id": id, "name": name, "input": parsed(arguments)}),
        ),
    );
    blocks
}

fn messages_stream(answer: &Answer) -> Vec<u8> {
    let mut events = vec![
        json!({"type": "message_start", "message": {"id": "msg_p", "type": "message", "role": "assistant", "model": "p",
        "content": [], "stop_reason": null, "stop_sequence": null,
        "usage": {"input_tokens": 7, "cache_read_input_tokens": 3, "cache_creation_input_tokens": 0, "output_tokens": 1}}}),
        json!({"type": "ping"}),
    ];
    for (index, block) in blocks(answer).iter().enumerate() {
        let (begun, deltas) = match block["type"].as_str().unwrap() {
            "thinking" => {
                let mut deltas = halves(block["thinking"].as_str().unwrap())
                    .map(|piece| json!({"type": "thinking_delta", "thinking": piece}))
                    .to_vec();
                deltas.push(json!({"type": "signature_delta", "signature": PROOF}));
                (json!({"type": "thinking", "thinking": "", "signature": ""}), deltas)
            }
            "text" => (
                json!({"type": "text", "text": ""}),
                halves(block["text"].as_str().unwrap())
                    .map(|piece| json!({"type": "text_delta", "text": piece}))
                    .to_vec(),
            ),
            _ => {
                let mut begun = block.clone();
                begun["input"] = json!({});
                (
                    begun,
                    halves(&block["input"].to_string())
                        .map(|piece| json!({"type": "input_json_delta", "partial_json": piece}))
                        .to_vec(),
                )
            }
        };
        events.push(json!({"type": "content_block_start", "index": index, "content_block": begun}));
        events
            .extend(deltas.iter().map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let sequence = (answer.end == End::Sequence).then_some("END");
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": messages_end(answer), "stop_sequence": sequence}, "usage": {"output_tokens": 5}}));
    events.push(json!({"type": "message_stop"}));
    events.iter().map(event).collect::<String>().into_bytes()
}

fn gemini_end(answer: &Answer) -> &'static str {
    match answer.end {
        End::Length => "MAX_TOKENS",
        End::Refusal => "SAFETY",
        End::Done | End::Sequence => "STOP",
    }
}

fn gemini_parts(answer: &Answer) -> Vec<Value> {
    let mut parts = Vec::new();
    parts.extend(answer.thinking.map(|text| json!({"text": text, "thought": true})));
    parts.extend(answer.text.map(|text| json!({ "text": text })));
    for (id, name, arguments) in &answer.calls {
        let mut part = json!({"functionCall": {"id": id, "name": name, "args": parsed(arguments)}});
        if answer.thinking.is_some() && parts.iter().all(|part: &Value| part.get("functionCall").is_none()) {
            part["thoughtSignature"] = PROOF.into();
        }
        parts.push(part);
    }
    parts
}

fn gemini_chunk(parts: &[Value], end: Option<&str>) -> Value {
    let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
    if let Some(end) = end {
        candidate["finishReason"] = end.into();
    }
    json!({"candidates": [candidate], "modelVersion": "p", "responseId": "g",
        "usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 3, "candidatesTokenCount": 5, "totalTokenCount": 15}})
}

fn gemini_stream(answer: &Answer) -> Vec<u8> {
    let mut stream = String::new();
    for part in gemini_parts(answer) {
        let pieces = match part["text"].as_str() {
            Some(text) => halves(text)
                .map(|piece| {
                    let mut half = part.clone();
                    half["text"] = piece.into();
                    half
                })
                .to_vec(),
            None => vec![part],
        };
        for piece in pieces {
            stream.push_str(&data(&gemini_chunk(&[piece], None)));
        }
    }
    stream.push_str(&data(&gemini_chunk(&[], Some(gemini_end(answer)))));
    stream.into_bytes()
}

fn converse_usage() -> Value {
    json!({"inputTokens": 7, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 0, "outputTokens": 5, "totalTokens": 15})
}

fn converse_end(answer: &Answer) -> &'static str {
    match answer.end {
        End::Refusal => "content_filtered",
        _ => messages_end(answer),
    }
}

fn converse_blocks(answer: &Answer) -> Vec<Value> {
    let mut blocks = Vec::new();
    blocks.extend(
        answer.thinking.map(|text| json!({"reasoningContent": {"reasoningText": {"text": text, "signature": PROOF}}})),
    );
    blocks.extend(answer.text.map(|text| json!({ "text": text })));
    blocks.extend(
        answer.calls.iter().map(
            |(id, name, arguments)| json!({"toolUse": {"toolUseId": id, "name": name, "input": parsed(arguments)}}),
        ),
    );
    blocks
}

fn converse_stream(answer: &Answer) -> Vec<u8> {
    let mut stream = frame("messageStart", &json!({"role": "assistant"}));
    for (index, block) in converse_blocks(answer).iter().enumerate() {
        let deltas = if let Some(thinking) = block.pointer("/reasoningContent/reasoningText/text") {
            let mut deltas =
                halves(thinking.as_str().unwrap()).map(|piece| json!({"reasoningContent": {"text": piece}})).to_vec();
            deltas.push(json!({"reasoningContent": {"signature": PROOF}}));
            deltas
        } else if let Some(text) = block["text"].as_str() {
            halves(text).map(|piece| json!({ "text": piece })).to_vec()
        } else {
            let call = &block["toolUse"];
            let start = json!({"toolUse": {"toolUseId": call["toolUseId"], "name": call["name"]}});
            stream.extend(frame("contentBlockStart", &json!({"contentBlockIndex": index, "start": start})));
            halves(&call["input"].to_string()).map(|piece| json!({"toolUse": {"input": piece}})).to_vec()
        };
        for delta in deltas {
            stream.extend(frame("contentBlockDelta", &json!({"contentBlockIndex": index, "delta": delta})));
        }
        stream.extend(frame("contentBlockStop", &json!({ "contentBlockIndex": index })));
    }
    stream.extend(frame("messageStop", &json!({"stopReason": converse_end(answer)})));
    stream.extend(frame("metadata", &json!({"usage": converse_usage(), "metrics": {"latencyMs": 1}})));
    stream
}

/// A frame of Amazon's event stream: lengths, their checksum, headers, payload, checksum of all.
fn frame(kind: &str, payload: &Value) -> Vec<u8> {
    let payload = payload.to_string();
    let mut headers = Vec::new();
    for (name, value) in [(":message-type", "event"), (":event-type", kind), (":content-type", "application/json")] {
        headers.push(u8::try_from(name.len()).unwrap());
        headers.extend(name.as_bytes());
        headers.push(7);
        headers.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        headers.extend(value.as_bytes());
    }
    let total = 16 + headers.len() + payload.len();
    let mut frame = Vec::new();
    frame.extend(u32::try_from(total).unwrap().to_be_bytes());
    frame.extend(u32::try_from(headers.len()).unwrap().to_be_bytes());
    frame.extend(crc32(&frame).to_be_bytes());
    frame.extend(headers);
    frame.extend(payload.as_bytes());
    frame.extend(crc32(&frame).to_be_bytes());
    frame
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}
