//! Where a body holds words of people and models, for those who look at them.
//!
//! Texts are places in the body: what is not changed stays as it came.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    ops::Range,
};

use crate::{
    Dialect,
    json::{Cursor, Kind, NotJson, Str},
    translate::BadRequest,
};

/// A text in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text {
    /// Where its JSON string is, with quotes.
    pub span: Range<usize>,
    /// What it belongs to: in a stream, pieces of one text have the same channel.
    pub channel: u64,
    /// Whether the next event may go on where it ends.
    pub continues: bool,
}

/// The conversation's members at the top of a request.
const fn conversation(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Chat => &["messages", "input"],
        Dialect::Responses => &["instructions", "input"],
        Dialect::Gemini => &["systemInstruction", "system_instruction", "contents", "content", "requests"],
        Dialect::Messages | Dialect::Converse => &["system", "messages"],
    }
}

/// Members of a request's messages that are no words: they name, or a provider demands them back unchanged.
const NO_WORDS: &[&str] = &[
    "type",
    "role",
    "id",
    "call_id",
    "tool_call_id",
    "tool_use_id",
    "item_id",
    "name",
    "status",
    "detail",
    "format",
    "model",
    "data",
    "url",
    "image_url",
    "file_data",
    "file_id",
    "file_url",
    "fileUri",
    "media_type",
    "mimeType",
    "mime_type",
    "signature",
    "thoughtSignature",
    "thought_signature",
    "encrypted_content",
    "thinking",
    "reasoning_details",
    "cache_control",
];

/// Members of an answer that are words, in any dialect.
const WORDS: &[&str] = &[
    "content",
    "text",
    "delta",
    "partial_json",
    "arguments",
    "refusal",
    "reasoning_content",
    "reasoning",
    "input",
    "args",
];

/// The texts of a request: everything in its conversation but names, media and signed thinking.
pub fn of_request(dialect: Dialect, body: &[u8]) -> Result<Vec<Text>, BadRequest> {
    let mut cursor = Cursor::new(body);
    let mut walk = Walk::default();
    cursor.open_object()?;
    while let Some(key) = cursor.key()? {
        if conversation(dialect).iter().any(|name| key.is(name)) {
            walk.value(&mut cursor, Within::Messages)?;
        } else {
            cursor.skip()?;
        }
    }
    Ok(walk.finish())
}

/// The texts of a whole answer or of one streamed event's data; `None` if it is not JSON.
pub fn of_answer(body: &[u8]) -> Option<Vec<Text>> {
    let mut cursor = Cursor::new(body);
    let mut walk = Walk::default();
    walk.value(&mut cursor, Within::Answer).ok()?;
    Some(walk.finish())
}

/// A turn of a request's conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Where its JSON is.
    pub span: Range<usize>,
    /// Whether it is instructions that stand outside the list of turns.
    pub instructions: bool,
}

/// The turns of a request, instructions first.
pub fn turns(dialect: Dialect, body: &[u8]) -> Result<Vec<Turn>, BadRequest> {
    const INSTRUCTIONS: &[&str] = &["system", "systemInstruction", "system_instruction", "instructions"];
    let mut cursor = Cursor::new(body);
    let mut turns = Vec::new();
    cursor.open_object()?;
    while let Some(key) = cursor.key()? {
        let Some(name) = conversation(dialect).iter().find(|name| key.is(name)) else {
            cursor.skip()?;
            continue;
        };
        let instructions = INSTRUCTIONS.contains(name);
        if !instructions && cursor.peek()? == Kind::Array {
            cursor.open_array()?;
            while cursor.element()? {
                turns.push(Turn { span: one(&mut cursor)?, instructions });
            }
        } else {
            turns.push(Turn { span: one(&mut cursor)?, instructions });
        }
    }
    turns.sort_by_key(|turn| !turn.instructions);
    Ok(turns)
}

fn one(cursor: &mut Cursor<'_>) -> Result<Range<usize>, NotJson> {
    cursor.peek()?;
    let start = cursor.at();
    cursor.skip()?;
    Ok(start..cursor.position())
}

/// What a JSON string says. Lone surrogates, which are no text, become U+FFFD.
pub fn decode(quoted: &[u8]) -> String {
    serde_json::from_slice(quoted).unwrap_or_else(|_| lossy(quoted))
}

/// As JSON, with quotes.
pub fn encode(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Replaces each escape that JSON's grammar or Unicode forbids, and reads again.
fn lossy(quoted: &[u8]) -> String {
    let written = String::from_utf8_lossy(quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default());
    let mut out = String::with_capacity(written.len());
    let mut rest = &*written;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = rest[at + 1..].chars().next();
        // A pair of surrogates is one character; anything else is read alone.
        let lengths: &[usize] = if escape == Some('u') { &[12, 6] } else { &[2] };
        let read = |length: usize| {
            let escape = rest.get(at..at + length)?;
            serde_json::from_str::<String>(&format!("\"{escape}\"")).ok().map(|text| (length, text))
        };
        let (length, text) = lengths.iter().find_map(|length| read(*length)).unwrap_or_else(|| {
            (if rest.is_char_boundary(at + 6) && escape == Some('u') { 6 } else { 1 }, "\u{fffd}".to_owned())
        });
        out.push_str(&text);
        rest = &rest[at + length..];
    }
    out + rest
}

/// What a value is part of, which says what its strings are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Within {
    /// A request's messages: words, unless their name says otherwise.
    Messages,
    /// An answer: no words, unless their name says so.
    Answer,
    /// Text, or arguments and results, whose names mean nothing here.
    Words,
}

/// A walk through a body's values.
#[derive(Default)]
struct Walk {
    texts: Vec<Text>,
    /// The names and places that lead to where it is, hashed.
    path: Vec<u64>,
    /// Values around it that grow from event to event.
    growing: u32,
    /// Numbers that say which of several parts a streamed piece belongs to.
    indexes: Vec<u8>,
}

