//! What is read from requests, and that nothing else of them changes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use preloop_dialects::{
    Dialect, Operation,
    scan::{Edits, Facts, Hosted, Limits, exposure, read},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn facts(dialect: Dialect, body: &str) -> Facts {
    read(dialect, Operation::Generate, body.as_bytes()).unwrap()
}

fn refusal(dialect: Dialect, body: &[u8]) -> String {
    read(dialect, Operation::Generate, body).unwrap_err().to_string()
}

fn rewritten(body: &str, facts: &Facts, edits: &Edits<'_>) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let pieces = facts.rewrite(&body, edits);
    String::from_utf8(pieces.concat()).unwrap()
}

const MODEL: Edits<'_> = Edits { model: Some("real-1"), include_usage: false, members: &[], remove: &[] };

/// Bodies with everything a rebuilding parser would change. `MODEL` stands where the model is.
const CORPUS: &[(Dialect, &str)] = &[
    (
        Dialect::Chat,
        r#"{"model":"MODEL","messages":[{"role":"user","content":"h\u00e9 \ud83d\ude00 \/ \u2028 é"}],"n":1}"#,
    ),
    (Dialect::Chat, "\n{\t\"messages\" : [ ] ,\r\n \"model\" :\"MODEL\" , \"reasoning_effort\": null }\n"),
    (
        Dialect::Chat,
        r#"{"seed":9007199254740993,"temperature":1.0,"top_p":1e-0,"x":123456789012345678901234567890,"model":"MODEL"}"#,
    ),
    (
        Dialect::Chat,
        r#"{"model":"MODEL","unknown":{"a":1,"a":2,"b":[{},[],""]},"messages":[{"role":"x","content":"\ud800"}]}"#,
    ),
    (
        Dialect::Messages,
        r#"{"model":"MODEL","max_tokens":9,"thinking":{"type":"adaptive","display":"omitted"},"messages":[{"role":"system","content":"s"},{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"EqQBCgIYAhIM+/=="},{"type":"redacted_thinking","data":"AA+/"}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"tool_reference","tool_name":"x"}],"cache_control":{"type":"ephemeral","ttl":"1h"}}]}],"tools":[{"name":"ToolSearch","input_schema":{},"defer_loading":true}],"context_management":{"edits":[{"type":"clear_thinking_20251015","keep":"all"}]},"output_config":{"effort":"high"}}"#,
    ),
    (
        Dialect::Responses,
        r#"{"model":"MODEL","input":[{"type":"message","role":"developer","id":"m","content":[{"type":"input_text","text":"a"}]},{"type":"reasoning","encrypted_content":"gAAAA==","summary":[]}],"tools":[{"type":"namespace","name":"mcp","tools":[{"type":"function","name":"f"}]}],"include":["reasoning.encrypted_content"],"client_metadata":{"a":"b"},"prompt_cache_key":"k","store":false,"stream":true}"#,
    ),
];

#[test]
fn only_the_model_of_a_body_changes() {
    for (dialect, body) in CORPUS {
        let facts = facts(*dialect, body);
        assert_eq!(facts.model.as_deref(), Some("MODEL"));
        assert_eq!(rewritten(body, &facts, &MODEL), body.replace("MODEL", "real-1"));
        assert_eq!(rewritten(body, &facts, &Edits::default()), *body);
    }
}

