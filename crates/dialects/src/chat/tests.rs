use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Chat, recorded::STREAMS};
use crate::{
    Dialect, Quirks,
    ir::{Event, Part, PartKind, Request, Response, Role, Signature, Stop, Thought, ToolChoice},
    translate::{Codec as _, Encoded, Names, Reply, Target, testing},
};

fn decoded(body: &Value) -> Request {
    Chat.decode_request(body.to_string().as_bytes(), &testing::Open).unwrap()
}

fn refused(body: &Value) -> String {
    Chat.decode_request(body.to_string().as_bytes(), &testing::Open).unwrap_err().why
}

fn written_to(request: &Request, quirks: &Quirks, drop_unsupported: bool) -> Result<Encoded, String> {
    let target = Target { model: "m", max_output: None, quirks, drop_unsupported };
    Chat.encode_request(request, &target).map_err(|refused| refused.field)
}

fn body_of(encoded: &Encoded) -> Value {
    serde_json::from_slice(&encoded.body).unwrap()
}

fn agent_request() -> Value {
    json!({
        "model": "m",
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [
                {"type": "text", "text": "Look."},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO", "detail": "low"}},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}}]},
            {"role": "assistant", "content": "I look.", "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": "{\"at\": 1.0}"}},
                {"id": "call_2", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}]},
            {"role": "tool", "tool_call_id": "call_1", "content": "seen"},
            {"role": "tool", "tool_call_id": "call_2", "content": [
                {"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
            {"role": "developer", "content": "Now in French."},
            {"role": "user", "content": "Go on."}
        ],
        "tools": [
            {"type": "function", "function": {"name": "look", "description": "Looks.", "parameters": {"type": "object"}, "strict": true}},
            {"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}
        ],
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [
            {"type": "function", "function": {"name": "look"}}, {"type": "custom", "custom": {"name": "patch"}}]}},
        "parallel_tool_calls": false,
        "max_completion_tokens": 100, "temperature": 0.10, "top_p": 1, "stop": ["a", "b"], "seed": -7,
        "frequency_penalty": 0.5, "presence_penalty": -0.5,
        "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}, "strict": true}},
        "reasoning_effort": "high", "verbosity": "low", "user": "u", "prompt_cache_key": "k", "service_tier": "flex",
        "store": true, "metadata": {"a": "b"}, "logit_bias": {"5": 1},
        "stream": true, "stream_options": {"include_usage": true}
    })
}

#[test]
fn what_is_read_is_written_as_it_was() {
    let mut expected = agent_request();
    let request = decoded(&expected);
    let encoded = written_to(&request, &Quirks::default(), false).unwrap();
    // `null` is an absent field, and the leading instructions stay one message.
    expected["reasoning_effort"] = "high".into();
    assert_eq!(body_of(&encoded), expected);
    assert_eq!(encoded.warnings, Vec::<String>::new());
}

#[test]
fn older_and_odder_spellings_are_understood() {
    let request = decoded(&json!({
        "model": "m", "max_tokens": 5, "stop": "x", "tool_choice": "any", "reasoning_effort": null, "safety_identifier": "s",
        "reasoning": {"max_tokens": 2000}, "functions": null, "modalities": ["text"],
        "messages": [{"role": "system", "content": "a"}, {"role": "system", "content": "b"}, {"role": "user", "name": null, "content": ""}]
    }));
    assert_eq!((request.max_output, request.system.len(), request.turns.len()), (Some(5), 2, 1));
    assert_eq!((request.stop.as_slice(), request.tool_choice), (&["x".to_owned()][..], Some(ToolChoice::Required)));
    assert_eq!(request.reasoning.unwrap().budget, Some(2000));
    assert_eq!((request.user.as_deref(), request.extra), (Some("s"), None));
}

