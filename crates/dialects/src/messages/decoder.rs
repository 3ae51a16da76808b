use std::collections::HashMap;

use serde_json::Value;

use super::response::{self, signature, text};
use crate::{
    ir::{Event, PartKind},
    sse::Parser,
    translate::{ARGUMENTS_MAX, BadAnswer, Names, StreamDecoder, merge_counts, truncated},
};

/// Reads a streamed answer.
#[derive(Debug)]
pub(super) struct Decoder {
    names: Names,
    parser: Parser,
    /// By the provider's index.
    blocks: HashMap<u64, Block>,
    parts: usize,
    /// Whether the agent gets a tool call.
    calls: bool,
    /// As Anthropic counts.
    usage: Value,
    ended: bool,
}

#[derive(Debug)]
struct Block {
    part: usize,
    arguments: Option<Arguments>,
}

/// The arguments of a tool call on their way.
#[derive(Debug)]
struct Arguments {
    /// What the block began with: some servers send them whole.
    first: Value,
    /// Whether any came.
    some: bool,
    /// The agent's name and what came so far of a wrapped tool, whose arguments are only known whole.
    wrapped: Option<(String, String)>,
}

impl Decoder {
    pub(super) fn new(names: Names) -> Self {
        Self {
            names,
            parser: Parser::new(),
            blocks: HashMap::new(),
            parts: 0,
            calls: false,
            usage: Value::Null,
            ended: false,
        }
    }

    fn frame(&mut self, data: &[u8], events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        if self.ended || data.is_empty() {
            return Ok(());
        }
        let event: Value =
            serde_json::from_slice(data).map_err(|error| BadAnswer(format!("an event is not JSON: {error}")))?;
        let index = event["index"].as_u64().unwrap_or_default();
        match event["type"].as_str() {
            Some("message_start") => {
                let message = &event["message"];
                events.push(Event::Start { id: text(&message["id"]), model: text(&message["model"]) });
                self.count(&message["usage"], events);
            }
            Some("content_block_start") => self.start(index, &event["content_block"], events)?,
            Some("content_block_delta") => self.delta(index, &event["delta"], events)?,
            Some("content_block_stop") => self.stop(index, events),
            Some("message_delta") => {
                self.count(&event["usage"], events);
                let delta = &event["delta"];
                if let Some(reason) = delta["stop_reason"].as_str() {
                    let stop = response::stop(Some(reason), delta["stop_sequence"].as_str(), self.calls);
                    events.push(Event::Stop(stop));
                }
            }
            Some("message_stop") => {
                self.ended = true;
                events.push(Event::End);
            }
            Some("error") => {
                self.ended = true;
                let error = &event["error"];
                events.push(Event::Error { code: text(&error["type"]), message: text(&error["message"]) });
            }
            // `ping`, and what is not known yet.
            _ => {}
        }
        Ok(())
    }

    fn count(&mut self, usage: &Value, events: &mut Vec<Event>) {
        merge_counts(&mut self.usage, usage);
        events.extend(response::usage(&self.usage).map(Event::Usage));
    }

    fn start(&mut self, index: u64, block: &Value, events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let part = self.parts;
        let mut arguments = None;
        let kind = match block["type"].as_str() {
            Some("text") => PartKind::Text,
            Some("thinking") => PartKind::Reasoning { redacted: false },
            Some("redacted_thinking") => PartKind::Reasoning { redacted: true },
            Some("tool_use") => {
                let sent = block["name"].as_str().ok_or_else(|| BadAnswer("a tool call has no name".to_owned()))?;
                let first = block["input"].clone();
                let name = self.names.agents(sent).to_owned();
                let wrapped = self.names.is_wrapped(&name).then(|| (name.clone(), String::new()));
                arguments = Some(Arguments { first, some: false, wrapped });
                if self.names.is_answer(sent) {
                    PartKind::Text
                } else {
                    self.calls = true;
                    PartKind::ToolCall { id: text(&block["id"]), name }
                }
            }
            // A tool the provider runs itself, which is never asked for in translation.
            _ => return Ok(()),
        };
        self.parts += 1;
        self.blocks.insert(index, Block { part, arguments });
        events.push(Event::PartStart { index: part, kind });
        for field in ["text", "thinking"] {
            push_delta(part, block[field].as_str(), events);
        }
        let whole = signature(&block["signature"]).or_else(|| signature(&block["data"]));
        events.extend(whole.map(|signature| Event::Signature { index: part, signature }));
        Ok(())
    }

    fn delta(&mut self, index: u64, delta: &Value, events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let Some(block) = self.blocks.get_mut(&index) else { return Ok(()) };
        match delta["type"].as_str() {
            Some("text_delta") => push_delta(block.part, delta["text"].as_str(), events),
            Some("thinking_delta") => push_delta(block.part, delta["thinking"].as_str(), events),
            Some("signature_delta") => {
                let signature = signature(&delta["signature"]);
                events.extend(signature.map(|signature| Event::Signature { index: block.part, signature }));
            }
            Some("input_json_delta") => {
                let fragment = delta["partial_json"].as_str().filter(|fragment| !fragment.is_empty());
                let (Some(arguments), Some(fragment)) = (&mut block.arguments, fragment) else { return Ok(()) };
                arguments.some = true;
                match &mut arguments.wrapped {
                    None => push_delta(block.part, Some(fragment), events),
                    Some((_, held)) if held.len() + fragment.len() > ARGUMENTS_MAX => {
                        return Err(BadAnswer("the arguments of a tool call are longer than 1 MiB".to_owned()));
                    }
                    Some((_, held)) => held.push_str(fragment),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn stop(&mut self, index: u64, events: &mut Vec<Event>) {
        let Some(Block { part, arguments }) = self.blocks.remove(&index) else { return };
        if let Some(Arguments { first, some, wrapped }) = arguments {
            // A tool without arguments gets no delta, or an empty one.
            let first = if first.is_object() { first.to_string() } else { "{}".to_owned() };
            let whole = match wrapped {
                Some((name, held)) => Some(self.names.arguments(&name, if some { &held } else { &first }).into_owned()),
                None => (!some).then_some(first),
            };
            push_delta(part, whole.as_deref(), events);
        }
        events.push(Event::PartEnd { index: part });
    }
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        // The frame borrows from the parser, which has to be put back whatever the frame holds.
        let mut parser = std::mem::take(&mut self.parser);
        parser.push(bytes);
        let mut read = Ok(());
        while read.is_ok() {
            match parser.next() {
                Ok(Some(frame)) => {
                    read = frame.data.as_deref().map_or(Ok(()), |data| self.frame(data, events));
                }
                Ok(None) => break,
                Err(too_long) => read = Err(BadAnswer(too_long.to_string())),
            }
        }
        self.parser = parser;
        read
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        let mut parser = std::mem::take(&mut self.parser);
        let last = parser.last().and_then(|frame| frame.data);
        let read = last.as_deref().map_or(Ok(()), |data| self.frame(data, events));
        if !self.ended {
            self.ended = true;
            events.push(truncated(read.err()));
        }
    }
}

fn push_delta(index: usize, text: Option<&str>, events: &mut Vec<Event>) {
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        events.push(Event::Delta { index, text: text.to_owned() });
    }
}
