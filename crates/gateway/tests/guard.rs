//! What guardrails let through, change and stop.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use bytes::Bytes;
use preloop_dialects::Dialect;
use preloop_gateway::guard::{Guard, Outcome, StreamGuard};
use preloop_types::{GuardrailAction, Guardrails};
use proptest::prelude::*;
use serde_json::json;

const SECRET: &str = "sk-abcdefghij0123456789klmnop";

fn guard(action: &str) -> Guard {
    let rules = json!({"rules": [{"name": "no keys", "detect": ["secrets"], "action": action}]});
    compile(&rules)
}

fn compile(rules: &serde_json::Value) -> Guard {
    let guardrails: Guardrails = serde_json::from_value(rules.clone()).unwrap();
    Guard::compile(&guardrails).unwrap().unwrap()
}

fn request(text: &str) -> String {
    format!(
        r#"{{ "model":"m", "messages":[{{"role":"user","content":"h\u00e9"}},{{"role":"user","content":"{text}"}}],"n":1.0 }}"#
    )
}

#[test]
fn nothing_is_looked_at_without_rules() {
    assert!(Guard::compile(&Guardrails::default()).unwrap().is_none());
}

#[test]
fn a_request_is_passed_noted_redacted_held_or_refused() {
    let body = request(&format!(r"key\n{SECRET} \ud83d\ude00"));
    let clean = request("nothing here");
    for action in ["notify", "redact", "ask", "deny"] {
        assert_eq!(guard(action).request(Dialect::Chat, clean.as_bytes()).outcome, Outcome::Pass);
    }
    let outcome = |action| guard(action).request(Dialect::Chat, body.as_bytes()).outcome;
    assert_eq!(outcome("notify"), Outcome::Pass);
    // Only the string with the secret is written anew.
    assert_eq!(outcome("redact"), Outcome::Redacted(request("key\\n[REDACTED] 😀").into_bytes()));
    assert_eq!(outcome("ask"), Outcome::Ask { workflow: None, redacted: None });
    assert_eq!(
        outcome("deny"),
        Outcome::Refuse("the guardrail `no keys` refuses this message because of what it contains (secret)".to_owned())
    );

    let checked = guard("notify").request(Dialect::Chat, body.as_bytes());
    let [finding] = checked.findings.as_slice() else { panic!("{:?}", checked.findings) };
    assert_eq!((finding.kind, finding.count, finding.action), ("secret", 1, GuardrailAction::Notify));
    assert!(!format!("{checked:?}").contains("sk-abc"));
}

