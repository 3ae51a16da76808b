use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    Dialect,
    claude::{self, Generation, Thinking},
    ir::{CacheMark, Media, OutputFormat, Part, Request, Role, Tool, ToolCall, ToolChoice, Unsupported},
    translate::{
        Encoded, IdRule, NameRule, Namer, Target,
        gaps::Gaps,
        input_description, input_schema, strip_keywords,
        turns::{Laid, arguments_object, object_schema, offered},
        wrap_input,
    },
};

/// Anthropic demands a limit; this one where neither the agent nor the catalogue says one.
const MAX_OUTPUT: u64 = 4096;
const USER_MAX: usize = 256;
const IDS: IdRule = IdRule::Plain(128);
/// The function that stands for a JSON Schema, where the model follows none by itself.
const ANSWER: &str = "answer";

pub(super) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut writer = Writer {
        request,
        target,
        namer: Namer::new(NameRule::PLAIN, request),
        gaps: Gaps::new(target),
        follows_schemas: Generation::of(target.model).is_some_and(Generation::follows_schemas),
    };
    let body = writer.body()?;
    Ok(Encoded {
        body: Value::Object(body).to_string().into_bytes(),
        warnings: writer.gaps.into_warnings(),
        names: writer.namer.into_names(),
    })
}

struct Writer<'r> {
    request: &'r Request,
    target: &'r Target<'r>,
    namer: Namer,
    gaps: Gaps,
    follows_schemas: bool,
}

