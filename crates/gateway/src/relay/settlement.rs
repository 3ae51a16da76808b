//! What has to be said of a call once its answer is over, however it ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use preloop_dialects::{Dialect, usage::Reading};
use preloop_govern::ModelPermit;
use preloop_types::{CostSource, ModelOutcome, ModelStatus, NanoUsd, Tokens, UsageSource, config::Capture};

use crate::{call::Natives, capture, pricing::Price};

/// Bytes of text that are counted as one token where a provider did not count: few, so that an estimate
/// is rather too high.
const BYTES_PER_TOKEN: u64 = 3;

/// A call whose answer is on its way.
pub(crate) struct Settlement {
    /// Settles itself when it is dropped.
    pub(crate) permit: ModelPermit,
    /// What the model costs.
    pub(crate) price: Option<Price>,
    /// Bytes of text in the prompt.
    pub(crate) prompt_bytes: u64,
    /// The status the agent gets.
    pub(crate) http_status: u16,
    /// How often a provider was asked.
    pub(crate) attempts: u32,
    /// When the last of them was asked.
    pub(crate) sent: Instant,
    /// When the first byte of its answer came.
    pub(crate) first_byte: Option<Duration>,
    /// Bytes sent to the agent.
    pub(crate) response_bytes: u64,
    /// Where it is noted which model gave the answer, where the provider keeps answers.
    pub(crate) natives: Option<Arc<Natives>>,
    /// The request, where some of the conversation is kept.
    pub(crate) captured: Option<Captured>,
}

/// A request of which something is kept.
pub(crate) struct Captured {
    pub(crate) capture: Capture,
    pub(crate) dialect: Dialect,
    pub(crate) body: Bytes,
}

impl Settlement {
    /// What the call cost so far, as far as the provider counted.
    pub(crate) fn cost(&self, tokens: &Tokens) -> Option<NanoUsd> {
        self.price.as_ref().map(|price| price.rates.cost(tokens))
    }

    /// The end.
    pub(crate) fn settle(mut self, status: ModelStatus, reading: Reading, error: Option<(String, String)>) {
        let Some(captured) = self.captured.take() else { return self.finish(status, reading, error, None) };
        match tokio::runtime::Handle::try_current() {
            // Beside the answer, which does not wait for it.
            Ok(runtime) => drop(runtime.spawn(async move {
                let conversation = captured.conversation(&reading);
                self.finish(status, reading, error, conversation);
            })),
            Err(_) => self.finish(status, reading, error, None),
        }
    }

    fn finish(
        self,
        status: ModelStatus,
        reading: Reading,
        error: Option<(String, String)>,
        conversation: Option<Vec<u8>>,
    ) {
        let Reading { tokens, model, response_id, stop, complete, output_bytes, reported_cost, .. } = reading;
        let (tokens, source) = match tokens {
            Some(tokens) if complete => (tokens, UsageSource::Provider),
            Some(tokens) => (tokens.max(self.estimate(output_bytes, Some(tokens))), UsageSource::Partial),
            None => (
                self.estimate(output_bytes, None),
                if complete { UsageSource::Estimated } else { UsageSource::Partial },
            ),
        };
        // What a provider charges for an answer nobody saw the end of, it alone knows: thinking is hidden, and
        // it may have gone on for a while. A hard budget books the most it can be.
        let is_unknown = !complete && status != ModelStatus::BudgetCut && self.permit.reserved().is_some();
        let (cost, cost_source) = match (&self.price, reported_cost) {
            _ if is_unknown => (None, None),
            (Some(price), _) if price.source == CostSource::Override || price.source == CostSource::ModelConfig => {
                (Some(price.rates.cost(&tokens)), Some(price.source))
            }
            (_, Some(cost)) if complete => (Some(cost), Some(CostSource::Provider)),
            (Some(price), _) => (Some(price.rates.cost(&tokens)), Some(price.source)),
            (None, _) => (None, Some(CostSource::Unpriced)),
        };
        if let (Some(natives), Some(id)) = (&self.natives, &response_id) {
            let call = self.permit.call();
            natives.remember(self.permit.principal().account, id, call.model.id);
        }
        let (error_code, error) = error.unzip();
        self.permit.settle(ModelOutcome {
            http_status: self.http_status,
            tokens: Some(tokens),
            usage_source: Some(source),
            cost,
            cost_source,
            upstream_model: model,
            upstream_id: response_id,
            stop,
            error_code,
            error,
            attempts: self.attempts,
            ttfb_us: self.first_byte.map(micros),
            upstream_us: micros(self.sent.elapsed()),
            response_bytes: self.response_bytes,
            conversation,
            ..ModelOutcome::of(status)
        });
    }

    /// What the provider will have counted, from the bytes that passed.
    fn estimate(&self, output_bytes: u64, seen: Option<Tokens>) -> Tokens {
        let output = output_bytes.div_ceil(BYTES_PER_TOKEN);
        match seen {
            // Its counters of the prompt are right from the start.
            Some(seen) if seen.prompt() > 0 => Tokens { output: output.saturating_sub(seen.reasoning), ..seen },
            _ => Tokens { input: self.prompt_bytes.div_ceil(BYTES_PER_TOKEN), output, ..Tokens::default() },
        }
    }
}

impl Captured {
    fn conversation(&self, reading: &Reading) -> Option<Vec<u8>> {
        let kept = capture::conversation(self.capture, self.dialect, &self.body, reading).ok().flatten()?;
        // Texts and numbers always serialise.
        serde_json::to_vec(&kept).ok()
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
