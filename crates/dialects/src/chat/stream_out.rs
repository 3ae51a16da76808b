//! A streamed answer to an agent.

use std::collections::BTreeMap;

use preloop_types::Tokens;
use serde_json::{Map, Value, json};

use super::{answer_id, reasoning, usage, word_of};
use crate::{
    ir::{Event, PartKind, Signature, Stop, Thought},
    translate::{Reply, StreamEncoder},
};

pub(super) struct Encoder {
    reply: Reply,
    id: String,
    started: bool,
    parts: BTreeMap<usize, Open>,
    /// Thinking so far, as long as no call followed.
    thoughts: BTreeMap<usize, Thought>,
    calls: usize,
    details: usize,
    usage: Option<Tokens>,
}

/// What a part is to this dialect.
enum Open {
    Text,
    Refusal,
    Thinking,
    Call { number: usize, id: String, custom: bool },
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            id: String::new(),
            reply,
            started: false,
            parts: BTreeMap::new(),
            thoughts: BTreeMap::new(),
            calls: 0,
            details: 0,
            usage: None,
        }
    }

    fn start(&mut self, id: &str, out: &mut Vec<u8>) {
        if self.started {
            return;
        }
        self.started = true;
        self.id = answer_id(id, &self.reply.id);
        self.delta(&json!({"role": "assistant", "content": ""}), out);
    }

    fn delta(&self, delta: &Value, out: &mut Vec<u8>) {
        self.chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]), None, out);
    }

    fn chunk(&self, choices: Value, usage: Option<Value>, out: &mut Vec<u8>) {
        let mut chunk = Map::new();
        chunk.insert("id".to_owned(), self.id.as_str().into());
        chunk.insert("object".to_owned(), "chat.completion.chunk".into());
        chunk.insert("created".to_owned(), self.reply.created.into());
        chunk.insert("model".to_owned(), self.reply.model.as_str().into());
        chunk.insert("choices".to_owned(), choices);
        if self.reply.request.include_usage {
            chunk.insert("usage".to_owned(), usage.into());
        }
        frame(&Value::Object(chunk), out);
    }

    fn part(&mut self, index: usize, kind: &PartKind, out: &mut Vec<u8>) {
        let open = match kind {
            PartKind::Text => Open::Text,
            PartKind::Refusal => Open::Refusal,
            PartKind::Reasoning { redacted } => {
                self.thoughts.insert(index, Thought { redacted: *redacted, ..Thought::default() });
                Open::Thinking
            }
            PartKind::ToolCall { id, name } => {
                let (number, custom) = (self.calls, self.reply.request.is_custom(name));
                self.calls += 1;
                let (kind, arguments) = if custom { ("custom", "input") } else { ("function", "arguments") };
                let begun = json!({"index": number, "id": id, "type": kind, kind: {"name": name, arguments: ""}});
                self.delta(&json!({"tool_calls": [begun]}), out);
                Open::Call { number, id: id.clone(), custom }
            }
        };
        self.parts.insert(index, open);
    }

    fn more(&mut self, index: usize, text: &str, out: &mut Vec<u8>) {
        let delta = match self.parts.get(&index) {
            Some(Open::Text) => json!({ "content": text }),
            Some(Open::Refusal) => json!({ "refusal": text }),
            Some(Open::Thinking) => {
                if let Some(thought) = self.thoughts.get_mut(&index) {
                    thought.text.push_str(text);
                }
                json!({ "reasoning_content": text })
            }
            Some(Open::Call { number, custom: true, .. }) => {
                json!({"tool_calls": [{"index": number, "custom": {"input": text}}]})
            }
            Some(Open::Call { number, .. }) => {
                json!({"tool_calls": [{"index": number, "function": {"arguments": text}}]})
            }
            None => return,
        };
        self.delta(&delta, out);
    }

    fn signature(&mut self, index: usize, signature: &Signature, out: &mut Vec<u8>) {
        let carrier = self.reply.carrier.as_ref();
        let shown = match self.parts.get(&index) {
            Some(Open::Call { id, .. }) => {
                reasoning::remember_call(id, signature, carrier);
                vec![reasoning::shown_call(id, signature, self.details, carrier)]
            }
            Some(Open::Thinking) => match self.thoughts.get_mut(&index) {
                Some(thought) => {
                    thought.signature = Some(signature.clone());
                    reasoning::shown(thought, self.details, carrier)
                }
                None => return,
            },
            _ => return,
        };
        if !shown.is_empty() {
            self.details += shown.len();
            self.delta(&json!({ "reasoning_details": shown }), out);
        }
    }

    /// Keeps what led to the first call, before the agent can come back with its result.
    fn remember(&mut self) {
        let first = self.parts.values().find_map(|open| match open {
            Open::Call { number: 0, id, .. } => Some(id),
            _ => None,
        });
        if let Some(id) = first {
            let thoughts: Vec<Thought> = std::mem::take(&mut self.thoughts).into_values().collect();
            reasoning::remember(id, &thoughts, self.reply.carrier.as_ref());
        }
    }

    fn stop(&mut self, stop: &Stop, out: &mut Vec<u8>) {
        self.remember();
        let choice = json!([{"index": 0, "delta": {}, "logprobs": null, "finish_reason": word_of(stop)}]);
        self.chunk(choice, None, out);
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        self.remember();
        // A provider that did not count is not made to say zero.
        if let Some(tokens) = self.usage.filter(|_| self.reply.request.include_usage) {
            self.chunk(json!([]), Some(usage::write(&tokens)), out);
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, .. } => self.start(id, out),
            Event::PartStart { index, kind } => {
                self.start("", out);
                self.part(*index, kind, out);
            }
            Event::Delta { index, text } => self.more(*index, text, out),
            Event::Signature { index, signature } => self.signature(*index, signature, out),
            Event::PartEnd { .. } => {}
            Event::Usage(tokens) => self.usage = Some(self.usage.unwrap_or_default().max(*tokens)),
            Event::Stop(stop) => {
                self.start("", out);
                self.stop(stop, out);
            }
            Event::End => self.end(out),
            Event::Error { code, message } => {
                let error = json!({"message": message, "type": "api_error", "param": null, "code": code});
                frame(&json!({ "error": error }), out);
            }
        }
    }
}

fn frame(value: &Value, out: &mut Vec<u8>) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(value.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}
