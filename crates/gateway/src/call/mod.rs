//! One model call, from the agent's request to its answer.

mod answer;
mod attempt;
mod beginning;
mod breaker;
mod count;
mod native;
mod plan;
mod signals;
mod whole;

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, Method};
use preloop_dialects::{
    Dialect, Operation,
    scan::{self, Facts, Hosted},
    translate::BadRequest,
};
use preloop_govern::{ModelAdmission, ModelAttempt, ModelPermit, ModelRefusal, ModelRefusalKind, Snapshot};
use preloop_types::{
    Budget, BudgetUnit, CallId, CostBound, Exposure, GuardrailSide, Hash, Model, ModelCall, ModelOutcome, ModelStatus,
    Principal, config::Capture,
};
use serde_json::Value;

use crate::{
    Gateway,
    failure::Failure,
    guard::{Guard, Outcome},
    models::{self, Unresolved},
    pricing::{self, Price},
    providers::{Class, Delivery, Fault},
    relay::Captured,
    serve::{Ask, InPath},
};

pub(crate) use attempt::{Client, policy};
pub(crate) use breaker::Breakers;
pub(crate) use native::Natives;

/// A call as its agent asked for it.
pub(crate) struct Asked<'r> {
    pub(crate) id: CallId,
    pub(crate) who: Arc<Principal>,
    pub(crate) ask: &'r Ask,
    pub(crate) operation: Operation,
    pub(crate) in_path: &'r InPath,
    pub(crate) method: Method,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) client: Option<Arc<str>>,
    pub(crate) body: Bytes,
    pub(crate) facts: Facts,
    pub(crate) guard: Option<Arc<Guard>>,
    pub(crate) capture: Capture,
    /// Members to add to a body that is forwarded, and why.
    pub(crate) added: Option<(&'static str, &'static str, &'static str)>,
}

/// Uses of the provider's own tools a call may have where a hard budget has to bound their cost and the
/// agent sets no limit. Codex, for one, offers a search without one.
const HOSTED_USES: u64 = 4;
const HOSTED_LIMIT: (&str, &str, &str) =
    ("max_tool_calls", "4", "the provider's own tools are limited to 4 uses, because a hard budget has to bound them");

impl Asked<'_> {
    /// How the answer shall come, in the agent's dialect.
    pub(crate) fn delivery(&self) -> Delivery {
        let asked = if self.facts.stream { Delivery::Events } else { Delivery::Whole };
        self.in_path.delivery.unwrap_or(asked)
    }

    pub(crate) fn streams(&self) -> bool {
        self.delivery() != Delivery::Whole
    }

    /// How it shall come from a provider: only Google has arrays.
    fn delivery_from(&self, dialect: Dialect) -> Delivery {
        match self.delivery() {
            Delivery::Array if dialect != self.ask.dialect => Delivery::Events,
            delivery => delivery,
        }
    }

    /// A limit for the provider's own tools, where nothing else keeps a hard budget.
    fn bound_hosted_tools(&mut self, snapshot: &Snapshot) {
        let counted = |budget: &Budget| budget.unit == BudgetUnit::Usd && budget.hard.is_some();
        if self.facts.hosted == Hosted::Unlimited
            && self.ask.dialect == Dialect::Responses
            && snapshot.budgets.iter().any(|budget| counted(budget))
        {
            self.facts.hosted = Hosted::Limited(HOSTED_USES);
            self.added = Some(HOSTED_LIMIT);
        }
    }

    /// The request, where some of the conversation is kept.
    fn captured(&self) -> Option<Captured> {
        let kept = self.capture != Capture::Off && self.operation == Operation::Generate;
        kept.then(|| Captured { capture: self.capture, dialect: self.ask.dialect, body: self.body.clone() })
    }

    /// Has the request looked through; the error is why it may not go on.
    fn pass_guard(&mut self) -> Result<(), String> {
        let Some(guard) = self.guard.as_ref().filter(|guard| guard.looks_at(GuardrailSide::Request)) else {
            return Ok(());
        };
        let checked = guard.request(self.ask.dialect, &self.body);
        for finding in &checked.findings {
            tracing::warn!(call = %self.id, rule = %finding.rule, kind = finding.kind, "a guardrail found something");
        }
        match checked.outcome {
            Outcome::Pass => Ok(()),
            Outcome::Redacted(body) => {
                self.body = body.into();
                Ok(())
            }
            Outcome::Ask { .. } => {
                Err("a guardrail wants a person to decide, which model calls cannot wait for".to_owned())
            }
            Outcome::Refuse(why) => Err(why),
        }
    }

    fn model(&self) -> Option<&str> {
        self.in_path.model.as_deref().or(self.facts.model.as_deref())
    }

    fn call(&self, model: &Arc<Model>, stake: &Stake) -> ModelCall {
        ModelCall {
            id: self.id,
            dialect: self.ask.dialect.as_str(),
            operation: self.operation.as_str(),
            requested: self.model().unwrap_or(&model.alias).into(),
            model: model.clone(),
            exposure: stake.exposure,
            bound: stake.bound,
            streamed: self.streams(),
            session: self.who.session,
            client: self.client.clone(),
            request_hash: Hash::of(&self.body),
            request_bytes: self.body.len() as u64,
        }
    }

    /// What makes another request the same as this one.
    fn identity(&self, model: &Model) -> Hash {
        let facts = format!(
            "{} {} {} {:?} {:?} ",
            self.who.account,
            model.id,
            self.ask.dialect.as_str(),
            self.delivery(),
            self.in_path.method
        );
        Hash::of_parts(&[facts.as_bytes(), &self.body])
    }

    fn attempt(&self, model: Option<&Arc<Model>>) -> ModelAttempt {
        ModelAttempt {
            id: self.id,
            dialect: self.ask.dialect.as_str(),
            operation: self.operation.as_str(),
            requested: self.model().map(Into::into),
            model: model.cloned(),
            session: self.who.session,
            client: self.client.clone(),
        }
    }
}

