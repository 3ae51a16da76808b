//! From a provider's counters to ours, which never overlap.
//!
//! Providers agree neither on names nor on what a counter includes. The counters are collected as they are
//! reported, the larger one where a stream reports several times, and brought to one convention at the end.

use preloop_types::{NanoUsd, Tokens};

use super::{keys::Key, skim::Leaf};
use crate::{Dialect, Operation};

/// More tokens than any call has; a larger count is a mistake of the provider's and is not believed.
const COUNT_MAX: u64 = 1_000_000_000_000;

/// What was reported, as it was reported.
#[derive(Debug, Default)]
pub(super) struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cached: u64,
    cache_miss: u64,
    written: u64,
    written_5m: u64,
    written_1h: u64,
    reasoning: u64,
    tool_prompt: u64,
    input_audio: u64,
    output_audio: u64,
    input_image: u64,
    output_image: u64,
    searches: u64,
    cost: Option<NanoUsd>,
    upstream_cost: Option<NanoUsd>,
    own_key: bool,
    detail: Detail,
}

/// A counter in a list, whose kind and number come in either order.
#[derive(Debug, Default)]
struct Detail {
    kind: Option<Kind>,
    count: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Audio,
    Image,
    Hour,
    Other,
}

impl Counts {
    /// Takes a value at `path` below `usage`.
    pub(super) fn take(&mut self, path: &[Key], leaf: Leaf<'_>) {
        match (path, leaf) {
            ([list, Key::At, Key::Modality | Key::Ttl], Leaf::Text { head, .. }) => {
                self.detail.kind = Some(match head {
                    b"AUDIO" => Kind::Audio,
                    b"IMAGE" => Kind::Image,
                    b"1h" => Kind::Hour,
                    _ => Kind::Other,
                });
                self.detail(*list);
            }
            ([Key::IsByok], Leaf::Bare(word)) => self.own_key = word == b"true",
            ([Key::Cost | Key::EstimatedCost] | [Key::Cost, Key::TotalCost], Leaf::Bare(number)) => {
                self.cost = self.cost.max(nano_usd(number, 0));
            }
            ([Key::CostInUsdTicks], Leaf::Bare(number)) => self.cost = self.cost.max(nano_usd(number, -10)),
            ([Key::CostDetails, Key::UpstreamInferenceCost], Leaf::Bare(number)) => {
                self.upstream_cost = self.upstream_cost.max(nano_usd(number, 0));
            }
            (_, Leaf::Bare(number)) => {
                if let Some(count) = count(number) {
                    self.count(path, count);
                }
            }
            _ => {}
        }
    }

    fn count(&mut self, path: &[Key], count: u64) {
        use Key as K;
        let raise = |counter: &mut u64| *counter = count.max(*counter);
        let raise_known = |counter: &mut Option<u64>| *counter = Some(count).max(*counter);
        match path {
            [K::PromptTokens | K::InputTokens | K::PromptTokenCount | K::InputTokensC] => raise_known(&mut self.prompt),
            [K::CompletionTokens | K::OutputTokens | K::CandidatesTokenCount | K::OutputTokensC] => {
                raise_known(&mut self.completion);
            }
            [K::TotalTokens | K::TotalTokenCount | K::TotalTokensC] => raise_known(&mut self.total),
            [K::PromptTokensDetails | K::InputTokensDetails, K::CachedTokens]
            | [
                K::CachedTokens
                | K::NumCachedTokens
                | K::PromptCacheHitTokens
                | K::CacheReadInputTokens
                | K::CacheReadInputTokensC
                | K::CachedContentTokenCount,
            ] => raise(&mut self.cached),
            [K::PromptCacheMissTokens] => raise(&mut self.cache_miss),
            [
                K::PromptTokensDetails | K::InputTokensDetails,
                K::CacheWriteTokens | K::CacheCreationTokens | K::CacheCreationInputTokens,
            ]
            | [K::CacheCreationInputTokens | K::CacheWriteInputTokensC | K::CacheWriteTokens] => {
                raise(&mut self.written);
            }
            [K::CacheCreation, K::Ephemeral5m] => raise(&mut self.written_5m),
            [K::CacheCreation, K::Ephemeral1h] => raise(&mut self.written_1h),
            [K::CompletionTokensDetails | K::OutputTokensDetails, K::ReasoningTokens | K::ThinkingTokens]
            | [K::ReasoningTokens | K::ThoughtsTokenCount] => raise(&mut self.reasoning),
            [K::PromptTokensDetails | K::InputTokensDetails, K::AudioTokens] => raise(&mut self.input_audio),
            [K::PromptTokensDetails | K::InputTokensDetails, K::ImageTokens] => raise(&mut self.input_image),
            [K::CompletionTokensDetails | K::OutputTokensDetails, K::AudioTokens] => raise(&mut self.output_audio),
            [K::CompletionTokensDetails | K::OutputTokensDetails, K::ImageTokens] => raise(&mut self.output_image),
            [K::ToolUsePromptTokenCount] => raise(&mut self.tool_prompt),
            [K::ServerToolUse, K::WebSearchRequests] | [K::NumSearchQueries] => raise(&mut self.searches),
            [list, K::At, K::TokenCount | K::InputTokensC] => {
                self.detail.count = Some(count);
                self.detail(*list);
            }
            _ => {}
        }
    }

    fn detail(&mut self, list: Key) {
        let Detail { kind: Some(kind), count: Some(count) } = self.detail else { return };
        self.detail = Detail::default();
        let counter = match (list, kind) {
            (Key::PromptTokensDetailsC, Kind::Audio) => &mut self.input_audio,
            (Key::PromptTokensDetailsC, Kind::Image) => &mut self.input_image,
            (Key::CandidatesTokensDetails, Kind::Audio) => &mut self.output_audio,
            (Key::CandidatesTokensDetails, Kind::Image) => &mut self.output_image,
            (Key::CacheDetailsC, Kind::Hour) => &mut self.written_1h,
            _ => return,
        };
        *counter = count.max(*counter);
    }