impl Writer<'_> {
    fn body(&mut self) -> Result<Map<String, Value>, Unsupported> {
        let request = self.request;
        let max_output = request.max_output.or(self.target.max_output).unwrap_or(MAX_OUTPUT);
        let api = claude::Api { dialect: Dialect::Messages, schema_by_tool: !self.follows_schemas };
        let thinking = claude::thinking(request, self.target.model, api, max_output, &mut self.gaps);

        let mut body = Map::new();
        body.insert("model".to_owned(), self.target.model.into());
        body.insert("max_tokens".to_owned(), max_output.into());
        let laid = Laid::of(request, &mut self.gaps);
        let system = self.blocks(&laid.system)?;
        if !system.is_empty() {
            body.insert("system".to_owned(), system.into());
        }
        let mut messages = Vec::with_capacity(laid.turns.len());
        for (role, parts) in &laid.turns {
            let content = self.blocks(parts)?;
            if !content.is_empty() {
                let role = if *role == Role::Assistant { "assistant" } else { "user" };
                messages.push(json!({ "role": role, "content": content }));
            }
        }
        body.insert("messages".to_owned(), messages.into());
        self.tools(&mut body, thinking)?;
        self.sampling(&mut body, thinking)?;
        self.thinking(&mut body, thinking);
        self.rest(&mut body)?;
        Ok(body)
    }

    fn blocks(&mut self, parts: &[&Part]) -> Result<Vec<Value>, Unsupported> {
        let mut blocks = Vec::with_capacity(parts.len());
        for part in parts {
            blocks.extend(self.block(part)?);
        }
        Ok(blocks)
    }

    fn block(&mut self, part: &Part) -> Result<Option<Value>, Unsupported> {
        Ok(match part {
            // An empty text is refused.
            Part::Text { text, .. } | Part::Refusal(text) if text.is_empty() => None,
            Part::Text { text, cache } => Some(marked(json!({ "type": "text", "text": text }), *cache)),
            Part::Refusal(text) => Some(json!({ "type": "text", "text": text })),
            Part::Image { source, detail, cache } => {
                if detail.as_deref().is_some_and(|detail| detail != "auto") {
                    self.gaps.warn("the `detail` of an image was left out: this model has no such setting");
                }
                let Some(source) = self.image(source)? else { return Ok(None) };
                Some(marked(json!({ "type": "image", "source": source }), *cache))
            }
            Part::Document { source, name, cache } => {
                let Some(source) = self.document(source)? else { return Ok(None) };
                let mut block = json!({ "type": "document", "source": source });
                if let Some(name) = name {
                    block["title"] = name.as_str().into();
                }
                Some(marked(block, *cache))
            }
            Part::Audio { .. } => {
                self.gaps.missing("input_audio", "Anthropic's models do not listen")?;
                None
            }
            Part::Reasoning(thought) => match &thought.signature {
                Some(own) if own.dialect == Dialect::Messages && thought.redacted => {
                    Some(json!({ "type": "redacted_thinking", "data": own.value }))
                }
                Some(own) if own.dialect == Dialect::Messages => {
                    Some(json!({ "type": "thinking", "thinking": thought.text, "signature": own.value }))
                }
                _ => {
                    self.gaps.warn("thinking of another model was left out of the conversation");
                    None
                }
            },
            Part::ToolCall(call) => Some(self.call(call)),
            Part::ToolResult { call_id, parts, is_error, cache, .. } => {
                let parts: Vec<&Part> = parts.iter().collect();
                let content: Value = match parts.as_slice() {
                    [Part::Text { text, cache: None }] => text.as_str().into(),
                    parts => self.blocks(parts)?.into(),
                };
                let mut block = json!({
                    "type": "tool_result", "tool_use_id": IDS.apply(call_id), "content": content,
                });
                if *is_error == Some(true) {
                    block["is_error"] = true.into();
                }
                Some(marked(block, *cache))
            }
        })
    }

    fn call(&mut self, call: &ToolCall) -> Value {
        let input = if self.request.is_custom(&call.name) {
            self.namer.wrap_custom(&call.name);
            arguments_object(&wrap_input(&call.arguments), &mut self.gaps)
        } else {
            arguments_object(&call.arguments, &mut self.gaps)
        };
        let name = self.namer.sent(&call.name);
        marked(json!({ "type": "tool_use", "id": IDS.apply(&call.id), "name": name, "input": input }), call.cache)
    }

    fn image(&mut self, source: &Media) -> Result<Option<Value>, Unsupported> {
        Ok(match source {
            Media::Inline { mime, base64 } => Some(json!({ "type": "base64", "media_type": mime, "data": base64 })),
            Media::Url { url, .. } => Some(json!({ "type": "url", "url": url })),
            Media::File { dialect: Dialect::Messages, id } => Some(json!({ "type": "file", "file_id": id })),
            Media::File { .. } | Media::Text(_) => self.no_file("image")?,
        })
    }

    fn document(&mut self, source: &Media) -> Result<Option<Value>, Unsupported> {
        let text = |text: &str| json!({ "type": "text", "media_type": "text/plain", "data": text });
        Ok(match source {
            Media::Inline { mime, base64 } if mime == "application/pdf" => {
                Some(json!({ "type": "base64", "media_type": mime, "data": base64 }))
            }
            Media::Inline { mime, base64 } => {
                let decoded = STANDARD.decode(base64).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                let readable = mime.starts_with("text/") || mime == "application/json";
                if let Some(decoded) = decoded.filter(|_| readable) {
                    Some(text(&decoded))
                } else {
                    self.gaps
                        .missing("document", format!("Anthropic's models read PDF and plain text, not `{mime}`"))?;
                    None
                }
            }
            Media::Url { url, .. } => Some(json!({ "type": "url", "url": url })),
            Media::File { dialect: Dialect::Messages, id } => Some(json!({ "type": "file", "file_id": id })),
            Media::File { .. } => self.no_file("document")?,
            Media::Text(plain) => Some(text(plain)),
        })
    }

    fn no_file(&mut self, kind: &str) -> Result<Option<Value>, Unsupported> {
        self.gaps.missing("file_id", format!("the {kind} lies in another provider's store; send its bytes"))?;
        Ok(None)
    }

    fn tools(&mut self, body: &mut Map<String, Value>, thinking: Option<Thinking>) -> Result<(), Unsupported> {
        let request = self.request;
        let mut tools = Vec::with_capacity(request.tools.len());
        for (index, tool) in offered(request) {
            tools.extend(self.tool(index, tool)?);
        }
        let mut choice = request.tool_choice.clone();
        if let Some(answer) = self.answer_tool() {
            choice = Some(if tools.is_empty() { ToolChoice::Tool(ANSWER.to_owned()) } else { ToolChoice::Required });
            tools.push(answer);
        }
        if tools.is_empty() {
            return Ok(());
        }
        body.insert("tools".to_owned(), tools.into());

        let thinks = matches!(thinking, Some(Thinking::Adaptive(_) | Thinking::Budget(_)));
        if thinks && claude::demands(choice.as_ref()) {
            self.gaps.warn("`tool_choice` was set to `auto`: a model that thinks cannot be made to call a tool");
            choice = Some(ToolChoice::Auto);
        }
        let alone = request.parallel_tool_calls == Some(false);
        let mut written = match choice {
            None if !alone => return Ok(()),
            None | Some(ToolChoice::Auto | ToolChoice::Among { required: false, .. }) => json!({ "type": "auto" }),
            Some(ToolChoice::Required | ToolChoice::Among { required: true, .. }) => json!({ "type": "any" }),
            Some(ToolChoice::None) => json!({ "type": "none" }),
            Some(ToolChoice::Tool(name)) => {
                let name = if self.namer.is_answer(&name) { name } else { self.namer.sent(&name).to_owned() };
                json!({ "type": "tool", "name": name })
            }
        };
        if alone && written["type"] != "none" {
            written["disable_parallel_tool_use"] = true.into();
        }
        body.insert("tool_choice".to_owned(), written);
        Ok(())
    }

    fn tool(&mut self, index: usize, tool: &Tool) -> Result<Option<Value>, Unsupported> {
        Ok(match tool {
            Tool::Function { name, description, parameters, strict, cache } => {
                let mut schema = object_schema(parameters.as_ref());
                strip_keywords(&mut schema, &self.target.quirks.strip_schema_keywords);
                let mut written = json!({ "name": self.namer.sent(name), "input_schema": schema });
                if let Some(description) = description {
                    written["description"] = description.as_str().into();
                }
                if *strict == Some(true) {
                    if self.follows_schemas {
                        written["strict"] = true.into();
                    } else {
                        self.gaps.warn("`strict` was left out: this model does not promise to follow a schema");
                    }
                }
                Some(marked(written, *cache))
            }
            Tool::Custom { name, description, format } => {
                self.namer.wrap_custom(name);
                Some(json!({
                    "name": self.namer.sent(name),
                    "description": input_description(description.as_deref(), format.as_ref()),
                    "input_schema": input_schema(),
                }))
            }
            Tool::Hosted { dialect: Dialect::Messages, definition, .. } => Some(definition.clone()),
            Tool::Hosted { kind, .. } => {
                self.gaps.missing(format!("tools[{index}]"), format!("`{kind}` runs only at its own provider"))?;
                None
            }
        })
    }

    /// The function whose arguments are the answer, for a model that follows no schema by itself.
    fn answer_tool(&mut self) -> Option<Value> {
        let OutputFormat::Schema { description, schema, .. } = &self.request.output else { return None };
        if self.follows_schemas {
            return None;
        }
        let name = self.namer.stand_for_answer(ANSWER);
        let description = description.as_deref().unwrap_or("Gives the final answer in the form that is asked for.");
        Some(json!({ "name": name, "description": description, "input_schema": object_schema(Some(schema)) }))
    }

    fn sampling(&mut self, body: &mut Map<String, Value>, thinking: Option<Thinking>) -> Result<(), Unsupported> {
        let request = self.request;
        let thinks = matches!(thinking, Some(Thinking::Adaptive(_) | Thinking::Budget(_)));
        let temperature = request.temperature.as_ref().and_then(serde_json::Number::as_f64);
        match &request.temperature {
            Some(_) if thinks && temperature != Some(1.0) => {
                self.gaps.warn("`temperature` was left out: a model that thinks takes none");
            }
            Some(_) if temperature.is_some_and(|value| value > 1.0) => {
                self.gaps.warn("`temperature` was lowered to 1, the highest this model takes");
                body.insert("temperature".to_owned(), 1.into());
            }
            Some(written) => {
                body.insert("temperature".to_owned(), written.clone().into());
            }
            None => {}
        }
        if let Some(top_p) = &request.top_p {
            let one = Generation::of(self.target.model).is_some_and(Generation::one_sampler);
            if one && body.contains_key("temperature") {
                self.gaps.warn("`top_p` was left out: this model does not take it beside `temperature`");
            } else if thinks && top_p.as_f64().is_some_and(|value| value < 0.95) {
                self.gaps.warn("`top_p` was left out: a model that thinks takes none below 0.95");
            } else {
                body.insert("top_p".to_owned(), top_p.clone().into());
            }
        }
        if let Some(top_k) = request.top_k {
            if thinks {
                self.gaps.warn("`top_k` was left out: a model that thinks takes none");
            } else {
                body.insert("top_k".to_owned(), top_k.into());
            }
        }
        if !request.stop.is_empty() {
            body.insert("stop_sequences".to_owned(), request.stop.clone().into());
        }
        claude::refuse_sampling(request, &mut self.gaps)
    }

    fn thinking(&mut self, body: &mut Map<String, Value>, thinking: Option<Thinking>) {
        let mut config = Map::new();
        let written = match thinking {
            None => None,
            Some(Thinking::Off) => Some(json!({ "type": "disabled" })),
            Some(Thinking::Budget(budget)) => Some(json!({ "type": "enabled", "budget_tokens": budget })),
            Some(Thinking::Adaptive(effort)) => {
                if let Some(effort) = effort {
                    config.insert("effort".to_owned(), effort.into());
                }
                Some(json!({ "type": "adaptive" }))
            }
        };
        if let Some(written) = written {
            body.insert("thinking".to_owned(), written);
        }
        if let OutputFormat::Schema { schema, .. } = &self.request.output
            && self.follows_schemas
        {
            config.insert("format".to_owned(), json!({ "type": "json_schema", "schema": schema }));
        }
        if !config.is_empty() {
            body.insert("output_config".to_owned(), config.into());
        }
    }

    fn rest(&mut self, body: &mut Map<String, Value>) -> Result<(), Unsupported> {
        let request = self.request;
        if request.output == OutputFormat::Json {
            self.gaps.missing("response_format", "this model has no JSON mode; give it a JSON Schema")?;
        }
        if let Some(user) = &request.user {
            if user.len() <= USER_MAX {
                body.insert("metadata".to_owned(), json!({ "user_id": user }));
            } else {
                self.gaps.warn("`user` was left out: it is longer than 256 bytes");
            }
        }
        if !request.metadata.is_empty() {
            self.gaps.warn("`metadata` was left out: this model's API keeps no labels");
        }
        match request.service_tier.as_deref() {
            None => {}
            Some(tier @ ("auto" | "standard_only")) => {
                body.insert("service_tier".to_owned(), tier.into());
            }
            Some("default") => {
                body.insert("service_tier".to_owned(), "standard_only".into());
            }
            Some(tier) => self.gaps.missing("service_tier", format!("Anthropic has no class of service `{tier}`"))?,
        }
        if request.verbosity.as_deref().is_some_and(|verbosity| verbosity != "medium") {
            self.gaps.warn("`verbosity` was left out: this model has no such setting");
        }
        if request.stream {
            body.insert("stream".to_owned(), true.into());
        }
        for (name, value) in self.gaps.extra(request.extra.as_ref(), Dialect::Messages)? {
            body.insert(name.to_owned(), value.clone());
        }
        Ok(())
    }
}

fn marked(mut block: Value, cache: Option<CacheMark>) -> Value {
    match cache {
        None => {}
        Some(CacheMark::Default) => block["cache_control"] = json!({ "type": "ephemeral" }),
        Some(CacheMark::Hour) => block["cache_control"] = json!({ "type": "ephemeral", "ttl": "1h" }),
    }
    block
}
