use serde_json::{Map, Value, json};

use super::thoughts;
use crate::{
    Dialect,
    ir::{Effort, Media, OutputFormat, Part, Reasoning, Request, Role, Tool, ToolCall, ToolChoice, Unsupported},
    translate::{
        Encoded, NameRule, Namer, Target,
        gaps::Gaps,
        input_description, input_schema, strip_keywords,
        turns::{Laid, arguments_object, joined_text},
        wrap_input,
    },
};

const NAMES: NameRule = NameRule { also: "_-.", most: 64, letter_first: true };
const STOPS_MAX: usize = 5;

pub(super) fn encode(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut writer = Writer {
        request,
        target,
        namer: Namer::new(NAMES, request),
        gaps: Gaps::new(target),
        version: Version::of(target.model),
    };
    let body = writer.body()?;
    Ok(Encoded {
        body: Value::Object(body).to_string().into_bytes(),
        warnings: writer.gaps.into_warnings(),
        names: writer.namer.into_names(),
    })
}

/// What a Gemini model can do, read off its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    /// Does not think.
    Old,
    /// Thinks within a budget. So does whatever has no version in its name.
    Budget {
        /// Cannot be told not to.
        always: bool,
    },
    /// Thinks as much as a word says, and demands its signatures back.
    Level {
        /// Knows fewer words.
        pro: bool,
    },
}

impl Version {
    fn of(model: &str) -> Self {
        let version = model.rsplit('/').next().and_then(|name| name.strip_prefix("gemini-"));
        let mut numbers = version.unwrap_or_default().split(['-', '.']).map_while(|word| word.parse::<u32>().ok());
        let pro = model.contains("pro");
        match (numbers.next(), numbers.next().unwrap_or_default()) {
            (Some(3..), _) => Version::Level { pro },
            (Some(2), 5..) | (None, _) => Version::Budget { always: pro },
            _ => Version::Old,
        }
    }
}

struct Writer<'r> {
    request: &'r Request,
    target: &'r Target<'r>,
    namer: Namer,
    gaps: Gaps,
    version: Version,
}

