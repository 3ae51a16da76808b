use proptest::prelude::*;
use serde_json::{Value, json};

use super::Messages;
use crate::{
    Dialect,
    ir::{
        Event, OutputFormat, Part, PartKind, Reasoning, Request, Role, Signature, Stop, Thought, Tool, ToolCall, Turn,
    },
    translate::{Codec as _, Collector, Names, testing},
};

fn decoded(body: &Value) -> Request {
    Messages.decode_request(body.to_string().as_bytes(), &testing::Open).unwrap()
}

fn refused(body: &Value) -> String {
    Messages.decode_request(body.to_string().as_bytes(), &testing::Open).unwrap_err().why
}

fn written(request: &Request, model: &str) -> (Value, Vec<String>) {
    let encoded = testing::encoded(&Messages, request, model).unwrap();
    (serde_json::from_slice(&encoded.body).unwrap(), encoded.warnings)
}

/// What a coding agent of autumn 2026 sends in the middle of a tool loop.
fn agent_request() -> Value {
    json!({
        "model": "claude-opus-4-6", "max_tokens": 32000, "stream": true,
        "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look."}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "EqQB"},
                {"type": "redacted_thinking", "data": "opaque"},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}},
                {"type": "tool_use", "id": "toolu_2", "name": "list", "input": {}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                    {"type": "text", "text": "no"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBO"}}]},
                {"type": "tool_result", "tool_use_id": "toolu_2", "content": "a\nb"},
                {"type": "text", "text": "Go on.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]}
        ],
        "tools": [
            {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {"at": {"type": "string"}}}},
            {"name": "list", "input_schema": {"type": "object", "properties": {}}, "strict": true},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "metadata": {"user_id": "u"},
        "thinking": {"type": "adaptive"},
        "output_config": {"effort": "high"}
    })
}

#[test]
fn what_is_read_is_written_as_it_was() {
    let body = agent_request();

    let (again, warnings) = written(&decoded(&body), "claude-opus-4-6");

    let mut expected = body;
    expected["messages"][0]["content"] = json!([{"type": "text", "text": "Look."}]);
    assert_eq!(again, expected);
    assert_eq!(warnings, Vec::<String>::new());
}

#[test]
fn newer_shapes_of_agents_are_read() {
    let request = decoded(&json!({
        "model": "m", "max_tokens": 10,
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "system", "content": "More tools."},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "ToolSearch", "input": {"query": "q"}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
                {"type": "tool_reference", "tool_name": "mcp__x"}]}]}
        ],
        "tools": [{"name": "mcp__x", "defer_loading": true, "input_schema": {"type": "object"}}],
        "thinking": {"type": "adaptive", "display": "omitted"},
        "context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]}
    }));

    assert_eq!(request.turns[1].role, Role::System);
    assert_eq!(request.reasoning, Some(Reasoning { dynamic: true, ..Reasoning::default() }));
    let Part::ToolResult { parts, name, .. } = &request.turns[3].parts[0] else { panic!("no result") };
    assert_eq!(name.as_deref(), Some("ToolSearch"));
    assert_eq!(parts[0], Part::Text { text: "The tool `mcp__x` is available.".to_owned(), cache: None });
    let extra: Vec<&str> = request.extra.iter().flat_map(|(_, fields)| fields).map(|(name, _)| &**name).collect();
    assert_eq!(extra, ["tools[0].defer_loading", "context_management"]);
}

#[test]
fn a_mistake_is_named_by_its_path() {
    let with = |content: Value| json!({"messages": [{"role": "user", "content": content}]});

    assert_eq!(refused(&with(json!([{"type": "text"}]))), "`messages[0].content[0].text` is missing");
    assert_eq!(
        refused(&with(json!([{"type": "tool_result", "tool_use_id": "x"}]))),
        "results of tool calls that are not in the conversation: `x`"
    );
    assert_eq!(
        refused(&json!({"messages": [{"role": "robot"}]})),
        "`messages[0].role` is not `user`, `assistant` or `system`"
    );
}

