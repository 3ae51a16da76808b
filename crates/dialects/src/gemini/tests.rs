use proptest::prelude::*;
use serde_json::{Value, json};

use super::Gemini;
use crate::{
    Dialect,
    ir::{
        Choice, Effort, Event, OutputFormat, Part, PartKind, Reasoning, Request, Response, Role, Signature, Stop,
        Thought, Tool, ToolCall, ToolChoice, Turn,
    },
    translate::{Codec as _, Collector, Names, Reply, testing},
};

fn decoded(body: &Value) -> Request {
    Gemini.decode_request(body.to_string().as_bytes(), &testing::Open).unwrap()
}

fn written(request: &Request, model: &str) -> (Value, Vec<String>) {
    let encoded = testing::encoded(&Gemini, request, model).unwrap();
    (serde_json::from_slice(&encoded.body).unwrap(), encoded.warnings)
}

/// What a coding agent sends in the middle of a tool loop.
fn agent_request() -> Value {
    json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Look."}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}]},
            {"role": "model", "parts": [
                {"text": "I look.", "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "look", "args": {"at": "it"}}, "thoughtSignature": "c2lnMg=="},
                {"functionCall": {"name": "look", "args": {"at": "that"}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"name": "look", "response": {"result": "a\nb"}}},
                {"functionResponse": {"name": "look", "response": {"error": "no"}}},
                {"text": "Go on."}]}
        ],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
        "tools": [
            {"functionDeclarations": [{"name": "look", "description": "Looks.", "parametersJsonSchema": {"type": "object", "properties": {"at": {"type": "string"}}}}]},
            {"googleSearch": {}}
        ],
        "generationConfig": {
            "temperature": 1, "topP": 0.9, "topK": 32, "maxOutputTokens": 100, "stopSequences": ["END"],
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "object"},
            "thinkingConfig": {"thinkingBudget": 8192, "includeThoughts": true}
        },
        "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    })
}

#[test]
fn what_is_read_is_written_as_it_was() {
    let (again, warnings) = written(&decoded(&agent_request()), "gemini-2.5-pro");

    assert_eq!(again, agent_request());
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn either_case_is_read() {
    let snake = decoded(&json!({
        "system_instruction": {"parts": [{"text": "s"}]},
        "contents": [{"parts": [{"inline_data": {"mime_type": "application/pdf", "data": "JVBE"}}]}],
        "tools": [{"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]}],
        "tool_config": {"function_calling_config": {"mode": "NONE"}},
        "generation_config": {"max_output_tokens": 5, "thinking_config": {"thinking_level": "LOW"}}
    }));
    let camel = decoded(&json!({
        "systemInstruction": {"parts": [{"text": "s"}]},
        "contents": [{"parts": [{"inlineData": {"mimeType": "application/pdf", "data": "JVBE"}}]}],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "NONE"}},
        "generationConfig": {"maxOutputTokens": 5, "thinkingConfig": {"thinkingLevel": "low"}}
    }));

    assert_eq!(snake, camel);
    assert_eq!(camel.tool_choice, Some(ToolChoice::None));
    assert!(matches!(camel.turns[0].parts[0], Part::Document { .. }));
}

#[test]
fn calls_without_ids_are_joined_with_their_results_in_order() {
    let request = decoded(&agent_request());

    let id = |at: usize| match &request.turns[1].parts[at] {
        Part::ToolCall(call) => call.id.clone(),
        other => panic!("no call: {other:?}"),
    };
    let answered: Vec<(String, Option<bool>)> = request.turns[2]
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolResult { call_id, is_error, .. } => Some((call_id.clone(), *is_error)),
            _ => None,
        })
        .collect();
    assert_eq!(answered, [(id(2), None), (id(3), Some(true))]);
    assert_ne!(id(2), id(3));
}

#[test]
fn code_google_ran_itself_is_kept_under_its_path() {
    let request = decoded(&json!({"contents": [{"role": "model", "parts": [
        {"executableCode": {"language": "PYTHON", "code": "1"}}]}], "cachedContent": "cachedContents/x"}));

    let names: Vec<String> = request.extra.unwrap().1.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["contents[0].parts[0]", "cachedContent"]);
}

fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned(), cache: None }
}

fn call(id: &str, name: &str, signature: Option<Signature>) -> ToolCall {
    ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: "{}".to_owned(), signature, cache: None }
}

fn google(value: &str, item_id: Option<&str>) -> Signature {
    Signature { dialect: Dialect::Gemini, item_id: item_id.map(str::to_owned), value: value.to_owned() }
}

#[test]
fn a_conversation_of_another_dialect_is_laid_out_for_google() {
    let result = |id: &str| Part::ToolResult {
        call_id: id.to_owned(),
        name: Some(format!("tool/{id}")),
        parts: vec![
            text("[1]"),
            Part::Image {
                source: crate::ir::Media::Inline { mime: "image/png".to_owned(), base64: "iVBO".to_owned() },
                detail: None,
                cache: None,
            },
        ],
        is_error: None,
        cache: None,
    };
    let foreign = Signature { dialect: Dialect::Messages, item_id: None, value: "EqQB".to_owned() };
    let thought = Thought { text: "hm".to_owned(), signature: Some(foreign), redacted: false };
    let parts = vec![
        Part::Reasoning(thought),
        Part::ToolCall(call("a", "tool/a", None)),
        Part::ToolCall(call("b", "tool/b", None)),
    ];
    let request = Request {
        system: vec![text("one"), text("two")],
        turns: vec![
            Turn { role: Role::User, parts: vec![text("go")] },
            Turn { role: Role::Assistant, parts },
            Turn { role: Role::User, parts: vec![result("b"), result("a")] },
        ],
        tools: vec![Tool::Custom { name: "patch".to_owned(), description: None, format: None }],
        tool_choice: Some(ToolChoice::Tool("patch".to_owned())),
        parallel_tool_calls: Some(false),
        ..Request::default()
    };

    let (body, warnings) = written(&request, "gemini-3-pro-preview");

    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "one\n\ntwo"}]}));
    let calls = &body["contents"][1]["parts"];
    assert_eq!(calls[0]["thoughtSignature"], "skip_thought_signature_validator");
    assert_eq!(calls[1].get("thoughtSignature"), None);
    let results = &body["contents"][2]["parts"];
    assert_eq!(results[0]["functionResponse"]["name"], calls[0]["functionCall"]["name"]);
    assert_eq!(results[0]["functionResponse"]["response"], json!({"result": "[1]"}));
    assert_eq!(results[0]["functionResponse"]["parts"][0]["inlineData"]["mimeType"], "image/png");
    assert_eq!(body["toolConfig"]["functionCallingConfig"], json!({"mode": "ANY", "allowedFunctionNames": ["patch"]}));
    assert_eq!(warnings.len(), 2, "{warnings:?}");

    let (older, _) = written(&request, "gemini-2.5-flash");
    let results = older["contents"][2]["parts"].as_array().unwrap();
    let kinds: Vec<&str> =
        results.iter().map(|part| part.as_object().unwrap().keys().next().unwrap().as_str()).collect();
    assert_eq!(kinds, ["functionResponse", "functionResponse", "inlineData", "inlineData"]);
}

#[test]
fn thinking_follows_the_model() {
    let ask = |model: &str, reasoning: Reasoning| {
        let request = Request { reasoning: Some(reasoning), ..Request::default() };
        written(&request, model).0["generationConfig"]["thinkingConfig"].clone()
    };
    let effort = |effort| Reasoning { effort: Some(effort), ..Reasoning::default() };

    assert_eq!(ask("gemini-2.5-flash", effort(Effort::High)), json!({"thinkingBudget": 4096}));
    assert_eq!(ask("gemini-2.5-flash", effort(Effort::None)), json!({"thinkingBudget": 0}));
    assert_eq!(ask("gemini-2.5-pro", effort(Effort::None)), json!({"thinkingBudget": 128}));
    assert_eq!(ask("gemini-3-flash", effort(Effort::Medium)), json!({"thinkingLevel": "medium"}));
    assert_eq!(ask("gemini-3-pro", effort(Effort::Minimal)), json!({"thinkingLevel": "low"}));
    assert_eq!(
        ask("gemini-2.5-flash", Reasoning { dynamic: true, ..Reasoning::default() }),
        json!({"thinkingBudget": -1})
    );
    assert_eq!(ask("gemini-1.5-pro", effort(Effort::High)), Value::Null);
}

