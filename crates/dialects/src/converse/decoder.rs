use std::collections::HashMap;

use serde_json::Value;

use super::{
    frames::{Kind, Parser},
    response::{self, signature, text},
};
use crate::{
    ir::{Event, PartKind},
    translate::{ARGUMENTS_MAX, BadAnswer, Names, StreamDecoder, truncated},
};

/// Reads a streamed answer, as its binary frames.
#[derive(Debug)]
pub(super) struct Decoder {
    parser: Parser,
    answer: Answer,
}

/// What the frames say.
#[derive(Debug)]
struct Answer {
    names: Names,
    /// By the provider's index.
    blocks: HashMap<u64, Block>,
    parts: usize,
    /// Whether the agent gets a tool call.
    calls: bool,
    stopped: bool,
    ended: bool,
}

#[derive(Debug)]
struct Block {
    part: usize,
    call: Option<Call>,
}

/// A tool call on its way.
#[derive(Debug)]
struct Call {
    /// Whether any arguments came.
    some: bool,
    /// The agent's name and what came so far of a wrapped tool, whose arguments are only known whole.
    wrapped: Option<(String, String)>,
}

impl Decoder {
    pub(super) fn new(names: Names) -> Self {
        let answer = Answer { names, blocks: HashMap::new(), parts: 0, calls: false, stopped: false, ended: false };
        Self { parser: Parser::default(), answer }
    }
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        self.parser.push(bytes);
        while let Some(frame) = self.parser.next().map_err(|bad| BadAnswer(bad.to_string()))? {
            if self.answer.ended {
                continue;
            }
            match frame.kind {
                Kind::Event => self.answer.event(frame.name, frame.payload, events)?,
                Kind::Exception => {
                    let payload: Value = serde_json::from_slice(frame.payload).unwrap_or_default();
                    self.answer.fail(frame.name, &text(&payload["message"]), events);
                }
                Kind::Error => self.answer.fail(frame.name, frame.message, events),
            }
        }
        Ok(())
    }

    fn finish(&mut self, events: &mut Vec<Event>) {
        if std::mem::replace(&mut self.answer.ended, true) {
            return;
        }
        // Usage comes last, and may not come.
        events.push(if self.answer.stopped && self.parser.is_empty() { Event::End } else { truncated(None) });
    }
}

impl Answer {
    fn event(&mut self, name: &str, payload: &[u8], events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let payload: Value =
            serde_json::from_slice(payload).map_err(|error| BadAnswer(format!("an event is not JSON: {error}")))?;
        let index = payload["contentBlockIndex"].as_u64().unwrap_or_default();
        match name {
            "messageStart" => events.push(Event::Start { id: String::new(), model: String::new() }),
            "contentBlockStart" if payload["start"]["toolUse"].is_object() => {
                self.call(index, &payload["start"]["toolUse"], events)?;
            }
            "contentBlockDelta" => self.delta(index, &payload["delta"], events)?,
            "contentBlockStop" => self.stop(index, events),
            "messageStop" => {
                self.stopped = true;
                let more = &payload["additionalModelResponseFields"];
                events.push(Event::Stop(response::stop(&payload["stopReason"], more, self.calls)));
            }
            "metadata" => {
                events.extend(response::usage(&payload["usage"]).map(Event::Usage));
                if self.stopped {
                    self.ended = true;
                    events.push(Event::End);
                }
            }
            // What is not known yet.
            _ => {}
        }
        Ok(())
    }

    fn fail(&mut self, code: &str, message: &str, events: &mut Vec<Event>) {
        self.ended = true;
        events.push(Event::Error { code: code.to_owned(), message: message.to_owned() });
    }

    fn call(&mut self, index: u64, start: &Value, events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let sent = start["name"].as_str().ok_or_else(|| BadAnswer("a tool call has no name".to_owned()))?;
        let name = self.names.agents(sent).to_owned();
        let wrapped = self.names.is_wrapped(&name).then(|| (name.clone(), String::new()));
        let kind = if self.names.is_answer(sent) {
            PartKind::Text
        } else {
            self.calls = true;
            PartKind::ToolCall { id: text(&start["toolUseId"]), name }
        };
        self.open(index, kind, Some(Call { some: false, wrapped }), events);
        Ok(())
    }

    fn open(&mut self, index: u64, kind: PartKind, call: Option<Call>, events: &mut Vec<Event>) -> usize {
        let part = self.parts;
        self.parts += 1;
        self.blocks.insert(index, Block { part, call });
        events.push(Event::PartStart { index: part, kind });
        part
    }

    /// The part of a block that no frame opens.
    fn part(&mut self, index: u64, kind: PartKind, events: &mut Vec<Event>) -> usize {
        match self.blocks.get(&index) {
            Some(block) => block.part,
            None => self.open(index, kind, None, events),
        }
    }

    fn delta(&mut self, index: u64, delta: &Value, events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        if let Some(said) = delta["text"].as_str() {
            let part = self.part(index, PartKind::Text, events);
            push_delta(part, said, events);
        } else if let Some(fragment) = delta["toolUse"]["input"].as_str() {
            let Some(Block { part, call: Some(call) }) = self.blocks.get_mut(&index) else { return Ok(()) };
            call.some |= !fragment.is_empty();
            match &mut call.wrapped {
                None => push_delta(*part, fragment, events),
                Some((_, held)) if held.len() + fragment.len() > ARGUMENTS_MAX => {
                    return Err(BadAnswer("the arguments of a tool call are longer than 1 MiB".to_owned()));
                }
                Some((_, held)) => held.push_str(fragment),
            }
        } else if delta["reasoningContent"].is_object() {
            let reasoning = &delta["reasoningContent"];
            let hidden = signature(&reasoning["redactedContent"]);
            let part = self.part(index, PartKind::Reasoning { redacted: hidden.is_some() }, events);
            push_delta(part, reasoning["text"].as_str().unwrap_or_default(), events);
            let signature = hidden.or_else(|| signature(&reasoning["signature"]));
            events.extend(signature.map(|signature| Event::Signature { index: part, signature }));
        }
        Ok(())
    }

    fn stop(&mut self, index: u64, events: &mut Vec<Event>) {
        let Some(Block { part, call }) = self.blocks.remove(&index) else { return };
        match call {
            // A tool without arguments.
            Some(Call { some: false, wrapped: None }) => push_delta(part, "{}", events),
            Some(Call { wrapped: Some((name, held)), .. }) => {
                push_delta(part, &self.names.arguments(&name, &held), events);
            }
            _ => {}
        }
        events.push(Event::PartEnd { index: part });
    }
}

fn push_delta(index: usize, text: &str, events: &mut Vec<Event>) {
    if !text.is_empty() {
        events.push(Event::Delta { index, text: text.to_owned() });
    }
}
