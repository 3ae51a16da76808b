//! Reads one turn of a request, of any dialect, for people to see.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::Media;

/// What a turn says.
#[derive(Debug, Default)]
pub(super) struct Words {
    pub(super) role: String,
    pub(super) text: String,
    /// Names and arguments.
    pub(super) calls: Vec<(String, String)>,
    pub(super) media: Vec<Media>,
    pub(super) truncated: bool,
}

/// Whether the model said this turn.
pub(super) fn is_answer(turn: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Speaker<'a> {
        #[serde(default, borrow)]
        role: Option<std::borrow::Cow<'a, str>>,
        #[serde(default, borrow, rename = "type")]
        kind: Option<std::borrow::Cow<'a, str>>,
    }
    let Ok(speaker) = serde_json::from_slice::<Speaker<'_>>(turn) else { return false };
    match (speaker.role.as_deref(), speaker.kind.as_deref()) {
        (Some(role), _) => matches!(role, "assistant" | "model"),
        (None, Some(kind)) => kind.ends_with("_call") || kind == "reasoning",
        (None, None) => false,
    }
}

/// What a turn says. One that cannot be read (a lone surrogate) says nothing, and that it goes on.
pub(super) fn words(turn: &[u8], instructions: bool) -> Words {
    let Ok(value) = serde_json::from_slice::<Value>(turn) else {
        return Words { role: "user".to_owned(), truncated: true, ..Words::default() };
    };
    let mut words = Words { role: role(&value, instructions).to_owned(), ..Words::default() };
    words.take(&value);
    words
}

fn role(turn: &Value, instructions: bool) -> &'static str {
    match (turn["role"].as_str(), turn["type"].as_str()) {
        _ if instructions => "system",
        (Some("system" | "developer"), _) => "system",
        (Some("assistant" | "model"), _) => "assistant",
        (Some("tool" | "function"), _) => "tool",
        (None, Some(kind)) if kind.ends_with("_call_output") => "tool",
        (None, Some(kind)) if kind.ends_with("_call") || kind == "reasoning" => "assistant",
        _ => "user",
    }
}

impl Words {
    fn take(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.say(text),
            Value::Array(parts) => parts.iter().for_each(|part| self.take(part)),
            Value::Object(part) => self.part(part),
            _ => {}
        }
    }

    fn say(&mut self, text: &str) {
        if !self.text.is_empty() && !text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(text);
    }

    fn part(&mut self, part: &Map<String, Value>) {
        for (name, value) in part {
            match name.as_str() {
                "text" | "content" | "parts" | "output" | "refusal" => self.take(value),
                "tool_calls" => value.as_array().into_iter().flatten().for_each(|call| self.call(call)),
                "functionCall" | "function_call" => self.call(value),
                "functionResponse" | "function_response" => {
                    self.say(&value["response"].to_string());
                    self.take(&value["parts"]);
                }
                "source" | "inlineData" | "inline_data" => self.media(value),
                "image_url" => self.data_url(value["url"].as_str().or_else(|| value.as_str())),
                "input_audio" => self.encoded("audio", value["data"].as_str()),
                "file" => self.data_url(value["file_data"].as_str()),
                "file_data" => self.data_url(value.as_str()),
                _ => {}
            }
        }
        let kind = part.get("type").and_then(Value::as_str).unwrap_or_default();
        if matches!(kind, "tool_use" | "server_tool_use" | "function_call" | "custom_tool_call") {
            self.call(&Value::Object(part.clone()));
        }
    }

    fn call(&mut self, call: &Value) {
        let function =
            ["function", "custom"].iter().map(|name| &call[*name]).find(|inner| inner.is_object()).unwrap_or(call);
        let Some(name) = function["name"].as_str() else { return };
        let arguments =
            ["arguments", "input", "args"].iter().map(|name| &function[*name]).find(|value| !value.is_null());
        let arguments = match arguments {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        };
        self.calls.push((name.to_owned(), arguments));
    }

    /// Base64 with its media type, or a document that is text or has parts.
    fn media(&mut self, source: &Value) {
        let mime =
            ["media_type", "mimeType", "mime_type"].iter().find_map(|name| source[*name].as_str()).unwrap_or_default();
        match (source["type"].as_str(), source["data"].as_str()) {
            (Some("text"), Some(text)) => self.say(text),
            (_, data @ Some(_)) => self.encoded(mime, data),
            _ => self.take(&source["content"]),
        }
    }

    fn data_url(&mut self, url: Option<&str>) {
        let Some((head, data)) = url.and_then(|url| url.strip_prefix("data:")).and_then(|url| url.split_once(','))
        else {
            return;
        };
        self.encoded(head.trim_end_matches(";base64"), Some(data));
    }

    fn encoded(&mut self, mime: &str, data: Option<&str>) {
        let Some(data) = data else { return };
        // What is no base64 is measured as it is written.
        let bytes = STANDARD.decode(data).unwrap_or_else(|_| data.as_bytes().to_vec());
        let sha256 = hex::encode(Sha256::digest(&bytes));
        self.media.push(Media { mime: mime.to_owned(), bytes: bytes.len(), sha256 });
    }
}
