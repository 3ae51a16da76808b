use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Converse, frames};
use crate::{
    Dialect, Quirks,
    ir::{
        CacheMark, Choice, Effort, Event, Media, OutputFormat, Part, Reasoning, Request, Response, Role, Signature,
        Stop, Thought, Tool, ToolCall, ToolChoice, Turn,
    },
    translate::{Codec as _, Collector, Names, Target, testing},
};

const CLAUDE: &str = "us.anthropic.claude-sonnet-4-5-20250929-v1:0";

fn written(request: &Request, model: &str) -> (Value, Vec<String>) {
    let encoded = testing::encoded(&Converse, request, model).unwrap();
    (serde_json::from_slice(&encoded.body).unwrap(), encoded.warnings)
}

fn text(text: &str) -> Part {
    Part::Text { text: text.to_owned(), cache: None }
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    let (id, name, arguments) = (id.to_owned(), name.to_owned(), arguments.to_owned());
    Part::ToolCall(ToolCall { id, name, arguments, ..ToolCall::default() })
}

fn thought(dialect: Dialect, text: &str, redacted: bool) -> Part {
    let signature = Signature { dialect, item_id: None, value: "EqQB".to_owned() };
    Part::Reasoning(Thought { text: text.to_owned(), signature: Some(signature), redacted })
}

fn conversation() -> Request {
    let image = Media::Inline { mime: "image/jpeg".to_owned(), base64: "/9j/".to_owned() };
    let document = Media::Text("notes".to_owned());
    let asked = vec![
        Part::Text { text: "Look.".to_owned(), cache: Some(CacheMark::Default) },
        Part::Image { source: image, detail: None, cache: None },
        Part::Document { source: document, name: Some("my notes.txt".to_owned()), cache: None },
    ];
    let said = vec![
        thought(Dialect::Converse, "hm", false),
        thought(Dialect::Converse, "", true),
        thought(Dialect::Messages, "not mine", false),
        call("toolu_1", "files/read", r#"{"at":"it"}"#),
        call("toolu_2", "patch", "*** free"),
    ];
    let result = |id: &str, failed| Part::ToolResult {
        call_id: id.to_owned(),
        name: None,
        parts: vec![text("ok")],
        is_error: failed,
        cache: None,
    };
    Request {
        system: vec![text("Be brief.")],
        turns: vec![
            Turn { role: Role::User, parts: asked },
            Turn { role: Role::Assistant, parts: said },
            Turn { role: Role::User, parts: vec![text("Go on."), result("toolu_1", Some(true))] },
            Turn { role: Role::User, parts: vec![result("toolu_2", None)] },
        ],
        tools: vec![
            Tool::Function {
                name: "files/read".to_owned(),
                description: Some("Reads.".to_owned()),
                parameters: Some(json!({"type": "object", "properties": {}})),
                strict: None,
                cache: Some(CacheMark::Hour),
            },
            Tool::Custom { name: "patch".to_owned(), description: None, format: None },
        ],
        tool_choice: Some(ToolChoice::Required),
        max_output: Some(100),
        stop: vec!["END".to_owned()],
        top_k: Some(5),
        metadata: vec![("team".to_owned(), "a".to_owned())],
        ..Request::default()
    }
}

#[test]
fn a_conversation_is_laid_out_for_bedrock() {
    let (body, warnings) = written(&conversation(), CLAUDE);

    let read = &body["messages"][1]["content"][2]["toolUse"]["name"];
    assert!(read.as_str().unwrap().starts_with("files_read_"));
    let expected = json!({
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [
                {"text": "Look."}, {"cachePoint": {"type": "default"}},
                {"image": {"format": "jpeg", "source": {"bytes": "/9j/"}}},
                {"document": {"format": "txt", "name": "my-notes-1", "source": {"bytes": "bm90ZXM="}}}]},
            {"role": "assistant", "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "EqQB"}}},
                {"reasoningContent": {"redactedContent": "EqQB"}},
                {"toolUse": {"toolUseId": "toolu_1", "name": read, "input": {"at": "it"}}},
                {"toolUse": {"toolUseId": "toolu_2", "name": "patch", "input": {"input": "*** free"}}}]},
            {"role": "user", "content": [
                {"toolResult": {"toolUseId": "toolu_1", "content": [{"text": "ok"}], "status": "error"}},
                {"toolResult": {"toolUseId": "toolu_2", "content": [{"text": "ok"}]}},
                {"text": "Go on."}]}
        ],
        "toolConfig": {
            "tools": [
                {"toolSpec": {"name": read, "inputSchema": {"json": {"type": "object", "properties": {}}}, "description": "Reads."}},
                {"cachePoint": {"type": "default", "ttl": "1h"}},
                {"toolSpec": {"name": "patch", "inputSchema": {"json": crate::translate::input_schema()}}}],
            "toolChoice": {"any": {}}
        },
        "inferenceConfig": {"maxTokens": 100, "stopSequences": ["END"]},
        "additionalModelRequestFields": {"top_k": 5},
        "requestMetadata": {"team": "a"}
    });
    assert_eq!(body, expected);
    assert_eq!(warnings, ["thinking of another model was left out of the conversation"]);
}

