//! The few facts of a request that governance needs, read in one pass over the body.
//!
//! The body is never rebuilt: it is forwarded as it came, except for the spans [`Facts::rewrite`]
//! replaces. Nothing unknown is refused. What is refused is what two parsers could read differently:
//! text that is not JSON, members given twice, and members spelled almost like one that is read.

mod content;
mod exposure;
mod fields;
mod rewrite;

use std::{borrow::Cow, ops::Range};

pub use exposure::{Limits, exposure};
use fields::{Field, fields};
pub use rewrite::Edits;

use crate::{
    Dialect, Operation,
    json::{Cursor, Kind, NotJson, Str},
    translate::BadRequest,
};

/// Members at the top of a body; more is no request anybody knows.
const MEMBERS_MAX: usize = 256;
/// The longest hint that is kept, in bytes.
const HINT_MAX: usize = 512;

/// What a request says about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct Facts {
    /// The model asked for; `None` where the body names none (Gemini's URL does).
    pub model: Option<String>,
    /// Whether the answer shall be streamed. Gemini says it in the URL.
    pub stream: bool,
    /// Whether the agent asked for usage in a chat stream.
    pub include_usage: bool,
    /// The longest answer asked for, in tokens; `None` if the provider's limit holds.
    pub max_output: Option<u64>,
    /// How many answers; 0 for an operation that has none.
    pub choices: u64,
    /// Bytes of the body that are not `media_bytes`. No prompt made of them has more tokens.
    pub text_bytes: u64,
    /// Images in the prompt, inline or by reference.
    pub images: u32,
    /// Bytes of the body that are media in base64 and no text to the model.
    pub media_bytes: u64,
    /// Whether audio goes in or comes out.
    pub audio: bool,
    /// Whether images are to come out.
    pub image_output: bool,
    /// Whether some of the prompt has no bound in the body: stored conversations, files, documents.
    pub unbounded_input: bool,
    /// Whether the prompt may be written to the provider's cache at a price.
    pub cache_writes: bool,
    /// Tools offered to the model.
    pub tools: u32,
    /// Those among them whose definition the provider itself adds to the prompt.
    pub known_tools: u32,
    /// Tools the provider runs by itself.
    pub hosted: Hosted,
    /// A class of service with its own prices, as written.
    pub tier: Option<String>,
    /// A member that only a provider of the same dialect can serve.
    pub native_only: Option<&'static str>,
    /// What may identify the agent's session.
    pub hints: Hints,
    spans: Spans,
}

/// Uses of tools that the provider runs by itself; each asks the model once more.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hosted {
    /// No such tool.
    #[default]
    None,
    /// At most so many uses.
    Limited(u64),
    /// Nothing bounds them.
    Unlimited,
}

impl Hosted {
    fn and(self, uses: Option<u64>) -> Self {
        match (self, uses) {
            (Hosted::Unlimited, _) | (_, None) => Hosted::Unlimited,
            (Hosted::None, Some(uses)) => Hosted::Limited(uses),
            (Hosted::Limited(before), Some(uses)) => Hosted::Limited(before.saturating_add(uses)),
        }
    }
}

/// What may identify the agent's session, each at most 512 bytes; longer ones are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// Anthropic's `metadata.user_id`.
    pub user_id: Option<String>,
    /// OpenAI's `prompt_cache_key`.
    pub cache_key: Option<String>,
    /// OpenAI's `user` or `safety_identifier`.
    pub user: Option<String>,
}

/// Where the body says what may be replaced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Spans {
    /// The opening brace.
    open: usize,
    /// Every member at the top, in order.
    members: Vec<Member>,
    /// Models named deeper in the body.
    nested_models: Vec<Range<usize>>,
    /// The value of `stream_options.include_usage`.
    include_usage: Option<Range<usize>>,
}

/// A member at the top of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Member {
    /// Its name, with quotes.
    name: Range<usize>,
    /// Its name in plain text, where it is written with escapes.
    plain: Option<Vec<u8>>,
    /// Its value.
    value: Range<usize>,
}

impl Member {
    fn is(&self, name: &[u8], body: &[u8]) -> bool {
        *self.plain.as_deref().unwrap_or(&body[self.name.start + 1..self.name.end - 1]) == *name
    }
}

