//! An agent's request.

use serde_json::Value;

use super::input;
use crate::{
    Dialect,
    chat::read::{effort, labels, read_schema, small, word_choice},
    ir::{Namespaced, OutputFormat, Part, Reasoning, Request, Tool, ToolChoice},
    translate::{BadRequest, Carrier, fields::Object, flat_name, settle_history},
};

type Extra = Vec<(String, Value)>;

const LOGPROBS: &str = "message.output_text.logprobs";

pub(super) fn request(body: &[u8], carrier: &dyn Carrier) -> Result<Request, BadRequest> {
    let mut body = Object::parse(body)?;
    let mut extra = Extra::new();
    let mut request = Request { model: body.text("model")?.unwrap_or_default(), ..Request::default() };

    let instructions = body.text("instructions")?;
    request.system.extend(instructions.map(|text| Part::Text { text, cache: None }));
    // Namespaces first: calls in the conversation are named by them.
    for tool in body.objects("tools")? {
        tools(tool, &mut request, &mut extra)?;
    }
    input::read(&mut body, carrier, &mut request, &mut extra)?;
    // What the provider stored may hold the other half of a call.
    if !body.has("previous_response_id") && !body.has("conversation") {
        settle_history(&mut request.turns)?;
    }
    request.tool_choice = tool_choice(&mut body, &request, &mut extra)?;
    request.parallel_tool_calls = body.flag("parallel_tool_calls")?;

    request.max_output = body.count("max_output_tokens")?;
    request.temperature = body.number("temperature")?;
    request.top_p = body.number("top_p")?;
    logprobs(&mut body, &mut request, &mut extra)?;
    if let Some(mut text) = body.object("text")? {
        request.verbosity = text.text("verbosity")?;
        request.output = output(&mut text, &mut extra)?;
        extra.extend(text.rest());
    }
    if let Some(mut reasoning) = body.object("reasoning")? {
        let older = reasoning.text("generate_summary")?;
        request.reasoning = Some(Reasoning {
            effort: effort(&mut reasoning, "effort")?,
            summary: reasoning.text("summary")?.or(older),
            ..Reasoning::default()
        });
        extra.extend(reasoning.rest());
    }
    request.user = body.text("user")?;
    if request.user.is_none() {
        request.user = body.text("safety_identifier")?;
    }
    request.cache_key = body.text("prompt_cache_key")?;
    request.service_tier = body.text("service_tier")?;
    request.metadata = labels(&mut body)?;
    request.stream = body.flag("stream")?.unwrap_or(false);
    request.include_usage = true;
    if let Some(options) = body.object("stream_options")? {
        extra.extend(options.rest());
    }
    // What is said although it is so anyway.
    let usual = |(name, value): &(String, Value)| match name.as_str() {
        "background" => *value == false,
        "truncation" => *value == "disabled",
        _ => false,
    };
    extra.extend(body.rest().into_iter().filter(|field| !usual(field)));
    request.extra = (!extra.is_empty()).then_some((Dialect::Responses, extra));
    Ok(request)
}

fn logprobs(body: &mut Object, request: &mut Request, extra: &mut Extra) -> Result<(), BadRequest> {
    let likeliest = small(body, "top_logprobs")?;
    let mut include = body.texts("include")?;
    let wanted = include.iter().any(|name| name == LOGPROBS) || likeliest.is_some_and(|count| count > 0);
    request.logprobs = wanted.then(|| likeliest.unwrap_or(0));
    // Encrypted reasoning comes anyway.
    include.retain(|name| name != LOGPROBS && name != "reasoning.encrypted_content");
    if !include.is_empty() {
        extra.push(("include".to_owned(), include.into()));
    }
    Ok(())
}

fn output(text: &mut Object, extra: &mut Extra) -> Result<OutputFormat, BadRequest> {
    let Some(mut format) = text.object("format")? else { return Ok(OutputFormat::Text) };
    let output = match format.need_text("type")?.as_str() {
        "text" => OutputFormat::Text,
        "json_object" => OutputFormat::Json,
        "json_schema" => read_schema(&mut format)?,
        _ => return Err(format.bad("type", "is none of `text`, `json_object`, `json_schema`")),
    };
    extra.extend(format.rest());
    Ok(output)
}