#[test]
fn what_google_cannot_be_told_is_refused_by_name() {
    let field = |request: Request| testing::encoded(&Gemini, &request, "gemini-2.5-pro").unwrap_err().field;

    assert_eq!(field(Request { logprobs: Some(1), ..Request::default() }), "logprobs");
    assert_eq!(field(Request { stop: vec!["x".to_owned(); 6], ..Request::default() }), "stop");
    let source = crate::ir::Media::File { dialect: Dialect::Responses, id: "file-1".to_owned() };
    let turns = vec![Turn { role: Role::User, parts: vec![Part::Image { source, detail: None, cache: None }] }];
    assert_eq!(field(Request { turns, ..Request::default() }), "file_id");
}

/// An answer as Google streams it: a chunk with text and a call, calls without ids, a signature on an empty
/// text, a last chunk without content.
fn chunks() -> Vec<Value> {
    let chunk = |parts: Value| json!({"candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}], "responseId": "r1", "modelVersion": "gemini-3-pro", "usageMetadata": {"promptTokenCount": 10}});
    vec![
        chunk(json!([{"text": "hm, ", "thought": true}])),
        chunk(json!([{"text": "é {\"}", "thought": true}])),
        chunk(json!([{"text": "I "}])),
        chunk(
            json!([{"text": "look.", "thoughtSignature": "c2ln"}, {"functionCall": {"name": "look", "args": {"at": "it"}}, "thoughtSignature": "c2lnMg=="}]),
        ),
        chunk(json!([{"functionCall": {"name": "list"}}])),
        chunk(json!([{"text": "", "thoughtSignature": "c2lnMw=="}])),
        json!({"candidates": [{"finishReason": "STOP", "index": 0}], "usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 7, "thoughtsTokenCount": 20, "totalTokenCount": 37}, "responseId": "r1", "modelVersion": "gemini-3-pro"}),
    ]
}

fn sse() -> String {
    chunks().iter().fold(String::new(), |stream, chunk| stream + &format!("data: {chunk}\r\n\r\n"))
}

fn array() -> String {
    let chunks: Vec<String> = chunks().iter().map(|chunk| format!("{chunk:#}")).collect();
    format!("[{}\n]\n", chunks.join("\n,\r\n"))
}

/// The same answer, whole.
fn whole() -> Value {
    json!({
        "candidates": [{"content": {"role": "model", "parts": [
            {"text": "hm, é {\"}", "thought": true},
            {"text": "I look.", "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "look", "args": {"at": "it"}}, "thoughtSignature": "c2lnMg=="},
            {"functionCall": {"name": "list"}},
            {"text": "", "thoughtSignature": "c2lnMw=="}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 10, "cachedContentTokenCount": 4, "candidatesTokenCount": 7, "thoughtsTokenCount": 20, "totalTokenCount": 37},
        "responseId": "r1", "modelVersion": "gemini-3-pro"
    })
}

fn read_whole() -> Response {
    Gemini.decode_response(whole().to_string().as_bytes(), &Names::default()).unwrap()
}

fn read_stream(stream: &str, cuts: &[usize]) -> Vec<Event> {
    testing::events(&Gemini, Names::default(), stream.as_bytes(), cuts).unwrap()
}

fn collected(events: Vec<Event>) -> Response {
    let mut collector = Collector::default();
    for event in events {
        collector.push(event);
    }
    collector.finish().unwrap()
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    let whole = read_whole();

    assert_eq!(collected(read_stream(&sse(), &[usize::MAX])), whole);
    assert_eq!(collected(read_stream(&array(), &[usize::MAX])), whole);
    assert_eq!(whole.choices[0].stop, Stop::ToolCalls);
    let usage = whole.usage.unwrap();
    assert_eq!((usage.input, usage.cache_read, usage.output, usage.reasoning), (6, 4, 7, 20));
}

#[test]
fn signatures_go_back_to_google_on_the_parts_where_they_came() {
    let turns = vec![Turn { role: Role::Assistant, parts: read_whole().choices.remove(0).parts }];
    let (body, _) = written(&Request { turns, ..Request::default() }, "gemini-3-pro");

    let mut parts = whole()["candidates"][0]["content"]["parts"].clone();
    parts.as_array_mut().unwrap().remove(0);
    parts[2]["functionCall"]["args"] = json!({});
    assert_eq!(body["contents"][0]["parts"], parts);
}

proptest! {
    #[test]
    fn the_cut_makes_no_difference(cuts in prop::collection::vec(1_usize..100, 1..20)) {
        for stream in [sse(), array()] {
            prop_assert_eq!(read_stream(&stream, &cuts), read_stream(&stream, &[usize::MAX]));
        }
    }
}

#[test]
fn a_blocked_prompt_is_an_answer_without_words() {
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {"promptTokenCount": 3}});

    let whole = Gemini.decode_response(blocked.to_string().as_bytes(), &Names::default()).unwrap();
    assert_eq!(whole.choices, [Choice { stop: Stop::Filtered, ..Choice::default() }]);
    assert_eq!(collected(read_stream(&format!("data: {blocked}\n\n"), &[usize::MAX])), whole);
}

#[test]
fn a_stream_that_breaks_off_is_no_answer() {
    let events = read_stream(&sse()[..sse().find("finishReason").unwrap()], &[usize::MAX]);
    assert!(matches!(events.last(), Some(Event::Error { .. })));

    for stream in [
        "data: {\"error\": {\"code\": 503, \"status\": \"UNAVAILABLE\", \"message\": \"later\"}}\n\n",
        "[{\"error\": {\"status\": \"UNAVAILABLE\", \"message\": \"later\"}}]",
    ] {
        let error = Event::Error { code: "UNAVAILABLE".to_owned(), message: "later".to_owned() };
        assert_eq!(read_stream(stream, &[usize::MAX]), [error]);
    }
}

fn asks_to_see_thinking() -> Request {
    Request {
        reasoning: Some(Reasoning { summary: Some("auto".to_owned()), ..Reasoning::default() }),
        ..Request::default()
    }
}

/// The parts of a streamed answer, put together as clients do.
fn accumulated(frames: &str) -> Vec<Value> {
    let mut parts: Vec<Value> = Vec::new();
    for chunk in frames.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let chunk: Value = serde_json::from_str(chunk).unwrap();
        for part in chunk["candidates"][0]["content"]["parts"].as_array().unwrap() {
            match parts.last_mut() {
                _ if part == &json!({"text": ""}) => {}
                Some(last)
                    if part["text"].is_string()
                        && last["text"].is_string()
                        && part["thought"] == last["thought"]
                        && part.get("thoughtSignature").is_none() =>
                {
                    last["text"] =
                        format!("{}{}", last["text"].as_str().unwrap(), part["text"].as_str().unwrap()).into();
                }
                _ => parts.push(part.clone()),
            }
        }
    }
    parts
}

#[test]
fn an_agent_accumulates_what_the_provider_said() {
    let events = read_stream(&sse(), &[usize::MAX]);
    for request in [asks_to_see_thinking(), Request::default()] {
        let frames = testing::frames(&Gemini, testing::reply(request.clone()), &events);

        let body: Value =
            serde_json::from_slice(&Gemini.encode_response(&read_whole(), &testing::reply(request))).unwrap();
        assert_eq!(body["candidates"][0]["content"]["parts"].as_array().unwrap(), &accumulated(&frames));
        assert!(frames.trim_end().lines().last().unwrap().contains("\"finishReason\":\"STOP\""));
    }
}

#[test]
fn without_server_sent_events_a_stream_is_one_json_array() {
    let reply = Reply { sse: false, ..testing::reply(asks_to_see_thinking()) };

    let frames = testing::frames(&Gemini, reply, &read_stream(&sse(), &[usize::MAX]));

    let chunks: Vec<Value> = serde_json::from_str(&frames).unwrap();
    assert_eq!(chunks.last().unwrap()["usageMetadata"]["totalTokenCount"], 37);
}

#[test]
fn interleaved_calls_come_out_whole() {
    let start = |index: usize| Event::PartStart {
        index,
        kind: PartKind::ToolCall { id: format!("c{index}"), name: "t".to_owned() },
    };
    let delta = |index, text: &str| Event::Delta { index, text: text.to_owned() };
    let events = [
        start(0),
        start(1),
        delta(0, "{\"n\":"),
        delta(1, "{\"n\":2"),
        delta(0, "1}"),
        delta(1, "}"),
        Event::PartEnd { index: 0 },
        Event::PartEnd { index: 1 },
        Event::Stop(Stop::ToolCalls),
        Event::End,
    ];

    let parts = accumulated(&testing::frames(&Gemini, testing::reply(Request::default()), &events));

    let args: Vec<&Value> = parts.iter().map(|part| &part["functionCall"]["args"]).collect();
    assert_eq!(args, [&json!({"n": 1}), &json!({"n": 2})]);
}

#[test]
fn thinking_of_other_providers_comes_back_to_them_with_the_call() {
    let anthropic = Signature { dialect: Dialect::Messages, item_id: None, value: "EqQB".to_owned() };
    let hidden = Signature { dialect: Dialect::Messages, item_id: None, value: "opaque".to_owned() };
    let parts = vec![
        Part::Reasoning(Thought { text: "why".to_owned(), signature: Some(anthropic), redacted: false }),
        Part::Reasoning(Thought { text: String::new(), signature: Some(hidden), redacted: true }),
        Part::ToolCall(call("toolu_1", "look", None)),
    ];
    let response =
        Response { choices: vec![Choice { parts: parts.clone(), ..Choice::default() }], ..Response::default() };

    for request in [asks_to_see_thinking(), Request::default()] {
        let answer: Value =
            serde_json::from_slice(&Gemini.encode_response(&response, &testing::reply(request))).unwrap();
        let next = decoded(&json!({"contents": [
            answer["candidates"][0]["content"],
            {"role": "user", "parts": [{"functionResponse": {"id": "toolu_1", "name": "look", "response": {"output": "x"}}}]}]}));

        assert_eq!(next.turns[0].parts, parts);
        // Google itself never sees it.
        let (body, _) = written(&next, "gemini-2.5-pro");
        assert!(!body.to_string().contains("EqQB"));
    }
}

#[test]
fn a_signature_without_a_call_is_not_lost() {
    let thought = Thought { text: String::new(), signature: Some(google("c2ln", Some("rs_1"))), redacted: false };
    let signature = Signature { dialect: Dialect::Responses, ..thought.signature.clone().unwrap() };
    let parts = vec![text("so"), Part::Reasoning(Thought { signature: Some(signature), ..thought })];
    let response =
        Response { choices: vec![Choice { parts: parts.clone(), ..Choice::default() }], ..Response::default() };

    let answer: Value =
        serde_json::from_slice(&Gemini.encode_response(&response, &testing::reply(Request::default()))).unwrap();
    let next = decoded(&json!({"contents": [answer["candidates"][0]["content"]]}));

    assert_eq!(next.turns[0].parts, parts);
}

#[test]
fn googles_defaults_say_nothing() {
    let request = decoded(&json!({"generationConfig": {"temperature": 1, "topP": 0.95, "topK": 64}}));
    assert_eq!((request.top_p, request.top_k), (None, None));
}

#[test]
fn a_schema_stays_a_schema() {
    let request = decoded(&agent_request());
    assert!(matches!(request.output, OutputFormat::Schema { .. }));
    assert_eq!(request.top_k, Some(32));
}
