//! The bodies of journal records about model calls.
//!
//! A body is part of the proof and is never erased: it holds facts and numbers, never a word of what was
//! asked or answered. What was captured of that is the outcome's payload.

use preloop_store::{LedgerLine, Usage};
use preloop_types::{
    CostSource, Entry, EntryKind, Hash, ModelCall, ModelId, ModelOutcome, ModelStatus, NanoUsd, Principal, Reserved,
    SessionId, Subject, Tokens, UsageSource,
};
use serde::Serialize;
use serde_json::{Value, value::to_raw_value};

use super::{ModelRefusal, admit::ModelAttempt};
use crate::{budgets::Reservation, config::repair::ExposureFacts};

#[derive(Serialize)]
struct Intent<'a> {
    model: &'a str,
    model_id: ModelId,
    provider: &'a str,
    requested: &'a str,
    dialect: &'a str,
    operation: &'a str,
    streamed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    key: &'a str,
    request_hash: Hash,
    request_bytes: u64,
    #[serde(flatten)]
    exposure: ExposureFacts,
    /// The most it can cost; absent without a price.
    #[serde(skip_serializing_if = "Option::is_none")]
    bound: Option<NanoUsd>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reserved: Vec<Reserved>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<u64>,
}

/// A call that is about to be sent.
pub(super) fn intent(who: &Principal, call: &ModelCall, reservation: &Reservation, policy: u64) -> Entry {
    entry(EntryKind::ModelIntent, who, call.session, call.id, &intent_body(who, call, reservation, Some(policy)))
}

/// A call that is about to be sent to another model than before.
pub(super) fn rerouted(who: &Principal, call: &ModelCall, reservation: &Reservation) -> Entry {
    entry(EntryKind::ModelRerouted, who, call.session, call.id, &intent_body(who, call, reservation, None))
}

fn intent_body<'a>(
    who: &'a Principal,
    call: &'a ModelCall,
    reservation: &Reservation,
    policy: Option<u64>,
) -> Intent<'a> {
    Intent {
        model: &call.model.alias,
        model_id: call.model.id,
        provider: &call.model.provider,
        requested: &call.requested,
        dialect: call.dialect,
        operation: call.operation,
        streamed: call.streamed,
        client: call.client.as_deref(),
        key: &who.key_name,
        request_hash: call.request_hash,
        request_bytes: call.request_bytes,
        exposure: ExposureFacts::of(call.exposure.as_ref()),
        bound: call.bound.amount(),
        reserved: reservation.reserved(),
        policy,
    }
}

#[derive(Serialize)]
struct Outcome<'a> {
    status: ModelStatus,
    http_status: u16,
    model: &'a str,
    provider: &'a str,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttfb_us: Option<u64>,
    upstream_us: u64,
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<&'a Tokens>,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage_source: Option<UsageSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost: Option<NanoUsd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_source: Option<CostSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stop: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    response_bytes: u64,
}

/// How a call ended.
pub(super) fn outcome(who: &Principal, call: &ModelCall, outcome: &ModelOutcome, duration_us: u64) -> Entry {
    let body = Outcome {
        status: outcome.status,
        http_status: outcome.http_status,
        model: &call.model.alias,
        provider: &call.model.provider,
        duration_us,
        ttfb_us: outcome.ttfb_us,
        upstream_us: outcome.upstream_us,
        attempts: outcome.attempts,
        tokens: outcome.tokens.as_ref(),
        usage_source: outcome.usage_source,
        cost: outcome.cost,
        cost_source: outcome.cost_source,
        upstream_model: outcome.upstream_model.as_deref(),
        upstream_id: outcome.upstream_id.as_deref(),
        stop: outcome.stop.as_deref(),
        error_code: outcome.error_code.as_deref(),
        error: outcome.error.as_deref(),
        response_bytes: outcome.response_bytes,
    };
    let record = entry(EntryKind::ModelOutcome, who, call.session, call.id, &body);
    Entry { payload: outcome.conversation.clone(), ..record }
}

/// What a call adds to the roll-ups.
pub(super) fn usage(call: &ModelCall, outcome: &ModelOutcome) -> Usage {
    Usage {
        model: call.model.alias.as_str().into(),
        provider: call.model.provider.as_str().into(),
        outcome: outcome.status.as_str(),
        tokens: outcome.tokens.unwrap_or_default(),
        cost: outcome.cost,
        priced: crate::budgets::may_have_consumed(outcome.status),
    }
}

#[derive(Serialize)]
struct RefusedBody<'a> {
    status: &'a str,
    code: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    requested: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<&'a str>,
    dialect: &'a str,
    operation: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
    key: &'a str,
    #[serde(skip_serializing_if = "Value::is_null")]
    data: &'a Value,
}

/// A call that will not be sent.
pub(super) fn refused(who: &Principal, attempt: &ModelAttempt, refusal: &ModelRefusal) -> (Entry, LedgerLine) {
    let model = attempt.model.as_deref();
    let body = RefusedBody {
        status: refusal.kind.outcome(),
        code: refusal.kind.as_str(),
        reason: &refusal.message,
        requested: attempt.requested.as_deref(),
        model: model.map(|model| model.alias.as_str()),
        provider: model.map(|model| model.provider.as_str()),
        dialect: attempt.dialect,
        operation: attempt.operation,
        client: attempt.client.as_deref(),
        key: &who.key_name,
        data: &refusal.data,
    };
    let usage = Usage {
        model: model.map_or("", |model| &model.alias).into(),
        provider: model.map_or("", |model| &model.provider).into(),
        outcome: refusal.kind.outcome(),
        tokens: Tokens::default(),
        cost: None,
        priced: false,
    };
    let record = entry(EntryKind::ModelRefused, who, attempt.session, attempt.id, &body);
    (record, LedgerLine { usage: Some(usage), ..LedgerLine::default() })
}

fn entry(
    kind: EntryKind,
    who: &Principal,
    session: Option<SessionId>,
    call: preloop_types::CallId,
    body: &impl Serialize,
) -> Entry {
    let subject = Subject { session: session.or(who.session), ..Subject::from(who) };
    // Plain structs of strings and numbers always serialise.
    let body = to_raw_value(body).unwrap_or_default();
    Entry { account: who.account, kind, call: Some(call), subject, body, payload: None }
}
