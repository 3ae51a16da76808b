use serde_json::Value;

use super::{
    schema::json_schema,
    thoughts::{self, Opened},
};
use crate::{
    Dialect,
    ir::{
        Effort, Media, OutputFormat, Part, Reasoning, Request, Role, Signature, Thought, Tool, ToolCall, ToolChoice,
        Turn,
    },
    translate::{BadRequest, Carrier, fields::Object, made_up_id, settle_history},
};

pub(super) fn decode(body: &[u8], carrier: &dyn Carrier) -> Result<Request, BadRequest> {
    let mut body = Object::parse(body)?.or_snake();
    let mut reader = Reader { carrier, extra: Vec::new(), open: Vec::new(), calls: 0 };
    let mut request = Request { model: body.text("model")?.unwrap_or_default(), ..Request::default() };
    match body.take("systemInstruction") {
        None => {}
        // What the SDKs accept besides.
        Some(Value::String(text)) => request.system.push(Part::Text { text, cache: None }),
        Some(value) => {
            let mut system = Object::of(value, body.path("systemInstruction"))?.or_snake();
            system.take("role");
            request.system = reader.parts(&mut system)?;
            reader.extra.extend(system.rest());
        }
    }
    for content in body.objects("contents")? {
        request.turns.push(reader.turn(content)?);
    }
    for tool in body.objects("tools")? {
        reader.tool(tool, &mut request.tools)?;
    }
    if let Some(mut config) = body.object("toolConfig")? {
        if let Some(calling) = config.object("functionCallingConfig")? {
            request.tool_choice = reader.tool_choice(calling)?;
        }
        reader.extra.extend(config.rest());
    }
    if let Some(config) = body.object("generationConfig")? {
        reader.generation(config, &mut request)?;
    }
    settle_history(&mut request.turns)?;
    reader.extra.extend(body.rest());
    request.extra = (!reader.extra.is_empty()).then_some((Dialect::Gemini, reader.extra));
    Ok(request)
}

struct Reader<'c> {
    carrier: &'c dyn Carrier,
    /// What no other dialect can say.
    extra: Vec<(String, Value)>,
    /// Calls without a result so far: id and name.
    open: Vec<(String, String)>,
    calls: usize,
}