#[test]
fn what_only_anthropic_knows_is_kept_under_its_path() {
    let request = decoded(&json!({
        "container": "c", "messages": [{"role": "user", "content": [
            {"type": "search_result", "title": "t"},
            {"type": "document", "source": {"type": "text", "data": "d"}, "citations": {"enabled": true}}]}]
    }));

    let (_, fields) = request.extra.unwrap();
    let names: Vec<&str> = fields.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["messages[0].content[0]", "messages[0].content[1].citations.enabled", "container"]);
}

fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned(), cache: None }
}

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, parts }
}

fn result(call_id: &str) -> Part {
    Part::ToolResult { call_id: call_id.to_owned(), name: None, parts: vec![text("ok")], is_error: None, cache: None }
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    Part::ToolCall(ToolCall { id, name, arguments, ..ToolCall::default() })
}

#[test]
fn a_chat_conversation_is_laid_out_for_anthropic() {
    let request = Request {
        turns: vec![
            turn(Role::User, vec![text("a")]),
            turn(Role::User, vec![text("")]),
            turn(Role::System, vec![text("s")]),
            turn(Role::Assistant, vec![call("call.1", "files/read", "not json")]),
            turn(Role::Assistant, vec![call("2", "patch", "*** free")]),
            turn(Role::User, vec![text("b"), result("call.1")]),
            turn(Role::User, vec![result("2")]),
        ],
        tools: vec![Tool::Custom { name: "patch".to_owned(), description: None, format: None }],
        temperature: serde_json::Number::from_f64(1.5),
        ..Request::default()
    };

    let (body, warnings) = written(&request, "claude-3-haiku-20240307");

    let (called, renamed) = (&body["messages"][1]["content"], &body["messages"][1]["content"][0]["id"]);
    assert_eq!(body["system"], json!([{"type": "text", "text": "s"}]));
    assert!(called[0]["name"].as_str().unwrap().starts_with("files_read_"));
    assert!(renamed.as_str().unwrap().starts_with("call_"));
    assert_eq!(called[0]["input"], json!({"_raw": "not json"}));
    assert_eq!(called[1], json!({"type": "tool_use", "id": "2", "name": "patch", "input": {"input": "*** free"}}));
    let results = json!({"role": "user", "content": [
        {"type": "tool_result", "tool_use_id": renamed, "content": "ok"},
        {"type": "tool_result", "tool_use_id": "2", "content": "ok"},
        {"type": "text", "text": "b"}]});
    assert_eq!(body["messages"][2], results);
    assert_eq!(body["messages"].as_array().unwrap().len(), 3);
    assert_eq!((&body["temperature"], &body["max_tokens"]), (&json!(1), &json!(4096)));
    assert_eq!(warnings.len(), 3, "{warnings:?}");
}

#[test]
fn thinking_follows_the_model() {
    let ask = |model: &str, reasoning: Reasoning| {
        let request = Request { reasoning: Some(reasoning), max_output: Some(5000), ..Request::default() };
        let (body, _) = written(&request, model);
        json!([body["thinking"], body["output_config"]["effort"]])
    };
    let effort = |word: &str| Reasoning { effort: crate::ir::Effort::parse(word), ..Reasoning::default() };
    let budget = |budget| Reasoning { budget: Some(budget), ..Reasoning::default() };

    assert_eq!(ask("claude-opus-4-6", effort("minimal")), json!([{"type": "adaptive"}, "low"]));
    assert_eq!(ask("claude-opus-4-6", budget(4096)), json!([{"type": "adaptive"}, "high"]));
    assert_eq!(ask("claude-sonnet-4-5", effort("max")), json!([{"type": "enabled", "budget_tokens": 4999}, null]));
    assert_eq!(ask("glm-5", effort("medium")), json!([{"type": "enabled", "budget_tokens": 2048}, null]));
    assert_eq!(ask("claude-sonnet-4-5", budget(0)), json!([{"type": "disabled"}, null]));
}

