//! A streamed answer to an agent: every event numbered, every item announced, told and told again whole.

use std::collections::BTreeMap;

use preloop_types::Tokens;
use serde_json::{Map, Value, json};

use super::{
    response::{Said, answer_id, call_proof, content, end, item_id, message, reasoning, skeleton, tool_call},
    usage,
};
use crate::{
    ir::{Event, PartKind, Signature, Stop, Thought, ToolCall},
    translate::{Reply, StreamEncoder},
};

pub(super) struct Encoder {
    reply: Reply,
    id: String,
    started: bool,
    sequence: u64,
    /// Parts that are not complete, by the part's index.
    open: BTreeMap<usize, Item>,
    /// Items by output index; `null` until they are complete.
    output: Vec<Value>,
    usage: Option<Tokens>,
    stop: Stop,
    refused: bool,
}

/// A part, as an item of the answer.
struct Item {
    output_index: usize,
    /// Its id without the prefix of its kind, and with it.
    stem: String,
    id: String,
    kind: PartKind,
    text: String,
    signature: Option<Signature>,
}

impl Encoder {
    pub(super) fn new(reply: Reply) -> Self {
        Self {
            id: answer_id("", &reply.id),
            reply,
            started: false,
            sequence: 0,
            open: BTreeMap::new(),
            output: Vec::new(),
            usage: None,
            stop: Stop::End,
            refused: false,
        }
    }

    fn send(&mut self, kind: &str, fields: Value, out: &mut Vec<u8>) {
        let mut event =
            Map::from_iter([("type".to_owned(), kind.into()), ("sequence_number".to_owned(), self.sequence.into())]);
        if let Value::Object(fields) = fields {
            event.extend(fields);
        }
        self.sequence += 1;
        out.extend_from_slice(format!("event: {kind}\ndata: {}\n\n", Value::Object(event)).as_bytes());
    }

    fn start(&mut self, id: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        self.id = answer_id(id, &self.reply.id);
        let answer = skeleton(&self.id, self.reply.created, &self.reply);
        self.send("response.created", json!({ "response": answer }), out);
        self.send("response.in_progress", json!({ "response": answer }), out);
    }

    fn begin(&mut self, index: usize, kind: &PartKind, out: &mut Vec<u8>) {
        let output_index = self.output.len();
        self.output.push(Value::Null);
        let stem = item_id(&self.id, output_index);
        let mut item =
            Item { output_index, stem, id: String::new(), kind: kind.clone(), text: String::new(), signature: None };
        let mut begun = item.value(&self.reply, "in_progress");
        begun["id"].as_str().unwrap_or_default().clone_into(&mut item.id);
        if let Some(content) = begun.get_mut("content") {
            *content = json!([]);
        }
        self.send("response.output_item.added", json!({"output_index": output_index, "item": begun}), out);
        if let Some((added, at)) = item.place() {
            self.send(&format!("{added}.added"), with_part(at, item.part()), out);
        }
        self.open.insert(index, item);
    }

    fn more(&mut self, index: usize, text: &str, out: &mut Vec<u8>) {
        let Some(item) = self.open.get_mut(&index) else { return };
        item.text.push_str(text);
        let mut fields = item.at();
        fields.insert("delta".to_owned(), text.into());
        if item.kind == PartKind::Text {
            fields.insert("logprobs".to_owned(), json!([]));
        }
        let kind = format!("{}.delta", item.told(&self.reply));
        self.send(&kind, Value::Object(fields), out);
    }

    fn sign(&mut self, index: usize, signature: &Signature) {
        if let Some(item) = self.open.get_mut(&index) {
            item.signature = Some(signature.clone());
        }
    }

    fn finish(&mut self, index: usize, out: &mut Vec<u8>) {
        let Some(item) = self.open.remove(&index) else { return };
        let told = item.told(&self.reply);
        let whole = match &item.kind {
            PartKind::Refusal => "refusal",
            PartKind::ToolCall { .. } if told.ends_with("input") => "input",
            PartKind::ToolCall { .. } => "arguments",
            PartKind::Text | PartKind::Reasoning { .. } => "text",
        };
        let hidden = matches!(item.kind, PartKind::Reasoning { redacted: true }) && item.text.is_empty();
        if !hidden {
            let mut fields = item.at();
            fields.insert(whole.to_owned(), item.text.as_str().into());
            if item.kind == PartKind::Text {
                fields.insert("logprobs".to_owned(), json!([]));
            }
            self.send(&format!("{told}.done"), Value::Object(fields), out);
        }
        if let Some((added, at)) = item.place() {
            self.send(&format!("{added}.done"), with_part(at, item.part()), out);
        }
        let value = item.value(&self.reply, "completed");
        self.send("response.output_item.done", json!({"output_index": item.output_index, "item": value}), out);
        self.output[item.output_index] = value;

        // Calls have no place for what a provider demands back with them: an item behind the call has.
        if let (PartKind::ToolCall { id, .. }, Some(signature)) = (&item.kind, &item.signature) {
            let output_index = self.output.len();
            let proof = call_proof(&item_id(&self.id, output_index), id, signature, self.reply.carrier.as_ref());
            for kind in ["response.output_item.added", "response.output_item.done"] {
                self.send(kind, json!({"output_index": output_index, "item": proof}), out);
            }
            self.output.push(proof);
        }
    }

