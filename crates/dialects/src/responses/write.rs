//! A request to a provider.

use serde_json::{Map, Number, Value, json};

use super::write_input;
use crate::{
    Dialect,
    chat::write::{hint, put_some, service_tier},
    ir::{Effort, OutputFormat, Part, Request, Tool, ToolChoice, Unsupported},
    translate::{Encoded, NameRule, Namer, Target, gaps::Gaps, strip_keywords},
};

pub(super) fn request(request: &Request, target: &Target<'_>) -> Result<Encoded, Unsupported> {
    let mut writer = Writer {
        request,
        target,
        gaps: Gaps::new(target),
        namer: Namer::new(NameRule::PLAIN, request),
        body: Map::new(),
    };
    writer.put("model", target.model);
    if let [Part::Text { text, .. }] = request.system.as_slice() {
        writer.put("instructions", text.as_str());
    }
    let input = write_input::write(request, &writer.namer, &mut writer.gaps)?;
    writer.put("input", input);
    writer.tools()?;
    writer.sampling()?;
    writer.answer_form();
    writer.hints()?;
    // Whether a provider may keep answers is the account's matter, not each request's.
    writer.put("store", false);
    for (name, value) in writer.gaps.extra(request.extra.as_ref(), Dialect::Responses)? {
        writer.body.insert(name.to_owned(), value.clone());
    }
    for param in &target.quirks.drop_params {
        if writer.body.shift_remove(param).is_some() {
            writer.gaps.warn(format!("`{param}` was left out: this model refuses it"));
        }
    }
    Ok(Encoded {
        body: Value::Object(writer.body).to_string().into_bytes(),
        warnings: writer.gaps.into_warnings(),
        names: writer.namer.into_names(),
    })
}

struct Writer<'a> {
    request: &'a Request,
    target: &'a Target<'a>,
    gaps: Gaps,
    namer: Namer,
    body: Map<String, Value>,
}

impl Writer<'_> {
    fn put(&mut self, name: &str, value: impl Into<Value>) {
        self.body.insert(name.to_owned(), value.into());
    }

    fn tools(&mut self) -> Result<(), Unsupported> {
        let mut tools = Vec::with_capacity(self.request.tools.len());
        for (index, tool) in self.request.tools.iter().enumerate() {
            match tool {
                Tool::Hosted { dialect, kind, .. } if *dialect != Dialect::Responses => {
                    let why =
                        "the provider of this model does not run that tool; give the agent one of its own, or none";
                    self.gaps.missing(format_args!("tools[{index}] ({kind})"), why)?;
                }
                _ => {
                    let mut tool = tool_value(tool, |name| self.namer.sent(name).to_owned());
                    if let Some(parameters) = tool.get_mut("parameters") {
                        strip_keywords(parameters, &self.target.quirks.strip_schema_keywords);
                    }
                    tools.push(tool);
                }
            }
        }
        if tools.is_empty() {
            return Ok(());
        }
        self.put("tools", tools);
        if let Some(choice) = &self.request.tool_choice {
            let choice = choice_value(choice, self.request, |name| self.namer.sent(name).to_owned());
            self.put("tool_choice", choice);
        }
        put_some(&mut self.body, "parallel_tool_calls", self.request.parallel_tool_calls);
        Ok(())
    }

    fn sampling(&mut self) -> Result<(), Unsupported> {
        let request = self.request;
        put_some(&mut self.body, "max_output_tokens", request.max_output);
        put_some(&mut self.body, "temperature", request.temperature.clone());
        put_some(&mut self.body, "top_p", request.top_p.clone());
        let why = "this model's API has no such setting";
        self.gaps.missing_if(request.top_k.is_some(), "top_k", why)?;
        self.gaps.missing_if(!request.stop.is_empty(), "stop", why)?;
        self.gaps.missing_if(request.seed.is_some(), "seed", why)?;
        self.gaps.missing_if(says(request.frequency_penalty.as_ref()), "frequency_penalty", why)?;
        self.gaps.missing_if(says(request.presence_penalty.as_ref()), "presence_penalty", why)?;
        self.gaps.missing_if(request.choices.is_some_and(|choices| choices > 1), "n", why)?;
        let streamed = request.logprobs.is_some() && request.stream;
        self.gaps.missing_if(streamed, "logprobs", "they are not translated in a stream; ask for a whole answer")?;
        if request.stream {
            self.put("stream", true);
        }
        Ok(())
    }

    fn answer_form(&mut self) {
        let mut include = Vec::new();
        if let Some(reasoning) = &self.request.reasoning {
            let effort = reasoning.effort.or(reasoning.budget.map(Effort::of_budget));
            // Models that do not think refuse to be asked for it.
            if effort != Some(Effort::None) {
                include.push("reasoning.encrypted_content");
            }
            let mut written = Map::new();
            put_some(&mut written, "effort", effort.map(|effort| effort.min(Effort::XHigh).as_str()));
            put_some(&mut written, "summary", reasoning.summary.clone());
            if !written.is_empty() {
                self.put("reasoning", written);
            }
        }
        if let Some(likeliest) = self.request.logprobs.filter(|_| !self.request.stream) {
            include.push("message.output_text.logprobs");
            self.put("top_logprobs", likeliest);
        }
        if !include.is_empty() {
            self.put("include", include);
        }
        let text = text_value(self.request, &self.target.quirks.strip_schema_keywords);
        if !text.is_empty() {
            self.put("text", text);
        }
    }

    /// What only makes the answer cheaper, earlier or easier to attribute.
    fn hints(&mut self) -> Result<(), Unsupported> {
        let request = self.request;
        put_some(&mut self.body, "user", request.user.as_deref().map(hint));
        put_some(&mut self.body, "prompt_cache_key", request.cache_key.as_deref().map(hint));
        put_some(&mut self.body, "service_tier", service_tier(request, &mut self.gaps)?);
        if !request.metadata.is_empty() {
            let labels = request.metadata.iter().map(|(name, value)| (name.clone(), value.clone().into()));
            self.put("metadata", labels.collect::<Map<_, _>>());
        }
        Ok(())
    }
}

