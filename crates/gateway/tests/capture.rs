//! What is kept of conversations.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use preloop_dialects::{
    Dialect,
    usage::{Reading, Said},
};
use preloop_gateway::capture::{Conversation, bytes_of_answer, conversation};
use preloop_types::config::Capture;
use serde_json::{Value, json};

fn kept(capture: Capture, dialect: Dialect, body: &Value) -> Conversation {
    let said =
        Said { text: "done".to_owned(), calls: vec![("look".to_owned(), "{\"a\":1}".to_owned())], truncated: false };
    let answer = Reading { said: Some(said), ..Reading::default() };
    conversation(capture, dialect, body.to_string().as_bytes(), &answer).unwrap().unwrap()
}

fn turns() -> Value {
    json!({"model": "m", "system": "be brief", "messages": [
        {"role": "user", "content": "first"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t", "name": "read", "input": {"path": "x"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "password=hunter2hunter2"}]},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAEC"}},
            {"type": "text", "text": "go on"}]},
    ]})
}

#[test]
fn what_is_new_is_kept_without_secrets_and_media() {
    let kept = kept(Capture::Preview, Dialect::Messages, &turns());
    assert_eq!(
        serde_json::to_value(&kept).unwrap(),
        json!({"capture": "preview", "earlier": 3, "messages": [
            {"source": "request", "role": "user", "content": "password=[REDACTED]\ngo on", "characters": 29,
             "media": [{"mime": "image/png", "bytes": 3,
                        "sha256": "ae4b3280e56e2faf83f414a6e3dabe9d5fbe18976544c05fed121accb85b53fc"}],
             "redacted": true, "truncated": false},
            {"source": "response", "role": "assistant", "content": "done", "characters": 4,
             "tool_calls": [{"name": "look", "arguments": "{\"a\":1}"}], "redacted": false, "truncated": false},
        ]})
    );
}

#[test]
fn metadata_says_nothing_of_what_was_said() {
    let text = serde_json::to_string(&kept(Capture::Metadata, Dialect::Messages, &turns())).unwrap();
    assert!(!text.contains("go on") && !text.contains("done") && !text.contains("\\\"a\\\""));
    assert!(text.contains("\"characters\":29") && text.contains("\"look\""));
    assert_eq!(conversation(Capture::Off, Dialect::Chat, b"{}", &Reading::default()), Ok(None));
    assert_eq!(bytes_of_answer(Capture::Off), None);
}

#[test]
fn the_first_call_of_a_conversation_has_its_instructions() {
    for (dialect, body) in [
        (
            Dialect::Chat,
            json!({"messages": [{"role": "developer", "content": "be"}, {"role": "user", "content": "hi"}]}),
        ),
        (
            Dialect::Responses,
            json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}], "instructions": "be"}),
        ),
        (Dialect::Responses, json!({"input": "hi", "instructions": "be"})),
        (
            Dialect::Messages,
            json!({"messages": [{"role": "user", "content": "hi"}], "system": [{"type": "text", "text": "be"}]}),
        ),
        (
            Dialect::Gemini,
            json!({"contents": [{"role": "user", "parts": [{"text": "hi"}]}], "systemInstruction": {"parts": [{"text": "be"}]}}),
        ),
    ] {
        let kept = kept(Capture::Preview, dialect, &body);
        let said: Vec<_> = kept.messages.iter().map(|m| (m.role.as_str(), m.content.as_deref().unwrap())).collect();
        assert_eq!(said, [("system", "be"), ("user", "hi"), ("assistant", "done")], "{body}");
        assert_eq!(kept.earlier, 0);
    }
}

#[test]
fn tool_results_of_every_dialect_are_new() {
    for (dialect, body) in [
        (
            Dialect::Chat,
            json!({"messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "result"}]}),
        ),
        (
            Dialect::Responses,
            json!({"input": [
            {"role": "user", "content": "a"}, {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
            {"type": "function_call_output", "call_id": "c", "output": "result"}]}),
        ),
        (
            Dialect::Gemini,
            json!({"contents": [
            {"role": "user", "parts": [{"text": "a"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": "result"}}]}]}),
        ),
    ] {
        let kept = kept(Capture::Preview, dialect, &body);
        assert_eq!((kept.earlier, kept.messages.len()), (2, 2), "{body}");
        assert!(kept.messages[0].content.as_deref().unwrap().contains("result"));
    }
}

#[test]
fn everything_is_bounded() {
    let long = json!({"messages": [{"role": "user", "content": "é".repeat(100_000)}]});
    let preview = kept(Capture::Preview, Dialect::Chat, &long);
    assert!(preview.messages[0].truncated && preview.messages[0].characters == 100_000);
    assert_eq!(preview.messages[0].content.as_ref().map(String::len), Some(4096));
    assert_eq!(kept(Capture::Full, Dialect::Chat, &long).messages[0].content.as_ref().map(String::len), Some(200_000));

    let many: Vec<Value> = (0..100).map(|n| json!({"role": "user", "content": n.to_string()})).collect();
    let kept = kept(Capture::Preview, Dialect::Chat, &json!({"messages": many}));
    assert_eq!((kept.earlier, kept.messages.len()), (80, 21));

    // A secret across the cut is not kept in part.
    let across = format!("{}{}", "x ".repeat(2040), "sk-abcdefghijklmnopqrstuvwxyz0123456789");
    let kept = self::kept(Capture::Preview, Dialect::Chat, &json!({"messages": [{"role": "user", "content": across}]}));
    assert!(!kept.messages[0].content.as_deref().unwrap().contains("sk-"));
}