    /// Searches seen otherwise than by a counter.
    pub(super) fn searched(&mut self, times: u64) {
        self.searches = self.searches.max(times);
    }

    /// What the provider says the call costs.
    pub(super) fn cost(&self) -> Option<NanoUsd> {
        // With the account's own key at the provider behind it, the two are billed apart.
        let upstream = self.upstream_cost.filter(|_| self.own_key);
        self.cost.map(|cost| cost + upstream.unwrap_or_default())
    }

    /// In our convention; `None` if nothing was reported.
    pub(super) fn tokens(&self, dialect: Dialect, operation: Operation) -> Option<Tokens> {
        let reported = self.prompt.is_some() || self.completion.is_some() || self.total.is_some();
        if !reported || operation == Operation::CountTokens {
            return None;
        }
        let (prompt, inclusive) = match dialect {
            Dialect::Messages | Dialect::Converse => (self.prompt.unwrap_or_default(), false),
            Dialect::Gemini => (self.prompt.unwrap_or_default().saturating_add(self.tool_prompt), true),
            // A few servers of this shape leave what was cached out of the prompt.
            Dialect::Chat | Dialect::Responses => (self.openai_prompt(), self.cached <= self.openai_prompt()),
        };
        let written = self.written.max(self.written_5m + self.written_1h);
        let mut input = prompt;
        let mut of_prompt = |count: u64| {
            let count = if inclusive { count.min(input) } else { count };
            input -= if inclusive { count } else { 0 };
            count
        };
        let cache_read = of_prompt(self.cached);
        let written = of_prompt(written);
        let cache_write_1h = self.written_1h.min(written);
        // What was cached is charged as cached, whatever it was.
        let input_audio = self.input_audio.min(input);
        let input_image = self.input_image.min(input - input_audio);

        let (visible, reasoning) = self.answer(dialect, prompt);
        let output_audio = self.output_audio.min(visible);
        let output_image = self.output_image.min(visible - output_audio);
        Some(Tokens {
            input: input - input_audio - input_image,
            cache_read,
            cache_write_5m: written - cache_write_1h,
            cache_write_1h,
            output: visible - output_audio - output_image,
            reasoning,
            input_audio,
            output_audio,
            input_image,
            output_image,
            web_searches: self.searches,
        })
    }

    fn openai_prompt(&self) -> u64 {
        let parts = self.cached + self.cache_miss;
        self.prompt
            .or_else(|| (parts > 0).then_some(parts))
            .or_else(|| Some(self.total?.saturating_sub(self.completion.unwrap_or_default())))
            .unwrap_or_default()
    }

    /// Visible answer and reasoning. Whether the answer includes the reasoning differs by provider and
    /// version; the total tells.
    fn answer(&self, dialect: Dialect, prompt: u64) -> (u64, u64) {
        let reasoning = self.reasoning;
        let completion = match (self.completion, self.total) {
            (Some(completion), _) => completion,
            (None, Some(total)) => {
                let apart = if dialect == Dialect::Gemini { reasoning } else { 0 };
                total.saturating_sub(prompt).saturating_sub(apart)
            }
            (None, None) => 0,
        };
        let total_is = |sum: u64| self.total == Some(sum);
        let apart = match dialect {
            Dialect::Gemini => !total_is(prompt + completion) || reasoning > completion,
            _ => {
                reasoning > completion || (total_is(prompt + completion + reasoning) && !total_is(prompt + completion))
            }
        };
        if apart { (completion, reasoning) } else { (completion - reasoning, reasoning) }
    }
}

/// A whole number, which some servers write with a fraction of zeros.
fn count(written: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(written).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let number = whole.parse().ok().filter(|_| fraction.bytes().all(|digit| digit == b'0'));
    number.filter(|number| *number <= COUNT_MAX)
}

/// An amount in dollars times ten to the `scale`, exactly, rounded up to the nano-dollar.
fn nano_usd(written: &[u8], scale: i32) -> Option<NanoUsd> {
    let text = std::str::from_utf8(written).ok()?;
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: u128 = format!("{whole}{fraction}").parse().ok()?;
    let exponent = exponent.parse::<i32>().ok().filter(|exponent| exponent.abs() < 100)?;
    let shift = exponent + scale + 9 - i32::try_from(fraction.len()).ok()?;
    let power = 10_u128.checked_pow(shift.unsigned_abs());
    let nano = match power {
        Some(power) if shift >= 0 => digits.checked_mul(power)?,
        Some(power) => digits.div_ceil(power),
        None if shift < 0 || digits == 0 => digits.min(1),
        None => return None,
    };
    i64::try_from(nano).ok().map(NanoUsd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_read_exactly_and_rounded_up() {
        let read = |text: &str| nano_usd(text.as_bytes(), 0).map(|cost| cost.0);
        assert_eq!(read("0.00014"), Some(140_000));
        assert_eq!(read("1.5e-05"), Some(15_000));
        assert_eq!(read("2E0"), Some(2_000_000_000));
        assert_eq!(read("0.0000000001"), Some(1));
        assert_eq!(read("0"), Some(0));
        assert_eq!(read("1e-99"), Some(1));
        for bad in ["-1", "1e99", "1e999999999999", "NaN", "null", "", "99999999999999"] {
            assert_eq!(read(bad), None, "{bad}");
        }
        assert_eq!(nano_usd(b"10000", -10), Some(NanoUsd(1000)));
    }
}
