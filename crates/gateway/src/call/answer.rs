//! The provider's answer, made the agent's.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use preloop_dialects::{
    Dialect,
    error::Framing,
    ir,
    translate::{self, Reply},
    usage::{Meter, UsageChunkFilter},
};
use preloop_govern::ModelPermit;
use preloop_types::{GuardrailSide, Model, ModelOutcome, ModelStatus, NanoUsd, Tokens};

use super::{
    Asked, Stake,
    attempt::{Answer, Prepared, Translated, Work},
    whole,
};
use crate::{
    Gateway,
    cache::{Cached, Copy, Wish},
    capture,
    failure::Failure,
    guard::StreamGuard,
    providers::{self, Delivery},
    relay::{Relay, Relaying, Settlement, Spending, Translation, Way},
};

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
    ) -> Result<Response, Failure> {
        let Prepared { dialect, translated, model, .. } = prepared;
        let status = answer.response.status();
        let mut headers = providers::answer_headers(answer.response.headers());
        if let Some(kind) = answer.response.headers().get(header::CONTENT_TYPE) {
            headers.insert(header::CONTENT_TYPE, kind.clone());
        }
        let warnings = translated.iter().flat_map(|translated| translated.warnings.iter().map(String::as_str));
        describe(&mut headers, &permit, warnings.chain(asked.added.iter().map(|(_, _, why)| *why)));
        let limits = Spending {
            reserved: permit.reserved(),
            output_tokens: stake.exposure.map(|exposure| exposure.output_tokens),
        };
        let settlement = Settlement {
            permit,
            price: stake.price,
            prompt_bytes: asked.facts.text_bytes,
            http_status: status.as_u16(),
            attempts: answer.attempts,
            sent: answer.sent,
            first_byte: Some(answer.sent.elapsed()),
            response_bytes: 0,
            natives: (dialect == Dialect::Responses).then(|| self.natives().clone()),
            captured: asked.captured(),
        };
        let kept = capture::bytes_of_answer(asked.capture);
        let looked = asked.guard.as_ref().filter(|guard| guard.looks_at(GuardrailSide::Response));
        let (first, body) = (answer.first, answer.response.into_body());
        let streams = match &translated {
            None => is_stream(asked, &headers),
            Some(_) => asked.streams(),
        };
        if !streams || (looked.is_some() && asked.delivery() == Delivery::Array) {
            // A translated or guarded document is read before any of it goes on.
            if let Some(Translated { work, .. }) = translated {
                let between = (dialect, asked.ask.dialect);
                let written = match work {
                    Work::Generate { request, names } => {
                        let reply = self.reply(asked, &request).await?;
                        let rewrite = |read: &[u8]| whole::answer(read, between, &names, &reply);
                        whole::translated((first, body), settlement, rewrite, looked).await?
                    }
                    Work::Embed(ask) => {
                        let model = asked.model().unwrap_or_default();
                        let rewrite = |read: &[u8]| whole::vectors(read, between, &ask, model);
                        whole::translated((first, body), settlement, rewrite, None).await?
                    }
                };
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                return Ok((StatusCode::OK, headers, written).into_response());
            }
            if let Some(guard) = looked {
                let meter = metered(dialect, asked, kept);
                return whole::checked((first, body), settlement, *meter, guard, (status, headers)).await;
            }
        }

        let copy = self.copy(asked, &model, &headers);
        let way = match translated {
            None => {
                let filtered = asked.ask.dialect == Dialect::Chat && asked.streams() && !asked.facts.include_usage;
                let filter = filtered.then(UsageChunkFilter::new);
                Way::Same { meter: metered(dialect, asked, kept), filter }
            }
            Some(Translated { work: Work::Embed(_), .. }) => {
                return Err(Failure::new(400, "unsupported_feature", "embeddings are not streamed"));
            }
            Some(Translated { work: Work::Generate { request, names }, .. }) => {
                stream_headers(&mut headers, asked.delivery());
                let encoder = translate::codec(asked.ask.dialect).encoder(self.reply(asked, &request).await?);
                let decoder = translate::codec(dialect).decoder(names);
                Way::Translated(Box::new(Translation::new(decoder, encoder, kept)))
            }
        };
        let relaying = Relaying {
            agent: asked.ask.dialect,
            framing: streams.then(|| framing(asked.delivery())),
            way,
            limits,
            drain: Duration::from_secs(u64::from(model.settings.drain_seconds.unwrap_or(0))),
            copy,
            guard: looked.map(|guard| Box::new(StreamGuard::new(guard.clone()))),
        };
        Ok((status, headers, Body::new(Relay::new(first, body, relaying, settlement))).into_response())
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

    async fn reply(&self, asked: &Asked<'_>, request: &Arc<ir::Request>) -> Result<Reply, Failure> {
        Ok(Reply {
            model: asked.model().unwrap_or_default().to_owned(),
            id: asked.id.0.simple().to_string(),
            created: self.now().micros() / 1_000_000,
            request: request.clone(),
            carrier: self.carrier(asked.who.account).await?,
            sse: asked.delivery() != Delivery::Array,
        })
    }
}

/// Gives an answer that was kept.
pub(super) fn again(cached: &Cached, permit: ModelPermit) -> Response {
    let mut headers = cached.headers.clone();
    describe(&mut headers, &permit, [].into_iter());
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

fn metered(dialect: Dialect, asked: &Asked<'_>, kept: Option<usize>) -> Box<Meter> {
    let meter = Meter::new(dialect, asked.operation);
    Box::new(match kept {
        Some(bytes) => meter.keeping(bytes),
        None => meter,
    })
}

fn stream_headers(headers: &mut HeaderMap, delivery: Delivery) {
    let kind = if delivery == Delivery::Array { "application/json" } else { "text/event-stream" };
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
}

/// What the agent's owner may want to know of the call.
fn describe<'w>(headers: &mut HeaderMap, permit: &'w ModelPermit, more: impl Iterator<Item = &'w str>) {
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::try_from(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    set("x-preloop-model", &permit.call().model.alias);
    set("x-preloop-usage-id", &permit.call().id.to_string());
    let all: Vec<&str> = permit.warnings().iter().map(String::as_str).chain(more).collect();
    if all.is_empty() {
        return;
    }
    let joined: String = all.join(" | ").chars().filter(|c| (' '..='~').contains(c)).take(WARNING_BYTES_MAX).collect();
    set("x-preloop-warning", &joined);
}
