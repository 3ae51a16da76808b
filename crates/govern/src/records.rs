//! The bodies of journal records about calls and approvals.
//!
//! A body is part of the proof and is never erased, so it holds facts about a call and never its
//! arguments or result: those are the record's payload.

use preloop_types::{
    ApprovalId, CallOutcome, Decision, DecisionSource, Entry, EntryKind, Hash, OutcomeStatus, Principal, RuleRef,
    Shadow, StandingGrantId, Subject, ToolCall,
};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::Refusal;

/// Results above this stay out of the journal; their hash goes in.
const PAYLOAD_MAX: usize = 64 * 1024;

#[derive(Serialize)]
struct ToolFacts<'a> {
    server: &'a str,
    tool: &'a str,
    exposed: &'a str,
    definition: Hash,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<&'a str>,
}

impl<'a> ToolFacts<'a> {
    fn of(call: &'a ToolCall) -> Self {
        Self {
            server: &call.tool.server,
            tool: &call.tool.name,
            exposed: &call.tool.exposed,
            definition: call.tool.definition,
            client: call.client.as_deref(),
        }
    }
}

#[derive(Serialize)]
struct Intent<'a> {
    #[serde(flatten)]
    tool: ToolFacts<'a>,
    key: &'a str,
    decision: &'a str,
    source: DecisionSource,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a RuleRef>,
    policy: u64,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    shadows: &'a [Shadow],
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standing_grant: Option<StandingGrantId>,
}

/// On what a call rests, besides the policy.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Basis {
    /// Nothing else.
    Policy,
    /// People were asked.
    Approval(ApprovalId),
    /// An approver allowed it ahead.
    Standing(StandingGrantId),
}

/// A decided call that is about to be carried out, or that a human is asked about.
pub(crate) fn decided(
    kind: EntryKind,
    who: &Principal,
    call: &ToolCall,
    decision: &Decision,
    policy: u64,
    basis: Basis,
) -> Entry {
    let (approval, standing_grant) = match basis {
        Basis::Policy => (None, None),
        Basis::Approval(id) => (Some(id), None),
        Basis::Standing(id) => (None, Some(id)),
    };
    let body = Intent {
        tool: ToolFacts::of(call),
        key: &who.key_name,
        decision: decision.verdict.as_str(),
        source: decision.source,
        reason: &decision.reason,
        rule: decision.rule.as_ref(),
        policy,
        shadows: &decision.shadows,
        approval,
        standing_grant,
    };
    entry(kind, who, call, &body, Some(payload(call)))
}

#[derive(Serialize)]
struct Refused<'a> {
    #[serde(flatten)]
    tool: ToolFacts<'a>,
    key: &'a str,
    status: &'a str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<DecisionSource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a RuleRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<u64>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    shadows: &'a [Shadow],
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalId>,
}

/// A call that will not be carried out.
pub(crate) fn refused(
    who: &Principal,
    call: &ToolCall,
    refusal: &Refusal,
    decision: Option<(&Decision, u64)>,
) -> Entry {
    let body = Refused {
        tool: ToolFacts::of(call),
        key: &who.key_name,
        status: refusal.kind.as_str(),
        reason: &refusal.message,
        source: decision.map(|(decision, _)| decision.source),
        rule: decision.and_then(|(decision, _)| decision.rule.as_ref()),
        policy: decision.map(|(_, policy)| policy),
        shadows: decision.map_or(&[][..], |(decision, _)| &decision.shadows),
        approval: refusal.approval,
    };
    entry(EntryKind::CallRefused, who, call, &body, Some(payload(call)))
}

#[derive(Serialize)]
struct Outcome<'a> {
    status: OutcomeStatus,
    duration_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_bytes: Option<usize>,
    /// Only of results too large to be kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_hash: Option<Hash>,
    #[serde(skip_serializing_if = "Option::is_none")]
    approval: Option<ApprovalId>,
}

/// How a call ended.
pub(crate) fn outcome(
    who: &Principal,
    call: &ToolCall,
    outcome: &CallOutcome,
    duration_us: u64,
    approval: Option<ApprovalId>,
) -> Entry {
    let result = outcome.payload.as_deref().map(RawValue::get);
    let kept = result.filter(|text| text.len() <= PAYLOAD_MAX);
    let body = Outcome {
        status: outcome.status,
        duration_us,
        error: outcome.error.as_deref(),
        result_bytes: result.map(str::len),
        result_hash: if kept.is_none() { result.map(Hash::of) } else { None },
        approval,
    };
    entry(EntryKind::CallOutcome, who, call, &body, kept.map(|text| text.as_bytes().to_vec()))
}

/// A record about an approval. `body` is a JSON object.
pub(crate) fn approval(
    kind: EntryKind,
    subject: Subject,
    call: &preloop_store::Approval,
    body: &impl Serialize,
) -> Entry {
    Entry { account: call.account, kind, call: Some(call.call), subject, body: raw(body), payload: None }
}

fn entry(kind: EntryKind, who: &Principal, call: &ToolCall, body: &impl Serialize, payload: Option<Vec<u8>>) -> Entry {
    Entry { account: who.account, kind, call: Some(call.id), subject: Subject::from(who), body: raw(body), payload }
}

/// Arguments and justification, as JSON, without parsing the arguments.
fn payload(call: &ToolCall) -> Vec<u8> {
    let arguments = call.arguments.get();
    let mut out = Vec::with_capacity(arguments.len() + 64);
    out.extend_from_slice(b"{\"arguments\":");
    out.extend_from_slice(arguments.as_bytes());
    if let Some(justification) = &call.justification {
        out.extend_from_slice(b",\"justification\":");
        // Serialising a string into memory cannot fail.
        out.extend_from_slice(&serde_json::to_vec(justification).unwrap_or_default());
    }
    out.push(b'}');
    out
}

fn raw(body: &impl Serialize) -> Box<RawValue> {
    // Plain structs of strings and numbers always serialise.
    to_raw_value(body).unwrap_or_default()
}