#[test]
fn a_schema_becomes_a_tool_where_the_model_follows_none() {
    let output = OutputFormat::Schema {
        name: None,
        description: None,
        schema: json!({"type": "object", "properties": {"a": {"type": "integer"}}}),
        strict: None,
    };
    let request = Request { output, ..Request::default() };

    let (newer, _) = written(&request, "claude-sonnet-4-5");
    assert_eq!(newer["output_config"]["format"]["type"], "json_schema");

    let encoded = testing::encoded(&Messages, &request, "claude-3-5-haiku-20241022").unwrap();
    let older: Value = serde_json::from_slice(&encoded.body).unwrap();
    assert_eq!(older["tool_choice"], json!({"type": "tool", "name": "answer"}));
    let answer = json!({"content": [{"type": "tool_use", "id": "t", "name": "answer", "input": {"a": 1}}], "stop_reason": "tool_use"});
    let response = Messages.decode_response(answer.to_string().as_bytes(), &encoded.names).unwrap();
    assert_eq!(response.choices[0].parts, [text(r#"{"a":1}"#)]);
    assert_eq!(response.choices[0].stop, Stop::End);
}

#[test]
fn what_anthropic_cannot_be_told_is_refused_by_name() {
    let field = |request: Request| testing::encoded(&Messages, &request, "claude-opus-4-6").unwrap_err().field;

    assert_eq!(field(Request { seed: Some(1), ..Request::default() }), "seed");
    assert_eq!(field(Request { choices: Some(2), ..Request::default() }), "n");
    assert_eq!(field(Request { output: OutputFormat::Json, ..Request::default() }), "response_format");
    let hosted = Tool::Hosted { dialect: Dialect::Responses, kind: "web_search".to_owned(), definition: json!({}) };
    let request = Request { tools: vec![hosted], ..Request::default() };
    assert_eq!(field(request.clone()), "tools[0]");
    let anyway = testing::encoded_anyway(&Messages, &request, "m").unwrap();
    assert_eq!(anyway.warnings, ["`tools[0]` was left out: `web_search` runs only at its own provider"]);
}

/// An answer as Anthropic streams it, with a ping, redacted thinking, an empty fragment and a call without arguments.
fn stream() -> String {
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "claude", "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm, é"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "EqQB"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "redacted_thinking", "data": "opaque"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2, "content_block": {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "content_block_start", "index": 3, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "I "}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "look."}}),
        json!({"type": "content_block_stop", "index": 3}),
        json!({"type": "content_block_start", "index": 4, "content_block": {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {}}}),
        json!({"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": "{\"at\":"}}),
        json!({"type": "content_block_delta", "index": 4, "delta": {"type": "input_json_delta", "partial_json": "\"it\"}"}}),
        json!({"type": "content_block_stop", "index": 4}),
        json!({"type": "content_block_start", "index": 5, "content_block": {"type": "tool_use", "id": "toolu_2", "name": "list", "input": {}}}),
        json!({"type": "content_block_delta", "index": 5, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_stop", "index": 5}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null}, "usage": {"input_tokens": 5, "cache_creation_input_tokens": 7, "output_tokens": 42}}),
        json!({"type": "message_stop"}),
    ];
    let frame = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    events.iter().map(frame).collect()
}

/// The same answer, whole.
fn whole() -> Value {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude",
        "content": [
            {"type": "thinking", "thinking": "hm, é", "signature": "EqQB"},
            {"type": "redacted_thinking", "data": "opaque"},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"at": "it"}},
            {"type": "tool_use", "id": "toolu_2", "name": "list", "input": {}}
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 5, "cache_read_input_tokens": 100, "cache_creation_input_tokens": 7, "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}, "output_tokens": 42}
    })
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    let whole = Messages.decode_response(whole().to_string().as_bytes(), &Names::default()).unwrap();

    let mut collector = Collector::default();
    for event in testing::events(&Messages, Names::default(), stream().as_bytes(), &[usize::MAX]).unwrap() {
        collector.push(event);
    }

    assert_eq!(collector.finish().unwrap(), whole);
    let usage = whole.usage.unwrap();
    assert_eq!((usage.prompt(), usage.cache_write_5m, usage.cache_write_1h, usage.output), (112, 3, 4, 42));
}

