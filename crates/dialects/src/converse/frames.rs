//! Amazon's `application/vnd.amazon.eventstream`: binary frames, each with a checksum over its first
//! twelve bytes and one over all.

use crate::sse::FRAME_MAX;

/// Length of the frame, length of its headers, checksum of both.
const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// Takes a stream apart into frames, cut anywhere.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    held: Vec<u8>,
    start: usize,
}

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub kind: Kind,
    /// The event, or the provider's word for the exception.
    pub name: &'a str,
    /// What an error says for people; empty for anything else.
    pub message: &'a str,
    pub payload: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Event,
    /// Modelled by the API: the payload says more.
    Exception,
    /// Not modelled: the headers say all.
    Error,
}

/// A stream that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadFrame {
    #[error("a frame of the stream is longer than 1 MiB")]
    TooLong,
    #[error("a frame of the stream has a wrong checksum")]
    Checksum,
    #[error("a frame of the stream is malformed")]
    Malformed,
}

impl Parser {
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.held.drain(..self.start);
        self.start = 0;
        self.held.extend_from_slice(bytes);
    }

    /// Whether the stream ended inside a frame.
    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.held.len()
    }

    /// The next frame that is complete, or `None` until more bytes arrive.
    pub(crate) fn next(&mut self) -> Result<Option<Frame<'_>>, BadFrame> {
        let rest = &self.held[self.start..];
        let Some((prelude, _)) = rest.split_at_checked(PRELUDE) else { return Ok(None) };
        let length = number(prelude, 0)?;
        let headers = number(prelude, 4)?;
        if checksum(prelude, 8)? != crc32fast::hash(&prelude[..8]) {
            return Err(BadFrame::Checksum);
        }
        if length > FRAME_MAX {
            return Err(BadFrame::TooLong);
        }
        if headers > length || length - headers < PRELUDE + CHECKSUM {
            return Err(BadFrame::Malformed);
        }
        if rest.len() < length {
            return Ok(None);
        }
        let frame = &self.held[self.start..self.start + length];
        self.start += length;
        let (content, _) = frame.split_at(length - CHECKSUM);
        if checksum(frame, length - CHECKSUM)? != crc32fast::hash(content) {
            return Err(BadFrame::Checksum);
        }
        let (headers, payload) = content[PRELUDE..].split_at(headers);
        read(headers, payload).map(Some)
    }
}

fn read<'a>(mut headers: &'a [u8], payload: &'a [u8]) -> Result<Frame<'a>, BadFrame> {
    let mut frame = Frame { kind: Kind::Event, name: "", message: "", payload };
    while !headers.is_empty() {
        let name = {
            let (&length, rest) = headers.split_first().ok_or(BadFrame::Malformed)?;
            take(&mut headers, rest, usize::from(length))?
        };
        let (&kind, rest) = headers.split_first().ok_or(BadFrame::Malformed)?;
        let (length, rest) = match kind {
            0 | 1 => (0, rest),
            2 => (1, rest),
            3 => (2, rest),
            4 => (4, rest),
            5 | 8 => (8, rest),
            9 => (16, rest),
            6 | 7 => match rest {
                [high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
                _ => return Err(BadFrame::Malformed),
            },
            _ => return Err(BadFrame::Malformed),
        };
        let value = take(&mut headers, rest, length)?;
        let value = if kind == 7 { std::str::from_utf8(value).map_err(|_| BadFrame::Malformed)? } else { "" };
        match name {
            b":message-type" => {
                frame.kind = match value {
                    "event" => Kind::Event,
                    "exception" => Kind::Exception,
                    _ => Kind::Error,
                }
            }
            b":event-type" | b":exception-type" | b":error-code" => frame.name = value,
            b":error-message" => frame.message = value,
            _ => {}
        }
    }
    Ok(frame)
}

/// The first `length` of `rest`; what is behind becomes `headers`.
fn take<'a>(headers: &mut &'a [u8], rest: &'a [u8], length: usize) -> Result<&'a [u8], BadFrame> {
    let (value, behind) = rest.split_at_checked(length).ok_or(BadFrame::Malformed)?;
    *headers = behind;
    Ok(value)
}

fn checksum(bytes: &[u8], at: usize) -> Result<u32, BadFrame> {
    let number = bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).ok_or(BadFrame::Malformed)?;
    Ok(u32::from_be_bytes(number))
}

fn number(bytes: &[u8], at: usize) -> Result<usize, BadFrame> {
    usize::try_from(checksum(bytes, at)?).map_err(|_| BadFrame::TooLong)
}

/// A frame with these headers, all of them texts.
#[cfg(test)]
pub(crate) fn written(headers: &[(&str, &str)], payload: &[u8]) -> Vec<u8> {
    let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let long = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut head = Vec::new();
    for (name, value) in headers {
        head.push(short(name.len())[1]);
        head.extend_from_slice(name.as_bytes());
        head.push(7);
        head.extend_from_slice(&short(value.len()));
        head.extend_from_slice(value.as_bytes());
    }
    let mut frame = Vec::new();
    frame.extend_from_slice(&long(PRELUDE + head.len() + payload.len() + CHECKSUM));
    frame.extend_from_slice(&long(head.len()));
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame.extend_from_slice(&head);
    frame.extend_from_slice(payload);
    frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one() -> Vec<u8> {
        written(&[(":message-type", "event"), (":event-type", "messageStart"), ("x", "")], b"{}")
    }

    #[test]
    fn a_frame_is_read_when_its_last_byte_is_there() {
        let frame = one();
        let mut parser = Parser::default();
        parser.push(&frame[..frame.len() - 1]);
        assert_eq!(parser.next(), Ok(None));
        parser.push(&frame[frame.len() - 1..]);
        let read = Frame { kind: Kind::Event, name: "messageStart", message: "", payload: b"{}" };
        assert_eq!(parser.next(), Ok(Some(read)));
        assert_eq!(parser.next(), Ok(None));
        assert!(parser.is_empty());
    }

    #[test]
    fn a_flipped_bit_anywhere_is_found() {
        for at in 0..one().len() {
            let mut frame = one();
            frame[at] ^= 1;
            let mut parser = Parser::default();
            parser.push(&frame);
            assert!(parser.next().is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_frame_that_says_it_is_too_long_is_not_waited_for() {
        let mut prelude = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0].to_vec();
        prelude.extend_from_slice(&crc32fast::hash(&prelude).to_be_bytes());
        let mut parser = Parser::default();
        parser.push(&prelude);
        assert_eq!(parser.next(), Err(BadFrame::TooLong));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), headers in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut parser = Parser::default();
            parser.push(&bytes);
            prop_assert!(parser.next().is_err() || bytes.len() < PRELUDE || parser.next().is_ok());
            // Headers of any bytes, behind checksums that are right.
            let _ = read(&headers, b"");
        }
    }
}
