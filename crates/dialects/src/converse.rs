//! Amazon Bedrock's Converse. Providers speak it, agents do not: only the provider's side is here.

mod decoder;
mod encode_request;
mod frames;
mod response;
#[cfg(test)]
mod tests;

use serde_json::json;

use crate::{
    ir::{Event, Request, Response, Unsupported},
    translate::{BadAnswer, BadRequest, Carrier, Codec, Encoded, Names, Reply, StreamDecoder, StreamEncoder, Target},
};

/// Reads and writes Converse.
#[derive(Debug)]
pub(crate) struct Converse;

const NO_AGENTS: &str = "agents cannot be served in Bedrock's Converse; use one of the other APIs";

impl Codec for Converse {
    fn decode_request(&self, _: &[u8], _: &dyn Carrier) -> Result<Request, BadRequest> {
        Err(BadRequest { field: None, why: NO_AGENTS.to_owned() })
    }

    fn encode_request(&self, request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        encode_request::encode(request, target)
    }

    fn decode_response(&self, body: &[u8], names: &Names) -> Result<Response, BadAnswer> {
        response::decode(body, names)
    }

    fn encode_response(&self, _: &Response, _: &Reply) -> Vec<u8> {
        refusal()
    }

    fn decoder(&self, names: Names) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::new(names))
    }

    fn encoder(&self, _: Reply) -> Box<dyn StreamEncoder> {
        Box::new(Refuses { said: false })
    }
}

/// As Bedrock words an error.
fn refusal() -> Vec<u8> {
    json!({ "message": NO_AGENTS }).to_string().into_bytes()
}

/// Says once that there is no such stream. No request gets so far.
struct Refuses {
    said: bool,
}

impl StreamEncoder for Refuses {
    fn event(&mut self, _: &Event, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.said, true) {
            out.extend_from_slice(&refusal());
        }
    }
}
