//! OpenAI's Responses. What it would keep for the agent (earlier answers, files of a conversation) only
//! its own provider has; across dialects, every request says all.

mod input;
mod read;
mod response;
mod stream;
mod stream_out;
#[cfg(test)]
mod tests;
mod usage;
mod write;
mod write_input;

use crate::{
    ir::{Request, Response, Unsupported},
    translate::{BadAnswer, BadRequest, Carrier, Codec, Encoded, Names, Reply, StreamDecoder, StreamEncoder, Target},
};

/// Responses.
pub(crate) struct Responses;

impl Codec for Responses {
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
        response::write(response, reply).to_string().into_bytes()
    }

    fn decoder(&self, names: Names) -> Box<dyn StreamDecoder> {
        Box::new(stream::Decoder::new(names))
    }

    fn encoder(&self, reply: Reply) -> Box<dyn StreamEncoder> {
        Box::new(stream_out::Encoder::new(reply))
    }
}
