//! What answers consumed: payloads as providers send them, against counters worked out by hand.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use bytes::Bytes;
use preloop_dialects::{
    Dialect::{self, Chat, Converse, Gemini, Messages, Responses},
    Operation,
    usage::{Meter, Reading, UsageChunkFilter},
};
use preloop_types::{NanoUsd, Tokens};
use proptest::prelude::*;

fn read(dialect: Dialect, answer: &str) -> Reading {
    read_in(dialect, Operation::Generate, [answer.as_bytes()])
}

fn read_in<'a>(dialect: Dialect, operation: Operation, pieces: impl IntoIterator<Item = &'a [u8]>) -> Reading {
    let mut meter = Meter::new(dialect, operation);
    for piece in pieces {
        meter.feed(piece);
    }
    meter.finish()
}

fn tokens(dialect: Dialect, answer: &str) -> Tokens {
    read(dialect, answer).tokens.unwrap()
}

fn usage(dialect: Dialect, usage: &str) -> Tokens {
    let answer = match dialect {
        Gemini => format!(r#"{{"usageMetadata":{usage}}}"#),
        _ => format!(r#"{{"usage":{usage}}}"#),
    };
    tokens(dialect, &answer)
}

const NONE: Tokens = Tokens {
    input: 0,
    cache_read: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 0,
    reasoning: 0,
    input_audio: 0,
    output_audio: 0,
    input_image: 0,
    output_image: 0,
    web_searches: 0,
};

const CHAT_STREAM: &str = concat!(
    ": OPENROUTER PROCESSING\n\n",
    r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","model":"gpt-x","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-1","model":"gpt-x","choices":[{"index":0,"delta":{"content":"Hé\n"},"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-1","model":"gpt-x","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","type":"function","function":{"name":"look","arguments":"{\"a\":"}}]}}]}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-1","model":"gpt-x","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"chatcmpl-1","model":"gpt-x","choices":[],"usage":{"prompt_tokens":100,"completion_tokens":50,"total_tokens":150,"prompt_tokens_details":{"cached_tokens":64,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":30,"accepted_prediction_tokens":0}}}"#,
    "\n\n",
    "data: [DONE]\n\n",
);

const RESPONSES_STREAM: &str = concat!(
    "event: response.created\r\n",
    r#"data: {"type":"response.created","sequence_number":0,"response":{"id":"resp_1","model":"gpt-x","status":"in_progress","error":null,"output":[],"usage":null}}"#,
    "\r\n\r\n",
    r#"data: {"type":"response.output_text.delta","item_id":"m","output_index":0,"content_index":0,"delta":"Hello"}"#,
    "\r\n\r\n",
    r#"data: {"type":"response.output_item.done","item":{"type":"web_search_call","id":"ws"}}"#,
    "\r\n\r\n",
    r#"data: {"item":{"type":"function_call","name":"look","arguments":"{}"},"type":"response.output_item.done"}"#,
    "\r\n\r\n",
    r#"data: {"type":"response.completed","response":{"id":"resp_1","model":"gpt-x","status":"completed","output":[{"type":"web_search_call"},{"type":"message","content":[{"type":"output_text","text":"Hello"}]}],"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":4},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":5},"total_tokens":19}}}"#,
    "\r\n\r\n",
);

const MESSAGES_STREAM: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-x","content":[],"stop_reason":null,"usage":{"input_tokens":25,"cache_creation_input_tokens":300,"cache_read_input_tokens":1000,"cache_creation":{"ephemeral_5m_input_tokens":100,"ephemeral_1h_input_tokens":200},"output_tokens":1}}}"#,
    "\n\n",
    "event: ping\ndata: {\"type\": \"ping\"}\n\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}}"#,
    "\n\n",
    r#"data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"look","input":{}}}"#,
    "\n\n",
    r#"data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\":1}"}}"#,
    "\n\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"input_tokens":25,"output_tokens":88,"server_tool_use":{"web_search_requests":2}}}"#,
    "\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
);