#[test]
fn mistakes_are_named_where_they_are() {
    let with = |message: Value| json!({"messages": [{"role": "user", "content": "x"}, message]});
    let cases = [
        (json!([]), "the body is not a JSON object"),
        (json!({"messages": [{"content": "x"}]}), "`messages[0].role` is missing"),
        (
            with(json!({"role": "robot"})),
            "`messages[1].role` is none of `system`, `developer`, `user`, `assistant`, `tool`",
        ),
        (
            with(json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]})),
            "`messages[1].content[0].image_url.url` is a broken `data:` URL",
        ),
        (
            with(json!({"role": "tool", "tool_call_id": "x", "content": ""})),
            "results of tool calls that are not in the conversation: `x`",
        ),
        (
            with(
                json!({"role": "assistant", "tool_calls": [{"id": "y", "function": {"name": "f", "arguments": "{}"}}]}),
            ),
            "tool calls without a result: `y`",
        ),
        (
            json!({"messages": [], "reasoning_effort": "lots"}),
            "`reasoning_effort` is none of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`",
        ),
    ];
    for (body, why) in cases {
        assert_eq!(refused(&body), why);
    }
}

#[test]
fn every_accent_is_spoken() {
    let quirks = Quirks {
        max_tokens_field: "max_tokens".to_owned(),
        seed_field: "random_seed".to_owned(),
        stream_usage: false,
        parallel_tool_calls: false,
        developer_role: false,
        tool_choice_required: Some("any".to_owned()),
        reasoning_field: Some("reasoning_content".to_owned()),
        reasoning_echo: true,
        reasoning_effort: false,
        drop_params: vec!["frequency_penalty".to_owned(), "strict".to_owned()],
        strip_schema_keywords: vec!["additionalProperties".to_owned()],
        tool_id_length: Some(9),
        openai_additions: false,
        content_parts: false,
        ..Quirks::default()
    };
    let mut body = agent_request();
    body["tools"][0]["function"]["parameters"]["additionalProperties"] = false.into();
    let encoded = written_to(&decoded(&body), &quirks, false).unwrap();
    let sent = body_of(&encoded);

    assert_eq!((&sent["max_tokens"], &sent["random_seed"]), (&json!(100), &json!(-7)));
    for absent in [
        "verbosity",
        "prompt_cache_key",
        "stream_options",
        "parallel_tool_calls",
        "reasoning_effort",
        "frequency_penalty",
    ] {
        assert!(sent.get(absent).is_none(), "{absent}");
    }
    assert_eq!(sent["tool_choice"], "any");
    assert_eq!(
        sent["tools"][0]["function"],
        json!({"name": "look", "description": "Looks.", "parameters": {"type": "object"}})
    );
    assert_eq!(sent["tools"][1]["function"]["parameters"]["required"], json!(["input"]));
    let messages = sent["messages"].as_array().unwrap();
    assert_eq!(messages[0]["role"], "system");
    assert_eq!(messages[2]["reasoning_content"], "", "demanded back, though there was none");
    let calls = messages[2]["tool_calls"].as_array().unwrap();
    assert_eq!(calls[1]["function"], json!({"name": "patch", "arguments": r#"{"input":"*** Begin"}"#}));
    assert_eq!(messages[3]["tool_call_id"], calls[0]["id"]);
    assert_eq!(calls[0]["id"].as_str().unwrap().len(), 9);
    assert_eq!(messages[4]["content"], "a\n\nb");
    assert_eq!(encoded.names.custom, ["patch"]);
    assert_eq!(encoded.warnings.len(), 4, "{:?}", encoded.warnings);
}

#[test]
fn a_schema_a_server_does_not_know_is_a_tool_whose_arguments_are_the_answer() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}});
    let request = decoded(&json!({"messages": [{"role": "user", "content": "x"}], "response_format": format}));
    let quirks = Quirks { json_schema: false, ..Quirks::default() };
    let encoded = written_to(&request, &quirks, false).unwrap();
    assert_eq!(body_of(&encoded)["tool_choice"], json!({"type": "function", "function": {"name": "n"}}));

    let call = json!({"id": "c", "type": "function", "function": {"name": "n", "arguments": "{\"a\":1}"}});
    let answer =
        json!({"choices": [{"message": {"content": null, "tool_calls": [call]}, "finish_reason": "tool_calls"}]});
    let choice = Chat.decode_response(answer.to_string().as_bytes(), &encoded.names).unwrap().choices.remove(0);
    assert_eq!(choice.parts, [Part::Text { text: "{\"a\":1}".to_owned(), cache: None }]);
    assert_eq!(choice.stop, Stop::End);

    let frame = format!(
        "data: {}\n\ndata: [DONE]\n\n",
        json!({"choices": [{"delta": {"tool_calls": [call]}, "finish_reason": "stop"}]})
    );
    let streamed = testing::collected(testing::events(&Chat, encoded.names, frame.as_bytes(), &[7]).unwrap()).unwrap();
    assert_eq!(streamed.choices, [choice]);
}

