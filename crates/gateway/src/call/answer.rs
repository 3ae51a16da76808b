//! The provider's answer, made the agent's.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use preloop_dialects::{
    Dialect,
    error::Framing,
    translate::{self, Reply},
    usage::{Meter, Reading, UsageChunkFilter},
};
use preloop_govern::ModelPermit;
use preloop_types::{Model, ModelOutcome, ModelStatus, NanoUsd, Tokens};
use tokio::time::timeout;

use super::{
    Asked, Stake,
    attempt::{Answer, Prepared, Translated},
};
use crate::{
    Gateway,
    cache::{Cached, Copy, Wish},
    failure::Failure,
    providers::{self, Delivery},
    relay::{Relay, Relaying, Settlement, Spending, Translation, Way, stop_word},
};

/// Longest answer that is translated as a whole, and longest wait for it.
const WHOLE_BYTES_MAX: usize = 64 * 1024 * 1024;
const WHOLE_WITHIN: Duration = Duration::from_mins(10);
/// Longest warning in a header.
const WARNING_BYTES_MAX: usize = 256;

impl Gateway {
    /// Relays an answer, or translates it.
    pub(super) async fn answered(
        &self,
        asked: &Asked<'_>,
        prepared: Prepared,
        answer: Answer,
        stake: Stake,
        permit: ModelPermit,
        attempts: u32,
    ) -> Result<Response, Failure> {
        let status = answer.response.status();
        let mut headers = providers::answer_headers(answer.response.headers());
        if let Some(kind) = answer.response.headers().get(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, kind.clone());
        }
        let warnings = prepared.translated.as_ref().map_or(&[][..], |translated| &translated.warnings);
        describe(&mut headers, &permit, warnings);
        let limits = Spending {
            reserved: permit.reserved(),
            output_tokens: stake.exposure.map(|exposure| exposure.output_tokens),
        };
        let settlement = Settlement {
            permit,
            price: stake.price,
            prompt_bytes: asked.facts.text_bytes,
            http_status: status.as_u16(),
            attempts,
            sent: answer.sent,
            first_byte: None,
            response_bytes: 0,
            natives: (prepared.dialect == Dialect::Responses).then(|| self.natives().clone()),
        };
        let Prepared { dialect, translated, model, .. } = prepared;
        let body = answer.response.into_body();
        let agent = asked.ask.dialect;
        let streams = is_stream(asked, &headers);
        let drain = Duration::from_secs(u64::from(model.settings.drain_seconds.unwrap_or(0)));
        let copy = self.copy(asked, &model, &headers);
        let Some(translated) = translated else {
            let filtered = agent == Dialect::Chat && asked.streams() && !asked.facts.include_usage;
            let way = Way::Same {
                meter: Box::new(Meter::new(dialect, asked.operation)),
                filter: filtered.then(UsageChunkFilter::new),
            };
            let framing = streams.then(|| framing(asked.delivery()));
            let relay = Relay::new(body, Relaying { agent, framing, way, limits, drain, copy }, settlement);
            return Ok((status, headers, Body::new(relay)).into_response());
        };

        let reply = self.reply(asked, &translated).await?;
        let (from, to) = (translate::codec(dialect), translate::codec(agent));
        if asked.streams() {
            let kind = if asked.delivery() == Delivery::Array { "application/json" } else { "text/event-stream" };
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
            let way = Way::Translated(Box::new(Translation::new(from.decoder(translated.names), to.encoder(reply))));
            let framing = Some(framing(asked.delivery()));
            let relay = Relay::new(body, Relaying { agent, framing, way, limits, drain, copy }, settlement);
            return Ok((StatusCode::OK, headers, Body::new(relay)).into_response());
        }

