//! A streamed answer of a provider.
//!
//! Servers of this shape agree on little: they leave out indexes, ids and `[DONE]`, repeat names and usage,
//! send arguments whole, finish with an empty word. Each such habit is met where it is read.

use serde_json::Value;

use super::{
    calls::Calls,
    error_of,
    reasoning::{self, TEXT_FIELDS},
    response::{add_part, stop},
    stop_of,
    think::Splitter,
};
use crate::{
    Dialect,
    ir::{Event, PartKind, Stop},
    sse,
    translate::{BadAnswer, Names, StreamDecoder, merge_counts, tokens_of, truncated, unreadable},
};

#[derive(Debug, Default)]
pub(super) struct Decoder {
    parser: sse::Parser,
    answer: Answer,
    over: bool,
}

impl Decoder {
    pub(super) fn new(names: Names) -> Self {
        let splitter = names.think_tags.then(Splitter::default);
        let answer = Answer { calls: Calls::new(names), splitter, ..Answer::default() };
        Self { answer, ..Self::default() }
    }
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        self.parser.push(bytes);
        while !self.over {
            let Some(frame) = self.parser.next().map_err(|error| BadAnswer(error.to_string()))? else { break };
            if let Some(data) = frame.data {
                self.over = self.answer.frame(&data, events)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        if self.over {
            return;
        }
        if let Some(sse::Frame { data: Some(data), .. }) = self.parser.last() {
            // A frame that is cut off says nothing more than that the stream was.
            self.over = self.answer.frame(&data, events).unwrap_or(false);
        }
        if !self.over {
            self.over = true;
            self.answer.closed(events);
        }
    }
}

/// What is being said outside of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Speech {
    Thinking,
    Text,
    Refusal,
}

/// The state of the answer.
#[derive(Debug, Default)]
struct Answer {
    id: String,
    started: bool,
    /// How many parts began.
    parts: usize,
    speech: Option<(Speech, usize)>,
    refused: bool,
    calls: Calls,
    /// Whether thinking came in a field of its own.
    plain_thinking: bool,
    details: Vec<Value>,
    splitter: Option<Splitter>,
    usage: Value,
    stop: Option<Stop>,
}

