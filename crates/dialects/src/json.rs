//! Reads JSON in place, value by value, and builds nothing.
//!
//! It is strict about everything outside strings, because a provider's parser that is laxer than ours
//! (comments, single quotes, `NaN`) would see another request than the one that was governed. What a
//! string holds is only looked at when it is read.

use std::{borrow::Cow, ops::Range};

use memchr::memchr2;

/// Objects and arrays within each other. As deep as `serde_json` goes.
const DEPTH_MAX: u32 = 128;

/// Where a reading stands in a text.
#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
    /// A bit per open container, the innermost lowest: whether it is an object.
    objects: u128,
    /// Whether nothing was read yet of the container opened last.
    fresh: bool,
}

/// What kind of value comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Word,
}

/// A string, as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Str<'a> {
    /// With its quotes.
    pub(crate) quoted: &'a [u8],
    /// Where that is in the text.
    pub(crate) span: Range<usize>,
    escaped: bool,
}

/// Where a text stops being JSON, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotJson {
    pub(crate) at: usize,
    pub(crate) why: &'static str,
}

impl<'a> Str<'a> {
    /// What it says. Bytes, because an escaped lone surrogate is no text; such a string is left as written.
    pub(crate) fn bytes(&self) -> Cow<'a, [u8]> {
        let written = &self.quoted[1..self.quoted.len() - 1];
        if !self.escaped {
            return Cow::Borrowed(written);
        }
        serde_json::from_slice::<String>(self.quoted).map_or(Cow::Borrowed(written), |text| text.into_bytes().into())
    }

    /// What it says, unless that is no text or holds control characters as they are.
    pub(crate) fn text(&self) -> Option<String> {
        serde_json::from_slice(self.quoted).ok()
    }

    /// Whether it says `text`.
    pub(crate) fn is(&self, text: &str) -> bool {
        *self.bytes() == *text.as_bytes()
    }

    /// The length of what is between the quotes, as written.
    pub(crate) fn written_len(&self) -> u64 {
        self.quoted.len() as u64 - 2
    }
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0, objects: 0, fresh: false }
    }

    /// What comes next, behind any white space.
    pub(crate) fn peek(&mut self) -> Result<Kind, NotJson> {
        match self.next_byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f' | b'n') => Ok(Kind::Word),
            Some(_) => Err(self.bad("expected a value")),
            None => Err(self.bad("it ends too early")),
        }
    }

    /// Where the next value begins. Only meant right after [`Cursor::peek`].
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Enters an object; [`Cursor::key`] reads on.
    pub(crate) fn open_object(&mut self) -> Result<(), NotJson> {
        self.open(Kind::Object, true)
    }

    /// Enters an array; [`Cursor::element`] reads on.
    pub(crate) fn open_array(&mut self) -> Result<(), NotJson> {
        self.open(Kind::Array, false)
    }

    fn open(&mut self, kind: Kind, object: bool) -> Result<(), NotJson> {
        if self.peek()? != kind {
            return Err(self.bad("unexpected kind of value"));
        }
        if self.depth == DEPTH_MAX {
            return Err(self.bad("it is nested too deep"));
        }
        self.at += 1;
        self.depth += 1;
        self.objects = self.objects << 1 | u128::from(object);
        self.fresh = true;
        Ok(())
    }

    /// The next member's name; its value has to be read or skipped before the next call. `None` leaves the object.
    pub(crate) fn key(&mut self) -> Result<Option<Str<'a>>, NotJson> {
        if !self.another(b'}')? {
            return Ok(None);
        }
        if self.next_byte() != Some(b'"') {
            return Err(self.bad("expected a member's name"));
        }
        let key = self.string()?;
        if self.next_byte() != Some(b':') {
            return Err(self.bad("expected a colon"));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Whether an element follows, which has to be read or skipped before the next call. `false` leaves the array.
    pub(crate) fn element(&mut self) -> Result<bool, NotJson> {
        self.another(b']')
    }

    fn another(&mut self, close: u8) -> Result<bool, NotJson> {
        let fresh = std::mem::replace(&mut self.fresh, false);
        match self.next_byte() {
            Some(byte) if byte == close => {
                self.at += 1;
                self.depth -= 1;
                self.objects >>= 1;
                Ok(false)
            }
            Some(_) if fresh => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => Err(self.bad("expected a comma or the end of an object or array")),
            None => Err(self.bad("it ends too early")),
        }
    }

    /// The string that comes next.
    pub(crate) fn string(&mut self) -> Result<Str<'a>, NotJson> {
        if self.peek()? != Kind::String {
            return Err(self.bad("expected a string"));
        }
        let start = self.at;
        let mut end = start + 1;
        let mut escaped = false;
        loop {
            let Some(found) = self.text.get(end..).and_then(|rest| memchr2(b'"', b'\\', rest)) else {
                return Err(self.bad("a string does not end"));
            };
            end += found + 1;
            if self.text[end - 1] == b'"' {
                break;
            }
            escaped = true;
            end += 1;
        }
        self.at = end;
        Ok(Str { quoted: &self.text[start..end], span: start..end, escaped })
    }

    /// The string that comes next, if it is one; another value is passed over.
    pub(crate) fn string_or_skip(&mut self) -> Result<Option<Str<'a>>, NotJson> {
        if self.peek()? == Kind::String {
            return self.string().map(Some);
        }
        self.skip()?;
        Ok(None)
    }

    /// The number or word that comes next, as written; another value is passed over.
    pub(crate) fn bare_or_skip(&mut self) -> Result<Option<&'a [u8]>, NotJson> {
        if matches!(self.peek()?, Kind::Number | Kind::Word) {
            return self.bare().map(Some);
        }
        self.skip()?;
        Ok(None)
    }

    fn bare(&mut self) -> Result<&'a [u8], NotJson> {
        let rest = &self.text[self.at..];
        let length = rest.iter().position(|byte| b" \t\r\n,:]}\"[{".contains(byte)).unwrap_or(rest.len());
        let bare = &rest[..length];
        if !matches!(bare, b"true" | b"false" | b"null") && !is_number(bare) {
            return Err(self.bad("expected a value"));
        }
        self.at += length;
        Ok(bare)
    }

    /// Passes over the next value, whatever it is.
    pub(crate) fn skip(&mut self) -> Result<(), NotJson> {
        let floor = self.depth;
        loop {
            match self.peek()? {
                Kind::Object => self.open_object()?,
                Kind::Array => self.open_array()?,
                Kind::String => {
                    self.string()?;
                }
                Kind::Number | Kind::Word => {
                    self.bare()?;
                }
            }
            loop {
                if self.depth == floor {
                    return Ok(());
                }
                let more = if self.objects & 1 == 1 { self.key()?.is_some() } else { self.element()? };
                if more {
                    break;
                }
            }
        }
    }

    /// Whether only white space is left.
    pub(crate) fn end(&mut self) -> Result<(), NotJson> {
        self.next_byte().map_or(Ok(()), |_| Err(self.bad("something follows its end")))
    }

    /// Where the value read last ended.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// What was read since `start`.
    pub(crate) fn since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at]
    }

    fn next_byte(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.get(self.at)?;
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
    }

    fn bad(&self, why: &'static str) -> NotJson {
        NotJson { at: self.at, why }
    }
}

