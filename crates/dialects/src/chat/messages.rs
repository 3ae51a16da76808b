//! The messages of an agent's request.

use serde_json::Value;

use super::{
    read::cache_mark,
    reasoning::{self, Returned},
};
use crate::{
    Dialect,
    ir::{Media, Part, Request, Role, ToolCall, Turn},
    translate::{
        BadRequest, Carrier,
        fields::{Object, bad},
        media_of_url,
    },
};

type Extra = Vec<(String, Value)>;

pub(super) fn read(
    messages: Vec<Object>,
    carrier: &dyn Carrier,
    request: &mut Request,
    extra: &mut Extra,
) -> Result<(), BadRequest> {
    for mut message in messages {
        let role = message.need_text("role")?;
        match role.as_str() {
            "system" | "developer" => {
                let parts = content(&mut message, extra)?;
                if request.turns.is_empty() {
                    request.system.extend(parts);
                } else {
                    request.turns.push(Turn { role: Role::System, parts });
                }
            }
            "user" => {
                let parts = content(&mut message, extra)?;
                request.turns.push(Turn { role: Role::User, parts });
            }
            "assistant" => {
                let parts = assistant(&mut message, carrier, extra)?;
                request.turns.push(Turn { role: Role::Assistant, parts });
            }
            "tool" => {
                let result = tool_result(&mut message, extra)?;
                match request.turns.last_mut() {
                    Some(Turn { role: Role::User, parts }) if all_results(parts) => parts.push(result),
                    _ => request.turns.push(Turn { role: Role::User, parts: vec![result] }),
                }
            }
            _ => return Err(message.bad("role", "is none of `system`, `developer`, `user`, `assistant`, `tool`")),
        }
        extra.extend(message.rest());
    }
    Ok(())
}

fn all_results(parts: &[Part]) -> bool {
    parts.iter().all(|part| matches!(part, Part::ToolResult { .. }))
}

fn tool_result(message: &mut Object, extra: &mut Extra) -> Result<Part, BadRequest> {
    Ok(Part::ToolResult {
        call_id: message.need_text("tool_call_id")?,
        name: message.text("name")?,
        parts: content(message, extra)?,
        is_error: None,
        cache: cache_mark(message)?,
    })
}

fn assistant(message: &mut Object, carrier: &dyn Carrier, extra: &mut Extra) -> Result<Vec<Part>, BadRequest> {
    let mut returned: Returned = reasoning::returned(message, carrier)?;
    let said = content(message, extra)?;
    let refusal = message.text("refusal")?;
    let mut calls = Vec::new();
    for mut call in message.objects("tool_calls")? {
        calls.push(tool_call(&mut call)?);
        extra.extend(call.rest());
    }
    reasoning::recall(&mut returned, &mut calls, carrier);

    let mut parts: Vec<Part> = reasoning::parts(returned.thoughts).collect();
    parts.extend(said.into_iter().filter(|part| !matches!(part, Part::Text { text, .. } if text.is_empty())));
    parts.extend(refusal.map(Part::Refusal));
    parts.extend(calls.into_iter().map(Part::ToolCall));
    Ok(parts)
}

fn tool_call(call: &mut Object) -> Result<ToolCall, BadRequest> {
    let id = call.need_text("id")?;
    let kind = call.text("type")?.unwrap_or_else(|| "function".to_owned());
    let arguments = match kind.as_str() {
        "function" => "arguments",
        "custom" => "input",
        _ => return Err(call.bad("type", "is neither `function` nor `custom`")),
    };
    let Some(mut inner) = call.object(&kind)? else { return Err(call.bad(&kind, "is missing")) };
    let name = inner.need_text("name")?;
    Ok(ToolCall { id, name, arguments: inner.text(arguments)?.unwrap_or_default(), ..ToolCall::default() })
}

/// A message's content: a text, or a list of parts.
fn content(message: &mut Object, extra: &mut Extra) -> Result<Vec<Part>, BadRequest> {
    let path = message.path("content");
    let list = match message.take("content") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![Part::Text { text, cache: None }]),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(message.bad("content", "is neither a string nor a list of parts")),
    };
    let mut parts = Vec::with_capacity(list.len());
    for (index, part) in list.into_iter().enumerate() {
        let mut part = Object::of(part, format!("{path}[{index}]"))?;
        parts.push(content_part(&mut part, extra)?);
        extra.extend(part.rest());
    }
    Ok(parts)
}

fn content_part(part: &mut Object, extra: &mut Extra) -> Result<Part, BadRequest> {
    let kind = part.need_text("type")?;
    let cache = cache_mark(part)?;
    let mut inside = |name: &str| {
        let inner = part.object(name)?;
        inner.ok_or_else(|| part.bad(name, "is missing"))
    };
    let (read, inner) = match kind.as_str() {
        "text" => return Ok(Part::Text { text: part.need_text("text")?, cache }),
        "refusal" => return Ok(Part::Refusal(part.need_text("refusal")?)),
        "image_url" => {
            let mut image = inside("image_url")?;
            let path = image.path("url");
            let source = media_of_url(image.need_text("url")?).ok_or_else(|| bad(path, "is a broken `data:` URL"))?;
            (Part::Image { source, detail: image.text("detail")?, cache }, image)
        }
        "input_audio" => {
            let mut audio = inside("input_audio")?;
            let mime = match audio.need_text("format")?.as_str() {
                "mp3" => "audio/mpeg".to_owned(),
                other => format!("audio/{other}"),
            };
            (Part::Audio { source: Media::Inline { mime, base64: audio.need_text("data")? } }, audio)
        }
        "file" => {
            let mut file = inside("file")?;
            let (source, name) = read_file(&mut file, Dialect::Chat)?;
            (Part::Document { source, name, cache }, file)
        }
        _ => return Err(part.bad("type", "is a kind of content that cannot be sent to this model")),
    };
    extra.extend(inner.rest());
    Ok(read)
}

/// A document: its bytes, its URL or its id, and its name.
pub(crate) fn read_file(file: &mut Object, dialect: Dialect) -> Result<(Media, Option<String>), BadRequest> {
    let name = file.text("filename")?;
    if let Some(id) = file.text("file_id")? {
        return Ok((Media::File { dialect, id }, name));
    }
    if let Some(url) = file.text("file_url")? {
        return Ok((Media::Url { mime: None, url }, name));
    }
    let data = file.need_text("file_data")?;
    let is_url = data.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case("data:"));
    let media = if is_url {
        media_of_url(data).ok_or_else(|| file.bad("file_data", "is a broken `data:` URL"))?
    } else {
        Media::Inline { mime: "application/pdf".to_owned(), base64: data }
    };
    Ok((media, name))
}
