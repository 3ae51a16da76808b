//! From one dialect to another, through [`crate::ir`].
//!
//! Each dialect's module implements [`Codec`]; nothing here knows two dialects at once.

mod answer;
mod carry;
pub(crate) mod fields;
pub(crate) mod gaps;
mod history;
mod ids;
mod losses;
mod media;
mod names;
mod schema;
mod stream;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod turns;

use std::sync::Arc;

use crate::{
    Dialect, Quirks,
    ir::{Event, Request, Response, Signature, Unsupported},
};

pub(crate) use answer::{error_text, read_call, tokens_of, unreadable};
pub(crate) use carry::{Unpacked, pack, pack_call, unpack};
pub(crate) use history::settle_history;
pub(crate) use ids::{IdRule, made_up_id, short_hash};
pub(crate) use media::{data_url, media_of_url};
pub(crate) use names::{NameRule, Namer, flat_name, input_description, input_schema, wrap_input};
pub(crate) use schema::strip_keywords;
pub use stream::Collector;
pub(crate) use stream::{ARGUMENTS_MAX, HELD_MAX, merge_counts, truncated};

/// One dialect's reading and writing. Everything is pure; a codec holds nothing between calls.
pub trait Codec: Sync {
    /// Reads an agent's request.
    fn decode_request(&self, body: &[u8], carrier: &dyn Carrier) -> Result<Request, BadRequest>;
    /// Writes a request to a provider.
    fn encode_request(&self, request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported>;
    /// Reads a provider's whole answer.
    fn decode_response(&self, body: &[u8], names: &Names) -> Result<Response, BadAnswer>;
    /// Writes a whole answer to an agent.
    fn encode_response(&self, response: &Response, reply: &Reply) -> Vec<u8>;
    /// Reads a provider's streamed answer.
    fn decoder(&self, names: Names) -> Box<dyn StreamDecoder>;
    /// Writes a streamed answer to an agent.
    fn encoder(&self, reply: Reply) -> Box<dyn StreamEncoder>;
}

/// Reads a stream of bytes as it arrives, cut anywhere.
pub trait StreamDecoder: Send {
    /// Takes more bytes and appends what they mean.
    fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), BadAnswer>;
    /// The provider closed the stream. An answer that is not complete ends with [`Event::Error`].
    fn finish(&mut self, events: &mut Vec<Event>);
}

/// Writes a stream.
pub trait StreamEncoder: Send {
    /// Appends the frames of one event.
    fn event(&mut self, event: &Event, out: &mut Vec<u8>);
}

/// To whom a request is written.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// The model, as the provider calls it.
    pub model: &'a str,
    /// Its longest answer in tokens, where it is known.
    pub max_output: Option<u64>,
    /// How the provider deviates.
    pub quirks: &'a Quirks,
    /// Leave out what cannot be said, with a warning, instead of refusing.
    pub drop_unsupported: bool,
}

/// A request as it goes out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encoded {
    /// The body.
    pub body: Vec<u8>,
    /// What was changed or left out, for the agent's owner; no values.
    pub warnings: Vec<String>,
    /// How to read the answer's names.
    pub names: Names,
}

/// Tools whose names the provider would not take, with the names they were given; and custom tools
/// that were wrapped into functions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// `(sent, the agent's)`.
    pub renamed: Vec<(String, String)>,
    /// Custom tools (by the agent's name) sent as functions with one string `input`.
    pub custom: Vec<String>,
    /// A function that stands for a JSON Schema the provider cannot be given otherwise; its arguments
    /// are the answer's text.
    pub answer: Option<String>,
    /// Thinking comes between `<think>` tags in the answer's text.
    pub think_tags: bool,
}

/// To whom an answer is written.
#[derive(Clone)]
pub struct Reply {
    /// The model, as the agent asked for it.
    pub model: String,
    /// The answer's id, if the provider sent none. Dialects put their own prefix before it.
    pub id: String,
    /// Unix seconds, if the provider sent none.
    pub created: i64,
    /// The request it answers: some dialects repeat parts of it.
    pub request: Arc<Request>,
    /// What packs signatures of other dialects.
    pub carrier: Arc<dyn Carrier>,
    /// Whether Gemini's stream is server-sent events; a JSON array otherwise.
    pub sse: bool,
}

/// Packs what a provider demands back into what the agent's dialect can carry, and unpacks it on the
/// next turn. Sealed, and bound to the account.
pub trait Carrier: Send + Sync {
    /// As an opaque text the agent returns unchanged.
    fn seal(&self, signature: &Signature) -> String;
    /// What [`Carrier::seal`] packed; `None` for a text that is not ours (the provider's own).
    fn open(&self, text: &str) -> Result<Option<Signature>, BadRequest>;
    /// Keeps thinking and signature of a tool call, for agents whose dialect has no place for them.
    fn remember(&self, call_id: &str, text: &str, signature: Option<&Signature>);
    /// What was kept.
    fn recall(&self, call_id: &str) -> Option<(String, Option<Signature>)>;
}

/// A request that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{why}")]
pub struct BadRequest {
    /// The field, as a path (`messages[2].content`), where it is one.
    pub field: Option<String>,
    /// What is wrong with it, with the path in backticks.
    pub why: String,
}

/// An answer that cannot be read. Its text never repeats the answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the provider's answer cannot be read: {0}")]
pub struct BadAnswer(pub String);

/// Reads and writes `dialect`.
pub fn codec(dialect: Dialect) -> &'static dyn Codec {
    match dialect {
        Dialect::Chat => &crate::chat::Chat,
        Dialect::Responses => &crate::responses::Responses,
        Dialect::Messages => &crate::messages::Messages,
        Dialect::Gemini => &crate::gemini::Gemini,
        Dialect::Converse => &crate::converse::Converse,
    }
}