#[test]
fn the_strictest_of_several_rules_counts() {
    let guard = compile(&json!({"rules": [
        {"name": "mail", "on": "request", "detect": ["email"], "action": "redact"},
        {"name": "cards", "on": "request", "detect": ["payment_card", {"words": ["top secret"]}], "action": "ask", "workflow": "security"},
    ]}));
    let body = request("ann@example.org is TOP SECRET");
    let redacted = Some(request("[REDACTED] is TOP SECRET").into_bytes());
    assert_eq!(
        guard.request(Dialect::Chat, body.as_bytes()).outcome,
        Outcome::Ask { workflow: Some("security".into()), redacted }
    );
    // Neither rule is for answers.
    assert_eq!(guard.answer(br#"{"choices":[{"message":{"content":"ann@example.org"}}]}"#).outcome, Outcome::Pass);
}

#[test]
fn what_would_break_if_it_changed_is_left_alone() {
    let body = format!(
        r#"{{"messages":[{{"role":"assistant","content":[{{"type":"thinking","thinking":"{SECRET}","signature":"{SECRET}"}},
           {{"type":"tool_use","id":"t","name":"f","input":{{"url":"{SECRET}"}}}}]}},
           {{"role":"user","content":[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{SECRET}"}}}}]}}]}}"#
    );
    let Outcome::Redacted(redacted) = guard("redact").request(Dialect::Messages, body.as_bytes()).outcome else {
        panic!("nothing was redacted")
    };
    let expected = body.replace(&format!(r#""url":"{SECRET}""#), r#""url":"[REDACTED]""#);
    assert_eq!(String::from_utf8(redacted).unwrap(), expected);
}

#[test]
fn what_cannot_be_checked_is_refused() {
    let refused = |outcome| matches!(outcome, Outcome::Refuse(_));
    assert!(refused(guard("notify").request(Dialect::Chat, b"{\"messages\":").outcome));
    assert!(refused(guard("notify").answer(b"<html>").outcome));
    let late = json!({"deadline_ms": 0, "rules": [{"name": "x", "detect": ["secrets"], "action": "notify"}]});
    assert!(refused(compile(&late).request(Dialect::Chat, request("x").as_bytes()).outcome));
    let mut lenient = late;
    lenient["on_timeout"] = json!("allow");
    assert_eq!(compile(&lenient).request(Dialect::Chat, request("x").as_bytes()).outcome, Outcome::Pass);
}

fn chat_stream(pieces: &[&str]) -> String {
    let frames = pieces.iter().map(|piece| {
        let chunk = json!({"id": "c", "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": null}]});
        format!("data: {chunk}\n\n")
    });
    let end = r#"data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    format!("{}{end}\n\ndata: [DONE]\n\n", frames.collect::<String>())
}

fn streamed(guard: Guard, stream: &str, size: usize) -> (String, Result<u32, String>) {
    let mut checked = StreamGuard::new(Arc::new(guard));
    let mut out = Vec::new();
    let mut stopped = None;
    for piece in stream.as_bytes().chunks(size) {
        if let Err(stop) = checked.feed(Bytes::copy_from_slice(piece), &mut out) {
            stopped = Some(stop.message);
            break;
        }
    }
    let result = match stopped {
        Some(message) => Err(message),
        None => checked.finish(&mut out).map(|found| found.iter().map(|f| f.count).sum()).map_err(|stop| stop.message),
    };
    (String::from_utf8(out.concat()).unwrap(), result)
}

fn said(stream: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks = data.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
    chunks.filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

#[test]
fn a_secret_in_pieces_is_redacted_before_its_first_piece_leaves() {
    let (a, rest) = SECRET.split_at(3);
    let (b, c) = rest.split_at(9);
    let stream = chat_stream(&["The key is ", a, b, c, " and ", "password", "=hunt", "er2hunter2", " ok."]);
    let (out, found) = streamed(guard("redact"), &stream, 7);
    assert_eq!(said(&out), "The key is [REDACTED] and password=[REDACTED] ok.");
    assert_eq!(found, Ok(2));
    assert!(out.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_long_key_is_waited_for() {
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", "MIIEvQ\n".repeat(300));
    let pieces: Vec<String> =
        format!("a {key} b").as_bytes().chunks(11).map(|p| String::from_utf8(p.to_vec()).unwrap()).collect();
    let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
    let (out, found) = streamed(guard("redact"), &chat_stream(&pieces), 1000);
    assert_eq!((said(&out).as_str(), found), ("a [REDACTED] b", Ok(1)));
}

#[test]
fn a_denied_answer_stops_before_what_is_denied() {
    let (a, b) = SECRET.split_at(5);
    let (out, result) = streamed(guard("deny"), &chat_stream(&["x ", a, b, " y"]), 50);
    assert!(!said(&out).contains("sk-"));
    assert_eq!(result.unwrap_err(), "the guardrail `no keys` refuses this answer because of what it contains (secret)");
    let (_, asked) = streamed(guard("ask"), &chat_stream(&[SECRET, " "]), 50);
    assert!(asked.unwrap_err().contains("wants a person to see"));
}

#[test]
fn a_rule_that_only_notes_delays_nothing() {
    let mut checked = StreamGuard::new(Arc::new(guard("notify")));
    let mut out = Vec::new();
    let mut sent = String::new();
    let (a, b) = SECRET.split_at(5);
    for piece in chat_stream(&["x ", a, b, " y"]).as_bytes().chunks(13) {
        sent.push_str(std::str::from_utf8(piece).unwrap());
        checked.feed(Bytes::copy_from_slice(piece), &mut out).unwrap();
        assert_eq!(out.concat(), sent.as_bytes());
    }
    assert_eq!(checked.finish(&mut out).unwrap()[0].count, 1);
    assert_eq!(out.concat(), sent.as_bytes());
}

#[test]
fn frames_wait_for_a_window_of_text_and_no_longer() {
    let mut checked = StreamGuard::new(Arc::new(guard("redact")));
    let mut out = Vec::new();
    let frame =
        |text: &str| Bytes::from(format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n"));
    checked.feed(frame("a"), &mut out).unwrap();
    assert!(out.is_empty());
    checked.feed(frame(&"b ".repeat(128)), &mut out).unwrap();
    assert_eq!(out, [frame("a")]);
    checked.feed(Bytes::from_static(b"data: [DONE]\n\n"), &mut out).unwrap();
    assert_eq!(out.len(), 3);
}

#[test]
fn a_responses_stream_is_clean_in_every_repetition() {
    let stream = format!(
        "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"delta\":\"{SECRET}\"}}\n\n\
         data: {{\"type\":\"response.output_text.done\",\"text\":\"{SECRET}\"}}\n\n\
         data: {{\"type\":\"response.completed\",\"response\":{{\"output\":[{{\"content\":[{{\"text\":\"{SECRET}\"}}]}}]}}}}\n\n"
    );
    let (out, found) = streamed(guard("redact"), &stream, 40);
    assert_eq!((out, found), (stream.replace(SECRET, "[REDACTED]"), Ok(3)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However an answer is cut into pieces and bytes: what leaves is what redacting the whole would give.
    #[test]
    fn the_cut_makes_no_difference(cuts in prop::collection::vec(1_usize..12, 1..40), size in 1_usize..300) {
        let text = format!("a {SECRET} b ann@example.org\npassword: s3cr3tpass c {}", "filler ".repeat(60));
        let mut rest = text.as_str();
        let mut pieces = Vec::new();
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() { break; }
        }
        let (out, _) = streamed(guard("redact"), &chat_stream(&pieces), size);
        let expected = text.replace(SECRET, "[REDACTED]").replace("s3cr3tpass", "[REDACTED]");
        prop_assert_eq!(said(&out), expected);
    }

    #[test]
    fn a_clean_stream_is_not_changed(pieces in prop::collection::vec("[a-z é漢\n\"]{0,30}", 0..20), size in 1_usize..300) {
        let pieces: Vec<&str> = pieces.iter().map(String::as_str).collect();
        let stream = chat_stream(&pieces);
        prop_assert_eq!(streamed(guard("redact"), &stream, size), (stream, Ok(0)));
    }
}
