//! How one model behaves: words in its name, so that any client can ask for any behaviour.
//!
//! `mock--think--wait-50--cut-3` thinks, answers after 50 ms and breaks off in the middle of its
//! fourth frame. A word that is not known is part of the name and means nothing.

use std::time::Duration;

use super::Tokens;

/// What a model does besides answering.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that is there or not")]
pub struct Behaviour {
    /// `status-N`: answers with this status and an error body.
    pub status: Option<u16>,
    /// `retry-N`: with `retry-after: N`.
    pub retry_after: Option<u32>,
    /// `first-N`: misbehaves the first N times and is well afterwards.
    pub first: Option<u64>,
    /// `wait-MS`: this long before the first byte.
    pub wait: Duration,
    /// `stall-MS`: this long between frames.
    pub stall: Duration,
    /// `cut-N`: the connection breaks in the middle of frame N, counted from 0.
    pub cut: Option<usize>,
    /// `hang-N`: says nothing more from frame N on, and keeps the connection open.
    pub hang: Option<usize>,
    /// `error-N`: an error event instead of frame N and all that follows.
    pub error_at: Option<usize>,
    /// `unfinished`: ends in order but without the frames that say so.
    pub unfinished: bool,
    /// How usage is told.
    pub usage: Usage,
    /// How frames are written.
    pub writes: Writes,
    /// `crlf`: lines end with CRLF.
    pub crlf: bool,
    /// `comments`: comment lines between events.
    pub comments: bool,
    /// `huge-N`: one piece of text of N bytes.
    pub huge: Option<usize>,
    /// `leak`: an error repeats the credential it was asked with.
    pub leak: bool,
    /// `html`: a proxy's page with status 502, or 200 with `ok`.
    pub html: bool,
    /// `ok`: whatever goes wrong does so under status 200.
    pub ok: bool,
    /// `wrongtype`: the right answer as `text/plain`.
    pub wrong_type: bool,
    /// `silent`: never answers.
    pub silent: bool,
    /// `think`: reasons before it answers, and wants the signatures of a tool turn back.
    pub think: bool,
    /// `echo`: wants the reasoning itself back where there is no signature (chat completions).
    pub echo: bool,
    /// `calls-N`: calls N tools at once.
    pub calls: usize,
    /// `frames-N`: N pieces of text.
    pub frames: Option<usize>,
    /// `length`: stops at the longest answer allowed.
    pub length: bool,
    /// `refuse`: declines to answer.
    pub refuse: bool,
    /// `in-N`, `cached-N`, `written-N`, `written1h-N`, `out-N`, `reasoning-N`.
    pub tokens: Tokens,
}

/// How usage is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// As the API says.
    Told,
    /// `nousage`: not at all.
    Absent,
    /// `growing`: again and again, larger each time.
    Growing,
}

/// How frames are written to the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// One write for each.
    Frames,
    /// `bytes`: one write for each byte.
    Bytes,
    /// `split`: every frame in two, inside a character where it has one of several bytes.
    Split,
    /// `joined`: all in one write.
    Joined,
}

impl Behaviour {
    /// What `words` ask for, whatever separates them.
    pub fn read(words: &str) -> Self {
        let mut read = Self {
            status: None,
            retry_after: None,
            first: None,
            wait: Duration::ZERO,
            stall: Duration::ZERO,
            cut: None,
            hang: None,
            error_at: None,
            unfinished: false,
            usage: Usage::Told,
            writes: Writes::Frames,
            crlf: false,
            comments: false,
            huge: None,
            leak: false,
            html: false,
            ok: false,
            wrong_type: false,
            silent: false,
            think: false,
            echo: false,
            calls: 1,
            frames: None,
            length: false,
            refuse: false,
            tokens: Tokens { input: 11, output: 7, ..Tokens::default() },
        };
        for word in words.split("--").flat_map(str::split_whitespace) {
            read.add(word);
        }
        if read.think && read.tokens.reasoning == 0 {
            read.tokens.reasoning = 5;
        }
        read
    }

    fn add(&mut self, word: &str) {
        match word {
            "unfinished" => self.unfinished = true,
            "nousage" => self.usage = Usage::Absent,
            "growing" => self.usage = Usage::Growing,
            "bytes" => self.writes = Writes::Bytes,
            "split" => self.writes = Writes::Split,
            "joined" => self.writes = Writes::Joined,
            "crlf" => self.crlf = true,
            "comments" => self.comments = true,
            "leak" => self.leak = true,
            "html" => self.html = true,
            "ok" => self.ok = true,
            "wrongtype" => self.wrong_type = true,
            "silent" => self.silent = true,
            "think" => self.think = true,
            "echo" => self.echo = true,
            "length" => self.length = true,
            "refuse" => self.refuse = true,
            word => {
                let Some((name, number)) = word.rsplit_once('-') else { return };
                if let Ok(number) = number.parse::<u32>() {
                    self.add_number(name, number);
                }
            }
        }
    }

    fn add_number(&mut self, name: &str, number: u32) {
        let index = number as usize;
        let count = u64::from(number);
        match name {
            "status" => self.status = u16::try_from(number).ok(),
            "retry" => self.retry_after = Some(number),
            "first" => self.first = Some(count),
            "wait" => self.wait = Duration::from_millis(count),
            "stall" => self.stall = Duration::from_millis(count),
            "cut" => self.cut = Some(index),
            "hang" => self.hang = Some(index),
            "error" => self.error_at = Some(index),
            "huge" => self.huge = Some(index),
            "calls" => self.calls = index,
            "frames" => self.frames = Some(index),
            "in" => self.tokens.input = count,
            "cached" => self.tokens.cache_read = count,
            "written" => self.tokens.cache_write_5m = count,
            "written1h" => self.tokens.cache_write_1h = count,
            "out" => self.tokens.output = count,
            "reasoning" => self.tokens.reasoning = count,
            _ => {}
        }
    }

    /// The same model when nothing is wrong with it.
    #[must_use]
    pub fn recovered(&self) -> Self {
        Self {
            status: None,
            retry_after: None,
            wait: Duration::ZERO,
            stall: Duration::ZERO,
            cut: None,
            hang: None,
            error_at: None,
            unfinished: false,
            html: false,
            ok: false,
            wrong_type: false,
            silent: false,
            ..self.clone()
        }
    }
}