impl Reader<'_> {
    fn turn(&mut self, mut content: Object) -> Result<Turn, BadRequest> {
        let role = match content.text("role")?.as_deref() {
            None | Some("user" | "function") => Role::User,
            Some("model") => Role::Assistant,
            Some("system") => Role::System,
            Some(_) => return Err(content.bad("role", "is not `user` or `model`")),
        };
        let parts = self.parts(&mut content)?;
        self.extra.extend(content.rest());
        Ok(Turn { role, parts })
    }

    fn parts(&mut self, content: &mut Object) -> Result<Vec<Part>, BadRequest> {
        let mut parts = Vec::new();
        for part in content.objects("parts")? {
            self.part(part, &mut parts)?;
        }
        Ok(parts)
    }

    fn part(&mut self, mut part: Object, parts: &mut Vec<Part>) -> Result<(), BadRequest> {
        let thought = part.flag("thought")?.unwrap_or_default();
        let signature = match part.text("thoughtSignature")?.filter(|text| !text.is_empty()) {
            Some(text) => Some(thoughts::opened(text, self.carrier)?),
            None => None,
        };
        let signature = match signature {
            Some(Opened::Packed(before, call)) => {
                // The same thoughts, as the agent was shown them.
                while matches!(parts.last(), Some(Part::Reasoning(Thought { signature: None, .. }))) {
                    parts.pop();
                }
                parts.extend(before);
                call
            }
            Some(Opened::Own(signature)) => Some(signature),
            None => None,
        };
        if let Some(text) = part.text("text")? {
            if thought {
                parts.push(Part::Reasoning(Thought { text, signature, redacted: false }));
            } else {
                let item_id = (!text.is_empty()).then(|| thoughts::ON_TEXT.to_owned());
                if !text.is_empty() {
                    parts.push(Part::Text { text, cache: None });
                }
                parts.extend(signature.map(|signature| behind_text(signature, item_id)));
            }
        } else if let Some(call) = part.object("functionCall")? {
            let call = self.call(call, signature)?;
            parts.push(Part::ToolCall(call));
        } else if let Some(response) = part.object("functionResponse")? {
            let result = self.result(response)?;
            parts.push(result);
        } else if let Some(mut inline) = part.object("inlineData")? {
            let media = Media::Inline { mime: inline.need_text("mimeType")?, base64: inline.need_text("data")? };
            let mime = mime_of(&media).to_owned();
            parts.push(media_part(media, &mime, inline.text("displayName")?));
            self.extra.extend(inline.rest());
        } else if let Some(mut file) = part.object("fileData")? {
            let mime = file.text("mimeType")?;
            let url = file.need_text("fileUri")?;
            let kind = mime.clone().unwrap_or_default();
            let stored = url.starts_with("gs://") || url.contains("generativelanguage.googleapis.com/");
            let media =
                if stored { Media::File { dialect: Dialect::Gemini, id: url } } else { Media::Url { mime, url } };
            parts.push(media_part(media, &kind, file.text("displayName")?));
            self.extra.extend(file.rest());
        } else {
            // Code that Google ran itself, and what is not known yet.
            let path = part.here().to_owned();
            let map = part.into_map();
            if !map.is_empty() {
                self.extra.push((path, map.into()));
            }
            return Ok(());
        }
        self.extra.extend(part.rest());
        Ok(())
    }

    fn call(&mut self, mut call: Object, signature: Option<Signature>) -> Result<ToolCall, BadRequest> {
        let name = call.need_text("name")?;
        let id = match call.text("id")?.filter(|id| !id.is_empty()) {
            Some(id) => id,
            None => made_up_id("", self.calls, &name),
        };
        self.calls += 1;
        self.open.push((id.clone(), name.clone()));
        let arguments = call.take("args").map_or_else(|| "{}".to_owned(), |args| args.to_string());
        self.extra.extend(call.rest());
        // What stands for a missing signature is none.
        let signature = signature.filter(|signature| signature.value != thoughts::NO_SIGNATURE);
        Ok(ToolCall { id, name, arguments, signature, cache: None })
    }

    fn result(&mut self, mut response: Object) -> Result<Part, BadRequest> {
        let name = response.need_text("name")?;
        let id = response.text("id")?.filter(|id| !id.is_empty());
        // Without an id, the first open call of that name is answered.
        let at = self.open.iter().position(|(open, called)| id.as_ref().map_or(*called == name, |id| id == open));
        let call_id = match at {
            Some(at) => self.open.remove(at).0,
            None => id.unwrap_or_else(|| name.clone()),
        };
        let (text, is_error) = result_text(response.take("response"));
        let mut parts = vec![Part::Text { text, cache: None }];
        parts.extend(self.parts(&mut response)?);
        // Whether more comes of a call that goes on for long: this is what came.
        response.take("willContinue");
        response.take("scheduling");
        self.extra.extend(response.rest());
        Ok(Part::ToolResult { call_id, name: Some(name), parts, is_error, cache: None })
    }

    fn tool(&mut self, mut tool: Object, tools: &mut Vec<Tool>) -> Result<(), BadRequest> {
        for mut function in tool.objects("functionDeclarations")? {
            let parameters = match function.take("parametersJsonSchema") {
                Some(schema) => Some(schema),
                None => function.take("parameters").map(json_schema),
            };
            tools.push(Tool::Function {
                name: function.need_text("name")?,
                description: function.text("description")?,
                parameters,
                strict: None,
                cache: None,
            });
            // What it answers with, which no other dialect asks for.
            function.take("response");
            function.take("responseJsonSchema");
            self.extra.extend(function.rest());
        }
        for (kind, definition) in tool.into_map() {
            if !definition.is_null() {
                let definition = serde_json::json!({ &kind: definition });
                tools.push(Tool::Hosted { dialect: Dialect::Gemini, kind, definition });
            }
        }
        Ok(())
    }

    fn tool_choice(&mut self, mut calling: Object) -> Result<Option<ToolChoice>, BadRequest> {
        let mut names = calling.texts("allowedFunctionNames")?;
        let mode = calling.text("mode")?;
        let choice = match mode.as_deref() {
            None | Some("MODE_UNSPECIFIED") => None,
            // Validated calls follow their schemas; other providers promise that by `strict`, or not at all.
            Some("AUTO" | "VALIDATED") if names.is_empty() => Some(ToolChoice::Auto),
            Some("AUTO" | "VALIDATED") => Some(ToolChoice::Among { names, required: false }),
            Some("ANY") if names.is_empty() => Some(ToolChoice::Required),
            Some("ANY") if names.len() == 1 => names.pop().map(ToolChoice::Tool),
            Some("ANY") => Some(ToolChoice::Among { names, required: true }),
            Some("NONE") => Some(ToolChoice::None),
            Some(_) => return Err(calling.bad("mode", "is not `AUTO`, `ANY`, `NONE` or `VALIDATED`")),
        };
        self.extra.extend(calling.rest());
        Ok(choice)
    }

    fn generation(&mut self, mut config: Object, request: &mut Request) -> Result<(), BadRequest> {
        request.temperature = config.number("temperature")?;
        // Google's own defaults, which its clients repeat, mean: as usual. Other models have other usuals.
        request.top_p = config.number("topP")?.filter(|top_p| top_p.as_f64() != Some(0.95));
        request.top_k = config.count("topK")?.filter(|top_k| *top_k != 64);
        request.max_output = config.count("maxOutputTokens")?;
        request.stop = config.texts("stopSequences")?;
        request.seed = config.integer("seed")?;
        request.presence_penalty = config.number("presencePenalty")?;
        request.frequency_penalty = config.number("frequencyPenalty")?;
        request.choices = match config.count("candidateCount")?.map(u32::try_from).transpose() {
            Ok(count) => count,
            Err(_) => return Err(config.bad("candidateCount", "is too large")),
        };
        let mut schema = config.take("responseJsonSchema");
        if schema.is_none() {
            schema = config.take("responseSchema").map(json_schema);
        }
        request.output = match (config.text("responseMimeType")?.as_deref(), schema) {
            (Some("application/json"), None) => OutputFormat::Json,
            (None | Some("application/json"), Some(schema)) => {
                OutputFormat::Schema { name: None, description: None, schema, strict: Some(true) }
            }
            (None | Some("text/plain"), _) => OutputFormat::Text,
            (Some(mime), _) => {
                self.extra.push((config.path("responseMimeType"), mime.into()));
                OutputFormat::Text
            }
        };
        if let Some(mut thinking) = config.object("thinkingConfig")? {
            request.reasoning = Some(reasoning(&mut thinking)?);
            self.extra.extend(thinking.rest());
        }
        let modalities = config.texts("responseModalities")?;
        if modalities.iter().any(|modality| !modality.eq_ignore_ascii_case("text")) {
            self.extra.push((config.path("responseModalities"), modalities.into()));
        }
        // Turned off, these say nothing.
        let off = |value: &Value| value == false;
        self.extra.extend(config.rest().into_iter().filter(|(_, value)| !off(value)));
        Ok(())
    }
}

