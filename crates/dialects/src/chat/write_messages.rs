//! The messages of a request to a provider.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::reasoning::details_of;
use crate::{
    Dialect, Quirks,
    ir::{Media, Part, Request, Role, Thought, ToolCall, Turn, Unsupported},
    translate::{IdRule, Namer, data_url, error_text, gaps::Gaps, wrap_input},
};

/// What OpenAI takes at most as the id of a call.
const CALL_ID_MAX: usize = 40;

pub(super) struct Messages<'a> {
    request: &'a Request,
    quirks: &'a Quirks,
    namer: &'a Namer,
    gaps: &'a mut Gaps,
    ids: IdRule,
    out: Vec<Value>,
}

impl<'a> Messages<'a> {
    pub(super) fn new(request: &'a Request, quirks: &'a Quirks, namer: &'a Namer, gaps: &'a mut Gaps) -> Self {
        let ids = quirks.tool_id_length.map_or(IdRule::AtMost(CALL_ID_MAX), IdRule::Exactly);
        Self { request, quirks, namer, gaps, ids, out: Vec::new() }
    }

    pub(super) fn write(mut self) -> Result<Value, Unsupported> {
        let request = self.request;
        if !request.system.is_empty() {
            self.system(&request.system)?;
        }
        // One message holds all calls of a step; neighbours of the model are one.
        let both_models = |a: &Turn, b: &Turn| a.role == Role::Assistant && b.role == Role::Assistant;
        for turns in request.turns.chunk_by(both_models) {
            match turns[0].role {
                Role::System => self.system(&turns[0].parts)?,
                Role::User => self.user(&turns[0].parts)?,
                Role::Assistant => self.assistant(turns.iter().flat_map(|turn| &turn.parts))?,
            }
        }
        Ok(Value::Array(self.out))
    }

    fn system(&mut self, parts: &[Part]) -> Result<(), Unsupported> {
        let role = if self.quirks.developer_role { "developer" } else { "system" };
        let mut texts = Vec::new();
        for part in parts {
            match part {
                Part::Text { text, .. } => texts.push(json!({"type": "text", "text": text})),
                _ => self.gaps.missing("system", "instructions can only be text for this model")?,
            }
        }
        let content = self.content(texts);
        self.out.push(json!({"role": role, "content": content}));
        Ok(())
    }

    fn user(&mut self, parts: &[Part]) -> Result<(), Unsupported> {
        let mut beside = Vec::new();
        for part in parts {
            if let Part::ToolResult { call_id, parts, is_error, .. } = part {
                self.tool_result(call_id, parts, *is_error == Some(true), &mut beside)?;
            }
        }
        let mut content = beside;
        for part in parts {
            match part {
                Part::ToolResult { .. } => {}
                other => content.extend(self.part(other)?),
            }
        }
        if !content.is_empty() {
            let content = self.content(content);
            self.out.push(json!({"role": "user", "content": content}));
        }
        Ok(())
    }

    /// A result is text here; other things of it go `beside`, into the user's next message.
    fn tool_result(
        &mut self,
        call_id: &str,
        parts: &[Part],
        failed: bool,
        beside: &mut Vec<Value>,
    ) -> Result<(), Unsupported> {
        let mut texts = Vec::new();
        for part in parts {
            match part {
                Part::Text { text, .. } => texts.push(json!({"type": "text", "text": text})),
                other => {
                    beside.extend(self.part(other)?);
                    let told = "(The tool answered with a file; the user's next message holds it.)";
                    texts.push(json!({"type": "text", "text": told}));
                    self.gaps.warn("a tool's images and files are sent as the user's, because results can only be text for this model");
                }
            }
        }
        if failed {
            match texts.first_mut().and_then(|first| first.get_mut("text")) {
                Some(Value::String(text)) => *text = error_text(text),
                _ => texts.push(json!({"type": "text", "text": error_text("")})),
            }
        }
        let content = self.content(texts);
        self.out.push(json!({"role": "tool", "tool_call_id": self.ids.apply(call_id), "content": content}));
        Ok(())
    }

    /// Text that stands alone is written as a text.
    fn content(&self, mut parts: Vec<Value>) -> Value {
        let text_of = |part: &Value| part.get("text").and_then(Value::as_str).map(str::to_owned);
        let Some(texts) = parts.iter().map(text_of).collect::<Option<Vec<_>>>() else { return Value::Array(parts) };
        match texts.len() {
            0 => "".into(),
            1 => parts.swap_remove(0)["text"].take(),
            _ if self.quirks.content_parts => Value::Array(parts),
            _ => texts.join("\n\n").into(),
        }
    }