/// A request as it came in.
pub(crate) struct Received<'r> {
    pub(crate) id: CallId,
    pub(crate) ask: &'r Ask,
    pub(crate) method: Method,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) body: Bytes,
}

impl Gateway {
    /// Governs and carries out one model call.
    pub(crate) async fn model_call(
        &self,
        who: Arc<Principal>,
        received: Received<'_>,
        operation: Operation,
        in_path: &InPath,
    ) -> Result<Response, Failure> {
        let Received { id, ask, method, headers, body } = received;
        let client = signals::client(headers).map(Arc::from);
        let snapshot = self.governor().snapshot(who.account).await.map_err(|error| unavailable(&error))?;
        let guard = self.guard(who.account, &snapshot)?;
        let (facts, capture) = (Facts::default(), snapshot.model_settings.capture);
        let mut asked = Asked {
            id,
            who,
            ask,
            operation,
            in_path,
            method,
            headers,
            client,
            body,
            facts,
            guard,
            capture,
            added: None,
        };
        if let Err(why) = asked.pass_guard() {
            return Err(self.refuse(&asked, None, ModelRefusalKind::ContentBlocked, why).await);
        }
        match scan::read(ask.dialect, operation, &asked.body) {
            Ok(facts) => asked.facts = facts,
            Err(BadRequest { field, why }) => {
                let refused = self.refuse(&asked, None, ModelRefusalKind::InvalidBody, why).await;
                return Err(Failure { param: field, ..refused });
            }
        }
        asked.bound_hosted_tools(&snapshot);
        let signal = signals::session_signal(ask.dialect, headers, &asked.facts, asked.client.as_deref());
        match self.governor().sessions().bind(&asked.who, &signal).await {
            Ok(who) => asked.who = who,
            Err(refused) => return Err(self.refuse(&asked, None, refused.kind(), refused.to_string()).await),
        }
        let model = match models::resolve(&snapshot.models, asked.model()) {
            Ok(resolved) => resolved.model,
            Err(unresolved) => {
                return Err(self.refuse(&asked, None, kind_of(&unresolved), unresolved.to_string()).await);
            }
        };
        if operation == Operation::CountTokens
            && let Some(counted) = count::counted_here(&asked, &model, &snapshot)?
        {
            return Ok(counted);
        }
        self.carry_out(&asked, &model, &snapshot).await
    }

    async fn carry_out(&self, asked: &Asked<'_>, model: &Arc<Model>, snapshot: &Snapshot) -> Result<Response, Failure> {
        let candidates = plan::candidates(&snapshot.models, model);
        let Some(first) = candidates.first() else {
            let why = format!("model `{}` shares its calls with models that are all switched off", model.alias);
            return Err(self.refuse(asked, Some(model), ModelRefusalKind::ModelDisabled, why).await);
        };
        let stake = self.stake(asked, first, snapshot);
        let call = asked.call(first, &stake);
        self.admitted(asked, &candidates, call, stake, snapshot).await
    }

    /// Has a call admitted and asks the candidates in turn.
    async fn admitted(
        &self,
        asked: &Asked<'_>,
        candidates: &[Arc<Model>],
        call: ModelCall,
        mut stake: Stake,
        snapshot: &Snapshot,
    ) -> Result<Response, Failure> {
        let mut permit = match self.governor().admit_model(&asked.who, call).await {
            ModelAdmission::Granted(permit) => permit,
            ModelAdmission::Refused(refusal) => return Err(refusal.into()),
        };
        if let Some(cached) = candidates.first().and_then(|model| self.cached(asked, model)) {
            return Ok(answer::again(&cached, permit));
        }
        let mut attempts = 0;
        let mut failed = None;
        for (place, candidate) in candidates.iter().enumerate() {
            if place > 0 {
                stake = self.stake(asked, candidate, snapshot);
                if permit.reroute(candidate.clone(), stake.exposure, stake.bound).await.is_err() {
                    continue;
                }
            }
            match self.ask_one(asked, candidate, &permit, &mut attempts).await {
                Ok((prepared, answer)) => {
                    return self.answered(asked, prepared, answer, stake, permit).await;
                }
                Err(mut failure) => {
                    let goes_on = failure.falls_back;
                    // What the first of them did may have to be paid whatever became of the next.
                    failure.may_have_cost |= failed.is_some_and(|before: Failed| before.may_have_cost);
                    failed = Some(failure);
                    if !goes_on || permit.is_halted() {
                        break;
                    }
                }
            }
        }
        let failed =
            failed.unwrap_or_else(|| Failed::of(Failure::new(502, "upstream_unavailable", "no model could be asked")));
        settle_failed(permit, &failed, attempts);
        Err(failed.failure)
    }

