//! Failures, in the words of each dialect, and what providers say of theirs.
//!
//! SDKs turn status and body into their own typed exceptions, and repeat a call on 408, 409, 429 and 5xx.

use serde_json::{Map, Value, json};

use crate::Dialect;

/// What went wrong with a call, for its agent.
#[derive(Debug, Clone, Copy)]
pub struct Failure<'a> {
    /// HTTP status.
    pub status: u16,
    /// Stable word (`budget_exceeded`), the same in every dialect.
    pub code: &'a str,
    /// Who, what, why and what now.
    pub message: &'a str,
    /// The request's id.
    pub request_id: &'a str,
    /// The field it is about.
    pub param: Option<&'a str>,
    /// Particulars for programs (`scope`, `reset_at`, …).
    pub data: Option<&'a Map<String, Value>>,
}

/// How an answer is streamed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Events,
    /// Gemini's JSON array; `begun` once something was sent.
    Array {
        /// Whether an element was sent.
        begun: bool,
    },
}

/// What a provider says of a failure.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProviderError {
    /// Its specific word (`context_length_exceeded`, `API_KEY_INVALID`).
    pub code: Option<String>,
    /// Its general word (`invalid_request_error`, `RESOURCE_EXHAUSTED`).
    pub kind: Option<String>,
    /// Its sentence; never empty when it comes from [`read`].
    pub message: String,
}

/// The longest message of a provider that is kept, in bytes.
const MESSAGE_MAX: usize = 2048;
/// The longest body of a provider that is read for its message, in bytes.
const BODY_MAX: usize = 256 * 1024;

/// Status and body of a refused call.
pub fn body(dialect: Dialect, failure: &Failure<'_>) -> (u16, Vec<u8>) {
    (status(dialect, failure.status), value(dialect, failure).to_string().into_bytes())
}

/// The end of a stream that broke off: what an SDK turns into an exception instead of a short answer.
pub fn frame(dialect: Dialect, framing: Framing, failure: &Failure<'_>) -> Vec<u8> {
    let error = value(dialect, failure);
    let text = match (dialect, framing) {
        (Dialect::Messages, _) => format!("event: error\ndata: {error}\n\n"),
        // Codex reads the first of these, the SDKs raise on the second.
        (Dialect::Responses, _) => {
            let failed = json!({"type": "response.failed", "response": {
                "id": format!("resp_{}", failure.request_id), "object": "response", "status": "failed", "output": [],
                "error": {"code": failure.code, "message": failure.message},
            }});
            let mut error = error;
            error["type"] = "error".into();
            error["code"] = failure.code.into();
            error["message"] = failure.message.into();
            error["param"] = failure.param.into();
            format!("event: response.failed\ndata: {failed}\n\nevent: error\ndata: {error}\n\n")
        }
        (Dialect::Gemini, Framing::Array { begun }) => format!("{}{error}]", if begun { "," } else { "[" }),
        (Dialect::Chat | Dialect::Gemini | Dialect::Converse, _) => format!("data: {error}\n\n"),
    };
    text.into_bytes()
}

/// The status a dialect's SDKs know. Only Anthropic has one of its own for overload.
fn status(dialect: Dialect, status: u16) -> u16 {
    match (dialect, status) {
        (Dialect::Messages, 503) => 529,
        (Dialect::Messages, status) => status,
        (_, 529) => 503,
        (_, status) => status,
    }
}

fn value(dialect: Dialect, failure: &Failure<'_>) -> Value {
    let status = status(dialect, failure.status);
    let mut error = json!({"message": failure.message, "code": failure.code});
    match dialect {
        Dialect::Chat | Dialect::Responses => {
            error["type"] = openai_type(status, failure.code).into();
            error["param"] = failure.param.into();
            with_data(&mut error, failure);
            json!({"error": error})
        }
        Dialect::Messages => {
            error["type"] = anthropic_type(status).into();
            with_data(&mut error, failure);
            json!({"type": "error", "error": error, "request_id": failure.request_id})
        }
        Dialect::Gemini => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let particulars: Map<String, Value> =
                failure.data.into_iter().flatten().map(|(name, value)| (name.clone(), text(value).into())).collect();
            let info = json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "domain": "preloop",
                "reason": failure.code, "metadata": particulars});
            json!({"error": {"code": status, "message": failure.message, "status": google_status(status),
                "details": [info]}})
        }
        Dialect::Converse => json!({"message": failure.message, "code": failure.code}),
    }
}

