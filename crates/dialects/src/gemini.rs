//! Google's Gemini.
//!
//! The URL of a call names the model and says whether the answer is streamed; a body says neither.

mod chunks;
mod decode_request;
mod decoder;
mod encode_request;
mod encoder;
mod response;
mod schema;
#[cfg(test)]
mod tests;
mod thoughts;

use crate::{
    ir::{Request, Response, Unsupported},
    translate::{BadAnswer, BadRequest, Carrier, Codec, Encoded, Names, Reply, StreamDecoder, StreamEncoder, Target},
};

/// Reads and writes Gemini.
#[derive(Debug)]
pub(crate) struct Gemini;

impl Codec for Gemini {
    fn decode_request(&self, body: &[u8], carrier: &dyn Carrier) -> Result<Request, BadRequest> {
        decode_request::decode(body, carrier)
    }

    fn encode_request(&self, request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
        encode_request::encode(request, target)
    }

    fn decode_response(&self, body: &[u8], names: &Names) -> Result<Response, BadAnswer> {
        response::decode(body, names)
    }

    fn encode_response(&self, response: &Response, reply: &Reply) -> Vec<u8> {
        response::encode(response, reply)
    }

    fn decoder(&self, names: Names) -> Box<dyn StreamDecoder> {
        Box::new(decoder::Decoder::new(names))
    }

    fn encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(encoder::Encoder::new(reply))
    }
}
