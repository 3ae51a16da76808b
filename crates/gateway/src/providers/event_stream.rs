//! Amazon's binary event stream (`application/vnd.amazon.eventstream`), read into lines of JSON.
//!
//! A frame is: total length, length of the headers, CRC of both, headers, payload, CRC of all, numbers
//! in network order. Each event becomes one line `{"<event type>":<payload>}`, as the API's
//! union is written in JSON, and that is what the decoder of Converse reads. An exception keeps its
//! type as the member's name.

use std::fmt::Write;

/// Longest frame. Events of a model's answer are far smaller.
const FRAME_BYTES_MAX: usize = 4 * 1024 * 1024;
const PRELUDE: usize = 12;
const CRC: usize = 4;

/// Reads frames as they arrive, cut anywhere.
#[derive(Debug, Default)]
pub struct EventStream {
    pending: Vec<u8>,
}

/// Bytes that are no event stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the provider's event stream cannot be read: {0}")]
pub struct BadStream(pub &'static str);

impl EventStream {
    /// Takes more bytes and appends a line to `lines` for each event they complete.
    pub fn feed(&mut self, bytes: &[u8], lines: &mut Vec<u8>) -> Result<(), BadStream> {
        self.pending.extend_from_slice(bytes);
        let mut read = 0;
        while let Some(frame) = frame(&self.pending[read..])? {
            read += frame.len();
            line(frame, lines)?;
        }
        self.pending.drain(..read);
        Ok(())
    }

    /// Whether the stream may end here: not in the middle of a frame.
    pub fn is_complete(&self) -> bool {
        self.pending.is_empty()
    }
}

fn number(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
}

/// The first frame of `bytes`, checked, once it is there.
fn frame(bytes: &[u8]) -> Result<Option<&[u8]>, BadStream> {
    let Some(prelude) = bytes.get(..PRELUDE) else { return Ok(None) };
    if number(&prelude[8..]) != Some(crc32fast::hash(&prelude[..8])) {
        return Err(BadStream("a frame's beginning is damaged"));
    }
    let total = number(prelude).map_or(0, |total| total as usize);
    let headers = number(&prelude[4..]).map_or(0, |headers| headers as usize);
    if !(PRELUDE + CRC..=FRAME_BYTES_MAX).contains(&total) || headers > total - PRELUDE - CRC {
        return Err(BadStream("a frame has an impossible length"));
    }
    let Some(frame) = bytes.get(..total) else { return Ok(None) };
    let (content, crc) = frame.split_at(total - CRC);
    if number(crc) != Some(crc32fast::hash(content)) {
        return Err(BadStream("a frame is damaged"));
    }
    Ok(Some(frame))
}

/// Appends the line of a checked frame.
fn line(frame: &[u8], lines: &mut Vec<u8>) -> Result<(), BadStream> {
    let headers = number(&frame[4..]).map_or(0, |headers| headers as usize);
    let (headers, payload) = frame[PRELUDE..frame.len() - CRC].split_at(headers);
    let mut kind = None;
    let mut exception = None;
    for header in Headers(headers) {
        match header? {
            (":event-type", value) => kind = Some(value),
            (":exception-type" | ":error-code", value) => exception = Some(value),
            _ => {}
        }
    }
    let name = exception.or(kind).unwrap_or("unknown");
    let mut start = String::new();
    // Writing to a string cannot fail, nor can a string fail to be JSON.
    let _ = write!(start, "{{{}:", serde_json::Value::from(name));
    lines.extend_from_slice(start.as_bytes());
    // A payload may be laid out over lines; a JSON text holds no line break but blanks.
    lines.extend(payload.iter().map(|&byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
    if payload.is_empty() {
        lines.extend_from_slice(b"{}");
    }
    lines.extend_from_slice(b"}\n");
    Ok(())
}

/// The headers of a frame that are text; others are passed over.
struct Headers<'a>(&'a [u8]);

impl<'a> Iterator for Headers<'a> {
    type Item = Result<(&'a str, &'a str), BadStream>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let header = self.header();
        if header.is_none() {
            self.0 = &[];
        }
        Some(header.ok_or(BadStream("a frame's headers are damaged")))
    }
}

impl<'a> Headers<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn header(&mut self) -> Option<(&'a str, &'a str)> {
        let length = usize::from(*self.take(1)?.first()?);
        let name = str::from_utf8(self.take(length)?).ok()?;
        let value = match self.take(1)?.first()? {
            0 | 1 => &[],
            2 => self.take(1)?,
            3 => self.take(2)?,
            4 => self.take(4)?,
            5 | 8 => self.take(8)?,
            kind @ (6 | 7) => {
                let length = usize::from(u16::from_be_bytes(*self.take(2)?.first_chunk()?));
                let value = self.take(length)?;
                if *kind == 7 {
                    return Some((name, str::from_utf8(value).ok()?));
                }
                value
            }
            9 => self.take(16)?,
            _ => return None,
        };
        let _ = value;
        Some((name, ""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
        let mut head = Vec::new();
        for (name, value) in headers {
            head.push(u8::try_from(name.len()).unwrap());
            head.extend_from_slice(name.as_bytes());
            head.push(7);
            head.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            head.extend_from_slice(value.as_bytes());
        }
        let total = u32::try_from(PRELUDE + head.len() + payload.len() + CRC).unwrap();
        let mut frame = total.to_be_bytes().to_vec();
        frame.extend_from_slice(&u32::try_from(head.len()).unwrap().to_be_bytes());
        frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
        frame.extend_from_slice(&head);
        frame.extend_from_slice(payload.as_bytes());
        frame.extend_from_slice(&crc32fast::hash(&frame).to_be_bytes());
        frame
    }

    fn stream() -> Vec<u8> {
        let event = |kind| [(":message-type", "event"), (":event-type", kind), (":content-type", "application/json")];
        let mut bytes = encoded(&event("messageStart"), r#"{"role":"assistant"}"#);
        bytes.extend(encoded(&event("contentBlockDelta"), "{\"delta\":\n{\"text\":\"hi\"}}"));
        let exception = [(":message-type", "exception"), (":exception-type", "throttlingException")];
        bytes.extend(encoded(&exception, r#"{"message":"slow down"}"#));
        bytes
    }

    const LINES: &str = "{\"messageStart\":{\"role\":\"assistant\"}}\n\
        {\"contentBlockDelta\":{\"delta\": {\"text\":\"hi\"}}}\n\
        {\"throttlingException\":{\"message\":\"slow down\"}}\n";

    #[test]
    fn frames_become_lines_wherever_they_are_cut() {
        let bytes = stream();
        for size in [1, 7, 100, bytes.len()] {
            let (mut reader, mut lines) = (EventStream::default(), Vec::new());
            for piece in bytes.chunks(size) {
                reader.feed(piece, &mut lines).unwrap();
            }
            assert_eq!(String::from_utf8(lines).unwrap(), LINES);
            assert!(reader.is_complete());
        }
    }

    #[test]
    fn a_changed_byte_is_found() {
        let bytes = stream();
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x20;
            let mut reader = EventStream::default();
            let outcome = reader.feed(&bytes, &mut Vec::new());
            assert!(outcome.is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_stream_may_not_end_within_a_frame() {
        let bytes = stream();
        let mut reader = EventStream::default();
        reader.feed(&bytes[..bytes.len() - 1], &mut Vec::new()).unwrap();
        assert!(!reader.is_complete());
    }
}
