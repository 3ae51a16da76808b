//! A conversation for dialects that are strict about turns: instructions apart, sides alternating, results
//! of tools ahead of what else the agent's side says.

use std::borrow::Cow;

use serde_json::{Map, Value, json};

use super::gaps::Gaps;
use crate::ir::{Part, Request, Role, Tool, ToolChoice, Turn};

/// The same conversation, laid out.
#[derive(Debug)]
pub(crate) struct Laid<'r> {
    /// All instructions.
    pub system: Vec<&'r Part>,
    /// No two neighbours have the same role.
    pub turns: Vec<(Role, Vec<&'r Part>)>,
}

impl<'r> Laid<'r> {
    pub(crate) fn of(request: &'r Request, gaps: &mut Gaps) -> Self {
        let mut laid = Self { system: request.system.iter().collect(), turns: Vec::new() };
        for Turn { role, parts } in &request.turns {
            match (role, laid.turns.last_mut()) {
                (Role::System, _) => {
                    gaps.warn("instructions in the middle of the conversation were moved to its beginning");
                    laid.system.extend(parts);
                }
                (role, Some((last, merged))) if role == last => merged.extend(parts),
                _ => laid.turns.push((*role, parts.iter().collect())),
            }
        }
        for (role, parts) in &mut laid.turns {
            if *role == Role::User {
                parts.sort_by_key(|part| !matches!(part, Part::ToolResult { .. }));
            }
        }
        laid
    }
}

/// The arguments of a call for a dialect that wants an object.
pub(crate) fn arguments_object(arguments: &str, gaps: &mut Gaps) -> Value {
    let object = as_object(arguments);
    if object.get("_raw").is_some_and(|raw| raw == arguments) {
        gaps.warn("arguments of an earlier tool call are no JSON object and were wrapped into one");
    }
    object
}

/// The same where nobody can be warned: in an answer.
pub(crate) fn as_object(arguments: &str) -> Value {
    if arguments.trim().is_empty() {
        return Value::Object(Map::new());
    }
    match serde_json::from_str(arguments) {
        Ok(Value::Object(object)) => Value::Object(object),
        _ => json!({ "_raw": arguments }),
    }
}

/// The schema of a function's arguments, for a dialect that demands one of an object.
pub(crate) fn object_schema(parameters: Option<&Value>) -> Value {
    match parameters {
        Some(Value::Object(schema)) => {
            let mut schema = schema.clone();
            schema.entry("type").or_insert_with(|| "object".into());
            schema.entry("properties").or_insert_with(|| json!({}));
            Value::Object(schema)
        }
        _ => json!({"type": "object", "properties": {}}),
    }
}

/// The tools that may be called: those chosen, or all.
pub(crate) fn offered(request: &Request) -> impl Iterator<Item = (usize, &Tool)> {
    let chosen = match &request.tool_choice {
        Some(ToolChoice::Among { names, .. }) => Some(names),
        _ => None,
    };
    request.tools.iter().enumerate().filter(move |(_, tool)| match (chosen, tool) {
        (Some(names), Tool::Function { name, .. } | Tool::Custom { name, .. }) => names.contains(name),
        _ => true,
    })
}

/// All text of `parts`, blocks apart by a blank line.
pub(crate) fn joined_text<'a>(parts: impl IntoIterator<Item = &'a Part>) -> Cow<'a, str> {
    let mut joined = Cow::Borrowed("");
    for part in parts {
        let (Part::Text { text, .. } | Part::Refusal(text)) = part else { continue };
        if joined.is_empty() {
            joined = Cow::Borrowed(text);
        } else if !text.is_empty() {
            let joined = joined.to_mut();
            joined.push_str("\n\n");
            joined.push_str(text);
        }
    }
    joined
}
