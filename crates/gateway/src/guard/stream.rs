//! Guardrails around a streamed answer.
//!
//! What was sent cannot be taken back, so frames wait until [`WINDOW`] bytes of text have followed theirs, or
//! until the text they belong to ends: a secret that comes in pieces is seen whole before its first piece
//! leaves. That is the price, and it is paid only where a rule may change or stop an answer. Where every rule
//! only notes, nothing waits.

use std::{
    collections::{HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use preloop_dialects::{
    sse::{self, Splitter},
    texts,
};
use preloop_types::{GuardrailAction, GuardrailSide};

use super::{Finding, Found, Guard, REDACTED, note, splice};

/// Text that has to follow before a piece is known to be harmless, in bytes. Longer finds (private keys) are
/// waited for as they begin.
const WINDOW: usize = 256;
/// The most text that waits, in bytes. An answer that demands more is stopped.
const HELD_MAX: usize = 64 * 1024;

/// Checks one answer streamed as server-sent events. Bytes go in as they arrive; what may go on comes out.
#[derive(Debug)]
pub struct StreamGuard {
    guard: Arc<Guard>,
    holds: bool,
    splitter: Splitter,
    queue: VecDeque<Held>,
    channels: HashMap<u64, Channel>,
    findings: Vec<Finding>,
}

/// Why an answer has to stop. What came out before has left.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Stopped {
    /// For the agent.
    pub message: String,
    /// What was found until then.
    pub findings: Vec<Finding>,
}

/// A frame that waits.
#[derive(Debug)]
struct Held {
    frame: Bytes,
    pieces: Vec<Piece>,
}

/// A piece of text in a frame.
#[derive(Debug)]
struct Piece {
    /// Its JSON string in the frame.
    span: Range<usize>,
    channel: u64,
    /// Where it is in its channel's text.
    at: Range<usize>,
}

/// A text that comes in pieces. Places are counted from its beginning.
#[derive(Debug, Default)]
struct Channel {
    /// The part that waits.
    text: String,
    /// Where that begins.
    start: usize,
}

impl StreamGuard {
    /// Starts a stream.
    pub fn new(guard: Arc<Guard>) -> Self {
        let holds = guard.rules(GuardrailSide::Response).any(|rule| rule.action > GuardrailAction::Notify);
        Self {
            guard,
            holds,
            splitter: Splitter::new(),
            queue: VecDeque::new(),
            channels: HashMap::new(),
            findings: Vec::new(),
        }
    }

    /// Takes bytes from the provider and appends to `out` what goes on to the agent.
    pub fn feed(&mut self, bytes: Bytes, out: &mut Vec<Bytes>) -> Result<(), Stopped> {
        if !self.holds {
            out.push(bytes.clone());
        }
        let mut frames = Vec::new();
        let too_long = self.splitter.feed(bytes, |frame| frames.push(frame));
        for frame in frames {
            self.frame(frame, out)?;
        }
        too_long.or_else(|error| if self.holds { Err(self.stop(error.to_string())) } else { Ok(()) })
    }

    /// The provider closed the stream: appends what still waits, and says what was found.
    pub fn finish(mut self, out: &mut Vec<Bytes>) -> Result<Vec<Finding>, Stopped> {
        if let Some(rest) = self.splitter.rest() {
            self.frame(rest, out)?;
        }
        self.release(true, out)?;
        Ok(self.findings)
    }

    fn frame(&mut self, frame: Bytes, out: &mut Vec<Bytes>) -> Result<(), Stopped> {
        let (frame, data) = with_data(frame);
        let texts = texts::of_answer(&frame[data.clone()]).unwrap_or_default();
        // A text ends where an event has none to add, or says it whole.
        let ends = !data.is_empty() && texts.iter().all(|text| !text.continues) && !is_ping(&frame[data.clone()]);
        let pieces: Vec<Piece> = texts
            .into_iter()
            .map(|text| {
                let span = data.start + text.span.start..data.start + text.span.end;
                let channel = self.channels.entry(text.channel).or_default();
                let start = channel.end();
                channel.text.push_str(&texts::decode(&frame[span.clone()]));
                Piece { span, channel: text.channel, at: start..channel.end() }
            })
            .collect();
        self.queue.push_back(Held { frame, pieces });
        self.release(ends, out)
    }

    /// Lets go what is known to be harmless, or made so; with `all`, the texts are complete.
    fn release(&mut self, all: bool, out: &mut Vec<Bytes>) -> Result<(), Stopped> {
        let guard = self.guard.clone();
        let found: HashMap<u64, Vec<Found<'_>>> =
            self.channels.iter().map(|(id, channel)| (*id, channel.found(&guard))).collect();
        if let Some(stops) = found.values().flatten().find(|found| found.rule.action >= GuardrailAction::Ask) {
            note(&mut self.findings, stops.rule, stops.kind);
            let wants = if stops.rule.action == GuardrailAction::Deny { "refuses" } else { "wants a person to see" };
            let (name, kind) = (&stops.rule.name, stops.kind);
            return Err(
                self.stop(format!("the guardrail `{name}` {wants} this answer because of what it contains ({kind})"))
            );
        }
        for _ in 0..if all { self.queue.len() } else { self.harmless(&found) } {
            if let Some(held) = self.queue.pop_front() {
                self.leave(held, &found, out);
            }
        }
        if all {
            self.channels.clear();
        }
        let waiting: usize = self.channels.values().map(|channel| channel.text.len()).sum();
        if waiting > HELD_MAX {
            return Err(self.stop("the answer could not be checked while it was streamed".to_owned()));
        }
        Ok(())
    }

    /// How many of the frames that wait may leave: enough text follows each, and nothing that was found is
    /// torn apart.
    fn harmless(&self, found: &HashMap<u64, Vec<Found<'_>>>) -> usize {
        let followed = |piece: &Piece| {
            let Some(channel) = self.channels.get(&piece.channel) else { return true };
            piece.at.end + WINDOW <= channel.end()
        };
        let mut count = self.queue.iter().take_while(|held| held.pieces.iter().all(followed)).count();
        loop {
            // What touches the end of the text so far may go on.
            let torn = found.iter().find_map(|(id, found)| {
                let channel = self.channels.get(id)?;
                let cut = self.pieces(*id).take_while(|(frame, _)| *frame < count).last()?.1.at.end;
                let is_torn =
                    |place: &Range<usize>| place.start < cut && (cut < place.end || place.end == channel.end());
                let place = found.iter().map(|found| &found.place.whole).find(|place| is_torn(place))?;
                self.pieces(*id).find(|(_, piece)| piece.at.end > place.start).map(|(frame, _)| frame)
            });
            match torn {
                Some(frame) => count = frame,
                None => return count,
            }
        }
    }

    /// The pieces of a channel that wait, each with the place of its frame in the queue.
    fn pieces(&self, channel: u64) -> impl Iterator<Item = (usize, &Piece)> {
        let frames = self.queue.iter().enumerate();
        frames
            .flat_map(|(index, held)| held.pieces.iter().map(move |piece| (index, piece)))
            .filter(move |(_, piece)| piece.channel == channel)
    }

    /// Sends a frame on, redacted where it has to be.
    fn leave(&mut self, held: Held, found: &HashMap<u64, Vec<Found<'_>>>, out: &mut Vec<Bytes>) {
        let mut changed = Vec::new();
        for piece in &held.pieces {
            let Some(channel) = self.channels.get_mut(&piece.channel) else { continue };
            let text: String = channel.text.drain(..piece.at.end - channel.start).collect();
            channel.start = piece.at.end;
            let found = found.get(&piece.channel).map(Vec::as_slice).unwrap_or_default();
            for found in found.iter().filter(|found| piece.at.contains(&found.place.found.start)) {
                note(&mut self.findings, found.rule, found.kind);
            }
            let redactions = found.iter().filter(|found| found.rule.action == GuardrailAction::Redact);
            let redactions = redactions.map(|found| found.place.found.clone()).collect();
            if let Some(text) = redact_piece(&text, &piece.at, redactions) {
                changed.push((piece.span.clone(), texts::encode(&text)));
            }
        }
        match (self.holds, changed.is_empty()) {
            (false, _) => {}
            (true, true) => out.push(held.frame),
            (true, false) => out.push(splice(&held.frame, &changed).into()),
        }
    }

    fn stop(&mut self, message: String) -> Stopped {
        self.queue.clear();
        Stopped { message, findings: std::mem::take(&mut self.findings) }
    }
}

impl Channel {
    fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// What is found in the part that waits.
    fn found<'a>(&self, guard: &'a Guard) -> Vec<Found<'a>> {
        let mut found = guard.find(GuardrailSide::Response, &self.text);
        for Found { place, .. } in &mut found {
            for range in [&mut place.found, &mut place.whole] {
                *range = range.start + self.start..range.end + self.start;
            }
        }
        found
    }
}

