//! How many model calls and tokens a minute, and calls at a time: per key, per agent, per model. In this
//! node's memory: every node of several allows as much.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use dashmap::DashMap;
use preloop_types::{
    AgentId, Exposure, KeyId, ModelCall, ModelId, Principal, RateLimit, Timestamp, Tokens, config::SubjectRef,
};
use serde_json::json;

use crate::{ModelRefusalKind, Snapshot, model::Refused};

const MINUTE_NS: i128 = 60_000_000_000;
/// Answers are rarely as long as they may be: so much of the most they can be is counted ahead.
const OUTPUT_AHEAD_MAX: u64 = 1024;
/// Prompts are bounded by their bytes; a token is about four.
const BYTES_PER_TOKEN: u64 = 4;

/// Whose limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Key(KeyId),
    Agent(AgentId),
    Model(ModelId),
}

impl Scope {
    const fn word(self) -> &'static str {
        match self {
            Scope::Key(_) => "key",
            Scope::Agent(_) => "agent",
            Scope::Model(_) => "model",
        }
    }
}

/// Everybody who has a limit and made a call lately.
#[derive(Default)]
pub(crate) struct Limits {
    gauges: DashMap<Scope, Arc<Gauge>>,
}

/// Calls and tokens flow out of each gauge at the limit's rate; it holds a minute's worth.
#[derive(Default)]
struct Gauge(Mutex<Level>);

#[derive(Default)]
struct Level {
    /// When all calls will have flowed out, in nanoseconds since the epoch.
    calls_until: i128,
    /// The same of tokens.
    tokens_until: i128,
    in_flight: u32,
}

/// What a call counts for in each of its gauges until it is over.
#[derive(Default)]
pub(crate) struct Entered {
    gauges: Vec<(Arc<Gauge>, RateLimit)>,
    tokens_ahead: u64,
}

/// Which number was passed.
enum Passed {
    Calls,
    Tokens,
    AtATime,
}

impl Limits {
    /// Counts a call in, or says which limit it would pass.
    pub(crate) fn enter(
        &self,
        who: &Principal,
        call: &ModelCall,
        snapshot: &Snapshot,
        now: Timestamp,
    ) -> Result<Entered, Refused> {
        let mut entered = Entered { gauges: Vec::new(), tokens_ahead: ahead(call.exposure) };
        let subjects = snapshot.narrowing(who).map(|(subject, governance)| {
            let scope = match subject {
                SubjectRef::Agent(id) => Scope::Agent(id),
                SubjectRef::Key(id) => Scope::Key(id),
            };
            (scope, governance.rate_limit)
        });
        let scopes = subjects.chain([(Scope::Model(call.model.id), call.model.settings.rate_limit)]);
        for (scope, limit) in scopes.filter(|(_, limit)| !limit.is_none()) {
            let gauge = self.gauges.entry(scope).or_default().clone();
            match gauge.enter(&limit, entered.tokens_ahead, now) {
                Ok(()) => entered.gauges.push((gauge, limit)),
                Err((passed, wait)) => {
                    entered.undo();
                    return Err(refused(scope, &limit, &passed, wait));
                }
            }
        }
        Ok(entered)
    }

    /// Forgets gauges that are empty.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let now = nanos(now);
        self.gauges.retain(|_, gauge| Arc::strong_count(gauge) > 1 || !gauge.level().is_empty(now));
    }
}

impl Gauge {
    fn level(&self) -> MutexGuard<'_, Level> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, limit: &RateLimit, tokens: u64, now: Timestamp) -> Result<(), (Passed, Duration)> {
        let mut level = self.level();
        let now = nanos(now);
        if limit.concurrent.is_some_and(|most| level.in_flight >= most) {
            return Err((Passed::AtATime, Duration::from_secs(1)));
        }
        let calls = limit.requests_per_minute.map(|most| pour(level.calls_until, now, 1, u64::from(most)));
        let tokens = limit.tokens_per_minute.map(|most| pour(level.tokens_until, now, tokens, most));
        let calls = calls.transpose().map_err(|wait| (Passed::Calls, wait))?;
        let tokens = tokens.transpose().map_err(|wait| (Passed::Tokens, wait))?;
        level.calls_until = calls.unwrap_or(level.calls_until);
        level.tokens_until = tokens.unwrap_or(level.tokens_until);
        level.in_flight += 1;
        Ok(())
    }
}

