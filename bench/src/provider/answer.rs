//! What the script answers, before any API gives it a shape.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Tokens,
    ask::{Ask, Tool, least},
    behaviour::{Behaviour, Usage},
};

/// The text of an answer that nothing else was asked of.
pub const TEXT: &str = "Grüße aus dem Labor 🧪: all is well.";
/// The reasoning before it.
pub const THOUGHT: &str = "Let me think… 考える first.";
/// What an answer to a tool's result begins with; the result follows.
pub const FINAL: &str = "The tool said: ";

/// What the provider says in a conversation.
#[derive(Debug, Clone, Default)]
pub struct Script {
    /// Calls the first tool whose name contains this; the first of all when absent.
    pub tool: Option<String>,
    /// Arguments of the call; required ones that are missing get the least value.
    pub arguments: Value,
    /// The text of plain answers, instead of [`TEXT`].
    pub text: Option<String>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    /// Counts answers; ids are made of it.
    pub(super) n: u64,
    pub(super) model: String,
    pub(super) parts: Vec<Part>,
    pub(super) stop: Stop,
    pub(super) tokens: Tokens,
    pub(super) usage: Usage,
}

#[derive(Debug)]
pub(super) enum Part {
    Thought { pieces: Vec<String>, signature: String },
    Text(Vec<String>),
    Call { id: String, name: String, namespace: Option<String>, kind: String, arguments: String },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    End,
    Calls,
    Length,
    Refusal,
}

/// The answer of a well-behaved model.
pub(super) fn answer(n: u64, script: &Script, behaviour: &Behaviour, ask: &Ask) -> Answer {
    let mut parts = Vec::new();
    if behaviour.think {
        parts.push(Part::Thought { pieces: pieces(THOUGHT), signature: signature(n) });
    }
    let calls = calls(n, script, behaviour, ask);
    let stop = if !calls.is_empty() {
        Stop::Calls
    } else if behaviour.refuse {
        Stop::Refusal
    } else if behaviour.length {
        Stop::Length
    } else {
        Stop::End
    };
    if calls.is_empty() {
        parts.push(Part::Text(said(script, behaviour, ask)));
    }
    parts.extend(calls);
    let (model, tokens, usage) = (ask.model.clone(), behaviour.tokens, behaviour.usage);
    Answer { n, model, parts, stop, tokens, usage }
}

/// The signature of the n-th answer's reasoning.
pub(super) fn signature(n: u64) -> String {
    // Decodes to bytes that no text has, and is spelled with what URLs and JSON like to change.
    STANDARD.encode([&[0xfb, 0xff, 0xfe][..], b"mock signature ", n.to_string().as_bytes()].concat())
}

fn said(script: &Script, behaviour: &Behaviour, ask: &Ask) -> Vec<String> {
    if let Some(bytes) = behaviour.huge {
        return vec!["x".repeat(bytes)];
    }
    if let Some(frames) = behaviour.frames {
        return (0..frames).map(|n| format!("wörd {n} ")).collect();
    }
    if let Some(schema) = &ask.schema {
        return pieces(&least(schema).to_string());
    }
    if let Some(result) = wanted_results(script, ask).last() {
        return pieces(&format!("{FINAL}{}", result.trim()));
    }
    pieces(script.text.as_deref().unwrap_or(TEXT))
}

/// The results of the tool that the script is about.
fn wanted_results<'a>(script: &'a Script, ask: &'a Ask) -> impl Iterator<Item = &'a str> {
    let wanted = script.tool.as_deref().unwrap_or_default();
    let named = ask.results.iter().filter(move |result| result.name.contains(wanted));
    named.map(|result| result.text.as_str())
}

fn calls(n: u64, script: &Script, behaviour: &Behaviour, ask: &Ask) -> Vec<Part> {
    if !ask.may_call || wanted_results(script, ask).next().is_some() {
        return Vec::new();
    }
    let wanted = script.tool.as_deref().unwrap_or_default();
    let Some(tool) = ask.tools.iter().find(|tool| tool.name.contains(wanted)) else {
        return search(n, wanted, ask).into_iter().collect();
    };
    let call = |at: usize| {
        let mut arguments = least_arguments(tool);
        // Calls made at once differ, so that a mix-up shows.
        for text in arguments.as_object_mut().into_iter().flat_map(|all| all.values_mut()) {
            if at > 0 && *text == "x" {
                *text = json!(format!("x{at}"));
            }
        }
        if let (Some(arguments), Some(given)) = (arguments.as_object_mut(), script.arguments.as_object()) {
            arguments.extend(given.clone());
        }
        call(n, at, tool, &arguments)
    };
    (0..behaviour.calls).map(call).collect()
}

/// Agents that hide tools behind a search are asked for the wanted one, once.
fn search(n: u64, wanted: &str, ask: &Ask) -> Option<Part> {
    let tool = ask.tools.iter().find(|tool| ["ToolSearch", "tool_search"].contains(&tool.name.as_str()))?;
    if ask.results.iter().any(|result| result.name == tool.name) {
        return None;
    }
    let query = if tool.name == "ToolSearch" { format!("+{wanted}") } else { wanted.to_owned() };
    let mut arguments = least_arguments(tool);
    arguments["query"] = json!(query);
    Some(call(n, 0, tool, &arguments))
}

fn call(n: u64, at: usize, tool: &Tool, arguments: &Value) -> Part {
    Part::Call {
        id: format!("call_mock{n}x{at}"),
        name: tool.name.clone(),
        namespace: tool.namespace.clone(),
        kind: tool.kind.clone(),
        arguments: arguments.to_string(),
    }
}

/// The least value of every required argument.
fn least_arguments(tool: &Tool) -> Value {
    let required = tool.schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let named = required.map(|name| (name.to_owned(), least(&tool.schema["properties"][name])));
    Value::Object(named.collect())
}

/// Text as it is streamed: word by word, blanks kept.
fn pieces(text: &str) -> Vec<String> {
    text.split_inclusive(' ').map(str::to_owned).collect()
}

/// Text in fragments of some characters, as arguments are streamed.
pub(super) fn fragments(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(7).map(|chunk| chunk.iter().collect()).collect()
}
