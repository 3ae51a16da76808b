//! Reads words: quotes, escapes, and everything a dollar or a backtick begins.

use super::{
    Word,
    read::{Reader, is_variable},
};

/// Most arithmetic expressions read.
const ATTEMPTS_MAX: usize = 64;

impl Reader<'_> {
    /// Finds what runs inside a text in which variables and substitutions count and quotes do not.
    pub(super) fn expand(&mut self, word: &mut Word) {
        let found = self.within(&word.value, |reader| {
            let mut found = Word::default();
            while let Some(next) = reader.peek() {
                match next {
                    b'\\' => reader.at += reader.rest().chars().take(2).map(char::len_utf8).sum::<usize>(),
                    b'$' => reader.dollar(&mut found),
                    b'`' => reader.backtick(&mut found),
                    _ => reader.at += reader.rest().chars().next().map_or(1, char::len_utf8),
                }
            }
            found
        });
        word.computed = found.computed;
        word.scripts = found.scripts;
    }

    pub(super) fn word(&mut self) -> Word {
        let start = self.at;
        let mut word = Word { bare: true, ..Word::default() };
        let mut braces = false;
        while let Some(next) = self.peek() {
            match next {
                b'<' | b'>' if word.value.is_empty() && self.rest()[1..].starts_with('(') => {
                    self.at += 2;
                    self.nested(&mut word);
                }
                b'(' if word.value.ends_with('=') && is_variable(word.value.trim_end_matches('=')) => {
                    self.array(&mut word);
                }
                b'(' if word.value.ends_with(['?', '*', '+', '@', '!']) => {
                    self.fail("it uses an extended pattern");
                }
                b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => break,
                b'\'' => {
                    word.bare = false;
                    self.at += 1;
                    match self.rest().find('\'') {
                        Some(end) => {
                            word.value.push_str(&self.text[self.at..self.at + end]);
                            self.at += end + 1;
                        }
                        None => self.fail("a quote is not closed"),
                    }
                }
                b'"' => {
                    word.bare = false;
                    self.at += 1;
                    self.double(&mut word);
                }
                b'\\' => {
                    self.at += 1;
                    if !self.eat("\n") {
                        word.bare = false;
                        self.character(&mut word.value);
                    }
                }
                b'$' => self.dollar(&mut word),
                b'`' => self.backtick(&mut word),
                b'*' | b'?' | b'[' => {
                    word.pattern = true;
                    self.character(&mut word.value);
                }
                b'{' => {
                    braces = true;
                    self.character(&mut word.value);
                }
                b',' | b'.' if braces && (next == b',' || self.rest().starts_with("..")) => {
                    // {a,b} and {1..9} become several words.
                    word.computed = true;
                    self.character(&mut word.value);
                }
                _ => self.character(&mut word.value),
            }
        }
        word.source = self.text[start..self.at].to_owned();
        word
    }

    fn character(&mut self, into: &mut String) {
        if let Some(c) = self.rest().chars().next() {
            into.push(c);
            self.at += c.len_utf8();
        }
    }

    /// `(a b c)` after `name=`.
    fn array(&mut self, word: &mut Word) {
        self.at += 1;
        loop {
            while self.peek().is_some_and(|b| b" \t\n".contains(&b)) {
                self.at += 1;
            }
            match self.peek() {
                Some(b')') => {
                    self.at += 1;
                    return;
                }
                None => return self.fail("a list is not closed"),
                Some(_) => {
                    let start = self.at;
                    let item = self.deeper(Self::word);
                    word.computed |= item.computed;
                    word.scripts.extend(item.scripts);
                    if self.at == start {
                        return self.fail("a list cannot be read");
                    }
                }
            }
        }
    }

    /// Up to the closing double quote.
    fn double(&mut self, word: &mut Word) {
        loop {
            match self.peek() {
                None => return self.fail("a quote is not closed"),
                Some(b'"') => {
                    self.at += 1;
                    return;
                }
                Some(b'\\') => {
                    self.at += 1;
                    match self.peek() {
                        Some(b'$' | b'`' | b'"' | b'\\') => self.character(&mut word.value),
                        Some(b'\n') => self.at += 1,
                        _ => word.value.push('\\'),
                    }
                }
                Some(b'$') => self.dollar(word),
                Some(b'`') => self.backtick(word),
                Some(_) => self.character(&mut word.value),
            }
        }
    }

    /// Whatever a dollar begins.
    pub(super) fn dollar(&mut self, word: &mut Word) {
        let start = self.at;
        self.at += 1;
        match self.peek() {
            Some(b'\'') => {
                word.bare = false;
                self.at += 1;
                return self.escaped(&mut word.value);
            }
            Some(b'"') => {
                word.bare = false;
                self.at += 1;
                return self.deeper(|reader| reader.double(word));
            }
            Some(b'(') => {
                if self.rest().starts_with("((")
                    && let Some(inner) = self.arithmetic()
                {
                    word.scripts.extend(inner.scripts);
                } else {
                    self.at += 1;
                    self.nested(word);
                }
            }
            Some(b'[') => {
                // $[…], the old spelling of arithmetic.
                self.at += 1;
                self.until(b']', word);
            }
            Some(b'{') => {
                self.at += 1;
                self.until(b'}', word);
            }
            Some(b) if b.is_ascii_alphanumeric() || b == b'_' => {
                while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b == b'_') {
                    self.at += 1;
                }
            }
            Some(b) if b"@*#?$!-".contains(&b) => self.at += 1,
            _ => {
                word.value.push('$');
                return;
            }
        }
        word.computed = true;
        let source = self.text.get(start..self.at).unwrap_or_default();
        word.value.push_str(source);
    }

    /// What runs in a substitution whose parenthesis is open.
    fn nested(&mut self, word: &mut Word) {
        let heredocs = std::mem::take(&mut self.heredocs);
        let script = self.deeper(|reader| reader.script(Some(b')')));
        self.heredocs = heredocs;
        word.computed = true;
        word.scripts.push(script);
    }

    /// The inside of `${…}` and the like, up to `close`.
    fn until(&mut self, close: u8, word: &mut Word) {
        let scripts = self.deeper(|reader| {
            let mut inner = Word::default();
            loop {
                match reader.peek() {
                    None => {
                        reader.fail("a brace is not closed");
                        break;
                    }
                    Some(b) if b == close => {
                        reader.at += 1;
                        break;
                    }
                    Some(b'\\') => {
                        reader.at += 1;
                        reader.character(&mut inner.value);
                    }
                    Some(b'\'') => {
                        let end = reader.rest()[1..].find('\'');
                        reader.at += end.map_or(1, |end| end + 2);
                    }
                    Some(b'"') => {
                        reader.at += 1;
                        reader.deeper(|reader| reader.double(&mut inner));
                    }
                    Some(b'$') => reader.dollar(&mut inner),
                    Some(b'`') => reader.backtick(&mut inner),
                    Some(_) => reader.character(&mut inner.value),
                }
            }
            inner.scripts
        });
        word.scripts.extend(scripts);
    }

    /// `((…))` from its first parenthesis; `None`, with nothing read, if it is something else.
    pub(super) fn arithmetic(&mut self) -> Option<Word> {
        self.attempts += 1;
        if self.attempts > ATTEMPTS_MAX {
            self.fail("it holds too much arithmetic");
            return None;
        }
        let (start, commands) = (self.at, self.commands);
        self.at += 2;
        let mut word = Word { computed: true, ..Word::default() };
        let mut parentheses = 0_usize;
        loop {
            match self.peek() {
                Some(b'(') => {
                    parentheses += 1;
                    self.at += 1;
                }
                Some(b')') if parentheses == 0 && self.eat("))") => break,
                Some(b')') if parentheses > 0 => {
                    parentheses -= 1;
                    self.at += 1;
                }
                // Blanks apart from operators, a quote, a separator: these are commands.
                Some(b')' | b';' | b'\n' | b'\'' | b'"') | None => {
                    if self.trouble.is_none() {
                        (self.at, self.commands) = (start, commands);
                    }
                    return None;
                }
                Some(b'$') => self.deeper(|reader| reader.dollar(&mut word)),
                Some(b'`') => self.backtick(&mut word),
                Some(_) => self.character(&mut word.value),
            }
        }
        word.source = self.text[start..self.at].to_owned();
        Some(word)
    }

    /// A substitution in backticks: its text is unescaped first, then read like any script.
    fn backtick(&mut self, word: &mut Word) {
        let start = self.at;
        self.at += 1;
        let mut inner = String::new();
        loop {
            match self.peek() {
                None => return self.fail("a backtick is not closed"),
                Some(b'`') => {
                    self.at += 1;
                    break;
                }
                Some(b'\\') => {
                    self.at += 1;
                    if !matches!(self.peek(), Some(b'$' | b'`' | b'\\')) {
                        inner.push('\\');
                    }
                    self.character(&mut inner);
                }
                Some(_) => self.character(&mut inner),
            }
        }
        let script = self.deeper(|reader| reader.within(&inner, |reader| reader.script(None)));
        word.computed = true;
        let source = self.text.get(start..self.at).unwrap_or_default();
        word.value.push_str(source);
        word.scripts.push(script);
    }

    /// `$'…'`, with its escapes resolved.
    fn escaped(&mut self, into: &mut String) {
        loop {
            match self.peek() {
                None => return self.fail("a quote is not closed"),
                Some(b'\'') => {
                    self.at += 1;
                    return;
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(into);
                }
                Some(_) => self.character(into),
            }
        }
    }

    fn escape(&mut self, into: &mut String) {
        let Some(next) = self.peek() else { return };
        let (skip, radix, digits) = match next {
            b'x' => (1, 16, 2),
            b'u' => (1, 16, 4),
            b'U' => (1, 16, 8),
            b'0'..=b'7' => (0, 8, 3),
            _ => {
                let known = match next {
                    b'n' => '\n',
                    b't' => '\t',
                    b'r' => '\r',
                    b'e' | b'E' => '\u{1b}',
                    b'a' => '\u{7}',
                    b'b' => '\u{8}',
                    b'f' => '\u{c}',
                    b'v' => '\u{b}',
                    // \cX and the like: rare enough not to be guessed.
                    b'c' => return self.fail("it uses a control escape"),
                    _ => return self.character(into),
                };
                into.push(known);
                self.at += 1;
                return;
            }
        };
        self.at += skip;
        let number: String = self.rest().chars().take(digits).take_while(|c| c.is_digit(radix)).collect();
        self.at += number.len();
        let code = u32::from_str_radix(&number, radix).ok().and_then(char::from_u32);
        match code {
            Some(c) => into.push(c),
            None => self.fail("an escape is not a character"),
        }
    }
}
