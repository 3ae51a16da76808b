//! How an answer ends so far, so that an error can be added to it that is read as one.

use preloop_dialects::Dialect;

/// The last bytes that an agent got of a stream of events.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tail([u8; 4]);

impl Tail {
    /// What goes on to the agent.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for &byte in &bytes[bytes.len().saturating_sub(self.0.len())..] {
            self.0.rotate_left(1);
            self.0[3] = byte;
        }
    }

    /// What has to come before an event, where the provider broke off within one. Clients of Anthropic go by
    /// the last name of an event: there the torn one becomes the error. Elsewhere it has to end first.
    pub(super) fn before_an_event(self, dialect: Dialect) -> &'static [u8] {
        let is_between =
            matches!(self.0, [0, 0, 0, 0] | [.., b'\n', b'\n'] | [b'\r', b'\n', b'\r', b'\n'] | [.., b'\r', b'\r']);
        let is_at_a_line = matches!(self.0, [.., b'\n' | b'\r']);
        match (dialect, is_at_a_line) {
            _ if is_between => b"",
            (Dialect::Messages, true) => b"",
            (Dialect::Messages, false) | (_, true) => b"\n",
            (_, false) => b"\n\n",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_an_event_of_its_own_wherever_the_answer_broke_off() {
        let before = |sent: &[&str], dialect| {
            let mut tail = Tail::default();
            for piece in sent {
                tail.add(piece.as_bytes());
            }
            String::from_utf8_lossy(tail.before_an_event(dialect)).into_owned()
        };
        for whole in [&[][..], &["data: {}\n\n"], &["data: {}\n", "\n"], &["data: {}\r\n\r", "\n"], &["data: {}\r\r"]] {
            assert_eq!(before(whole, Dialect::Chat), "", "{whole:?}");
            assert_eq!(before(whole, Dialect::Messages), "", "{whole:?}");
        }
        for (torn, chat, messages) in
            [("data: {\"a", "\n\n", "\n"), ("data: {}\n", "\n", ""), ("event: x\r\n", "\n", "")]
        {
            assert_eq!(before(&[torn], Dialect::Chat), chat, "{torn:?}");
            assert_eq!(before(&[torn], Dialect::Messages), messages, "{torn:?}");
        }
    }
}
