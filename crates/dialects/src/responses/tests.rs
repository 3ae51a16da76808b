use proptest::prelude::*;
use serde_json::{Value, json};

use super::Responses;
use crate::{
    Dialect, Quirks,
    ir::{Event, Part, Request, Response, Role, Signature, Thought, Tool, ToolCall, ToolChoice, Turn},
    translate::{Codec as _, Encoded, Names, Target, testing},
};

fn decoded(body: &Value) -> Request {
    Responses.decode_request(body.to_string().as_bytes(), &testing::Open).unwrap()
}

fn refused(body: &Value) -> String {
    Responses.decode_request(body.to_string().as_bytes(), &testing::Open).unwrap_err().why
}

fn written(request: &Request, drop_unsupported: bool) -> Result<Encoded, String> {
    let quirks = Quirks::default();
    let target = Target { model: "m", max_output: None, quirks: &quirks, drop_unsupported };
    Responses.encode_request(request, &target).map_err(|refused| refused.field)
}

fn body_of(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.body).unwrap()
}

fn agent_request() -> Value {
    json!({
        "model": "m", "instructions": "Be brief.",
        "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "Look."},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBO", "detail": "low"},
                {"type": "input_image", "file_id": "file-1"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"},
                {"type": "input_file", "file_url": "https://example.com/a.pdf"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "gAAA"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "I look."}]},
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{\"at\": 1.0}"},
            {"type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": "*** Begin"},
            {"type": "function_call_output", "call_id": "call_1", "output": [
                {"type": "input_text", "text": "seen"}, {"type": "input_image", "image_url": "https://example.com/b.png"}]},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": "done"},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Now in French."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go on."}]}
        ],
        "tools": [
            {"type": "function", "name": "look", "description": "Looks.", "parameters": {"type": "object"}, "strict": true},
            {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
            {"type": "web_search", "search_context_size": "low"}
        ],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [
            {"type": "function", "name": "look"}, {"type": "custom", "name": "patch"}]},
        "parallel_tool_calls": true, "max_output_tokens": 100, "temperature": 0.10, "top_p": 1,
        "reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": true}, "verbosity": "low"},
        "user": "u", "prompt_cache_key": "k", "service_tier": "flex", "metadata": {"a": "b"},
        "store": false, "stream": true, "max_tool_calls": 3
    })
}

#[test]
fn what_is_read_is_written_as_it_was() {
    let expected = agent_request();
    let encoded = written(&decoded(&expected), false).unwrap();
    assert_eq!(body_of(&encoded), expected);
    assert_eq!(encoded.warnings, Vec::<String>::new());
}

/// What Codex sends in the middle of a tool loop.
fn codex_request() -> Value {
    json!({
        "model": "m", "stream": true, "store": false, "include": ["reasoning.encrypted_content"],
        "input": [
            {"type": "message", "id": "msg_1", "role": "developer", "content": [{"type": "input_text", "text": "Rules."}]},
            {"type": "message", "id": "msg_2", "role": "user", "content": [{"type": "input_text", "text": "Try it."}]},
            {"type": "reasoning", "summary": [], "encrypted_content": "sealed|\"messages\"||hidden:EqQB"},
            {"type": "function_call", "status": "completed", "id": "fc_1", "name": "echo_probe", "namespace": "mcp__probe",
                "arguments": "{}", "call_id": "call_1"},
            {"type": "reasoning", "summary": [], "encrypted_content": "sealed|\"gemini\"|call_1|call:CiQB"},
            {"type": "function_call_output", "id": "fco_1", "call_id": "call_1", "output": [{"type": "input_text", "text": "ok"}]}
        ],
        "tools": [
            {"type": "function", "name": "exec_command", "description": "Runs.", "strict": false, "parameters": {"type": "object"}},
            {"type": "namespace", "name": "mcp__probe", "description": "A server.", "tools": [
                {"type": "function", "name": "echo_probe", "description": "Echoes.", "strict": false, "parameters": {"type": "object"}, "defer_loading": true}]},
            {"type": "web_search", "external_web_access": false}
        ],
        "tool_choice": "auto", "parallel_tool_calls": true, "reasoning": {"summary": "auto"},
        "prompt_cache_key": "k", "client_metadata": {"session_id": "s"}
    })
}

