//! Answers that are read whole before any of it goes on: translated documents, and guarded ones.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use preloop_dialects::{
    Dialect, embeddings, ir,
    translate::{self, BadAnswer, Names, Reply},
    usage::{Meter, Reading},
};
use preloop_types::{ModelStatus, Tokens};
use tokio::time::timeout;

use crate::{
    failure::Failure,
    guard::{Guard, Outcome},
    relay::{Settlement, stop_word},
};

/// Longest answer that is read whole, and longest wait for it.
const BYTES_MAX: usize = 64 * 1024 * 1024;
const WITHIN: Duration = Duration::from_mins(10);

/// Reads an answer, and writes it in the agent's dialect as `rewrite` does.
pub(super) async fn translated(
    body: (Bytes, Incoming),
    mut settlement: Settlement,
    rewrite: impl FnOnce(&[u8]) -> Result<(Vec<u8>, Reading), BadAnswer>,
    guard: Option<&Arc<Guard>>,
) -> Result<Bytes, Failure> {
    let whole = match read(body).await {
        Ok(whole) => whole,
        Err(why) => return Err(unreadable(settlement, why)),
    };
    let (written, reading) = match rewrite(&whole) {
        Ok(rewritten) => rewritten,
        Err(bad) => return Err(unreadable(settlement, &bad.0)),
    };
    let written = match look(guard, written.into()) {
        Ok(written) => written,
        Err(why) => return Err(blocked(settlement, reading, why)),
    };
    settlement.response_bytes = written.len() as u64;
    settlement.settle(ModelStatus::Succeeded, reading, None);
    Ok(written)
}

/// A model's answer, from the provider's dialect into the agent's.
pub(super) fn answer(
    whole: &[u8],
    (provider, agent): (Dialect, Dialect),
    names: &Names,
    reply: &Reply,
) -> Result<(Vec<u8>, Reading), BadAnswer> {
    let response = translate::codec(provider).decode_response(whole, names)?;
    Ok((translate::codec(agent).encode_response(&response, reply), reading(&response, whole.len())))
}

/// Vectors, from the provider's dialect into the agent's.
pub(super) fn vectors(
    whole: &[u8],
    (provider, agent): (Dialect, Dialect),
    ask: &embeddings::Ask,
    model: &str,
) -> Result<(Vec<u8>, Reading), BadAnswer> {
    let vectors = embeddings::decode_response(provider, whole, ask)?;
    let tokens = vectors.tokens.map(|input| Tokens { input, ..Tokens::default() });
    let reading = Reading { tokens, complete: true, ..Reading::default() };
    Ok((embeddings::encode_response(agent, &vectors, ask, model), reading))
}

/// Reads an answer in the agent's own dialect, and looks it through.
pub(super) async fn checked(
    body: (Bytes, Incoming),
    mut settlement: Settlement,
    mut meter: Meter,
    guard: &Arc<Guard>,
    head: (StatusCode, HeaderMap),
) -> Result<Response, Failure> {
    let whole = match read(body).await {
        Ok(whole) => whole,
        Err(why) => return Err(unreadable(settlement, why)),
    };
    meter.feed(&whole);
    let reading = meter.finish();
    let passed = match look(Some(guard), whole) {
        Ok(passed) => passed,
        Err(why) => return Err(blocked(settlement, reading, why)),
    };
    settlement.response_bytes = passed.len() as u64;
    let status = if reading.complete { ModelStatus::Succeeded } else { ModelStatus::Truncated };
    settlement.settle(status, reading, None);
    Ok((head.0, head.1, passed).into_response())
}

/// What came first, and what comes.
async fn read((first, body): (Bytes, Incoming)) -> Result<Bytes, &'static str> {
    match timeout(WITHIN, Limited::new(body, BYTES_MAX).collect()).await {
        Ok(Ok(rest)) => {
            let rest = rest.to_bytes();
            Ok(if rest.is_empty() { first } else { [first, rest].concat().into() })
        }
        Ok(Err(_)) => Err("it broke off, or is too long"),
        Err(_) => Err("it took too long"),
    }
}

/// What may go on of an answer, or why nothing may.
fn look(guard: Option<&Arc<Guard>>, whole: Bytes) -> Result<Bytes, String> {
    let Some(guard) = guard else { return Ok(whole) };
    match guard.answer(&whole).outcome {
        Outcome::Pass => Ok(whole),
        Outcome::Redacted(body) => Ok(body.into()),
        Outcome::Ask { .. } => {
            Err("a guardrail wants a person to decide, which model calls cannot wait for".to_owned())
        }
        Outcome::Refuse(why) => Err(why),
    }
}

fn reading(response: &ir::Response, bytes: usize) -> Reading {
    let stop = response.choices.first().map(|choice| stop_word(&choice.stop).to_owned());
    Reading {
        tokens: response.usage,
        model: Some(response.model.clone()).filter(|model| !model.is_empty()),
        response_id: Some(response.id.clone()).filter(|id| !id.is_empty()),
        stop,
        complete: true,
        output_bytes: bytes as u64,
        ..Reading::default()
    }
}

fn blocked(mut settlement: Settlement, reading: Reading, why: String) -> Failure {
    settlement.http_status = 400;
    let failure = Failure::new(400, "content_blocked", why);
    let told = Some((failure.code.to_string(), failure.message.clone()));
    settlement.settle(ModelStatus::GuardrailBlocked, reading, told);
    failure
}

fn unreadable(mut settlement: Settlement, why: &str) -> Failure {
    settlement.http_status = 502;
    let failure = Failure::new(502, "upstream_protocol", format!("the provider's answer cannot be used: {why}"));
    let told = Some((failure.code.to_string(), failure.message.clone()));
    settlement.settle(ModelStatus::UpstreamError, Reading::default(), told);
    failure
}