#[test]
fn what_cannot_be_said_is_refused_by_name() {
    let cases = [
        ("top_k", json!({"top_k": 5})),
        ("stop", json!({"stop": ["1", "2", "3", "4", "5"]})),
        ("logprobs", json!({"logprobs": true, "stream": true})),
        ("n", json!({"n": 2, "stream": true})),
    ];
    for (field, mut body) in cases {
        body["messages"] = json!([{"role": "user", "content": "x"}]);
        let request = decoded(&body);
        assert_eq!(written_to(&request, &Quirks::default(), false).unwrap_err(), field);
        assert_eq!(written_to(&request, &Quirks::default(), true).unwrap().warnings.len(), 1);
    }
}

#[test]
fn thinking_goes_back_only_to_whom_it_came_from() {
    let thought = |dialect, value: &str| {
        let signature = Some(Signature { dialect, item_id: None, value: value.to_owned() });
        Part::Reasoning(Thought { text: "hm".to_owned(), signature, redacted: false })
    };
    let details = r#"[{"type":"reasoning.text","text":"hm"}]"#;
    let said = Part::Text { text: "yes".to_owned(), cache: None };
    let of = |thought| Request {
        turns: vec![crate::ir::Turn { role: Role::Assistant, parts: vec![thought, said.clone()] }],
        ..Request::default()
    };
    let own = written_to(&of(thought(Dialect::Chat, details)), &Quirks::default(), false).unwrap();
    assert_eq!(body_of(&own)["messages"][0]["reasoning_details"], json!([{"type": "reasoning.text", "text": "hm"}]));

    let foreign = written_to(&of(thought(Dialect::Messages, "EqQB")), &Quirks::default(), false).unwrap();
    assert_eq!(body_of(&foreign)["messages"], json!([{"role": "assistant", "content": "yes"}]));
    assert_eq!(foreign.warnings.len(), 1);
}

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
            let value =
                thought.signature.as_ref().map(|signature| signature.value.as_str()).filter(|value| !value.is_empty());
            let signature = value.map(|value| format!(" {value}")).unwrap_or_default();
            format!("thought {}{signature}", thought.text)
        }
        Part::ToolCall(call) => {
            let id = if call.id.starts_with("call_") { "?" } else { &call.id };
            format!("call {id} {} {}", call.name, call.arguments)
        }
        other => panic!("{other:?} in an answer"),
    }
}

#[test]
fn every_servers_stream_is_understood_however_it_is_cut() {
    for (name, stream, expected) in STREAMS {
        let whole = testing::events(&Chat, Names::default(), stream.as_bytes(), &[stream.len()]).unwrap();
        assert_eq!(meaning(whole.clone()), *expected, "{name}");
        for cuts in [&[1][..], &[3, 1, 7], &[64]] {
            assert_eq!(testing::events(&Chat, Names::default(), stream.as_bytes(), cuts).unwrap(), whole, "{name}");
        }
    }
}

