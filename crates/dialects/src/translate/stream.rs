//! What reading and writing streams has in common.

use preloop_types::Tokens;

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
            Event::Delta { index, text: more } => match self.choice.parts.get_mut(index) {
                Some(
                    Part::Text { text, .. }
                    | Part::Refusal(text)
                    | Part::Reasoning(Thought { text, .. })
                    | Part::ToolCall(ToolCall { arguments: text, .. }),
                ) => text.push_str(&more),
                _ => {}
            },
            Event::Signature { index, signature: whole } => match self.choice.parts.get_mut(index) {
                Some(Part::Reasoning(Thought { signature, .. }) | Part::ToolCall(ToolCall { signature, .. })) => {
                    *signature = Some(whole);
                }
                _ => {}
            },
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
