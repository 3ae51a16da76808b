//! One provider, asked once or again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use preloop_dialects::{
    Dialect, Operation, embeddings,
    ir::{self, Unsupported},
    scan::{self, Edits},
    translate::{self, BadRequest, Names, Target},
};
use preloop_egress::{Chunks, LeanClient, Policy};
use preloop_govern::ModelPermit;
use preloop_types::{Model, OnUnsupported};
use tokio::time::timeout;

use super::{
    Asked,
    beginning::{Beginning, beginning, document},
};
use crate::{
    Gateway,
    carrier::is_carried_in,
    failure::Failure,
    models,
    providers::{self, Fault, Outgoing, Profile, Retry, Secrets, Upstream},
    secrets,
};

/// Longest wait for the head of an answer.
const FIRST_BYTE_WITHIN: Duration = Duration::from_mins(2);
/// Tries of one provider beside the first.
const RETRIES_MAX: u32 = 2;
const BACKOFF: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(4);
/// Longest refusal that is read.
const REFUSAL_BYTES_MAX: usize = 256 * 1024;

/// A request as one model's provider wants it.
pub(super) struct Prepared {
    pub(super) model: Arc<Model>,
    pub(super) profile: &'static Profile,
    /// The dialect it is asked in.
    pub(super) dialect: Dialect,
    pub(super) upstream: Upstream,
    pub(super) method: Method,
    pub(super) body: Vec<Bytes>,
    /// What it is asked with, and nobody else may see.
    pub(super) secrets: Arc<Secrets>,
    /// What was translated, and how to read the answer; `None` where agent and provider speak alike.
    pub(super) translated: Option<Translated>,
}

pub(super) struct Translated {
    pub(super) work: Work,
    /// What was changed or left out.
    pub(super) warnings: Vec<String>,
}

/// What was asked for, in no dialect.
pub(super) enum Work {
    Generate { request: Arc<ir::Request>, names: Names },
    Embed(embeddings::Ask),
}

/// A provider's answer that is none of its refusals.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// The beginning of its body.
    pub(super) first: Bytes,
    pub(super) sent: Instant,
    /// How often a provider was asked until then.
    pub(super) attempts: u32,
}

impl Refused {
    /// Whether asking again could cost more than was set aside: the provider may have worked on the request
    /// and charge for it, and a hard budget has set aside one answer.
    pub(super) fn may_cost_twice(&self, permit: &ModelPermit) -> bool {
        self.fault.may_have_arrived && self.fault.provider_status.is_none() && permit.reserved().is_some()
    }
}

/// A model that did not answer.
pub(super) struct Refused {
    pub(super) fault: Fault,
    /// The provider's own words, where its dialect is the agent's and they are meant for it.
    pub(super) verbatim: Option<Bytes>,
}

/// Writes the request for `model`.
pub(super) async fn prepare(gateway: &Gateway, asked: &Asked<'_>, model: &Arc<Model>) -> Result<Prepared, Failure> {
    let provider = providers::provider(&model.provider)
        .ok_or_else(|| Failure::from(&providers::ProviderError::Unknown(model.provider.clone())))?;
    let spoken = provider.dialects(model, asked.operation);
    let agent = asked.ask.dialect;
    let dialect = if spoken.contains(&agent) { Some(agent) } else { spoken.first().copied() };
    let dialect = dialect.ok_or_else(|| {
        let what = asked.operation.as_str().replace('_', " ");
        Failure::new(400, "unsupported_feature", format!("model `{}` cannot {what}", model.alias))
    })?;
    let secrets = gateway.secrets(asked.who.account, model).await?;
    let upstream = provider.request(&Outgoing {
        model,
        secrets: &secrets,
        dialect,
        operation: asked.operation,
        delivery: asked.delivery_from(dialect),
        method: asked.in_path.method.as_deref().filter(|_| dialect == agent),
        agent_headers: (dialect == agent).then_some(asked.headers),
    });
    let upstream = upstream.map_err(|error| {
        tracing::warn!(model = %model.alias, %error, "a model cannot be asked as it is configured");
        Failure::from(&error)
    })?;
    // What another provider sealed for this agent is only ours to open.
    let carried = asked.operation == Operation::Generate && agent != Dialect::Chat && is_carried_in(&asked.body);
    let (body, translated) = if dialect == agent && !carried {
        (forwarded(asked, model, &upstream), None)
    } else {
        let (body, translated) = translated(gateway, asked, model, dialect).await?;
        (edited(body, dialect, asked.operation, &upstream)?, Some(translated))
    };
    let profile = provider.profile();
    Ok(Prepared {
        model: model.clone(),
        profile,
        dialect,
        upstream,
        method: asked.method.clone(),
        body,
        secrets,
        translated,
    })
}

