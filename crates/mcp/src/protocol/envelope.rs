use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// A request id exactly as it was spelled: a JSON string or number.
#[derive(Debug, Clone)]
pub struct Id(pub Arc<RawValue>);

/// One JSON-RPC 2.0 message, told apart by the members it has.
#[derive(Debug)]
pub enum Message {
    /// Wants a [`Response`].
    Request(Request),
    /// Wants nothing.
    Notification(Notification),
    /// Answers a request we sent.
    Response(Response),
}

impl Message {
    /// The params of a request or notification.
    pub fn params(&self) -> Option<&Arc<RawValue>> {
        match self {
            Message::Request(request) => request.params.as_ref(),
            Message::Notification(notification) => notification.params.as_ref(),
            Message::Response(_) => None,
        }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id.
    pub id: Id,
    /// Its method.
    pub method: String,
    /// Its params as they came.
    pub params: Option<Arc<RawValue>>,
}

/// A notification.
#[derive(Debug, Clone)]
pub struct Notification {
    /// Its method.
    pub method: String,
    /// Its params as they came.
    pub params: Option<Arc<RawValue>>,
}

/// The answer to a request.
#[derive(Debug, Clone)]
pub struct Response {
    /// The request's id; `None` where it could not be read.
    pub id: Option<Id>,
    /// The result as it came, or the error.
    pub result: Result<Arc<RawValue>, RpcError>,
}

/// A JSON-RPC error object. `data` and unknown members survive a round trip.
#[derive(Debug, Clone, Serialize, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// The code; see [`super::error`].
    pub code: i64,
    /// One sentence.
    pub message: String,
    /// Anything more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub data: Option<Box<RawValue>>,
}

impl RpcError {
    /// An error without data.
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), data: None }
    }

    /// The same error with `data`.
    #[must_use]
    pub fn with_data(mut self, data: &impl Serialize) -> Self {
        self.data = serde_json::value::to_raw_value(data).ok();
        self
    }
}

/// The envelope as it lies on the wire; [`Envelope::parse`] tells what it is.
#[derive(Deserialize)]
pub struct Envelope<'a> {
    jsonrpc: Option<&'a str>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow)]
    method: Option<std::borrow::Cow<'a, str>>,
    #[serde(borrow)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    error: Option<RpcError>,
}

/// Keeps `null` apart from absent.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl Envelope<'_> {
    /// Parses one message. Errors are ready to be sent: -32700 for what is not JSON, -32600 for
    /// what is not JSON-RPC 2.0.
    pub fn parse(text: &[u8]) -> Result<Message, RpcError> {
        let envelope: Envelope<'_> = serde_json::from_slice(text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => {
                RpcError::new(super::error::INVALID_REQUEST, format!("not a JSON-RPC message: {error}"))
            }
            _ => RpcError::new(super::error::PARSE_ERROR, format!("not JSON: {error}")),
        })?;
        envelope.classify()
    }

    fn classify(self) -> Result<Message, RpcError> {
        let invalid = |what: &str| RpcError::new(super::error::INVALID_REQUEST, what);
        if self.jsonrpc != Some("2.0") {
            return Err(invalid("`jsonrpc` must be \"2.0\""));
        }
        let id = match self.id {
            None => None,
            Some(raw) if raw.get() == "null" => return self.classify_without_id(),
            Some(raw) if is_id(raw.get()) => Some(Id(Arc::from(raw.to_owned()))),
            Some(_) => return Err(invalid("`id` must be a string or a number")),
        };
        let params = self.params.map(|params| Arc::from(params.to_owned()));
        match (self.method, id, self.result, self.error) {
            (Some(method), Some(id), None, None) => {
                Ok(Message::Request(Request { id, method: method.into_owned(), params }))
            }
            (Some(method), None, None, None) => {
                Ok(Message::Notification(Notification { method: method.into_owned(), params }))
            }
            (None, Some(id), Some(result), None) => {
                Ok(Message::Response(Response { id: Some(id), result: Ok(Arc::from(result.to_owned())) }))
            }
            (None, id, None, Some(error)) => Ok(Message::Response(Response { id, result: Err(error) })),
            _ => Err(invalid("neither a request, a notification nor a response")),
        }
    }

    /// `"id": null` is allowed in an error response only.
    fn classify_without_id(self) -> Result<Message, RpcError> {
        match (self.method, self.error) {
            (None, Some(error)) => Ok(Message::Response(Response { id: None, result: Err(error) })),
            _ => Err(RpcError::new(super::error::INVALID_REQUEST, "`id` must not be null")),
        }
    }
}

fn is_id(text: &str) -> bool {
    matches!(text.as_bytes().first(), Some(b'"' | b'-' | b'0'..=b'9'))
}

#[derive(Serialize)]
struct Out<'a> {
    jsonrpc: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RpcError>,
}

const BLANK: Out<'static> = Out { jsonrpc: "2.0", id: None, method: None, params: None, result: None, error: None };

fn to_text(out: &Out<'_>) -> String {
    // Serialising strings and already valid JSON into memory cannot fail.
    serde_json::to_string(out).unwrap_or_default()
}

impl Id {
    /// A numeric id of ours.
    pub fn number(n: u64) -> Self {
        Self(Arc::from(serde_json::value::to_raw_value(&n).unwrap_or_default()))
    }
}

impl PartialEq for Id {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Eq for Id {}

impl std::hash::Hash for Id {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.get().hash(state);
    }
}

impl Request {
    /// The message as JSON text.
    pub fn to_json(&self) -> String {
        to_text(&Out { id: Some(&self.id.0), method: Some(&self.method), params: self.params.as_deref(), ..BLANK })
    }
}

impl Notification {
    /// The message as JSON text.
    pub fn to_json(&self) -> String {
        to_text(&Out { method: Some(&self.method), params: self.params.as_deref(), ..BLANK })
    }
}

impl Response {
    /// The message as JSON text. An unreadable request id becomes `null`, as JSON-RPC demands.
    pub fn to_json(&self) -> String {
        let id: &RawValue = self.id.as_ref().map_or(RawValue::NULL, |id| &id.0);
        match &self.result {
            Ok(result) => to_text(&Out { id: Some(id), result: Some(result), ..BLANK }),
            Err(error) => to_text(&Out { id: Some(id), error: Some(error), ..BLANK }),
        }
    }
}
