//! A request to a provider, with its accent.

use serde_json::{Map, Value, json};

use super::write_messages::Messages;
use crate::{
    Dialect, Quirks,
    ir::{Effort, OutputFormat, Request, Tool, ToolChoice, Unsupported},
    translate::{
        Encoded, NameRule, Namer, Target, gaps::Gaps, input_description, input_schema, short_hash, strip_keywords,
    },
};

/// What OpenAI takes at most as a name of a user or of a cache, in bytes.
const HINT_MAX: usize = 64;

pub(super) fn request(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut writer = Writer {
        quirks: target.quirks,
        request,
        gaps: Gaps::new(target),
        namer: Namer::new(NameRule::PLAIN, request),
        body: Map::new(),
    };
    writer.put("model", target.model);
    let think_tags = writer.quirks.split_think_tags;
    // Tools first: whether a custom tool is wrapped decides how its calls are written.
    writer.tools()?;
    writer.answer_format()?;
    let messages = Messages::new(request, writer.quirks, &writer.namer, &mut writer.gaps).write()?;
    writer.body.shift_insert(1, "messages".to_owned(), messages);
    writer.sampling()?;
    writer.reasoning();
    writer.hints()?;
    for (name, value) in writer.gaps.extra(request.extra.as_ref(), Dialect::Chat)? {
        writer.body.insert(name.to_owned(), value.clone());
    }
    writer.refused_params();

    let mut names = writer.namer.into_names();
    names.think_tags = think_tags;
    Ok(Encoded {
        body: Value::Object(writer.body).to_string().into_bytes(),
        warnings: writer.gaps.into_warnings(),
        names,
    })
}

struct Writer<'a> {
    quirks: &'a Quirks,
    request: &'a Request,
    gaps: Gaps,
    namer: Namer,
    body: Map<String, Value>,
}

