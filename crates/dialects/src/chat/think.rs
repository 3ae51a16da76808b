//! Thinking between `<think>` tags at the beginning of the text.

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Splits a whole text into thinking and the rest; `None` without thinking.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let inside = text.trim_start().strip_prefix(OPEN)?;
    let (thinking, rest) = inside.split_once(CLOSE).unwrap_or((inside, ""));
    Some((thinking.trim_matches('\n'), rest.trim_start_matches('\n')))
}

/// The same for a text that arrives in pieces: gives everything out as soon as it is known what it is.
#[derive(Debug, Default)]
pub(super) struct Splitter {
    held: String,
    place: Place,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    #[default]
    Before,
    /// After the tag; line feeds are not thinking yet.
    Opened,
    Inside,
    /// After the closing tag; line feeds are not text yet.
    Closed,
    After,
}

/// A piece of text, and whether it is thinking.
pub(super) type Piece = (bool, String);

impl Splitter {
    /// Takes more text.
    pub(super) fn push(&mut self, text: &str, out: &mut Vec<Piece>) {
        self.held.push_str(text);
        loop {
            match self.place {
                Place::Before => {
                    let begun = self.held.trim_start();
                    if let Some(inside) = begun.strip_prefix(OPEN) {
                        self.held = String::from(inside);
                        self.place = Place::Opened;
                    } else if OPEN.starts_with(begun) {
                        return;
                    } else {
                        self.place = Place::After;
                    }
                }
                Place::Opened | Place::Closed => {
                    self.held = self.held.trim_start_matches('\n').to_owned();
                    if self.held.is_empty() {
                        return;
                    }
                    self.place = if self.place == Place::Opened { Place::Inside } else { Place::After };
                }
                Place::Inside => {
                    let Some(end) = self.held.find(CLOSE) else {
                        let rest = self.held.split_off(safe(&self.held));
                        self.give_untrimmed(true, out);
                        self.held = rest;
                        return;
                    };
                    let rest = self.held.split_off(end + CLOSE.len());
                    self.held.truncate(end);
                    self.give(true, out);
                    self.held = rest;
                    self.place = Place::Closed;
                }
                Place::After => {
                    self.give_untrimmed(false, out);
                    return;
                }
            }
        }
    }

    /// The text is over.
    pub(super) fn end(&mut self, out: &mut Vec<Piece>) {
        match self.place {
            Place::Inside => self.give(true, out),
            Place::Before => self.give_untrimmed(false, out),
            _ => {}
        }
    }

    fn give(&mut self, thinking: bool, out: &mut Vec<Piece>) {
        let kept = self.held.trim_end_matches('\n').len();
        self.held.truncate(kept);
        self.give_untrimmed(thinking, out);
    }

    fn give_untrimmed(&mut self, thinking: bool, out: &mut Vec<Piece>) {
        if !self.held.is_empty() {
            out.push((thinking, std::mem::take(&mut self.held)));
        }
    }
}

/// How much of thinking can be given out: not what may be the beginning of the end, or line feeds before it.
fn safe(text: &str) -> usize {
    let tail = (1..CLOSE.len().min(text.len() + 1)).rev().find(|length| text.ends_with(&CLOSE[..*length]));
    text[..text.len() - tail.unwrap_or(0)].trim_end_matches('\n').len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn streamed(pieces: &[&str]) -> (String, String) {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        for piece in pieces {
            splitter.push(piece, &mut out);
        }
        splitter.end(&mut out);
        let of = |wanted: bool| {
            out.iter().filter(|(thinking, _)| *thinking == wanted).map(|(_, text)| text.as_str()).collect()
        };
        (of(true), of(false))
    }

    #[test]
    fn thinking_is_taken_out_of_the_text() {
        assert_eq!(split("<think>\nhm\n</think>\n\nyes"), Some(("hm", "yes")));
        assert_eq!(split("a <think> in the middle"), None);
        assert_eq!(
            streamed(&["\n<th", "ink>\nh", "m\n", "</thi", "nk>\n", "\nyes"]),
            ("hm".to_owned(), "yes".to_owned())
        );
        assert_eq!(streamed(&["<thi"]), (String::new(), "<thi".to_owned()));
        assert_eq!(streamed(&["<b>x</think>"]), (String::new(), "<b>x</think>".to_owned()));
        assert_eq!(streamed(&["<think>never</thin"]), ("never</thin".to_owned(), String::new()));
    }

    proptest! {
        #[test]
        fn the_cut_makes_no_difference(pieces in prop::collection::vec(
            prop::sample::select(vec!["<think>", "</think>", "<", "/", "think>", "\n", "a", "é"]), 0..12)) {
            let whole: String = pieces.concat();
            let letters: Vec<String> = whole.chars().map(String::from).collect();
            let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
            prop_assert_eq!(streamed(&pieces), streamed(&letters));
            prop_assert_eq!(streamed(&pieces), streamed(&[&whole]));
        }
    }
}
