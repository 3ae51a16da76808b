//! Every pair of an agent's dialect and a provider's: what one says, the other hears.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use preloop_dialects::{
    Dialect, Quirks,
    ir::{
        Choice, Event, OutputFormat, Part, PartKind, Request, Response, Role, Signature, Stop, Tool, ToolCall,
        ToolChoice, Turn,
    },
    translate::{BadRequest, Carrier, Codec, Collector, Names, Reply, Target, codec},
};
use preloop_types::Tokens;
use proptest::prelude::*;
use serde_json::{Value, json};

const AGENTS: [Dialect; 4] = [Dialect::Chat, Dialect::Responses, Dialect::Messages, Dialect::Gemini];

fn of(dialect: Dialect) -> &'static dyn Codec {
    codec(dialect)
}

/// Carries nothing: what is said here needs no signature.
struct Nothing;

impl Carrier for Nothing {
    fn seal(&self, signature: &Signature) -> String {
        signature.value.clone()
    }

    fn open(&self, _: &str) -> Result<Option<Signature>, BadRequest> {
        Ok(None)
    }

    fn remember(&self, _: &str, _: &str, _: Option<&Signature>) {}

    fn recall(&self, _: &str) -> Option<(String, Option<Signature>)> {
        None
    }
}

fn reply(request: Request, sse: bool) -> Reply {
    Reply {
        model: "m".to_owned(),
        id: "0199".to_owned(),
        created: 1_790_000_000,
        request: Arc::new(request),
        carrier: Arc::new(Nothing),
        sse,
    }
}

fn words() -> impl Strategy<Value = String> {
    prop::string::string_regex("[a-z é漢\"\\\\\n{}\\[\\]]{0,20}[a-z]").unwrap()
}

fn calls(most: usize) -> impl Strategy<Value = Vec<Part>> {
    let call = (0..3_usize, words()).prop_map(|(tool, text)| (format!("tool_{tool}"), json!({ "text": text })));
    prop::collection::vec(call, 0..=most).prop_map(|calls| {
        let call = |(at, (name, arguments)): (usize, (String, Value))| {
            let arguments = arguments.to_string();
            Part::ToolCall(ToolCall { id: format!("call_{at}"), name, arguments, ..ToolCall::default() })
        };
        calls.into_iter().enumerate().map(call).collect()
    })
}

/// An answer of text and calls.
fn answer() -> impl Strategy<Value = Response> {
    (prop::option::of(words()), calls(3), 1..1000_u64, 0..1000_u64, 1..1000_u64).prop_map(
        |(said, calls, input, cache_read, output)| {
            let stop = if calls.is_empty() { Stop::End } else { Stop::ToolCalls };
            let said = said.map(|text| Part::Text { text, cache: None });
            let parts: Vec<Part> = said.into_iter().chain(calls).collect();
            Response {
                choices: vec![Choice { parts, stop, logprobs: None }],
                usage: Some(Tokens { input, cache_read, output, ..Tokens::default() }),
                ..Response::default()
            }
        },
    )
}

/// The answer as a stream that interleaves its calls, as providers do.
fn streamed(response: &Response) -> Vec<Event> {
    let choice = &response.choices[0];
    let mut events = vec![Event::Start { id: String::new(), model: String::new() }];
    let mut pending: Vec<(usize, Vec<String>)> = Vec::new();
    for (index, part) in choice.parts.iter().enumerate() {
        let (kind, text) = match part {
            Part::Text { text, .. } => (PartKind::Text, text),
            Part::ToolCall(call) => {
                (PartKind::ToolCall { id: call.id.clone(), name: call.name.clone() }, &call.arguments)
            }
            other => panic!("not generated: {other:?}"),
        };
        let text_part = kind == PartKind::Text;
        let pieces: Vec<String> =
            text.chars().rev().collect::<Vec<_>>().chunks(3).map(|piece| piece.iter().rev().collect()).collect();
        events.push(Event::PartStart { index, kind });
        pending.push((index, pieces));
        if text_part {
            drain(&mut pending, &mut events);
        }
    }
    drain(&mut pending, &mut events);
    events.extend(response.usage.map(Event::Usage));
    events.extend([Event::Stop(choice.stop.clone()), Event::End]);
    events
}

/// A piece of each part in turn.
fn drain(pending: &mut Vec<(usize, Vec<String>)>, events: &mut Vec<Event>) {
    while !pending.is_empty() {
        pending.retain_mut(|(index, pieces)| {
            match pieces.pop() {
                Some(text) => events.push(Event::Delta { index: *index, text }),
                None => events.push(Event::PartEnd { index: *index }),
            }
            !pieces.is_empty() || matches!(events.last(), Some(Event::Delta { .. }))
        });
    }
}

