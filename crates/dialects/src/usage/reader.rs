//! What the values of an answer mean. One reader for all dialects, because their paths do not clash.

use super::{
    Said,
    counts::Counts,
    keys::Key,
    skim::{Leaf, Leaves},
};
use crate::{error::ProviderError, texts};

const NAMES_MAX: usize = 64;

/// What was read so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    pub(super) counts: Counts,
    pub(super) model: Option<String>,
    pub(super) id: Option<String>,
    pub(super) stop: Option<String>,
    /// Whether the stream said that it is over.
    pub(super) done: bool,
    pub(super) output_bytes: u64,
    pub(super) error: Option<ProviderError>,
    pub(super) tool_names: Vec<String>,
    /// What is kept of the answer, if anything, and how many bytes of it.
    pub(super) said: Option<Said>,
    pub(super) said_max: usize,
    frame: Frame,
    searches_streamed: u64,
}

/// What the current frame says about itself; its members come in any order.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Frame {
    is_error: bool,
    item_done: bool,
    item_is_search: bool,
    /// What a Responses event adds to the text, unless it is no text.
    delta: Option<String>,
    delta_is_hidden: bool,
    /// The tool call a Responses event completes.
    call: (String, String),
    searches: u64,
    message: Option<String>,
    code: Option<String>,
}

/// What a piece of an answer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Speech {
    #[default]
    Text,
    Reasoning,
    Arguments,
}

impl Leaves for Reader {
    fn leaf(&mut self, path: &[Key], leaf: Leaf<'_>) {
        use Key as K;
        // The elements of Gemini's array are what its events are.
        let path = match path {
            [K::At, rest @ ..] if !rest.is_empty() => rest,
            path => path,
        };
        match path {
            [K::Usage | K::UsageMetadata, rest @ ..]
            | [K::Message | K::Response | K::XGroq | K::Metadata, K::Usage, rest @ ..]
            | [K::Choices, K::At, K::Usage, rest @ ..] => self.counts.take(rest, leaf),
            [K::Error, rest @ ..] | [K::Response, K::Error, rest @ ..] => self.error(rest, leaf),
            _ => match leaf {
                Leaf::Text { head, length } => self.text(path, head, length),
                // `[DONE]` is no JSON, and reads like an array of one word.
                Leaf::Bare(b"DONE") if path == [K::At] => self.done = true,
                Leaf::Bare(written) => {
                    if is_argument(path) {
                        self.output_bytes += written.len() as u64;
                    }
                }
            },
        }
    }
}

impl Reader {
    /// The frame is complete.
    pub(super) fn frame_ends(&mut self) {
        let frame = std::mem::take(&mut self.frame);
        if frame.item_done && frame.item_is_search {
            self.searches_streamed += 1;
        }
        if let Some(delta) = frame.delta.filter(|_| !frame.delta_is_hidden) {
            self.say(Speech::Text, &delta);
        }
        if frame.item_done && !frame.call.0.is_empty() {
            self.call(frame.call.0);
            self.say(Speech::Arguments, &frame.call.1);
        }
        self.counts.searched(frame.searches.max(self.searches_streamed));
        if frame.is_error && self.error.is_none() {
            let message = frame.message.unwrap_or_default();
            self.error = Some(ProviderError { code: frame.code, kind: None, message });
        }
    }

    fn text(&mut self, path: &[Key], head: &[u8], length: u64) {
        use Key as K;
        match path {
            [K::Id | K::ResponseIdC] | [K::Message | K::Response, K::Id] => keep(&mut self.id, head),
            [K::Model | K::ModelVersion] | [K::Message | K::Response, K::Model] => keep(&mut self.model, head),

            [K::Choices, K::At, K::FinishReason]
            | [K::Candidates, K::At, K::FinishReasonC]
            | [K::PromptFeedback, K::BlockReason]
            | [K::StopReason | K::StopReasonC]
            | [K::Delta | K::Message, K::StopReason]
            | [K::MessageStopC, K::StopReasonC]
            | [K::IncompleteDetails, K::Reason]
            | [K::Response, K::IncompleteDetails, K::Reason] => self.stopped(head),
            [K::Status] | [K::Response, K::Status] => match head {
                b"completed" | b"incomplete" => {
                    self.done = true;
                    if self.stop.is_none() {
                        self.stopped(head);
                    }
                }
                b"failed" | b"cancelled" => self.stopped(head),
                _ => {}
            },

            [K::Type | K::Object] => match head {
                b"message_stop" => self.done = true,
                b"error" => self.frame.is_error = true,
                b"response.output_item.done" => self.frame.item_done = true,
                _ if !head.starts_with(b"response.output_text") => self.frame.delta_is_hidden = true,
                _ => {}
            },
            [K::Item, K::Type] => self.frame.item_is_search = head == b"web_search_call",
            [K::Output, K::At, K::Type] | [K::Response, K::Output, K::At, K::Type] => {
                self.frame.searches += u64::from(head == b"web_search_call");
            }
            [K::Message] => self.frame.message = Some(decode(head)),
            [K::Code] => self.frame.code = Some(decode(head)),

            [K::Choices, K::At, K::Delta | K::Message, K::ToolCalls, K::At, K::Function | K::Custom, K::Name]
            | [K::Choices, K::At, K::Delta | K::Message, K::FunctionCall, K::Name]
            | [K::ContentBlock, K::Name]
            | [K::Output | K::Content, K::At, K::Name]
            | [K::Candidates, K::At, K::Content, K::Parts, K::At, K::FunctionCallC, K::Name]
            | [K::ContentBlockStartC, K::Start, K::ToolUseC, K::Name]
            | [K::Output, K::Message, K::Content, K::At, K::ToolUseC, K::Name] => {
                self.call(decode(head));
                self.called(decode(head));
            }
            [K::Item, K::Name] => {
                self.called(decode(head));
                self.frame.call.0 = decode(head);
            }
            [K::Item, K::Arguments | K::Input] if self.said.is_some() => self.frame.call.1 = decode(head),

            _ if is_output(path) => {
                self.output_bytes += length;
                if self.said.is_some() {
                    let text = decode(head);
                    match path {
                        [K::Delta] => self.frame.delta = Some(text),
                        _ => self.say(speech(path), &text),
                    }
                }
            }
            _ if is_argument(path) => self.output_bytes += length,
            _ => {}
        }
    }