#[test]
fn ids_that_were_made_up_differ_and_stay() {
    let stream = STREAMS[4].1.as_bytes();
    let ids = |events: Vec<Event>| -> Vec<String> {
        let id = |event| match event {
            Event::PartStart { kind: PartKind::ToolCall { id, .. }, .. } => Some(id),
            _ => None,
        };
        events.into_iter().filter_map(id).collect()
    };
    let first = ids(testing::events(&Chat, Names::default(), stream, &[9]).unwrap());
    assert_eq!(first, ids(testing::events(&Chat, Names::default(), stream, &[1]).unwrap()));
    assert_ne!(first[0], first[1]);
}

#[test]
fn thinking_between_tags_is_thinking_where_a_server_writes_it_so() {
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"<think>\\nh\"}}]}\n\n\
        data: {\"choices\":[{\"delta\":{\"content\":\"m</think>\\n\\na\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let tagged = Names { think_tags: true, ..Names::default() };
    assert_eq!(
        meaning(testing::events(&Chat, tagged.clone(), stream.as_bytes(), &[5]).unwrap()),
        "thought hm | text a | End"
    );
    let plain = testing::events(&Chat, Names::default(), stream.as_bytes(), &[5]).unwrap();
    assert_eq!(meaning(plain), "text <think>\nhm</think>\n\na | End");

    let whole = json!({"choices": [{"message": {"content": "<think>\nhm</think>\n\na"}, "finish_reason": "stop"}]});
    let parts = Chat.decode_response(whole.to_string().as_bytes(), &tagged).unwrap().choices.remove(0).parts;
    assert_eq!(parts.iter().map(part_meaning).collect::<Vec<_>>(), ["thought hm", "text a"]);
}

#[test]
fn an_agent_gets_role_first_ids_once_and_usage_only_when_it_asked() {
    let answer = Response {
        id: "msg_1".to_owned(),
        choices: vec![crate::ir::Choice {
            parts: vec![
                Part::Text { text: "hm".to_owned(), cache: None },
                Part::ToolCall(crate::ir::ToolCall {
                    id: "a".to_owned(),
                    name: "look".to_owned(),
                    arguments: "{\"x\":1}".to_owned(),
                    ..Default::default()
                }),
            ],
            stop: Stop::ToolCalls,
            logprobs: None,
        }],
        usage: Some(preloop_types::Tokens { input: 3, output: 4, ..Default::default() }),
        ..Response::default()
    };
    let frames = |include_usage| {
        let reply = testing::reply(Request { include_usage, stream: true, ..Request::default() });
        testing::frames(&Chat, reply, &testing::told(&answer))
    };
    let head = r#"{"id":"chatcmpl-msg_1","object":"chat.completion.chunk","created":1790000000,"model":"the-model","choices":[{"index":0,"#;
    insta::assert_snapshot!(frames(false).replace(head, "").replace(r#","logprobs":null"#, ""), @r#"
    data: "delta":{"role":"assistant","content":""},"finish_reason":null}]}

    data: "delta":{"content":"hm"},"finish_reason":null}]}

    data: "delta":{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"look","arguments":""}}]},"finish_reason":null}]}

    data: "delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x"}}]},"finish_reason":null}]}

    data: "delta":{"tool_calls":[{"index":0,"function":{"arguments":"\":1"}}]},"finish_reason":null}]}

    data: "delta":{"tool_calls":[{"index":0,"function":{"arguments":"}"}}]},"finish_reason":null}]}

    data: "delta":{},"finish_reason":"tool_calls"}]}

    data: [DONE]
    "#);
    let asked = frames(true);
    assert_eq!(asked.matches("\"usage\":null").count(), asked.matches("data: {").count() - 1);
    assert!(
        asked.contains(r#""choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7"#),
        "{asked}"
    );
}

