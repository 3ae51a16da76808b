use preloop_types::Tokens;
use serde_json::{Map, Value, json};

use super::{decode_request::media_part, thoughts};
use crate::{
    Dialect,
    ir::{Choice, Event, Media, Part, PartKind, Response, Signature, Stop, Thought},
    translate::{BadAnswer, Collector, Names, Reply, made_up_id, turns::as_object},
};

/// Reads the parts of an answer, whole or in pieces: neighbouring pieces of text are one.
#[derive(Debug)]
pub(super) struct Parts {
    names: Names,
    /// The answer's id, from which ids of calls are made up.
    pub(super) answer: String,
    pub(super) calls: usize,
    next: usize,
    /// The part that may go on.
    open: Option<(usize, PartKind)>,
}

impl Parts {
    pub(super) fn new(names: Names) -> Self {
        Self { names, answer: String::new(), calls: 0, next: 0, open: None }
    }

    pub(super) fn take(&mut self, part: &Value, events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let signature = part["thoughtSignature"].as_str().filter(|value| !value.is_empty());
        let signature = |item_id: Option<&str>| {
            let item_id = item_id.map(str::to_owned);
            signature.map(|value| Signature { dialect: Dialect::Gemini, item_id, value: value.to_owned() })
        };
        if let Some(said) = part["text"].as_str() {
            let thought = part["thought"] == true;
            let kind = if thought { PartKind::Reasoning { redacted: false } } else { PartKind::Text };
            if !said.is_empty() {
                let index = self.go_on(kind, events);
                events.push(Event::Delta { index, text: said.to_owned() });
            }
            let item_id = (!thought && !said.is_empty()).then_some(thoughts::ON_TEXT);
            if let Some(signature) = signature(item_id) {
                // A thought's own, or a part of its own behind the text.
                let index = self.go_on(PartKind::Reasoning { redacted: false }, events);
                events.push(Event::Signature { index, signature });
                self.close(events);
            }
        } else if let Some(call) = part["functionCall"].as_object() {
            let sent = call.get("name").and_then(Value::as_str);
            let sent = sent.ok_or_else(|| BadAnswer("a tool call has no name".to_owned()))?;
            let arguments = call.get("args").filter(|args| args.is_object());
            let arguments = arguments.map_or_else(|| "{}".to_owned(), Value::to_string);
            self.close(events);
            let index = self.start();
            let kind = if self.names.is_answer(sent) {
                PartKind::Text
            } else {
                let name = self.names.agents(sent).to_owned();
                let id = call.get("id").and_then(Value::as_str).filter(|id| !id.is_empty());
                let id = id.map_or_else(|| made_up_id(&self.answer, self.calls, &name), str::to_owned);
                self.calls += 1;
                PartKind::ToolCall { id, name }
            };
            let text = match &kind {
                PartKind::ToolCall { name, .. } => self.names.arguments(name, &arguments).into_owned(),
                _ => arguments,
            };
            events.push(Event::PartStart { index, kind });
            events.extend(signature(None).map(|signature| Event::Signature { index, signature }));
            events.push(Event::Delta { index, text });
            events.push(Event::PartEnd { index });
        }
        Ok(())
    }

    /// The part that may go on is over.
    pub(super) fn close(&mut self, events: &mut Vec<Event>) {
        events.extend(self.open.take().map(|(index, _)| Event::PartEnd { index }));
    }

    fn go_on(&mut self, kind: PartKind, events: &mut Vec<Event>) -> usize {
        if let Some((index, open)) = &self.open
            && *open == kind
        {
            return *index;
        }
        self.close(events);
        let index = self.start();
        events.push(Event::PartStart { index, kind: kind.clone() });
        self.open = Some((index, kind));
        index
    }

    fn start(&mut self) -> usize {
        self.next += 1;
        self.next - 1
    }
}

pub(super) fn decode(body: &[u8], names: &Names) -> Result<Response, BadAnswer> {
    let body: Value = serde_json::from_slice(body).map_err(|error| BadAnswer(format!("it is not JSON: {error}")))?;
    let id = text(&body["responseId"]);
    let blocked = body["promptFeedback"]["blockReason"].is_string();
    let candidates = body["candidates"].as_array().map(Vec::as_slice).unwrap_or_default();
    if candidates.is_empty() && !blocked {
        return Err(BadAnswer("`candidates` is missing".to_owned()));
    }
    let mut choices =
        candidates.iter().map(|candidate| choice(candidate, &id, names)).collect::<Result<Vec<_>, _>>()?;
    if choices.is_empty() {
        choices.push(Choice { stop: Stop::Filtered, ..Choice::default() });
    }
    Ok(Response {
        id,
        model: text(&body["modelVersion"]),
        choices,
        usage: usage(&body["usageMetadata"]),
        created: None,
        service_tier: None,
    })
}

fn choice(candidate: &Value, id: &str, names: &Names) -> Result<Choice, BadAnswer> {
    let mut reader = Parts { answer: id.to_owned(), ..Parts::new(names.clone()) };
    let mut pictures = Vec::new();
    let mut events = Vec::new();
    for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
        match part["inlineData"]["data"].as_str() {
            Some(data) => {
                let mime = text(&part["inlineData"]["mimeType"]);
                let media = Media::Inline { mime: mime.clone(), base64: data.to_owned() };
                pictures.push(media_part(media, &mime, None));
            }
            None => reader.take(part, &mut events)?,
        }
    }
    let stop = stop(candidate["finishReason"].as_str().unwrap_or_default(), reader.calls > 0);
    let mut collector = Collector::default();
    events.into_iter().chain([Event::Stop(stop), Event::End]).for_each(|event| collector.push(event));
    let mut choice = collector.finish()?.choices.pop().unwrap_or_default();
    choice.parts.extend(pictures);
    Ok(choice)
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Why an answer ended. Google says `STOP` for calls too.
pub(super) fn stop(reason: &str, calls: bool) -> Stop {
    match reason {
        "MAX_TOKENS" => Stop::Length,
        "SAFETY" | "RECITATION" | "LANGUAGE" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" => Stop::Filtered,
        reason if reason.starts_with("IMAGE_") => Stop::Filtered,
        _ if calls => Stop::ToolCalls,
        _ => Stop::End,
    }
}

