//! OpenAI's chat completions, which most providers speak with an accent of their own: see [`crate::Quirks`].

mod calls;
pub(crate) mod messages;
pub(crate) mod read;
mod reasoning;
#[cfg(test)]
mod recorded;
mod response;
mod stream;
mod stream_out;
#[cfg(test)]
mod tests;
mod think;
pub(crate) mod usage;
pub(crate) mod write;
mod write_messages;

use serde_json::Value;

use crate::{
    ir::{Request, Response, Stop, Unsupported},
    translate::{BadAnswer, BadRequest, Carrier, Codec, Encoded, Names, Reply, StreamDecoder, StreamEncoder, Target},
};

/// Chat completions.
pub(crate) struct Chat;

impl Codec for Chat {
    fn decode_request(&self, body: &[u8], carrier: &dyn Carrier) -> Result<Request, BadRequest> {
        read::request(body, carrier)
    }

    fn encode_request(&self, request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        write::request(request, target)
    }

    fn decode_response(&self, body: &[u8], names: &Names) -> Result<Response, BadAnswer> {
        response::read(body, names)
    }

    fn encode_response(&self, response: &Response, reply: &Reply) -> Vec<u8> {
        response::write(response, reply)
    }

    fn decoder(&self, names: Names) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::new(names))
    }

    fn encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream_out::Encoder::new(reply))
    }
}

/// The word for why an answer ended; servers that have none leave it empty.
fn stop_of(word: &str) -> Option<Stop> {
    Some(match word {
        "" => return None,
        "length" | "max_tokens" | "model_length" => Stop::Length,
        "tool_calls" | "function_call" => Stop::ToolCalls,
        "content_filter" => Stop::Filtered,
        _ => Stop::End,
    })
}

fn word_of(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::Paused => "stop",
        Stop::Length | Stop::ContextFull => "length",
        Stop::ToolCalls => "tool_calls",
        Stop::Filtered => "content_filter",
    }
}

/// Code and message of an error inside an answer.
pub(crate) fn error_of(error: &Value) -> (String, String) {
    let text = |name: &str| match error.get(name) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let code = text("code").or_else(|| text("type")).unwrap_or_else(|| "upstream_error".to_owned());
    let message = text("message").or_else(|| error.as_str().map(str::to_owned));
    (code, message.unwrap_or_else(|| "the provider broke off without a reason".to_owned()))
}

/// The answer's id, as agents of this dialect know ids.
fn answer_id(provider: &str, ours: &str) -> String {
    let id = if provider.is_empty() { ours } else { provider };
    if id.starts_with("chatcmpl-") { id.to_owned() } else { format!("chatcmpl-{id}") }
}