impl Level {
    const fn is_empty(&self, now: i128) -> bool {
        self.in_flight == 0 && self.calls_until <= now && self.tokens_until <= now
    }
}

/// The level after adding `amount` to a gauge of `most` a minute; how long to wait if it does not fit.
/// What is more than a minute's worth by itself fits an empty gauge.
fn pour(until: i128, now: i128, amount: u64, most: u64) -> Result<i128, Duration> {
    let level = until.max(now);
    let after = level + i128::from(amount) * MINUTE_NS / i128::from(most.max(1));
    if most > 0 && (after - now <= MINUTE_NS || level == now) {
        return Ok(after);
    }
    let wait = if most == 0 { MINUTE_NS } else { (after - now - MINUTE_NS).min(level - now) };
    Err(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
}

impl Entered {
    /// The call is over: what it really consumed counts from now on.
    pub(crate) fn leave(mut self, tokens: Option<&Tokens>, now: Timestamp) {
        let ahead = i128::from(self.tokens_ahead);
        let more = tokens.map_or(0, |tokens| i128::from(tokens.total()) - ahead);
        for (gauge, limit) in std::mem::take(&mut self.gauges) {
            let mut level = gauge.level();
            level.in_flight = level.in_flight.saturating_sub(1);
            if let Some(most) = limit.tokens_per_minute {
                let base = if more > 0 { level.tokens_until.max(nanos(now)) } else { level.tokens_until };
                level.tokens_until = base + more * MINUTE_NS / i128::from(most.max(1));
            }
        }
    }

    /// As if it never had been counted.
    fn undo(mut self) {
        for (gauge, limit) in std::mem::take(&mut self.gauges) {
            let mut level = gauge.level();
            level.in_flight = level.in_flight.saturating_sub(1);
            if let Some(most) = limit.requests_per_minute {
                level.calls_until -= MINUTE_NS / i128::from(most.max(1));
            }
            if let Some(most) = limit.tokens_per_minute {
                level.tokens_until -= i128::from(self.tokens_ahead) * MINUTE_NS / i128::from(most.max(1));
            }
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        for (gauge, _) in self.gauges.drain(..) {
            let mut level = gauge.level();
            level.in_flight = level.in_flight.saturating_sub(1);
        }
    }
}

fn nanos(at: Timestamp) -> i128 {
    i128::from(at.micros()) * 1000
}

fn ahead(exposure: Option<Exposure>) -> u64 {
    exposure
        .map_or(OUTPUT_AHEAD_MAX, |most| most.input_tokens / BYTES_PER_TOKEN + most.output_tokens.min(OUTPUT_AHEAD_MAX))
}

fn refused(scope: Scope, limit: &RateLimit, passed: &Passed, wait: Duration) -> Refused {
    let (number, unit) = match passed {
        Passed::Calls => (limit.requests_per_minute.map(u64::from), "requests_per_minute"),
        Passed::Tokens => (limit.tokens_per_minute, "tokens_per_minute"),
        Passed::AtATime => (limit.concurrent.map(u64::from), "concurrent"),
    };
    let number = number.unwrap_or_default();
    let what = match passed {
        Passed::Calls => "model calls a minute",
        Passed::Tokens => "tokens a minute",
        Passed::AtATime => "model calls at a time",
    };
    let word = scope.word();
    let message = format!("this {word} may make {number} {what}; try again in {} s", wait.as_secs().max(1));
    let message = if matches!(passed, Passed::Tokens) {
        format!("this {word} may use {number} {what}; try again in {} s", wait.as_secs().max(1))
    } else {
        message
    };
    Refused {
        retry_after: Some(wait),
        data: json!({ "scope": word, "limit": number, "unit": unit }),
        ..Refused::new(ModelRefusalKind::RateLimited, message)
    }
}
