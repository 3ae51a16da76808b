//! Server-sent events, as model providers send them: cut anywhere, with any line ending.

use std::borrow::Cow;

use bytes::Bytes;
use memchr::{memchr, memchr2};

/// The longest frame that is held, in bytes.
pub const FRAME_MAX: usize = 1 << 20;

/// Takes a stream apart into frames. Bytes go in with [`Parser::push`] as they arrive, frames come out of
/// [`Parser::next`] as soon as their last byte is there.
#[derive(Debug, Default)]
pub struct Parser {
    held: Vec<u8>,
    start: usize,
    search: Search,
    begun: bool,
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The last `event` field; empty without one.
    pub event: &'a [u8],
    /// The `data` fields, joined by line feeds; `None` for a frame of comments alone.
    pub data: Option<Cow<'a, [u8]>>,
}

/// A frame longer than [`FRAME_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an event of the stream is longer than 1 MiB")]
pub struct TooLong;

impl Parser {
    /// Starts a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.held.drain(..self.start);
            self.start = 0;
        }
        self.held.extend_from_slice(bytes);
    }

    /// The next frame that is complete, or `None` until more bytes arrive.
    #[expect(clippy::should_implement_trait, reason = "the frame borrows from the parser")]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, TooLong> {
        let rest = &self.held[self.start..];
        let Some(length) = self.search.end(rest) else {
            return if rest.len() > FRAME_MAX { Err(TooLong) } else { Ok(None) };
        };
        if length > FRAME_MAX {
            return Err(TooLong);
        }
        let frame = &self.held[self.start..self.start + length];
        self.start += length;
        Ok(Some(parse(without_bom(frame, &mut self.begun))))
    }

    /// What is left when the stream ends: a frame whose blank line the server did not send. The
    /// standard discards it; most readers of model streams take it.
    pub fn last(&mut self) -> Option<Frame<'_>> {
        let rest = &self.held[self.start..];
        self.start = self.held.len();
        let frame = parse(without_bom(rest, &mut self.begun));
        frame.data.is_some().then_some(frame)
    }
}

fn without_bom<'a>(frame: &'a [u8], begun: &mut bool) -> &'a [u8] {
    if std::mem::replace(begun, true) { frame } else { frame.strip_prefix(b"\xef\xbb\xbf").unwrap_or(frame) }
}

/// Takes a stream apart into frames as they came, for those who pass them on.
#[derive(Debug, Default)]
pub struct Splitter {
    held: Vec<u8>,
    search: Search,
}

impl Splitter {
    /// Starts a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes more bytes and hands out each frame they complete, with its blank line.
    pub fn feed(&mut self, bytes: Bytes, mut frame: impl FnMut(Bytes)) -> Result<(), TooLong> {
        let bytes = if self.held.is_empty() {
            bytes
        } else {
            self.held.extend_from_slice(&bytes);
            Bytes::from(std::mem::take(&mut self.held))
        };
        let mut at = 0;
        while let Some(length) = self.search.end(&bytes[at..]) {
            frame(bytes.slice(at..at + length));
            at += length;
        }
        if bytes.len() - at > FRAME_MAX {
            return Err(TooLong);
        }
        self.held.extend_from_slice(&bytes[at..]);
        Ok(())
    }

    /// What the stream left without an end.
    pub fn rest(&mut self) -> Option<Bytes> {
        (!self.held.is_empty()).then(|| Bytes::from(std::mem::take(&mut self.held)))
    }
}

/// How far the search for a frame's end has come in a buffer that only grows at its end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Search {
    line: usize,
    at: usize,
}

