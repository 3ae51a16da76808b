//! An agent's request.

use serde_json::{Value, json};

use super::messages;
use crate::{
    Dialect,
    ir::{CacheMark, Effort, OutputFormat, Reasoning, Request, Tool, ToolChoice},
    translate::{
        BadRequest, Carrier,
        fields::{Object, bad},
        settle_history,
    },
};

pub(super) fn request(body: &[u8], carrier: &dyn Carrier) -> Result<Request, BadRequest> {
    let mut body = Object::parse(body)?;
    let mut extra = Vec::new();
    let mut request = Request { model: body.text("model")?.unwrap_or_default(), ..Request::default() };

    messages::read(body.objects("messages")?, carrier, &mut request, &mut extra)?;
    settle_history(&mut request.turns)?;

    for tool in body.objects("tools")? {
        request.tools.push(read_tool(tool, &mut extra)?);
    }
    let path = body.path("tool_choice");
    request.tool_choice = body.take("tool_choice").map(|choice| tool_choice(choice, path)).transpose()?;
    request.parallel_tool_calls = body.flag("parallel_tool_calls")?;

    let newer = body.count("max_completion_tokens")?;
    request.max_output = newer.or(body.count("max_tokens")?);
    request.temperature = body.number("temperature")?;
    request.top_p = body.number("top_p")?;
    request.top_k = body.count("top_k")?;
    request.stop = stop(&mut body)?;
    request.seed = body.integer("seed")?;
    request.frequency_penalty = body.number("frequency_penalty")?;
    request.presence_penalty = body.number("presence_penalty")?;
    let likeliest = small(&mut body, "top_logprobs")?;
    request.logprobs = body.flag("logprobs")?.unwrap_or(likeliest.is_some()).then(|| likeliest.unwrap_or(0));
    request.choices = small(&mut body, "n")?;
    request.output = output(&mut body, &mut extra)?;
    request.reasoning = reasoning(&mut body, &mut extra)?;
    request.verbosity = body.text("verbosity")?;

    request.user = body.text("user")?;
    if request.user.is_none() {
        request.user = body.text("safety_identifier")?;
    }
    request.cache_key = body.text("prompt_cache_key")?;
    request.service_tier = body.text("service_tier")?;
    request.metadata = labels(&mut body)?;
    request.stream = body.flag("stream")?.unwrap_or(false);
    if let Some(mut options) = body.object("stream_options")? {
        request.include_usage = options.flag("include_usage")?.unwrap_or(false);
        extra.extend(options.rest());
    }
    if let Some(modalities) = body.take("modalities")
        && modalities != json!(["text"])
    {
        extra.push(("modalities".to_owned(), modalities));
    }
    extra.extend(body.rest());
    request.extra = (!extra.is_empty()).then_some((Dialect::Chat, extra));
    Ok(request)
}

/// The agent's labels. Kept by value: what is not a text is written as JSON.
pub(crate) fn labels(body: &mut Object) -> Result<Vec<(String, String)>, BadRequest> {
    let Some(labels) = body.object("metadata")? else { return Ok(Vec::new()) };
    let text = |value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(labels.into_map().into_iter().map(|(name, value)| (name, text(value))).collect())
}

/// Where an agent that knows Anthropic's prompt cache marks its end.
pub(super) fn cache_mark(part: &mut Object) -> Result<Option<CacheMark>, BadRequest> {
    let Some(mut mark) = part.object("cache_control")? else { return Ok(None) };
    let hour = mark.text("ttl")?.is_some_and(|ttl| ttl == "1h");
    Ok(Some(if hour { CacheMark::Hour } else { CacheMark::Default }))
}

/// A whole number of 32 bits.
pub(crate) fn small(body: &mut Object, name: &str) -> Result<Option<u32>, BadRequest> {
    let count = body.count(name)?;
    count.map(u32::try_from).transpose().map_err(|_| body.bad(name, "is too large"))
}

fn stop(body: &mut Object) -> Result<Vec<String>, BadRequest> {
    match body.take("stop") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![text]),
        Some(Value::Array(list)) => list
            .into_iter()
            .map(|text| match text {
                Value::String(text) => Ok(text),
                _ => Err(body.bad("stop", "is not a list of strings")),
            })
            .collect(),
        Some(_) => Err(body.bad("stop", "is neither a string nor a list of strings")),
    }
}

fn output(body: &mut Object, extra: &mut Vec<(String, Value)>) -> Result<OutputFormat, BadRequest> {
    let Some(mut format) = body.object("response_format")? else { return Ok(OutputFormat::Text) };
    let output = match format.need_text("type")?.as_str() {
        "text" => OutputFormat::Text,
        "json_object" => OutputFormat::Json,
        "json_schema" => {
            let Some(mut inner) = format.object("json_schema")? else {
                return Err(format.bad("json_schema", "is missing"));
            };
            let schema = read_schema(&mut inner)?;
            extra.extend(inner.rest());
            schema
        }
        _ => return Err(format.bad("type", "is none of `text`, `json_object`, `json_schema`")),
    };
    extra.extend(format.rest());
    Ok(output)
}

