//! What is checked before CEL's parser may see a text.
//!
//! The parser recurses: a long or deep text overflows the stack and takes the process with it,
//! which no error handling can catch. So the text is scanned first, by a loop.

/// Longest condition, in bytes.
pub(crate) const SOURCE_BYTES_MAX: usize = 4096;
/// Most operators and brackets in a condition.
const TOKENS_MAX: usize = 200;
/// Deepest bracket nesting in a condition.
const NESTING_MAX: usize = 40;

/// Refuses a text the parser might not survive.
pub(crate) fn scan(source: &str) -> Result<(), String> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(format!("the expression is longer than {SOURCE_BYTES_MAX} bytes"));
    }
    let bytes = source.as_bytes();
    let (mut at, mut tokens, mut nesting) = (0, 0_usize, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'"' | b'\'' => {
                // What the lexer makes of a malformed literal is anyone's guess, and brackets
                // could hide behind it.
                at = end_of_string(bytes, at).ok_or("a string literal is malformed or not closed")?;
                continue;
            }
            b'`' => {
                at = end_of_name(bytes, at).ok_or("a back-quoted name is malformed or not closed")?;
                continue;
            }
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at += bytes[at..].iter().position(|&b| b == b'\n').unwrap_or(bytes.len() - at);
                continue;
            }
            b'(' | b'[' | b'{' => {
                tokens += 1;
                nesting += 1;
            }
            b')' | b']' | b'}' => {
                tokens += 1;
                nesting = nesting.saturating_sub(1);
            }
            // `==`, `&&` and `||` are one operator.
            b'=' | b'&' | b'|' if bytes.get(at + 1) == Some(&bytes[at]) => {
                tokens += 1;
                at += 1;
            }
            b'.' | b'+' | b'-' | b'*' | b'/' | b'%' | b'<' | b'>' | b'=' | b'!' | b'?' | b':' | b'&' | b'|' => {
                tokens += 1;
            }
            // `in` is the one operator spelled as a word.
            b'i' if bytes[at..].starts_with(b"in") && is_word(bytes, at, 2) => tokens += 1,
            _ => {}
        }
        if tokens > TOKENS_MAX {
            return Err(format!(
                "the expression has more than {TOKENS_MAX} operators and brackets; split it into several rules"
            ));
        }
        if nesting > NESTING_MAX {
            return Err(format!("the expression is nested deeper than {NESTING_MAX} brackets"));
        }
        at += 1;
    }
    Ok(())
}

fn is_word(bytes: &[u8], at: usize, length: usize) -> bool {
    let part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    let before = at.checked_sub(1).map(|at| &bytes[at]);
    ![before, bytes.get(at + length)].into_iter().flatten().any(part)
}

/// The index after the string literal that opens at `open`; `None` if it is not well formed.
fn end_of_string(bytes: &[u8], open: usize) -> Option<usize> {
    let quote = bytes[open];
    let raw = is_raw(bytes, open);
    let triple = bytes[open..].starts_with(&[quote; 3]);
    let mut at = open + if triple { 3 } else { 1 };
    loop {
        match *bytes.get(at)? {
            b'\\' if !raw => at += 1 + escape_length(&bytes[at + 1..])?,
            b if b == quote && triple && !bytes[at..].starts_with(&[quote; 3]) => at += 1,
            b if b == quote => return Some(at + if triple { 3 } else { 1 }),
            b'\n' | b'\r' if !triple => return None,
            _ => at += 1,
        }
    }
}

/// The index after the back-quoted name that opens at `open`; `None` if it is not well formed.
fn end_of_name(bytes: &[u8], open: usize) -> Option<usize> {
    let length = bytes[open + 1..].iter().take_while(|b| b.is_ascii_alphanumeric() || b"_.-/ ".contains(b)).count();
    let close = open + 1 + length;
    (length > 0 && bytes.get(close) == Some(&b'`')).then_some(close + 1)
}

/// Whether the quote at `open` is prefixed `r` or `br`, and not by a name that ends so.
fn is_raw(bytes: &[u8], open: usize) -> bool {
    let before = |n: usize| open.checked_sub(n).map(|at| bytes[at].to_ascii_lowercase());
    let is_part = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_');
    before(1) == Some(b'r') && (!is_part(before(2)) || (before(2) == Some(b'b') && !is_part(before(3))))
}

/// The bytes of an escape sequence after its backslash; `None` if there is no such escape.
fn escape_length(rest: &[u8]) -> Option<usize> {
    let digits = match rest.first()? {
        b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' | b'\\' | b'?' | b'"' | b'\'' | b'`' => 0,
        b'x' | b'X' => 2,
        b'u' => 4,
        b'U' => 8,
        b'0'..=b'3' => return rest.get(1..3)?.iter().all(|b| (b'0'..=b'7').contains(b)).then_some(3),
        _ => return None,
    };
    rest.get(1..=digits)?.iter().all(u8::is_ascii_hexdigit).then_some(1 + digits)
}

#[cfg(test)]
mod tests {
    use super::scan;

    #[test]
    fn hostile_texts_are_refused_before_parsing() {
        for text in [
            "x".repeat(5000),
            format!("1{}", "+1".repeat(500)),
            format!("a{}", ".b".repeat(500)),
            "(".repeat(100) + "1" + &")".repeat(100),
            "[".repeat(3000),
            "!".repeat(1000) + "true",
            // Nothing hides behind a malformed literal, a name that ends in `r`, or a back quote.
            format!("'{}", "(".repeat(300)),
            format!("'\n{}'", "(".repeat(300)),
            format!("'\\q{}'", "(".repeat(300)),
            format!("bar\"\\\"(((\" {} \"", "(".repeat(300)),
            format!("a.`b//` {}", "(".repeat(300)),
            format!("a.`b {}", "(".repeat(300)),
            format!("1{}", " in [1]".repeat(150)),
        ] {
            assert!(scan(&text).is_err(), "{}", &text[..40]);
        }
    }

    #[test]
    fn brackets_inside_strings_and_comments_do_not_count() {
        for text in [
            format!("args.x.matches('{}')", "(".repeat(300)),
            format!("args.x == r\"\\\" // {}", "(".repeat(300)),
            format!("args.x == '''a'b{}'''", "(".repeat(300)),
            format!("args.x in [{}]", vec!["'value'"; 300].join(",")),
        ] {
            assert_eq!(scan(&text), Ok(()));
        }
    }
}
