use std::collections::BTreeSet;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use crate::{
    Dialect,
    claude::{self, Api, Generation, Thinking},
    ir::{CacheMark, Effort, Media, OutputFormat, Part, Request, Role, Tool, ToolCall, ToolChoice, Unsupported},
    translate::{
        Encoded, IdRule, NameRule, Namer, Target,
        gaps::Gaps,
        input_description, input_schema, strip_keywords,
        turns::{Laid, arguments_object, object_schema, offered},
        wrap_input,
    },
};

const IDS: IdRule = IdRule::Plain(64);
const LABELS_MAX: usize = 16;
/// The limit a thinking budget is held under where neither the agent nor the catalogue says one.
const MAX_OUTPUT: u64 = 4096;
/// The function that stands for a JSON Schema: only few of Bedrock's models follow one by themselves.
const ANSWER: &str = "answer";

pub(super) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut writer = Writer {
        request,
        target,
        family: Family::of(target.model),
        namer: Namer::new(NameRule::PLAIN, request),
        gaps: Gaps::new(target),
        documents: 0,
    };
    let body = writer.body()?;
    Ok(Encoded {
        body: Value::Object(body).to_string().into_bytes(),
        warnings: writer.gaps.into_warnings(),
        names: writer.namer.into_names(),
    })
}

/// Whose model it is: what Converse leaves to `additionalModelRequestFields` differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Claude,
    Nova {
        /// From the second generation on.
        thinks: bool,
    },
    GptOss,
    Other,
}

impl Family {
    fn of(model: &str) -> Self {
        if Generation::of(model).is_some() || model.contains("anthropic.") {
            Family::Claude
        } else if model.contains("amazon.nova") {
            Family::Nova { thinks: model.contains("nova-2") }
        } else if model.contains("openai.gpt-oss") {
            Family::GptOss
        } else {
            Family::Other
        }
    }

    const fn caches(self) -> bool {
        matches!(self, Family::Claude | Family::Nova { .. })
    }
}

struct Writer<'r> {
    request: &'r Request,
    target: &'r Target<'r>,
    family: Family,
    namer: Namer,
    gaps: Gaps,
    documents: usize,
}