/// What matters of an answer to whoever reads it.
fn heard(response: &Response) -> (Vec<Part>, Stop, u64, u64) {
    let usage = response.usage.unwrap_or_default();
    let choice = &response.choices[0];
    let mut parts = choice.parts.clone();
    for part in &mut parts {
        if let Part::ToolCall(call) = part {
            call.arguments = serde_json::from_str::<Value>(&call.arguments).unwrap().to_string();
        }
    }
    (parts, choice.stop.clone(), usage.prompt(), usage.completion())
}

fn read_stream(dialect: Dialect, stream: &[u8], cut: usize) -> Response {
    let mut decoder = of(dialect).decoder(Names::default());
    let mut events = Vec::new();
    for piece in stream.chunks(cut) {
        decoder.feed(piece, &mut events).unwrap();
    }
    decoder.finish(&mut events);
    let mut collector = Collector::default();
    for event in events {
        collector.push(event);
    }
    collector.finish().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn an_answer_is_heard_as_it_was_said(response in answer(), cut in 1_usize..300) {
        for dialect in AGENTS {
            let request = Request { include_usage: true, stream: true, ..Request::default() };
            let whole = of(dialect).encode_response(&response, &reply(request.clone(), true));
            let whole = of(dialect).decode_response(&whole, &Names::default()).unwrap();
            prop_assert_eq!(heard(&whole), heard(&response), "{:?}", dialect);

            for sse in [true, false] {
                let mut encoder = of(dialect).encoder(reply(request.clone(), sse));
                let mut stream = Vec::new();
                for event in streamed(&response) {
                    encoder.event(&event, &mut stream);
                }
                let read = read_stream(dialect, &stream, cut);
                prop_assert_eq!(heard(&read), heard(&response), "{:?} {}", dialect, String::from_utf8_lossy(&stream));
            }
        }
    }
}

/// A conversation of any length, each call with its result.
fn conversation() -> impl Strategy<Value = Request> {
    let round = (words(), prop::option::of(words()), calls(2), words());
    let choice = prop::sample::select(vec![
        None,
        Some(ToolChoice::Auto),
        Some(ToolChoice::Required),
        Some(ToolChoice::None),
        Some(ToolChoice::Tool("tool_1".to_owned())),
    ]);
    (prop::option::of(words()), prop::collection::vec(round, 1..4), choice, any::<bool>()).prop_map(
        |(system, rounds, tool_choice, schema)| {
            let text = |text: String| Part::Text { text, cache: None };
            let mut turns = Vec::new();
            let last = rounds.len() - 1;
            for (round, (asked, said, mut calls, result)) in rounds.into_iter().enumerate() {
                for part in &mut calls {
                    if let Part::ToolCall(call) = part {
                        call.id = format!("call_{round}_{}", call.id);
                    }
                }
                let results = calls.iter().filter_map(|part| match part {
                    Part::ToolCall(call) => Some(Part::ToolResult {
                        call_id: call.id.clone(),
                        name: Some(call.name.clone()),
                        parts: vec![text(result.clone())],
                        is_error: None,
                        cache: None,
                    }),
                    _ => None,
                });
                let results: Vec<Part> = results.collect();
                turns.push(Turn { role: Role::User, parts: vec![text(asked)] });
                let parts: Vec<Part> = said.map(text).into_iter().chain(calls).collect();
                if !parts.is_empty() && round < last {
                    turns.push(Turn { role: Role::Assistant, parts });
                    if !results.is_empty() {
                        turns.push(Turn { role: Role::User, parts: results });
                    }
                }
            }
            let tool = |at: usize| Tool::Function {
                name: format!("tool_{at}"),
                description: Some(format!("Tool {at}.")),
                parameters: Some(json!({"type": "object", "properties": {"text": {"type": "string"}}})),
                strict: None,
                cache: None,
            };
            let output = if schema {
                let schema = json!({"type": "object", "properties": {}, "additionalProperties": false});
                OutputFormat::Schema { name: None, description: None, schema, strict: None }
            } else {
                OutputFormat::Text
            };
            Request {
                system: system.map(text).into_iter().collect(),
                turns,
                tools: (0..3).map(tool).collect(),
                tool_choice,
                max_output: Some(300),
                output,
                ..Request::default()
            }
        },
    )
}