/// A tool; or, of a namespace, all tools in it, under names that no other tool has.
fn tools(mut tool: Object, request: &mut Request, extra: &mut Extra) -> Result<(), BadRequest> {
    let kind = tool.need_text("type")?;
    match kind.as_str() {
        "function" | "custom" => request.tools.push(read_tool(&kind, &mut tool)?),
        "namespace" => {
            let namespace = tool.need_text("name")?;
            for mut inner in tool.objects("tools")? {
                let kind = inner.text("type")?.unwrap_or_else(|| "function".to_owned());
                if kind != "function" && kind != "custom" {
                    return Err(inner.bad("type", "is neither `function` nor `custom`"));
                }
                let mut read = read_tool(&kind, &mut inner)?;
                if let Tool::Function { name, .. } | Tool::Custom { name, .. } = &mut read {
                    let flat = flat_name(&namespace, name);
                    let name = std::mem::replace(name, flat.clone());
                    request.namespaces.push(Namespaced { flat, namespace: namespace.clone(), name });
                }
                request.tools.push(read);
                extra.extend(inner.rest());
            }
        }
        _ => {
            let mut definition = tool.into_map();
            definition.shift_insert(0, "type".to_owned(), kind.clone().into());
            let definition = Value::Object(definition);
            request.tools.push(Tool::Hosted { dialect: Dialect::Responses, kind, definition });
            return Ok(());
        }
    }
    extra.extend(tool.rest());
    Ok(())
}

fn read_tool(kind: &str, tool: &mut Object) -> Result<Tool, BadRequest> {
    let name = tool.need_text("name")?;
    let description = tool.text("description")?;
    if kind == "custom" {
        return Ok(Tool::Custom { name, description, format: tool.take("format") });
    }
    let (parameters, strict) = (tool.take("parameters"), tool.flag("strict")?);
    Ok(Tool::Function { name, description, parameters, strict, cache: None })
}

/// The name under which the rest of the request knows a tool.
pub(super) fn known_name(request: &Request, namespace: Option<&str>, name: String) -> String {
    let Some(namespace) = namespace.filter(|namespace| !namespace.is_empty()) else { return name };
    let known = request.namespaces.iter().find(|known| known.namespace == namespace && known.name == name);
    known.map_or_else(|| flat_name(namespace, &name), |known| known.flat.clone())
}

fn tool_choice(body: &mut Object, request: &Request, extra: &mut Extra) -> Result<Option<ToolChoice>, BadRequest> {
    let choice = match body.take("tool_choice") {
        None => return Ok(None),
        Some(Value::String(word)) => {
            let choice = word_choice(&word);
            return choice.map(Some).ok_or_else(|| body.bad("tool_choice", "is none of `auto`, `none`, `required`"));
        }
        Some(choice) => choice,
    };
    let mut read = Object::of(choice.clone(), body.path("tool_choice"))?;
    let named = |tool: &mut Object| -> Result<String, BadRequest> {
        let namespace = tool.text("namespace")?;
        Ok(known_name(request, namespace.as_deref(), tool.need_text("name")?))
    };
    match read.need_text("type")?.as_str() {
        "function" | "custom" => Ok(Some(ToolChoice::Tool(named(&mut read)?))),
        "allowed_tools" => {
            let mut names = Vec::new();
            for mut tool in read.objects("tools")? {
                if tool.has("name") {
                    names.push(named(&mut tool)?);
                }
            }
            let required = read.text("mode")?.is_some_and(|mode| mode == "required");
            Ok(Some(ToolChoice::Among { names, required }))
        }
        // A tool the provider runs.
        _ => {
            extra.push(("tool_choice".to_owned(), choice));
            Ok(None)
        }
    }
}
