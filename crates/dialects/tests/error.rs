//! Failures as each dialect's SDKs expect them, and as providers write them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use preloop_dialects::{
    Dialect,
    error::{Failure, Framing, body, frame, read},
};
use serde_json::{Value, json};

const SPENT: Failure<'_> = Failure {
    status: 403,
    code: "budget_exceeded",
    message: "the budget is spent",
    request_id: "r1",
    param: None,
    data: None,
};

fn refused(dialect: Dialect, failure: &Failure<'_>) -> (u16, Value) {
    let (status, body) = body(dialect, failure);
    (status, serde_json::from_slice(&body).unwrap())
}

#[test]
fn each_dialect_has_its_own_body() {
    let data = json!({"scope": "key", "limit_usd": 1});
    let spent = Failure { data: data.as_object(), ..SPENT };
    assert_eq!(
        refused(Dialect::Chat, &spent),
        (
            403,
            json!({"error": {"message": "the budget is spent", "type": "permission_error", "param": null,
            "code": "budget_exceeded", "data": data}})
        )
    );
    assert_eq!(
        refused(Dialect::Messages, &spent),
        (
            403,
            json!({"type": "error", "error": {"type": "permission_error", "message": "the budget is spent",
            "code": "budget_exceeded", "data": data}, "request_id": "r1"})
        )
    );
    assert_eq!(
        refused(Dialect::Gemini, &spent),
        (
            403,
            json!({"error": {"code": 403, "message": "the budget is spent", "status": "PERMISSION_DENIED", "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "preloop", "reason": "budget_exceeded",
             "metadata": {"scope": "key", "limit_usd": "1"}}]}})
        )
    );
}

#[test]
fn each_status_has_its_word() {
    let rows = [
        (400, "invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"),
        (401, "authentication_error", "authentication_error", "UNAUTHENTICATED"),
        (402, "billing_error", "billing_error", "FAILED_PRECONDITION"),
        (403, "permission_error", "permission_error", "PERMISSION_DENIED"),
        (404, "not_found_error", "not_found_error", "NOT_FOUND"),
        (409, "conflict_error", "conflict_error", "ABORTED"),
        (413, "invalid_request_error", "request_too_large", "INVALID_ARGUMENT"),
        (429, "rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"),
        (500, "api_error", "api_error", "INTERNAL"),
        (502, "api_error", "api_error", "INTERNAL"),
        (503, "api_error", "overloaded_error", "UNAVAILABLE"),
        (504, "api_error", "timeout_error", "DEADLINE_EXCEEDED"),
        (529, "api_error", "overloaded_error", "UNAVAILABLE"),
    ];
    for (status, openai, anthropic, google) in rows {
        let failure = Failure { status, code: "x", ..SPENT };
        for dialect in [Dialect::Chat, Dialect::Responses] {
            assert_eq!(refused(dialect, &failure).1["error"]["type"], openai);
        }
        assert_eq!(refused(Dialect::Messages, &failure).1["error"]["type"], anthropic);
        assert_eq!(refused(Dialect::Gemini, &failure).1["error"]["status"], google);
    }
    assert_eq!(refused(Dialect::Messages, &Failure { status: 503, ..SPENT }).0, 529);
    assert_eq!(refused(Dialect::Chat, &Failure { status: 529, ..SPENT }).0, 503);
    let missing = Failure { status: 404, code: "model_not_found", ..SPENT };
    assert_eq!(refused(Dialect::Chat, &missing).1["error"]["type"], "invalid_request_error");
    let quota = Failure { status: 429, code: "upstream_quota", ..SPENT };
    assert_eq!(refused(Dialect::Chat, &quota).1["error"]["type"], "insufficient_quota");
}

#[test]
fn a_broken_stream_ends_with_an_error_frame() {
    let broken = Failure { status: 502, code: "upstream_unavailable", message: "it broke", ..SPENT };
    let text = |dialect, framing| String::from_utf8(frame(dialect, framing, &broken)).unwrap();
    assert!(text(Dialect::Chat, Framing::Events).starts_with("data: {\"error\":{"));
    assert!(text(Dialect::Messages, Framing::Events).starts_with("event: error\ndata: {\"type\":\"error\""));
    let responses = text(Dialect::Responses, Framing::Events);
    assert!(responses.starts_with("event: response.failed\ndata: {\"type\":\"response.failed\""));
    assert!(responses.contains("\n\nevent: error\ndata: {\"error\":{"));
    assert!(text(Dialect::Gemini, Framing::Events).ends_with("}\n\n"));
    for begun in [true, false] {
        let whole = format!("{}{}", if begun { "[{}" } else { "" }, text(Dialect::Gemini, Framing::Array { begun }));
        assert!(serde_json::from_str::<Value>(&whole).unwrap().is_array());
    }
}

#[test]
fn what_providers_write_is_read() {
    let three = |dialect, body: &str| {
        let error = read(dialect, 400, body.as_bytes());
        (error.code.unwrap_or_default(), error.kind.unwrap_or_default(), error.message)
    };
    for (dialect, body, expected) in [
        (
            Dialect::Chat,
            r#"{"error":{"message":"too long","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#,
            ("context_length_exceeded", "invalid_request_error", "too long"),
        ),
        (Dialect::Chat, r#"{"error":"model 'x' not found"}"#, ("", "", "model 'x' not found")),
        (Dialect::Chat, r#"{"error":{"message":"slow down","code":429,"metadata":{}}}"#, ("429", "", "slow down")),
        (
            Dialect::Chat,
            r#"{"object":"error","message":"bad","type":"invalid_model","code":"1500"}"#,
            ("1500", "invalid_model", "bad"),
        ),
        (
            Dialect::Chat,
            r#"{"detail":[{"loc":["body"],"msg":"field required"},{"msg":"no"}]}"#,
            ("", "", "field required; no"),
        ),
        (Dialect::Chat, r#"{"detail":"Unauthorized"}"#, ("", "", "Unauthorized")),
        (
            Dialect::Messages,
            r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"r"}"#,
            ("", "overloaded_error", "Overloaded"),
        ),
        (
            Dialect::Gemini,
            r#"[{"error":{"code":400,"message":"API key not valid","status":"INVALID_ARGUMENT","details":[{"@type":"x"},{"reason":"API_KEY_INVALID"}]}}]"#,
            ("API_KEY_INVALID", "INVALID_ARGUMENT", "API key not valid"),
        ),
        (
            Dialect::Converse,
            r#"{"__type":"com.amazon.coral.service#ThrottlingException:http://x","Message":"slow"}"#,
            ("ThrottlingException", "com.amazon.coral.service#ThrottlingException:http://x", "slow"),
        ),
        (Dialect::Chat, "upstream connect error\n", ("", "", "upstream connect error")),
        (
            Dialect::Chat,
            "<html><body>502</body></html>",
            ("", "", "the provider answered 400 with a text that is no JSON"),
        ),
        (Dialect::Chat, "{}", ("", "", "the provider answered 400 with no message")),
        (Dialect::Chat, "", ("", "", "the provider answered 400 with a text that is no JSON")),
    ] {
        let (code, kind, message) = expected;
        assert_eq!(three(dialect, body), (code.to_owned(), kind.to_owned(), message.to_owned()), "{body}");
    }
    let long = format!(r#"{{"error":{{"message":"{}"}}}}"#, "é".repeat(3000));
    assert!(read(Dialect::Chat, 400, long.as_bytes()).message.len() <= 2048);
}