/// What matters of a request to the model: neighbours of one role are one turn, ids are only names.
fn understood(request: &Request) -> Value {
    let mut ids: Vec<String> = Vec::new();
    let mut turns: Vec<(Role, Vec<Value>)> = Vec::new();
    let text = |parts: &[Part]| {
        let text = |part: &Part| match part {
            Part::Text { text, .. } => text.clone(),
            other => panic!("not generated: {other:?}"),
        };
        parts.iter().map(text).collect::<Vec<_>>()
    };
    for turn in &request.turns {
        let parts = turn.parts.iter().map(|part| match part {
            Part::Text { text, .. } => json!({ "text": text }),
            Part::ToolCall(call) => {
                ids.push(call.id.clone());
                let arguments: Value = serde_json::from_str(&call.arguments).unwrap();
                json!({ "call": ids.len() - 1, "name": call.name, "arguments": arguments })
            }
            Part::ToolResult { call_id, parts, name, .. } => {
                json!({ "result": ids.iter().position(|id| id == call_id), "name": name, "text": text(parts) })
            }
            other => panic!("not generated: {other:?}"),
        });
        let parts: Vec<Value> = parts.collect();
        match turns.last_mut() {
            Some((role, last)) if *role == turn.role => last.extend(parts),
            _ => turns.push((turn.role, parts)),
        }
    }
    let tool = |tool: &Tool| match tool {
        Tool::Function { name, description, parameters, .. } => json!([name, description, parameters]),
        other => panic!("not generated: {other:?}"),
    };
    let schema = match &request.output {
        OutputFormat::Schema { schema, .. } => Some(schema),
        _ => None,
    };
    let turns: Vec<Value> = turns.into_iter().map(|(role, parts)| json!([format!("{role:?}"), parts])).collect();
    json!({
        "system": text(&request.system),
        "turns": turns,
        "tools": request.tools.iter().map(tool).collect::<Vec<_>>(),
        "choice": format!("{:?}", request.tool_choice),
        "max_output": request.max_output,
        "schema": schema,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_request_is_understood_as_it_was_meant(request in conversation()) {
        let models = ["gpt-5", "gpt-5", "claude-sonnet-4-5", "gemini-2.5-flash"];
        for (dialect, model) in AGENTS.into_iter().zip(models) {
            let quirks = Quirks::default();
            let target = Target { model, max_output: None, quirks: &quirks, drop_unsupported: false };
            let encoded = of(dialect).encode_request(&request, &target).unwrap();
            let read = of(dialect).decode_request(&encoded.body, &Nothing).unwrap();
            prop_assert_eq!(understood(&read), understood(&request), "{:?} {}", dialect, String::from_utf8_lossy(&encoded.body));
        }
    }
}

/// JSON of the words that requests and answers are made of, in any disorder.
fn disorder() -> impl Strategy<Value = Value> {
    let word = prop::sample::select(vec![
        "type",
        "role",
        "content",
        "messages",
        "input",
        "contents",
        "parts",
        "text",
        "thinking",
        "signature",
        "tool_use",
        "tool_result",
        "tool_use_id",
        "id",
        "name",
        "tools",
        "function",
        "functionCall",
        "functionResponse",
        "args",
        "thoughtSignature",
        "candidates",
        "finishReason",
        "usageMetadata",
        "promptTokenCount",
        "toolUsePromptTokenCount",
        "cachedContentTokenCount",
        "usage",
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "choices",
        "message",
        "delta",
        "index",
        "tool_calls",
        "arguments",
        "output",
        "toolUse",
        "inputTokens",
        "cacheDetails",
        "ttl",
        "stopReason",
        "reasoningContent",
        "content_block",
        "message_start",
        "content_block_start",
        "content_block_delta",
        "input_json_delta",
        "partial_json",
        "user",
        "assistant",
        "model",
        "system",
        "response",
        "error",
        "item",
        "response.output_item.added",
        "response.completed",
        "function_call",
        "call_id",
        "summary",
        "encrypted_content",
        "source",
        "base64",
        "data",
        "mimeType",
        "inlineData",
        "image_url",
        "url",
        "data:x",
        "generationConfig",
        "thinkingConfig",
        "thinkingBudget",
        "tool_choice",
        "prompt_tokens",
        "completion_tokens",
        "contentBlockIndex",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        prop::sample::select(vec![0, 1, u64::MAX]).prop_map(Value::from),
        (-2_i64..2).prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..6)
                .prop_map(|fields| fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_disorder_makes_a_codec_panic(values in prop::collection::vec(disorder(), 1..5)) {
        let every = AGENTS.into_iter().chain([Dialect::Converse]);
        for (dialect, value) in every.zip(values.iter().cycle()) {
            let body = value.to_string();
            if let Ok(request) = of(dialect).decode_request(body.as_bytes(), &Nothing) {
                for to in AGENTS.into_iter().chain([Dialect::Converse]) {
                    let quirks = Quirks::default();
                    let target = Target { model: "m", max_output: None, quirks: &quirks, drop_unsupported: true };
                    let _ = of(to).encode_request(&request, &target);
                }
            }
            if let Ok(response) = of(dialect).decode_response(body.as_bytes(), &Names::default()) {
                for to in AGENTS {
                    of(to).encode_response(&response, &reply(Request::default(), true));
                }
            }
            let mut decoder = of(dialect).decoder(Names::default());
            let mut events = Vec::new();
            for value in &values {
                let _ = decoder.feed(format!("data: {value}\n\n").as_bytes(), &mut events);
            }
            decoder.finish(&mut events);
            for to in AGENTS {
                let mut encoder = of(to).encoder(reply(Request::default(), false));
                for event in &events {
                    encoder.event(event, &mut Vec::new());
                }
            }
        }
    }
}