#[test]
fn without_tools_a_conversation_with_calls_still_declares_them() {
    let request = Request { tools: Vec::new(), tool_choice: Some(ToolChoice::None), ..conversation() };

    let (body, _) = written(&request, CLAUDE);

    assert_eq!(body["toolConfig"]["tools"].as_array().unwrap().len(), 2);
    assert_eq!(body["toolConfig"].get("toolChoice"), None);
    let (body, _) = written(&Request { turns: Vec::new(), ..conversation() }, CLAUDE);
    assert_eq!(body["toolConfig"]["toolChoice"], json!({"any": {}}));
    let none = Request { turns: Vec::new(), tool_choice: Some(ToolChoice::None), ..conversation() };
    assert_eq!(written(&none, CLAUDE).0.get("toolConfig"), None);
}

#[test]
fn thinking_follows_the_model() {
    let ask = |model: &str, effort: Effort| {
        let reasoning = Some(Reasoning { effort: Some(effort), ..Reasoning::default() });
        let request = Request { reasoning, max_output: Some(9000), ..Request::default() };
        written(&request, model).0["additionalModelRequestFields"].clone()
    };

    assert_eq!(ask(CLAUDE, Effort::High), json!({"thinking": {"type": "enabled", "budget_tokens": 4096}}));
    assert_eq!(
        ask("anthropic.claude-opus-4-6-v1", Effort::Max),
        json!({"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}})
    );
    assert_eq!(ask("openai.gpt-oss-120b-1:0", Effort::Max), json!({"reasoning_effort": "high"}));
    assert_eq!(
        ask("us.amazon.nova-2-lite-v1:0", Effort::Low),
        json!({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}})
    );
    assert_eq!(ask("meta.llama3-70b-instruct-v1:0", Effort::Low), Value::Null);
}

#[test]
fn what_bedrock_cannot_be_told_is_refused_by_name() {
    let field = |request: Request| testing::encoded(&Converse, &request, CLAUDE).unwrap_err().field;
    let image = |source| Request {
        turns: vec![Turn { role: Role::User, parts: vec![Part::Image { source, detail: None, cache: None }] }],
        ..Request::default()
    };

    assert_eq!(field(image(Media::Url { mime: None, url: "https://example.com/a.png".to_owned() })), "image_url");
    assert_eq!(field(image(Media::Inline { mime: "image/tiff".to_owned(), base64: String::new() })), "image_url");
    assert_eq!(field(Request { seed: Some(1), ..Request::default() }), "seed");
    assert_eq!(field(Request { output: OutputFormat::Json, ..Request::default() }), "response_format");
    let why = Converse.decode_request(b"{}", &testing::Open).unwrap_err().why;
    assert!(why.contains("Converse"), "{why}");
}

fn event(kind: &str, payload: &Value) -> Vec<u8> {
    let headers = [(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")];
    frames::written(&headers, payload.to_string().as_bytes())
}

/// An answer as Bedrock streams it: nothing opens text and thinking, usage comes behind the stop.
fn stream() -> Vec<u8> {
    let delta =
        |index: u64, delta: Value| event("contentBlockDelta", &json!({"contentBlockIndex": index, "delta": delta}));
    let stop = |index: u64| event("contentBlockStop", &json!({"contentBlockIndex": index}));
    let start = |index: u64, id: &str, name: &str| {
        let start = json!({"toolUse": {"toolUseId": id, "name": name}});
        event("contentBlockStart", &json!({"contentBlockIndex": index, "start": start}))
    };
    [
        event("messageStart", &json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "hm, "}})),
        delta(0, json!({"reasoningContent": {"text": "é"}})),
        delta(0, json!({"reasoningContent": {"signature": "EqQB"}})),
        stop(0),
        delta(1, json!({"reasoningContent": {"redactedContent": "b3BhcXVl"}})),
        stop(1),
        delta(2, json!({"text": "I look."})),
        stop(2),
        start(3, "tooluse_1", "look"),
        delta(3, json!({"toolUse": {"input": "{\"at\":"}})),
        delta(3, json!({"toolUse": {"input": "\"it\"}"}})),
        stop(3),
        start(4, "tooluse_2", "list"),
        delta(4, json!({"toolUse": {"input": ""}})),
        stop(4),
        event("messageStop", &json!({"stopReason": "tool_use"})),
        event("metadata", &json!({"usage": {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 2, "cacheWriteInputTokens": 3, "totalTokens": 17}, "metrics": {"latencyMs": 1}})),
    ]
    .concat()
}

