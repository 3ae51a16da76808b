//! Names of tools, where a provider is choosy; and tools that have to look like something else.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Names, ids::letters};
use crate::ir::{Part, Request, Tool, ToolChoice};

/// Which names of tools a provider takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NameRule {
    /// Characters besides ASCII letters and digits.
    pub also: &'static str,
    /// Longest name, in bytes.
    pub most: usize,
    /// Whether the first character has to be a letter or `_`.
    pub letter_first: bool,
}

impl NameRule {
    /// `[A-Za-z0-9_-]{1,64}`.
    pub(crate) const PLAIN: Self = Self { also: "_-", most: 64, letter_first: false };

    fn takes(self, name: &str) -> bool {
        let first = name.chars().next();
        !name.is_empty()
            && name.len() <= self.most
            && name.chars().all(|letter| self.takes_char(letter))
            && (!self.letter_first || first.is_some_and(|first| first.is_ascii_alphabetic() || first == '_'))
    }

    fn takes_char(self, letter: char) -> bool {
        letter.is_ascii_alphanumeric() || self.also.contains(letter)
    }

    /// A name that is taken and, by the hash at its end, is nobody else's.
    fn mend(self, name: &str) -> String {
        let hash = letters(&[name.as_bytes()], 6);
        let lead =
            if self.letter_first && !name.starts_with(|first: char| first.is_ascii_alphabetic()) { "_" } else { "" };
        let room = self.most - hash.len() - 1 - lead.len();
        let kept: String =
            name.chars().map(|letter| if self.takes_char(letter) { letter } else { '_' }).take(room).collect();
        format!("{lead}{kept}_{hash}")
    }
}

/// Gives tools the names they are sent under, and keeps account of it.
#[derive(Debug)]
pub(crate) struct Namer {
    rule: NameRule,
    names: Names,
}

impl Namer {
    /// Names every tool `request` declares, calls or chooses.
    pub(crate) fn new(rule: NameRule, request: &Request) -> Self {
        let declared = request.tools.iter().filter_map(|tool| match tool {
            Tool::Function { name, .. } | Tool::Custom { name, .. } => Some(name),
            Tool::Hosted { .. } => None,
        });
        let used = request.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
            Part::ToolCall(call) => Some(&call.name),
            Part::ToolResult { name, .. } => name.as_ref(),
            _ => None,
        });
        let chosen: &[String] = match &request.tool_choice {
            Some(ToolChoice::Tool(name)) => std::slice::from_ref(name),
            Some(ToolChoice::Among { names, .. }) => names,
            _ => &[],
        };
        let mut names = Names::default();
        for name in declared.chain(used).chain(chosen) {
            if !rule.takes(name) && !names.renamed.iter().any(|(_, known)| known == name) {
                names.renamed.push((rule.mend(name), name.clone()));
            }
        }
        Self { rule, names }
    }

    /// The name to send.
    pub(crate) fn sent<'a>(&'a self, name: &'a str) -> &'a str {
        self.names.renamed.iter().find(|(_, agents)| agents == name).map_or(name, |(sent, _)| sent)
    }

    /// Notes that a custom tool is sent as a function.
    pub(crate) fn wrap_custom(&mut self, name: &str) {
        if !self.names.custom.iter().any(|known| known == name) {
            self.names.custom.push(name.to_owned());
        }
    }

    /// Notes that a function stands for the answer's schema, and names it.
    pub(crate) fn stand_for_answer(&mut self, wanted: &str) -> String {
        let name = if self.rule.takes(wanted) { wanted.to_owned() } else { self.rule.mend(wanted) };
        self.names.answer = Some(name.clone());
        name
    }

    /// Whether `name` stands for the answer's schema.
    pub(crate) fn is_answer(&self, name: &str) -> bool {
        self.names.is_answer(name)
    }

    /// How to read the answer.
    pub(crate) fn into_names(self) -> Names {
        self.names
    }
}

impl Names {
    /// The agent's name of a tool.
    pub(crate) fn agents<'a>(&'a self, sent: &'a str) -> &'a str {
        self.renamed.iter().find(|(name, _)| name == sent).map_or(sent, |(_, agents)| agents)
    }

    /// Whether a call of `sent` is the answer itself.
    pub(crate) fn is_answer(&self, sent: &str) -> bool {
        self.answer.as_deref() == Some(sent)
    }

    /// Whether a tool, by the agent's name, was wrapped: its arguments are only known when they are whole.
    pub(crate) fn is_wrapped(&self, agents: &str) -> bool {
        self.custom.iter().any(|name| name == agents)
    }

    /// The arguments of a call as the agent expects them.
    pub(crate) fn arguments<'a>(&self, agents: &str, arguments: &'a str) -> Cow<'a, str> {
        if !self.is_wrapped(agents) {
            return Cow::Borrowed(arguments);
        }
        match serde_json::from_str::<Value>(arguments) {
            Ok(Value::Object(mut object)) => match object.get_mut("input").map(Value::take) {
                Some(Value::String(text)) => Cow::Owned(text),
                _ => Cow::Borrowed(arguments),
            },
            _ => Cow::Borrowed(arguments),
        }
    }
}

/// A name for a tool inside a namespace, where there are none. It is found again by the request's own list.
pub(crate) fn flat_name(namespace: &str, name: &str) -> String {
    format!("{namespace}__{name}")
}

/// The parameters of a function that stands for a custom tool.
pub(crate) fn input_schema() -> Value {
    json!({
        "type": "object",
        "properties": {"input": {"type": "string", "description": "The whole input of the tool, as plain text."}},
        "required": ["input"],
        "additionalProperties": false
    })
}

/// The description of a function that stands for a custom tool: a grammar can only be told.
pub(crate) fn input_description(description: Option<&str>, format: Option<&Value>) -> String {
    let mut text = description.unwrap_or_default().to_owned();
    if let Some(definition) =
        format.and_then(|format| format.pointer("/definition").or_else(|| format.pointer("/grammar/definition")))
        && let Some(definition) = definition.as_str()
    {
        text.push_str("\n\nThe input has to follow this grammar:\n");
        text.push_str(definition);
    }
    text
}

/// The arguments of a function that stands for a custom tool.
pub(crate) fn wrap_input(text: &str) -> String {
    json!({ "input": text }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str) -> Part {
        Part::ToolCall(crate::ir::ToolCall { name: name.to_owned(), ..Default::default() })
    }

    #[test]
    fn names_are_mended_and_found_again() {
        let turn = crate::ir::Turn {
            role: crate::ir::Role::Assistant,
            parts: vec![call("fine-name"), call("files/read"), call("files.read"), call(&"x".repeat(80))],
        };
        let namer = Namer::new(NameRule::PLAIN, &Request { turns: vec![turn], ..Request::default() });

        assert_eq!(namer.sent("fine-name"), "fine-name");
        for name in ["files/read", "files.read", &"x".repeat(80)] {
            let sent = namer.sent(name);
            assert!(NameRule::PLAIN.takes(sent), "{sent}");
            assert_eq!(namer.names.agents(sent), name);
        }
        assert_ne!(namer.sent("files/read"), namer.sent("files.read"));
    }

    #[test]
    fn the_input_of_a_custom_tool_survives_its_wrapping() {
        let names = Names { custom: vec!["patch".to_owned()], ..Names::default() };
        assert_eq!(names.arguments("patch", &wrap_input("*** Begin \"Patch\"\n")), "*** Begin \"Patch\"\n");
        assert_eq!(names.arguments("patch", "not wrapped"), "not wrapped");
        assert_eq!(names.arguments("other", r#"{"input":"x"}"#), r#"{"input":"x"}"#);
    }
}