#[test]
fn what_did_not_change_is_not_copied() {
    let body = Bytes::from(format!(r#"{{"messages":"{}","model":"a"}}"#, "x".repeat(1 << 20)));
    let facts = read(Dialect::Chat, Operation::Generate, &body).unwrap();

    let pieces = facts.rewrite(&body, &MODEL);

    let inside = |piece: &Bytes| body.as_ptr_range().contains(&piece.as_ptr());
    assert_eq!(pieces.iter().map(inside).collect::<Vec<_>>(), [true, false, true]);
}

#[test]
fn what_two_parsers_could_read_differently_is_refused() {
    let chat = |body: &str| refusal(Dialect::Chat, body.as_bytes());
    assert_eq!(chat(r#"{"model":"a","model":"b"}"#), "`model` is given twice");
    assert_eq!(chat(r#"{"model":"a","mod\u0065l":"b"}"#), "`model` is given twice");
    assert_eq!(chat(r#"{"x":1,"x":1}"#), "`x` is given twice");
    assert_eq!(chat(r#"{"Model":"a"}"#), "`Model` is spelled `model`");
    assert_eq!(chat(r#"{"model":7}"#), "`model` has to be a string");
    assert_eq!(chat(r#"{"model":"\ud800"}"#), "`model` is not valid text");
    assert_eq!(chat("{\"model\":\"a\nb\"}"), "`model` is not valid text");
    assert_eq!(chat(r#"{"stream":"yes"}"#), "`stream` has to be true or false");
    assert_eq!(chat(r#"{"n":2.5}"#), "`n` has to be a whole number");
    assert_eq!(
        chat(r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#),
        "`stream_options.include_usage` is given twice"
    );
    assert_eq!(chat(r#"{"model":"a",}"#), "the body is not JSON: expected a member's name at byte 13");
    assert_eq!(chat(r#"{"model":NaN}"#), "the body is not JSON: expected a value at byte 9");
    assert_eq!(chat(r#"{"model":"a"} {}"#), "the body is not JSON: something follows its end at byte 14");
    assert_eq!(chat(r#"["model"]"#), "the body has to be a JSON object");
    assert_eq!(chat(""), "the body is not JSON: it ends too early at byte 0");
    assert_eq!(refusal(Dialect::Chat, b"{\"model\":\"\xff\"}"), "the body is not valid UTF-8");
    assert_eq!(
        refusal(Dialect::Gemini, br#"{"generationConfig":{"maxOutputTokens":1,"max_output_tokens":9}}"#),
        "`generationConfig.maxOutputTokens` is given twice"
    );
    let bomb = format!(r#"{{"messages":{}"#, r#"{"content":["#.repeat(100_000));
    assert!(refusal(Dialect::Chat, bomb.as_bytes()).contains("nested too deep"));
    let many = (0..1000).fold(String::new(), |many, n| many + &format!(r#","m{n}":1"#));
    assert_eq!(chat(&format!(r#"{{"model":"a"{many}}}"#)), "the body has too many members");
}

#[test]
fn a_request_says_what_it_wants_in_each_dialect() {
    let chat = facts(
        Dialect::Chat,
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true},"max_tokens":5,"max_completion_tokens":7,
            "n":3,"user":"u","prompt_cache_key":"k","service_tier":"flex","tools":[{"type":"function"},{"type":"custom"}],
            "messages":[{"content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}},
                                    {"type":"input_audio","input_audio":{"data":"AAAA","format":"wav"}}]}]}"#,
    );
    assert!(chat.stream && chat.include_usage && chat.audio && !chat.unbounded_input);
    assert_eq!((chat.max_output, chat.choices, chat.tools, chat.images), (Some(7), 3, 2, 1));
    assert_eq!((chat.hints.user.as_deref(), chat.hints.cache_key.as_deref()), (Some("u"), Some("k")));
    assert_eq!((chat.tier.as_deref(), chat.media_bytes), (Some("flex"), "data:image/png;base64,AAAA".len() as u64));

    let messages = facts(
        Dialect::Messages,
        r#"{"model":"m","max_tokens":5,"metadata":{"user_id":"user_1_session_2"},
            "tools":[{"name":"a","input_schema":{"cache_control":1}},{"type":"bash_20250124","name":"bash"},
                     {"type":"web_search_20250305","name":"web_search","max_uses":4}],
            "messages":[{"role":"user","content":[
                {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAAAAAA"}},
                {"source":{"type":"url","url":"https://x/y.png"},"type":"image"}]}]}"#,
    );
    assert_eq!((messages.images, messages.media_bytes, messages.tools, messages.known_tools), (2, 8, 3, 1));
    assert_eq!(messages.hosted, Hosted::Limited(4));
    assert_eq!(messages.hints.user_id.as_deref(), Some("user_1_session_2"));
    assert!(!messages.cache_writes && !messages.unbounded_input);

    let responses = facts(
        Dialect::Responses,
        r#"{"input":[{"type":"message","content":[{"type":"input_image","file_id":"f","image_url":null}]},
                     {"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":"https://x"}}],
            "max_output_tokens":9,"max_tool_calls":2,"tools":[{"type":"web_search"}],"background":false}"#,
    );
    assert_eq!((responses.model.as_deref(), responses.images, responses.hosted), (None, 2, Hosted::Limited(2)));
    assert_eq!((responses.native_only, responses.unbounded_input), (None, false));

    let gemini = facts(
        Dialect::Gemini,
        r#"{"contents":[{"parts":[{"inline_data":{"mime_type":"image/png","data":"AAAA"}},{"text":"a","thoughtSignature":"x"},
                {"functionResponse":{"name":"f","response":{"file_id":"no"},"parts":[{"inlineData":{"data":"AA","mimeType":"audio/wav"}}]}}]}],
            "generationConfig":{"maxOutputTokens":"12","candidateCount":2,"responseModalities":["IMAGE"]},
            "tools":[{"functionDeclarations":[{"name":"a"},{"name":"b","parametersJsonSchema":{}}]}]}"#,
    );
    assert_eq!((gemini.max_output, gemini.choices, gemini.tools, gemini.images), (Some(12), 2, 2, 1));
    assert!(gemini.audio && gemini.image_output && !gemini.unbounded_input && gemini.hosted == Hosted::None);
}

#[test]
fn a_prompt_the_body_does_not_hold_has_no_bound_in_it() {
    for (dialect, body) in [
        (Dialect::Responses, r#"{"previous_response_id":"r"}"#),
        (Dialect::Responses, r#"{"input":[{"type":"item_reference","id":"x"}]}"#),
        (Dialect::Responses, r#"{"input":[{"content":[{"type":"input_file","file_url":"https://x"}]}]}"#),
        (
            Dialect::Chat,
            r#"{"messages":[{"content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,AA"}}]}]}"#,
        ),
        (
            Dialect::Messages,
            r#"{"messages":[{"content":[{"type":"document","source":{"type":"url","url":"https://x"}}]}]}"#,
        ),
        (
            Dialect::Messages,
            r#"{"messages":[{"content":[{"type":"tool_result","content":[{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"AA"}}]}]}]}"#,
        ),
        (Dialect::Gemini, r#"{"cachedContent":"cachedContents/x"}"#),
        (Dialect::Gemini, r#"{"contents":{"parts":{"fileData":{"fileUri":"https://youtu.be/x"}}}}"#),
        (Dialect::Gemini, r#"{"contents":[{"parts":[{"inlineData":{"mimeType":"video/mp4","data":"AA"}}]}]}"#),
    ] {
        let facts = facts(dialect, body);
        assert!(facts.unbounded_input, "{body}");
        assert_eq!(
            exposure(dialect, Operation::Generate, &facts, Limits { max_output: Some(1), ..Limits::default() }),
            None
        );
        let known = Limits { context_window: Some(1000), max_output: Some(1) };
        assert_eq!(exposure(dialect, Operation::Generate, &facts, known).unwrap().input_tokens, 1000);
    }
    let text = facts(
        Dialect::Messages,
        r#"{"messages":[{"content":[{"type":"document","source":{"type":"text","media_type":"text/plain","data":"hello"}},
            {"type":"tool_use","input":{"file_id":"no","url":"no"}}]}]}"#,
    );
    assert!(!text.unbounded_input && text.media_bytes == 0);
}

#[test]
fn an_exposure_is_bounded_by_what_was_written_and_asked() {
    let limits = Limits { context_window: Some(200_000), max_output: Some(8192) };
    let bound = |body: &str| exposure(Dialect::Messages, Operation::Generate, &facts(Dialect::Messages, body), limits);

    let small = bound(r#"{"max_tokens":100,"messages":[]}"#).unwrap();
    assert_eq!((small.input_tokens, small.output_tokens, small.cache_writes), (32 + 512, 100, false));
    assert_eq!(bound("{}").unwrap().output_tokens, 8192);
    // What is no plain number may mean anything to a provider.
    assert_eq!(bound(r#"{"max_tokens":1e9}"#).unwrap().output_tokens, 8192);

    let long = bound(&format!(r#"{{"system":[{{"text":"{}","cache_control":{{}}}}]}}"#, "x".repeat(300_000))).unwrap();
    assert_eq!((long.input_tokens, long.cache_writes), (200_000, true));

    let search = bound(r#"{"max_tokens":1,"tools":[{"type":"web_search_20250305","max_uses":2}]}"#).unwrap();
    assert_eq!((search.input_tokens, search.web_searches), (600_000, 2));
    assert_eq!(bound(r#"{"max_tokens":1,"tools":[{"type":"web_search_20250305"}]}"#), None);
    assert_eq!(bound(r#"{"max_tokens":1,"mcp_servers":[{}]}"#), None);
}

#[test]
fn embeddings_and_token_counts_have_no_answer_to_bound() {
    let body = br#"{"model":"e","input":["a","b"],"n":"odd"}"#;
    let facts = read(Dialect::Chat, Operation::Embed, body).unwrap();
    let bound = exposure(Dialect::Chat, Operation::Embed, &facts, Limits::default()).unwrap();
    assert_eq!((bound.input_tokens, bound.output_tokens), (body.len() as u64 + 512, 0));

    let facts = read(Dialect::Messages, Operation::CountTokens, br#"{"model":"m","messages":[]}"#).unwrap();
    assert_eq!(exposure(Dialect::Messages, Operation::CountTokens, &facts, Limits::default()).unwrap().input_tokens, 0);
}

#[test]
fn members_are_added_replaced_and_taken_out() {
    let edit = |body: &str, edits: Edits<'_>| rewritten(body, &facts(Dialect::Chat, body), &edits);
    let usage = Edits { include_usage: true, ..Edits::default() };
    assert_eq!(edit("{}", usage), r#"{"stream_options":{"include_usage":true}}"#);
    assert_eq!(edit(r#"{"a":1}"#, usage), r#"{"stream_options":{"include_usage":true},"a":1}"#);
    assert_eq!(edit(r#"{"stream_options":null}"#, usage), r#"{"stream_options":{"include_usage":true}}"#);
    assert_eq!(edit(r#"{"stream_options":{ }}"#, usage), r#"{"stream_options":{"include_usage":true }}"#);
    assert_eq!(edit(r#"{"stream_options":{"x":1}}"#, usage), r#"{"stream_options":{"include_usage":true,"x":1}}"#);
    assert_eq!(
        edit(r#"{"stream_options":{"include_usage":false}}"#, usage),
        r#"{"stream_options":{"include_usage":true}}"#
    );
    let asked = r#"{"stream_options":{"include_usage":true}}"#;
    assert_eq!(edit(asked, usage), asked);

    let remove = |names| Edits { remove: names, ..Edits::default() };
    assert_eq!(edit(r#"{"a":1,"b":2,"c":3}"#, remove(&["a"])), r#"{"b":2,"c":3}"#);
    assert_eq!(edit(r#"{"a":1,"b":2,"c":3}"#, remove(&["b"])), r#"{"a":1,"c":3}"#);
    assert_eq!(edit(r#"{"a":1,"b":2,"c":3}"#, remove(&["b", "c"])), r#"{"a":1}"#);
    assert_eq!(edit(r#"{"a":1,"b":2,"c":3}"#, remove(&["a", "c"])), r#"{"b":2}"#);
    assert_eq!(edit(r#"{"a":1 , "b":2}"#, remove(&["a", "b", "z"])), r"{}");

    let vertex =
        Edits { model: Some("x"), remove: &["model"], members: &[("v", "\"1\""), ("b", "9")], ..Edits::default() };
    assert_eq!(edit(r#"{"model":"a","b":2}"#, vertex), r#"{"v":"1","b":9}"#);
    assert_eq!(edit(r#"{"b":2}"#, MODEL), r#"{"model":"real-1","b":2}"#);
}

#[test]
fn every_model_named_in_a_gemini_batch_is_replaced() {
    let body = r#"{"requests":[{"model":"models/a","content":{"parts":[{"text":"x"}]}},{"model":"models/a"}]}"#;
    let facts = read(Dialect::Gemini, Operation::Embed, body.as_bytes()).unwrap();
    assert_eq!(facts.model.as_deref(), Some("models/a"));
    assert_eq!(rewritten(body, &facts, &MODEL), body.replace("models/a", "models/real-1"));
    assert_eq!(
        refusal(Dialect::Gemini, br#"{"requests":[{"model":"a"},{"model":"b"}]}"#),
        "one request cannot name several models"
    );
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        any::<f32>().prop_map(|number| json!(f64::from(number))),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(
                prop::sample::select(vec!["content", "type", "source", "url", "image_url", "parts", "data", "q\"\\"]),
                inner,
                0..5
            )
            .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #[test]
    fn the_scan_reads_what_a_parser_reads(
        model in prop::option::of(".{0,12}"),
        stream in prop::option::of(any::<bool>()),
        usage in prop::option::of(any::<bool>()),
        limit in prop::option::of(any::<u64>()),
        messages in any_json(),
        extra in any_json(),
        pretty in any::<bool>(),
    ) {
        let body = json!({
            "x\n": extra, "model": model, "messages": messages, "stream": stream, "max_tokens": limit,
            "stream_options": usage.map(|usage| json!({"y": {}, "include_usage": usage})),
        });
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let facts = read(Dialect::Chat, Operation::Generate, text.as_bytes()).unwrap();
        prop_assert_eq!(&facts.model, &model);
        prop_assert_eq!(facts.stream, stream.unwrap_or_default());
        prop_assert_eq!(facts.include_usage, usage.unwrap_or_default());
        prop_assert_eq!(facts.max_output, limit);
        prop_assert_eq!(facts.text_bytes + facts.media_bytes, text.len() as u64);

        let edits = Edits { model: Some("é\"x"), include_usage: true, members: &[("added", "[1]")], remove: &["x\n"] };
        let after: Value = serde_json::from_str(&rewritten(&text, &facts, &edits)).unwrap();
        let mut expected: Value = serde_json::from_str(&text).unwrap();
        let members = expected.as_object_mut().unwrap();
        members.shift_remove("x\n");
        members.insert("model".to_owned(), json!("é\"x"));
        members.insert("added".to_owned(), json!([1]));
        if usage.is_none() {
            members.insert("stream_options".to_owned(), json!({}));
        }
        members["stream_options"]["include_usage"] = json!(true);
        prop_assert_eq!(after, expected);
    }

    #[test]
    fn no_bytes_make_the_scan_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in r#"[{}\[\]",:\\a0u ]{0,60}"#) {
        for dialect in [Dialect::Chat, Dialect::Responses, Dialect::Messages, Dialect::Gemini, Dialect::Converse] {
            let _ = read(dialect, Operation::Generate, &bytes);
            let _ = read(dialect, Operation::Generate, format!("{{\"messages\":{text}").as_bytes());
        }
    }
}
