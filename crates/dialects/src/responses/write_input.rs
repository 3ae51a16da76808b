//! The conversation of a request to a provider, as items.

use serde_json::{Map, Value, json};

use crate::{
    Dialect,
    chat::write::put_some,
    ir::{Media, Part, Request, Role, Thought, ToolCall, Turn, Unsupported},
    translate::{IdRule, Namer, data_url, error_text, gaps::Gaps},
};

/// What OpenAI takes at most as the id of a call.
const CALL_ID: IdRule = IdRule::AtMost(64);

pub(super) fn write(request: &Request, namer: &Namer, gaps: &mut Gaps) -> Result<Value, Unsupported> {
    let mut writer = Writer { request, namer, gaps, items: Vec::new() };
    if !matches!(request.system.as_slice(), [] | [Part::Text { .. }]) {
        writer.message("developer", &request.system)?;
    }
    for Turn { role, parts } in &request.turns {
        match role {
            Role::System => writer.message("developer", parts)?,
            Role::User => writer.user(parts)?,
            Role::Assistant => writer.assistant(parts)?,
        }
    }
    Ok(Value::Array(writer.items))
}

struct Writer<'a> {
    request: &'a Request,
    namer: &'a Namer,
    gaps: &'a mut Gaps,
    items: Vec<Value>,
}

impl Writer<'_> {
    fn message<'p>(&mut self, role: &str, parts: impl IntoIterator<Item = &'p Part>) -> Result<(), Unsupported> {
        let mut content = Vec::new();
        for part in parts {
            content.extend(self.part(part)?);
        }
        if !content.is_empty() {
            self.items.push(json!({"type": "message", "role": role, "content": content}));
        }
        Ok(())
    }

    /// Results first: they answer what stands before.
    fn user(&mut self, parts: &[Part]) -> Result<(), Unsupported> {
        for part in parts {
            if let Part::ToolResult { call_id, name, parts, is_error, .. } = part {
                let custom = name.as_deref().is_some_and(|name| self.request.is_custom(name));
                let output = self.result(parts, *is_error == Some(true))?;
                let kind = if custom { "custom_tool_call_output" } else { "function_call_output" };
                self.items.push(json!({"type": kind, "call_id": CALL_ID.apply(call_id), "output": output}));
            }
        }
        self.message("user", parts.iter().filter(|part| !matches!(part, Part::ToolResult { .. })))
    }

    fn result(&mut self, parts: &[Part], failed: bool) -> Result<Value, Unsupported> {
        let mut output = Vec::new();
        for part in parts {
            output.extend(self.part(part)?);
        }
        if failed {
            match output.iter_mut().find_map(|part| part.get_mut("text")) {
                Some(Value::String(text)) => *text = error_text(text),
                _ => output.push(json!({"type": "input_text", "text": error_text("")})),
            }
        }
        Ok(match output.as_mut_slice() {
            [] => "".into(),
            [one] if one.get("text").is_some() => one["text"].take(),
            _ => output.into(),
        })
    }

    fn part(&mut self, part: &Part) -> Result<Option<Value>, Unsupported> {
        let elsewhere = "it is in another provider's store; send its bytes";
        let written = match part {
            Part::Text { text, .. } | Part::Document { source: Media::Text(text), .. } => {
                json!({"type": "input_text", "text": text})
            }
            Part::Image { source, detail, .. } => {
                let (field, value) = match source {
                    Media::Inline { mime, base64 } => ("image_url", data_url(mime, base64)),
                    Media::Url { url, .. } => ("image_url", url.clone()),
                    Media::File { dialect: Dialect::Chat | Dialect::Responses, id } => ("file_id", id.clone()),
                    Media::File { .. } | Media::Text(_) => {
                        self.gaps.missing("image", elsewhere)?;
                        return Ok(None);
                    }
                };
                let mut image =
                    Map::from_iter([("type".to_owned(), "input_image".into()), (field.to_owned(), value.into())]);
                put_some(&mut image, "detail", detail.clone());
                Value::Object(image)
            }
            Part::Document { source, name, .. } => {
                let (field, value) = match source {
                    Media::Inline { mime, base64 } => ("file_data", data_url(mime, base64)),
                    Media::Url { url, .. } => ("file_url", url.clone()),
                    Media::File { dialect: Dialect::Chat | Dialect::Responses, id } => ("file_id", id.clone()),
                    Media::File { .. } | Media::Text(_) => {
                        self.gaps.missing("document", elsewhere)?;
                        return Ok(None);
                    }
                };
                let mut file =
                    Map::from_iter([("type".to_owned(), "input_file".into()), (field.to_owned(), value.into())]);
                if field == "file_data" {
                    file.insert("filename".to_owned(), name.as_deref().unwrap_or("document.pdf").into());
                }
                Value::Object(file)
            }
            Part::Audio { .. } => {
                self.gaps.missing("audio", "this model's API takes no sound")?;
                return Ok(None);
            }
            Part::ToolCall(_) | Part::ToolResult { .. } | Part::Reasoning(_) | Part::Refusal(_) => {
                self.gaps.missing("content", "a user's turn cannot hold what the model says")?;
                return Ok(None);
            }
        };
        Ok(Some(written))
    }

    fn assistant(&mut self, parts: &[Part]) -> Result<(), Unsupported> {
        for part in parts {
            let item = match part {
                Part::Text { text, .. } => Some(said(&json!({"type": "output_text", "text": text}))),
                Part::Refusal(text) => Some(said(&json!({"type": "refusal", "refusal": text}))),
                Part::ToolCall(call) => Some(self.call(call)),
                Part::Reasoning(thought) => {
                    let item = reasoning(thought);
                    if item.is_none() {
                        self.gaps.warn("earlier thinking was left out: this model does not take it back");
                    }
                    item
                }
                _ => {
                    self.gaps.missing("content", "this model cannot be shown files as its own")?;
                    None
                }
            };
            self.items.extend(item);
        }
        Ok(())
    }

    fn call(&self, call: &ToolCall) -> Value {
        let (id, name) = (CALL_ID.apply(&call.id), self.namer.sent(&call.name));
        if self.request.is_custom(&call.name) {
            return json!({"type": "custom_tool_call", "call_id": id, "name": name, "input": call.arguments});
        }
        let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
        json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
    }
}

fn said(content: &Value) -> Value {
    json!({"type": "message", "role": "assistant", "content": [content]})
}

/// Thinking goes back only to whom it came from, and only with its proof.
fn reasoning(thought: &Thought) -> Option<Value> {
    let signature = thought.signature.as_ref().filter(|signature| signature.dialect == Dialect::Responses)?;
    let mut item = Map::from_iter([("type".to_owned(), "reasoning".into())]);
    put_some(&mut item, "id", signature.item_id.clone());
    let summary =
        if thought.text.is_empty() { json!([]) } else { json!([{"type": "summary_text", "text": thought.text}]) };
    item.insert("summary".to_owned(), summary);
    item.insert("encrypted_content".to_owned(), signature.value.as_str().into());
    Some(Value::Object(item))
}
