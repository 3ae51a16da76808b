//! The relationships a connection keeps with its server, made when first needed.
//!
//! A server may speak both eras. Each agent is served in its own where the server can, because
//! that is where nothing has to be bridged: what a server asks of an agent travels differently in
//! the two.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use preloop_store::SecretOwner;
use preloop_types::{
    KeyId, SessionId,
    config::{Server, Transport},
};
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::{sync::Mutex, time::Instant};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::protocol::{Client, Detached, Era, Version};

use super::{
    Shared, UpstreamError,
    changes::Changes,
    credential::Credential,
    error::Failure,
    fit, gate, handshake,
    http::Http,
    listen,
    peer::{Peer, Side, Wire},
    restarts::Restarts,
    sse, stdio,
    switchboard::Switchboard,
};

/// Sessions with one server at once; the one unused longest gives way.
const SESSIONS_MAX: usize = 256;

/// Longest wait for the answer to `server/discover`.
const DISCOVERY_WAIT: Duration = Duration::from_secs(10);

/// Whose session with a server that keeps sessions.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Owner {
    /// Ours: lists, subscriptions.
    Control,
    /// One agent's conversation.
    Agent { key: KeyId, run: Option<SessionId>, conversation: Option<Arc<str>> },
}

impl Owner {
    pub(super) fn key(&self) -> Option<KeyId> {
        match self {
            Owner::Control => None,
            Owner::Agent { key, .. } => Some(*key),
        }
    }
}

/// What is known of whether the server speaks an era.
#[derive(Debug, Default)]
struct Known(AtomicU8);

impl Known {
    fn no(&self) {
        self.0.store(1, Ordering::Release);
    }

    fn unknown(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn is_no(&self) -> bool {
        self.0.load(Ordering::Acquire) == 1
    }
}

pub(super) struct Peers {
    account: preloop_types::AccountId,
    pub(super) server: Arc<Server>,
    shared: Arc<Shared>,
    pub(super) credential: Arc<Credential>,
    pub(super) changes: Arc<Changes>,
    pub(super) ids: AtomicU64,
    modern: ArcSwapOption<Peer>,
    /// The legacy relationship, where the server opens no sessions or is reached by a pipe.
    common: ArcSwapOption<Peer>,
    sessions: DashMap<Owner, Arc<Peer>>,
    not_modern: Known,
    not_legacy: Known,
    /// Whether the server was ever found to open sessions.
    sessional: AtomicBool,
    connecting: Mutex<()>,
    restarts: Restarts,
    pub(super) stderr: Arc<stdio::Tail>,
    pub(super) watched: listen::Watched,
    stop: CancellationToken,
}

impl Peers {
    pub(super) fn new(
        account: preloop_types::AccountId,
        server: Arc<Server>,
        shared: Arc<Shared>,
        credential: Arc<Credential>,
        changes: Arc<Changes>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            account,
            server,
            shared,
            credential,
            changes,
            ids: AtomicU64::new(1),
            modern: ArcSwapOption::empty(),
            common: ArcSwapOption::empty(),
            sessions: DashMap::new(),
            not_modern: Known::default(),
            not_legacy: Known::default(),
            sessional: AtomicBool::new(false),
            connecting: Mutex::new(()),
            restarts: Restarts::default(),
            stderr: Arc::default(),
            watched: listen::Watched::default(),
            stop,
        }
    }