impl Answer {
    /// Reads one frame; `true` if it was the last.
    fn frame(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<bool, BadAnswer> {
        let data = data.trim_ascii();
        if data.is_empty() {
            return Ok(false);
        }
        if data == b"[DONE]" {
            self.end(events);
            return Ok(true);
        }
        let chunk: Value = serde_json::from_slice(data).map_err(|error| unreadable(&error))?;
        if let Some(error) = chunk.get("error").filter(|error| !error.is_null()) {
            let (code, message) = error_of(error);
            self.report(events);
            events.push(Event::Error { code, message });
            return Ok(true);
        }
        let text = |name: &str| chunk.get(name).and_then(Value::as_str).unwrap_or_default();
        if self.id.is_empty() {
            text("id").clone_into(&mut self.id);
        }
        let choice = chunk.get("choices").and_then(Value::as_array).and_then(|choices| {
            choices.iter().find(|choice| choice.get("index").and_then(Value::as_u64).unwrap_or(0) == 0)
        });
        // Azure's first chunk has no choices, and neither id nor model yet.
        if choice.is_some() && !self.started {
            self.started = true;
            events.push(Event::Start { id: self.id.clone(), model: text("model").to_owned() });
        }
        if let Some(choice) = choice {
            self.choice(choice, events)?;
        }
        let groq = chunk.pointer("/x_groq/usage");
        let moonshot = choice.and_then(|choice| choice.get("usage"));
        if let Some(usage) = [chunk.get("usage"), groq, moonshot].into_iter().flatten().find(|usage| usage.is_object())
        {
            // Some report with every chunk, and tell counts apart only later: what holds is known at the end.
            merge_counts(&mut self.usage, usage);
        }
        Ok(false)
    }

    fn choice(&mut self, choice: &Value, events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        if let Some(delta) = choice.get("delta").or_else(|| choice.get("message")) {
            self.delta(delta, events)?;
        }
        let word = choice.get("finish_reason").and_then(Value::as_str).unwrap_or_default();
        if let Some(stop) = stop_of(word) {
            self.stop = Some(stop);
            self.end_parts(events);
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Value, events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let field = |name: &str| delta.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut thinking =
            TEXT_FIELDS.iter().map(|name| field(name)).find(|text| !text.is_empty()).unwrap_or_default().to_owned();
        let mut said = String::new();
        match delta.get("content") {
            Some(Value::String(text)) => said.push_str(text),
            Some(Value::Array(parts)) => parts.iter().for_each(|part| add_part(part, &mut thinking, &mut said)),
            _ => {}
        }
        self.plain_thinking |= !thinking.is_empty();
        if let Some(details) = delta.get("reasoning_details").and_then(Value::as_array) {
            // Most who send details send their text beside them, some of them later.
            if thinking.is_empty() && !self.plain_thinking {
                thinking = details.iter().filter_map(reasoning::detail_text).collect();
            }
            for detail in details {
                add_detail(&mut self.details, detail);
            }
        }
        self.say(Speech::Thinking, &thinking, events);
        self.text(&said, events);
        self.say(Speech::Refusal, field("refusal"), events);

        let calls = delta.get("tool_calls").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let legacy = delta.get("function_call").filter(|call| call.is_object());
        for fragment in calls.iter().chain(legacy) {
            self.hush(events);
            self.calls.fragment(fragment, &self.id, &mut self.parts, events)?;
        }
        Ok(())
    }

    fn text(&mut self, text: &str, events: &mut Vec<Event>) {
        let Some(splitter) = &mut self.splitter else {
            self.say(Speech::Text, text, events);
            return;
        };
        let mut pieces = Vec::new();
        splitter.push(text, &mut pieces);
        for (thinking, piece) in pieces {
            self.say(if thinking { Speech::Thinking } else { Speech::Text }, &piece, events);
        }
    }

    fn say(&mut self, speech: Speech, text: &str, events: &mut Vec<Event>) {
        if text.is_empty() {
            return;
        }
        self.refused |= speech == Speech::Refusal;
        let index = match self.speech {
            Some((open, index)) if open == speech => index,
            _ => {
                self.hush(events);
                let kind = match speech {
                    Speech::Thinking => PartKind::Reasoning { redacted: false },
                    Speech::Text => PartKind::Text,
                    Speech::Refusal => PartKind::Refusal,
                };
                let index = self.begin(kind, events);
                self.speech = Some((speech, index));
                index
            }
        };
        events.push(Event::Delta { index, text: text.to_owned() });
    }

    fn begin(&mut self, kind: PartKind, events: &mut Vec<Event>) -> usize {
        let index = self.parts;
        self.parts += 1;
        events.push(Event::PartStart { index, kind });
        index
    }

    /// Ends what is being said.
    fn hush(&mut self, events: &mut Vec<Event>) {
        let Some((speech, index)) = self.speech.take() else { return };
        if speech == Speech::Thinking {
            self.sign(index, events);
        }
        events.push(Event::PartEnd { index });
    }

    fn sign(&mut self, index: usize, events: &mut Vec<Event>) {
        let signature = reasoning::details_signature(std::mem::take(&mut self.details));
        events.push(Event::Signature { index, signature });
    }

    fn end_parts(&mut self, events: &mut Vec<Event>) {
        let mut pieces = Vec::new();
        if let Some(splitter) = &mut self.splitter {
            splitter.end(&mut pieces);
        }
        for (thinking, piece) in pieces {
            self.say(if thinking { Speech::Thinking } else { Speech::Text }, &piece, events);
        }
        self.hush(events);
        if !self.details.is_empty() {
            let index = self.begin(PartKind::Reasoning { redacted: true }, events);
            self.sign(index, events);
            events.push(Event::PartEnd { index });
        }
        self.calls.end(events);
    }

    /// The server said that this is all.
    fn end(&mut self, events: &mut Vec<Event>) {
        if !self.started {
            self.started = true;
            events.push(Event::Start { id: self.id.clone(), model: String::new() });
        }
        self.end_parts(events);
        self.report(events);
        events.push(Event::Stop(stop(self.stop.take(), self.calls.any(), self.refused)));
        events.push(Event::End);
    }

    /// The server closed the stream without a word: fine if it gave a reason to stop.
    fn closed(&mut self, events: &mut Vec<Event>) {
        if self.stop.is_some() {
            self.end(events);
            return;
        }
        self.report(events);
        events.push(truncated(None));
    }

    fn report(&mut self, events: &mut Vec<Event>) {
        events.extend(tokens_of(Dialect::Chat, &self.usage.take()).map(Event::Usage));
    }
}

/// Adds a fragment of `reasoning_details` to those of the same index and type.
fn add_detail(details: &mut Vec<Value>, fragment: &Value) {
    let same = |known: &&mut Value| {
        known.get("index").is_some()
            && known.get("index") == fragment.get("index")
            && known.get("type") == fragment.get("type")
    };
    let (Some(Value::Object(known)), Value::Object(fragment)) = (details.iter_mut().find(same), fragment) else {
        details.push(fragment.clone());
        return;
    };
    for (name, value) in fragment {
        match (known.get_mut(name), value) {
            (Some(Value::String(text)), Value::String(more))
                if matches!(name.as_str(), "text" | "summary" | "data") =>
            {
                text.push_str(more);
            }
            (Some(_), Value::Null) => {}
            _ => {
                known.insert(name.clone(), value.clone());
            }
        }
    }
}
