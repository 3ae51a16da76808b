//! What agents ask, in their dialects, and what providers are asked, read from theirs. Neither uses a codec.

use preloop_dialects::Dialect;
use serde_json::{Map, Value, json};

pub(crate) const IMAGE: &str = "iVBORw0KGgo=";

/// A conversation, in no dialect.
#[derive(Debug, Clone, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a wish of its own")]
pub(crate) struct Ask {
    pub(crate) system: Option<&'static str>,
    pub(crate) said: Vec<Said>,
    pub(crate) tools: bool,
    pub(crate) schema: bool,
    pub(crate) stop: bool,
    pub(crate) thinking: bool,
    pub(crate) max: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum Said {
    User(&'static str),
    Image(&'static str),
    Model(&'static str),
    /// Id, tool, arguments.
    Calls(Vec<(&'static str, &'static str, &'static str)>),
    /// Id, tool, what it answered, whether it failed.
    Results(Vec<(&'static str, &'static str, &'static str, bool)>),
}

pub(crate) fn schema() -> Value {
    json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": false})
}

fn tool_schema() -> Value {
    json!({"type": "object", "properties": {"at": {"type": "string"}}})
}

fn parsed(arguments: &str) -> Value {
    serde_json::from_str(arguments).unwrap()
}

/// The conversation, as an agent of `dialect` sends it.
pub(crate) fn body(dialect: Dialect, ask: &Ask) -> Value {
    let mut body = match dialect {
        Dialect::Chat => chat(ask),
        Dialect::Responses => responses(ask),
        Dialect::Messages => messages(ask),
        Dialect::Gemini => gemini(ask),
        Dialect::Converse => panic!("no agent speaks Converse"),
    };
    if let Value::Object(body) = &mut body {
        body.retain(|_, value| !value.is_null());
    }
    body
}

fn chat(ask: &Ask) -> Value {
    let mut messages: Vec<Value> = ask.system.iter().map(|text| json!({"role": "system", "content": text})).collect();
    for said in &ask.said {
        match said {
            Said::User(text) => messages.push(json!({"role": "user", "content": text})),
            Said::Image(text) => messages.push(json!({"role": "user", "content": [{"type": "text", "text": text},
                {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{IMAGE}")}}]})),
            Said::Model(text) => messages.push(json!({"role": "assistant", "content": text})),
            Said::Calls(calls) => {
                let calls: Vec<Value> = calls
                    .iter()
                    .map(|(id, name, arguments)| {
                        json!({"id": id, "type": "function",
                    "function": {"name": name, "arguments": arguments}})
                    })
                    .collect();
                messages.push(json!({"role": "assistant", "content": null, "tool_calls": calls}));
            }
            Said::Results(results) => messages.extend(results.iter().map(|(id, _, text, failed)| {
                let text = if *failed { format!("Error: {text}") } else { (*text).to_owned() };
                json!({"role": "tool", "tool_call_id": id, "content": text})
            })),
        }
    }
    let tools = ["look", "list"]
        .map(|name| json!({"type": "function", "function": {"name": name, "parameters": tool_schema()}}));
    let format = json!({"type": "json_schema", "json_schema": {"name": "place", "schema": schema(), "strict": true}});
    json!({
        "model": "m", "messages": messages, "max_completion_tokens": ask.max,
        "tools": ask.tools.then_some(tools), "response_format": ask.schema.then_some(format),
        "stop": ask.stop.then_some(["END"]), "reasoning_effort": ask.thinking.then_some("high"),
    })
}

fn responses(ask: &Ask) -> Value {
    let mut items = Vec::new();
    for said in &ask.said {
        match said {
            Said::User(text) => items.push(json!({"role": "user", "content": text})),
            Said::Image(text) => items.push(json!({"role": "user", "content": [{"type": "input_text", "text": text},
                {"type": "input_image", "image_url": format!("data:image/png;base64,{IMAGE}")}]})),
            Said::Model(text) => items.push(json!({"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": text, "annotations": []}]})),
            Said::Calls(calls) => items.extend(calls.iter().map(|(id, name, arguments)| {
                json!({"type": "function_call", "call_id": id, "name": name, "arguments": arguments})
            })),
            Said::Results(results) => items.extend(results.iter().map(|(id, _, text, failed)| {
                let text = if *failed { format!("Error: {text}") } else { (*text).to_owned() };
                json!({"type": "function_call_output", "call_id": id, "output": text})
            })),
        }
    }
    let tools = ["look", "list"]
        .map(|name| json!({"type": "function", "name": name, "parameters": tool_schema(), "strict": false}));
    let text = json!({"format": {"type": "json_schema", "name": "place", "schema": schema(), "strict": true}});
    json!({
        "model": "m", "instructions": ask.system, "input": items, "max_output_tokens": ask.max,
        "tools": ask.tools.then_some(tools), "text": ask.schema.then_some(text),
        "reasoning": ask.thinking.then(|| json!({"effort": "high", "summary": "auto"})),
    })
}

fn messages(ask: &Ask) -> Value {
    let mut messages = Vec::new();
    for said in &ask.said {
        messages.push(match said {
            Said::User(text) => json!({"role": "user", "content": text}),
            Said::Image(text) => json!({"role": "user", "content": [{"type": "text", "text": text},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}}]}),
            Said::Model(text) => json!({"role": "assistant", "content": [{"type": "text", "text": text}]}),
            Said::Calls(calls) => {
                let blocks = calls.iter().map(|(id, name, arguments)| {
                    json!({"type": "tool_use", "id": id, "name": name, "input": parsed(arguments)})
                });
                json!({"role": "assistant", "content": blocks.collect::<Vec<_>>()})
            }
            Said::Results(results) => {
                let blocks = results.iter().map(|(id, _, text, failed)| {
                    json!({"type": "tool_result", "tool_use_id": id, "content": text, "is_error": failed})
                });
                json!({"role": "user", "content": blocks.collect::<Vec<_>>()})
            }
        });
    }
    let tools = ["look", "list"].map(|name| json!({"name": name, "input_schema": tool_schema()}));
    json!({
        "model": "m", "system": ask.system, "messages": messages, "max_tokens": ask.max,
        "tools": ask.tools.then_some(tools), "stop_sequences": ask.stop.then_some(["END"]),
        "output_config": ask.schema.then(|| json!({"format": {"type": "json_schema", "schema": schema()}})),
        "thinking": ask.thinking.then(|| json!({"type": "enabled", "budget_tokens": 4096})),
    })
}

fn gemini(ask: &Ask) -> Value {
    let mut contents = Vec::new();
    for said in &ask.said {
        contents.push(match said {
            Said::User(text) => json!({"role": "user", "parts": [{"text": text}]}),
            Said::Image(text) => json!({"role": "user", "parts": [{"text": text},
                {"inlineData": {"mimeType": "image/png", "data": IMAGE}}]}),
            Said::Model(text) => json!({"role": "model", "parts": [{"text": text}]}),
            Said::Calls(calls) => {
                let parts = calls.iter().map(|(id, name, arguments)| {
                    json!({"functionCall": {"id": id, "name": name, "args": parsed(arguments)}})
                });
                json!({"role": "model", "parts": parts.collect::<Vec<_>>()})
            }
            Said::Results(results) => {
                let parts = results.iter().map(|(id, name, text, failed)| {
                    let key = if *failed { "error" } else { "result" };
                    json!({"functionResponse": {"id": id, "name": name, "response": {key: text}}})
                });
                json!({"role": "user", "parts": parts.collect::<Vec<_>>()})
            }
        });
    }
    let declared = ["look", "list"].map(|name| json!({"name": name, "parametersJsonSchema": tool_schema()}));
    let mut config = Map::new();
    config.insert("maxOutputTokens".to_owned(), ask.max.into());
    if ask.stop {
        config.insert("stopSequences".to_owned(), json!(["END"]));
    }
    if ask.schema {
        config.insert("responseMimeType".to_owned(), "application/json".into());
        config.insert("responseJsonSchema".to_owned(), schema());
    }
    if ask.thinking {
        config.insert("thinkingConfig".to_owned(), json!({"includeThoughts": true, "thinkingLevel": "high"}));
    }
    json!({
        "systemInstruction": ask.system.map(|text| json!({"parts": [{"text": text}]})),
        "contents": contents, "generationConfig": config,
        "tools": ask.tools.then(|| json!([{"functionDeclarations": declared}])),
    })
}

/// What a provider is asked, one line each: instructions, then what was said in order, then tools and settings.
pub(crate) fn expected(ask: &Ask) -> Vec<String> {
    let mut facts: Vec<String> = ask.system.iter().map(|text| format!("system {text}")).collect();
    for said in &ask.said {
        match said {
            Said::User(text) => facts.push(format!("user {text}")),
            Said::Image(text) => facts.extend([format!("user {text}"), format!("image {IMAGE}")]),
            Said::Model(text) => facts.push(format!("model {text}")),
            Said::Calls(calls) => {
                facts.extend(calls.iter().map(|(_, name, arguments)| format!("call {name} {}", parsed(arguments))));
            }
            Said::Results(results) => facts.extend(results.iter().map(|(_, _, text, failed)| result(text, *failed))),
        }
    }
    if ask.tools {
        facts.extend(["tool look".to_owned(), "tool list".to_owned()]);
    }
    facts.push(format!("max {}", ask.max));
    if ask.stop {
        facts.push("stop END".to_owned());
    }
    facts
}

fn result(text: &str, failed: bool) -> String {
    let plain = text.strip_prefix("Error: ");
    let failed = failed || plain.is_some();
    format!("result{} {}", if failed { "!" } else { "" }, plain.unwrap_or(text))
}

/// The same, read from what was sent.
pub(crate) fn facts(dialect: Dialect, body: &Value) -> Vec<String> {
    let mut facts = Vec::new();
    match dialect {
        Dialect::Chat => chat_facts(body, &mut facts),
        Dialect::Responses => responses_facts(body, &mut facts),
        Dialect::Messages => messages_facts(body, &mut facts),
        Dialect::Gemini => gemini_facts(body, &mut facts),
        Dialect::Converse => converse_facts(body, &mut facts),
    }
    facts
}

fn each<'a>(value: &'a Value, path: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(path).and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A text, or the texts of a list of parts.
fn texts(value: &Value) -> String {
    match value {
        Value::Array(parts) => parts.iter().map(|part| text(&part["text"])).collect(),
        other => text(other).to_owned(),
    }
}

fn settings(body: &Value, max: &str, stop: &str, facts: &mut Vec<String>) {
    facts.extend(body.pointer(max).map(|max| format!("max {max}")));
    facts.extend(each(body, stop).map(|stop| format!("stop {}", text(stop))));
}

fn chat_facts(body: &Value, facts: &mut Vec<String>) {
    for message in each(body, "/messages") {
        match text(&message["role"]) {
            "tool" => facts.push(result(&texts(&message["content"]), false)),
            "user" => match &message["content"] {
                Value::Array(parts) => facts.extend(parts.iter().map(|part| match text(&part["type"]) {
                    "image_url" => format!(
                        "image {}",
                        text(&part["image_url"]["url"]).trim_start_matches("data:image/png;base64,")
                    ),
                    _ => format!("user {}", text(&part["text"])),
                })),
                content => facts.push(format!("user {}", text(content))),
            },
            "assistant" => {
                let said = texts(&message["content"]);
                facts.extend((!said.is_empty()).then(|| format!("model {said}")));
                facts.extend(each(message, "/tool_calls").map(|call| {
                    format!("call {} {}", text(&call["function"]["name"]), parsed(text(&call["function"]["arguments"])))
                }));
            }
            _ => facts.push(format!("system {}", texts(&message["content"]))),
        }
    }
    let tools = each(body, "/tools").map(|tool| text(&tool["function"]["name"]));
    facts.extend(tools.filter(|name| *name != "place").map(|name| format!("tool {name}")));
    settings(body, "/max_completion_tokens", "/stop", facts);
}

fn responses_facts(body: &Value, facts: &mut Vec<String>) {
    facts.extend(body["instructions"].as_str().map(|text| format!("system {text}")));
    for item in each(body, "/input") {
        match text(&item["type"]) {
            "function_call" => facts.push(format!("call {} {}", text(&item["name"]), parsed(text(&item["arguments"])))),
            "function_call_output" => facts.push(result(&texts(&item["output"]), false)),
            "message" => facts.extend(each(item, "/content").map(|part| match text(&part["type"]) {
                "input_image" => {
                    format!("image {}", text(&part["image_url"]).trim_start_matches("data:image/png;base64,"))
                }
                "output_text" => format!("model {}", text(&part["text"])),
                _ => format!("{} {}", text(&item["role"]), text(&part["text"])),
            })),
            _ => {}
        }
    }
    facts.extend(each(body, "/tools").map(|tool| format!("tool {}", text(&tool["name"]))));
    settings(body, "/max_output_tokens", "/stop", facts);
}

fn messages_facts(body: &Value, facts: &mut Vec<String>) {
    let system = texts(&body["system"]);
    facts.extend((!system.is_empty()).then(|| format!("system {system}")));
    for message in each(body, "/messages") {
        let who = if message["role"] == "user" { "user" } else { "model" };
        if let Some(said) = message["content"].as_str() {
            facts.push(format!("{who} {said}"));
        }
        for block in each(message, "/content") {
            match text(&block["type"]) {
                "text" => facts.push(format!("{who} {}", text(&block["text"]))),
                "image" => facts.push(format!("image {}", text(&block["source"]["data"]))),
                "tool_use" => facts.push(format!("call {} {}", text(&block["name"]), block["input"])),
                "tool_result" => facts.push(result(&texts(&block["content"]), block["is_error"] == true)),
                _ => {}
            }
        }
    }
    let tools = each(body, "/tools").map(|tool| text(&tool["name"]));
    facts.extend(tools.filter(|name| ["look", "list"].contains(name)).map(|name| format!("tool {name}")));
    settings(body, "/max_tokens", "/stop_sequences", facts);
}

fn gemini_facts(body: &Value, facts: &mut Vec<String>) {
    facts.extend(each(body, "/systemInstruction/parts").map(|part| format!("system {}", text(&part["text"]))));
    for content in each(body, "/contents") {
        for part in each(content, "/parts").filter(|part| part["thought"] != true) {
            if let Some(said) = part["text"].as_str().filter(|said| !said.is_empty()) {
                facts.push(format!("{} {said}", text(&content["role"])));
            } else if let Some(call) = part.get("functionCall") {
                facts.push(format!("call {} {}", text(&call["name"]), call["args"]));
            } else if let Some(answer) = part.pointer("/functionResponse/response") {
                let value = answer.as_object().and_then(|answer| answer.values().next()).unwrap_or(answer);
                facts.push(result(text(value), answer.get("error").is_some()));
            } else if let Some(data) = part.pointer("/inlineData/data") {
                facts.push(format!("image {}", text(data)));
            }
        }
    }
    facts.extend(each(body, "/tools/0/functionDeclarations").map(|tool| format!("tool {}", text(&tool["name"]))));
    settings(body, "/generationConfig/maxOutputTokens", "/generationConfig/stopSequences", facts);
}

fn converse_facts(body: &Value, facts: &mut Vec<String>) {
    facts.extend(each(body, "/system").filter_map(|part| part["text"].as_str()).map(|text| format!("system {text}")));
    for message in each(body, "/messages") {
        let who = if message["role"] == "user" { "user" } else { "model" };
        for block in each(message, "/content") {
            if let Some(said) = block["text"].as_str() {
                facts.push(format!("{who} {said}"));
            } else if let Some(image) = block.pointer("/image/source/bytes") {
                facts.push(format!("image {}", text(image)));
            } else if let Some(call) = block.get("toolUse") {
                facts.push(format!("call {} {}", text(&call["name"]), call["input"]));
            } else if let Some(answer) = block.get("toolResult") {
                facts.push(result(&texts(&answer["content"]), answer["status"] == "error"));
            }
        }
    }
    let tools = each(body, "/toolConfig/tools").filter_map(|tool| tool["toolSpec"]["name"].as_str());
    facts.extend(tools.filter(|name| ["look", "list"].contains(name)).map(|name| format!("tool {name}")));
    settings(body, "/inferenceConfig/maxTokens", "/inferenceConfig/stopSequences", facts);
}