#[test]
fn a_stream_that_breaks_off_is_no_answer() {
    let stream = stream();
    let cut = stream.find("event: message_delta").unwrap();
    let events = testing::events(&Messages, Names::default(), &stream.as_bytes()[..cut], &[usize::MAX]).unwrap();
    assert!(matches!(events.last(), Some(Event::Error { .. })));

    let overloaded =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"later\"}}\n\n";
    let events = testing::events(&Messages, Names::default(), overloaded.as_bytes(), &[usize::MAX]).unwrap();
    assert_eq!(events, [Event::Error { code: "overloaded_error".to_owned(), message: "later".to_owned() }]);
}

proptest! {
    #[test]
    fn the_cut_makes_no_difference(cuts in prop::collection::vec(1_usize..200, 1..20)) {
        let stream = stream();
        let at_once = testing::events(&Messages, Names::default(), stream.as_bytes(), &[usize::MAX]).unwrap();
        let cut = testing::events(&Messages, Names::default(), stream.as_bytes(), &cuts).unwrap();
        prop_assert_eq!(cut, at_once);
    }
}

fn asks_to_see_thinking() -> Request {
    Request {
        reasoning: Some(Reasoning { summary: Some("auto".to_owned()), ..Reasoning::default() }),
        ..Request::default()
    }
}

/// Every block of an answer as its frames give it, put together as clients do. Panics if two are open at once.
fn accumulated(frames: &str) -> Vec<Value> {
    let mut blocks: Vec<Value> = Vec::new();
    let mut open = None;
    for event in frames.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let event: Value = serde_json::from_str(event).unwrap();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!((open, event["index"].as_u64()), (None, Some(blocks.len() as u64)));
                open = event["index"].as_u64();
                blocks.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                assert_eq!(event["index"].as_u64(), open);
                let block = blocks.last_mut().unwrap();
                let delta = event["delta"].as_object().unwrap();
                for (name, value) in delta.iter().filter(|(name, _)| *name != "type") {
                    let so_far = block[name].as_str().unwrap_or_default();
                    block[name] = format!("{so_far}{}", value.as_str().unwrap()).into();
                }
            }
            "content_block_stop" => {
                assert_eq!(event["index"].as_u64(), open);
                open = None;
                let block = blocks.last_mut().unwrap().as_object_mut().unwrap();
                if let Some(json) = block.remove("partial_json") {
                    block.insert("input".to_owned(), serde_json::from_str(json.as_str().unwrap()).unwrap());
                }
            }
            _ => {}
        }
    }
    assert_eq!(open, None);
    blocks
}