/// Reads the facts of `body`.
pub fn read(dialect: Dialect, operation: Operation, body: &[u8]) -> Result<Facts, BadRequest> {
    if std::str::from_utf8(body).is_err() {
        return Err(bad(None, "the body is not valid UTF-8"));
    }
    let mut scan = Scan {
        dialect,
        cursor: Cursor::new(body),
        facts: Facts {
            choices: 1,
            // Only Anthropic charges for writing what was marked alone.
            cache_writes: dialect != Dialect::Messages,
            ..Facts::default()
        },
        max_unknown: false,
        hosted_max: None,
    };
    scan.body(fields(dialect, operation), body)?;
    let mut facts = scan.facts;
    if scan.max_unknown {
        facts.max_output = None;
    }
    if let (Hosted::Unlimited, Some(most)) = (facts.hosted, scan.hosted_max) {
        facts.hosted = Hosted::Limited(most);
    }
    if operation != Operation::Generate {
        (facts.choices, facts.max_output) = (0, None);
    }
    facts.text_bytes = (body.len() as u64).saturating_sub(facts.media_bytes);
    Ok(facts)
}

fn bad(field: Option<&str>, why: impl Into<String>) -> BadRequest {
    BadRequest { field: field.map(str::to_owned), why: why.into() }
}

impl From<NotJson> for BadRequest {
    fn from(error: NotJson) -> Self {
        bad(None, format!("the body is not JSON: {} at byte {}", error.why, error.at))
    }
}

/// A reading in progress.
struct Scan<'a> {
    dialect: Dialect,
    cursor: Cursor<'a>,
    facts: Facts,
    /// A limit of the answer was given in a form that not every provider reads alike.
    max_unknown: bool,
    hosted_max: Option<u64>,
}