impl Search {
    /// The length of the first frame in `bytes`, its blank line included. `bytes` is what the last call
    /// saw, with more behind it; after a frame was found, what follows that frame.
    pub(crate) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        while let Some(found) = memchr2(b'\r', b'\n', &bytes[self.at..]) {
            let end = self.at + found;
            let blank = end == self.line;
            let next = match (bytes[end], bytes.get(end + 1)) {
                (b'\r', Some(b'\n')) => end + 2,
                // A line feed may still come. It changes nothing for a blank line: alone, it is an empty frame.
                (b'\r', None) if !blank => {
                    self.at = end;
                    return None;
                }
                _ => end + 1,
            };
            if blank {
                *self = Self::default();
                return Some(next);
            }
            (self.line, self.at) = (next, next);
        }
        self.at = bytes.len();
        None
    }
}

/// Reads one frame, with or without its blank line.
pub fn parse(mut frame: &[u8]) -> Frame<'_> {
    let mut parsed = Frame { event: b"", data: None };
    while !frame.is_empty() {
        let end = memchr2(b'\r', b'\n', frame).unwrap_or(frame.len());
        let line = &frame[..end];
        let ending = if frame[end..].starts_with(b"\r\n") { 2 } else { 1 };
        frame = frame.get(end + ending..).unwrap_or_default();

        let (field, value) = match memchr(b':', line) {
            Some(colon) => (&line[..colon], &line[colon + 1..]),
            None => (line, &b""[..]),
        };
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"event" => parsed.event = value,
            b"data" => match &mut parsed.data {
                None => parsed.data = Some(Cow::Borrowed(value)),
                Some(data) => {
                    let data = data.to_mut();
                    data.push(b'\n');
                    data.extend_from_slice(value);
                }
            },
            _ => {}
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Owned = (String, Option<String>);

    fn frames<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<Owned> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let own = |frame: &Frame<'_>| (text(frame.event), frame.data.as_deref().map(text));
        let mut parser = Parser::new();
        let mut found = Vec::new();
        for piece in pieces {
            parser.push(piece);
            while let Some(frame) = parser.next().unwrap() {
                found.push(own(&frame));
            }
        }
        found.extend(parser.last().map(|frame| own(&frame)));
        // A line feed cut off its carriage return is an empty frame: nothing to anybody.
        found.retain(|frame| *frame != (String::new(), None));
        found
    }

    fn data(text: &str) -> Owned {
        (String::new(), Some(text.to_owned()))
    }

    #[test]
    fn frames_end_with_any_blank_line() {
        for ending in ["\n", "\r\n", "\r"] {
            let stream = "event: a|data: 1||: note||data:2|data: 3|id: 7||data||".replace('|', ending);
            let expected = [("a".to_owned(), Some("1".to_owned())), data("2\n3"), data("")];
            assert_eq!(frames([stream.as_bytes()]), expected, "{ending:?}");
        }
    }

    #[test]
    fn a_last_frame_without_its_blank_line_is_not_lost() {
        assert_eq!(frames([&b"data: 1\n\ndata: [DONE]\n"[..]]), [data("1"), data("[DONE]")]);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_field() {
        assert_eq!(frames(["\u{feff}data: 1\n\n".as_bytes()]), [data("1")]);
    }

    #[test]
    fn a_frame_that_does_not_end_is_given_up_at_its_limit() {
        let mut parser = Parser::new();
        parser.push(b"data: ");
        for _ in 0..1024 {
            parser.push(&[b'x'; 1024]);
            if parser.next() == Err(TooLong) {
                return;
            }
        }
        panic!("held more than 1 MiB");
    }

    proptest! {
        #[test]
        fn the_cut_makes_no_difference(
            lines in prop::collection::vec(
                prop::sample::select(vec!["data: {\"a\": \"é\"}", "data:", "event: x", ": c", "", "id", "data: 漢"]), 0..20),
            endings in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n", "\r"]), 20),
            cuts in prop::collection::vec(1_usize..9, 1..20),
        ) {
            let stream: String = lines.iter().zip(&endings).flat_map(|(line, ending)| [*line, *ending]).collect();
            let mut rest = stream.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts.iter().cycle() {
                let (piece, after) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = after;
                if rest.is_empty() { break; }
            }
            prop_assert_eq!(frames(pieces), frames([stream.as_bytes()]));
        }
    }
}