    pub(super) fn side(&self) -> Side<'_> {
        Side { server: &self.server, changes: &self.changes, ids: &self.ids }
    }

    /// The relationship for a request of `owner` made through `client`.
    pub(super) async fn get(&self, owner: &Owner, client: &dyn Client) -> Result<Arc<Peer>, Failure> {
        let want = match owner {
            Owner::Control => Era::Modern,
            Owner::Agent { .. } => client.version().era(),
        };
        if let Some(peer) = self.existing(want, owner) {
            return Ok(peer);
        }
        // Boxed, here and elsewhere: what rarely happens does not weigh on what always does.
        Box::pin(self.connect(want, owner, client)).await
    }

    async fn connect(&self, want: Era, owner: &Owner, client: &dyn Client) -> Result<Arc<Peer>, Failure> {
        // Sessions of several agents may be opened side by side; anything else is made once.
        let one_more = self.sessional.load(Ordering::Acquire) && *owner != Owner::Control;
        let _one = if one_more { None } else { Some(self.connecting.lock().await) };
        if let Some(peer) = self.existing(want, owner) {
            return Ok(peer);
        }
        self.establish(want, owner, client).await
    }

    fn existing(&self, want: Era, owner: &Owner) -> Option<Arc<Peer>> {
        let order = match want {
            Era::Modern if !self.not_modern.is_no() => [Era::Modern, Era::Modern],
            Era::Legacy if !self.not_legacy.is_no() => [Era::Legacy, Era::Legacy],
            _ => [Era::Modern, Era::Legacy],
        };
        order.into_iter().find_map(|era| match era {
            Era::Modern => self.modern.load_full().filter(|peer| peer.is_open()),
            Era::Legacy => match self.common.load_full().filter(|peer| peer.is_open()) {
                Some(peer) => Some(peer),
                None => self.sessions.get(owner).map(|peer| {
                    peer.touch();
                    Arc::clone(&peer)
                }),
            },
        })
    }

    async fn establish(&self, want: Era, owner: &Owner, client: &dyn Client) -> Result<Arc<Peer>, Failure> {
        match &self.server.transport {
            Transport::Stdio { .. } => self.keep(self.spawn().await?, owner),
            Transport::Sse { url } => self.keep(self.open_sse(&parse_url(url)?).await?, owner),
            Transport::StreamableHttp { url } => self.negotiate(want, owner, client, &parse_url(url)?).await,
        }
    }

    /// Tries the wanted era, then the other, then HTTP+SSE.
    async fn negotiate(&self, want: Era, owner: &Owner, client: &dyn Client, url: &Url) -> Result<Arc<Peer>, Failure> {
        let mut last: Option<Failure> = None;
        let other = if want == Era::Modern { Era::Legacy } else { Era::Modern };
        for era in [want, other] {
            match era {
                Era::Modern if self.not_modern.is_no() => {}
                Era::Legacy if self.not_legacy.is_no() => {}
                Era::Modern => {
                    // No answer at all is how some servers treat what they do not know.
                    if let Ok(found) = tokio::time::timeout(DISCOVERY_WAIT, self.discover(url)).await {
                        match found? {
                            Some(peer) => return self.keep(peer, owner),
                            None => self.not_modern.no(),
                        }
                    }
                    if let Some(peer) = self.existing(want, owner) {
                        return Ok(peer);
                    }
                }
                Era::Legacy => match self.initialize(url, owner, client).await {
                    Ok(peer) => return self.keep(peer, owner),
                    Err(failure @ Failure::Error(UpstreamError::Rpc(_) | UpstreamError::Protocol(_))) => {
                        self.not_legacy.no();
                        last = Some(failure);
                    }
                    Err(Failure::Error(UpstreamError::Http(status @ (400 | 404 | 405 | 406)))) => {
                        self.not_legacy.no();
                        last = Some(UpstreamError::Http(status).into());
                    }
                    Err(failure) => return Err(failure),
                },
            }
        }
        // Nothing recognised us; the server may be another one next time.
        self.not_modern.unknown();
        self.not_legacy.unknown();
        match self.open_sse(url).await {
            Ok(peer) => self.keep(peer, owner),
            Err(failure) => Err(last.unwrap_or(failure)),
        }
    }

    async fn discover(&self, url: &Url) -> Result<Option<Peer>, Failure> {
        let http =
            Http::new(self.client()?, url.clone(), Arc::clone(&self.credential), Version::V2026_07_28, self.limit());
        handshake::discover(Wire::Http(Arc::new(http)), self.side(), self.board(), self.stop.child_token()).await
    }

    async fn initialize(&self, url: &Url, owner: &Owner, client: &dyn Client) -> Result<Peer, Failure> {
        let http =
            Http::new(self.client()?, url.clone(), Arc::clone(&self.credential), Version::NEWEST_LEGACY, self.limit());
        let declared = match owner {
            Owner::Control => Map::new(),
            Owner::Agent { .. } => client.info().capabilities.clone(),
        };
        handshake::initialize_http(http, self.side(), &declared, self.board(), self.stop.child_token()).await
    }

    async fn open_sse(&self, url: &Url) -> Result<Peer, Failure> {
        let (board, stop) = (self.board(), self.stop.child_token());
        let guard = stop.clone().drop_guard();
        let pipe =
            sse::open(&self.client()?, url, &self.credential, self.limit(), Arc::clone(&board), stop.clone()).await?;
        let peer = handshake::initialize_pipe(pipe, self.side(), &self.declared(), board, stop).await?;
        guard.disarm();
        Ok(peer)
    }

    /// A child is greeted in the legacy era first: many exit on a first message they do not know.
    async fn spawn(&self) -> Result<Peer, Failure> {
        let Transport::Stdio { command, args, cwd, env } = &self.server.transport else {
            return Err(UpstreamError::Config("not a stdio server".to_owned()).into());
        };
        self.restarts.admit(Instant::now())?;
        let program = stdio::Program {
            command,
            args,
            cwd: cwd.as_deref().or(self.shared.options.working_directory.as_deref()),
            env: self.environment(env).await?,
            limit: self.limit(),
        };
        let (board, stop) = (self.board(), self.stop.child_token());
        let guard = stop.clone().drop_guard();
        let stderr = Arc::clone(&self.stderr);
        let pipe = stdio::spawn(&program, Arc::clone(&board), stderr, stop.clone(), &self.shared.children)?;
        let declared = self.declared();
        let greeted =
            handshake::initialize_pipe(Arc::clone(&pipe), self.side(), &declared, Arc::clone(&board), stop.clone());
        let peer = match greeted.await {
            Ok(peer) => peer,
            Err(failure @ Failure::Error(UpstreamError::Rpc(_))) if pipe.is_open() => {
                handshake::discover(Wire::Pipe(pipe), self.side(), board, stop).await?.ok_or(failure)?
            }
            Err(failure) => return Err(failure),
        };
        guard.disarm();
        Ok(peer)
    }

    async fn environment(
        &self,
        names: &[String],
    ) -> Result<std::collections::BTreeMap<String, SecretString>, UpstreamError> {
        if names.is_empty() {
            return Ok(std::collections::BTreeMap::new());
        }
        let mut secrets = self.shared.store.account(self.account).secrets(SecretOwner::Server(self.server.id)).await?;
        let value = |name: &String| {
            let secret = secrets.remove(&format!("env.{name}"));
            Some((name.clone(), secret?))
        };
        Ok(names.iter().filter_map(value).collect())
    }

    fn keep(&self, peer: Peer, owner: &Owner) -> Result<Arc<Peer>, Failure> {
        let peer = Arc::new(peer);
        let sessional = matches!(&peer.wire, Wire::Http(http) if http.has_session());
        // What is new may differ from what was scanned, unless it is one more session of many.
        let first = match (peer.version.era(), sessional) {
            (Era::Modern, _) => {
                self.modern.store(Some(Arc::clone(&peer)));
                if matches!(peer.wire, Wire::Pipe(_)) {
                    self.not_legacy.no();
                }
                true
            }
            (Era::Legacy, false) => {
                if matches!(peer.wire, Wire::Pipe(_)) {
                    self.not_modern.no();
                }
                self.common.store(Some(Arc::clone(&peer)));
                true
            }
            (Era::Legacy, true) => {
                self.make_room()?;
                if let Some(other) = self.sessions.insert(owner.clone(), Arc::clone(&peer)) {
                    self.retire(&other);
                }
                !self.sessional.swap(true, Ordering::AcqRel)
            }
        };
        if first {
            self.changes.tools_may_have_changed();
        }
        listen::start(&peer, self, matches!(owner, Owner::Control) || !sessional);
        Ok(peer)
    }

    fn make_room(&self) -> Result<(), UpstreamError> {
        if self.sessions.len() < SESSIONS_MAX {
            return Ok(());
        }
        let oldest = self.sessions.iter().filter(|entry| Arc::strong_count(entry.value()) == 1);
        let oldest = oldest.min_by_key(|entry| entry.idle_since()).map(|entry| entry.key().clone());
        let (_, peer) = oldest
            .and_then(|owner| self.sessions.remove(&owner))
            .ok_or(UpstreamError::Busy(u32::try_from(SESSIONS_MAX).unwrap_or(u32::MAX)))?;
        self.retire(&peer);
        Ok(())
    }

    /// Forgets a relationship that turned out to be over.
    pub(super) fn lose(&self, lost: &Arc<Peer>) {
        let same = |held: &Option<Arc<Peer>>| held.as_ref().is_some_and(|held| Arc::ptr_eq(held, lost));
        if same(&self.modern.load_full()) {
            self.modern.store(None);
        }
        if same(&self.common.load_full()) {
            self.common.store(None);
        }
        self.sessions.retain(|_, peer| !Arc::ptr_eq(peer, lost));
        self.changes.tools_may_have_changed();
    }

    /// Ends sessions unused for `idle`.
    pub(super) fn sweep(&self, idle: Duration) {
        let now = Instant::now();
        let stale: Vec<Owner> = self
            .sessions
            .iter()
            .filter(|entry| *entry.key() != Owner::Control && now.duration_since(entry.idle_since()) > idle)
            .filter(|entry| Arc::strong_count(entry.value()) == 1)
            .map(|entry| entry.key().clone())
            .collect();
        for (_, peer) in stale.iter().filter_map(|owner| self.sessions.remove(owner)) {
            self.retire(&peer);
        }
    }

    fn retire(&self, peer: &Peer) {
        if let Wire::Http(http) = &peer.wire {
            let http = Arc::clone(http);
            self.shared.children.spawn(async move {
                let _ = tokio::time::timeout(Duration::from_secs(2), http.end()).await;
            });
        }
    }

    /// Ends every relationship.
    pub(super) fn close(&self) {
        let sessions: Vec<Owner> = self.sessions.iter().map(|entry| entry.key().clone()).collect();
        for (_, peer) in sessions.iter().filter_map(|owner| self.sessions.remove(owner)) {
            self.retire(&peer);
        }
        self.modern.store(None);
        self.common.store(None);
        self.stop.cancel();
    }

    /// A person wants it tried again.
    pub(super) fn forgive(&self) {
        self.restarts.reset();
    }

    /// Our own relationship, if there is one.
    pub(super) fn control(&self) -> Option<Arc<Peer>> {
        let open = |peer: Option<Arc<Peer>>| peer.filter(|peer| peer.is_open());
        open(self.modern.load_full())
            .or_else(|| open(self.common.load_full()))
            .or_else(|| self.sessions.get(&Owner::Control).map(|peer| Arc::clone(&peer)))
    }

    pub(super) fn versions(&self) -> Vec<&'static str> {
        let one =
            |peer: &ArcSwapOption<Peer>| peer.load().as_ref().filter(|peer| peer.is_open()).map(|peer| peer.version);
        let session = self.sessions.iter().next().map(|entry| entry.version);
        [one(&self.common).or(session), one(&self.modern)].into_iter().flatten().map(Version::as_str).collect()
    }

    pub(super) fn sessions(&self) -> usize {
        self.sessions.len()
    }

    fn client(&self) -> Result<preloop_egress::Client, UpstreamError> {
        self.shared.client(&self.server)
    }

    /// Most bytes of one answer that are read: more than are passed on, as results are shortened.
    fn limit(&self) -> usize {
        let read = self.server.settings.max_response_bytes.saturating_mul(fit::READ_FACTOR);
        // The envelope around a result is not counted against it.
        usize::try_from(read).unwrap_or(usize::MAX).saturating_add(4096)
    }

    fn board(&self) -> Arc<Switchboard> {
        Arc::new(Switchboard::new(Arc::clone(&self.changes)))
    }

    fn declared(&self) -> Map<String, Value> {
        gate::shared_capabilities(&self.server.settings)
    }

    /// Nobody in particular.
    pub(super) fn nobody() -> Detached {
        Detached::default()
    }
}

fn parse_url(url: &str) -> Result<Url, UpstreamError> {
    Url::parse(url).map_err(|error| UpstreamError::Config(format!("`{url}` is not a URL: {error}")))
}