/// The agent's own bytes, but for what the provider wants otherwise.
fn forwarded(asked: &Asked<'_>, model: &Model, upstream: &Upstream) -> Vec<Bytes> {
    let edits = &upstream.edits;
    let renamed = edits.model && asked.facts.model.as_deref() != Some(model.identifier.as_str());
    let added = asked.added.iter().map(|(name, json, _)| (*name, *json));
    let members: Vec<_> = edits.members.iter().copied().chain(added).collect();
    asked.facts.rewrite(
        &asked.body,
        &Edits {
            model: renamed.then_some(&model.identifier),
            include_usage: edits.include_usage && asked.streams(),
            members: &members,
            remove: edits.remove,
        },
    )
}

async fn translated(
    gateway: &Gateway,
    asked: &Asked<'_>,
    model: &Model,
    dialect: Dialect,
) -> Result<(Bytes, Translated), Failure> {
    let unsupported = |error: Unsupported| {
        let why = error.to_string();
        Failure { param: Some(error.field), ..Failure::new(400, "unsupported_feature", why) }
    };
    let bad = |bad: BadRequest| Failure { param: bad.field, ..Failure::new(400, "invalid_body", bad.why) };
    let quirks = providers::quirks(model).map_err(|error| Failure::from(&error))?;
    let target = Target {
        model: &model.identifier,
        max_output: models::limits(model).max_output,
        quirks: &quirks,
        drop_unsupported: model.settings.on_unsupported == OnUnsupported::Drop,
    };
    if asked.operation == Operation::Embed {
        let ask = embeddings::decode_request(asked.ask.dialect, &asked.body).map_err(bad)?;
        let (body, warnings) = embeddings::encode_request(dialect, &ask, &target).map_err(unsupported)?;
        return Ok((body.into(), Translated { work: Work::Embed(ask), warnings }));
    }
    let carrier = gateway.carrier(asked.who.account).await?;
    let mut request = translate::codec(asked.ask.dialect).decode_request(&asked.body, &*carrier).map_err(bad)?;
    request.stream = asked.streams();
    let encoded = translate::codec(dialect).encode_request(&request, &target).map_err(unsupported)?;
    let work = Work::Generate { request: Arc::new(request), names: encoded.names };
    Ok((encoded.body.into(), Translated { work, warnings: encoded.warnings }))
}

/// A translated body, but for what the provider wants otherwise.
fn edited(body: Bytes, dialect: Dialect, operation: Operation, upstream: &Upstream) -> Result<Vec<Bytes>, Failure> {
    let edits = &upstream.edits;
    if edits.members.is_empty() && edits.remove.is_empty() {
        return Ok(vec![body]);
    }
    let facts = scan::read(dialect, operation, &body).map_err(|bad| Failure::new(500, "internal", bad.why))?;
    Ok(facts.rewrite(&body, &Edits { members: &edits.members, remove: edits.remove, ..Edits::default() }))
}

/// Asks until there is an answer or no use in asking again. Nothing of an answer has been seen before.
pub(super) async fn send(
    gateway: &Gateway,
    prepared: &Prepared,
    permit: &ModelPermit,
    attempts: &mut u32,
) -> Result<Answer, Refused> {
    let mut tries = 0;
    loop {
        *attempts += 1;
        let refused = match once(gateway, prepared, permit).await {
            Ok(mut answer) => {
                answer.attempts = *attempts;
                gateway.breakers().succeeded(prepared.model.id);
                return Ok(answer);
            }
            Err(refused) => refused,
        };
        gateway.breakers().failed(prepared.model.id, &refused.fault);
        let again = match refused.fault.retry {
            Retry::No => false,
            Retry::Once => tries == 0,
            Retry::Yes => tries < RETRIES_MAX,
        };
        if !again || refused.may_cost_twice(permit) {
            return Err(refused);
        }
        let backoff = (BACKOFF * 2u32.pow(tries)).min(BACKOFF_MAX);
        let wait = refused.fault.retry_after.unwrap_or_else(|| backoff.mul_f64(rand::random_range(0.0..1.0)));
        tries += 1;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            _ = permit.halted() => return Err(refused),
        }
    }
}