impl Writer<'_> {
    fn body(&mut self) -> Result<Map<String, Value>, Unsupported> {
        let request = self.request;
        let mut body = Map::new();
        let laid = Laid::of(request, &mut self.gaps);
        let system = joined_text(laid.system.iter().copied());
        if !system.is_empty() {
            body.insert("systemInstruction".to_owned(), json!({ "parts": [{ "text": system }] }));
        }
        let mut contents: Vec<Value> = Vec::with_capacity(laid.turns.len());
        let mut called: Vec<&str> = Vec::new();
        for (role, parts) in &laid.turns {
            let mut parts = parts.clone();
            // Google joins results with calls by their order and name; not all of its servers take ids.
            let place = |part: &&Part| match part {
                Part::ToolResult { call_id, .. } => called.iter().position(|id| id == call_id).unwrap_or(called.len()),
                _ => usize::MAX,
            };
            if *role == Role::User {
                parts.sort_by_key(place);
            }
            let written = self.parts(&parts)?;
            called = parts
                .iter()
                .filter_map(|part| match part {
                    Part::ToolCall(call) => Some(call.id.as_str()),
                    _ => None,
                })
                .collect();
            if !written.is_empty() {
                let role = if *role == Role::Assistant { "model" } else { "user" };
                contents.push(json!({ "role": role, "parts": written }));
            }
        }
        body.insert("contents".to_owned(), contents.into());
        self.tools(&mut body)?;
        let generation = self.generation()?;
        if !generation.is_empty() {
            body.insert("generationConfig".to_owned(), generation.into());
        }
        self.rest(&mut body)?;
        Ok(body)
    }

    fn parts(&mut self, parts: &[&Part]) -> Result<Vec<Value>, Unsupported> {
        let mut written: Vec<Value> = Vec::with_capacity(parts.len());
        let mut results = 0;
        let mut unsigned = matches!(self.version, Version::Level { .. });
        for part in parts {
            match part {
                Part::Text { text, .. } | Part::Refusal(text) => {
                    if !text.is_empty() {
                        written.push(json!({ "text": text }));
                    }
                }
                Part::Image { source, .. } => written.extend(self.media(source, "image")?),
                Part::Document { source: Media::Text(text), .. } => written.push(json!({ "text": text })),
                Part::Document { source, .. } => written.extend(self.media(source, "document")?),
                Part::Audio { source } => written.extend(self.media(source, "audio")?),
                Part::Reasoning(thought) => match &thought.signature {
                    Some(own) if own.dialect == Dialect::Gemini => {
                        let on_text = own.item_id.as_deref() == Some(thoughts::ON_TEXT);
                        let before = written.last_mut().filter(|part| on_text && part.get("text").is_some());
                        match before {
                            Some(text) => text["thoughtSignature"] = own.value.as_str().into(),
                            None if thought.text.is_empty() => {
                                written.push(json!({ "text": "", "thoughtSignature": own.value }));
                            }
                            None => written
                                .push(json!({ "text": thought.text, "thought": true, "thoughtSignature": own.value })),
                        }
                    }
                    _ => self.gaps.warn("thinking of another model was left out of the conversation"),
                },
                Part::ToolCall(call) => {
                    let mut part = self.call(call);
                    let own = call.signature.as_ref().filter(|own| own.dialect == Dialect::Gemini);
                    // Google signs the first call of several alone, and wants that one signed.
                    match own {
                        Some(own) => part["thoughtSignature"] = own.value.as_str().into(),
                        None if unsigned => part["thoughtSignature"] = thoughts::NO_SIGNATURE.into(),
                        None => {}
                    }
                    unsigned = false;
                    written.push(part);
                }
                Part::ToolResult { name, parts, is_error, .. } => {
                    let (response, media) = self.result(name.as_deref().unwrap_or_default(), parts, *is_error)?;
                    written.insert(results, response);
                    results += 1;
                    written.extend(media);
                }
            }
        }
        Ok(written)
    }

    fn call(&mut self, call: &ToolCall) -> Value {
        let args = if self.request.is_custom(&call.name) {
            self.namer.wrap_custom(&call.name);
            arguments_object(&wrap_input(&call.arguments), &mut self.gaps)
        } else {
            arguments_object(&call.arguments, &mut self.gaps)
        };
        json!({ "functionCall": { "name": self.namer.sent(&call.name), "args": args } })
    }

    /// A result, and the media that has to stand behind all results where the model takes none inside.
    fn result(
        &mut self,
        name: &str,
        parts: &[Part],
        is_error: Option<bool>,
    ) -> Result<(Value, Vec<Value>), Unsupported> {
        let text = joined_text(parts);
        let response = match serde_json::from_str(&text) {
            _ if is_error == Some(true) => json!({ "error": text }),
            Ok(Value::Object(object)) => Value::Object(object),
            _ => json!({ "result": text }),
        };
        let media: Vec<&Part> =
            parts.iter().filter(|part| !matches!(part, Part::Text { .. } | Part::Refusal(_))).collect();
        let media = self.parts(&media)?;
        let mut result = json!({ "functionResponse": { "name": self.namer.sent(name), "response": response } });
        if matches!(self.version, Version::Level { .. }) && !media.is_empty() {
            result["functionResponse"]["parts"] = media.into();
            return Ok((result, Vec::new()));
        }
        Ok((result, media))
    }

    fn media(&mut self, source: &Media, kind: &str) -> Result<Option<Value>, Unsupported> {
        Ok(match source {
            Media::Inline { mime, base64 } => Some(json!({ "inlineData": { "mimeType": mime, "data": base64 } })),
            Media::Url { mime, url } => {
                let mut file = json!({ "fileUri": url });
                if let Some(mime) = mime.as_deref().or_else(|| mime_by_ending(url)) {
                    file["mimeType"] = mime.into();
                }
                Some(json!({ "fileData": file }))
            }
            Media::File { dialect: Dialect::Gemini, id } => Some(json!({ "fileData": { "fileUri": id } })),
            Media::File { .. } => {
                self.gaps.missing("file_id", format!("the {kind} lies in another provider's store; send its bytes"))?;
                None
            }
            Media::Text(text) => Some(json!({ "text": text })),
        })
    }

    fn tools(&mut self, body: &mut Map<String, Value>) -> Result<(), Unsupported> {
        let request = self.request;
        let mut functions: Vec<Value> = Vec::new();
        let mut tools: Vec<Value> = Vec::new();
        for (index, tool) in request.tools.iter().enumerate() {
            match tool {
                Tool::Function { name, description, parameters, strict, .. } => {
                    if *strict == Some(true) {
                        self.gaps.warn("`strict` was left out: this model does not promise to follow a schema");
                    }
                    functions.push(self.function(name, description.as_deref(), parameters.clone()));
                }
                Tool::Custom { name, description, format } => {
                    self.namer.wrap_custom(name);
                    let description = input_description(description.as_deref(), format.as_ref());
                    functions.push(self.function(name, Some(&description), Some(input_schema())));
                }
                Tool::Hosted { dialect: Dialect::Gemini, definition, .. } => tools.push(definition.clone()),
                Tool::Hosted { kind, .. } => {
                    self.gaps.missing(format!("tools[{index}]"), format!("`{kind}` runs only at its own provider"))?;
                }
            }
        }
        if request.parallel_tool_calls == Some(false) && !functions.is_empty() {
            self.gaps.warn("`parallel_tool_calls` was left out: this model has no such switch");
        }
        let sent = |names: &[String]| names.iter().map(|name| self.namer.sent(name).to_owned()).collect::<Vec<_>>();
        let calling = match &request.tool_choice {
            None => None,
            Some(ToolChoice::Auto) => Some(json!({ "mode": "AUTO" })),
            Some(ToolChoice::Required) => Some(json!({ "mode": "ANY" })),
            Some(ToolChoice::None) => Some(json!({ "mode": "NONE" })),
            Some(ToolChoice::Tool(name)) => {
                Some(json!({ "mode": "ANY", "allowedFunctionNames": [self.namer.sent(name)] }))
            }
            Some(ToolChoice::Among { names, required }) => {
                let mode = if *required { "ANY" } else { "AUTO" };
                Some(json!({ "mode": mode, "allowedFunctionNames": sent(names) }))
            }
        };
        if let Some(calling) = calling.filter(|_| !functions.is_empty()) {
            body.insert("toolConfig".to_owned(), json!({ "functionCallingConfig": calling }));
        }
        if !functions.is_empty() {
            tools.insert(0, json!({ "functionDeclarations": functions }));
        }
        if !tools.is_empty() {
            body.insert("tools".to_owned(), tools.into());
        }
        Ok(())
    }

    fn function(&self, name: &str, description: Option<&str>, parameters: Option<Value>) -> Value {
        let mut function = json!({ "name": self.namer.sent(name) });
        if let Some(description) = description {
            function["description"] = description.into();
        }
        if let Some(mut schema) = parameters {
            strip_keywords(&mut schema, &["$schema"]);
            strip_keywords(&mut schema, &self.target.quirks.strip_schema_keywords);
            function["parametersJsonSchema"] = schema;
        }
        function
    }

    fn generation(&mut self) -> Result<Map<String, Value>, Unsupported> {
        let request = self.request;
        let mut config = Map::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                config.insert(name.to_owned(), value);
            }
        };
        put("temperature", request.temperature.clone().map(Value::from));
        put("topP", request.top_p.clone().map(Value::from));
        put("topK", request.top_k.map(Value::from));
        put("maxOutputTokens", request.max_output.map(Value::from));
        put("seed", request.seed.map(Value::from));
        put("presencePenalty", request.presence_penalty.clone().map(Value::from));
        put("frequencyPenalty", request.frequency_penalty.clone().map(Value::from));
        put("candidateCount", request.choices.filter(|choices| *choices != 1).map(Value::from));
        if request.stop.len() > STOPS_MAX {
            self.gaps.missing("stop", "this model takes at most five stop sequences")?;
        }
        let stops: Vec<&String> = request.stop.iter().take(STOPS_MAX).collect();
        put("stopSequences", (!stops.is_empty()).then(|| json!(stops)));
        match &request.output {
            OutputFormat::Text => {}
            OutputFormat::Json => put("responseMimeType", Some("application/json".into())),
            OutputFormat::Schema { schema, .. } => {
                let mut schema = schema.clone();
                strip_keywords(&mut schema, &["$schema"]);
                put("responseMimeType", Some("application/json".into()));
                put("responseJsonSchema", Some(schema));
            }
        }
        let thinking = request.reasoning.as_ref().and_then(|wanted| self.thinking(wanted));
        put("thinkingConfig", thinking);
        let why = "likelihoods are not translated for this model";
        self.gaps.missing_if(request.logprobs.is_some(), "logprobs", why)?;
        Ok(config)
    }

    fn thinking(&mut self, wanted: &Reasoning) -> Option<Value> {
        let mut config = Map::new();
        match self.version {
            Version::Old => {
                if wanted.budget != Some(0) && wanted.effort != Some(Effort::None) {
                    self.gaps.warn("`reasoning` was left out: this model does not think");
                }
                return None;
            }
            Version::Level { pro } => {
                let word = wanted.effort.or_else(|| wanted.budget.map(Effort::of_budget));
                let level = word.map(|word| match word {
                    Effort::None | Effort::Minimal | Effort::Low if pro => "low",
                    Effort::None | Effort::Minimal => "minimal",
                    Effort::Low => "low",
                    // The first model of this kind has no word between.
                    Effort::Medium if self.target.model.contains("gemini-3-pro") => "high",
                    Effort::Medium => "medium",
                    Effort::High | Effort::XHigh | Effort::Max => "high",
                });
                if word == Some(Effort::None) {
                    self.gaps.warn("thinking was set to the least: this model cannot be told not to think");
                }
                if let Some(level) = level {
                    config.insert("thinkingLevel".to_owned(), level.into());
                }
            }
            Version::Budget { always } => {
                /// The least a model thinks that always does.
                const LEAST: u64 = 128;
                let budget = wanted.budget.or_else(|| wanted.effort.map(Effort::budget));
                let budget: Option<Value> = match budget {
                    Some(0) if always => {
                        self.gaps.warn("thinking was set to the least: this model cannot be told not to think");
                        Some(LEAST.into())
                    }
                    Some(budget) => Some(budget.into()),
                    None => wanted.dynamic.then(|| (-1).into()),
                };
                if let Some(budget) = budget {
                    config.insert("thinkingBudget".to_owned(), budget);
                }
            }
        }
        if wanted.summary.is_some() {
            config.insert("includeThoughts".to_owned(), true.into());
        }
        (!config.is_empty()).then(|| config.into())
    }

    fn rest(&mut self, body: &mut Map<String, Value>) -> Result<(), Unsupported> {
        let request = self.request;
        if request.user.is_some() {
            self.gaps.warn("`user` was left out: this model's API has no place for it");
        }
        if !request.metadata.is_empty() {
            self.gaps.warn("`metadata` was left out: this model's API keeps no labels");
        }
        if let Some(tier) = request.service_tier.as_deref().filter(|tier| !matches!(*tier, "auto" | "default")) {
            self.gaps.missing("service_tier", format!("Google has no class of service `{tier}`"))?;
        }
        if request.verbosity.as_deref().is_some_and(|verbosity| verbosity != "medium") {
            self.gaps.warn("`verbosity` was left out: this model has no such setting");
        }
        for (name, value) in self.gaps.extra(request.extra.as_ref(), Dialect::Gemini)? {
            body.insert(name.to_owned(), value.clone());
        }
        Ok(())
    }
}

/// Google wants to know what a file is; a URL often says it.
fn mime_by_ending(url: &str) -> Option<&'static str> {
    let path = url.split(['?', '#']).next()?;
    let ending = path.rsplit('.').next()?.to_ascii_lowercase();
    Some(match ending.as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "gif" => "image/gif",
        "pdf" => "application/pdf",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        "txt" => "text/plain",
        _ => return None,
    })
}
