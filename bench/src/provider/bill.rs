//! The provider's own bill: counted here, apart from whatever the product counts.

/// What an answer consumed, in counters that never overlap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Prompt, outside any cache.
    pub input: u64,
    /// Prompt read from the cache.
    pub cache_read: u64,
    /// Prompt written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Prompt written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Visible answer.
    pub output: u64,
    /// Reasoning.
    pub reasoning: u64,
}

impl Tokens {
    /// Everything on the prompt's side.
    pub fn prompt(&self) -> u64 {
        self.input + self.cache_read + self.cache_write_5m + self.cache_write_1h
    }

    /// Everything on the answer's side.
    pub fn completion(&self) -> u64 {
        self.output + self.reasoning
    }

    /// Both.
    pub fn total(&self) -> u64 {
        self.prompt() + self.completion()
    }

    /// The same prompt with `sent` of `all` parts of the answer.
    #[must_use]
    pub fn part(&self, sent: usize, all: usize) -> Tokens {
        let part = |whole: u64| whole * sent as u64 / all.max(1) as u64;
        Tokens { output: part(self.output), reasoning: part(self.reasoning), ..*self }
    }
}

/// Prices in nano-dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Prompt.
    pub input: u64,
    /// Prompt read from the cache.
    pub cache_read: u64,
    /// Prompt written to the cache for five minutes.
    pub cache_write_5m: u64,
    /// Prompt written to the cache for an hour.
    pub cache_write_1h: u64,
    /// Answer.
    pub output: u64,
    /// Reasoning.
    pub reasoning: u64,
}

impl Default for Rates {
    /// 3 dollars in, 15 out, 0.30 from the cache, 3.75 and 6 into it.
    fn default() -> Self {
        Self {
            input: 3_000_000_000,
            cache_read: 300_000_000,
            cache_write_5m: 3_750_000_000,
            cache_write_1h: 6_000_000_000,
            output: 15_000_000_000,
            reasoning: 15_000_000_000,
        }
    }
}

impl Rates {
    /// What `tokens` cost in nano-dollars; a started one counts whole.
    pub fn cost(&self, tokens: &Tokens) -> u64 {
        let sum: u128 = [
            (tokens.input, self.input),
            (tokens.cache_read, self.cache_read),
            (tokens.cache_write_5m, self.cache_write_5m),
            (tokens.cache_write_1h, self.cache_write_1h),
            (tokens.output, self.output),
            (tokens.reasoning, self.reasoning),
        ]
        .into_iter()
        .map(|(count, rate)| u128::from(count) * u128::from(rate))
        .sum();
        u64::try_from(sum.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}
