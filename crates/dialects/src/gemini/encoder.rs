//! Writes a streamed answer: server-sent events, or the JSON array Google sends without `alt=sse`.
//!
//! A call is one part, so its arguments are held until they are whole.

use std::collections::HashMap;

use preloop_types::Tokens;
use serde_json::{Value, json};

use super::{response, thoughts};
use crate::{
    ir::{Event, PartKind, Signature, Stop, Thought},
    translate::{ARGUMENTS_MAX, HELD_MAX, Reply, StreamEncoder},
};

pub(super) struct Encoder {
    reply: Reply,
    shown: bool,
    id: String,
    /// Parts that did not end.
    parts: HashMap<usize, Part>,
    held: usize,
    /// Thoughts that ride with the next call.
    before: Vec<Thought>,
    usage: Tokens,
    stop: Stop,
    /// Whether a chunk was written: what comes next is behind a comma.
    begun: bool,
    over: bool,
}

/// A part on its way. Of a text, nothing is held.
struct Part {
    kind: PartKind,
    held: String,
    signature: Option<Signature>,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        let shown = thoughts::shown(&reply.request);
        Self {
            reply,
            shown,
            id: String::new(),
            parts: HashMap::new(),
            held: 0,
            before: Vec::new(),
            usage: Tokens::default(),
            stop: Stop::End,
            begun: false,
            over: false,
        }
    }

    fn delta(&mut self, index: usize, text: &str, out: &mut Vec<u8>) {
        let Some(part) = self.parts.get_mut(&index) else { return };
        match part.kind {
            PartKind::Text | PartKind::Refusal => return self.part(&json!({ "text": text }), out),
            PartKind::Reasoning { .. } | PartKind::ToolCall { .. } => part.held.push_str(text),
        }
        self.held += text.len();
        let call = matches!(part.kind, PartKind::ToolCall { .. });
        if (call && part.held.len() > ARGUMENTS_MAX) || self.held > HELD_MAX {
            return self.fail("INTERNAL", "the provider sends a longer tool call than can be held", out);
        }
        if !call && self.shown {
            self.part(&json!({ "text": text, "thought": true }), out);
        }
    }

    fn part_end(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(part) = self.parts.remove(&index) else { return };
        self.held = self.held.saturating_sub(part.held.len());
        match part.kind {
            PartKind::Text | PartKind::Refusal => {}
            PartKind::Reasoning { redacted } => {
                self.before.push(Thought { text: part.held, signature: part.signature, redacted });
            }
            PartKind::ToolCall { id, name } => {
                let before = std::mem::take(&mut self.before);
                let signature = part.signature.as_ref().map(|signature| (id.as_str(), signature));
                let sealed = thoughts::sealed(&before, signature, &*self.reply.carrier);
                self.part(&response::call_part(&id, &name, &part.held, sealed), out);
            }
        }
    }

    /// A chunk with one part.
    fn part(&mut self, part: &Value, out: &mut Vec<u8>) {
        let candidate = json!({ "content": { "role": "model", "parts": [part] }, "index": 0 });
        let chunk = response::envelope(vec![candidate], &self.id, &self.reply);
        self.chunk(&chunk.into(), out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let mut left: Vec<usize> = self.parts.keys().copied().collect();
        left.sort_unstable();
        for index in left {
            self.part_end(index, out);
        }
        let last = response::last_part(&self.before, &self.reply).unwrap_or_else(|| json!({ "text": "" }));
        let candidate = json!({
            "content": { "role": "model", "parts": [last] },
            "finishReason": response::finish_reason(&self.stop),
            "index": 0,
        });
        let mut chunk = response::envelope(vec![candidate], &self.id, &self.reply);
        chunk.insert("usageMetadata".to_owned(), response::written_usage(&self.usage));
        self.chunk(&chunk.into(), out);
        self.close(out);
    }

    fn fail(&mut self, status: &str, message: &str, out: &mut Vec<u8>) {
        self.chunk(&json!({ "error": { "code": 500, "message": message, "status": status } }), out);
        self.close(out);
    }

    fn chunk(&mut self, chunk: &Value, out: &mut Vec<u8>) {
        let begun = std::mem::replace(&mut self.begun, true);
        let before: &[u8] = match (self.reply.sse, begun) {
            (true, _) => b"data: ",
            (false, false) => b"[",
            (false, true) => b",\r\n",
        };
        out.extend_from_slice(before);
        out.extend_from_slice(chunk.to_string().as_bytes());
        if self.reply.sse {
            out.extend_from_slice(b"\n\n");
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if !self.reply.sse {
            out.push(b']');
        }
        self.over = true;
    }
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, .. } => self.id.clone_from(id),
            Event::PartStart { index, kind } => {
                let part = Part { kind: kind.clone(), held: String::new(), signature: None };
                self.parts.insert(*index, part);
            }
            Event::Delta { index, text } => self.delta(*index, text, out),
            Event::Signature { index, signature } => {
                if let Some(part) = self.parts.get_mut(index) {
                    part.signature = Some(signature.clone());
                }
            }
            Event::PartEnd { index } => self.part_end(*index, out),
            Event::Usage(tokens) => self.usage = self.usage.max(*tokens),
            Event::Stop(stop) => self.stop = stop.clone(),
            Event::End => self.end(out),
            Event::Error { message, .. } => self.fail("INTERNAL", message, out),
        }
    }
}