impl Walk {
    fn value(&mut self, cursor: &mut Cursor<'_>, within: Within) -> Result<(), NotJson> {
        match cursor.peek()? {
            Kind::String => {
                let text = cursor.string()?;
                if within != Within::Answer && text.written_len() > 0 {
                    let (channel, continues) = (hash(&self.path), self.growing > 0);
                    self.texts.push(Text { span: text.span, channel, continues });
                }
                Ok(())
            }
            Kind::Object => {
                cursor.open_object()?;
                while let Some(key) = cursor.key()? {
                    self.member(cursor, &key, within)?;
                }
                Ok(())
            }
            Kind::Array => {
                cursor.open_array()?;
                self.path.push(0);
                while cursor.element()? {
                    if let Some(element) = self.path.last_mut() {
                        *element += 1;
                    }
                    self.value(cursor, within)?;
                }
                self.path.pop();
                Ok(())
            }
            _ => cursor.skip(),
        }
    }

    fn member(&mut self, cursor: &mut Cursor<'_>, key: &Str<'_>, within: Within) -> Result<(), NotJson> {
        let name = key.bytes();
        let listed = |names: &[&str]| names.iter().any(|known| *known.as_bytes() == *name);
        let kind = cursor.peek()?;
        if within == Within::Answer
            && matches!(&*name, b"index" | b"output_index" | b"content_index" | b"summary_index")
        {
            if let Some(number) = cursor.bare_or_skip()? {
                self.indexes.extend_from_slice(number);
                self.indexes.push(b',');
            }
            return Ok(());
        }
        let arguments = kind == Kind::Object && matches!(&*name, b"input" | b"args" | b"response");
        let within = match within {
            Within::Messages if !arguments && listed(NO_WORDS) => return cursor.skip(),
            Within::Answer if kind == Kind::String && !listed(WORDS) => return cursor.skip(),
            Within::Answer if kind == Kind::String => Within::Words,
            // A Responses event holds the whole answer under `response`.
            Within::Answer if arguments && *name != *b"response" => Within::Words,
            Within::Messages if arguments => Within::Words,
            other => other,
        };
        let grows = u32::from(matches!(&*name, b"delta" | b"candidates"));
        self.growing += grows;
        self.path.push(hash(&name));
        self.value(cursor, within)?;
        self.path.pop();
        self.growing -= grows;
        Ok(())
    }

    fn finish(mut self) -> Vec<Text> {
        for text in &mut self.texts {
            text.channel = hash(&(text.channel, &self.indexes));
        }
        self.texts
    }
}

fn hash(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said<'a>(body: &'a str, texts: &[Text]) -> Vec<&'a str> {
        texts.iter().map(|text| &body[text.span.clone()]).collect()
    }

    #[test]
    fn a_request_is_its_words() {
        let body = r#"{"model":"m","system":[{"type":"text","text":"be","cache_control":{"type":"ephemeral"}}],"tools":[{"name":"t"}],
            "messages":[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"s"},
            {"type":"tool_use","id":"i","name":"f","input":{"url":["x"]}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":"i","content":[{"type":"text","text":"r"}]},
            {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]}"#;
        let texts = of_request(Dialect::Messages, body.as_bytes()).unwrap();
        assert_eq!(said(body, &texts), ["\"be\"", "\"hi\"", "\"x\"", "\"r\""]);
        let turns = turns(Dialect::Messages, body.as_bytes()).unwrap();
        assert_eq!(turns.len(), 4);
        assert!(turns[0].instructions && body[turns[0].span.clone()].starts_with(r#"[{"type":"text","text":"be""#));
    }

    #[test]
    fn an_answer_is_its_words_in_any_dialect() {
        for (body, expected) in [
            (
                r#"{"id":"i","choices":[{"index":0,"delta":{"role":"assistant","content":"a","tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"b"}}]},"logprobs":null}]}"#,
                vec!["\"a\"", "\"b\""],
            ),
            (r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}"#, vec!["\"a\""]),
            (r#"{"type":"response.output_text.delta","item_id":"m","delta":"a"}"#, vec!["\"a\""]),
            (
                r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"a"},{"functionCall":{"name":"f","args":{"name":"b"}}}]}}]}"#,
                vec!["\"a\"", "\"b\""],
            ),
            (
                r#"{"content":[{"type":"text","text":"a"},{"type":"tool_use","id":"i","name":"f","input":{"type":"b"}}]}"#,
                vec!["\"a\"", "\"b\""],
            ),
        ] {
            assert_eq!(said(body, &of_answer(body.as_bytes()).unwrap()), expected, "{body}");
        }
        assert_eq!(of_answer(b"[DONE"), None);
    }

    #[test]
    fn pieces_of_one_text_share_a_channel() {
        let channel = |body: &str| of_answer(body.as_bytes()).unwrap()[0].channel;
        let first = channel(r#"{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"a"}}"#);
        assert_eq!(
            first,
            channel(r#"{"index":1,"delta":{"text":"b","type":"text_delta"},"type":"content_block_delta"}"#)
        );
        assert_ne!(
            first,
            channel(r#"{"type":"content_block_delta","index":2,"delta":{"type":"text_delta","text":"a"}}"#)
        );
    }

    #[test]
    fn what_is_no_text_is_read_as_far_as_it_goes() {
        assert_eq!(decode(br#""a\ud800b\u00e9\n\ud83d\ude00""#), "a\u{fffd}bé\n😀");
        assert_eq!(decode(br#""\ud800""#), "\u{fffd}");
        assert_eq!(decode(br#""\q\u12""#), "\u{fffd}q\u{fffd}u12");
    }
}
