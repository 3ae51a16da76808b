//! Takes the usage out of a chat stream whose agent did not ask for it.

use bytes::Bytes;

use crate::{
    json::{Cursor, Kind, NotJson},
    sse::{FRAME_MAX, Search, parse},
};

/// Passes a chat stream on, byte by byte as it came, without the chunk that holds nothing but usage.
///
/// Frames go out with the bytes that complete them. A frame longer than 1 MiB ends the filtering: from
/// there on everything passes.
#[derive(Debug, Default)]
pub struct UsageChunkFilter {
    held: Vec<u8>,
    search: Search,
    off: bool,
}

impl UsageChunkFilter {
    /// Starts a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes bytes from the provider and appends to `out` what goes on to the agent.
    pub fn feed(&mut self, bytes: Bytes, out: &mut Vec<Bytes>) {
        if self.off {
            out.push(bytes);
            return;
        }
        let bytes = if self.held.is_empty() {
            bytes
        } else {
            self.held.extend_from_slice(&bytes);
            Bytes::from(std::mem::take(&mut self.held))
        };
        let (mut from, mut at) = (0, 0);
        while let Some(length) = self.search.end(&bytes[at..]) {
            if is_usage_alone(&bytes[at..at + length]) {
                push(&bytes, from, at, out);
                from = at + length;
            }
            at += length;
        }
        if bytes.len() - at > FRAME_MAX {
            self.off = true;
            at = bytes.len();
        }
        push(&bytes, from, at, out);
        self.held.extend_from_slice(&bytes[at..]);
    }

    /// The provider closed the stream; what it left without an end goes on as it is.
    pub fn finish(self) -> Option<Bytes> {
        (!self.held.is_empty() && !is_usage_alone(&self.held)).then(|| Bytes::from(self.held))
    }
}

fn push(bytes: &Bytes, from: usize, to: usize, out: &mut Vec<Bytes>) {
    if from < to {
        out.push(bytes.slice(from..to));
    }
}

/// Whether a frame is the chunk that `include_usage` asks for: usage, and no choices. Other chunks without
/// choices exist (Azure's first one), and some servers put usage into the last choice's chunk.
fn is_usage_alone(frame: &[u8]) -> bool {
    if memchr::memmem::find(frame, b"\"usage\"").is_none() {
        return false;
    }
    let Some(data) = parse(frame).data else { return false };
    usage_alone(&data).unwrap_or(false)
}

fn usage_alone(chunk: &[u8]) -> Result<bool, NotJson> {
    let mut cursor = Cursor::new(chunk);
    let (mut usage, mut no_choices) = (false, false);
    cursor.open_object()?;
    while let Some(key) = cursor.key()? {
        let kind = cursor.peek()?;
        if key.is("choices") && kind == Kind::Array {
            cursor.open_array()?;
            no_choices = true;
            while cursor.element()? {
                no_choices = false;
                cursor.skip()?;
            }
        } else {
            usage |= key.is("usage") && kind == Kind::Object;
            cursor.skip()?;
        }
    }
    Ok(usage && no_choices)
}