    fn answer(&self) -> Map<String, Value> {
        let mut answer = skeleton(&self.id, self.reply.created, &self.reply);
        let items = self.output.iter().filter(|item| !item.is_null()).cloned();
        answer.insert("output".to_owned(), items.collect());
        answer.insert("usage".to_owned(), self.usage.as_ref().map(usage::write).into());
        answer
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        let open: Vec<usize> = self.open.keys().copied().collect();
        for index in open {
            self.finish(index, out);
        }
        let mut answer = self.answer();
        end(&mut answer, &self.stop, self.refused);
        let complete = answer.get("status").is_some_and(|status| status == "completed");
        let kind = if complete { "response.completed" } else { "response.incomplete" };
        self.send(kind, json!({ "response": answer }), out);
    }

    /// Codex reads the first of these, the SDKs raise on the second.
    fn fail(&mut self, code: &str, text: &str, out: &mut Vec<u8>) {
        let mut answer = self.answer();
        answer.insert("status".to_owned(), "failed".into());
        answer.insert("error".to_owned(), json!({"code": code, "message": text}));
        self.send("response.failed", json!({ "response": answer }), out);
        self.send("error", json!({"code": code, "message": text, "param": null}), out);
    }
}

impl StreamEncoder for Encoder {
    fn event(&mut self, event: &Event, out: &mut Vec<u8>) {
        match event {
            Event::Start { id, .. } => self.start(id, out),
            Event::PartStart { index, kind } => {
                self.start("", out);
                self.refused |= *kind == PartKind::Refusal;
                self.begin(*index, kind, out);
            }
            Event::Delta { index, text } => self.more(*index, text, out),
            Event::Signature { index, signature } => self.sign(*index, signature),
            Event::PartEnd { index } => self.finish(*index, out),
            Event::Usage(tokens) => self.usage = Some(self.usage.unwrap_or_default().max(*tokens)),
            Event::Stop(stop) => self.stop = stop.clone(),
            Event::End => {
                self.start("", out);
                self.end(out);
            }
            Event::Error { code, message } => {
                self.start("", out);
                self.fail(code, message, out);
            }
        }
    }
}

impl Item {
    /// The item as it is by now.
    fn value(&self, reply: &Reply, status: &str) -> Value {
        match &self.kind {
            PartKind::Text => message(&self.stem, Said::Text(&self.text, None), status),
            PartKind::Refusal => message(&self.stem, Said::Refusal(&self.text), status),
            PartKind::Reasoning { redacted } => {
                let (text, signature, redacted) = (self.text.clone(), self.signature.clone(), *redacted);
                let thought = Thought { text, signature, redacted };
                let empty = || json!({"id": format!("rs_{}", self.stem), "type": "reasoning", "summary": [], "encrypted_content": null});
                reasoning(&self.stem, &thought, reply.carrier.as_ref()).unwrap_or_else(empty)
            }
            PartKind::ToolCall { id, name } => {
                let (id, name, arguments) = (id.clone(), name.clone(), self.text.clone());
                tool_call(&self.stem, &ToolCall { id, name, arguments, ..ToolCall::default() }, reply, status)
            }
        }
    }

    /// Where its text belongs.
    fn at(&self) -> Map<String, Value> {
        let mut at = Map::from_iter([
            ("item_id".to_owned(), self.id.as_str().into()),
            ("output_index".to_owned(), self.output_index.into()),
        ]);
        let within = match &self.kind {
            PartKind::Text | PartKind::Refusal => Some("content_index"),
            PartKind::Reasoning { .. } => Some("summary_index"),
            PartKind::ToolCall { .. } => None,
        };
        at.extend(within.map(|name| (name.to_owned(), 0.into())));
        at
    }

    /// The events that tell this item, without their last word.
    fn told(&self, reply: &Reply) -> &'static str {
        match &self.kind {
            PartKind::Text => "response.output_text",
            PartKind::Refusal => "response.refusal",
            PartKind::Reasoning { .. } => "response.reasoning_summary_text",
            PartKind::ToolCall { name, .. } if reply.request.is_custom(name) => "response.custom_tool_call_input",
            PartKind::ToolCall { .. } => "response.function_call_arguments",
        }
    }

    /// The events that announce this item's one part, and where that is; `None` for an item without.
    fn place(&self) -> Option<(&'static str, Map<String, Value>)> {
        match &self.kind {
            PartKind::Text | PartKind::Refusal => Some(("response.content_part", self.at())),
            PartKind::Reasoning { redacted: false } => Some(("response.reasoning_summary_part", self.at())),
            PartKind::Reasoning { redacted: true } | PartKind::ToolCall { .. } => None,
        }
    }

    /// That part as it is by now.
    fn part(&self) -> Value {
        match &self.kind {
            PartKind::Refusal => content(Said::Refusal(&self.text)),
            PartKind::Reasoning { .. } => json!({"type": "summary_text", "text": self.text}),
            PartKind::Text | PartKind::ToolCall { .. } => content(Said::Text(&self.text, None)),
        }
    }
}

fn with_part(mut at: Map<String, Value>, part: Value) -> Value {
    at.insert("part".to_owned(), part);
    Value::Object(at)
}
