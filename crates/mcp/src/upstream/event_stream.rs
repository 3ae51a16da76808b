//! Reads a server-sent event stream, bounded in memory and linear in time.

use std::time::Duration;

use super::error::UpstreamError;

/// One event. `data` is empty when only an id or a retry time was sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) kind: String,
    pub(super) data: String,
    pub(super) id: Option<String>,
    pub(super) retry: Option<Duration>,
}

/// Turns bytes into events.
#[derive(Debug)]
pub(super) struct Decoder {
    buffer: Vec<u8>,
    /// Start of the first byte of `buffer` not yet consumed, and of that not yet searched.
    start: usize,
    searched: usize,
    event: Event,
    limit: usize,
    after_cr: bool,
    at_beginning: bool,
}

impl Decoder {
    /// `limit` is the most bytes one event may take.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            searched: 0,
            event: Event::default(),
            limit,
            after_cr: false,
            at_beginning: true,
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole event; `None` wants more bytes.
    pub(super) fn next(&mut self) -> Result<Option<Event>, UpstreamError> {
        while let Some(line) = self.line() {
            if line.is_empty() {
                let event = std::mem::take(&mut self.event);
                if !event.data.is_empty() || event.id.is_some() || event.retry.is_some() {
                    let mut event = event;
                    if event.data.ends_with('\n') {
                        event.data.pop();
                    }
                    return Ok(Some(event));
                }
                continue;
            }
            let line = std::str::from_utf8(&line)
                .map_err(|_| UpstreamError::Protocol("an event stream that is not UTF-8".to_owned()))?;
            self.field(line);
            self.check_limit(0)?;
        }
        self.check_limit(self.buffer.len() - self.start)?;
        Ok(None)
    }

    fn check_limit(&self, pending: usize) -> Result<(), UpstreamError> {
        if self.event.data.len() + pending > self.limit {
            return Err(UpstreamError::TooLarge(self.limit as u64));
        }
        Ok(())
    }

    /// Takes one line off the buffer; lines end with LF, CR LF or CR.
    fn line(&mut self) -> Option<Vec<u8>> {
        if self.after_cr && self.buffer.get(self.start) == Some(&b'\n') {
            self.start += 1;
            self.searched = self.start;
            self.after_cr = false;
        }
        let unsearched = &self.buffer[self.searched..];
        let Some(offset) = unsearched.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
            self.searched = self.buffer.len();
            return None;
        };
        let end = self.searched + offset;
        let mut line = &self.buffer[self.start..end];
        if self.at_beginning {
            self.at_beginning = false;
            line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
        }
        let line = line.to_vec();
        self.after_cr = self.buffer[end] == b'\r';
        self.start = end + 1;
        self.searched = self.start;
        Some(line)
    }

    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => {
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            "event" => value.clone_into(&mut self.event.kind),
            "id" if !value.contains('\0') => self.event.id = Some(value.to_owned()),
            "retry" => self.event.retry = value.parse().ok().map(Duration::from_millis),
            _ => {}
        }
    }
}

/// The events of an HTTP response.
#[derive(Debug)]
pub(super) struct EventStream {
    response: reqwest::Response,
    decoder: Decoder,
}

impl EventStream {
    pub(super) fn new(response: reqwest::Response, limit: usize) -> Self {
        Self { response, decoder: Decoder::new(limit) }
    }

    /// The next event; `None` at the end. Safe to drop while waiting.
    pub(super) async fn next(&mut self) -> Result<Option<Event>, UpstreamError> {
        loop {
            if let Some(event) = self.decoder.next()? {
                return Ok(Some(event));
            }
            match self.response.chunk().await {
                Ok(Some(bytes)) => self.decoder.push(&bytes),
                Ok(None) => return Ok(None),
                Err(error) => {
                    return Err(UpstreamError::Broken { why: super::http::describe(&error), sent: true });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(chunks: &[&str]) -> Vec<(String, String, Option<String>)> {
        let mut decoder = Decoder::new(1024);
        let mut events = Vec::new();
        for chunk in chunks {
            decoder.push(chunk.as_bytes());
            while let Some(event) = decoder.next().unwrap() {
                events.push((event.kind, event.data, event.id));
            }
        }
        events
    }

    #[test]
    fn events_are_found_however_the_bytes_are_cut() {
        let text = "\u{feff}: hello\r\nevent: endpoint\r\ndata: /messages?x=1\r\n\r\nid: 7\ndata: {\"a\":\ndata: 1}\n\nid: 8\n\ndata:plain\r\rretry: 20\n\n";
        let whole = decode(&[text]);
        assert_eq!(
            whole,
            [
                ("endpoint".into(), "/messages?x=1".into(), None),
                (String::new(), "{\"a\":\n1}".into(), Some("7".into())),
                (String::new(), String::new(), Some("8".into())),
                (String::new(), "plain".into(), None),
                (String::new(), String::new(), None),
            ]
        );
        let letters: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(decode(&letters.iter().map(String::as_str).collect::<Vec<_>>()), whole);
    }

    #[test]
    fn an_endless_event_is_refused() {
        for filler in ["data: xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n", "x"] {
            let mut decoder = Decoder::new(1000);
            let refused = (0..10_000).any(|_| {
                decoder.push(filler.as_bytes());
                decoder.next().is_err()
            });
            assert!(refused && decoder.buffer.len() < 4000, "{filler:?}");
        }
    }
}
