use serde_json::Value;

use super::{
    chunks::Chunks,
    response::{self, Parts},
};
use crate::{
    ir::{Event, Stop},
    translate::{BadAnswer, Names, StreamDecoder, merge_counts, truncated},
};

/// Reads a streamed answer.
#[derive(Debug)]
pub(super) struct Decoder {
    chunks: Chunks,
    parts: Parts,
    started: bool,
    stop: Option<Stop>,
    /// As Google counts.
    usage: Value,
    ended: bool,
}

impl Decoder {
    pub(super) fn new(names: Names) -> Self {
        Self {
            chunks: Chunks::Unknown,
            parts: Parts::new(names),
            started: false,
            stop: None,
            usage: Value::Null,
            ended: false,
        }
    }

    fn chunks(&mut self, chunks: &[Vec<u8>], events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        for chunk in chunks {
            if !self.ended && !chunk.is_empty() {
                let chunk = serde_json::from_slice(chunk)
                    .map_err(|error| BadAnswer(format!("a chunk is not JSON: {error}")))?;
                self.chunk(&chunk, events)?;
            }
        }
        Ok(())
    }

    fn chunk(&mut self, chunk: &Value, events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        if let Some(error) = chunk.get("error") {
            let text = |name: &str| error[name].as_str().unwrap_or_default().to_owned();
            events.push(Event::Error { code: text("status"), message: text("message") });
            self.ended = true;
            return Ok(());
        }
        if !self.started {
            self.started = true;
            let (id, model) = (response::text(&chunk["responseId"]), response::text(&chunk["modelVersion"]));
            self.parts.answer.clone_from(&id);
            events.push(Event::Start { id, model });
        }
        let candidates = chunk["candidates"].as_array().into_iter().flatten();
        // Streams of several answers are not translated.
        for candidate in candidates.filter(|candidate| candidate["index"].as_u64().unwrap_or_default() == 0) {
            for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
                self.parts.take(part, events)?;
            }
            if let Some(reason) = candidate["finishReason"].as_str() {
                self.stop = Some(response::stop(reason, self.parts.calls > 0));
            }
        }
        if chunk["promptFeedback"]["blockReason"].is_string() {
            self.stop = Some(Stop::Filtered);
        }
        merge_counts(&mut self.usage, &chunk["usageMetadata"]);
        Ok(())
    }
}

impl StreamDecoder for Decoder {
    fn feed(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), BadAnswer> {
        let mut found = Vec::new();
        let split = self.chunks.push(bytes, &mut found);
        self.chunks(&found, events)?;
        split
    }

    /// Only the end of the stream is the end of the answer: usage may come behind the reason to stop.
    fn finish(&mut self, events: &mut Vec<Event>) {
        let mut found = Vec::new();
        self.chunks.last(&mut found);
        let read = self.chunks(&found, events);
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.parts.close(events);
        events.extend(response::usage(&self.usage).map(Event::Usage));
        match (read, self.stop.take()) {
            (Ok(()), Some(stop)) => events.extend([Event::Stop(stop), Event::End]),
            (read, _) => events.push(truncated(read.err())),
        }
    }
}