fn whole() -> Response {
    let body = json!({
        "output": {"message": {"role": "assistant", "content": [
            {"reasoningContent": {"reasoningText": {"text": "hm, é", "signature": "EqQB"}}},
            {"reasoningContent": {"redactedContent": "b3BhcXVl"}},
            {"text": "I look."},
            {"toolUse": {"toolUseId": "tooluse_1", "name": "look", "input": {"at": "it"}}},
            {"toolUse": {"toolUseId": "tooluse_2", "name": "list", "input": {}}}]}},
        "stopReason": "tool_use",
        "usage": {"inputTokens": 5, "outputTokens": 7, "cacheReadInputTokens": 2, "cacheWriteInputTokens": 3, "totalTokens": 17}
    });
    Converse.decode_response(body.to_string().as_bytes(), &Names::default()).unwrap()
}

fn read(stream: &[u8], cuts: &[usize]) -> Vec<Event> {
    testing::events(&Converse, Names::default(), stream, cuts).unwrap()
}

#[test]
fn a_stream_says_what_the_whole_answer_says() {
    let mut collector = Collector::default();
    for event in read(&stream(), &[usize::MAX]) {
        collector.push(event);
    }

    assert_eq!(collector.finish().unwrap(), whole());
    assert_eq!(whole().usage.unwrap().total(), 17);
    assert_eq!(whole().choices[0].stop, Stop::ToolCalls);
}

proptest! {
    #[test]
    fn the_cut_makes_no_difference(cuts in prop::collection::vec(1_usize..200, 1..20)) {
        prop_assert_eq!(read(&stream(), &cuts), read(&stream(), &[usize::MAX]));
    }
}

#[test]
fn exceptions_are_frames() {
    let headers = [(":exception-type", "throttlingException"), (":message-type", "exception")];
    let stream =
        [event("messageStart", &json!({"role": "assistant"})), frames::written(&headers, br#"{"message":"later"}"#)];
    let error = Event::Error { code: "throttlingException".to_owned(), message: "later".to_owned() };

    assert_eq!(read(&stream.concat(), &[usize::MAX]).pop(), Some(error));
}

#[test]
fn a_stream_that_breaks_off_is_no_answer() {
    let stream = stream();
    for cut in [0, 30, stream.len() / 2, stream.len() - 1] {
        assert!(matches!(read(&stream[..cut], &[usize::MAX]).pop(), Some(Event::Error { .. })), "{cut}");
    }
    let mut flipped = stream;
    flipped[20] ^= 1;
    assert!(testing::events(&Converse, Names::default(), &flipped, &[usize::MAX]).is_err());
}

#[test]
fn wrapped_tools_and_schemas_are_unwrapped() {
    let output =
        OutputFormat::Schema { name: None, description: None, schema: json!({"type": "object"}), strict: None };
    let quirks = Quirks::default();
    let target = Target { model: CLAUDE, max_output: None, quirks: &quirks, drop_unsupported: false };
    let request = Request { output, tool_choice: None, ..conversation() };
    let names = Converse.encode_request(&request, &target).unwrap().names;
    let answer = |name: &str, input: Value| {
        let block = json!({"toolUse": {"toolUseId": "t", "name": name, "input": input}});
        let body = json!({"output": {"message": {"content": [block]}}, "stopReason": "tool_use"});
        Converse.decode_response(body.to_string().as_bytes(), &names).unwrap().choices.remove(0)
    };

    assert_eq!(answer("answer", json!({"a": 1})), Choice { parts: vec![text(r#"{"a":1}"#)], ..Choice::default() });
    assert_eq!(answer("patch", json!({"input": "*** x"})).parts, [call("t", "patch", "*** x")]);
}
