//! What an answer consumed, read beside the relay.
//!
//! The bytes are read as they pass, whatever their form: one JSON value, server-sent events, or Gemini's
//! array. Nothing is held but the beginning of one value, so a frame of any size costs no memory, and how the
//! bytes are cut makes no difference. A reading never fails; of a strange answer it only knows less.

mod counts;
mod filter;
mod keys;
mod lines;
mod reader;
mod skim;

use preloop_types::{NanoUsd, Tokens};

pub use filter::UsageChunkFilter;
use lines::{Lines, Piece};
use reader::Reader;
use skim::Skim;

use crate::{Dialect, Operation, error::ProviderError};

/// Measures one answer.
#[derive(Debug)]
pub struct Meter {
    dialect: Dialect,
    operation: Operation,
    form: Form,
    lines: Lines,
    skim: Skim,
    reader: Reader,
}

/// The form of an answer, told by its first byte: a provider may answer otherwise than it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Unknown,
    Object,
    Array,
    Events,
}

/// What is known of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading {
    /// What the provider says it consumed; `None` if it said nothing, or nothing to be believed.
    pub tokens: Option<Tokens>,
    /// The model as the provider names it.
    pub model: Option<String>,
    /// The provider's id of the answer.
    pub response_id: Option<String>,
    /// Why the answer ended, in the provider's word.
    pub stop: Option<String>,
    /// Whether the answer came to its normal end.
    pub complete: bool,
    /// Bytes of text, reasoning and arguments that passed, as written.
    pub output_bytes: u64,
    /// An error in the middle of the answer, or instead of it.
    pub error: Option<ProviderError>,
    /// What the provider says the call costs.
    pub reported_cost: Option<NanoUsd>,
    /// Tools the model called, each once, at most 64.
    pub tool_names: Vec<String>,
    /// The beginning of what it says, where the meter was told to keep it.
    pub said: Option<Said>,
}

/// The beginning of what an answer says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    /// Its text, without reasoning.
    pub text: String,
    /// Its tool calls: name, and arguments where they come as text.
    pub calls: Vec<(String, String)>,
    /// Whether something was left out.
    pub truncated: bool,
}

impl Meter {
    /// Starts reading an answer in `dialect`.
    pub fn new(dialect: Dialect, operation: Operation) -> Self {
        Self {
            dialect,
            operation,
            form: Form::Unknown,
            lines: Lines::default(),
            skim: Skim::keeping(0),
            reader: Reader::default(),
        }
    }

    /// Also keeps the beginning of what the answer says, `bytes` of it at most.
    #[must_use]
    pub fn keeping(mut self, bytes: usize) -> Self {
        self.skim = Skim::keeping(bytes);
        self.reader.said = Some(Said::default());
        self.reader.said_max = bytes;
        self
    }

    /// Takes the bytes that pass.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        if self.form == Form::Unknown {
            // White space and a byte order mark say nothing yet.
            let Some(first) = bytes.iter().position(|byte| !b" \t\r\n\xef\xbb\xbf".contains(byte)) else { return };
            bytes = &bytes[first..];
            self.form = match bytes[0] {
                b'{' => Form::Object,
                b'[' => Form::Array,
                _ => Form::Events,
            };
        }
        let Self { skim, reader, .. } = self;
        if self.form != Form::Events {
            skim.feed(bytes, reader);
            return;
        }
        self.lines.feed(bytes, |piece| match piece {
            Piece::Data(data) => skim.feed(data, reader),
            Piece::End => {
                skim.finish(reader);
                reader.frame_ends();
            }
        });
    }

    /// What is known so far: a stream may be cut off at any time.
    pub fn output_bytes(&self) -> u64 {
        self.reader.output_bytes
    }

    /// What was reported so far.
    pub fn tokens(&self) -> Option<Tokens> {
        let tokens = self.reader.counts.tokens(self.dialect, self.operation)?;
        // Some servers fill in zeros when they did not count.
        (tokens.total() > 0 || self.reader.output_bytes == 0).then_some(tokens)
    }

    /// The answer is over, or was broken off.
    pub fn finish(mut self) -> Reading {
        self.skim.finish(&mut self.reader);
        self.reader.frame_ends();
        let tokens = self.tokens();
        let reader = self.reader;
        let ended = match self.form {
            Form::Unknown => false,
            Form::Object => self.skim.closed(),
            Form::Array => self.skim.closed() && reader.stop.is_some(),
            // Servers of OpenAI's shape do not all send `[DONE]`; Google has no such end.
            Form::Events => match self.dialect {
                Dialect::Chat | Dialect::Gemini | Dialect::Converse => reader.done || reader.stop.is_some(),
                Dialect::Responses | Dialect::Messages => reader.done,
            },
        };
        Reading {
            tokens,
            complete: ended && reader.error.is_none(),
            reported_cost: reader.counts.cost(),
            model: reader.model,
            response_id: reader.id,
            stop: reader.stop,
            output_bytes: reader.output_bytes,
            error: reader.error,
            tool_names: reader.tool_names,
            said: reader.said,
        }
    }
}
