//! The conversation of an agent's request: a list of items.

use serde_json::Value;

use super::read::known_name;
use crate::{
    Dialect,
    chat::messages::read_file,
    ir::{Media, Part, Request, Role, Signature, Thought, ToolCall, Turn},
    translate::{
        BadRequest, Carrier, Unpacked,
        fields::{Object, bad},
        media_of_url, unpack,
    },
};

type Extra = Vec<(String, Value)>;

pub(super) fn read(
    body: &mut Object,
    carrier: &dyn Carrier,
    request: &mut Request,
    extra: &mut Extra,
) -> Result<(), BadRequest> {
    let items = match body.take("input") {
        None => return Ok(()),
        Some(Value::String(text)) => {
            request.turns.push(Turn { role: Role::User, parts: vec![Part::Text { text, cache: None }] });
            return Ok(());
        }
        Some(Value::Array(items)) => items,
        Some(_) => return Err(body.bad("input", "is neither a string nor a list of items")),
    };
    let mut signed = Vec::new();
    for (index, item) in items.into_iter().enumerate() {
        let mut item = Object::of(item, format!("input[{index}]"))?;
        let kind = item.text("type")?.unwrap_or_else(|| "message".to_owned());
        match kind.as_str() {
            "message" => message(&mut item, request, extra)?,
            "function_call" | "custom_tool_call" => {
                let namespace = item.text("namespace")?;
                let name = known_name(request, namespace.as_deref(), item.need_text("name")?);
                let arguments = item.text(if kind == "function_call" { "arguments" } else { "input" })?;
                let id = item.need_text("call_id")?;
                let call = ToolCall { id, name, arguments: arguments.unwrap_or_default(), ..ToolCall::default() };
                add(request, Role::Assistant, Part::ToolCall(call));
            }
            "function_call_output" | "custom_tool_call_output" => {
                let call_id = item.need_text("call_id")?;
                let parts = content(&mut item, "output", extra)?;
                add(request, Role::User, Part::ToolResult { call_id, name: None, parts, is_error: None, cache: None });
            }
            "reasoning" => match thought(&mut item, carrier)? {
                Some(Remembered::Thought(thought)) => add(request, Role::Assistant, Part::Reasoning(thought)),
                Some(Remembered::Call { id, signature }) => signed.push((id, signature)),
                None => {}
            },
            "item_reference" => {
                return Err(item.bad("type", "refers to an item stored elsewhere; send the item itself"));
            }
            // What tools of the provider did, and what else only it understands.
            _ => {
                extra.push((format!("input[{index}] ({kind})"), Value::Object(item.into_map())));
                continue;
            }
        }
        extra.extend(item.rest());
    }
    for part in request.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Part::ToolCall(call) = part {
            let own = signed.iter().find(|(id, _)| *id == call.id);
            call.signature = own.map(|(_, signature)| signature.clone());
        }
    }
    Ok(())
}

/// Adds a part: what the model said in one go is one turn, and so are the results of its calls.
fn add(request: &mut Request, role: Role, part: Part) {
    let result = |part: &Part| matches!(part, Part::ToolResult { .. });
    match request.turns.last_mut() {
        Some(last) if last.role == role && (role == Role::Assistant || last.parts.iter().all(result)) => {
            last.parts.push(part);
        }
        _ => request.turns.push(Turn { role, parts: vec![part] }),
    }
}

fn message(item: &mut Object, request: &mut Request, extra: &mut Extra) -> Result<(), BadRequest> {
    let role = item.need_text("role")?;
    let parts = content(item, "content", extra)?;
    match role.as_str() {
        "system" | "developer" if request.turns.is_empty() => request.system.extend(parts),
        "system" | "developer" => request.turns.push(Turn { role: Role::System, parts }),
        "user" => request.turns.push(Turn { role: Role::User, parts }),
        "assistant" => {
            for part in parts {
                add(request, Role::Assistant, part);
            }
        }
        _ => return Err(item.bad("role", "is none of `system`, `developer`, `user`, `assistant`")),
    }
    Ok(())
}

/// A text, or a list of parts.
fn content(item: &mut Object, name: &str, extra: &mut Extra) -> Result<Vec<Part>, BadRequest> {
    let path = item.path(name);
    let list = match item.take(name) {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![Part::Text { text, cache: None }]),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(item.bad(name, "is neither a string nor a list of parts")),
    };
    let mut parts = Vec::with_capacity(list.len());
    for (index, part) in list.into_iter().enumerate() {
        let mut part = Object::of(part, format!("{path}[{index}]"))?;
        parts.push(content_part(&mut part)?);
        extra.extend(part.rest());
    }
    Ok(parts)
}

fn content_part(part: &mut Object) -> Result<Part, BadRequest> {
    Ok(match part.need_text("type")?.as_str() {
        "input_text" | "output_text" | "text" => Part::Text { text: part.need_text("text")?, cache: None },
        "refusal" => Part::Refusal(part.need_text("refusal")?),
        "input_image" => {
            let detail = part.text("detail")?;
            let source = if let Some(id) = part.text("file_id")? {
                Media::File { dialect: Dialect::Responses, id }
            } else {
                let path = part.path("image_url");
                media_of_url(part.need_text("image_url")?).ok_or_else(|| bad(path, "is a broken `data:` URL"))?
            };
            Part::Image { source, detail, cache: None }
        }
        "input_file" => {
            let (source, name) = read_file(part, Dialect::Responses)?;
            Part::Document { source, name, cache: None }
        }
        _ => return Err(part.bad("type", "is a kind of content that cannot be sent to this model")),
    })
}

/// What a reasoning item is to us.
enum Remembered {
    Thought(Thought),
    Call { id: String, signature: Signature },
}

fn thought(item: &mut Object, carrier: &dyn Carrier) -> Result<Option<Remembered>, BadRequest> {
    let mut text = joined(item, "summary")?;
    let whole = joined(item, "content")?;
    if text.is_empty() {
        text = whole;
    }
    let item_id = item.text("id")?;
    let Some(value) = item.text("encrypted_content")? else {
        let thought = Thought { text, ..Thought::default() };
        return Ok((!thought.text.is_empty()).then_some(Remembered::Thought(thought)));
    };
    let opened = carrier.open(&value).map_err(|error| item.bad("encrypted_content", &error.why))?;
    Ok(Some(match opened.map(unpack) {
        Some(Unpacked::Call { id, signature }) => Remembered::Call { id, signature },
        Some(Unpacked::Thought { signature, redacted }) => {
            Remembered::Thought(Thought { text, signature: Some(signature), redacted })
        }
        None => {
            let signature = Some(Signature { dialect: Dialect::Responses, item_id, value });
            Remembered::Thought(Thought { redacted: text.is_empty(), text, signature })
        }
    }))
}

/// The texts of a list of parts, a blank line apart.
fn joined(item: &mut Object, list: &str) -> Result<String, BadRequest> {
    let mut texts = Vec::new();
    for mut part in item.objects(list)? {
        texts.extend(part.text("text")?);
    }
    Ok(texts.join("\n\n"))
}
