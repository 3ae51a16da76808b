//! Tool calls of a stream, which arrive in fragments.

use serde_json::Value;

use crate::{
    ir::{Event, Part, PartKind, ToolCall},
    translate::{ARGUMENTS_MAX, BadAnswer, Names, made_up_id, read_call},
};

/// The calls of one answer.
#[derive(Debug, Default)]
pub(super) struct Calls {
    names: Names,
    calls: Vec<Call>,
}

#[derive(Debug, Default)]
struct Call {
    /// The server's index, where it has one.
    index: Option<u64>,
    /// The server's id; empty where it has none.
    id: String,
    /// The name as it was sent; empty until it comes.
    name: String,
    custom: bool,
    /// The part it became.
    part: Option<usize>,
    /// Arguments that were not passed on yet.
    held: String,
    length: usize,
    ended: bool,
}

impl Calls {
    pub(super) fn new(names: Names) -> Self {
        Self { names, calls: Vec::new() }
    }

    /// Whether the model called a tool of the agent's.
    pub(super) fn any(&self) -> bool {
        self.calls.iter().any(|call| !self.names.is_answer(&call.name))
    }

    /// Takes a fragment. `parts` counts the parts of the answer.
    pub(super) fn fragment(
        &mut self,
        fragment: &Value,
        answer: &str,
        parts: &mut usize,
        events: &mut Vec<Event>,
    ) -> Result<(), BadAnswer> {
        let inner = fragment.get("function").or_else(|| fragment.get("custom")).unwrap_or(fragment);
        let name = inner.get("name").and_then(Value::as_str).unwrap_or_default();
        let place = self.place(fragment, name);
        let call = &mut self.calls[place];
        if call.ended {
            return Ok(());
        }
        call.custom |= fragment.get("custom").is_some();
        if call.name.is_empty() {
            name.clone_into(&mut call.name);
        }
        match inner.get("arguments").or_else(|| inner.get("input")) {
            Some(Value::String(more)) => call.held.push_str(more),
            // Some servers forget that arguments are a text.
            Some(object @ Value::Object(_)) => call.held.push_str(&object.to_string()),
            _ => {}
        }
        if call.length + call.held.len() > ARGUMENTS_MAX {
            return Err(BadAnswer("the arguments of a tool call are longer than 1 MiB".to_owned()));
        }
        if call.name.is_empty() {
            return Ok(());
        }
        let index = if let Some(index) = call.part {
            index
        } else {
            if call.id.is_empty() {
                call.id = made_up_id(answer, place, &call.name);
            }
            let kind = if self.names.is_answer(&call.name) {
                PartKind::Text
            } else {
                PartKind::ToolCall { id: call.id.clone(), name: self.names.agents(&call.name).to_owned() }
            };
            let index = *parts;
            *parts += 1;
            call.part = Some(index);
            events.push(Event::PartStart { index, kind });
            index
        };
        // What is wrapped can only be unwrapped whole.
        if !call.held.is_empty() && !self.names.is_wrapped(self.names.agents(&call.name)) {
            call.length += call.held.len();
            events.push(Event::Delta { index, text: std::mem::take(&mut call.held) });
        }
        Ok(())
    }

    /// Every call is complete.
    pub(super) fn end(&mut self, events: &mut Vec<Event>) {
        for call in &mut self.calls {
            let Some(index) = call.part.filter(|_| !call.ended) else { continue };
            call.ended = true;
            if call.length == 0 {
                let whole = ToolCall { arguments: std::mem::take(&mut call.held), ..ToolCall::default() };
                if let Part::ToolCall(ToolCall { arguments: text, .. }) =
                    read_call(&self.names, &call.name, call.custom, whole)
                    && !text.is_empty()
                {
                    events.push(Event::Delta { index, text });
                }
            }
            events.push(Event::PartEnd { index });
        }
    }

    /// Which call a fragment belongs to: by index, else by id, else to the last one, unless it begins another.
    fn place(&mut self, fragment: &Value, name: &str) -> usize {
        let index = fragment.get("index").and_then(Value::as_u64);
        let id = fragment.get("id").and_then(Value::as_str).unwrap_or_default();
        let known = match (index, id) {
            (Some(_), _) => self.calls.iter().rposition(|call| call.index == index),
            (None, "") => self.calls.len().checked_sub(1),
            (None, id) => self.calls.iter().rposition(|call| call.id == id),
        };
        let same = known.filter(|known| {
            let call = &self.calls[*known];
            // Some number every call 0 and only give it another id; some give neither, and begin with a name.
            let other_id = !id.is_empty() && !call.id.is_empty() && id != call.id && !name.is_empty();
            let begins =
                index.is_none() && id.is_empty() && !name.is_empty() && (call.length > 0 || !call.held.is_empty());
            !other_id && !begins
        });
        let place = same.unwrap_or_else(|| {
            self.calls.push(Call { index, ..Call::default() });
            self.calls.len() - 1
        });
        if self.calls[place].id.is_empty() {
            id.clone_into(&mut self.calls[place].id);
        }
        place
    }
}
