//! The most a request can consume.

use preloop_types::Exposure;

use super::{Facts, Hosted};
use crate::{Dialect, Operation};

/// What a model can do at most, where it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Prompt and answer together, in tokens.
    pub context_window: Option<u64>,
    /// Longest answer, in tokens.
    pub max_output: Option<u64>,
}

/// Tokens of a provider's own words around a prompt: turn marks, an instruction for JSON answers.
const FRAMING: u64 = 512;
/// Tokens of a provider's instruction on how to call tools, once there are any.
const TOOL_FRAMING: u64 = 1024;
/// Tokens of the definition of a tool the provider knows by its type.
const KNOWN_TOOL: u64 = 2048;

/// Tokens of one image at most. Anthropic and Google scale images down before they count; among the
/// models that speak OpenAI's dialects are some that charge 48,000 for a large one.
const fn image(dialect: Dialect) -> u64 {
    match dialect {
        Dialect::Messages | Dialect::Gemini | Dialect::Converse => 8192,
        Dialect::Chat | Dialect::Responses => 50_000,
    }
}

/// An upper bound of what a request can consume, whatever the provider does; never an estimate. `None` if
/// nothing bounds it.
///
/// A token stands for at least one byte of the body, so bytes bound the text. Prompt that the body does not
/// hold is bounded by the context window, and each use of a tool that the provider runs reads all of it again.
pub fn exposure(dialect: Dialect, operation: Operation, facts: &Facts, limits: Limits) -> Option<Exposure> {
    if operation == Operation::CountTokens {
        return Some(Exposure::default());
    }
    let uses = match facts.hosted {
        Hosted::None => 0,
        Hosted::Limited(uses) => uses,
        Hosted::Unlimited => return None,
    };
    let tools = if facts.tools + facts.known_tools > 0 { TOOL_FRAMING } else { 0 };
    let written = facts
        .text_bytes
        .saturating_add(FRAMING + tools)
        .saturating_add(u64::from(facts.known_tools) * KNOWN_TOOL)
        .saturating_add(u64::from(facts.images) * image(dialect));
    let window = limits.context_window;
    let once = match operation {
        // The window of an embedding model holds for each of its inputs, not for all.
        Operation::Embed if !facts.unbounded_input => written,
        _ if facts.unbounded_input || uses > 0 => window?,
        _ => window.map_or(written, |window| window.min(written)),
    };
    let output_tokens = match operation {
        Operation::Generate => facts.max_output.or(limits.max_output).or(window)?.saturating_mul(facts.choices),
        _ => 0,
    };
    Some(Exposure {
        input_tokens: once.saturating_mul(uses.saturating_add(1)),
        output_tokens,
        cache_writes: facts.cache_writes,
        audio: facts.audio,
        images: facts.images > 0 || facts.image_output,
        web_searches: uses,
    })
}
