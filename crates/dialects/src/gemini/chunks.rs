use memchr::memchr2;

use crate::{
    sse::{FRAME_MAX, Parser},
    translate::BadAnswer,
};

/// Takes a stream apart into its JSON objects: server-sent events, or one JSON array that grows.
#[derive(Debug)]
pub(super) enum Chunks {
    /// Nothing came that tells which.
    Unknown,
    Events(Parser),
    Array(Array),
}

impl Chunks {
    pub(super) fn push(&mut self, bytes: &[u8], found: &mut Vec<Vec<u8>>) -> Result<(), BadAnswer> {
        let mut bytes = bytes;
        if matches!(self, Chunks::Unknown) {
            let blank = bytes.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            bytes = &bytes[blank..];
            *self = match bytes.first() {
                None => return Ok(()),
                // A body of one object is what some servers send for an error.
                Some(b'[' | b'{') => Chunks::Array(Array::default()),
                Some(_) => Chunks::Events(Parser::new()),
            };
        }
        match self {
            Chunks::Unknown => Ok(()),
            Chunks::Array(array) => array.push(bytes, found),
            Chunks::Events(parser) => {
                parser.push(bytes);
                while let Some(frame) = parser.next().map_err(|long| BadAnswer(long.to_string()))? {
                    found.extend(frame.data.map(std::borrow::Cow::into_owned));
                }
                Ok(())
            }
        }
    }

    /// What is left when the stream ends.
    pub(super) fn last(&mut self, found: &mut Vec<Vec<u8>>) {
        if let Chunks::Events(parser) = self {
            found.extend(parser.last().and_then(|frame| frame.data).map(std::borrow::Cow::into_owned));
        }
    }
}

/// A JSON array on its way, object by object.
#[derive(Debug, Default)]
pub(super) struct Array {
    held: Vec<u8>,
    depth: usize,
    quoted: bool,
    /// The last byte was a backslash inside a string.
    escaped: bool,
}

impl Array {
    fn push(&mut self, mut bytes: &[u8], found: &mut Vec<Vec<u8>>) -> Result<(), BadAnswer> {
        while !bytes.is_empty() {
            let taken = self.step(bytes);
            if self.depth > 0 || self.held.last().is_some() {
                self.held.extend_from_slice(&bytes[..taken]);
            }
            bytes = &bytes[taken..];
            if self.held.len() > FRAME_MAX {
                return Err(BadAnswer("a chunk of the stream is longer than 1 MiB".to_owned()));
            }
            if self.depth == 0 && !self.held.is_empty() {
                found.push(std::mem::take(&mut self.held));
            }
        }
        Ok(())
    }

    /// How many of `bytes` belong together: up to what changes the state, which is changed.
    fn step(&mut self, bytes: &[u8]) -> usize {
        if std::mem::take(&mut self.escaped) {
            return 1;
        }
        if self.quoted {
            let Some(at) = memchr2(b'"', b'\\', bytes) else { return bytes.len() };
            if bytes[at] == b'"' {
                self.quoted = false;
            } else {
                self.escaped = true;
            }
            return at + 1;
        }
        let Some(at) = bytes.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}')) else { return bytes.len() };
        if at > 0 {
            return at;
        }
        match bytes[0] {
            b'"' => self.quoted = true,
            b'{' => self.depth += 1,
            _ => self.depth = self.depth.saturating_sub(1),
        }
        1
    }
}