/// Name, description, schema and strictness, side by side.
pub(crate) fn read_schema(from: &mut Object) -> Result<OutputFormat, BadRequest> {
    Ok(OutputFormat::Schema {
        name: from.text("name")?,
        description: from.text("description")?,
        schema: from.take("schema").unwrap_or_else(|| json!({})),
        strict: from.flag("strict")?,
    })
}

/// A word for how much to think.
pub(crate) fn effort(from: &mut Object, name: &str) -> Result<Option<Effort>, BadRequest> {
    let Some(word) = from.text(name)? else { return Ok(None) };
    let words = "is none of `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`";
    Effort::parse(&word).map(Some).ok_or_else(|| from.bad(name, words))
}

fn reasoning(body: &mut Object, extra: &mut Vec<(String, Value)>) -> Result<Option<Reasoning>, BadRequest> {
    let word = effort(body, "reasoning_effort")?;
    // OpenRouter's way of saying it.
    let mut nested = body.object("reasoning")?;
    let (mut inner, mut budget) = (None, None);
    if let Some(object) = &mut nested {
        inner = effort(object, "effort")?;
        budget = object.count("max_tokens")?;
    }
    extra.extend(nested.map(Object::rest).unwrap_or_default());
    let effort = word.or(inner);
    if effort.is_none() && budget.is_none() {
        return Ok(None);
    }
    Ok(Some(Reasoning { effort, budget, ..Reasoning::default() }))
}

fn read_tool(mut tool: Object, extra: &mut Vec<(String, Value)>) -> Result<Tool, BadRequest> {
    let kind = tool.text("type")?.unwrap_or_else(|| "function".to_owned());
    let inside = |tool: &mut Object, name: &str| {
        let inner = tool.object(name)?;
        inner.ok_or_else(|| tool.bad(name, "is missing"))
    };
    let read = match kind.as_str() {
        "function" => {
            let cache = cache_mark(&mut tool)?;
            let mut function = inside(&mut tool, "function")?;
            let read = Tool::Function {
                name: function.need_text("name")?,
                description: function.text("description")?,
                parameters: function.take("parameters"),
                strict: function.flag("strict")?,
                cache,
            };
            extra.extend(function.rest());
            read
        }
        "custom" => {
            let mut custom = inside(&mut tool, "custom")?;
            let read = Tool::Custom {
                name: custom.need_text("name")?,
                description: custom.text("description")?,
                format: custom.take("format").map(flat_format),
            };
            extra.extend(custom.rest());
            read
        }
        _ => {
            let mut definition = tool.into_map();
            definition.insert("type".to_owned(), kind.clone().into());
            return Ok(Tool::Hosted { dialect: Dialect::Chat, kind, definition: Value::Object(definition) });
        }
    };
    extra.extend(tool.rest());
    Ok(read)
}

/// Chat completions nests what describes a grammar; Responses, and we, do not.
fn flat_format(mut format: Value) -> Value {
    if let Some(Value::Object(grammar)) = format.get_mut("grammar").map(Value::take)
        && let Value::Object(flat) = &mut format
    {
        flat.remove("grammar");
        flat.extend(grammar);
    }
    format
}

fn tool_choice(choice: Value, path: String) -> Result<ToolChoice, BadRequest> {
    if let Value::String(word) = &choice {
        return word_choice(word).ok_or_else(|| bad(path, "is none of `auto`, `none`, `required`"));
    }
    let mut choice = Object::of(choice, path)?;
    let kind = choice.need_text("type")?;
    match kind.as_str() {
        "function" | "custom" => match choice.object(&kind)? {
            Some(mut inner) => Ok(ToolChoice::Tool(inner.need_text("name")?)),
            None => Err(choice.bad(&kind, "is missing")),
        },
        "allowed_tools" => {
            let Some(mut allowed) = choice.object("allowed_tools")? else {
                return Err(choice.bad("allowed_tools", "is missing"));
            };
            let mut names = Vec::new();
            for mut tool in allowed.objects("tools")? {
                let kind = tool.text("type")?.unwrap_or_else(|| "function".to_owned());
                match tool.object(&kind)? {
                    Some(mut inner) => names.push(inner.need_text("name")?),
                    None => return Err(tool.bad(&kind, "is missing")),
                }
            }
            Ok(ToolChoice::Among { names, required: allowed.text("mode")?.is_some_and(|mode| mode == "required") })
        }
        _ => Err(choice.bad("type", "is none of `function`, `custom`, `allowed_tools`")),
    }
}

/// A choice that is one word. Some servers' `any` is understood too.
pub(crate) fn word_choice(word: &str) -> Option<ToolChoice> {
    Some(match word {
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "required" | "any" => ToolChoice::Required,
        _ => return None,
    })
}
