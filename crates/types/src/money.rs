//! Money as integers, and what tokens cost.
//!
//! Money is counted in nano-dollars. A rate is nano-dollars per million tokens, written as the
//! decimal dollars people quote (`"3.75"`). A cost is summed exactly and rounded up once, to the
//! next nano-dollar, so that a ledger never understates a bill.

use std::{fmt, iter::Sum, ops::Add, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const NANO: u64 = 1_000_000_000;
const MILLION: u128 = 1_000_000;

/// An amount of money in nano-dollars. Serialises as a decimal string of dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub i64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: NanoUsd = NanoUsd(0);

    /// The difference, held within the type's range.
    #[must_use]
    pub const fn saturating_sub(self, other: NanoUsd) -> NanoUsd {
        NanoUsd(self.0.saturating_sub(other.0))
    }
}

impl Add for NanoUsd {
    type Output = NanoUsd;

    fn add(self, other: NanoUsd) -> NanoUsd {
        NanoUsd(self.0.saturating_add(other.0))
    }
}

impl Sum for NanoUsd {
    fn sum<I: Iterator<Item = NanoUsd>>(amounts: I) -> NanoUsd {
        amounts.fold(NanoUsd::ZERO, Add::add)
    }
}

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 0 {
            f.write_str("-")?;
        }
        decimal(self.0.unsigned_abs(), f)
    }
}

impl FromStr for NanoUsd {
    type Err = MoneyError;

    /// Decimal dollars with at most nine fractional digits.
    fn from_str(text: &str) -> Result<Self, MoneyError> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        let nano = parse_decimal(digits).and_then(|nano| i64::try_from(nano).ok());
        let nano = nano.ok_or_else(|| MoneyError(text.to_owned()))?;
        Ok(NanoUsd(if negative { -nano } else { nano }))
    }
}

/// A price: nano-dollars per million tokens. Serialises as a decimal string of dollars per million.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerMillion(pub u64);

impl fmt::Display for PerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(self.0, f)
    }
}

impl FromStr for PerMillion {
    type Err = MoneyError;

    fn from_str(text: &str) -> Result<Self, MoneyError> {
        parse_decimal(text).map(PerMillion).ok_or_else(|| MoneyError(text.to_owned()))
    }
}

/// A text that is not an amount of dollars.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an amount of dollars (digits, with at most nine after the point)")]
pub struct MoneyError(pub String);

fn decimal(nano: u64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (whole, fraction) = (nano / NANO, nano % NANO);
    if fraction == 0 {
        return write!(f, "{whole}");
    }
    let digits = format!("{fraction:09}");
    write!(f, "{whole}.{}", digits.trim_end_matches('0'))
}

fn parse_decimal(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || fraction.len() > 9 || !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(NANO)?;
    let fraction = if fraction.is_empty() { 0 } else { format!("{fraction:0<9}").parse::<u64>().ok()? };
    whole.checked_add(fraction)
}

macro_rules! text_serde {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            /// From a decimal string, or from a JSON number as people write prices.
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                #[derive(Deserialize)]
                #[serde(untagged)]
                enum Written {
                    Text(String),
                    Number(serde_json::Number),
                }
                let text = match Written::deserialize(deserializer)? {
                    Written::Text(text) => text,
                    Written::Number(number) => number.to_string(),
                };
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}
text_serde! { NanoUsd PerMillion }

/// What a model call consumed, in counters that never overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Tokens {
    /// Prompt tokens that no cache served, without audio and images counted apart.
    pub input: u64,
    /// Prompt tokens read from the provider's cache.
    pub cache_read: u64,
    /// Prompt tokens written to it for five minutes.
    pub cache_write_5m: u64,
    /// Prompt tokens written to it for an hour.
    pub cache_write_1h: u64,
    /// Tokens of visible answer, tool calls included.
    pub output: u64,
    /// Tokens of reasoning.
    pub reasoning: u64,
    /// Audio in the prompt.
    pub input_audio: u64,
    /// Audio in the answer.
    pub output_audio: u64,
    /// Images in the prompt, where the provider counts them apart.
    pub input_image: u64,
    /// Images in the answer.
    pub output_image: u64,
    /// Searches the provider ran by itself. A count of calls, not of tokens.
    pub web_searches: u64,
}