async fn once(gateway: &Gateway, prepared: &Prepared, permit: &ModelPermit) -> Result<Answer, Refused> {
    let profile = prepared.profile;
    let refused = |fault| Refused { fault, verbatim: None };
    let request = authorized(gateway, prepared).await.map_err(refused)?;
    let client = gateway.client(&prepared.model);
    let sent = Instant::now();
    let answered = tokio::select! {
        answered = timeout(FIRST_BYTE_WITHIN, client.send(request)) => answered,
        halt = permit.halted() => {
            return Err(refused(Fault { retry: Retry::No, ..Fault::of_protocol(profile, halt.reason()) }));
        }
    };
    let response = match answered {
        Err(_) => return Err(refused(Fault::of_waiting(profile, FIRST_BYTE_WITHIN, false))),
        Ok(Err(error)) => return Err(refused(Fault::of_send(profile, &error))),
        Ok(Ok(response)) => response,
    };
    if response.status().is_success() {
        if is_page(response.headers()) {
            return Err(refused(Fault::of_protocol(profile, "it answered with a web page")));
        }
        let (head, mut body) = response.into_parts();
        // As long as nothing of an answer came, it can be asked for again, and the agent told of a failure.
        let (first, begins) = match timeout(FIRST_BYTE_WITHIN, first_piece(&mut body)).await {
            Err(_) => return Err(refused(Fault::of_waiting(profile, FIRST_BYTE_WITHIN, false))),
            Ok(None) => return Err(refused(Fault::of_protocol(profile, "it ended its answer before it began"))),
            Ok(Some(first)) => first,
        };
        if begins == Beginning::Error {
            let whole = [&first[..], &rest_of(body).await].concat();
            return Err(refusal(prepared, &head, document(&whole).to_vec().into()));
        }
        return Ok(Answer { response: Response::from_parts(head, body), first, sent, attempts: 0 });
    }
    let (head, body) = response.into_parts();
    Err(refusal(prepared, &head, rest_of(body).await))
}

/// What a provider said instead of an answer.
fn refusal(prepared: &Prepared, head: &http::response::Parts, body: Bytes) -> Refused {
    let body = secrets::without(body, &prepared.secrets);
    let fault = Fault::of_answer(prepared.profile, head.status.as_u16(), &head.headers, &body);
    let verbatim = fault.verbatim && prepared.translated.is_none();
    Refused { fault, verbatim: verbatim.then_some(body) }
}

/// The rest of a refusal, as far as it comes.
async fn rest_of(body: Incoming) -> Bytes {
    let body = timeout(FIRST_BYTE_WITHIN, Limited::new(body, REFUSAL_BYTES_MAX).collect()).await;
    body.ok().and_then(Result::ok).map(http_body_util::Collected::to_bytes).unwrap_or_default()
}

/// What comes first, until it can be told from an error; `None` if the answer ends or breaks before it begins.
async fn first_piece(body: &mut Incoming) -> Option<(Bytes, Beginning)> {
    let mut first = Bytes::new();
    loop {
        let piece = body.frame().await.and_then(Result::ok);
        let Some(piece) = piece else { return (!first.is_empty()).then_some((first, Beginning::Answer)) };
        let Some(bytes) = piece.into_data().ok().filter(|bytes| !bytes.is_empty()) else { continue };
        first = if first.is_empty() { bytes } else { [first, bytes].concat().into() };
        match beginning(&first) {
            Beginning::Unclear => {}
            begins => return Some((first, begins)),
        }
    }
}

async fn authorized(gateway: &Gateway, prepared: &Prepared) -> Result<Request<Chunks>, Fault> {
    let upstream = &prepared.upstream;
    let mut request = Request::new(());
    *request.method_mut() = prepared.method.clone();
    *request.uri_mut() = upstream.uri.clone();
    *request.headers_mut() = upstream.headers.clone();
    let (mut head, ()) = request.into_parts();
    let authorized =
        gateway.authorizer().authorize(&upstream.credential, &mut head, &prepared.body, gateway.now()).await;
    authorized.map_err(|error| {
        tracing::warn!(model = %prepared.model.alias, %error, "no credential for a model");
        Fault { status: error.status(), code: error.code(), ..Fault::of_protocol(prepared.profile, "no credential") }
    })?;
    Ok(Request::from_parts(head, Chunks::from(prepared.body.clone())))
}

fn is_page(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    kind.is_some_and(|kind| kind.starts_with("text/html"))
}

/// What a model may reach, and how long a connection may take.
pub(crate) const fn policy(allow_private: bool) -> Policy {
    Policy {
        allow_private,
        connect_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(90),
        redirects: preloop_egress::Redirects::None,
    }
}

/// The client for a model.
pub(crate) type Client = LeanClient;
