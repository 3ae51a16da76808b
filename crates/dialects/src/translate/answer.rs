//! What all answers have in common, whoever gives them.

use preloop_types::Tokens;
use serde_json::{Value, json};

use super::{BadAnswer, Names};
use crate::{
    Dialect, Operation,
    ir::{Part, ToolCall},
    usage::Meter,
};

/// A finished call as the agent knows it: its own name and arguments, or the answer a tool stood for.
/// `custom` is whether the provider knew it as a custom tool.
pub(crate) fn read_call(names: &Names, sent: &str, custom: bool, call: ToolCall) -> Part {
    if names.is_answer(sent) {
        return Part::Text { text: call.arguments, cache: None };
    }
    let name = names.agents(sent).to_owned();
    let arguments = match names.arguments(&name, &call.arguments).into_owned() {
        none if none.is_empty() && !custom && !names.is_wrapped(&name) => "{}".to_owned(),
        arguments => arguments,
    };
    Part::ToolCall(ToolCall { name, arguments, ..call })
}

/// The counters of a `usage` object, read as they are read beside a relay.
pub(crate) fn tokens_of(dialect: Dialect, usage: &Value) -> Option<Tokens> {
    let mut meter = Meter::new(dialect, Operation::Generate);
    meter.feed(json!({ "usage": usage }).to_string().as_bytes());
    meter.tokens()
}

/// An answer, or a piece of it, that is not JSON. What the parser complains of is where, never what.
pub(crate) fn unreadable(error: &serde_json::Error) -> BadAnswer {
    BadAnswer(format!("not JSON at line {}, column {}", error.line(), error.column()))
}

/// A failed result, for dialects that cannot say that it failed otherwise.
pub(crate) fn error_text(text: &str) -> String {
    let says_so = text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("error"));
    if says_so { text.to_owned() } else { format!("Error: {text}") }
}