const GEMINI_ARRAY: &str = r#"[{"candidates":[{"content":{"parts":[{"text":"He"}],"role":"model"}}],"usageMetadata":{"promptTokenCount":20,"totalTokenCount":20},"modelVersion":"gemini-x","responseId":"r1"}
,
{"candidates":[{"content":{"parts":[{"functionCall":{"name":"look","args":{"q":"é","n":12}}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":20,"candidatesTokenCount":7,"thoughtsTokenCount":5,"totalTokenCount":32,"promptTokensDetails":[{"modality":"TEXT","tokenCount":12},{"modality":"IMAGE","tokenCount":8}]},"modelVersion":"gemini-x"}]"#;

#[test]
fn a_chat_stream_is_read() {
    let reading = read(Chat, CHAT_STREAM);
    assert_eq!(reading.tokens, Some(Tokens { input: 36, cache_read: 64, output: 20, reasoning: 30, ..NONE }));
    assert_eq!((reading.model.as_deref(), reading.response_id.as_deref()), (Some("gpt-x"), Some("chatcmpl-1")));
    assert_eq!((reading.stop.as_deref(), reading.complete), (Some("tool_calls"), true));
    assert_eq!(reading.tool_names, ["look"]);
    assert_eq!(reading.output_bytes, (r"Hé\n".len() + r#"{\"a\":"#.len()) as u64);
}

#[test]
fn a_responses_stream_is_read() {
    let reading = read(Responses, RESPONSES_STREAM);
    assert_eq!(
        reading.tokens,
        Some(Tokens { input: 6, cache_read: 4, output: 4, reasoning: 5, web_searches: 1, ..NONE })
    );
    assert_eq!((reading.model.as_deref(), reading.response_id.as_deref()), (Some("gpt-x"), Some("resp_1")));
    assert_eq!((reading.stop.as_deref(), reading.complete, reading.output_bytes), (Some("completed"), true, 5));
    assert_eq!(reading.tool_names, ["look"]);
}

#[test]
fn a_messages_stream_is_read() {
    let reading = read(Messages, MESSAGES_STREAM);
    let expected = Tokens {
        input: 25,
        cache_read: 1000,
        cache_write_5m: 100,
        cache_write_1h: 200,
        output: 88,
        web_searches: 2,
        ..NONE
    };
    assert_eq!(reading.tokens, Some(expected));
    assert_eq!((reading.model.as_deref(), reading.response_id.as_deref()), (Some("claude-x"), Some("msg_1")));
    assert_eq!((reading.stop.as_deref(), reading.complete), (Some("tool_use"), true));
    assert_eq!((reading.tool_names, reading.output_bytes), (vec!["look".to_owned()], 2 + 9));
}

#[test]
fn a_gemini_array_and_its_events_read_alike() {
    let reading = read(Gemini, GEMINI_ARRAY);
    assert_eq!(reading.tokens, Some(Tokens { input: 12, input_image: 8, output: 7, reasoning: 5, ..NONE }));
    assert_eq!((reading.model.as_deref(), reading.response_id.as_deref()), (Some("gemini-x"), Some("r1")));
    assert_eq!((reading.stop.as_deref(), reading.complete, reading.output_bytes), (Some("STOP"), true, 2 + 2 + 2));

    let events = GEMINI_ARRAY.trim_matches(['[', ']']).replace("\n,\n", "\r\n\r\ndata: ");
    assert_eq!(read(Gemini, &format!("data: {events}\r\n\r\n")), reading);
}

#[test]
fn whole_answers_are_read_too() {
    let chat = read(
        Chat,
        r#"{"id":"c","model":"m","choices":[{"message":{"content":"Hi","tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#,
    );
    assert_eq!(
        (chat.tokens, chat.output_bytes, chat.complete),
        (Some(Tokens { input: 3, output: 2, ..NONE }), 4, true)
    );

    let messages = read(
        Messages,
        r#"{"id":"m","type":"message","model":"c","content":[{"type":"text","text":"Hi"},{"type":"tool_use","name":"f","input":{"a":[1,"b"]}}],"stop_reason":"end_turn","usage":{"input_tokens":5,"output_tokens":3}}"#,
    );
    assert_eq!((messages.stop.as_deref(), messages.output_bytes, messages.complete), (Some("end_turn"), 4, true));

    let responses = read(
        Responses,
        r#"{"id":"r","object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"error":null,"model":"m","output":[{"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"usage":{"input_tokens":5,"output_tokens":3,"total_tokens":8}}"#,
    );
    assert_eq!(
        (responses.stop.as_deref(), responses.output_bytes, responses.complete),
        (Some("max_output_tokens"), 4, true)
    );

    let converse = read(
        Converse,
        r#"{"output":{"message":{"content":[{"text":"Hi"},{"toolUse":{"toolUseId":"t","name":"f","input":{"a":"bc"}}}]}},"stopReason":"tool_use","usage":{"inputTokens":5,"outputTokens":3,"totalTokens":58,"cacheReadInputTokens":40,"cacheWriteInputTokens":10,"cacheDetails":[{"ttl":"1h","inputTokens":4},{"ttl":"5m","inputTokens":6}]}}"#,
    );
    let expected = Tokens { input: 5, cache_read: 40, cache_write_5m: 6, cache_write_1h: 4, output: 3, ..NONE };
    assert_eq!(
        (converse.tokens, converse.output_bytes, converse.stop.as_deref()),
        (Some(expected), 4, Some("tool_use"))
    );

    let embeddings = r#"{"object":"list","data":[{"embedding":[0.1,-2e-5],"index":0}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}"#;
    let embeddings = read_in(Chat, Operation::Embed, [embeddings.as_bytes()]);
    assert_eq!((embeddings.tokens, embeddings.complete), (Some(Tokens { input: 8, ..NONE }), true));
    assert_eq!(read_in(Messages, Operation::CountTokens, [&br#"{"input_tokens":14}"#[..]]).tokens, None);
}

/// As each family of providers counts.
#[test]
fn every_convention_comes_to_the_same_counters() {
    // OpenAI, with audio, images and a cache write.
    assert_eq!(
        usage(
            Chat,
            r#"{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100,"prompt_tokens_details":{"cached_tokens":200,"audio_tokens":50,"image_tokens":30,"cache_write_tokens":100},"completion_tokens_details":{"reasoning_tokens":10,"audio_tokens":60}}"#
        ),
        Tokens {
            input: 620,
            cache_read: 200,
            cache_write_5m: 100,
            input_audio: 50,
            input_image: 30,
            output: 30,
            reasoning: 10,
            output_audio: 60,
            ..NONE
        }
    );
    // DeepSeek.
    assert_eq!(
        usage(
            Chat,
            r#"{"prompt_tokens":90,"completion_tokens":20,"total_tokens":110,"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":26,"completion_tokens_details":{"reasoning_tokens":12}}"#
        ),
        Tokens { input: 26, cache_read: 64, output: 8, reasoning: 12, ..NONE }
    );
    assert_eq!(
        usage(Chat, r#"{"prompt_cache_hit_tokens":64,"prompt_cache_miss_tokens":26,"completion_tokens":20}"#),
        Tokens { input: 26, cache_read: 64, output: 20, ..NONE }
    );
    // xAI: reasoning beside the completion, told by the total.
    assert_eq!(
        usage(
            Chat,
            r#"{"prompt_tokens":32,"completion_tokens":9,"total_tokens":241,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":200},"num_sources_used":0}"#
        ),
        Tokens { input: 30, cache_read: 2, output: 9, reasoning: 200, ..NONE }
    );
    assert_eq!(
        usage(
            Chat,
            r#"{"prompt_tokens":32,"completion_tokens":250,"total_tokens":482,"completion_tokens_details":{"reasoning_tokens":200}}"#
        ),
        Tokens { input: 32, output: 250, reasoning: 200, ..NONE }
    );
    // Moonshot, Z.ai, Alibaba: cached tokens at the top, or in the details.
    assert_eq!(
        usage(Chat, r#"{"prompt_tokens":19,"completion_tokens":21,"total_tokens":40,"cached_tokens":10}"#),
        Tokens { input: 9, cache_read: 10, output: 21, ..NONE }
    );
    // A gateway in front of Anthropic that leaves what was cached out of the prompt.
    assert_eq!(
        usage(Chat, r#"{"prompt_tokens":19,"completion_tokens":2,"prompt_tokens_details":{"cached_tokens":5000}}"#),
        Tokens { input: 19, cache_read: 5000, output: 2, ..NONE }
    );
    // Mistral, Ollama, llama.cpp: nothing but the three; Perplexity with searches; counts as fractions.
    assert_eq!(
        usage(
            Chat,
            r#"{"prompt_tokens":7.0,"completion_tokens":3.0,"total_tokens":10.0,"num_search_queries":2,"completion_tokens_details":null}"#
        ),
        Tokens { input: 7, output: 3, web_searches: 2, ..NONE }
    );
    assert_eq!(usage(Chat, r#"{"prompt_tokens":7,"total_tokens":10}"#), Tokens { input: 7, output: 3, ..NONE });
    // Anthropic, without the split of what was written.
    assert_eq!(
        usage(
            Messages,
            r#"{"input_tokens":5,"cache_creation_input_tokens":70,"cache_read_input_tokens":900,"output_tokens":40,"output_tokens_details":{"thinking_tokens":15},"service_tier":"standard"}"#
        ),
        Tokens { input: 5, cache_read: 900, cache_write_5m: 70, output: 25, reasoning: 15, ..NONE }
    );
    // Gemini: thoughts beside the candidates; tool prompts beside the prompt; cached within it.
    assert_eq!(
        usage(
            Gemini,
            r#"{"promptTokenCount":100,"cachedContentTokenCount":60,"toolUsePromptTokenCount":11,"candidatesTokenCount":20,"thoughtsTokenCount":30,"totalTokenCount":161,"promptTokensDetails":[{"tokenCount":25,"modality":"AUDIO"},{"modality":"TEXT","tokenCount":75}],"candidatesTokensDetails":[{"modality":"IMAGE","tokenCount":4}]}"#
        ),
        Tokens { input: 26, cache_read: 60, input_audio: 25, output: 16, output_image: 4, reasoning: 30, ..NONE }
    );
    // Gemini where the candidates include the thoughts, and where it leaves the candidates out.
    assert_eq!(
        usage(
            Gemini,
            r#"{"promptTokenCount":100,"candidatesTokenCount":50,"thoughtsTokenCount":30,"totalTokenCount":150}"#
        ),
        Tokens { input: 100, output: 20, reasoning: 30, ..NONE }
    );
    assert_eq!(
        usage(Gemini, r#"{"promptTokenCount":100,"thoughtsTokenCount":30,"totalTokenCount":130}"#),
        Tokens { input: 100, reasoning: 30, ..NONE }
    );
}

#[test]
fn the_beginning_of_an_answer_is_kept_on_demand() {
    let said = |dialect, answer: &str, bytes| {
        let mut meter = Meter::new(dialect, Operation::Generate).keeping(bytes);
        meter.feed(answer.as_bytes());
        let said = meter.finish().said.unwrap();
        (said.text, said.calls, said.truncated)
    };
    let call = |arguments: &str| vec![("look".to_owned(), arguments.to_owned())];
    assert_eq!(said(Chat, CHAT_STREAM, 100), ("Hé\n".to_owned(), call("{\"a\":"), false));
    assert_eq!(said(Messages, MESSAGES_STREAM, 100), (String::new(), call("{\"a\":1}"), false));
    assert_eq!(said(Responses, RESPONSES_STREAM, 9), ("Hello".to_owned(), call("{}"), false));
    assert_eq!(said(Responses, RESPONSES_STREAM, 2), ("He".to_owned(), call(""), true));
    assert_eq!(said(Gemini, GEMINI_ARRAY, 100), ("He".to_owned(), call(""), false));
    let whole = format!(r#"{{"choices":[{{"message":{{"content":"{}"}}}}]}}"#, "é".repeat(5000));
    assert_eq!(said(Chat, &whole, 6001), ("é".repeat(3000), vec![], true));
    assert_eq!(read(Chat, CHAT_STREAM).said, None);
}

#[test]
fn usage_is_found_where_servers_put_it() {
    let expected = Tokens { input: 3, output: 2, ..NONE };
    let raw = r#"{"prompt_tokens":3,"completion_tokens":2}"#;
    for frame in [
        format!(r#"{{"x_groq":{{"usage":{raw}}}}}"#),
        format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop","usage":{raw}}}]}}"#),
        format!(r#"{{"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":{raw}}}"#),
    ] {
        assert_eq!(tokens(Chat, &format!("data: {frame}\n\n")), expected, "{frame}");
    }
    // On every chunk, growing.
    let growing = (1..=5).fold(String::new(), |frames, n| {
        frames + &format!("data:{{\"choices\":[],\"usage\":{{\"prompt_tokens\":3,\"completion_tokens\":{n}}}}}\n\n")
    });
    assert_eq!(tokens(Chat, &growing), Tokens { input: 3, output: 5, ..NONE });
    // Anthropic-compatible servers that say everything at the end.
    let late = "data: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":0,\"output_tokens\":0}}}\n\n\
                data: {\"type\":\"message_delta\",\"usage\":{\"input_tokens\":3,\"output_tokens\":2}}\n\n";
    assert_eq!(tokens(Messages, late), expected);
}

#[test]
fn a_reported_cost_is_exact() {
    let cost = |usage: &str| read(Chat, &format!(r#"{{"usage":{usage}}}"#)).reported_cost;
    assert_eq!(cost(r#"{"prompt_tokens":1,"cost":0.00014}"#), Some(NanoUsd(140_000)));
    assert_eq!(
        cost(r#"{"cost":0.001,"is_byok":true,"cost_details":{"upstream_inference_cost":0.02}}"#),
        Some(NanoUsd(21_000_000))
    );
    assert_eq!(
        cost(r#"{"cost":0.02,"is_byok":false,"cost_details":{"upstream_inference_cost":0.02}}"#),
        Some(NanoUsd(20_000_000))
    );
    assert_eq!(cost(r#"{"cost_in_usd_ticks":37756000}"#), Some(NanoUsd(3_775_600)));
    assert_eq!(cost(r#"{"cost":{"total_cost":0.006}}"#), Some(NanoUsd(6_000_000)));
    assert_eq!(cost(r#"{"cost":-5}"#), None);
}

#[test]
fn what_broke_off_is_not_complete() {
    for (dialect, stream, end) in [
        (Chat, CHAT_STREAM, r#""finish_reason":"tool_calls""#),
        (Responses, RESPONSES_STREAM, r#""status":"completed""#),
        (Messages, MESSAGES_STREAM, "message_stop\"}"),
        (Gemini, GEMINI_ARRAY, "]}}]"),
    ] {
        let cut = stream.rfind(end).unwrap_or(stream.len() - 1);
        assert!(!read(dialect, &stream[..cut]).complete, "{dialect:?}");
        assert!(read(dialect, stream).complete, "{dialect:?}");
    }
    // What was reported before the cut counts.
    let started = MESSAGES_STREAM.split_inclusive("\n\n").next().unwrap();
    assert_eq!(tokens(Messages, started).cache_read, 1000);
    assert!(!read(Chat, r#"{"choices":[{"message":{"content":"Hi"}}"#).complete);
    assert!(!read(Chat, "").complete && !read(Chat, "<html>502</html>").complete);
}

#[test]
fn errors_in_the_answer_are_seen() {
    let error = |dialect, answer| {
        let reading = read(dialect, answer);
        assert!(!reading.complete);
        let error = reading.error.unwrap();
        (error.code.unwrap_or_default(), error.kind.unwrap_or_default(), error.message)
    };
    let three = |code: &str, kind: &str, message: &str| (code.to_owned(), kind.to_owned(), message.to_owned());
    assert_eq!(
        error(Chat, "data: {\"error\":{\"message\":\"no \\u00e9\",\"type\":\"server_error\",\"code\":502}}\n\n"),
        three("502", "server_error", "no é")
    );
    assert_eq!(error(Chat, r#"{"error":"model not found"}"#), three("", "", "model not found"));
    assert_eq!(
        error(
            Messages,
            "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n"
        ),
        three("", "overloaded_error", "Overloaded")
    );
    assert_eq!(
        error(
            Responses,
            "data: {\"type\":\"response.failed\",\"response\":{\"status\":\"failed\",\"error\":{\"code\":\"server_error\",\"message\":\"x\"}}}\n\n"
        ),
        three("server_error", "", "x")
    );
    assert_eq!(
        error(
            Responses,
            "data: {\"type\":\"error\",\"code\":\"rate_limit_exceeded\",\"message\":\"slow\",\"param\":null}\n\n"
        ),
        three("rate_limit_exceeded", "", "slow")
    );
    assert_eq!(
        error(Gemini, r#"[{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}]"#),
        three("503", "UNAVAILABLE", "busy")
    );
}

#[test]
fn strange_counts_are_not_believed() {
    assert_eq!(
        read(Chat, r#"{"usage":{"prompt_tokens":-5,"completion_tokens":1e30,"total_tokens":"7"}}"#).tokens,
        None
    );
    assert_eq!(read(Chat, r#"{"usage":{"prompt_tokens":99999999999999999999999999}}"#).tokens, None);
    assert_eq!(read(Chat, r#"{"usage":null}"#).tokens, None);
    // Zeros beside an answer: the server did not count.
    assert_eq!(
        read(Chat, r#"{"choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":0,"completion_tokens":0}}"#)
            .tokens,
        None
    );
    // Details larger than what they are part of.
    let absurd = usage(
        Gemini,
        r#"{"promptTokenCount":5,"cachedContentTokenCount":9,"candidatesTokenCount":1,"thoughtsTokenCount":9,"totalTokenCount":6,"promptTokensDetails":[{"modality":"AUDIO","tokenCount":70}]}"#,
    );
    assert_eq!((absurd.prompt(), absurd.completion()), (5, 10));
}

#[test]
fn a_huge_or_hostile_answer_is_read_in_little_memory() {
    let image = "A".repeat(3 << 20);
    let stream = format!(
        "data: {{\"candidates\":[{{\"content\":{{\"parts\":[{{\"inlineData\":{{\"data\":\"{image}\"}}}}]}},\"finishReason\":\"STOP\"}}],\
         \"usageMetadata\":{{\"promptTokenCount\":3,\"candidatesTokenCount\":1290}}}}\r\n\r\n"
    );
    let reading = read_in(Gemini, Operation::Generate, stream.as_bytes().chunks(4096));
    assert_eq!(reading.tokens, Some(Tokens { input: 3, output: 1290, ..NONE }));
    assert!(reading.complete);

    let mut meter = Meter::new(Chat, Operation::Generate);
    for _ in 0..100_000 {
        meter.feed(b"{\"a\":[");
    }
    meter.feed(b"]}]}}}}\"\\");
    assert!(!meter.finish().complete);
}

fn cut<'a>(mut rest: &'a [u8], sizes: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        pieces.push(piece);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    pieces
}

fn filtered(stream: &str, sizes: &[usize]) -> String {
    let mut filter = UsageChunkFilter::new();
    let mut out = Vec::new();
    for piece in cut(stream.as_bytes(), sizes) {
        filter.feed(Bytes::copy_from_slice(piece), &mut out);
    }
    out.extend(filter.finish());
    String::from_utf8(out.concat()).unwrap()
}

fn without_usage(stream: &str) -> String {
    stream.split_inclusive("\n\n").filter(|frame| !frame.contains(r#""choices":[],"usage":{"#)).collect()
}

#[test]
fn an_agent_that_did_not_ask_sees_no_usage_chunk() {
    let expected = without_usage(CHAT_STREAM);
    assert_eq!(expected.matches("data:").count(), CHAT_STREAM.matches("data:").count() - 1);
    assert_eq!(filtered(CHAT_STREAM, &[usize::MAX]), expected);
    for kept in [
        "data: {\"choices\":[],\"prompt_filter_results\":[],\"usage\":null}\n\n",
        "data: {\"choices\":[{\"delta\":{}}],\"usage\":{\"prompt_tokens\":1}}\n\n",
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\":{}\"}}]}\n\n",
        "data: {\"choices\":[],\"usage\":{} oops\n\n",
        ": \"usage\"\n\ndata: no frame's end",
    ] {
        assert_eq!(filtered(kept, &[usize::MAX]), kept);
    }
}

#[test]
fn a_frame_is_passed_on_with_its_last_byte() {
    let mut filter = UsageChunkFilter::new();
    let mut out = Vec::new();
    filter.feed(Bytes::from_static(b"data: {\"choices\":[1]}\r\n\r"), &mut out);
    assert_eq!(out.concat(), b"data: {\"choices\":[1]}\r\n\r");
    filter.feed(Bytes::from_static(b"\ndata: 2"), &mut out);
    assert_eq!(out.concat(), b"data: {\"choices\":[1]}\r\n\r\n");

    let long = Bytes::from(vec![b'x'; 2 << 20]);
    filter.feed(long.clone(), &mut out);
    assert!(out.concat().ends_with(&long));
}

proptest! {
    #[test]
    fn the_cut_makes_no_difference(sizes in prop::collection::vec(1_usize..200, 1..30), crlf in any::<bool>()) {
        for (dialect, stream) in
            [(Chat, CHAT_STREAM), (Responses, RESPONSES_STREAM), (Messages, MESSAGES_STREAM), (Gemini, GEMINI_ARRAY)]
        {
            let stream = if crlf && dialect != Responses { stream.replace('\n', "\r\n") } else { stream.to_owned() };
            let pieces = cut(stream.as_bytes(), &sizes);
            prop_assert_eq!(read_in(dialect, Operation::Generate, pieces), read(dialect, &stream));
        }
        prop_assert_eq!(filtered(CHAT_STREAM, &sizes), without_usage(CHAT_STREAM));
    }

    #[test]
    fn no_bytes_make_the_meter_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), text in r#"[{}\[\]",:\\a0 \n]{0,80}"#) {
        for dialect in [Chat, Responses, Messages, Gemini, Converse] {
            read_in(dialect, Operation::Generate, [&bytes[..]]);
            read_in(dialect, Operation::Generate, [b"{\"usage\":", text.as_bytes()]);
            read_in(dialect, Operation::Generate, [b"data:", text.as_bytes()]);
        }
    }

    /// Counters never overlap: whatever a provider reports, the sums stay what it reported.
    #[test]
    fn counters_add_up_to_what_was_reported(
        prompt in 0_u64..1000, completion in 0_u64..1000, cached in 0_u64..1500, audio in 0_u64..1500, reasoning in 0_u64..1500,
    ) {
        let reported = format!(
            r#"{{"prompt_tokens":{prompt},"completion_tokens":{completion},"prompt_tokens_details":{{"cached_tokens":{cached},"audio_tokens":{audio}}},"completion_tokens_details":{{"reasoning_tokens":{reasoning}}}}}"#
        );
        let tokens = usage(Chat, &reported);
        let extra = if cached > prompt { cached } else { 0 };
        prop_assert_eq!(tokens.prompt(), prompt + extra);
        prop_assert_eq!(tokens.completion(), completion + if reasoning > completion { reasoning } else { 0 });
    }
}
