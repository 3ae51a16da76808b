//! Text from outside, made safe to show to people.

use std::borrow::Cow;

/// The text with everything replaced that could deceive a reader: control characters (terminal
/// escapes, carriage returns) and characters that turn the direction of writing or are invisible.
/// Line feeds and tabs stay.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_deceptive) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_deceptive(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

/// Like [`printable`], in one line: line feeds and tabs become spaces.
pub fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// The first `max` bytes, or a little less so as to end at a character, with a mark where text is missing.
pub fn shortened(text: &str, max: usize) -> Cow<'_, str> {
    if text.len() <= max {
        return Cow::Borrowed(text);
    }
    Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(max)]))
}

fn is_deceptive(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_deceive_a_reader_is_replaced() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc\td"), "a\u{fffd}[2Jb\u{fffd}\nc\td");
        assert_eq!(printable("pay \u{202e}001"), "pay \u{fffd}001");
        assert_eq!(one_line("a\r\nb"), "a\u{fffd} b");
        assert!(matches!(printable("plain é 漢字 🎉"), Cow::Borrowed(_)));
    }

    #[test]
    fn shortening_keeps_characters_whole() {
        assert_eq!(shortened("aé", 2), "a…");
        assert_eq!(shortened("aé", 3), "aé");
    }
}
