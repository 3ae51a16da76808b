//! What is kept of a conversation with the record of its call: bounded, freed of secrets, without media.
//!
//! Agents send the whole conversation again with each call, so what is kept is what is new: the turns since
//! the model spoke last, and its answer. The calls of a session, one after another, are the conversation. The
//! instructions are kept with its first call.

mod turn;

use preloop_dialects::{
    Dialect,
    texts::{self, Turn},
    translate::BadRequest,
    usage::{Reading, Said},
};
use preloop_types::config::Capture;
use serde::Serialize;
use turn::Words;

use crate::guard::{CARD, SECRETS, redact};

/// Characters of a message in a preview.
const PREVIEW_MAX: usize = 4096;
/// Bytes of a message kept whole.
const FULL_MAX: usize = 1 << 20;
/// New messages of one call.
const TURNS_MAX: usize = 20;

/// What is kept of one call's conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Conversation {
    /// How much of it.
    pub capture: Capture,
    /// Turns of the request that are not here, because earlier calls had them.
    pub earlier: usize,
    /// What is new: the request's messages, then the answer's.
    pub messages: Vec<Message>,
}

/// A message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Message {
    /// `request` or `response`.
    pub source: &'static str,
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What it says; absent where only metadata is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Characters it has.
    pub characters: usize,
    /// Tools it calls.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Images, documents and sounds that were in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub media: Vec<Media>,
    /// Whether a secret was taken out.
    pub redacted: bool,
    /// Whether it goes on.
    pub truncated: bool,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ToolCall {
    /// The tool.
    pub name: String,
    /// Its arguments; absent where only metadata is kept, or where they were not kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arguments: Option<String>,
}

/// What stands in place of media.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Media {
    /// Media type; empty where it is not said.
    pub mime: String,
    /// Its size.
    pub bytes: usize,
    /// SHA-256 of it, in hex.
    pub sha256: String,
}

/// How many bytes of an answer the meter has to keep ([`preloop_dialects::usage::Meter::keeping`]).
pub const fn bytes_of_answer(capture: Capture) -> Option<usize> {
    match capture {
        Capture::Off => None,
        Capture::Metadata | Capture::Preview => Some(PREVIEW_MAX * 4),
        Capture::Full => Some(FULL_MAX),
    }
}

/// What is kept of a call: `body` as the agent sent it, `answer` as the meter read it.
pub fn conversation(
    capture: Capture,
    dialect: Dialect,
    body: &[u8],
    answer: &Reading,
) -> Result<Option<Conversation>, BadRequest> {
    if capture == Capture::Off {
        return Ok(None);
    }
    let turns = texts::turns(dialect, body)?;
    let (earlier, new) = new_turns(&turns, body);
    let mut messages: Vec<Message> = new
        .iter()
        .map(|turn| message(capture, "request", turn::words(&body[turn.span.clone()], turn.instructions)))
        .collect();
    if let Some(said) = &answer.said {
        messages.push(message(capture, "response", spoken(said)));
    }
    Ok(Some(Conversation { capture, earlier, messages }))
}

/// The turns since the model spoke last, and how many come before them.
fn new_turns<'a>(turns: &'a [Turn], body: &[u8]) -> (usize, &'a [Turn]) {
    let oldest = turns.len().saturating_sub(TURNS_MAX);
    let is_answer = |turn: &Turn| turn::is_answer(&body[turn.span.clone()]);
    let last_answer = turns[oldest..].iter().rposition(is_answer).map_or(0, |place| place + 1);
    let earlier = oldest + last_answer;
    (earlier, &turns[earlier..])
}

fn spoken(said: &Said) -> Words {
    Words {
        role: "assistant".to_owned(),
        text: said.text.clone(),
        calls: said.calls.clone(),
        media: Vec::new(),
        truncated: said.truncated,
    }
}

fn message(capture: Capture, source: &'static str, words: Words) -> Message {
    let mut message = Message {
        source,
        role: words.role,
        characters: words.text.chars().count(),
        media: words.media,
        truncated: words.truncated,
        ..Message::default()
    };
    let mut keep = |text: String| (capture != Capture::Metadata).then(|| message.clean(capture, text));
    let content = keep(words.text);
    let calls = words.calls.into_iter();
    let calls =
        calls.map(|(name, arguments)| ToolCall { name, arguments: keep(arguments).filter(|text| !text.is_empty()) });
    message.tool_calls = calls.collect();
    message.content = content;
    message
}

impl Message {
    /// `text` without secrets, and not too long. What is cut off is not looked through, but for as much as
    /// a secret across the cut may need.
    fn clean(&mut self, capture: Capture, mut text: String) -> String {
        let most = if capture == Capture::Full { FULL_MAX } else { PREVIEW_MAX };
        let cut = |text: &mut String, most: usize| {
            let end = text.floor_char_boundary(most);
            let cut = end < text.len();
            text.truncate(end);
            cut
        };
        self.truncated |= cut(&mut text, most * 2);
        let mut places = Vec::new();
        for finder in SECRETS.iter().chain(CARD.iter()) {
            finder.find(&text, &mut places);
        }
        if !places.is_empty() {
            self.redacted = true;
            text = redact(&text, places.into_iter().map(|place| place.found).collect());
        }
        self.truncated |= cut(&mut text, most);
        text
    }
}
