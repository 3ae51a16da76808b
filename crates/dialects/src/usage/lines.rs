//! The data of server-sent events as it arrives, without holding a frame.

use memchr::memchr2;

/// What a piece of a stream is.
pub(super) enum Piece<'a> {
    /// More of the frame's data.
    Data(&'a [u8]),
    /// The frame is complete.
    End,
}

#[derive(Debug, Default)]
enum State {
    /// In a field's name; how much of `data` matched.
    #[default]
    Name,
    /// In a field's value.
    Data,
    /// In something nobody asks for.
    Other,
}

/// A stream in progress.
#[derive(Debug, Default)]
pub(super) struct Lines {
    state: State,
    /// Bytes of the line so far, up to the end of the field's name.
    length: usize,
    after_return: bool,
}

const DATA: &[u8] = b"data:";

impl Lines {
    pub(super) fn feed(&mut self, mut bytes: &[u8], mut take: impl FnMut(Piece<'_>)) {
        while let [first, rest @ ..] = bytes {
            if std::mem::take(&mut self.after_return) && *first == b'\n' {
                bytes = rest;
                continue;
            }
            if matches!(self.state, State::Name) && !matches!(first, b'\r' | b'\n') {
                // A frame that ends within the name (`data` alone) has no data.
                self.state = match DATA.get(self.length) {
                    Some(expected) if expected == first && self.length + 1 == DATA.len() => State::Data,
                    Some(expected) if expected == first => State::Name,
                    _ => State::Other,
                };
                self.length += 1;
                bytes = rest;
                continue;
            }
            let end = memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
            if matches!(self.state, State::Data) && end > 0 {
                take(Piece::Data(&bytes[..end]));
            }
            let Some(ending) = bytes.get(end) else { return };
            self.after_return = *ending == b'\r';
            match self.length {
                0 => take(Piece::End),
                _ if matches!(self.state, State::Data) => take(Piece::Data(b"\n")),
                _ => {}
            }
            (self.state, self.length) = (State::Name, 0);
            bytes = &bytes[end + 1..];
        }
    }
}