    fn part(&mut self, part: &Part) -> Result<Option<Value>, Unsupported> {
        let written = match part {
            Part::Text { text, .. } => json!({"type": "text", "text": text}),
            Part::Image { source, detail, .. } => {
                let url = match source {
                    Media::Inline { mime, base64 } => data_url(mime, base64),
                    Media::Url { url, .. } => url.clone(),
                    Media::File { .. } | Media::Text(_) => {
                        self.gaps.missing("image", "this model takes images only as bytes or by URL")?;
                        return Ok(None);
                    }
                };
                let mut image = Map::from_iter([("url".to_owned(), url.into())]);
                if let Some(detail) = detail {
                    image.insert("detail".to_owned(), detail.clone().into());
                }
                json!({"type": "image_url", "image_url": image})
            }
            Part::Document { source, name, .. } => match self.document(source, name.as_deref())? {
                Some(document) => document,
                None => return Ok(None),
            },
            Part::Audio { source: Media::Inline { mime, base64 } } if audio_format(mime).is_some() => {
                json!({"type": "input_audio", "input_audio": {"data": base64, "format": audio_format(mime)}})
            }
            Part::Audio { .. } => {
                self.gaps.missing("audio", "this model takes sound only as bytes of `audio/wav` or `audio/mpeg`")?;
                return Ok(None);
            }
            Part::ToolCall(_) | Part::ToolResult { .. } | Part::Reasoning(_) | Part::Refusal(_) => {
                self.gaps.missing("content", "a user's turn cannot hold what the model says")?;
                return Ok(None);
            }
        };
        Ok(Some(written))
    }

    fn document(&mut self, source: &Media, name: Option<&str>) -> Result<Option<Value>, Unsupported> {
        Ok(match source {
            Media::Text(text) => Some(json!({"type": "text", "text": text})),
            Media::Inline { mime, base64 } if mime.starts_with("text/") => {
                let text = STANDARD.decode(base64).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                self.gaps.missing_if(text.is_none(), "document", "its text is not UTF-8")?;
                text.map(|text| json!({"type": "text", "text": text}))
            }
            Media::Inline { mime, base64 } => {
                let name = name.unwrap_or("document.pdf");
                Some(json!({"type": "file", "file": {"filename": name, "file_data": data_url(mime, base64)}}))
            }
            Media::File { dialect: Dialect::Chat | Dialect::Responses, id } => {
                Some(json!({"type": "file", "file": {"file_id": id}}))
            }
            Media::File { .. } | Media::Url { .. } => {
                self.gaps
                    .missing("document", "this model takes documents only as bytes; send them with the request")?;
                None
            }
        })
    }

    fn assistant<'p>(&mut self, parts: impl Iterator<Item = &'p Part>) -> Result<(), Unsupported> {
        let mut texts = Vec::new();
        let mut calls = Vec::new();
        let mut thoughts = Vec::new();
        let mut refusal = String::new();
        for part in parts {
            match part {
                Part::Text { text, .. } => texts.push(json!({"type": "text", "text": text})),
                Part::ToolCall(call) => calls.push(self.tool_call(call)),
                Part::Reasoning(thought) => thoughts.push(thought),
                Part::Refusal(text) => refusal.push_str(text),
                _ => self.gaps.missing("content", "this model cannot be shown files as its own")?,
            }
        }
        let mut message = Map::from_iter([("role".to_owned(), "assistant".into())]);
        let content = if texts.is_empty() { Value::Null } else { self.content(texts) };
        self.thinking(&thoughts, !calls.is_empty(), &mut message);
        if content.is_null() && calls.is_empty() && refusal.is_empty() {
            // Nothing is left but thinking: no server takes such a message.
            return Ok(());
        }
        message.insert("content".to_owned(), content);
        if !refusal.is_empty() {
            message.insert("refusal".to_owned(), refusal.into());
        }
        if !calls.is_empty() {
            message.insert("tool_calls".to_owned(), Value::Array(calls));
        }
        self.out.push(Value::Object(message));
        Ok(())
    }

    /// Thinking goes back only to whom it came from.
    fn thinking(&mut self, thoughts: &[&Thought], calls: bool, message: &mut Map<String, Value>) {
        let own =
            |thought: &Thought| thought.signature.as_ref().is_none_or(|signature| signature.dialect == Dialect::Chat);
        let text: String =
            thoughts.iter().filter(|thought| own(thought)).map(|thought| thought.text.as_str()).collect();
        let details: Vec<Value> = thoughts
            .iter()
            .filter_map(|thought| thought.signature.as_ref())
            .filter(|signature| signature.dialect == Dialect::Chat)
            .flat_map(details_of)
            .collect();
        let all_own = thoughts.iter().all(|thought| own(thought));
        let unsent = !all_own || (self.quirks.reasoning_field.is_none() && details.is_empty() && !text.is_empty());
        if let Some(field) = &self.quirks.reasoning_field
            && (!text.is_empty() || (calls && self.quirks.reasoning_echo))
        {
            message.insert(field.clone(), text.into());
        }
        if !details.is_empty() {
            message.insert("reasoning_details".to_owned(), Value::Array(details));
        }
        if unsent {
            self.gaps.warn("earlier thinking was left out: this model does not take it back");
        }
    }

    fn tool_call(&mut self, call: &ToolCall) -> Value {
        let id = self.ids.apply(&call.id);
        let name = self.namer.sent(&call.name);
        if self.request.is_custom(&call.name) {
            if self.quirks.openai_additions {
                return json!({"id": id, "type": "custom", "custom": {"name": name, "input": call.arguments}});
            }
            return json!({"id": id, "type": "function", "function": {"name": name, "arguments": wrap_input(&call.arguments)}});
        }
        let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
        json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}})
    }
}

/// The word for a kind of sound.
fn audio_format(mime: &str) -> Option<&'static str> {
    match mime {
        "audio/wav" | "audio/x-wav" | "audio/wave" => Some("wav"),
        "audio/mpeg" | "audio/mp3" => Some("mp3"),
        _ => None,
    }
}