#[test]
fn codex_is_understood_namespaces_and_all() {
    let request = decoded(&codex_request());
    let names: Vec<&str> = request
        .tools
        .iter()
        .map(|tool| match tool {
            Tool::Function { name, .. } | Tool::Custom { name, .. } => name.as_str(),
            Tool::Hosted { kind, .. } => kind.as_str(),
        })
        .collect();
    assert_eq!(names, ["exec_command", "mcp__probe__echo_probe", "web_search"]);
    assert_eq!((request.system.len(), request.turns.len()), (1, 3));
    let [Part::Reasoning(thought), Part::ToolCall(call)] = request.turns[1].parts.as_slice() else {
        panic!("{:?}", request.turns[1])
    };
    assert!(thought.redacted);
    assert_eq!(thought.signature.as_ref().unwrap().value, "EqQB");
    assert_eq!(call.name, "mcp__probe__echo_probe");
    assert_eq!(
        call.signature.as_ref().unwrap(),
        &Signature { dialect: Dialect::Gemini, item_id: None, value: "CiQB".to_owned() }
    );

    let answer = Response {
        choices: vec![crate::ir::Choice {
            parts: vec![Part::ToolCall(ToolCall {
                id: "c".to_owned(),
                name: "mcp__probe__echo_probe".to_owned(),
                ..ToolCall::default()
            })],
            ..Default::default()
        }],
        ..Response::default()
    };
    let body: Value =
        serde_json::from_slice(&Responses.encode_response(&answer, &testing::reply(request.clone()))).unwrap();
    assert_eq!(
        (&body["output"][0]["name"], &body["output"][0]["namespace"]),
        (&json!("echo_probe"), &json!("mcp__probe"))
    );
    let frames = testing::frames(&Responses, testing::reply(request), &testing::told(&answer));
    assert!(frames.contains(r#""name":"echo_probe","arguments":"","namespace":"mcp__probe""#), "{frames}");
}

#[test]
fn a_tool_that_only_its_provider_runs_is_refused_elsewhere_or_left_out_on_demand() {
    let request = decoded(&codex_request());
    let chat = crate::translate::codec(Dialect::Chat);
    assert_eq!(testing::encoded(chat, &request, "m").unwrap_err().field, "tools[2] (web_search)");
    let anyway = testing::encoded_anyway(chat, &request, "m").unwrap();
    assert_eq!(body_of(&anyway)["tools"].as_array().unwrap().len(), 2);

    let mut body = codex_request();
    body["tools"].as_array_mut().unwrap().pop();
    testing::encoded(chat, &decoded(&body), "m").unwrap();
    assert!(anyway.warnings.iter().any(|warning| warning.contains("web_search")), "{:?}", anyway.warnings);
}

#[test]
fn mistakes_are_named_where_they_are() {
    let cases = [
        (json!({"input": 5}), "`input` is neither a string nor a list of items"),
        (
            json!({"input": [{"role": "user", "content": [{"type": "input_video"}]}]}),
            "`input[0].content[0].type` is a kind of content that cannot be sent to this model",
        ),
        (
            json!({"input": [{"type": "item_reference", "id": "x"}]}),
            "`input[0].type` refers to an item stored elsewhere; send the item itself",
        ),
        (
            json!({"input": [{"type": "function_call", "call_id": "y", "name": "f", "arguments": ""}]}),
            "tool calls without a result: `y`",
        ),
        (json!({"input": "x", "tools": [{"name": "f"}]}), "`tools[0].type` is missing"),
    ];
    for (body, why) in cases {
        assert_eq!(refused(&body), why);
    }
}

#[test]
fn what_is_stored_elsewhere_is_refused_by_name() {
    let stored = json!({"previous_response_id": "resp_1", "input": [
        {"type": "function_call_output", "call_id": "y", "output": "ok"}]});
    let searched = json!({"input": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}]});
    let chat = crate::translate::codec(Dialect::Chat);
    assert_eq!(testing::encoded(chat, &decoded(&stored), "m").unwrap_err().field, "previous_response_id");
    assert_eq!(testing::encoded(chat, &decoded(&searched), "m").unwrap_err().field, "input[0] (web_search_call)");
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let with = |change: fn(&mut Request)| {
        let mut request = Request::default();
        change(&mut request);
        written(&request, false).unwrap_err()
    };
    assert_eq!(with(|request| request.stop = vec!["x".to_owned()]), "stop");
    assert_eq!(with(|request| request.seed = Some(1)), "seed");
    assert_eq!(with(|request| request.top_k = Some(1)), "top_k");
    assert_eq!(with(|request| request.choices = Some(2)), "n");
}

