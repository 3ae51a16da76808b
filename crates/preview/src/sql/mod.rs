//! SQL statements: their kinds and their tables.
//!
//! A tokenizer and a walk over its tokens, not a parser. A parser knows one dialect and refuses the
//! rest, and which database the text is for is not known here; it recurses on hostile input; and it
//! is a large dependency for two words per statement. Tokens are the same nearly everywhere, and
//! where databases disagree about them (a backslash in a string, a comment that is code) the text is
//! called what it is: dangerous.

mod statements;
mod tokens;

pub(crate) use statements::statements;

/// Whether a text reads like SQL at all.
pub(crate) fn looks_like(text: &str) -> bool {
    let (tokens, _) = tokens::tokens(&text[..text.floor_char_boundary(64 * 1024)]);
    let mut words = tokens.iter().filter_map(tokens::Token::keyword);
    let Some(first) = words.next() else { return false };
    statements::is_verb(&first) && (tokens.len() == 1 || words.any(|word| STRUCTURE.contains(&word.as_str())))
}

/// Words without which hardly any statement is written.
const STRUCTURE: &[&str] = &[
    "from", "into", "set", "table", "where", "values", "as", "database", "index", "view", "to", "on", "role", "user",
    "function", "schema", "begin", "analyze", "column", "all",
];
