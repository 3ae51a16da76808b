//! A streamed answer of a provider.
//!
//! What arrives in pieces arrives once more whole, when its item is done, and in the end once more with all
//! the others: whatever was missed is taken from there.

use std::collections::BTreeMap;

use serde_json::Value;

use super::response::{call_id, failure, item_parts, signature, stop};
use crate::{
    Dialect,
    ir::{Event, Part, PartKind, Thought, ToolCall},
    sse,
    translate::{ARGUMENTS_MAX, BadAnswer, Names, StreamDecoder, tokens_of, truncated, unreadable},
};

#[derive(Debug, Default)]
pub(super) struct Decoder {
    parser: sse::Parser,
    answer: Answer,
    over: bool,
}

impl Decoder {
    pub(super) fn new(names: Names) -> Self {
        Self { answer: Answer { names, ..Answer::default() }, ..Self::default() }
    }
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        self.parser.push(bytes);
        while !self.over {
            let Some(frame) = self.parser.next().map_err(|error| BadAnswer(error.to_string()))? else { break };
            if let Some(data) = frame.data {
                self.over = self.answer.frame(frame.event, &data, events)?;
            }
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        if self.over {
            return;
        }
        if let Some(sse::Frame { event, data: Some(data) }) = self.parser.last() {
            // A frame that is cut off says nothing more than that the stream was.
            self.over = self.answer.frame(event, &data, events).unwrap_or(false);
        }
        if !self.over {
            self.over = true;
            events.push(truncated(None));
        }
    }
}

#[derive(Debug, Default)]
struct Answer {
    names: Names,
    started: bool,
    parts: usize,
    /// By output index.
    items: BTreeMap<u64, Item>,
    /// What was said, for the reason it ended; without its texts.
    kinds: Vec<Part>,
}

/// An item, with the parts it became.
#[derive(Debug, Default)]
struct Item {
    /// By place in the item: content, or 0.
    parts: BTreeMap<u64, Open>,
    /// The summary's part whose text came last.
    summary: u64,
    done: bool,
}

#[derive(Debug)]
struct Open {
    index: usize,
    /// Bytes of text passed on.
    length: usize,
}