    fn say(&mut self, speech: Speech, text: &str) {
        let Some(said) = &mut self.said else { return };
        let kept = said.text.len() + said.calls.iter().map(|(_, arguments)| arguments.len()).sum::<usize>();
        let room = text.floor_char_boundary(self.said_max.saturating_sub(kept));
        let slot = match (speech, said.calls.last_mut()) {
            (Speech::Text, _) => &mut said.text,
            (Speech::Arguments, Some((_, arguments))) => arguments,
            (Speech::Reasoning, _) | (Speech::Arguments, None) => return,
        };
        slot.push_str(&text[..room]);
        said.truncated |= room < text.len();
    }

    fn stopped(&mut self, head: &[u8]) {
        if !head.is_empty() {
            self.stop = Some(decode(head));
        }
    }

    fn called(&mut self, name: String) {
        if !name.is_empty() && self.tool_names.len() < NAMES_MAX && !self.tool_names.contains(&name) {
            self.tool_names.push(name);
        }
    }

    fn call(&mut self, name: String) {
        let Some(said) = &mut self.said else { return };
        if said.calls.len() == NAMES_MAX {
            said.truncated = true;
        } else if !name.is_empty() {
            said.calls.push((name, String::new()));
        }
    }

    fn error(&mut self, path: &[Key], leaf: Leaf<'_>) {
        let said = match leaf {
            Leaf::Bare(b"null") => return,
            Leaf::Text { head, .. } | Leaf::Bare(head) => decode(head),
        };
        let error = self.error.get_or_insert_default();
        match path {
            [] | [Key::Message] => error.message = said,
            [Key::Code] => error.code = Some(said),
            [Key::Type | Key::Status] => error.kind = Some(said),
            _ => {}
        }
    }
}

/// Text and reasoning, and arguments that are text.
fn is_output(path: &[Key]) -> bool {
    use Key as K;
    match path {
        [K::Choices, K::At, K::Delta | K::Message, rest @ ..] => matches!(
            rest,
            [K::Content | K::ReasoningContent | K::Reasoning | K::Refusal]
                | [K::Content, K::At, K::Text]
                | [K::Content, K::At, K::Thinking, K::At, K::Text]
                | [K::ToolCalls, K::At, K::Function, K::Arguments]
                | [K::ToolCalls, K::At, K::Custom, K::Input]
                | [K::FunctionCall, K::Arguments]
        ),
        _ => matches!(
            path,
            [K::Delta]
                | [K::Delta, K::Text | K::Thinking | K::PartialJson]
                | [K::Content, K::At, K::Text | K::Thinking]
                | [K::Output, K::At, K::Content | K::Summary, K::At, K::Text | K::Refusal]
                | [K::Output, K::At, K::Arguments | K::Input]
                | [K::Candidates, K::At, K::Content, K::Parts, K::At, K::Text]
                | [K::ContentBlockDeltaC, K::Delta, K::Text]
                | [K::ContentBlockDeltaC, K::Delta, K::ReasoningContentC, K::Text]
                | [K::ContentBlockDeltaC, K::Delta, K::ToolUseC, K::Input]
                | [K::Output, K::Message, K::Content, K::At, K::Text]
                | [K::Output, K::Message, K::Content, K::At, K::ReasoningContentC, K::ReasoningTextC, K::Text]
        ),
    }
}

/// Arguments that are JSON within the answer's.
fn is_argument(path: &[Key]) -> bool {
    use Key as K;
    matches!(
        path,
        [K::Content, K::At, K::Input, ..]
            | [K::Candidates, K::At, K::Content, K::Parts, K::At, K::FunctionCallC, K::Args, ..]
            | [K::Output, K::Message, K::Content, K::At, K::ToolUseC, K::Input, ..]
    )
}

fn keep(slot: &mut Option<String>, head: &[u8]) {
    if slot.is_none() && !head.is_empty() && head.len() <= 256 {
        *slot = Some(decode(head));
    }
}

/// Of what is output, what it is.
fn speech(path: &[Key]) -> Speech {
    match path.last() {
        Some(Key::Arguments | Key::PartialJson | Key::Input) => Speech::Arguments,
        Some(Key::Reasoning | Key::ReasoningContent | Key::Thinking) => Speech::Reasoning,
        _ if path.iter().any(|key| matches!(key, Key::Summary | Key::Thinking | Key::ReasoningContentC)) => {
            Speech::Reasoning
        }
        _ => Speech::Text,
    }
}

/// What a string says, as far as it was kept.
fn decode(head: &[u8]) -> String {
    texts::decode(&[b"\"", head, b"\""].concat())
}