    async fn ask_one(
        &self,
        asked: &Asked<'_>,
        model: &Arc<Model>,
        permit: &ModelPermit,
        attempts: &mut u32,
    ) -> Result<(attempt::Prepared, attempt::Answer), Failed> {
        let prepared = attempt::prepare(self, asked, model).await.map_err(Failed::of)?;
        if let Err(pause) = self.breakers().check(model.id) {
            let why = format!("model `{}` failed several times in a row and is left alone for a moment", model.alias);
            let failure = Failure { retry_after: Some(pause), ..Failure::new(503, "upstream_unavailable", why) };
            return Err(Failed { falls_back: true, ..Failed::of(failure) });
        }
        match attempt::send(self, &prepared, permit, attempts).await {
            Ok(answer) => Ok((prepared, answer)),
            Err(refused) => {
                let falls_back = refused.fault.class.falls_back() && !refused.may_cost_twice(permit);
                let attempt::Refused { fault, verbatim } = refused;
                Err(Failed {
                    falls_back,
                    status: status_of(&fault),
                    may_have_cost: fault.may_have_arrived && fault.provider_status.is_none(),
                    failure: Failure { verbatim, ..fault.into() },
                })
            }
        }
    }

    /// What a call of `model` puts at stake.
    fn stake(&self, asked: &Asked<'_>, model: &Arc<Model>, snapshot: &Snapshot) -> Stake {
        let price = pricing::price(model, snapshot, self.now());
        let exposure = scan::exposure(asked.ask.dialect, asked.operation, &asked.facts, models::limits(model));
        let bound = match asked.operation {
            Operation::CountTokens => CostBound::AtMost(preloop_types::NanoUsd::ZERO),
            _ => pricing::bound(price.as_ref(), exposure.as_ref()),
        };
        Stake { price, exposure, bound }
    }

    /// Refuses a call that was never put to the governor, on the record.
    async fn refuse(
        &self,
        asked: &Asked<'_>,
        model: Option<&Arc<Model>>,
        kind: ModelRefusalKind,
        message: String,
    ) -> Failure {
        let refusal = ModelRefusal { call: asked.id, kind, message, retry_after: None, data: Value::Null };
        self.governor().refuse_model(&asked.who, &asked.attempt(model), refusal).await.into()
    }
}

/// What a call puts at stake.
pub(super) struct Stake {
    price: Option<Price>,
    exposure: Option<Exposure>,
    bound: CostBound,
}

/// A model that gave no answer.
struct Failed {
    failure: Failure,
    status: ModelStatus,
    /// Whether the provider may have done work that it charges for.
    may_have_cost: bool,
    /// Whether another model may be asked.
    falls_back: bool,
}

impl Failed {
    /// Nothing was sent.
    fn of(failure: Failure) -> Self {
        Self { failure, status: ModelStatus::ConfigError, may_have_cost: false, falls_back: false }
    }
}

const fn status_of(fault: &Fault) -> ModelStatus {
    match fault.class {
        Class::RateLimited => ModelStatus::UpstreamRateLimited,
        Class::Timeout => ModelStatus::UpstreamTimeout,
        _ => ModelStatus::UpstreamError,
    }
}

fn settle_failed(permit: ModelPermit, failed: &Failed, attempts: u32) {
    let status = match failed.status {
        _ if attempts == 0 => ModelStatus::NotSent,
        ModelStatus::UpstreamError | ModelStatus::ConfigError | ModelStatus::UpstreamRateLimited
            if failed.may_have_cost =>
        {
            ModelStatus::Unknown
        }
        status => status,
    };
    let nothing = (!failed.may_have_cost).then(preloop_types::Tokens::default);
    permit.settle(ModelOutcome {
        http_status: failed.failure.status,
        tokens: nothing,
        cost: nothing.map(|_| preloop_types::NanoUsd::ZERO),
        error_code: Some(failed.failure.code.to_string()),
        error: Some(failed.failure.message.clone()),
        attempts,
        ..ModelOutcome::of(status)
    });
}

const fn kind_of(unresolved: &Unresolved) -> ModelRefusalKind {
    match unresolved {
        Unresolved::NoDefault => ModelRefusalKind::ModelRequired,
        Unresolved::Unknown { .. } => ModelRefusalKind::ModelNotFound,
        Unresolved::Ambiguous { .. } => ModelRefusalKind::AmbiguousModel,
    }
}

fn unavailable(error: &preloop_govern::Error) -> Failure {
    tracing::error!(%error, "a model call was refused because it cannot be governed now");
    Failure::new(503, "ledger_unavailable", "Preloop cannot read its configuration now, so the call was not sent")
}