#[test]
fn a_stream_that_breaks_off_ends_with_an_error_and_not_as_if_it_were_done() {
    let events = [
        Event::Start { id: "x".to_owned(), model: "m".to_owned() },
        Event::Error { code: "overloaded".to_owned(), message: "later".to_owned() },
    ];
    let frames = testing::frames(&Chat, testing::reply(Request::default()), &events);
    let error = r#"data: {"error":{"message":"later","type":"api_error","param":null,"code":"overloaded"}}"#;
    assert!(frames.ends_with(&format!("{error}\n\n")), "{frames}");
}

/// The next request of an agent that returns calls and results, and nothing else.
fn next_turn(calls: &Value) -> Value {
    let results = calls
        .as_array()
        .unwrap()
        .iter()
        .map(|call| json!({"role": "tool", "tool_call_id": call["id"], "content": "ok"}));
    let mut messages = vec![
        json!({"role": "user", "content": "x"}),
        json!({"role": "assistant", "content": null, "tool_calls": calls}),
    ];
    messages.extend(results);
    json!({ "messages": messages })
}

proptest! {
    #[test]
    fn what_an_agent_forgets_is_remembered(answer in testing::answers(), streamed in any::<bool>()) {
        let memory = Arc::new(testing::Memory::default());
        let reply = Reply { carrier: memory.clone(), ..testing::reply(Request::default()) };
        let sent: Response = if streamed {
            let frames = testing::frames(&Chat, reply, &testing::told(&answer));
            testing::collected(testing::events(&Chat, Names::default(), frames.as_bytes(), &[11]).unwrap()).unwrap()
        } else {
            Chat.decode_response(&Chat.encode_response(&answer, &reply), &Names::default()).unwrap()
        };
        let calls: Vec<Value> = sent.choices[0].parts.iter().filter_map(|part| match part {
            Part::ToolCall(call) => Some(json!({"id": call.id, "function": {"name": call.name, "arguments": call.arguments}})),
            _ => None,
        }).collect();
        prop_assume!(!calls.is_empty());
        let next = Chat.decode_request(next_turn(&calls.into()).to_string().as_bytes(), memory.as_ref()).unwrap();
        let thoughts = |parts: &[Part]| parts.iter().filter(|part| matches!(part, Part::Reasoning(_))).cloned().collect::<Vec<_>>();
        prop_assert_eq!(thoughts(&next.turns[1].parts), thoughts(&answer.choices[0].parts));
    }

    #[test]
    fn what_is_streamed_is_what_is_given_whole(answer in testing::answers()) {
        let reply = || testing::reply(Request { include_usage: true, ..Request::default() });
        let whole = Chat.decode_response(&Chat.encode_response(&answer, &reply()), &Names::default()).unwrap();
        let frames = testing::frames(&Chat, reply(), &testing::told(&answer));
        let streamed = testing::collected(testing::events(&Chat, Names::default(), frames.as_bytes(), &[13]).unwrap()).unwrap();
        let spoken = |answer: &Response| answer.choices[0].parts.iter()
            .filter(|part| !matches!(part, Part::Reasoning(thought) if thought.text.is_empty())).map(part_meaning).collect::<Vec<_>>();
        prop_assert_eq!(spoken(&streamed), spoken(&whole));
        prop_assert_eq!((&streamed.choices[0].stop, streamed.usage), (&whole.choices[0].stop, whole.usage));
        prop_assert_eq!((&whole.choices[0].stop, whole.usage), (&answer.choices[0].stop, answer.usage));
    }

    #[test]
    fn any_cut_means_the_same(recorded in 0..STREAMS.len(), cuts in prop::collection::vec(1_usize..40, 1..6)) {
        let (_, stream, expected) = STREAMS[recorded];
        prop_assert_eq!(meaning(testing::events(&Chat, Names::default(), stream.as_bytes(), &cuts).unwrap()), expected);
    }
}
