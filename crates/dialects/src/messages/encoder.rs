//! Writes a streamed answer.
//!
//! Blocks are dense and open one at a time, in the order their parts begin. What comes of a later part
//! meanwhile is held.

use std::collections::VecDeque;

use preloop_types::Tokens;
use serde_json::{Value, json};

use super::{response, thoughts};
use crate::{
    ir::{Event, PartKind, Signature, Stop, Thought},
    translate::{HELD_MAX, Reply, StreamEncoder},
};

pub(super) struct Encoder {
    reply: Reply,
    shown: bool,
    /// Parts that are not written out, the first of them perhaps in part.
    waiting: VecDeque<Waiting>,
    /// The index of the first of them.
    first: usize,
    /// Blocks written so far.
    blocks: usize,
    /// Whether the first part's block is open.
    open: bool,
    /// Thoughts the agent gets only if a tool call follows.
    kept: Vec<Value>,
    held: usize,
    usage: Tokens,
    stop: Stop,
    over: bool,
}

/// A part on its way.
struct Waiting {
    kind: PartKind,
    /// What came and is not written.
    text: String,
    signature: Option<Signature>,
    ended: bool,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        let shown = thoughts::shown(&reply.request);
        Self {
            reply,
            shown,
            waiting: VecDeque::new(),
            first: 0,
            blocks: 0,
            open: false,
            kept: Vec::new(),
            held: 0,
            usage: Tokens::default(),
            stop: Stop::End,
            over: false,
        }
    }

    fn start(&self, id: &str, out: &mut Vec<u8>) {
        let mut usage = response::written_usage(&self.usage);
        usage["output_tokens"] = 1.into();
        let message = json!({
            "id": response::message_id(id, &self.reply.id),
            "type": "message",
            "role": "assistant",
            "model": self.reply.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage,
        });
        frame("message_start", &json!({ "type": "message_start", "message": message }), out);
    }

    fn part(&mut self, index: usize) -> Option<&mut Waiting> {
        self.waiting.get_mut(index.checked_sub(self.first)?)
    }

    fn hold(&mut self, index: usize, text: &str, out: &mut Vec<u8>) {
        let Some(part) = self.part(index) else { return };
        part.text.push_str(text);
        self.held += text.len();
        if self.held > HELD_MAX {
            self.fail("api_error", "the provider sends more parts of its answer at once than can be held", out);
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
                self.kept.clear();
                if !self.open && (!part.text.is_empty() || part.ended) {
                    self.open(&json!({ "type": "text", "text": "" }), out);
                }
                let text = self.take(part);
                self.delta(&text, |text| json!({ "type": "text_delta", "text": text }), out);
            }
            PartKind::Reasoning { redacted: false } if self.shown => {
                if !self.open && (!part.text.is_empty() || part.signature.is_some()) {
                    self.open(&json!({ "type": "thinking", "thinking": "", "signature": "" }), out);
                }
                let text = self.take(part);
                self.delta(&text, |text| json!({ "type": "thinking_delta", "thinking": text }), out);
                if let Some(signature) = part.signature.take_if(|_| part.ended) {
                    let thought = Thought { signature: Some(signature), ..Thought::default() };
                    let sealed = thoughts::sealed(&thought, &*self.reply.carrier);
                    self.delta(&sealed, |sealed| json!({ "type": "signature_delta", "signature": sealed }), out);
                }
            }
            PartKind::Reasoning { redacted } => {
                if part.ended {
                    let redacted = *redacted;
                    let text = self.take(part);
                    let thought = Thought { text, signature: part.signature.take(), redacted };
                    let block = thoughts::block(&thought, &*self.reply.carrier);
                    if self.shown {
                        if let Some(block) = &block {
                            self.whole(block, out);
                        }
                    } else {
                        self.kept.extend(block);
                    }
                }
            }
            PartKind::ToolCall { id, name } => {
                let start = json!({ "type": "tool_use", "id": thoughts::IDS.apply(id), "name": name, "input": {} });
                let id = id.clone();
                // A signature comes ahead of the arguments, and its block ahead of the call's.
                if !self.open && (!part.text.is_empty() || part.ended) {
                    for thought in std::mem::take(&mut self.kept) {
                        self.whole(&thought, out);
                    }
                    self.signature(&id, part, out);
                    self.open(&start, out);
                }
                let text = self.take(part);
                self.delta(&text, |text| json!({ "type": "input_json_delta", "partial_json": text }), out);
                if part.ended && part.signature.is_some() {
                    self.close(out);
                    self.signature(&id, part, out);
                }
            }
        }
        if part.ended {
            self.close(out);
        }
    }

    fn take(&mut self, part: &mut Waiting) -> String {
        self.held = self.held.saturating_sub(part.text.len());
        std::mem::take(&mut part.text)
    }

    fn signature(&mut self, call_id: &str, part: &mut Waiting, out: &mut Vec<u8>) {
        if let Some(signature) = part.signature.take() {
            let block = thoughts::signature_block(call_id, &signature, &*self.reply.carrier);
            self.whole(&block, out);
        }
    }

    /// A block that is known whole.
    fn whole(&mut self, block: &Value, out: &mut Vec<u8>) {
        if block["type"] == "redacted_thinking" {
            self.open(block, out);
        } else {
            self.open(&json!({ "type": "thinking", "thinking": "", "signature": "" }), out);
            let text = block["thinking"].as_str().unwrap_or_default();
            self.delta(text, |text| json!({ "type": "thinking_delta", "thinking": text }), out);
            let sealed = block["signature"].as_str().unwrap_or_default();
            self.delta(sealed, |sealed| json!({ "type": "signature_delta", "signature": sealed }), out);
        }
        self.close(out);
    }

    fn open(&mut self, block: &Value, out: &mut Vec<u8>) {
        self.open = true;
        let start = json!({ "type": "content_block_start", "index": self.blocks, "content_block": block });
        frame("content_block_start", &start, out);
    }

    fn delta(&self, text: &str, delta: impl Fn(&str) -> Value, out: &mut Vec<u8>) {
        if !text.is_empty() {
            let delta = json!({ "type": "content_block_delta", "index": self.blocks, "delta": delta(text) });
            frame("content_block_delta", &delta, out);
        }
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.open) {
            frame("content_block_stop", &json!({ "type": "content_block_stop", "index": self.blocks }), out);
            self.blocks += 1;
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        for part in &mut self.waiting {
            part.ended = true;
        }
        self.advance(out);
        let (reason, sequence) = response::stop_reason(&self.stop);
        let delta = json!({
            "type": "message_delta",
            "delta": { "stop_reason": reason, "stop_sequence": sequence },
            "usage": response::written_usage(&self.usage),
        });
        frame("message_delta", &delta, out);
        frame("message_stop", &json!({ "type": "message_stop" }), out);
        self.over = true;
    }

    fn fail(&mut self, code: &str, message: &str, out: &mut Vec<u8>) {
        frame("error", &json!({ "type": "error", "error": { "type": code, "message": message } }), out);
        self.over = true;
    }
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Start { id, .. } => self.start(id, out),
            Event::PartStart { kind, .. } => {
                let kind = kind.clone();
                self.waiting.push_back(Waiting { kind, text: String::new(), signature: None, ended: false });
            }
            Event::Delta { index, text } => {
                self.hold(*index, text, out);
                if *index == self.first && !self.over {
                    self.advance(out);
                }
            }
            Event::Signature { index, signature } => {
                if let Some(part) = self.part(*index) {
                    part.signature = Some(signature.clone());
                }
            }
            Event::PartEnd { index } => {
                if let Some(part) = self.part(*index) {
                    part.ended = true;
                }
                if *index == self.first {
                    self.advance(out);
                }
            }
            Event::Usage(tokens) => self.usage = self.usage.max(*tokens),
            Event::Stop(stop) => self.stop = stop.clone(),
            Event::End => self.end(out),
            Event::Error { code, message } => self.fail(error_type(code), message, out),
        }
    }
}

/// Anthropic's clients know errors by these types alone; some of them are worth asking again for.
fn error_type(code: &str) -> &'static str {
    match code {
        "overloaded_error" | "UNAVAILABLE" | "serviceUnavailableException" | "server_overloaded" => "overloaded_error",
        "rate_limit_error" | "rate_limit_exceeded" | "RESOURCE_EXHAUSTED" | "throttlingException" => "rate_limit_error",
        "timeout_error" | "DEADLINE_EXCEEDED" | "modelTimeoutException" => "timeout_error",
        "invalid_request_error" | "INVALID_ARGUMENT" | "validationException" => "invalid_request_error",
        _ => "api_error",
    }
}

fn frame(event: &str, data: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(event.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(data.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}
