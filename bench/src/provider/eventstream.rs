//! Amazon's `application/vnd.amazon.eventstream`: binary frames with a checksum over their prelude
//! and one over all.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

/// An event of `kind`.
pub(super) fn event(kind: &str, payload: &Value) -> Bytes {
    frame(&[(":event-type", kind), (":content-type", "application/json"), (":message-type", "event")], payload)
}

/// An exception in the middle of a stream.
pub(super) fn exception(kind: &str, message: &str) -> Bytes {
    let headers = [(":exception-type", kind), (":content-type", "application/json"), (":message-type", "exception")];
    frame(&headers, &json!({ "message": message }))
}

fn frame(headers: &[(&str, &str)], payload: &Value) -> Bytes {
    /// Headers of this type are strings with a length of two bytes.
    const STRING: u8 = 7;
    const AROUND: usize = 16;
    let length = |size: usize| u32::try_from(size).unwrap_or(u32::MAX);
    let mut head = BytesMut::new();
    for (name, value) in headers {
        head.put_u8(u8::try_from(name.len()).unwrap_or(u8::MAX));
        head.put_slice(name.as_bytes());
        head.put_u8(STRING);
        head.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
        head.put_slice(value.as_bytes());
    }
    let payload = payload.to_string();
    let mut frame = BytesMut::with_capacity(AROUND + head.len() + payload.len());
    frame.put_u32(length(AROUND + head.len() + payload.len()));
    frame.put_u32(length(head.len()));
    frame.put_u32(crc32fast::hash(&frame));
    frame.put_slice(&head);
    frame.put_slice(payload.as_bytes());
    frame.put_u32(crc32fast::hash(&frame));
    frame.freeze()
}