impl Writer<'_> {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.body.insert(name.to_owned(), value.into());
    }

    fn put_some(&mut self, name: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    fn tools(&mut self) -> Result<(), Unsupported> {
        let request = self.request;
        let mut tools = Vec::with_capacity(request.tools.len());
        let allowed = match &request.tool_choice {
            Some(ToolChoice::Among { names, .. }) if !self.quirks.openai_additions => Some(names),
            _ => None,
        };
        for (index, tool) in request.tools.iter().enumerate() {
            let name = match tool {
                Tool::Function { name, .. } | Tool::Custom { name, .. } => name,
                Tool::Hosted { dialect: Dialect::Chat, definition, .. } => {
                    tools.push(definition.clone());
                    continue;
                }
                Tool::Hosted { kind, .. } => {
                    let why =
                        "the provider of this model does not run that tool; give the agent a tool of its own, or none";
                    self.gaps.missing(format_args!("tools[{index}] ({kind})"), why)?;
                    continue;
                }
            };
            if allowed.is_none_or(|allowed| allowed.contains(name)) {
                tools.push(self.tool(name, tool));
            }
        }
        if tools.is_empty() {
            return Ok(());
        }
        self.put("tools", tools);
        if let Some(choice) = &request.tool_choice {
            let choice = self.tool_choice(choice)?;
            self.put("tool_choice", choice);
        }
        match request.parallel_tool_calls {
            Some(parallel) if self.quirks.parallel_tool_calls => self.put("parallel_tool_calls", parallel),
            Some(false) => {
                self.gaps.warn("`parallel_tool_calls` was left out: this model may call several tools at once");
            }
            _ => {}
        }
        Ok(())
    }

    fn tool(&mut self, name: &str, tool: &Tool) -> Value {
        let sent = self.namer.sent(name).to_owned();
        match tool {
            Tool::Custom { description, format, .. } if self.quirks.openai_additions => {
                let mut custom = Map::from_iter([("name".to_owned(), sent.into())]);
                put_some(&mut custom, "description", description.clone());
                put_some(&mut custom, "format", format.clone().map(nested_format));
                json!({"type": "custom", "custom": custom})
            }
            Tool::Custom { description, format, .. } => {
                self.namer.wrap_custom(name);
                let description = input_description(description.as_deref(), format.as_ref());
                json!({"type": "function", "function": {"name": sent, "description": description, "parameters": input_schema()}})
            }
            Tool::Function { description, parameters, strict, .. } => {
                let mut function = Map::from_iter([("name".to_owned(), sent.into())]);
                put_some(&mut function, "description", description.clone());
                let parameters = parameters.clone().unwrap_or_else(|| json!({"type": "object", "properties": {}}));
                function.insert("parameters".to_owned(), self.schema(parameters));
                if !self.drops("strict") {
                    put_some(&mut function, "strict", *strict);
                }
                json!({"type": "function", "function": function})
            }
            Tool::Hosted { definition, .. } => definition.clone(),
        }
    }

    fn tool_choice(&mut self, choice: &ToolChoice) -> Result<Value, Unsupported> {
        let demand = self.quirks.tool_choice_required.as_deref();
        if demand.is_none()
            && matches!(choice, ToolChoice::Required | ToolChoice::Tool(_) | ToolChoice::Among { required: true, .. })
        {
            self.gaps.missing("tool_choice", "this model cannot be made to call a tool; use `auto`")?;
            return Ok("auto".into());
        }
        Ok(match choice {
            ToolChoice::None => "none".into(),
            ToolChoice::Tool(name) => self.named(name),
            ToolChoice::Among { names, required } if self.quirks.openai_additions => {
                let tools: Vec<Value> = names.iter().map(|name| self.named(name)).collect();
                let mode = if *required { "required" } else { "auto" };
                json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
            }
            // Where lists are not known, the tools were filtered instead.
            ToolChoice::Required | ToolChoice::Among { required: true, .. } => demand.unwrap_or("auto").into(),
            ToolChoice::Auto | ToolChoice::Among { required: false, .. } => "auto".into(),
        })
    }

    /// A tool, as a choice names it.
    fn named(&self, name: &str) -> Value {
        let kind = if self.quirks.openai_additions && self.request.is_custom(name) { "custom" } else { "function" };
        json!({"type": kind, kind: {"name": self.namer.sent(name)}})
    }

    fn answer_format(&mut self) -> Result<(), Unsupported> {
        match &self.request.output {
            OutputFormat::Text => Ok(()),
            OutputFormat::Json => {
                self.put("response_format", json!({"type": "json_object"}));
                Ok(())
            }
            OutputFormat::Schema { name, description, schema, strict } if self.quirks.json_schema => {
                let mut format = Map::new();
                format.insert("name".to_owned(), name.as_deref().unwrap_or("answer").into());
                put_some(&mut format, "description", description.clone());
                format.insert("schema".to_owned(), self.schema(schema.clone()));
                put_some(&mut format, "strict", *strict);
                self.put("response_format", json!({"type": "json_schema", "json_schema": format}));
                Ok(())
            }
            OutputFormat::Schema { name, description, schema, .. } => {
                let why = "this model follows a schema only through a tool, and the request has tools of its own";
                if self.body.contains_key("tools") || self.quirks.tool_choice_required.is_none() {
                    return self.gaps.missing("response_format", why);
                }
                let stand_in = self.namer.stand_for_answer(name.as_deref().unwrap_or("answer"));
                let description = description.as_deref().unwrap_or("Gives the answer.");
                let parameters = self.schema(schema.clone());
                self.put(
                    "tools",
                    json!([{"type": "function", "function": {"name": stand_in, "description": description, "parameters": parameters}}]),
                );
                self.put("tool_choice", json!({"type": "function", "function": {"name": stand_in}}));
                self.gaps
                    .warn("the answer's schema is sent as a tool, because this model knows no schemas for answers");
                Ok(())
            }
        }
    }

    fn schema(&self, mut schema: Value) -> Value {
        strip_keywords(&mut schema, &self.quirks.strip_schema_keywords);
        schema
    }

    fn sampling(&mut self) -> Result<(), Unsupported> {
        let request = self.request;
        let quirks = self.quirks;
        self.put_some(&quirks.max_tokens_field, request.max_output);
        self.put_some("temperature", request.temperature.clone());
        self.put_some("top_p", request.top_p.clone());
        self.gaps.missing_if(request.top_k.is_some(), "top_k", "this model has no such setting")?;
        if request.stop.len() > 4 {
            self.gaps.missing("stop", "at most 4 stop sequences can be sent to this model")?;
        }
        if !request.stop.is_empty() {
            self.put("stop", request.stop.iter().take(4).cloned().collect::<Vec<_>>());
        }
        self.put_some(&quirks.seed_field, request.seed);
        self.put_some("frequency_penalty", request.frequency_penalty.clone());
        self.put_some("presence_penalty", request.presence_penalty.clone());
        let stream = "it is not translated in a stream; ask for a whole answer";
        let streamed = request.stream.then_some(());
        self.gaps.missing_if(streamed.and(request.logprobs).is_some(), "logprobs", stream)?;
        self.gaps.missing_if(streamed.and(request.choices).is_some_and(|choices| choices > 1), "n", stream)?;
        if let Some(likeliest) = request.logprobs {
            self.put("logprobs", true);
            if likeliest > 0 {
                self.put("top_logprobs", likeliest);
            }
        }
        self.put_some("n", request.choices);
        if request.stream {
            self.put("stream", true);
            if quirks.stream_usage {
                self.put("stream_options", json!({"include_usage": true}));
            }
        }
        Ok(())
    }

    fn reasoning(&mut self) {
        let Some(reasoning) = &self.request.reasoning else { return };
        let Some(effort) = reasoning.effort.or(reasoning.budget.map(Effort::of_budget)) else { return };
        if !self.quirks.reasoning_effort {
            self.gaps.warn("the amount of thinking was left out: this model has no such setting");
            return;
        }
        // The words end at `xhigh` here.
        self.put("reasoning_effort", effort.min(Effort::XHigh).as_str());
    }

    /// What only makes the answer cheaper, earlier or easier to attribute.
    fn hints(&mut self) -> Result<(), Unsupported> {
        let request = self.request;
        self.put_some("user", request.user.as_deref().map(hint));
        if self.quirks.openai_additions {
            self.put_some("verbosity", request.verbosity.clone());
            self.put_some("prompt_cache_key", request.cache_key.as_deref().map(hint));
        } else if request.verbosity.as_deref().is_some_and(|verbosity| verbosity != "medium") {
            self.gaps.warn("`verbosity` was left out: this model has no such setting");
        }
        let tier = service_tier(request, &mut self.gaps)?;
        self.put_some("service_tier", tier);
        // OpenAI takes labels only with answers it stores.
        let stored = request
            .extra
            .iter()
            .flat_map(|(_, fields)| fields)
            .any(|field| *field == ("store".to_owned(), true.into()));
        if stored && !request.metadata.is_empty() {
            let labels = request.metadata.iter().map(|(name, value)| (name.clone(), value.clone().into()));
            self.put("metadata", labels.collect::<Map<_, _>>());
        }
        Ok(())
    }

    fn drops(&self, param: &str) -> bool {
        self.quirks.drop_params.iter().any(|dropped| dropped == param)
    }

    fn refused_params(&mut self) {
        for param in &self.quirks.drop_params {
            if self.body.shift_remove(param).is_some() {
                self.gaps.warn(format!("`{param}` was left out: this model refuses it"));
            }
        }
    }
}

/// A name for a user or a cache; one that is too long by its hash, which serves as well.
pub(crate) fn hint(name: &str) -> String {
    if name.len() <= HINT_MAX { name.to_owned() } else { short_hash(name) }
}

/// Writes what is there.
pub(crate) fn put_some(object: &mut Map<String, Value>, name: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        object.insert(name.to_owned(), value.into());
    }
}

/// The class of service, in OpenAI's words.
pub(crate) fn service_tier<'r>(request: &'r Request, gaps: &mut Gaps) -> Result<Option<&'r str>, Unsupported> {
    match request.service_tier.as_deref() {
        Some("standard_only") => Ok(Some("default")),
        None | Some("auto" | "default" | "flex" | "priority" | "scale") => Ok(request.service_tier.as_deref()),
        Some(_) => {
            gaps.missing("service_tier", "this model has no such class of service")?;
            Ok(None)
        }
    }
}

/// The other way round of what reading a custom tool's format does.
fn nested_format(format: Value) -> Value {
    match format {
        Value::Object(mut flat) if flat.get("type").and_then(Value::as_str) == Some("grammar") => {
            flat.shift_remove("type");
            json!({"type": "grammar", "grammar": flat})
        }
        other => other,
    }
}
