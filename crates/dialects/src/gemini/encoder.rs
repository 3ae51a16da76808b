//! Writes a streamed answer: server-sent events, or the JSON array Google sends without `alt=sse`.
//!
//! A call is one part, so its arguments are held until they are whole, and with them what comes of later
//! parts: an answer's parts keep their order.

use std::collections::VecDeque;

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
    /// Parts that are not written out.
    waiting: VecDeque<Waiting>,
    /// The index of the first of them.
    first: usize,
    held: usize,
    /// Thoughts that ride with the next call.
    before: Vec<Thought>,
    usage: Tokens,
    stop: Stop,
    /// Whether a chunk was written: what comes next is behind a comma.
    begun: bool,
    over: bool,
}

/// A part on its way.
struct Waiting {
    kind: PartKind,
    /// Of a text, what is not written; all of anything else.
    text: String,
    /// How much of a thought was shown.
    shown: usize,
    signature: Option<Signature>,
    ended: bool,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        let shown = thoughts::shown(&reply.request);
        Self {
            reply,
            shown,
            id: String::new(),
            waiting: VecDeque::new(),
            first: 0,
            held: 0,
            before: Vec::new(),
            usage: Tokens::default(),
            stop: Stop::End,
            begun: false,
            over: false,
        }
    }

    fn waiting(&mut self, index: usize) -> Option<&mut Waiting> {
        self.waiting.get_mut(index.checked_sub(self.first)?)
    }

    fn delta(&mut self, index: usize, text: &str, out: &mut Vec<u8>) {
        let Some(part) = self.waiting(index) else { return };
        part.text.push_str(text);
        let call = matches!(part.kind, PartKind::ToolCall { .. });
        let too_long = call && part.text.len() > ARGUMENTS_MAX;
        self.held += text.len();
        if too_long || self.held > HELD_MAX {
            self.fail("the provider sends more of its answer at once than can be held", out);
        } else if index == self.first {
            self.advance(out);
        }
    }

    /// Writes what can be written of the first part, and of the next ones when it ended.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while let Some(mut part) = self.waiting.pop_front() {
            self.write(&mut part, out);
            if !part.ended {
                self.waiting.push_front(part);
                return;
            }
            self.first += 1;
        }
    }

    fn write(&mut self, part: &mut Waiting, out: &mut Vec<u8>) {
        match &part.kind {
            PartKind::Text | PartKind::Refusal => {
                let text = self.release(part);
                if !text.is_empty() {
                    self.part(&json!({ "text": text }), out);
                }
            }
            PartKind::Reasoning { redacted } => {
                let redacted = *redacted;
                let news = part.text[part.shown..].to_owned();
                part.shown = part.text.len();
                if self.shown && !news.is_empty() {
                    self.part(&json!({ "text": news, "thought": true }), out);
                }
                if part.ended {
                    let text = self.release(part);
                    self.before.push(Thought { text, signature: part.signature.take(), redacted });
                }
            }
            PartKind::ToolCall { id, name } if part.ended => {
                let before = std::mem::take(&mut self.before);
                let signature = part.signature.as_ref().map(|signature| (id.as_str(), signature));
                let sealed = thoughts::sealed(&before, signature, &*self.reply.carrier);
                let call = response::call_part(id, name, &part.text, sealed);
                self.release(part);
                self.part(&call, out);
            }
            PartKind::ToolCall { .. } => {}
        }
    }

    fn release(&mut self, part: &mut Waiting) -> String {
        self.held = self.held.saturating_sub(part.text.len());
        std::mem::take(&mut part.text)
    }

    /// A chunk with one part.
    fn part(&mut self, part: &Value, out: &mut Vec<u8>) {
        let candidate = json!({ "content": { "role": "model", "parts": [part] }, "index": 0 });
        let chunk = response::envelope(vec![candidate], &self.id, &self.reply);
        self.chunk(&chunk.into(), out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        for part in &mut self.waiting {
            part.ended = true;
        }
        self.advance(out);
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

    fn fail(&mut self, message: &str, out: &mut Vec<u8>) {
        self.chunk(&json!({ "error": { "code": 500, "message": message, "status": "INTERNAL" } }), out);
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
            Event::PartStart { kind, .. } => {
                let kind = kind.clone();
                self.waiting.push_back(Waiting { kind, text: String::new(), shown: 0, signature: None, ended: false });
            }
            Event::Delta { index, text } => self.delta(*index, text, out),
            Event::Signature { index, signature } => {
                if let Some(part) = self.waiting(*index) {
                    part.signature = Some(signature.clone());
                }
            }
            Event::PartEnd { index } => {
                if let Some(part) = self.waiting(*index) {
                    part.ended = true;
                }
                if *index == self.first {
                    self.advance(out);
                }
            }
            Event::Usage(tokens) => self.usage = self.usage.max(*tokens),
            Event::Stop(stop) => self.stop = stop.clone(),
            Event::End => self.end(out),
            Event::Error { message, .. } => self.fail(message, out),
        }
    }
}
