//! How a provider's answer becomes the agent's: the same bytes, or another dialect's.

use std::collections::VecDeque;

use bytes::Bytes;
use preloop_dialects::{
    error::ProviderError,
    ir::{Event, PartKind, Stop},
    translate::{BadAnswer, StreamDecoder, StreamEncoder},
    usage::{Meter, Reading, Said, UsageChunkFilter},
};
use preloop_types::Tokens;

/// How an answer is passed on.
pub(crate) enum Way {
    /// As it comes, measured beside; without the usage chunk an agent did not ask for.
    Same { meter: Box<Meter>, filter: Option<UsageChunkFilter> },
    /// Through the one representation.
    Translated(Box<Translation>),
}

/// An answer between two dialects.
pub(crate) struct Translation {
    decoder: Box<dyn StreamDecoder>,
    encoder: Box<dyn StreamEncoder>,
    events: Vec<Event>,
    reading: Reading,
    parts: Vec<Spoken>,
    kept_bytes_max: usize,
}

/// What a part of a translated answer is to whoever keeps it.
#[derive(Clone, Copy)]
enum Spoken {
    Text,
    /// The place of its tool call among those that are kept.
    Call(usize),
    Other,
}

impl Translation {
    /// `kept_bytes_max`: how much of what is said is kept, if anything.
    pub(crate) fn new(
        decoder: Box<dyn StreamDecoder>,
        encoder: Box<dyn StreamEncoder>,
        kept_bytes_max: Option<usize>,
    ) -> Self {
        let reading = Reading { said: kept_bytes_max.map(|_| Said::default()), ..Reading::default() };
        let kept_bytes_max = kept_bytes_max.unwrap_or_default();
        Self { decoder, encoder, events: Vec::new(), reading, parts: Vec::new(), kept_bytes_max }
    }

    /// Keeps the beginning of what is said.
    fn keep(&mut self, event: &Event) {
        let Some(said) = &mut self.reading.said else { return };
        match event {
            Event::PartStart { kind, .. } => self.parts.push(match kind {
                PartKind::Text | PartKind::Refusal => Spoken::Text,
                PartKind::ToolCall { name, .. } => {
                    said.calls.push((name.clone(), String::new()));
                    Spoken::Call(said.calls.len() - 1)
                }
                PartKind::Reasoning { .. } => Spoken::Other,
            }),
            Event::Delta { index, text } => {
                let kept = match self.parts.get(*index) {
                    Some(Spoken::Text) => &mut said.text,
                    Some(Spoken::Call(call)) => &mut said.calls[*call].1,
                    Some(Spoken::Other) | None => return,
                };
                if kept.len() + text.len() <= self.kept_bytes_max {
                    kept.push_str(text);
                } else {
                    said.truncated = true;
                }
            }
            _ => {}
        }
    }

    /// Writes what was read, and notes what it says of the call.
    fn write(&mut self, out: &mut VecDeque<Bytes>) {
        let mut frames = Vec::new();
        for event in std::mem::take(&mut self.events) {
            note(&mut self.reading, &event);
            self.keep(&event);
            self.encoder.event(&event, &mut frames);
        }
        if !frames.is_empty() {
            out.push_back(frames.into());
        }
    }
}

fn note(reading: &mut Reading, event: &Event) {
    match event {
        Event::Start { id, model } => {
            reading.response_id = Some(id.clone()).filter(|id| !id.is_empty());
            reading.model = Some(model.clone()).filter(|model| !model.is_empty());
        }
        Event::Delta { text, .. } => reading.output_bytes += text.len() as u64,
        Event::Usage(tokens) => reading.tokens = Some(reading.tokens.unwrap_or_default().max(*tokens)),
        Event::Stop(stop) => reading.stop = Some(stop_word(stop).to_owned()),
        Event::End => reading.complete = true,
        Event::Error { code, message } => {
            reading.error = Some(ProviderError { code: Some(code.clone()), kind: None, message: message.clone() });
        }
        Event::PartStart { .. } | Event::Signature { .. } | Event::PartEnd { .. } => {}
    }
}

/// Why an answer ended, in our own word.
pub(crate) const fn stop_word(stop: &Stop) -> &'static str {
    match stop {
        Stop::End => "end",
        Stop::Sequence(_) => "stop_sequence",
        Stop::Length => "length",
        Stop::ContextFull => "context_full",
        Stop::ToolCalls => "tool_calls",
        Stop::Filtered => "filtered",
        Stop::Paused => "paused",
    }
}

impl Way {
    /// Passes on what arrived.
    pub(crate) fn pass(&mut self, bytes: Bytes, out: &mut VecDeque<Bytes>) -> Result<(), BadAnswer> {
        match self {
            Way::Same { meter, filter } => {
                meter.feed(&bytes);
                match filter {
                    None => out.push_back(bytes),
                    Some(filter) => {
                        let mut passed = Vec::new();
                        filter.feed(bytes, &mut passed);
                        out.extend(passed);
                    }
                }
                Ok(())
            }
            Way::Translated(translation) => {
                let Translation { decoder, events, .. } = &mut **translation;
                let read = decoder.feed(&bytes, events);
                translation.write(out);
                read
            }
        }
    }

    /// The provider closed the stream: what is left of it.
    pub(crate) fn finish(&mut self, out: &mut VecDeque<Bytes>) {
        match self {
            Way::Same { filter, .. } => out.extend(filter.take().and_then(UsageChunkFilter::finish)),
            Way::Translated(translation) => {
                let Translation { decoder, events, .. } = &mut **translation;
                decoder.finish(events);
                translation.write(out);
            }
        }
    }

    /// What the provider counted so far, and how much of an answer passed.
    pub(crate) fn so_far(&self) -> (Option<Tokens>, u64) {
        match self {
            Way::Same { meter, .. } => (meter.tokens(), meter.output_bytes()),
            Way::Translated(translation) => (translation.reading.tokens, translation.reading.output_bytes),
        }
    }

    /// Whether an end of the stream was written for the agent, with an error if there was one.
    pub(crate) fn tells_its_end(&self) -> bool {
        match self {
            Way::Same { .. } => false,
            Way::Translated(translation) => translation.reading.complete || translation.reading.error.is_some(),
        }
    }

    /// All that is known of the answer.
    pub(crate) fn reading(self) -> Reading {
        match self {
            Way::Same { meter, .. } => meter.finish(),
            Way::Translated(translation) => translation.reading,
        }
    }
}
