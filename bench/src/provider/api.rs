//! The shapes of the five APIs: how each says an answer, whole and in frames, and how it says no.

mod chat;
mod converse;
mod gemini;
mod messages;
mod responses;

use bytes::Bytes;
use serde_json::{Value, json};

use super::{answer::Answer, ask::Ask};

/// An API the provider speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Api {
    /// OpenAI's chat completions, embeddings and models.
    Chat,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Google's Gemini.
    Gemini,
    /// Amazon Bedrock's Converse.
    Converse,
}

impl Api {
    /// All of them.
    pub const ALL: [Api; 5] = [Api::Chat, Api::Responses, Api::Messages, Api::Gemini, Api::Converse];

    /// Where the provider serves it: what a client is given as base URL.
    pub const fn base(self) -> &'static str {
        match self {
            Api::Chat | Api::Responses => "/openai/v1",
            Api::Messages => "/anthropic/v1",
            Api::Gemini => "/gemini/v1beta",
            Api::Converse => "/bedrock",
        }
    }
}

/// The frames of a streamed answer.
pub(super) struct Frames {
    pub(super) list: Vec<Bytes>,
    /// How many of them, counted from the end, say that the answer is complete.
    pub(super) ending: usize,
}

/// The answer in one body.
pub(super) fn whole(api: Api, answer: &Answer) -> Value {
    match api {
        Api::Chat => chat::whole(answer),
        Api::Responses => responses::whole(answer),
        Api::Messages => messages::whole(answer),
        Api::Gemini => gemini::whole(answer),
        Api::Converse => converse::whole(answer),
    }
}

/// The answer in frames. `sse` is whether Gemini was asked for server-sent events.
pub(super) fn frames(api: Api, answer: &Answer, ask: &Ask, sse: bool) -> Frames {
    match api {
        Api::Chat => chat::frames(answer, ask.include_usage),
        Api::Responses => responses::frames(answer),
        Api::Messages => messages::frames(answer),
        Api::Gemini => gemini::frames(answer, sse),
        Api::Converse => converse::frames(answer),
    }
}

/// The frame by which a stream fails half-way.
pub(super) fn error_frame(api: Api, message: &str) -> Bytes {
    match api {
        Api::Chat => {
            data(&json!({ "error": { "message": message, "type": "server_error", "param": null, "code": null } }))
        }
        Api::Responses => event(&json!({
            "type": "error", "code": "server_error", "message": message, "param": null, "sequence_number": 99,
        })),
        Api::Messages => {
            event(&json!({ "type": "error", "error": { "type": "overloaded_error", "message": message } }))
        }
        Api::Gemini => data(&json!({ "error": { "code": 503, "message": message, "status": "UNAVAILABLE" } })),
        Api::Converse => super::eventstream::exception("modelStreamErrorException", message),
    }
}

/// The body of a refusal with `status`.
pub(super) fn error(api: Api, status: u16, message: &str, n: u64) -> Value {
    match api {
        Api::Chat | Api::Responses => {
            let (kind, code) = match status {
                400 | 413 | 422 => ("invalid_request_error", Value::Null),
                401 => ("invalid_request_error", json!("invalid_api_key")),
                403 => ("permission_error", Value::Null),
                404 => ("invalid_request_error", json!("model_not_found")),
                429 => ("rate_limit_error", json!("rate_limit_exceeded")),
                _ => ("server_error", Value::Null),
            };
            json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
        }
        Api::Messages => {
            let kind = match status {
                401 => "authentication_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                429 => "rate_limit_error",
                504 => "timeout_error",
                529 => "overloaded_error",
                400..=499 => "invalid_request_error",
                _ => "api_error",
            };
            let error = json!({ "type": kind, "message": message });
            json!({ "type": "error", "error": error, "request_id": format!("req_mock{n}") })
        }
        Api::Gemini => {
            let kind = match status {
                401 => "UNAUTHENTICATED",
                403 => "PERMISSION_DENIED",
                404 => "NOT_FOUND",
                429 => "RESOURCE_EXHAUSTED",
                503 => "UNAVAILABLE",
                504 => "DEADLINE_EXCEEDED",
                400..=499 => "INVALID_ARGUMENT",
                _ => "INTERNAL",
            };
            json!({ "error": { "code": status, "message": message, "status": kind } })
        }
        Api::Converse => json!({ "message": message }),
    }
}

/// Bedrock's name for an error, which it puts into the header `x-amzn-errortype`.
pub(super) fn exception(status: u16) -> &'static str {
    match status {
        401 | 403 => "AccessDeniedException",
        404 => "ResourceNotFoundException",
        408 => "ModelTimeoutException",
        429 => "ThrottlingException",
        503 => "ServiceUnavailableException",
        400..=499 => "ValidationException",
        _ => "InternalServerException",
    }
}

/// A server-sent event without a name.
fn data(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

/// A server-sent event named after its `type`.
fn event(value: &Value) -> Bytes {
    format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap_or_default()).into()
}

/// The value without members that are `null`.
fn dense(mut value: Value) -> Value {
    if let Some(members) = value.as_object_mut() {
        members.retain(|_, member| !member.is_null());
    }
    value
}