impl Writer<'_> {
    fn body(&mut self) -> Result<Map<String, Value>, Unsupported> {
        let mut body = Map::new();
        let laid = Laid::of(self.request, &mut self.gaps);
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

        let mut more = Map::new();
        let thinks = self.thinking(&mut more);
        self.tools(&mut body, thinks)?;
        self.sampling(&mut body, &mut more, thinks)?;
        if !more.is_empty() {
            body.insert("additionalModelRequestFields".to_owned(), more.into());
        }
        self.rest(&mut body)?;
        Ok(body)
    }

    fn blocks(&mut self, parts: &[&Part]) -> Result<Vec<Value>, Unsupported> {
        let mut blocks = Vec::with_capacity(parts.len());
        for part in parts {
            let Some((block, cache)) = self.block(part)? else { continue };
            blocks.push(block);
            blocks.extend(self.cache_point(cache));
        }
        Ok(blocks)
    }

    /// Models that keep no prefixes refuse the mark.
    fn cache_point(&self, cache: Option<CacheMark>) -> Option<Value> {
        let point = match cache? {
            CacheMark::Default => json!({ "cachePoint": { "type": "default" } }),
            CacheMark::Hour => json!({ "cachePoint": { "type": "default", "ttl": "1h" } }),
        };
        self.family.caches().then_some(point)
    }

    fn block(&mut self, part: &Part) -> Result<Option<(Value, Option<CacheMark>)>, Unsupported> {
        Ok(match part {
            // An empty text is refused.
            Part::Text { text, .. } | Part::Refusal(text) if text.is_empty() => None,
            Part::Text { text, cache } => Some((json!({ "text": text }), *cache)),
            Part::Refusal(text) => Some((json!({ "text": text }), None)),
            Part::Image { source, cache, .. } => self.image(source)?.map(|image| (image, *cache)),
            Part::Document { source, name, cache } => {
                self.document(source, name.as_deref())?.map(|document| (document, *cache))
            }
            Part::Audio { .. } => {
                self.gaps.missing("input_audio", "sound is not translated for Bedrock")?;
                None
            }
            Part::Reasoning(thought) => match &thought.signature {
                Some(own) if own.dialect == Dialect::Converse && thought.redacted => {
                    Some((json!({ "reasoningContent": { "redactedContent": own.value } }), None))
                }
                Some(own) if own.dialect == Dialect::Converse => {
                    let text = json!({ "text": thought.text, "signature": own.value });
                    Some((json!({ "reasoningContent": { "reasoningText": text } }), None))
                }
                // Thinking without a signature of its own is refused.
                _ => {
                    self.gaps.warn("thinking of another model was left out of the conversation");
                    None
                }
            },
            Part::ToolCall(call) => Some((self.call(call), call.cache)),
            Part::ToolResult { call_id, parts, is_error, cache, .. } => {
                let parts: Vec<&Part> = parts.iter().collect();
                let mut content = self.blocks(&parts)?;
                content.retain(|block| block.get("cachePoint").is_none());
                if content.is_empty() {
                    content.push(json!({ "text": "(nothing)" }));
                }
                let mut result = json!({ "toolUseId": IDS.apply(call_id), "content": content });
                if *is_error == Some(true) {
                    result["status"] = "error".into();
                }
                Some((json!({ "toolResult": result }), *cache))
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
        json!({ "toolUse": { "toolUseId": IDS.apply(&call.id), "name": name, "input": input } })
    }

    fn image(&mut self, source: &Media) -> Result<Option<Value>, Unsupported> {
        let Some((mime, base64)) = self.inline(source, "image_url", "an image")? else { return Ok(None) };
        let format = mime.strip_prefix("image/").unwrap_or_default();
        let format = if format == "jpg" { "jpeg" } else { format };
        if !matches!(format, "png" | "jpeg" | "gif" | "webp") {
            self.gaps.missing("image_url", format!("Bedrock's models see PNG, JPEG, GIF and WebP, not `{mime}`"))?;
            return Ok(None);
        }
        Ok(Some(json!({ "image": { "format": format, "source": { "bytes": base64 } } })))
    }

    fn document(&mut self, source: &Media, name: Option<&str>) -> Result<Option<Value>, Unsupported> {
        let (format, base64) = if let Media::Text(text) = source {
            ("txt", STANDARD.encode(text))
        } else {
            let Some((mime, base64)) = self.inline(source, "document", "a document")? else { return Ok(None) };
            let Some(format) = document_format(mime) else {
                self.gaps.missing("document", format!("Bedrock's models do not read `{mime}`"))?;
                return Ok(None);
            };
            (format, base64.to_owned())
        };
        self.documents += 1;
        let name = document_name(name, self.documents);
        Ok(Some(json!({ "document": { "format": format, "name": name, "source": { "bytes": base64 } } })))
    }

    /// Converse takes bytes alone.
    fn inline<'m>(
        &mut self,
        source: &'m Media,
        field: &str,
        what: &str,
    ) -> Result<Option<(&'m str, &'m str)>, Unsupported> {
        match source {
            Media::Inline { mime, base64 } => Ok(Some((mime, base64))),
            Media::Url { .. } | Media::File { .. } | Media::Text(_) => {
                self.gaps.missing(field, format!("Bedrock takes {what} only as its bytes, in base64"))?;
                Ok(None)
            }
        }
    }

    /// Whether the model was told to think.
    fn thinking(&mut self, more: &mut Map<String, Value>) -> bool {
        let Some(wanted) = &self.request.reasoning else { return false };
        let effort = wanted.effort.or_else(|| wanted.budget.map(Effort::of_budget));
        let off = effort == Some(Effort::None);
        let word = match effort {
            Some(Effort::None | Effort::Minimal | Effort::Low) => "low",
            Some(Effort::High | Effort::XHigh | Effort::Max) => "high",
            Some(Effort::Medium) | None => "medium",
        };
        match self.family {
            Family::Claude => {
                let max_output = self.request.max_output.or(self.target.max_output).unwrap_or(MAX_OUTPUT);
                let api = Api { dialect: Dialect::Converse, schema_by_tool: true };
                match claude::thinking(self.request, self.target.model, api, max_output, &mut self.gaps) {
                    None | Some(Thinking::Off) => return false,
                    Some(Thinking::Budget(budget)) => {
                        let thinking = json!({ "type": "enabled", "budget_tokens": budget });
                        more.insert("thinking".to_owned(), thinking);
                    }
                    Some(Thinking::Adaptive(effort)) => {
                        more.insert("thinking".to_owned(), json!({ "type": "adaptive" }));
                        if let Some(effort) = effort {
                            more.insert("output_config".to_owned(), json!({ "effort": effort }));
                        }
                    }
                }
                true
            }
            Family::Nova { thinks: true } if !off => {
                let config = json!({ "type": "enabled", "maxReasoningEffort": word });
                more.insert("reasoningConfig".to_owned(), config);
                false
            }
            Family::GptOss => {
                more.insert("reasoning_effort".to_owned(), word.into());
                false
            }
            Family::Nova { .. } | Family::Other if off => false,
            Family::Nova { .. } | Family::Other => {
                self.gaps.warn("`reasoning` was left out: how much this model thinks cannot be told");
                false
            }
        }
    }

    fn tools(&mut self, body: &mut Map<String, Value>, thinks: bool) -> Result<(), Unsupported> {
        let request = self.request;
        let mut choice = request.tool_choice.clone();
        let mut tools = Vec::with_capacity(request.tools.len());
        // No choice says `none`. Without tools none is called, but a conversation that has calls needs them.
        let history = called(request);
        if choice != Some(ToolChoice::None) || !history.is_empty() {
            for (index, tool) in offered(request) {
                self.tool(index, tool, &mut tools)?;
            }
        }
        if tools.is_empty() && !history.is_empty() {
            for name in history {
                let schema = json!({ "json": { "type": "object", "properties": {} } });
                tools.push(json!({ "toolSpec": { "name": self.namer.sent(name), "inputSchema": schema } }));
            }
            choice = Some(ToolChoice::None);
        }
        if choice == Some(ToolChoice::None) && !tools.is_empty() {
            self.gaps.warn("`tool_choice` was left out: Bedrock cannot forbid calls in a conversation that has some");
        }
        if let Some(answer) = self.answer_tool() {
            choice = Some(if tools.is_empty() { ToolChoice::Tool(ANSWER.to_owned()) } else { ToolChoice::Required });
            tools.push(answer);
        }
        if tools.is_empty() {
            return Ok(());
        }
        if request.parallel_tool_calls == Some(false) {
            self.gaps.warn("`parallel_tool_calls` was left out: Bedrock has no such switch");
        }
        if thinks && claude::demands(choice.as_ref()) {
            self.gaps.warn("`tool_choice` was set to `auto`: a model that thinks cannot be made to call a tool");
            choice = Some(ToolChoice::Auto);
        }
        let mut config = json!({ "tools": tools });
        match choice {
            None | Some(ToolChoice::None) => {}
            Some(ToolChoice::Auto | ToolChoice::Among { required: false, .. }) => {
                config["toolChoice"] = json!({ "auto": {} });
            }
            Some(ToolChoice::Required | ToolChoice::Among { required: true, .. }) => {
                config["toolChoice"] = json!({ "any": {} });
            }
            Some(ToolChoice::Tool(name)) => {
                let name = if self.namer.is_answer(&name) { &name } else { self.namer.sent(&name) };
                config["toolChoice"] = json!({ "tool": { "name": name } });
            }
        }
        body.insert("toolConfig".to_owned(), config);
        Ok(())
    }

    fn tool(&mut self, index: usize, tool: &Tool, tools: &mut Vec<Value>) -> Result<(), Unsupported> {
        match tool {
            Tool::Function { name, description, parameters, strict, cache } => {
                if *strict == Some(true) {
                    self.gaps.warn("`strict` was left out: Bedrock does not promise to follow a schema");
                }
                let mut schema = object_schema(parameters.as_ref());
                strip_keywords(&mut schema, &self.target.quirks.strip_schema_keywords);
                let mut spec = json!({ "name": self.namer.sent(name), "inputSchema": { "json": schema } });
                // An empty description is refused.
                if let Some(description) = description.as_deref().filter(|description| !description.is_empty()) {
                    spec["description"] = description.into();
                }
                tools.push(json!({ "toolSpec": spec }));
                tools.extend(self.cache_point(*cache));
            }
            Tool::Custom { name, description, format } => {
                self.namer.wrap_custom(name);
                let mut spec = json!({ "name": self.namer.sent(name), "inputSchema": { "json": input_schema() } });
                let description = input_description(description.as_deref(), format.as_ref());
                if !description.is_empty() {
                    spec["description"] = description.into();
                }
                tools.push(json!({ "toolSpec": spec }));
            }
            Tool::Hosted { kind, .. } => {
                self.gaps.missing(format!("tools[{index}]"), format!("`{kind}` runs only at its own provider"))?;
            }
        }
        Ok(())
    }

    fn answer_tool(&mut self) -> Option<Value> {
        let OutputFormat::Schema { description, schema, .. } = &self.request.output else { return None };
        let name = self.namer.stand_for_answer(ANSWER);
        let description = description.as_deref().filter(|description| !description.is_empty());
        let description = description.unwrap_or("Gives the final answer in the form that is asked for.");
        let schema = json!({ "json": object_schema(Some(schema)) });
        Some(json!({ "toolSpec": { "name": name, "description": description, "inputSchema": schema } }))
    }

    fn sampling(
        &mut self,
        body: &mut Map<String, Value>,
        more: &mut Map<String, Value>,
        thinks: bool,
    ) -> Result<(), Unsupported> {
        let request = self.request;
        let mut config = Map::new();
        if let Some(max_output) = request.max_output.or(self.target.max_output.filter(|_| thinks)) {
            config.insert("maxTokens".to_owned(), max_output.into());
        }
        let temperature = request.temperature.as_ref().and_then(serde_json::Number::as_f64);
        match &request.temperature {
            Some(_) if thinks && temperature != Some(1.0) => {
                self.gaps.warn("`temperature` was left out: a model that thinks takes none");
            }
            Some(_) if temperature.is_some_and(|value| value > 1.0) => {
                self.gaps.warn("`temperature` was lowered to 1, the highest this model takes");
                config.insert("temperature".to_owned(), 1.into());
            }
            Some(written) => {
                config.insert("temperature".to_owned(), written.clone().into());
            }
            None => {}
        }
        if let Some(top_p) = &request.top_p {
            let one = Generation::of(self.target.model).is_some_and(Generation::one_sampler);
            if one && config.contains_key("temperature") {
                self.gaps.warn("`top_p` was left out: this model does not take it beside `temperature`");
            } else if thinks && top_p.as_f64().is_some_and(|value| value < 0.95) {
                self.gaps.warn("`top_p` was left out: a model that thinks takes none below 0.95");
            } else {
                config.insert("topP".to_owned(), top_p.clone().into());
            }
        }
        if !request.stop.is_empty() {
            config.insert("stopSequences".to_owned(), request.stop.clone().into());
        }
        if let Some(top_k) = request.top_k {
            match self.family {
                Family::Claude if thinks => {
                    self.gaps.warn("`top_k` was left out: a model that thinks takes none");
                }
                Family::Claude => {
                    more.insert("top_k".to_owned(), top_k.into());
                }
                Family::Nova { .. } => {
                    more.insert("inferenceConfig".to_owned(), json!({ "topK": top_k }));
                }
                Family::GptOss | Family::Other => {
                    self.gaps.missing("top_k", "this model has no such setting")?;
                }
            }
        }
        if !config.is_empty() {
            body.insert("inferenceConfig".to_owned(), config.into());
        }
        claude::refuse_sampling(request, &mut self.gaps)
    }

    fn rest(&mut self, body: &mut Map<String, Value>) -> Result<(), Unsupported> {
        let request = self.request;
        if request.output == OutputFormat::Json {
            self.gaps.missing("response_format", "this model has no JSON mode; give it a JSON Schema")?;
        }
        if request.user.is_some() {
            self.gaps.warn("`user` was left out: Bedrock has no place for it");
        }
        if request.metadata.len() > LABELS_MAX {
            self.gaps.warn("`metadata` was left out: Bedrock keeps at most 16 labels");
        } else if !request.metadata.is_empty() {
            let labels: Map<String, Value> =
                request.metadata.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            body.insert("requestMetadata".to_owned(), labels.into());
        }
        match request.service_tier.as_deref() {
            None | Some("auto" | "standard_only") => {}
            Some(tier @ ("default" | "priority" | "flex")) => {
                body.insert("serviceTier".to_owned(), json!({ "type": tier }));
            }
            Some(tier) => self.gaps.missing("service_tier", format!("Bedrock has no class of service `{tier}`"))?,
        }
        if request.verbosity.as_deref().is_some_and(|verbosity| verbosity != "medium") {
            self.gaps.warn("`verbosity` was left out: this model has no such setting");
        }
        self.gaps.extra(request.extra.as_ref(), Dialect::Converse)?;
        Ok(())
    }
}

/// Tools the conversation has calls of.
fn called(request: &Request) -> BTreeSet<&str> {
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let names = parts.filter_map(|part| match part {
        Part::ToolCall(call) => Some(call.name.as_str()),
        _ => None,
    });
    names.collect()
}

fn document_format(mime: &str) -> Option<&'static str> {
    Some(match mime {
        "application/pdf" => "pdf",
        "text/csv" => "csv",
        "application/msword" => "doc",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => "docx",
        "application/vnd.ms-excel" => "xls",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => "xlsx",
        "text/html" => "html",
        "text/plain" | "application/json" => "txt",
        "text/markdown" => "md",
        _ => return None,
    })
}

/// Bedrock takes few characters in a name, and each name once.
fn document_name(name: Option<&str>, number: usize) -> String {
    let taken = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '(' | ')' | '[' | ']');
    let name = name.map_or("document", |name| name.rsplit_once('.').map_or(name, |(stem, _)| stem));
    let name: String = name.chars().take(100).map(|letter| if taken(letter) { letter } else { '-' }).collect();
    format!("{name}-{number}")
}