/// RFC 8259's grammar of a number.
fn is_number(text: &[u8]) -> bool {
    let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let text = text.strip_prefix(b"-").unwrap_or(text);
    let whole = digits(text);
    if whole == 0 || (whole > 1 && text[0] == b'0') {
        return false;
    }
    let mut rest = &text[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let length = digits(fraction);
        if length == 0 {
            return false;
        }
        rest = &fraction[length..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-")).unwrap_or(exponent);
        let length = digits(exponent);
        return length > 0 && length == exponent.len();
    }
    rest.is_empty()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn skips(text: &[u8]) -> Result<(), NotJson> {
        let mut cursor = Cursor::new(text);
        cursor.skip()?;
        cursor.end()
    }

    #[test]
    fn what_is_not_json_outside_strings_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "[1 2]",
            "NaN",
            "Infinity",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "1e+",
            "tru",
            "nulll",
            "{\"a\" 1}",
            "{\"a\":}",
            "[1]]",
            "[}",
            "{]",
            "\"",
            "\"\\",
            "\"a\\\"",
            "[1]//x",
            "/*\"*/1",
            "[,1]",
            "{,}",
            "1 1",
            "[\u{a0}1]",
            "{\"a\":1 \"b\":2}",
        ] {
            assert!(skips(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| [b"[".repeat(depth), b"]".repeat(depth)].concat();
        assert_eq!(skips(&nested(128)), Ok(()));
        assert!(skips(&nested(129)).is_err());
        assert!(skips(&b"[".repeat(1_000_000)).is_err());
        assert!(skips(&b"{\"a\":".repeat(1_000_000)).is_err());
    }

    proptest! {
        /// Strings are the exception: what they hold is not looked at.
        #[test]
        fn it_accepts_what_serde_json_accepts(text in r#"([\[\]{}:,"\\eE.+\-0-9 ntrufalsb]|"a"|true|null){0,24}"#) {
            let strict = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            let ours = skips(text.as_bytes()).is_ok();
            prop_assert!(ours || !strict);
            prop_assert!(strict || !ours || text.contains('\\'));
        }
    }
}