        let read = timeout(WHOLE_WITHIN, Limited::new(body, WHOLE_BYTES_MAX).collect()).await;
        let whole = match read {
            Ok(Ok(whole)) => whole.to_bytes(),
            _ => return Err(unreadable(settlement, "the answer broke off, or was too long")),
        };
        let response = match from.decode_response(&whole, &translated.names) {
            Ok(response) => response,
            Err(bad) => return Err(unreadable(settlement, &bad.0)),
        };
        let written = to.encode_response(&response, &reply);
        let mut settlement = settlement;
        settlement.first_byte = Some(settlement.sent.elapsed());
        settlement.response_bytes = written.len() as u64;
        settlement.settle(ModelStatus::Succeeded, reading(&response, whole.len()), None);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok((StatusCode::OK, headers, written).into_response())
    }

    /// Where the answer is kept for requests like this one, if its model wants that.
    fn copy(&self, asked: &Asked<'_>, model: &Model, headers: &HeaderMap) -> Option<Copy> {
        model.settings.cache_seconds.filter(|_| Wish::of(asked.headers).write)?;
        Some(Copy::new(self.answers().clone(), asked.identity(model), headers.clone()))
    }

    /// The answer to an identical request, if one is kept.
    pub(super) fn cached(&self, asked: &Asked<'_>, model: &Model) -> Option<Arc<Cached>> {
        let age = model.settings.cache_seconds.filter(|_| Wish::of(asked.headers).read)?;
        self.answers().find(&asked.identity(model), Duration::from_secs(age.into()))
    }

    async fn reply(&self, asked: &Asked<'_>, translated: &Translated) -> Result<Reply, Failure> {
        Ok(Reply {
            model: asked.model().unwrap_or_default().to_owned(),
            id: asked.id.0.simple().to_string(),
            created: self.now().micros() / 1_000_000,
            request: translated.request.clone(),
            carrier: self.carrier(asked.who.account).await?,
            sse: asked.delivery() != Delivery::Array,
        })
    }
}

/// Gives an answer that was kept.
pub(super) fn again(cached: &Cached, permit: ModelPermit) -> Response {
    let mut headers = cached.headers.clone();
    describe(&mut headers, &permit, &[]);
    headers.insert(HeaderName::from_static("x-preloop-cache"), HeaderValue::from_static("hit"));
    permit.settle(ModelOutcome {
        http_status: 200,
        tokens: Some(Tokens::default()),
        cost: Some(NanoUsd::ZERO),
        response_bytes: cached.body.iter().map(|bytes| bytes.len() as u64).sum(),
        ..ModelOutcome::of(ModelStatus::CacheHit)
    });
    let pieces = cached.body.clone().into_iter().map(Ok::<_, Infallible>);
    (StatusCode::OK, headers, Body::from_stream(futures::stream::iter(pieces))).into_response()
}

/// Whether what comes is a stream: the provider decides, whatever was asked.
fn is_stream(asked: &Asked<'_>, headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    asked.streams() && (kind.starts_with("text/event-stream") || asked.delivery() == Delivery::Array)
}

const fn framing(delivery: Delivery) -> Framing {
    match delivery {
        Delivery::Array => Framing::Array { begun: false },
        Delivery::Events | Delivery::Whole => Framing::Events,
    }
}

fn reading(response: &preloop_dialects::ir::Response, bytes: usize) -> Reading {
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

fn unreadable(mut settlement: Settlement, why: &str) -> Failure {
    settlement.http_status = 502;
    let failure = Failure::new(502, "upstream_protocol", format!("the provider's answer cannot be used: {why}"));
    let told = Some((failure.code.to_string(), failure.message.clone()));
    settlement.settle(ModelStatus::UpstreamError, Reading::default(), told);
    failure
}

/// What the agent's owner may want to know of the call.
fn describe(headers: &mut HeaderMap, permit: &ModelPermit, more: &[String]) {
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-preloop-model", &permit.call().model.alias);
    set("x-preloop-usage-id", &permit.call().id.to_string());
    if permit.warnings().is_empty() && more.is_empty() {
        return;
    }
    let all: Vec<&str> = permit.warnings().iter().chain(more).map(String::as_str).collect();
    let joined: String = all.join(" | ").chars().filter(|c| (' '..='~').contains(c)).take(WARNING_BYTES_MAX).collect();
    set("x-preloop-warning", &joined);
}