impl Answer {
    /// Reads one frame; `true` if it was the last.
    fn frame(&mut self, event: &[u8], data: &[u8], events: &mut Vec<Event>) -> Result<bool, BadAnswer> {
        let data = data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return Ok(false);
        }
        let frame: Value = serde_json::from_slice(data).map_err(|error| unreadable(&error))?;
        let named = std::str::from_utf8(event).unwrap_or_default();
        let kind = frame.get("type").and_then(Value::as_str).unwrap_or(named);
        let text = |name: &str| frame.get(name).and_then(Value::as_str).unwrap_or_default();
        let number = |name: &str| frame.get(name).and_then(Value::as_u64).unwrap_or(0);
        let output = number("output_index");
        match kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                self.start(frame.get("response"), events);
            }
            "response.output_item.added" => {
                if let Some(item) = frame.get("item") {
                    self.added(output, item, events);
                }
            }
            "response.output_text.delta" => {
                self.say(output, number("content_index"), &PartKind::Text, text("delta"), events)?;
            }
            "response.refusal.delta" => {
                self.say(output, number("content_index"), &PartKind::Refusal, text("delta"), events)?;
            }
            "response.reasoning_summary_text.delta" => {
                self.summarize(output, number("summary_index"), text("delta"), events)?;
            }
            "response.reasoning_text.delta" => {
                self.summarize(output, number("content_index"), text("delta"), events)?;
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.say(output, 0, &PartKind::Text, text("delta"), events)?;
            }
            "response.output_item.done" => {
                if let Some(item) = frame.get("item") {
                    self.done(output, item, events);
                }
            }
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                self.end(frame.get("response").unwrap_or(&Value::Null), events);
                return Ok(true);
            }
            "error" => {
                let (code, message) = crate::chat::error_of(frame.get("error").unwrap_or(&frame));
                events.push(Event::Error { code, message });
                return Ok(true);
            }
            _ => {}
        }
        Ok(false)
    }

    fn start(&mut self, response: Option<&Value>, events: &mut Vec<Event>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let text =
            |name: &str| response.and_then(|response| response.get(name)?.as_str()).unwrap_or_default().to_owned();
        events.push(Event::Start { id: text("id"), model: text("model") });
    }

    fn added(&mut self, output: u64, item: &Value, events: &mut Vec<Event>) {
        self.start(None, events);
        if matches!(item.get("type").and_then(Value::as_str), Some("function_call" | "custom_tool_call")) {
            let sent = item.get("name").and_then(Value::as_str).unwrap_or_default();
            let kind = PartKind::ToolCall { id: call_id(item), name: self.names.agents(sent).to_owned() };
            self.open(output, 0, kind, events);
        }
    }

    /// The part at a place, which begins with this if it has not yet.
    fn open(&mut self, output: u64, place: u64, kind: PartKind, events: &mut Vec<Event>) -> &mut Open {
        let Self { items, parts, kinds, .. } = self;
        items.entry(output).or_default().parts.entry(place).or_insert_with(|| {
            let index = *parts;
            *parts += 1;
            kinds.push(match &kind {
                PartKind::Text => Part::Text { text: String::new(), cache: None },
                PartKind::Refusal => Part::Refusal(String::new()),
                PartKind::Reasoning { .. } => Part::Reasoning(Thought::default()),
                PartKind::ToolCall { .. } => Part::ToolCall(ToolCall::default()),
            });
            events.push(Event::PartStart { index, kind });
            Open { index, length: 0 }
        })
    }

    fn say(
        &mut self,
        output: u64,
        place: u64,
        kind: &PartKind,
        text: &str,
        events: &mut Vec<Event>,
    ) -> Result<(), BadAnswer> {
        if text.is_empty() || self.items.get(&output).is_some_and(|item| item.done) {
            return Ok(());
        }
        self.start(None, events);
        let open = self.open(output, place, kind.clone(), events);
        open.length += text.len();
        let (index, length) = (open.index, open.length);
        if matches!(self.kinds.get(index), Some(Part::ToolCall(_))) && length > ARGUMENTS_MAX {
            return Err(BadAnswer("the arguments of a tool call are longer than 1 MiB".to_owned()));
        }
        events.push(Event::Delta { index, text: text.to_owned() });
        Ok(())
    }

    /// Thinking is one part; the summary's own parts are a blank line apart in it.
    fn summarize(&mut self, output: u64, part: u64, text: &str, events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let item = self.items.entry(output).or_default();
        let next = part != item.summary && item.parts.get(&0).is_some_and(|open| open.length > 0);
        item.summary = part;
        let kind = PartKind::Reasoning { redacted: false };
        if next && !text.is_empty() {
            self.say(output, 0, &kind, "\n\n", events)?;
        }
        self.say(output, 0, &kind, text, events)
    }

    /// An item is complete: what of it was not passed on yet is, and its parts end.
    fn done(&mut self, output: u64, item: &Value, events: &mut Vec<Event>) {
        self.start(None, events);
        if self.items.get(&output).is_some_and(|item| item.done) {
            return;
        }
        for (place, part) in (0..).zip(item_parts(item, &self.names)) {
            let (kind, whole) = match part {
                Part::Text { text, .. } => (PartKind::Text, text),
                Part::Refusal(text) => (PartKind::Refusal, text),
                Part::Reasoning(thought) => (PartKind::Reasoning { redacted: thought.redacted }, thought.text),
                Part::ToolCall(call) => (PartKind::ToolCall { id: call.id, name: call.name }, call.arguments),
                _ => continue,
            };
            let open = self.open(output, place, kind, events);
            let index = open.index;
            if let Some(rest) = whole.get(open.length..).filter(|rest| !rest.is_empty()) {
                open.length = whole.len();
                events.push(Event::Delta { index, text: rest.to_owned() });
            }
        }
        let entry = self.items.entry(output).or_default();
        entry.done = true;
        for open in entry.parts.values() {
            let proof = if item.get("type").is_some_and(|kind| kind == "reasoning") { signature(item) } else { None };
            events.extend(proof.map(|signature| Event::Signature { index: open.index, signature }));
            events.push(Event::PartEnd { index: open.index });
        }
    }

    fn end(&mut self, response: &Value, events: &mut Vec<Event>) {
        self.start(Some(response), events);
        if let Some(tokens) = response.get("usage").and_then(|usage| tokens_of(Dialect::Responses, usage)) {
            events.push(Event::Usage(tokens));
        }
        if let Some((code, message)) = failure(response) {
            events.push(Event::Error { code, message });
            return;
        }
        let items = response.get("output").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        for (output, item) in (0..).zip(items) {
            self.done(output, item, events);
        }
        // Nobody said more of these.
        for item in self.items.values_mut().filter(|item| !item.done) {
            item.done = true;
            events.extend(item.parts.values().map(|open| Event::PartEnd { index: open.index }));
        }
        events.push(Event::Stop(stop(response, &self.kinds)));
        events.push(Event::End);
    }
}