/// What the piece of a text at `at` says instead, if some of it is redacted. The mark stands where a find begins.
fn redact_piece(piece: &str, at: &Range<usize>, mut redactions: Vec<Range<usize>>) -> Option<String> {
    redactions.retain(|range| range.start < at.end && at.start < range.end);
    if redactions.is_empty() {
        return None;
    }
    redactions.sort_by_key(|range| range.start);
    let mut out = String::new();
    let mut said = at.start;
    for range in redactions {
        if range.start >= said {
            out.push_str(&piece[said - at.start..range.start - at.start]);
            out.push_str(REDACTED);
        }
        said = said.max(range.end.min(at.end));
    }
    out.push_str(&piece[said - at.start..]);
    Some(out)
}

/// A frame and where its data is. A frame with several lines of data is written anew, with one.
fn with_data(frame: Bytes) -> (Bytes, Range<usize>) {
    let parsed = sse::parse(&frame);
    let Some(data) = parsed.data else { return (frame, 0..0) };
    if let std::borrow::Cow::Borrowed(data) = data {
        let start = data.as_ptr() as usize - frame.as_ptr() as usize;
        let range = start..start + data.len();
        return (frame, range);
    }
    let mut anew = Vec::new();
    if !parsed.event.is_empty() {
        anew.extend_from_slice(b"event: ");
        anew.extend_from_slice(parsed.event);
        anew.push(b'\n');
    }
    anew.extend_from_slice(b"data: ");
    let start = anew.len();
    anew.extend(data.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    let range = start..anew.len();
    anew.extend_from_slice(b"\n\n");
    (anew.into(), range)
}

/// Anthropic's sign of life, which comes in the middle of texts.
fn is_ping(data: &[u8]) -> bool {
    data.len() < 64 && data.windows(6).any(|window| window == b"\"ping\"")
}
