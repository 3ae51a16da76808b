//! Reads JSON as it arrives, cut anywhere, and says each value with the path to it.
//!
//! It holds one name or the beginning of one value, whatever the size of the whole. It does not judge:
//! what is not JSON only yields less.

use memchr::memchr2;

use super::keys::Key;

/// The beginning of a value that is kept, in bytes, unless more is asked for.
const HEAD_MAX: usize = 2048;
/// Containers within each other whose values are said.
const DEPTH_MAX: usize = 32;

/// A value that holds no others.
#[derive(Debug, Clone, Copy)]
pub(super) enum Leaf<'a> {
    /// A string, as written between its quotes.
    Text {
        /// Its beginning.
        head: &'a [u8],
        /// The length of all of it.
        length: u64,
    },
    /// A number or word, as written.
    Bare(&'a [u8]),
}

/// Takes the values.
pub(super) trait Leaves {
    fn leaf(&mut self, path: &[Key], leaf: Leaf<'_>);
}

#[derive(Debug)]
enum State {
    /// Before, after or between values.
    Between,
    /// In a string; `name` if it names a member, `escape` right behind a backslash.
    Text { name: bool, escape: bool },
    /// In a number or word.
    Bare,
}

/// A reading in progress.
#[derive(Debug)]
pub(super) struct Skim {
    state: State,
    /// A step per open container: the member or element it is at.
    path: Vec<Key>,
    /// Containers open beyond `path`.
    deeper: usize,
    /// Whether the next string names a member.
    naming: bool,
    head: Vec<u8>,
    head_max: usize,
    length: u64,
    closed: bool,
}

impl Skim {
    /// Starts a reading that keeps at least `head` bytes of each value.
    pub(super) fn keeping(head: usize) -> Self {
        Self {
            state: State::Between,
            path: Vec::new(),
            deeper: 0,
            naming: false,
            head: Vec::new(),
            head_max: HEAD_MAX.max(head),
            length: 0,
            closed: false,
        }
    }

    /// Takes more bytes.
    pub(super) fn feed(&mut self, mut bytes: &[u8], leaves: &mut impl Leaves) {
        while let [first, rest @ ..] = bytes {
            match self.state {
                State::Between => {
                    if self.between(*first) {
                        bytes = rest;
                    }
                }
                State::Text { name, escape: true } => {
                    self.keep(&[*first]);
                    self.state = State::Text { name, escape: false };
                    bytes = rest;
                }
                State::Text { name, escape: false } => {
                    let end = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
                    self.keep(&bytes[..end]);
                    match bytes.get(end) {
                        None => return,
                        Some(b'"') => self.text_ends(name, leaves),
                        Some(_) => {
                            self.keep(b"\\");
                            self.state = State::Text { name, escape: true };
                        }
                    }
                    bytes = &bytes[end + 1..];
                }
                State::Bare => {
                    let end = bytes.iter().position(|byte| b",]} \t\r\n".contains(byte)).unwrap_or(bytes.len());
                    self.keep(&bytes[..end]);
                    bytes = &bytes[end..];
                    if !bytes.is_empty() {
                        self.bare_ends(leaves);
                    }
                }
            }
        }
    }

    /// The text is over: forgets where it was, to read another one.
    pub(super) fn finish(&mut self, leaves: &mut impl Leaves) {
        if matches!(self.state, State::Bare) {
            self.bare_ends(leaves);
        }
        self.state = State::Between;
        self.path.clear();
        self.deeper = 0;
        self.naming = false;
    }

    /// Whether the outermost object or array was closed.
    pub(super) fn closed(&self) -> bool {
        self.closed
    }

    /// Handles a byte between values; `false` leaves it to the next state.
    fn between(&mut self, byte: u8) -> bool {
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' | b':' => {}
            b',' => self.naming = self.deeper == 0 && self.path.last().is_some_and(|step| *step != Key::At),
            b'{' | b'[' => self.open(byte == b'{'),
            b'}' | b']' => self.close(),
            b'"' => {
                self.start();
                self.state = State::Text { name: self.naming, escape: false };
            }
            _ => {
                self.start();
                self.state = State::Bare;
                return false;
            }
        }
        true
    }

    fn open(&mut self, object: bool) {
        self.naming = false;
        if self.path.len() == DEPTH_MAX {
            self.deeper += 1;
        } else {
            self.path.push(if object { Key::Other } else { Key::At });
            self.naming = object;
        }
    }

    fn close(&mut self) {
        self.naming = false;
        if self.deeper > 0 {
            self.deeper -= 1;
        } else if self.path.pop().is_some() {
            self.closed = self.path.is_empty();
        }
    }

    fn start(&mut self) {
        self.head.clear();
        self.length = 0;
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.head_max - self.head.len();
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length += bytes.len() as u64;
    }

    fn text_ends(&mut self, name: bool, leaves: &mut impl Leaves) {
        self.state = State::Between;
        if !name {
            self.say(leaves, |head, length| Leaf::Text { head, length });
            return;
        }
        self.naming = false;
        if let Some(step) = self.path.last_mut() {
            *step = Key::of(&self.head);
        }
    }

    fn bare_ends(&mut self, leaves: &mut impl Leaves) {
        self.state = State::Between;
        self.say(leaves, |head, _| Leaf::Bare(head));
    }

    fn say<'a>(&'a self, leaves: &mut impl Leaves, leaf: impl FnOnce(&'a [u8], u64) -> Leaf<'a>) {
        if self.deeper == 0 {
            leaves.leaf(&self.path, leaf(&self.head, self.length));
        }
    }
}