fn reasoning(thinking: &mut Object) -> Result<Reasoning, BadRequest> {
    let budget = thinking.integer("thinkingBudget")?;
    let level = thinking.text("thinkingLevel")?.map(|level| level.to_ascii_lowercase());
    let effort = match level.as_deref() {
        None | Some("thinking_level_unspecified") => None,
        Some(word) => {
            let effort = Effort::parse(word);
            Some(effort.ok_or_else(|| thinking.bad("thinkingLevel", "is not a level that is known"))?)
        }
    };
    let shown = thinking.flag("includeThoughts")?.unwrap_or_default();
    Ok(Reasoning {
        effort,
        dynamic: budget.is_some_and(i64::is_negative),
        budget: budget.and_then(|budget| u64::try_from(budget).ok()),
        summary: shown.then(|| "auto".to_owned()),
    })
}

/// The signature of a text stands behind it.
pub(super) fn behind_text(signature: Signature, item_id: Option<String>) -> Part {
    let signature = if signature.dialect == Dialect::Gemini { Signature { item_id, ..signature } } else { signature };
    Part::Reasoning(Thought { text: String::new(), signature: Some(signature), redacted: false })
}

/// Google wants results as objects; this is what its clients put into them.
fn result_text(response: Option<Value>) -> (String, Option<bool>) {
    let Some(Value::Object(mut object)) = response else {
        return (response.map(|value| value.to_string()).unwrap_or_default(), None);
    };
    if object.len() == 1 {
        for (name, failed) in [("result", None), ("output", None), ("error", Some(true))] {
            match object.get_mut(name).map(Value::take) {
                Some(Value::String(text)) => return (text, failed),
                Some(value) => return (value.to_string(), failed),
                None => {}
            }
        }
    }
    (Value::Object(object).to_string(), None)
}

fn mime_of(media: &Media) -> &str {
    match media {
        Media::Inline { mime, .. } => mime,
        _ => "",
    }
}

/// The part that media of this type is.
pub(super) fn media_part(source: Media, mime: &str, name: Option<String>) -> Part {
    match mime.split('/').next() {
        Some("image") => Part::Image { source, detail: None, cache: None },
        Some("audio") => Part::Audio { source },
        _ => Part::Document { source, name, cache: None },
    }
}