impl Tokens {
    /// Everything on the prompt side.
    pub const fn prompt(&self) -> u64 {
        self.input
            .saturating_add(self.cache_read)
            .saturating_add(self.cache_write_5m)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.input_audio)
            .saturating_add(self.input_image)
    }

    /// Everything on the answer's side.
    pub const fn completion(&self) -> u64 {
        self.output.saturating_add(self.reasoning).saturating_add(self.output_audio).saturating_add(self.output_image)
    }

    /// Both sides.
    pub const fn total(&self) -> u64 {
        self.prompt().saturating_add(self.completion())
    }

    /// The sum of each counter.
    #[must_use]
    pub fn plus(&self, other: &Tokens) -> Tokens {
        Tokens {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write_5m: self.cache_write_5m.saturating_add(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
            input_audio: self.input_audio.saturating_add(other.input_audio),
            output_audio: self.output_audio.saturating_add(other.output_audio),
            input_image: self.input_image.saturating_add(other.input_image),
            output_image: self.output_image.saturating_add(other.output_image),
            web_searches: self.web_searches.saturating_add(other.web_searches),
        }
    }

    /// The larger of each counter: cumulative reports of one stream are merged like this.
    #[must_use]
    pub fn max(self, other: Tokens) -> Tokens {
        Tokens {
            input: self.input.max(other.input),
            cache_read: self.cache_read.max(other.cache_read),
            cache_write_5m: self.cache_write_5m.max(other.cache_write_5m),
            cache_write_1h: self.cache_write_1h.max(other.cache_write_1h),
            output: self.output.max(other.output),
            reasoning: self.reasoning.max(other.reasoning),
            input_audio: self.input_audio.max(other.input_audio),
            output_audio: self.output_audio.max(other.output_audio),
            input_image: self.input_image.max(other.input_image),
            output_image: self.output_image.max(other.output_image),
            web_searches: self.web_searches.max(other.web_searches),
        }
    }
}

/// What one model costs. A rate that is absent is another one's, as its comment says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rates {
    /// Prompt tokens.
    pub input: PerMillion,
    /// Answer tokens.
    pub output: PerMillion,
    /// As `input` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_read: Option<PerMillion>,
    /// As `input` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_5m: Option<PerMillion>,
    /// As `cache_write_5m` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write_1h: Option<PerMillion>,
    /// As `output` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<PerMillion>,
    /// As `input` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_audio: Option<PerMillion>,
    /// As `output` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_audio: Option<PerMillion>,
    /// As `input` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_image: Option<PerMillion>,
    /// As `output` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_image: Option<PerMillion>,
    /// For each call, whatever it consumes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub per_request: NanoUsd,
    /// For each search the provider runs by itself.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub per_web_search: NanoUsd,
    /// Other rates for calls with a long prompt, ascending by `context_over`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tiers: Vec<Tier>,
}

/// Rates that hold for the whole call when its prompt is longer than `context_over` tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Prompt tokens, cached ones included.
    pub context_over: u64,
    /// Everything that costs otherwise then; has no tiers of its own.
    #[serde(flatten)]
    pub rates: Box<Rates>,
}

/// The most a call can consume, known before it is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Prompt tokens at most.
    pub input_tokens: u64,
    /// Answer tokens at most, over all choices.
    pub output_tokens: u64,
    /// Whether the prompt may be written to the provider's cache.
    pub cache_writes: bool,
    /// Whether audio may be charged at its own rate.
    pub audio: bool,
    /// Whether images may be charged at their own rate.
    pub images: bool,
    /// Searches at most.
    pub web_searches: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it like this")]
fn is_zero(amount: &NanoUsd) -> bool {
    *amount == NanoUsd::ZERO
}

impl Rates {
    /// What `tokens` cost.
    pub fn cost(&self, tokens: &Tokens) -> NanoUsd {
        let rates = self.at(tokens.prompt());
        let write_5m = rates.cache_write_5m.unwrap_or(rates.input);
        let sum = [
            (tokens.input, rates.input),
            (tokens.cache_read, rates.cache_read.unwrap_or(rates.input)),
            (tokens.cache_write_5m, write_5m),
            (tokens.cache_write_1h, rates.cache_write_1h.unwrap_or(write_5m)),
            (tokens.input_audio, rates.input_audio.unwrap_or(rates.input)),
            (tokens.input_image, rates.input_image.unwrap_or(rates.input)),
            (tokens.output, rates.output),
            (tokens.reasoning, rates.reasoning.unwrap_or(rates.output)),
            (tokens.output_audio, rates.output_audio.unwrap_or(rates.output)),
            (tokens.output_image, rates.output_image.unwrap_or(rates.output)),
        ]
        .into_iter()
        .map(|(count, rate)| u128::from(count) * u128::from(rate.0))
        .sum();
        rates.whole(sum, tokens.web_searches)
    }

