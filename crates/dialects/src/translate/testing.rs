//! What tests of codecs share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use preloop_types::Tokens;
use proptest::prelude::*;

use super::{BadAnswer, BadRequest, Carrier, Codec, Collector, Encoded, Names, Reply, Target};
use crate::{
    Dialect, Quirks,
    ir::{Choice, Event, Part, PartKind, Request, Response, Signature, Stop, Thought, ToolCall, Unsupported},
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

/// Keeps what it is told, like an agent that returns nothing.
#[derive(Debug, Default)]
pub(crate) struct Memory(Mutex<Kept>);

type Kept = HashMap<String, (String, Option<Signature>)>;

impl Carrier for Memory {
    fn seal(&self, signature: &Signature) -> String {
        Open.seal(signature)
    }

    fn open(&self, text: &str) -> Result<Option<Signature>, BadRequest> {
        Open.open(text)
    }

    fn remember(&self, call_id: &str, text: &str, signature: Option<&Signature>) {
        if let Ok(mut kept) = self.0.lock() {
            kept.insert(call_id.to_owned(), (text.to_owned(), signature.cloned()));
        }
    }

    fn recall(&self, call_id: &str) -> Option<(String, Option<Signature>)> {
        self.0.lock().ok()?.get(call_id).cloned()
    }
}

/// Answers a model might give, as another dialect than the one under test reads them.
pub(crate) fn answers() -> impl Strategy<Value = Response> {
    let text = "[a-zé\"\\\\\n ]{1,12}";
    let signature = |value| Signature { dialect: Dialect::Messages, item_id: None, value };
    let thought = (text, prop::option::of("[A-Z]{4}"), any::<bool>()).prop_map(move |(text, signed, hidden)| {
        let redacted = hidden && signed.is_some();
        let text = if redacted { String::new() } else { text };
        Part::Reasoning(Thought { text, signature: signed.map(signature), redacted })
    });
    let call = (0..2_usize, "[a-z]{0,9}").prop_map(|(tool, at)| {
        let name = ["look", "list"][tool].to_owned();
        let arguments = serde_json::json!({ "at": at }).to_string();
        Part::ToolCall(ToolCall { name, arguments, ..ToolCall::default() })
    });
    let said = text.prop_map(|text| Part::Text { text, cache: None });
    let usage = (0..900_u64, 0..900_u64, 0..900_u64, 1..900_u64).prop_map(|(input, cache_read, reasoning, output)| {
        Tokens { input, cache_read, reasoning, output, ..Tokens::default() }
    });
    let ends = prop::sample::select(vec![Stop::End, Stop::Length]);
    (prop::option::of(thought), prop::option::of(said), prop::collection::vec(call, 0..3), usage, ends).prop_map(
        |(thought, said, mut calls, usage, mut stop)| {
            for (index, call) in calls.iter_mut().enumerate() {
                if let Part::ToolCall(call) = call {
                    call.id = format!("call_{index}");
                }
            }
            if stop == Stop::End && !calls.is_empty() {
                stop = Stop::ToolCalls;
            }
            let parts = thought.into_iter().chain(said).chain(calls).collect();
            let choice = Choice { parts, stop, logprobs: None };
            Response { id: "r".to_owned(), choices: vec![choice], usage: Some(usage), ..Response::default() }
        },
    )
}

/// The same answer, told a few letters at a time.
pub(crate) fn told(answer: &Response) -> Vec<Event> {
    let mut events = vec![Event::Start { id: answer.id.clone(), model: answer.model.clone() }];
    let choice = &answer.choices[0];
    for (index, part) in choice.parts.iter().enumerate() {
        let (kind, text, signature) = match part {
            Part::Text { text, .. } => (PartKind::Text, text, None),
            Part::Refusal(text) => (PartKind::Refusal, text, None),
            Part::Reasoning(thought) => {
                (PartKind::Reasoning { redacted: thought.redacted }, &thought.text, thought.signature.clone())
            }
            Part::ToolCall(call) => {
                let kind = PartKind::ToolCall { id: call.id.clone(), name: call.name.clone() };
                (kind, &call.arguments, call.signature.clone())
            }
            _ => continue,
        };
        events.push(Event::PartStart { index, kind });
        let letters: Vec<char> = text.chars().collect();
        events.extend(letters.chunks(3).map(|piece| Event::Delta { index, text: piece.iter().collect() }));
        events.extend(signature.map(|signature| Event::Signature { index, signature }));
        events.push(Event::PartEnd { index });
    }
    events.extend(answer.usage.map(Event::Usage));
    events.extend([Event::Stop(choice.stop.clone()), Event::End]);
    events
}

/// The whole answer a stream amounts to.
pub(crate) fn collected(events: Vec<Event>) -> Result<Response, BadAnswer> {
    let mut collector = Collector::default();
    for event in events {
        collector.push(event);
    }
    collector.finish()
}
