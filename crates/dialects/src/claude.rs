//! What Claude models can do, wherever they are hosted. Read off their names, because no API tells.
//! And what the two APIs they are hosted behind have in common.

use crate::{
    Dialect,
    ir::{Effort, OutputFormat, Part, Reasoning, Request, Role, ToolChoice, Unsupported},
    translate::gaps::Gaps,
};

/// Thinking budgets below this are refused.
const BUDGET_MIN: u64 = 1024;

/// A Claude model's generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation {
    major: u32,
    minor: u32,
}

/// How a model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thinking {
    /// Not at all, though it would by itself.
    Off,
    /// As much as it likes, or as much as a word says.
    Adaptive(Option<&'static str>),
    /// With this many tokens.
    Budget(u64),
}

impl Generation {
    /// Of a model like `claude-opus-4-6`, `us.anthropic.claude-3-7-sonnet-20250219-v1:0`, `claude-sonnet-4@20250514`.
    /// `None` for other models behind the same API.
    pub(crate) fn of(model: &str) -> Option<Self> {
        let at = model.rfind("claude")?;
        // A date has eight digits; the version of Bedrock's identifiers begins with `v`.
        let mut numbers = model[at..]
            .split(['-', '.', '@', ':', '[', ' '])
            .skip(1)
            .take_while(|word| !word.starts_with('v'))
            .filter(|word| word.len() <= 2)
            .map_while(|word| if word.is_empty() { None } else { Some(word.parse::<u32>()) })
            .flatten();
        Some(Self { major: numbers.next()?, minor: numbers.next().unwrap_or(0) })
    }

    const fn at_least(self, major: u32, minor: u32) -> bool {
        self.major > major || (self.major == major && self.minor >= minor)
    }

    /// Decides by itself how much to think.
    pub(crate) const fn adapts(self) -> bool {
        self.at_least(4, 6)
    }

    /// Follows a JSON Schema, in its answer and in arguments of tools.
    pub(crate) const fn follows_schemas(self) -> bool {
        self.at_least(4, 5)
    }

    /// Refuses `temperature` beside `top_p`.
    pub(crate) const fn one_sampler(self) -> bool {
        self.at_least(4, 5)
    }

    fn effort(self, effort: Effort) -> &'static str {
        match effort {
            Effort::None | Effort::Minimal | Effort::Low => "low",
            Effort::XHigh if !self.at_least(4, 7) => "high",
            other => other.as_str(),
        }
    }
}

/// The API through which a model is told to think.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Api {
    /// Whose signatures of earlier thinking it takes.
    pub dialect: Dialect,
    /// Whether a JSON Schema has to be a tool there that the model is made to call.
    pub schema_by_tool: bool,
}

/// How `model` is told to think as much as `request` wants, in an answer of at most `max_output` tokens.
pub(crate) fn thinking(request: &Request, model: &str, api: Api, max_output: u64, gaps: &mut Gaps) -> Option<Thinking> {
    let wanted = request.reasoning.as_ref()?;
    let generation = Generation::of(model);
    let thinking = wish(wanted, generation, max_output, gaps)?;
    if thinking == Thinking::Off {
        return Some(thinking);
    }
    if generation.is_some_and(|generation| !generation.at_least(3, 7)) {
        gaps.warn("`reasoning` was left out: this model does not think");
        return None;
    }
    if api.schema_by_tool && matches!(request.output, OutputFormat::Schema { .. }) {
        gaps.warn("thinking was turned off: this model cannot think and follow a JSON Schema");
        return None;
    }
    if matches!(thinking, Thinking::Budget(_)) && calls_without_thinking(request, api.dialect) {
        gaps.warn("thinking was turned off: the thinking before the last tool calls is not at hand");
        return None;
    }
    Some(thinking)
}

fn wish(wanted: &Reasoning, generation: Option<Generation>, max_output: u64, gaps: &mut Gaps) -> Option<Thinking> {
    if wanted.budget == Some(0) || (wanted.effort == Some(Effort::None) && wanted.budget.is_none()) {
        return Some(Thinking::Off);
    }
    if let Some(generation) = generation.filter(|generation| generation.adapts()) {
        let word = wanted.effort.or_else(|| wanted.budget.map(Effort::of_budget));
        if word.is_none() && !wanted.dynamic {
            return None;
        }
        return Some(Thinking::Adaptive(word.map(|word| generation.effort(word))));
    }
    let dynamic = wanted.dynamic.then_some(Effort::Medium);
    let budget = wanted.budget.or_else(|| wanted.effort.or(dynamic).map(Effort::budget))?;
    let budget = budget.min(max_output.saturating_sub(1));
    if budget < BUDGET_MIN {
        gaps.warn("thinking was turned off: the longest answer leaves no room for it");
        return None;
    }
    Some(Thinking::Budget(budget))
}

/// Whether the model is in the middle of a tool loop that it did not begin by thinking (or whose thinking is
/// another model's): with a thinking budget, that is refused.
fn calls_without_thinking(request: &Request, dialect: Dialect) -> bool {
    let last = request.turns.iter().rposition(|turn| turn.role == Role::Assistant);
    let Some(last) = last else { return false };
    let calls = request.turns[last].parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let begins = request.turns[..=last].iter().rev().take_while(|turn| turn.role == Role::Assistant).last();
    let thinks = begins.and_then(|turn| turn.parts.first()).is_some_and(|part| match part {
        Part::Reasoning(thought) => thought.signature.as_ref().is_some_and(|own| own.dialect == dialect),
        _ => false,
    });
    calls && !thinks
}

/// Whether `choice` can be demanded of a model that thinks.
pub(crate) fn demands(choice: Option<&ToolChoice>) -> bool {
    matches!(choice, Some(ToolChoice::Required | ToolChoice::Tool(_) | ToolChoice::Among { required: true, .. }))
}

/// What neither Anthropic's API nor Bedrock's has.
pub(crate) fn refuse_sampling(request: &Request, gaps: &mut Gaps) -> Result<(), Unsupported> {
    let some = |number: &Option<serde_json::Number>| number.as_ref().is_some_and(|number| number.as_f64() != Some(0.0));
    let why = "this model's API has no such setting";
    gaps.missing_if(some(&request.frequency_penalty), "frequency_penalty", why)?;
    gaps.missing_if(some(&request.presence_penalty), "presence_penalty", why)?;
    gaps.missing_if(request.seed.is_some(), "seed", why)?;
    gaps.missing_if(request.logprobs.is_some(), "logprobs", why)?;
    gaps.missing_if(request.choices.is_some_and(|choices| choices != 1), "n", "this model gives one answer at a time")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(model: &str) -> Option<(u32, u32)> {
        Generation::of(model).map(|generation| (generation.major, generation.minor))
    }

    #[test]
    fn a_generation_is_read_off_the_name() {
        for (model, expected) in [
            ("claude-opus-4-6", (4, 6)),
            ("claude-3-7-sonnet-20250219", (3, 7)),
            ("us.anthropic.claude-3-5-sonnet-20240620-v1:0", (3, 5)),
            ("anthropic.claude-opus-4-6-v1", (4, 6)),
            ("claude-sonnet-4@20250514", (4, 0)),
            ("claude-sonnet-4-5@20250929", (4, 5)),
            ("anthropic/claude-sonnet-4.5", (4, 5)),
            ("claude-fable-5", (5, 0)),
            ("claude-opus-4-6[1m]", (4, 6)),
        ] {
            assert_eq!(version(model), Some(expected), "{model}");
        }
        assert_eq!(version("glm-5"), None);
        assert_eq!(version("claude-latest"), None);
    }
}
