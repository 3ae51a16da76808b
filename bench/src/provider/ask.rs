//! What a request asks for, read alike out of the five shapes.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::Api;

/// A request, as far as the script cares.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a yes or no of its own in the request")]
pub(super) struct Ask {
    pub(super) model: String,
    pub(super) stream: bool,
    /// Chat completions: usage was asked for in the stream.
    pub(super) include_usage: bool,
    pub(super) tools: Vec<Tool>,
    /// Whether a tool may be called at all.
    pub(super) may_call: bool,
    /// Results of earlier calls, oldest first.
    pub(super) results: Vec<ToolResult>,
    /// The JSON schema that the answer must satisfy.
    pub(super) schema: Option<Value>,
    /// The reasoning that came back with the last calls, if calls were made.
    pub(super) thoughts: Option<Vec<Thought>>,
    /// Embeddings: how many vectors, and whether as base64.
    pub(super) vectors: usize,
    pub(super) base64: bool,
}

/// A tool that was offered.
#[derive(Debug)]
pub(super) struct Tool {
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) schema: Value,
    /// Responses: its `type`; elsewhere `function`.
    pub(super) kind: String,
}

/// The result of an earlier call.
#[derive(Debug)]
pub(super) struct ToolResult {
    pub(super) name: String,
    pub(super) text: String,
}

