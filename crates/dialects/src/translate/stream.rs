//! What reading and writing streams has in common.

use preloop_types::Tokens;
use serde_json::Value;

use super::BadAnswer;
use crate::ir::{Choice, Event, Part, PartKind, Response, Thought, ToolCall};

/// The longest arguments of one tool call that are held, in bytes.
pub(crate) const ARGUMENTS_MAX: usize = 1 << 20;

/// The most an encoder holds of parts that cannot be written yet, in bytes.
pub(crate) const HELD_MAX: usize = 4 << 20;

/// How a stream ends that the provider broke off; `because` of this, if it is known.
pub(crate) fn truncated(because: Option<BadAnswer>) -> Event {
    let message = because.map_or_else(
        || "the provider closed the stream before the end of its answer".to_owned(),
        |bad| bad.to_string(),
    );
    Event::Error { code: "upstream_truncated".to_owned(), message }
}

/// Merges cumulative counts as a provider writes them: the larger of each holds. It has to be done before
/// they are told apart, because some counts include others that come later.
pub(crate) fn merge_counts(so_far: &mut Value, more: &Value) {
    match (so_far, more) {
        (Value::Object(so_far), Value::Object(more)) => {
            for (name, count) in more {
                merge_counts(so_far.entry(name).or_insert(Value::Null), count);
            }
        }
        (Value::Number(so_far), Value::Number(more)) if more.as_u64() <= so_far.as_u64() => {}
        (_, Value::Null) => {}
        (so_far, more) => *so_far = more.clone(),
    }
}

/// Puts a streamed answer together to a whole one.
#[derive(Debug, Default)]
pub struct Collector {
    response: Response,
    choice: Choice,
    /// Whether the answer ended as it should.
    complete: bool,
    failed: Option<String>,
}

impl Collector {
    /// Takes the next event.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Start { id, model } => {
                self.response.id = id;
                self.response.model = model;
            }
            Event::PartStart { kind, .. } => self.choice.parts.push(match kind {
                PartKind::Text => Part::Text { text: String::new(), cache: None },
                PartKind::Reasoning { redacted } => Part::Reasoning(Thought { redacted, ..Thought::default() }),
                PartKind::ToolCall { id, name } => Part::ToolCall(ToolCall { id, name, ..ToolCall::default() }),
                PartKind::Refusal => Part::Refusal(String::new()),
            }),
            Event::Delta { index, text: more } => {
                if let Some(
                    Part::Text { text, .. }
                    | Part::Refusal(text)
                    | Part::Reasoning(Thought { text, .. })
                    | Part::ToolCall(ToolCall { arguments: text, .. }),
                ) = self.choice.parts.get_mut(index)
                {
                    text.push_str(&more);
                }
            }
            Event::Signature { index, signature: whole } => {
                if let Some(Part::Reasoning(Thought { signature, .. }) | Part::ToolCall(ToolCall { signature, .. })) =
                    self.choice.parts.get_mut(index)
                {
                    *signature = Some(whole);
                }
            }
            Event::PartEnd { .. } => {}
            Event::Usage(tokens) => {
                let usage: &mut Tokens = self.response.usage.get_or_insert_default();
                *usage = usage.max(tokens);
            }
            Event::Stop(stop) => self.choice.stop = stop,
            Event::End => self.complete = true,
            Event::Error { code, message } => self.failed = Some(format!("{code}: {message}")),
        }
    }

    /// The answer, if the stream came to its end.
    pub fn finish(self) -> Result<Response, BadAnswer> {
        match self.failed {
            Some(failed) => Err(BadAnswer(failed)),
            None if !self.complete => Err(BadAnswer("it breaks off".to_owned())),
            None => Ok(Response { choices: vec![self.choice], ..self.response }),
        }
    }
}