#[test]
fn a_failed_result_says_so_in_words() {
    let result = Part::ToolResult {
        call_id: "c".to_owned(),
        name: None,
        parts: vec![Part::Text { text: "no such file".to_owned(), cache: None }],
        is_error: Some(true),
        cache: None,
    };
    let request = Request { turns: vec![Turn { role: Role::User, parts: vec![result] }], ..Request::default() };
    assert_eq!(body_of(&written(&request, false).unwrap())["input"][0]["output"], "Error: no such file");
}

#[test]
fn a_choice_of_one_tool_keeps_its_kind() {
    let request = decoded(
        &json!({"input": "x", "tools": [{"type": "custom", "name": "patch"}], "tool_choice": {"type": "custom", "name": "patch"}}),
    );
    assert_eq!(request.tool_choice, Some(ToolChoice::Tool("patch".to_owned())));
    assert_eq!(body_of(&written(&request, false).unwrap())["tool_choice"], json!({"type": "custom", "name": "patch"}));
}

/// A stream and what it means.
const STREAMS: &[(&str, &str, &str)] = &[
    (
        "thinking, text and a call",
        r#"
event: response.created
data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"m","status":"in_progress","output":[]}}

event: response.output_item.added
data: {"type":"response.output_item.added","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[]}}

event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"h"}

event: response.reasoning_summary_text.delta
data: {"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":1,"delta":"m"}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"h"},{"type":"summary_text","text":"m"}],"encrypted_content":"gAAA"}}

event: response.output_text.delta
data: {"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"Hé","obfuscation":"x"}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":1,"item":{"id":"msg_1","type":"message","content":[{"type":"output_text","text":"Héllo"}]}}

