//! Finds out how a server wants to be spoken to, and settles it.

use std::sync::{Arc, atomic::Ordering};

use preloop_types::config::{RawJson, ServerFacts};
use serde::Deserialize;
use serde_json::{Map, Value, value::RawValue};
use tokio_util::sync::CancellationToken;

use crate::protocol::{Detached, Era, Notification, Version, meta};
use crate::splice::{self, Members};

use super::{
    UpstreamError,
    error::Failure,
    exchange::Exchange,
    gate,
    http::{Http, Outgoing, result_of},
    params::{Ask, Leg},
    peer::{Peer, Side, Wire},
    pipe::Pipe,
    switchboard::Switchboard,
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered<'a> {
    supported_versions: Vec<String>,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    server_info: Option<&'a RawValue>,
    instructions: Option<String>,
    #[serde(borrow, rename = "_meta")]
    meta: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialized<'a> {
    protocol_version: String,
    #[serde(borrow)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow)]
    server_info: Option<&'a RawValue>,
    instructions: Option<String>,
}

/// Asks a server whether it speaks the modern era. `Ok(None)` when it says it does not.
pub(super) async fn discover(
    wire: Wire,
    side: Side<'_>,
    board: Arc<Switchboard>,
    stop: CancellationToken,
) -> Result<Option<Peer>, Failure> {
    let id = side.ids.fetch_add(1, Ordering::Relaxed);
    let capabilities = gate::capabilities(&Map::new(), &side.server.settings, false);
    let leg = Leg { version: Version::V2026_07_28, progress: None, capabilities: &capabilities, log_level: None };
    let ask = Ask::other("server/discover", None).ok_or(UpstreamError::Timeout { sent: false })?;
    let outgoing = Outgoing::new(id, ask.method, &ask.params(&leg), ask.mirrored(&[]));
    let nobody = Detached::default();
    let mut exchange = Exchange::new(&nobody, side.server, side.changes, id);
    let response = match &wire {
        Wire::Http(http) => http.exchange(outgoing, None, &mut exchange).await,
        Wire::Pipe(pipe) => pipe.exchange(outgoing, None, &mut exchange).await,
    };
    let response = match response {
        Ok(response) => response,
        // Every way in which servers of the legacy era turn an unknown method down.
        Err(Failure::Error(UpstreamError::Http(status))) if !matches!(status, 403 | 429) => return Ok(None),
        Err(Failure::Error(UpstreamError::Rpc(_) | UpstreamError::Protocol(_))) => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let Ok(result) = response.result else { return Ok(None) };
    let Ok(found) = serde_json::from_str::<Discovered<'_>>(result.get()) else { return Ok(None) };
    let modern = |version: &String| Version::parse(version).filter(|version| version.era() == Era::Modern);
    let Some(version) = found.supported_versions.iter().filter_map(modern).max() else { return Ok(None) };
    let server_info = found.server_info.or_else(|| Members::of(found.meta?)?.get(meta::SERVER_INFO));
    let facts = facts(version, found.capabilities, server_info, found.instructions);
    Ok(Some(Peer::new(wire, version, facts, board, stop)))
}

/// Opens a session of the legacy era over HTTP.
pub(super) async fn initialize_http(
    http: Http,
    side: Side<'_>,
    declared: &Map<String, Value>,
    board: Arc<Switchboard>,
    stop: CancellationToken,
) -> Result<Peer, Failure> {
    let nobody = Detached::default();
    let outgoing = initialize(side, declared);
    let mut exchange = Exchange::new(&nobody, side.server, side.changes, outgoing.id);
    let (response, session) = http.initialize(outgoing, &mut exchange).await?;
    let result = result_of(response)?;
    let (version, facts) = settled(&result)?;
    let http = Arc::new(http.settled(version, session));
    http.tell(initialized()).await?;
    Ok(Peer::new(Wire::Http(http), version, facts, board, stop))
}

/// Opens a session of the legacy era over a pipe.
pub(super) async fn initialize_pipe(
    pipe: Arc<Pipe>,
    side: Side<'_>,
    declared: &Map<String, Value>,
    board: Arc<Switchboard>,
    stop: CancellationToken,
) -> Result<Peer, Failure> {
    let nobody = Detached::default();
    let outgoing = initialize(side, declared);
    let mut exchange = Exchange::new(&nobody, side.server, side.changes, outgoing.id);
    let result = result_of(pipe.exchange(outgoing, None, &mut exchange).await?)?;
    let (version, facts) = settled(&result)?;
    pipe.tell(initialized()).await?;
    Ok(Peer::new(Wire::Pipe(pipe), version, facts, board, stop))
}

fn initialize(side: Side<'_>, declared: &Map<String, Value>) -> Outgoing {
    let id = side.ids.fetch_add(1, Ordering::Relaxed);
    let capabilities = gate::capabilities(declared, &side.server.settings, false);
    let params = format!(
        r#"{{"protocolVersion":"{}","capabilities":{capabilities},"clientInfo":{{"name":"preloop","version":"{}"}}}}"#,
        Version::NEWEST_LEGACY.as_str(),
        env!("CARGO_PKG_VERSION"),
    );
    Outgoing::new(id, "initialize", &params, http::HeaderMap::new())
}

fn initialized() -> String {
    Notification { method: "notifications/initialized".to_owned(), params: None }.to_json()
}

fn settled(result: &RawValue) -> Result<(Version, ServerFacts), UpstreamError> {
    let found: Initialized<'_> = serde_json::from_str(result.get())
        .map_err(|error| UpstreamError::Protocol(format!("the answer to `initialize`: {error}")))?;
    let version =
        Version::parse(&found.protocol_version).filter(|version| version.era() == Era::Legacy).ok_or_else(|| {
            UpstreamError::Protocol(format!(
                "the server wants revision `{}`, which is not known",
                found.protocol_version
            ))
        })?;
    Ok((version, facts(version, found.capabilities, found.server_info, found.instructions)))
}

fn facts(
    version: Version,
    capabilities: Option<&RawValue>,
    server_info: Option<&RawValue>,
    instructions: Option<String>,
) -> ServerFacts {
    const INSTRUCTIONS_MAX: usize = 16 * 1024;
    let keep = |raw: Option<&RawValue>| {
        let raw = raw.filter(|raw| raw.get().len() <= 64 * 1024);
        RawJson(raw.map_or_else(|| (*splice::raw("{}")).to_owned(), ToOwned::to_owned))
    };
    ServerFacts {
        protocol_version: version.as_str().to_owned(),
        server_info: keep(server_info),
        capabilities: keep(capabilities),
        instructions: instructions.map(|text| text.chars().take(INSTRUCTIONS_MAX).collect()),
    }
}