fn with_data(error: &mut Value, failure: &Failure<'_>) {
    if let Some(data) = failure.data {
        error["data"] = Value::Object(data.clone());
    }
}

fn openai_type(status: u16, code: &str) -> &'static str {
    match (status, code) {
        (429, "upstream_quota") => "insufficient_quota",
        (404, "model_not_found") | (400 | 413 | 422, _) => "invalid_request_error",
        (401, _) => "authentication_error",
        (402, _) => "billing_error",
        (403, _) => "permission_error",
        (404, _) => "not_found_error",
        (409, _) => "conflict_error",
        (429, _) => "rate_limit_error",
        _ => "api_error",
    }
}

fn anthropic_type(status: u16) -> &'static str {
    match status {
        400 | 422 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        _ => "api_error",
    }
}

fn google_status(status: u16) -> &'static str {
    match status {
        400 | 413 | 422 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        402 => "FAILED_PRECONDITION",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INTERNAL",
    }
}

/// Reads what a provider says of a failure. Providers that claim a dialect do not all write its errors, so
/// every known shape is read in every dialect.
pub fn read(dialect: Dialect, status: u16, body: &[u8]) -> ProviderError {
    let parsed: Option<Value> = serde_json::from_slice(body.get(..BODY_MAX).unwrap_or(body)).ok();
    let mut found = match &parsed {
        Some(Value::Array(items)) => items.first().map(from_value).unwrap_or_default(),
        Some(value) => from_value(value),
        None => plain(body).unwrap_or_default(),
    };
    if found.message.is_empty() {
        let what = if parsed.is_some() { "no message" } else { "a text that is no JSON" };
        found.message = format!("the provider answered {status} with {what}");
    }
    if dialect == Dialect::Converse && found.code.is_none() {
        // `com.amazon.coral#ThrottlingException:http://…`
        let kind = found.kind.as_deref().unwrap_or_default();
        let name = kind.rsplit('#').next().and_then(|name| name.split(':').next()).unwrap_or_default();
        found.code = (!name.is_empty()).then(|| name.to_owned());
    }
    found.message.truncate(found.message.floor_char_boundary(MESSAGE_MAX));
    found
}

fn from_value(value: &Value) -> ProviderError {
    let word = |name: &str, object: &Value| match &object[name] {
        Value::String(word) if !word.is_empty() => Some(word.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    let error = match &value["error"] {
        Value::Null => value,
        error => error,
    };
    // Google's particulars name the reason.
    let reason =
        error["details"].as_array().and_then(|details| details.iter().find_map(|detail| word("reason", detail)));
    let message = error
        .as_str()
        .map(str::to_owned)
        .or_else(|| word("message", error))
        .or_else(|| word("Message", error))
        .or_else(|| word("message", value))
        .or_else(|| detail(&value["detail"]));
    ProviderError {
        code: reason.or_else(|| word("code", error)),
        kind: word("type", error).or_else(|| word("status", error)).or_else(|| word("__type", value)),
        message: message.unwrap_or_default(),
    }
}

/// What web frameworks of Python say: a sentence, or a list of places and sentences.
fn detail(detail: &Value) -> Option<String> {
    match detail {
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            Some(items.iter().filter_map(|item| item["msg"].as_str()).collect::<Vec<_>>().join("; "))
        }
        _ => None,
    }
}

/// A short sentence; not a page.
fn plain(body: &[u8]) -> Option<ProviderError> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let sentence = !text.is_empty() && text.len() <= 300 && !text.contains('<');
    sentence.then(|| ProviderError { message: text.to_owned(), ..ProviderError::default() })
}