event: response.output_item.added
data: {"type":"response.output_item.added","output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"look","arguments":""}}

event: response.function_call_arguments.delta
data: {"type":"response.function_call_arguments.delta","item_id":"fc_1","output_index":2,"delta":"{\"x\""}

event: response.output_item.done
data: {"type":"response.output_item.done","output_index":2,"item":{"id":"fc_1","type":"function_call","call_id":"call_1","name":"look","arguments":"{\"x\":1}"}}

event: response.completed
data: {"type":"response.completed","response":{"id":"resp_1","status":"completed","output":[],"usage":{"input_tokens":9,"output_tokens":7,"output_tokens_details":{"reasoning_tokens":4},"total_tokens":16}}}

"#,
        "thought h\n\nm gAAA | text Héllo | call call_1 look {\"x\":1} | ToolCalls | in 9 out 3",
    ),
    (
        "everything only in the end",
        r#"
data: {"type":"response.completed","response":{"id":"resp_1","model":"m","status":"completed","output":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"},{"type":"message","content":[{"type":"output_text","text":"a"}]}]}}

"#,
        "thought  gAAA | text a | End",
    ),
    (
        "cut at the longest answer",
        r#"
data: {"type":"response.output_text.delta","output_index":0,"content_index":0,"delta":"a"}

data: {"type":"response.incomplete","response":{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[]}}

"#,
        "text a | Length",
    ),
    (
        "a refusal",
        r#"
data: {"type":"response.refusal.delta","output_index":0,"content_index":0,"delta":"no"}

data: {"type":"response.completed","response":{"status":"completed","output":[]}}

"#,
        "refusal no | Filtered",
    ),
    (
        "a tool of the provider's own in between",
        r#"
data: {"type":"response.output_item.added","output_index":0,"item":{"type":"web_search_call","id":"ws"}}

data: {"type":"response.web_search_call.completed","output_index":0,"item_id":"ws"}

data: {"type":"response.output_item.done","output_index":0,"item":{"type":"web_search_call","id":"ws"}}

data: {"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"a"}

data: {"type":"response.completed","response":{"status":"completed","output":[]}}

"#,
        "text a | End",
    ),
    (
        "an error before anything",
        "event: error\ndata: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"slow\"}\n\n",
        "error rate_limit_exceeded: slow",
    ),
    (
        "a failure",
        "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"gone\"}}}\n\n",
        "error server_error: gone",
    ),
    (
        "broken off",
        "data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"a\"}\n\n",
        "error upstream_truncated: the provider closed the stream before the end of its answer",
    ),
];

fn meaning(events: Vec<Event>) -> String {
    for event in &events {
        if let Event::Error { code, message } = event {
            return format!("error {code}: {message}");
        }
    }
    let answer = testing::collected(events).unwrap();
    let mut told: Vec<String> = answer.choices[0].parts.iter().map(part_meaning).collect();
    told.push(format!("{:?}", answer.choices[0].stop));
    told.extend(answer.usage.map(|tokens| format!("in {} out {}", tokens.prompt(), tokens.output)));
    told.join(" | ")
}

fn part_meaning(part: &Part) -> String {
    match part {
        Part::Text { text, .. } => format!("text {text}"),
        Part::Refusal(text) => format!("refusal {text}"),
        Part::Reasoning(thought) => {
            let signature =
                thought.signature.iter().fold(String::new(), |_, signature| format!(" {}", signature.value));
            format!("thought {}{signature}", thought.text)
        }
        Part::ToolCall(call) => format!("call {} {} {}", call.id, call.name, call.arguments),
        other => panic!("{other:?} in an answer"),
    }
}

#[test]
fn every_stream_is_understood_however_it_is_cut() {
    for (name, stream, expected) in STREAMS {
        for cuts in [&[stream.len()][..], &[1], &[3, 1, 7], &[64]] {
            let events = testing::events(&Responses, Names::default(), stream.as_bytes(), cuts).unwrap();
            assert_eq!(meaning(events), *expected, "{name}");
        }
    }
}

/// The events of a stream, one line each: type, and where and what it is about.
fn outline(frames: &str) -> Vec<String> {
    let events = frames.split("\n\n").filter_map(|frame| frame.split_once("\ndata: "));
    events
        .enumerate()
        .map(|(n, (event, data))| {
            let data: Value = serde_json::from_str(data).unwrap();
            assert_eq!(data["sequence_number"], n);
            assert_eq!(event, format!("event: {}", data["type"].as_str().unwrap()));
            let kind = data["type"].as_str().unwrap().trim_start_matches("response.");
            let said =
                ["delta", "text", "arguments", "input", "refusal"].iter().find_map(|name| data.get(name)?.as_str());
            match (data.get("output_index"), said) {
                (Some(index), Some(said)) => format!("{index} {kind} {said}"),
                (Some(index), None) => format!("{index} {kind}"),
                _ => kind.to_owned(),
            }
        })
        .collect()
}

#[test]
fn an_agent_gets_every_item_announced_told_and_told_again_whole() {
    let signature = Signature { dialect: Dialect::Messages, item_id: None, value: "EqQB".to_owned() };
    let answer = Response {
        choices: vec![crate::ir::Choice {
            parts: vec![
                Part::Reasoning(Thought { text: "h".to_owned(), signature: Some(signature.clone()), redacted: false }),
                Part::Text { text: "abcd".to_owned(), cache: None },
                Part::ToolCall(ToolCall {
                    id: "c".to_owned(),
                    name: "look".to_owned(),
                    arguments: "{}".to_owned(),
                    signature: Some(signature),
                    cache: None,
                }),
                Part::ToolCall(ToolCall {
                    id: "d".to_owned(),
                    name: "patch".to_owned(),
                    arguments: "***".to_owned(),
                    ..ToolCall::default()
                }),
            ],
            stop: crate::ir::Stop::ToolCalls,
            logprobs: None,
        }],
        ..Response::default()
    };
    let custom = Tool::Custom { name: "patch".to_owned(), description: None, format: None };
    let frames = testing::frames(
        &Responses,
        testing::reply(Request { tools: vec![custom], ..Request::default() }),
        &testing::told(&answer),
    );
    assert_eq!(
        outline(&frames),
        [
            "created",
            "in_progress",
            "0 output_item.added",
            "0 reasoning_summary_part.added",
            "0 reasoning_summary_text.delta h",
            "0 reasoning_summary_text.done h",
            "0 reasoning_summary_part.done",
            "0 output_item.done",
            "1 output_item.added",
            "1 content_part.added",
            "1 output_text.delta abc",
            "1 output_text.delta d",
            "1 output_text.done abcd",
            "1 content_part.done",
            "1 output_item.done",
            "2 output_item.added",
            "2 function_call_arguments.delta {}",
            "2 function_call_arguments.done {}",
            "2 output_item.done",
            "3 output_item.added",
            "3 output_item.done",
            "4 output_item.added",
            "4 custom_tool_call_input.delta ***",
            "4 custom_tool_call_input.done ***",
            "4 output_item.done",
            "completed",
        ]
    );
}

#[test]
fn a_stream_that_breaks_off_fails() {
    let events = [Event::Error { code: "overloaded".to_owned(), message: "later".to_owned() }];
    let frames = testing::frames(&Responses, testing::reply(Request::default()), &events);
    assert_eq!(outline(&frames), ["created", "in_progress", "failed", "error"]);
}

proptest! {
    #[test]
    fn what_is_streamed_is_what_is_given_whole(answer in testing::answers()) {
        let whole = Responses.encode_response(&answer, &testing::reply(Request::default()));
        let frames = testing::frames(&Responses, testing::reply(Request::default()), &testing::told(&answer));
        let last = frames.trim_end().rsplit_once("\ndata: ").unwrap().1;
        let last: Value = serde_json::from_str(last).unwrap();
        prop_assert_eq!(&last["response"], &serde_json::from_slice::<Value>(&whole).unwrap());

        let streamed = testing::events(&Responses, Names::default(), frames.as_bytes(), &[13]).unwrap();
        let streamed = testing::collected(streamed).unwrap();
        let whole = Responses.decode_response(&whole, &Names::default()).unwrap();
        prop_assert_eq!(&streamed.choices, &whole.choices);
        prop_assert_eq!(streamed.usage, answer.usage);
    }

    #[test]
    fn what_an_agent_sends_back_is_what_the_model_said(answer in testing::answers()) {
        let body = Responses.encode_response(&answer, &testing::reply(Request::default()));
        let mut input = serde_json::from_slice::<Value>(&body).unwrap()["output"].take();
        for part in &answer.choices[0].parts {
            if let Part::ToolCall(call) = part {
                input.as_array_mut().unwrap().push(json!({"type": "function_call_output", "call_id": call.id, "output": ""}));
            }
        }
        let next = decoded(&json!({ "input": input }));
        let said = next.turns.first().map(|turn| turn.parts.clone()).unwrap_or_default();
        prop_assert_eq!(said, answer.choices[0].parts.clone());
    }
}
