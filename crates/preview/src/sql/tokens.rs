//! What a statement is made of.

/// Most tokens read.
const TOKENS_MAX: usize = 20_000;

/// One token. White space and comments are none.
#[derive(Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// A keyword or a plain name.
    Word(&'a str),
    /// A name in quotes or brackets, without them.
    Quoted(&'a str),
    /// A string. What is in it does not matter.
    String,
    Number,
    /// Any other character.
    Sign(char),
}

impl Token<'_> {
    /// The word in lower case, if it is one that may be a keyword.
    pub(crate) fn keyword(&self) -> Option<String> {
        if let Token::Word(word) = self { Some(word.to_ascii_lowercase()) } else { None }
    }

    pub(crate) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword))
    }
}

/// The tokens of `text`, and what in it databases do not agree on.
pub(crate) fn tokens(text: &str) -> (Vec<Token<'_>>, Option<&'static str>) {
    let mut tokens = Vec::new();
    let mut doubt = None;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        if tokens.len() >= TOKENS_MAX {
            doubt.get_or_insert("it is too long to be read to its end");
            break;
        }
        let rest = &text[at..];
        let length = match c {
            c if c.is_whitespace() => c.len_utf8(),
            '-' if rest.starts_with("--") => line(rest),
            '#' => {
                // A comment to some, an operator to others.
                doubt.get_or_insert("databases disagree on what `#` means in it");
                1
            }
            '/' if rest.starts_with("/*") => {
                if rest.starts_with("/*!") || rest.starts_with("/*M!") {
                    doubt.get_or_insert("it holds a comment that some databases carry out");
                }
                let end = rest[2..].find("*/");
                if end.is_none_or(|end| rest[2..2 + end].contains("/*")) {
                    doubt.get_or_insert("databases disagree on where a comment in it ends");
                }
                end.map_or(rest.len(), |end| end + 4)
            }
            '\'' => {
                let (length, inside) = quoted(rest, '\'', &mut doubt);
                if inside.contains('\\') {
                    doubt.get_or_insert("databases disagree on where a text in it ends");
                }
                tokens.push(Token::String);
                length
            }
            '"' | '`' => {
                let (length, inside) = quoted(rest, c, &mut doubt);
                if inside.contains('\\') {
                    doubt.get_or_insert("databases disagree on where a name in it ends");
                }
                tokens.push(Token::Quoted(inside));
                length
            }
            '[' if bracketed(rest).is_some() => {
                let inside = bracketed(rest).unwrap_or_default();
                tokens.push(Token::Quoted(inside));
                inside.len() + 2
            }
            '$' if dollar(rest).is_some() => {
                let length = dollar(rest).unwrap_or(1);
                tokens.push(Token::String);
                length
            }
            c if c.is_ascii_digit() => {
                tokens.push(Token::Number);
                rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.').unwrap_or(rest.len())
            }
            c if c.is_alphabetic() || c == '_' => {
                let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '$').unwrap_or(rest.len());
                tokens.push(Token::Word(&rest[..length]));
                length
            }
            c => {
                tokens.push(Token::Sign(c));
                c.len_utf8()
            }
        };
        at += length;
    }
    (tokens, doubt)
}

fn line(rest: &str) -> usize {
    rest.find('\n').map_or(rest.len(), |end| end + 1)
}

/// The length of what stands in quotes, with them, and what is in it. A doubled quote is one of its characters.
fn quoted<'a>(rest: &'a str, quote: char, doubt: &mut Option<&'static str>) -> (usize, &'a str) {
    let mut at = 1;
    while let Some(end) = rest[at..].find(quote) {
        at += end + 1;
        if !rest[at..].starts_with(quote) {
            return (at, &rest[1..at - 1]);
        }
        at += 1;
    }
    doubt.get_or_insert("a quote in it is not closed");
    (rest.len(), &rest[1..])
}

/// A name in brackets; an index or a list (`[1]`, `['a']`) is none.
fn bracketed(rest: &str) -> Option<&str> {
    let inside = &rest[1..rest.find(']')?];
    let name = inside.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_');
    (name && inside.chars().all(|c| c.is_alphanumeric() || " _-$.".contains(c))).then_some(inside)
}

/// The length of a text in dollar quotes, as PostgreSQL has them.
fn dollar(rest: &str) -> Option<usize> {
    let tag = &rest[..rest[1..].find('$')? + 2];
    let name = &tag[1..tag.len() - 1];
    if !name.chars().all(|c| c.is_alphanumeric() || c == '_') || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let end = rest[tag.len()..].find(tag)?;
    Some(tag.len() * 2 + end)
}
