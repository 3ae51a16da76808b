//! Walks the conversation and the tools of a request, for what makes a prompt longer than its bytes.

use super::{
    Scan,
    fields::{Runner, runner},
    whole,
};
use crate::{
    Dialect,
    json::{Kind, NotJson, Str},
};

/// What an image, document or sound is said to be and where its bytes are.
#[derive(Default)]
struct Media<'a> {
    mime: Option<Str<'a>>,
    /// Length of the bytes in place, as written.
    inline: Option<u64>,
    /// Whether they are somewhere else.
    remote: bool,
}

impl Media<'_> {
    fn is(&self, family: &str) -> bool {
        self.mime.as_ref().is_some_and(|mime| mime.bytes().starts_with(family.as_bytes()))
    }
}

impl<'a> Scan<'a> {
    /// Turns, parts, or text; of any dialect, because their words do not clash.
    pub(super) fn conversation(&mut self) -> Result<(), NotJson> {
        match self.cursor.peek()? {
            Kind::Object => self.part(),
            Kind::Array => {
                self.cursor.open_array()?;
                while self.cursor.element()? {
                    self.conversation()?;
                }
                Ok(())
            }
            _ => self.cursor.skip(),
        }
    }

    fn part(&mut self) -> Result<(), NotJson> {
        let mut kind = None;
        let mut images = 0_u32;
        let mut media = Media::default();
        self.cursor.open_object()?;
        while let Some(key) = self.cursor.key()? {
            match &*key.bytes() {
                b"type" => kind = self.cursor.string_or_skip()?,
                b"content" | b"parts" | b"output" | b"functionResponse" | b"function_response" => {
                    self.conversation()?;
                }
                b"cache_control" => self.facts.cache_writes |= self.given()?,
                b"image_url" => images += u32::from(self.image_url()?),
                b"source" | b"inlineData" | b"inline_data" => media = self.media()?,
                b"input_audio" => self.facts.audio |= self.given()?,
                b"file" | b"file_id" | b"file_url" | b"file_data" | b"fileData" | b"video_url" | b"video"
                | b"audio" => {
                    media.remote |= self.given()?;
                }
                _ => self.cursor.skip()?,
            }
        }
        let kind = kind.map(|kind| kind.bytes()).unwrap_or_default();
        let is_image =
            media.is("image/") || matches!(&*kind, b"image" | b"input_image" | b"image_url" | b"computer_screenshot");
        if is_image {
            images = images.max(1);
        } else if media.is("audio/") {
            // As many tokens as bytes would be a great many: its bytes are the bound.
            self.facts.audio = true;
        } else if media.remote || (media.inline.is_some() && !media.is("text/")) || *kind == *b"item_reference" {
            self.facts.unbounded_input = true;
        }
        if let Some(length) = media.inline.filter(|_| !media.is("audio/") && !media.is("text/")) {
            self.facts.media_bytes += length;
        }
        self.facts.images = self.facts.images.saturating_add(images);
        Ok(())
    }

    /// `image_url`, which is a URL or an object with one; `data:` URLs are inline.
    fn image_url(&mut self) -> Result<bool, NotJson> {
        if self.cursor.peek()? == Kind::Object {
            let mut found = false;
            self.cursor.open_object()?;
            while let Some(key) = self.cursor.key()? {
                if key.is("url") { found |= self.image_url()? } else { self.cursor.skip()? }
            }
            return Ok(found);
        }
        let Some(url) = self.cursor.string_or_skip()? else { return Ok(false) };
        if url.bytes().get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"data:")) {
            self.facts.media_bytes += url.written_len();
        }
        Ok(true)
    }

    fn media(&mut self) -> Result<Media<'a>, NotJson> {
        let mut media = Media::default();
        if self.cursor.peek()? != Kind::Object {
            self.cursor.skip()?;
            return Ok(media);
        }
        self.cursor.open_object()?;
        while let Some(key) = self.cursor.key()? {
            match &*key.bytes() {
                b"media_type" | b"mimeType" | b"mime_type" => media.mime = self.cursor.string_or_skip()?,
                b"data" => media.inline = self.cursor.string_or_skip()?.map(|data| data.written_len()),
                b"url" | b"file_id" => media.remote |= self.given()?,
                b"content" => self.conversation()?,
                _ => self.cursor.skip()?,
            }
        }
        Ok(media)
    }

    pub(super) fn tools(&mut self) -> Result<(), NotJson> {
        if self.cursor.peek()? != Kind::Array {
            return self.cursor.skip();
        }
        self.cursor.open_array()?;
        while self.cursor.element()? {
            if self.cursor.peek()? != Kind::Object {
                self.cursor.skip()?;
            } else if self.dialect == Dialect::Gemini {
                self.gemini_tool()?;
            } else {
                self.tool()?;
            }
        }
        Ok(())
    }

    fn tool(&mut self) -> Result<(), NotJson> {
        let (mut kind, mut uses) = (None, None);
        self.cursor.open_object()?;
        while let Some(key) = self.cursor.key()? {
            match &*key.bytes() {
                b"type" => kind = self.cursor.string_or_skip()?,
                b"max_uses" => uses = self.cursor.bare_or_skip()?.and_then(whole),
                b"cache_control" => self.facts.cache_writes |= self.given()?,
                _ => self.cursor.skip()?,
            }
        }
        self.facts.tools = self.facts.tools.saturating_add(1);
        let runner = kind.map_or(Runner::Agent, |kind| runner(self.dialect, &kind.bytes()));
        match runner {
            Runner::Agent => {}
            Runner::AgentKnown => self.facts.known_tools = self.facts.known_tools.saturating_add(1),
            Runner::Provider => self.facts.hosted = self.facts.hosted.and(uses),
        }
        Ok(())
    }

    /// An object whose members are kinds of tools.
    fn gemini_tool(&mut self) -> Result<(), NotJson> {
        self.cursor.open_object()?;
        while let Some(key) = self.cursor.key()? {
            match &*key.bytes() {
                b"functionDeclarations" | b"function_declarations" if self.cursor.peek()? == Kind::Array => {
                    self.cursor.open_array()?;
                    while self.cursor.element()? {
                        self.cursor.skip()?;
                        self.facts.tools = self.facts.tools.saturating_add(1);
                    }
                }
                b"computerUse" | b"computer_use" => {
                    self.facts.known_tools = self.facts.known_tools.saturating_add(u32::from(self.given()?));
                }
                _ => {
                    if self.given()? {
                        self.facts.hosted = self.facts.hosted.and(None);
                    }
                }
            }
        }
        Ok(())
    }
}