/// Whether a penalty does anything.
fn says(penalty: Option<&Number>) -> bool {
    penalty.and_then(Number::as_f64).is_some_and(|penalty| penalty != 0.0)
}

/// A tool's definition, under the name `name` gives it.
pub(super) fn tool_value(tool: &Tool, name: impl Fn(&str) -> String) -> Value {
    let mut written = Map::new();
    match tool {
        Tool::Function { name: of, description, parameters, strict, .. } => {
            written.insert("type".to_owned(), "function".into());
            written.insert("name".to_owned(), name(of).into());
            put_some(&mut written, "description", description.clone());
            let nothing = || json!({"type": "object", "properties": {}});
            written.insert("parameters".to_owned(), parameters.clone().unwrap_or_else(nothing));
            // Here a schema is strict unless it is said not to be; elsewhere it is the other way round.
            written.insert("strict".to_owned(), strict.unwrap_or(false).into());
        }
        Tool::Custom { name: of, description, format } => {
            written.insert("type".to_owned(), "custom".into());
            written.insert("name".to_owned(), name(of).into());
            put_some(&mut written, "description", description.clone());
            put_some(&mut written, "format", format.clone());
        }
        Tool::Hosted { definition, .. } => return definition.clone(),
    }
    Value::Object(written)
}

/// Which tools have to be called.
pub(super) fn choice_value(choice: &ToolChoice, request: &Request, name: impl Fn(&str) -> String) -> Value {
    let tool = |of: &String| {
        let kind = if request.is_custom(of) { "custom" } else { "function" };
        json!({"type": kind, "name": name(of)})
    };
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Tool(of) => tool(of),
        ToolChoice::Among { names, required } => {
            let tools: Vec<Value> = names.iter().map(tool).collect();
            json!({"type": "allowed_tools", "mode": if *required { "required" } else { "auto" }, "tools": tools})
        }
    }
}

/// The form of the answer.
pub(super) fn text_value(request: &Request, stripped: &[String]) -> Map<String, Value> {
    let mut text = Map::new();
    match &request.output {
        OutputFormat::Text => {}
        OutputFormat::Json => {
            text.insert("format".to_owned(), json!({"type": "json_object"}));
        }
        OutputFormat::Schema { name, description, schema, strict } => {
            let mut format = Map::new();
            format.insert("type".to_owned(), "json_schema".into());
            format.insert("name".to_owned(), name.as_deref().unwrap_or("answer").into());
            put_some(&mut format, "description", description.clone());
            let mut schema = schema.clone();
            strip_keywords(&mut schema, stripped);
            format.insert("schema".to_owned(), schema);
            put_some(&mut format, "strict", *strict);
            text.insert("format".to_owned(), Value::Object(format));
        }
    }
    put_some(&mut text, "verbosity", request.verbosity.clone());
    text
}