#[test]
fn an_agent_accumulates_what_the_provider_said() {
    let response = Messages.decode_response(whole().to_string().as_bytes(), &Names::default()).unwrap();
    let events = testing::events(&Messages, Names::default(), stream().as_bytes(), &[usize::MAX]).unwrap();
    for request in [asks_to_see_thinking(), Request::default()] {
        let frames = testing::frames(&Messages, testing::reply(request.clone()), &events);

        let body: Value =
            serde_json::from_slice(&Messages.encode_response(&response, &testing::reply(request))).unwrap();
        assert_eq!(body["content"].as_array().unwrap(), &accumulated(&frames));
        assert!(frames.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    }
}

#[test]
fn interleaved_calls_become_one_block_after_another() {
    let start = |index, id: &str| Event::PartStart {
        index,
        kind: PartKind::ToolCall { id: id.to_owned(), name: "t".to_owned() },
    };
    let delta = |index, text: &str| Event::Delta { index, text: text.to_owned() };
    let events = [
        Event::Start { id: String::new(), model: String::new() },
        start(0, "a"),
        start(1, "b"),
        delta(0, "{\"n\":"),
        delta(1, "{\"n\":2"),
        delta(0, "1}"),
        delta(1, "}"),
        Event::PartEnd { index: 1 },
        Event::PartEnd { index: 0 },
        Event::Stop(Stop::ToolCalls),
        Event::End,
    ];

    let blocks = accumulated(&testing::frames(&Messages, testing::reply(Request::default()), &events));

    assert_eq!(
        Value::from(blocks),
        json!([{"type": "tool_use", "id": "a", "name": "t", "input": {"n": 1}}, {"type": "tool_use", "id": "b", "name": "t", "input": {"n": 2}}])
    );
}

#[test]
fn signatures_of_other_providers_come_back_to_them() {
    let google = |value: &str| Signature { dialect: Dialect::Gemini, item_id: None, value: value.to_owned() };
    let openai = Signature { dialect: Dialect::Responses, item_id: Some("rs_1".to_owned()), value: "gAAA".to_owned() };
    let mut signed = ToolCall {
        id: "call_1".to_owned(),
        name: "look".to_owned(),
        arguments: "{}".to_owned(),
        ..ToolCall::default()
    };
    signed.signature = Some(google("sig"));
    let parts = vec![
        Part::Reasoning(Thought { text: "why".to_owned(), signature: Some(openai), redacted: false }),
        Part::ToolCall(signed),
    ];
    let choices = vec![crate::ir::Choice { parts: parts.clone(), ..crate::ir::Choice::default() }];
    let response = crate::ir::Response { choices, ..crate::ir::Response::default() };

    let answer: Value =
        serde_json::from_slice(&Messages.encode_response(&response, &testing::reply(Request::default()))).unwrap();
    let next = decoded(&json!({"messages": [
        {"role": "assistant", "content": answer["content"]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "x"}]}]}));

    assert_eq!(next.turns[0].parts, parts);
    // Anthropic itself never sees them.
    let (body, _) = written(&next, "claude-opus-4-6");
    assert!(!body.to_string().contains("sealed") && !body.to_string().contains("sig\""));
}

#[test]
fn an_agent_that_did_not_ask_sees_no_thinking_without_a_call() {
    let thought = Part::Reasoning(Thought { text: "why".to_owned(), ..Thought::default() });
    let content = |parts: Vec<Part>| {
        let choices = vec![crate::ir::Choice { parts, ..crate::ir::Choice::default() }];
        let response = crate::ir::Response { choices, ..crate::ir::Response::default() };
        let body: Value =
            serde_json::from_slice(&Messages.encode_response(&response, &testing::reply(Request::default()))).unwrap();
        let kinds = body["content"].as_array().unwrap().iter().map(|block| block["type"].as_str().unwrap().to_owned());
        kinds.collect::<Vec<_>>()
    };

    assert_eq!(content(vec![thought.clone(), text("so")]), ["text"]);
    assert_eq!(content(vec![thought, call("1", "t", "{}")]), ["thinking", "tool_use"]);
}

#[test]
fn an_error_in_the_middle_is_one_in_anthropics_words() {
    let error = Event::Error { code: "throttlingException".to_owned(), message: "later".to_owned() };
    let events = [Event::Start { id: String::new(), model: String::new() }, error, Event::End];

    let frames = testing::frames(&Messages, testing::reply(Request::default()), &events);

    let last =
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"rate_limit_error\",\"message\":\"later\"}}\n\n";
    assert!(frames.ends_with(last), "{frames}");
}

#[test]
fn a_stream_gives_tools_their_names_and_forms_back() {
    let names = Names {
        renamed: vec![("list".to_owned(), "files/list".to_owned())],
        custom: vec!["look".to_owned()],
        ..Names::default()
    };
    let stream = stream().replace(r#"{\"at\":"#, r#"{\"input\":"#);

    let mut collector = Collector::default();
    for event in testing::events(&Messages, names, stream.as_bytes(), &[7]).unwrap() {
        collector.push(event);
    }

    let parts = collector.finish().unwrap().choices.remove(0).parts;
    assert_eq!(parts[3..], [call("toolu_1", "look", "it"), call("toolu_2", "files/list", "{}")]);
}
