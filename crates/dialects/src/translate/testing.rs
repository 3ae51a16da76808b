//! What tests of codecs share.

use std::sync::Arc;

use super::{BadAnswer, BadRequest, Carrier, Codec, Encoded, Names, Reply, Target};
use crate::{
    Quirks,
    ir::{Event, Request, Signature, Unsupported},
};

/// Seals nothing, so that a test can read it.
#[derive(Debug)]
pub(crate) struct Open;

impl Carrier for Open {
    fn seal(&self, signature: &Signature) -> String {
        let dialect = serde_json::to_string(&signature.dialect).unwrap_or_default();
        format!("sealed|{dialect}|{}|{}", signature.item_id.as_deref().unwrap_or_default(), signature.value)
    }

    fn open(&self, text: &str) -> Result<Option<Signature>, BadRequest> {
        let Some(rest) = text.strip_prefix("sealed|") else { return Ok(None) };
        let mut fields = rest.splitn(3, '|');
        let mut field = || fields.next().unwrap_or_default().to_owned();
        let bad = |_| BadRequest { field: None, why: "not sealed here".to_owned() };
        let dialect = serde_json::from_str(&field()).map_err(bad)?;
        let item_id = Some(field()).filter(|id| !id.is_empty());
        Ok(Some(Signature { dialect, item_id, value: field() }))
    }

    fn remember(&self, _: &str, _: &str, _: Option<&Signature>) {}

    fn recall(&self, _: &str) -> Option<(String, Option<Signature>)> {
        None
    }
}

/// Writes a request to `model`.
pub(crate) fn encoded(codec: &dyn Codec, request: &Request, model: &str) -> Result<Encoded, Unsupported> {
    codec.encode_request(
        request,
        &Target { model, max_output: None, quirks: &Quirks::default(), drop_unsupported: false },
    )
}

/// The same, leaving out what cannot be said.
pub(crate) fn encoded_anyway(codec: &dyn Codec, request: &Request, model: &str) -> Result<Encoded, Unsupported> {
    codec.encode_request(
        request,
        &Target { model, max_output: None, quirks: &Quirks::default(), drop_unsupported: true },
    )
}

/// An answer to `request`.
pub(crate) fn reply(request: Request) -> Reply {
    Reply {
        model: "the-model".to_owned(),
        id: "0199".to_owned(),
        created: 1_790_000_000,
        request: Arc::new(request),
        carrier: Arc::new(Open),
        sse: true,
    }
}

/// What `stream` means, read in pieces that end at `cuts`.
pub(crate) fn events(codec: &dyn Codec, names: Names, stream: &[u8], cuts: &[usize]) -> Result<Vec<Event>, BadAnswer> {
    let mut decoder = codec.decoder(names);
    let mut events = Vec::new();
    let mut rest = stream;
    for cut in cuts.iter().cycle().take(stream.len()) {
        let (piece, after) = rest.split_at((*cut).clamp(1, rest.len().max(1)).min(rest.len()));
        decoder.feed(piece, &mut events)?;
        rest = after;
    }
    decoder.feed(rest, &mut events)?;
    decoder.finish(&mut events);
    Ok(joined(events))
}

/// Neighbouring deltas of a part as one: where a stream is cut makes no difference to what it says.
fn joined(events: Vec<Event>) -> Vec<Event> {
    let mut joined: Vec<Event> = Vec::with_capacity(events.len());
    for event in events {
        match (joined.last_mut(), event) {
            (Some(Event::Delta { index, text }), Event::Delta { index: same, text: more }) if *index == same => {
                text.push_str(&more);
            }
            (_, event) => joined.push(event),
        }
    }
    joined
}

/// The frames an agent gets for `events`.
pub(crate) fn frames(codec: &dyn Codec, reply: Reply, events: &[Event]) -> String {
    let mut encoder = codec.encoder(reply);
    let mut out = Vec::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    String::from_utf8_lossy(&out).into_owned()
}