/// What was consumed. Prompt tokens include what a cache served; answer tokens do not include thinking.
pub(super) fn usage(usage: &Value) -> Option<Tokens> {
    usage.as_object()?;
    let count = |name: &str| usage[name].as_u64().unwrap_or_default();
    let of = |name: &str, modality: &str| {
        let details = usage[name].as_array().into_iter().flatten();
        let counts = details.filter(|detail| detail["modality"] == modality);
        counts.filter_map(|detail| detail["tokenCount"].as_u64()).fold(0, u64::saturating_add)
    };
    let cached = count("cachedContentTokenCount");
    let heard = of("promptTokensDetails", "AUDIO").saturating_sub(of("cacheTokensDetails", "AUDIO"));
    let (spoken, drawn) = (of("candidatesTokensDetails", "AUDIO"), of("candidatesTokensDetails", "IMAGE"));
    let prompt = count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount"));
    Some(Tokens {
        input: prompt.saturating_sub(cached).saturating_sub(heard),
        cache_read: cached,
        input_audio: heard,
        output: count("candidatesTokenCount").saturating_sub(spoken).saturating_sub(drawn),
        reasoning: count("thoughtsTokenCount"),
        output_audio: spoken,
        output_image: drawn,
        ..Tokens::default()
    })
}

pub(super) fn encode(response: &Response, reply: &Reply) -> Vec<u8> {
    let candidates: Vec<Value> = response
        .choices
        .iter()
        .enumerate()
        .map(|(index, choice)| {
            json!({
                "content": { "role": "model", "parts": written_parts(&choice.parts, reply) },
                "finishReason": finish_reason(&choice.stop),
                "index": index,
            })
        })
        .collect();
    let mut body = envelope(candidates, &response.id, reply);
    body.insert("usageMetadata".to_owned(), written_usage(&response.usage.unwrap_or_default()));
    Value::Object(body).to_string().into_bytes()
}

/// What every whole answer and every chunk has around its candidates.
pub(super) fn envelope(candidates: Vec<Value>, id: &str, reply: &Reply) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("candidates".to_owned(), candidates.into());
    body.insert("modelVersion".to_owned(), reply.model.as_str().into());
    body.insert("responseId".to_owned(), if id.is_empty() { reply.id.as_str() } else { id }.into());
    body
}

fn written_parts(parts: &[Part], reply: &Reply) -> Vec<Value> {
    let shown = thoughts::shown(&reply.request);
    let carrier = &*reply.carrier;
    let mut written = Vec::with_capacity(parts.len());
    let mut before: Vec<Thought> = Vec::new();
    for part in parts {
        match part {
            Part::Reasoning(thought) => {
                if shown && !thought.text.is_empty() {
                    written.push(json!({ "text": thought.text, "thought": true }));
                }
                before.push(thought.clone());
            }
            Part::Text { text, .. } | Part::Refusal(text) => written.push(json!({ "text": text })),
            Part::ToolCall(call) => {
                let signature = call.signature.as_ref().map(|signature| (call.id.as_str(), signature));
                let sealed = thoughts::sealed(&std::mem::take(&mut before), signature, carrier);
                written.push(call_part(&call.id, &call.name, &call.arguments, sealed));
            }
            Part::Image { source, .. } | Part::Document { source, .. } | Part::Audio { source } => {
                if let Media::Inline { mime, base64 } = source {
                    written.push(json!({ "inlineData": { "mimeType": mime, "data": base64 } }));
                }
            }
            // No model says it.
            Part::ToolResult { .. } => {}
        }
    }
    written.extend(last_part(&before, reply));
    written
}

/// A call, whole: Google's dialect knows no other.
pub(super) fn call_part(id: &str, name: &str, arguments: &str, sealed: Option<String>) -> Value {
    let mut part = json!({ "functionCall": { "id": id, "name": name, "args": as_object(arguments) } });
    if let Some(sealed) = sealed {
        part["thoughtSignature"] = sealed.into();
    }
    part
}

/// The part that carries signatures no call follows.
pub(super) fn last_part(thoughts: &[Thought], reply: &Reply) -> Option<Value> {
    let signed: Vec<Thought> = thoughts.iter().filter(|thought| thought.signature.is_some()).cloned().collect();
    let sealed = thoughts::sealed(&signed, None, &*reply.carrier)?;
    Some(json!({ "text": "", "thoughtSignature": sealed }))
}

pub(super) fn finish_reason(stop: &Stop) -> &'static str {
    match stop {
        Stop::End | Stop::Sequence(_) | Stop::ToolCalls | Stop::Paused => "STOP",
        Stop::Length | Stop::ContextFull => "MAX_TOKENS",
        Stop::Filtered => "SAFETY",
    }
}

pub(super) fn written_usage(tokens: &Tokens) -> Value {
    let mut usage = json!({
        "promptTokenCount": tokens.prompt(),
        "candidatesTokenCount": tokens.completion().saturating_sub(tokens.reasoning),
        "totalTokenCount": tokens.total(),
    });
    if tokens.cache_read > 0 {
        usage["cachedContentTokenCount"] = tokens.cache_read.into();
    }
    if tokens.reasoning > 0 {
        usage["thoughtsTokenCount"] = tokens.reasoning.into();
    }
    usage
}