impl Scan<'_> {
    fn body(&mut self, table: &'static [(&'static str, Field)], body: &[u8]) -> Result<(), BadRequest> {
        if self.cursor.peek()? != Kind::Object {
            return Err(bad(None, "the body has to be a JSON object"));
        }
        self.facts.spans.open = self.cursor.at();
        self.facts.spans.members.reserve(24);
        self.cursor.open_object()?;
        while let Some(key) = self.cursor.key()? {
            let field = known(table, &key)?;
            let start = self.value_start()?;
            let name = key.bytes();
            let members = &self.facts.spans.members;
            if members.len() == MEMBERS_MAX {
                return Err(bad(None, "the body has too many members"));
            }
            if members.iter().any(|other| other.is(&name, body)) {
                return Err(twice(&String::from_utf8_lossy(&name)));
            }
            let plain = match name {
                Cow::Borrowed(_) => None,
                Cow::Owned(name) => Some(name),
            };
            match field {
                Some((name, field)) => self.member(name, field)?,
                None => self.cursor.skip()?,
            }
            let value = start..self.cursor.position();
            self.facts.spans.members.push(Member { name: key.span, plain, value });
        }
        Ok(self.cursor.end()?)
    }

    fn value_start(&mut self) -> Result<usize, NotJson> {
        self.cursor.peek()?;
        Ok(self.cursor.at())
    }

    fn member(&mut self, name: &'static str, field: Field) -> Result<(), BadRequest> {
        match field {
            Field::Model => self.model(name)?,
            Field::Stream => self.facts.stream = self.flag(name)?,
            Field::StreamOptions => self.stream_options(name)?,
            Field::MaxOutput => self.max_output()?,
            Field::Choices => self.choices(name)?,
            Field::Conversation => self.conversation()?,
            Field::Tools => self.tools()?,
            Field::Hosted(uses) => {
                if self.given()? {
                    self.facts.hosted = self.facts.hosted.and(uses);
                }
            }
            Field::HostedMax => self.hosted_max = self.cursor.bare_or_skip()?.and_then(whole),
            Field::Generation => self.generation(name)?,
            Field::Modalities => self.modalities()?,
            Field::Elsewhere => self.facts.unbounded_input |= self.given()?,
            Field::Native => {
                if self.given()? {
                    self.facts.unbounded_input = true;
                    self.facts.native_only.get_or_insert(name);
                }
            }
            Field::NativeIfTrue => {
                if self.flag(name)? {
                    self.facts.native_only.get_or_insert(name);
                }
            }
            Field::CacheMark => self.facts.cache_writes |= self.given()?,
            Field::ContextManagement => self.context_management()?,
            Field::Metadata => self.metadata()?,
            Field::User => self.facts.hints.user = self.hint()?.or(self.facts.hints.user.take()),
            Field::CacheKey => self.facts.hints.cache_key = self.hint()?,
            Field::Tier => self.facts.tier = self.hint()?.or(self.facts.tier.take()),
            Field::Nested => self.nested(name)?,
        }
        Ok(())
    }

    fn model(&mut self, name: &str) -> Result<(), BadRequest> {
        if let Some(model) = self.text(name)? {
            if self.facts.model.as_ref().is_some_and(|before| *before != model) {
                return Err(bad(Some(name), "one request cannot name several models"));
            }
            self.facts.model = Some(model);
        }
        Ok(())
    }

    fn stream_options(&mut self, name: &str) -> Result<(), BadRequest> {
        if self.cursor.peek()? != Kind::Object {
            let given = self.given()?;
            return if given { Err(bad(Some(name), format!("`{name}` has to be an object"))) } else { Ok(()) };
        }
        self.cursor.open_object()?;
        while let Some(key) = self.cursor.key()? {
            if !key.is("include_usage") {
                self.cursor.skip()?;
                continue;
            }
            let start = self.value_start()?;
            self.facts.include_usage = self.flag("stream_options.include_usage")?;
            if self.facts.spans.include_usage.replace(start..self.cursor.position()).is_some() {
                return Err(twice("stream_options.include_usage"));
            }
        }
        Ok(())
    }

    fn max_output(&mut self) -> Result<(), BadRequest> {
        match self.number()? {
            Number::Absent => {}
            Number::Whole(most) => self.facts.max_output = Some(self.facts.max_output.map_or(most, |m| m.max(most))),
            Number::Other => self.max_unknown = true,
        }
        Ok(())
    }

    fn choices(&mut self, name: &str) -> Result<(), BadRequest> {
        match self.number()? {
            Number::Absent => {}
            Number::Whole(count) => self.facts.choices = count.max(1),
            Number::Other => return Err(bad(Some(name), format!("`{name}` has to be a whole number"))),
        }
        Ok(())
    }

    fn generation(&mut self, name: &str) -> Result<(), BadRequest> {
        if self.cursor.peek()? != Kind::Object {
            return Ok(self.cursor.skip()?);
        }
        let (mut limits, mut counts) = (0, 0);
        self.cursor.open_object()?;
        while let Some(key) = self.cursor.key()? {
            match &*key.bytes() {
                b"maxOutputTokens" | b"max_output_tokens" => {
                    limits += 1;
                    self.max_output()?;
                }
                b"candidateCount" | b"candidate_count" => {
                    counts += 1;
                    self.choices("candidateCount")?;
                }
                b"responseModalities" | b"response_modalities" => self.modalities()?,
                _ => self.cursor.skip()?,
            }
        }
        if limits > 1 || counts > 1 {
            return Err(twice(&format!("{name}.{}", if limits > 1 { "maxOutputTokens" } else { "candidateCount" })));
        }
        Ok(())
    }

    fn modalities(&mut self) -> Result<(), BadRequest> {
        if self.cursor.peek()? != Kind::Array {
            return Ok(self.cursor.skip()?);
        }
        self.cursor.open_array()?;
        while self.cursor.element()? {
            if let Some(kind) = self.cursor.string_or_skip()? {
                self.facts.audio |= kind.bytes().eq_ignore_ascii_case(b"audio");
                self.facts.image_output |= kind.bytes().eq_ignore_ascii_case(b"image");
            }
        }
        Ok(())
    }

    /// A provider that compacts the context asks the model once more for that, as often as it likes.
    fn context_management(&mut self) -> Result<(), BadRequest> {
        let start = self.value_start()?;
        self.cursor.skip()?;
        let written = self.cursor.since(start);
        if memchr::memmem::find(written, b"compact").is_some() {
            self.facts.hosted = Hosted::Unlimited;
        }
        Ok(())
    }

    fn metadata(&mut self) -> Result<(), BadRequest> {
        if self.cursor.peek()? != Kind::Object {
            return Ok(self.cursor.skip()?);
        }
        self.cursor.open_object()?;
        while let Some(key) = self.cursor.key()? {
            if key.is("user_id") {
                self.facts.hints.user_id = self.hint()?;
            } else {
                self.cursor.skip()?;
            }
        }
        Ok(())
    }

    /// Gemini's requests within a request: one, or a list of them.
    fn nested(&mut self, name: &str) -> Result<(), BadRequest> {
        match self.cursor.peek()? {
            Kind::Array => {
                self.cursor.open_array()?;
                while self.cursor.element()? {
                    self.nested_one(name)?;
                }
                Ok(())
            }
            _ => self.nested_one(name),
        }
    }

    fn nested_one(&mut self, name: &str) -> Result<(), BadRequest> {
        if self.cursor.peek()? != Kind::Object {
            return Ok(self.cursor.skip()?);
        }
        let mut models = 0;
        self.cursor.open_object()?;
        while let Some(key) = self.cursor.key()? {
            match &*key.bytes() {
                b"model" => {
                    models += 1;
                    let start = self.value_start()?;
                    self.model(&format!("{name}.model"))?;
                    self.facts.spans.nested_models.push(start..self.cursor.position());
                }
                b"content" | b"contents" => self.conversation()?,
                _ => self.cursor.skip()?,
            }
        }
        if models > 1 { Err(twice(&format!("{name}.model"))) } else { Ok(()) }
    }

    /// A string, or nothing; anything else is refused.
    fn text(&mut self, name: &str) -> Result<Option<String>, BadRequest> {
        if self.cursor.peek()? == Kind::String {
            let text = self.cursor.string()?.text();
            return text.map(Some).ok_or_else(|| bad(Some(name), format!("`{name}` is not valid text")));
        }
        let given = self.given()?;
        if given { Err(bad(Some(name), format!("`{name}` has to be a string"))) } else { Ok(None) }
    }

    /// A string of bearable length; anything else is passed over.
    fn hint(&mut self) -> Result<Option<String>, NotJson> {
        let text = self.cursor.string_or_skip()?;
        Ok(text.filter(|text| text.quoted.len() <= HINT_MAX).and_then(|text| text.text()))
    }

    fn flag(&mut self, name: &str) -> Result<bool, BadRequest> {
        match self.cursor.bare_or_skip()? {
            Some(b"true") => Ok(true),
            Some(b"false" | b"null") => Ok(false),
            _ => Err(bad(Some(name), format!("`{name}` has to be true or false"))),
        }
    }

    /// Passes over a value and says whether there was one: neither `null` nor `false`.
    fn given(&mut self) -> Result<bool, NotJson> {
        Ok(!matches!(self.cursor.bare_or_skip()?, Some(b"null" | b"false")))
    }

    /// Google reads numbers in quotes too.
    fn number(&mut self) -> Result<Number, NotJson> {
        if self.cursor.peek()? == Kind::String {
            let text = self.cursor.string()?;
            let quoted = (self.dialect == Dialect::Gemini).then(|| whole(&text.bytes())).flatten();
            return Ok(quoted.map_or(Number::Other, Number::Whole));
        }
        Ok(match self.cursor.bare_or_skip()? {
            Some(b"null") => Number::Absent,
            Some(written) => whole(written).map_or(Number::Other, Number::Whole),
            None => Number::Other,
        })
    }
}

enum Number {
    Absent,
    Whole(u64),
    /// Something else, which providers may or may not take for a number.
    Other,
}

fn whole(written: &[u8]) -> Option<u64> {
    std::str::from_utf8(written).ok()?.parse().ok()
}

fn twice(name: &str) -> BadRequest {
    bad(Some(name), format!("`{name}` is given twice"))
}

/// Some providers' parsers ignore case, so a name that differs in case alone is refused.
fn known(table: &'static [(&'static str, Field)], key: &Str<'_>) -> Result<Option<(&'static str, Field)>, BadRequest> {
    let name = key.bytes();
    let alike = table.iter().find(|(known, _)| known.as_bytes().eq_ignore_ascii_case(&name));
    match alike {
        Some((known, _)) if known.as_bytes() != &*name => {
            let name = String::from_utf8_lossy(&name);
            Err(bad(Some(&name), format!("`{name}` is spelled `{known}`")))
        }
        found => Ok(found.copied()),
    }
}