    /// The most a call within `exposure` can cost, whatever it turns out to consume.
    pub fn bound(&self, exposure: &Exposure) -> NanoUsd {
        let tiers = self.tiers.iter().filter(|tier| exposure.input_tokens > tier.context_over);
        let bounds = std::iter::once(self).chain(tiers.map(|tier| &*tier.rates)).map(|rates| {
            let write_5m = rates.cache_write_5m.unwrap_or(rates.input);
            let write_1h = rates.cache_write_1h.unwrap_or(write_5m);
            let only = |when: bool, rate: Option<PerMillion>| rate.filter(|_| when).unwrap_or_default();
            let input = rates
                .input
                .max(rates.cache_read.unwrap_or_default())
                .max(only(exposure.cache_writes, Some(write_5m.max(write_1h))))
                .max(only(exposure.audio, rates.input_audio))
                .max(only(exposure.images, rates.input_image));
            let output = rates
                .output
                .max(rates.reasoning.unwrap_or_default())
                .max(only(exposure.audio, rates.output_audio))
                .max(only(exposure.images, rates.output_image));
            let sum = u128::from(exposure.input_tokens) * u128::from(input.0)
                + u128::from(exposure.output_tokens) * u128::from(output.0);
            rates.whole(sum, exposure.web_searches)
        });
        bounds.max().unwrap_or_default()
    }

    fn at(&self, prompt: u64) -> &Rates {
        let tier = self.tiers.iter().rev().find(|tier| prompt > tier.context_over);
        tier.map_or(self, |tier| &tier.rates)
    }

    /// `sum` is in nano-dollars times a million.
    fn whole(&self, sum: u128, web_searches: u64) -> NanoUsd {
        let tokens = i64::try_from(sum.div_ceil(MILLION)).unwrap_or(i64::MAX);
        let searches = self.per_web_search.0.saturating_mul(i64::try_from(web_searches).unwrap_or(i64::MAX));
        NanoUsd(tokens) + NanoUsd(searches) + self.per_request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        serde_json::from_str(
            r#"{"input": "3", "output": "15", "cache_read": "0.3", "cache_write_5m": "3.75", "cache_write_1h": "6",
                "tiers": [{"context_over": 200000, "input": "6", "output": "22.5"}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_cost_counts_each_token_once_at_its_own_rate() {
        let tokens = Tokens { input: 10, cache_read: 1000, cache_write_1h: 100, output: 7, ..Tokens::default() };

        // 10*3 + 1000*0.3 + 100*6 + 7*15 dollars per million
        assert_eq!(rates().cost(&tokens), NanoUsd(1_035_000));
        assert_eq!(rates().cost(&tokens).to_string(), "0.001035");
    }

    #[test]
    fn a_long_prompt_is_charged_at_its_tier_as_a_whole() {
        let tokens = Tokens { input: 1, cache_read: 200_000, ..Tokens::default() };

        assert_eq!(rates().cost(&tokens), NanoUsd(200_001 * 6000));
    }

    #[test]
    fn a_fraction_of_a_nano_dollar_is_rounded_up_once() {
        let rates = Rates { input: "0.0375".parse().unwrap(), ..Rates::default() };

        assert_eq!(rates.cost(&Tokens { input: 1, ..Tokens::default() }), NanoUsd(38));
        assert_eq!(rates.cost(&Tokens { input: 2, ..Tokens::default() }), NanoUsd(75));
    }

    #[test]
    fn a_bound_is_never_below_what_it_bounds() {
        let exposure = Exposure { input_tokens: 300_000, output_tokens: 50, cache_writes: true, ..Exposure::default() };

        for (cache_write_1h, input) in [(0, 300_000), (150_000, 150_000), (300_000, 0)] {
            let tokens = Tokens { input, cache_write_1h, output: 50, ..Tokens::default() };
            assert!(rates().bound(&exposure) >= rates().cost(&tokens));
        }
    }

    #[test]
    fn dollars_are_read_and_written_exactly() {
        for text in ["0", "12", "0.000000001", "3.75", "-1.5"] {
            assert_eq!(text.parse::<NanoUsd>().unwrap().to_string(), text);
        }
        for text in ["", ".", "1.0000000001", "1e3", "one", "99999999999999", "--1"] {
            assert!(text.parse::<NanoUsd>().is_err(), "{text}");
        }
    }
}