/// Reasoning that an agent sent back.
#[derive(Debug)]
pub(super) struct Thought {
    pub(super) text: String,
    pub(super) signature: String,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// All text inside a content value of any shape.
fn flat(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(flat).collect(),
        Value::Object(members) => {
            let known = ["text", "content", "output", "result", "response", "json", "error"];
            known.iter().find_map(|name| members.get(*name)).map_or_else(|| value.to_string(), flat)
        }
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl Ask {
    /// Reads `body` as a request of `api`; `model` and `stream` come from the path where it has them.
    pub(super) fn read(api: Api, model: Option<&str>, stream: Option<bool>, body: &Value) -> Self {
        let mut ask = Ask {
            model: model.map_or_else(|| text(&body["model"]), str::to_owned),
            stream: stream.unwrap_or(body["stream"] == json!(true)),
            include_usage: body["stream_options"]["include_usage"] == json!(true),
            may_call: true,
            ..Ask::default()
        };
        match api {
            Api::Chat => ask.chat(body),
            Api::Responses => ask.responses(body),
            Api::Messages => ask.messages(body),
            Api::Gemini => ask.gemini(body),
            Api::Converse => ask.converse(body),
        }
        ask
    }

    fn offer(&mut self, kind: &str, namespace: Option<&str>, declared: &Value, schema: &[&str]) {
        let name = text(&declared["name"]);
        if name.is_empty() {
            return;
        }
        let schema = schema.iter().find_map(|name| declared.get(*name)).cloned().unwrap_or(Value::Null);
        self.tools.push(Tool { name, namespace: namespace.map(str::to_owned), schema, kind: kind.to_owned() });
    }

    fn result(&mut self, names: &HashMap<String, String>, id: &Value, content: &Value) {
        let name = id.as_str().and_then(|id| names.get(id)).cloned().unwrap_or_default();
        self.results.push(ToolResult { name, text: flat(content) });
    }

    fn chat(&mut self, body: &Value) {
        for tool in items(&body["tools"]) {
            self.offer("function", None, &tool["function"], &["parameters"]);
        }
        self.may_call = body["tool_choice"] != json!("none");
        self.schema = body["response_format"]["json_schema"].get("schema").cloned();
        let mut names = HashMap::new();
        for message in items(&body["messages"]) {
            let calls = items(&message["tool_calls"]);
            for call in calls {
                names.insert(text(&call["id"]), text(&call["function"]["name"]));
            }
            if !calls.is_empty() {
                let thought = Thought { text: text(&message["reasoning_content"]), signature: String::new() };
                self.thoughts = Some(vec![thought]);
            }
            if message["role"] == "tool" {
                self.result(&names, &message["tool_call_id"], &message["content"]);
            }
        }
        let input = &body["input"];
        self.vectors = input.as_array().filter(|list| !list.iter().any(Value::is_number)).map_or(1, Vec::len);
        self.base64 = body["encoding_format"] == json!("base64");
    }

    fn responses(&mut self, body: &Value) {
        let mut offered = items(&body["tools"]).to_vec();
        let format = &body["text"]["format"];
        self.schema = (format["type"] == "json_schema").then(|| format["schema"].clone());
        self.may_call = body["tool_choice"] != json!("none");
        let mut names = HashMap::new();
        let mut thoughts = Vec::new();
        let mut new_turn = true;
        for item in items(&body["input"]) {
            let kind = text(&item["type"]);
            match kind.as_str() {
                "reasoning" => {
                    thoughts
                        .push(Thought { text: flat(&item["summary"]), signature: text(&item["encrypted_content"]) });
                }
                "tool_search_output" => {
                    offered.extend(items(&item["tools"]).iter().cloned());
                    self.result(&names, &item["call_id"], &item["tools"]);
                }
                kind if kind.ends_with("_call_output") => {
                    new_turn = true;
                    self.result(&names, &item["call_id"], &item["output"]);
                }
                kind if kind.ends_with("_call") => {
                    let name = if item["name"].is_string() { text(&item["name"]) } else { kind.to_owned() };
                    names.insert(text(&item["call_id"]), name);
                    // Calls made at once share the reasoning before the first of them.
                    if std::mem::take(&mut new_turn) {
                        self.thoughts = Some(std::mem::take(&mut thoughts));
                    }
                }
                _ => {}
            }
        }
        for tool in &offered {
            let kind = text(&tool["type"]);
            if kind == "namespace" {
                for inner in items(&tool["tools"]) {
                    self.offer("function", tool["name"].as_str(), inner, &["parameters"]);
                }
            } else if tool["name"].is_string() {
                self.offer(&kind, None, tool, &["parameters"]);
            } else {
                let named = json!({ "name": kind, "parameters": tool["parameters"] });
                self.offer(&kind, None, &named, &["parameters"]);
            }
        }
    }

    fn messages(&mut self, body: &Value) {
        for tool in items(&body["tools"]) {
            self.offer("function", None, tool, &["input_schema"]);
        }
        self.may_call = body["tool_choice"]["type"] != json!("none");
        let format = [&body["output_config"]["format"], &body["output_format"]];
        self.schema = format.into_iter().find_map(|format| format.get("schema").cloned());
        let mut names = HashMap::new();
        for message in items(&body["messages"]) {
            let mut thoughts = Vec::new();
            let mut called = false;
            for block in items(&message["content"]) {
                match block["type"].as_str() {
                    // What comes after a call is not before it.
                    Some("thinking") if !called => {
                        thoughts.push(Thought { text: text(&block["thinking"]), signature: text(&block["signature"]) });
                    }
                    Some("tool_use") => {
                        called = true;
                        names.insert(text(&block["id"]), text(&block["name"]));
                    }
                    Some("tool_result") => self.result(&names, &block["tool_use_id"], &block["content"]),
                    _ => {}
                }
            }
            if called {
                self.thoughts = Some(thoughts);
            }
        }
    }

    fn gemini(&mut self, body: &Value) {
        for tool in items(&body["tools"]) {
            let declared = tool.get("functionDeclarations").or_else(|| tool.get("function_declarations"));
            for function in declared.map_or(&[][..], items) {
                // Both spellings of protobuf's JSON are in use.
                let schema = ["parametersJsonSchema", "parameters_json_schema", "parameters"];
                self.offer("function", None, function, &schema);
            }
        }
        self.may_call = body["toolConfig"]["functionCallingConfig"]["mode"] != json!("NONE");
        let config = &body["generationConfig"];
        self.schema = ["responseJsonSchema", "responseSchema"].iter().find_map(|name| config.get(*name).cloned());
        for content in items(&body["contents"]) {
            let parts = items(&content["parts"]);
            for part in parts {
                if let Some(result) = part.get("functionResponse") {
                    self.results.push(ToolResult { name: text(&result["name"]), text: flat(&result["response"]) });
                }
            }
            // The first call of a step carries the signature, or the thought before it.
            if let Some(call) = parts.iter().position(|part| part.get("functionCall").is_some()) {
                let signed = parts[..=call].iter().rev().find(|part| part["thoughtSignature"].is_string());
                let thought =
                    signed.map(|part| Thought { text: String::new(), signature: text(&part["thoughtSignature"]) });
                self.thoughts = Some(thought.into_iter().collect());
            }
        }
        self.vectors = items(&body["requests"]).len().max(1);
    }

    fn converse(&mut self, body: &Value) {
        for tool in items(&body["toolConfig"]["tools"]) {
            let spec = &tool["toolSpec"];
            let declared = json!({ "name": spec["name"], "schema": spec["inputSchema"]["json"] });
            self.offer("function", None, &declared, &["schema"]);
        }
        let format = &body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]["schema"];
        self.schema = format.as_str().and_then(|text| serde_json::from_str(text).ok());
        let mut names = HashMap::new();
        for message in items(&body["messages"]) {
            let mut thoughts = Vec::new();
            let mut called = false;
            for block in items(&message["content"]) {
                if let Some(thought) = block["reasoningContent"].get("reasoningText") {
                    thoughts.push(Thought { text: text(&thought["text"]), signature: text(&thought["signature"]) });
                } else if let Some(call) = block.get("toolUse") {
                    called = true;
                    names.insert(text(&call["toolUseId"]), text(&call["name"]));
                } else if let Some(result) = block.get("toolResult") {
                    self.result(&names, &result["toolUseId"], &result["content"]);
                }
            }
            if called {
                self.thoughts = Some(thoughts);
            }
        }
        self.vectors = 1;
    }
}

/// The least value that a JSON schema accepts.
pub(super) fn least(schema: &Value) -> Value {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(first) = schema[choice].get(0) {
            return least(first);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str()).unwrap_or("object").to_lowercase();
    match kind.as_str() {
        "string" => json!("x"),
        "integer" => json!(1),
        "number" => json!(1.5),
        "boolean" => json!(true),
        "array" => json!([]),
        "null" => Value::Null,
        _ => {
            let members = schema["properties"].as_object().into_iter().flatten();
            Value::Object(members.map(|(name, schema)| (name.clone(), least(schema))).collect())
        }
    }
}
