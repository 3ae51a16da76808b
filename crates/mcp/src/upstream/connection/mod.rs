use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use preloop_types::{
    AccountId, Hash, KeyId,
    config::{Auth, PinMode, Server, ServerStatus},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::splice;
use crate::{
    catalogue::{self, Facts, TaskSupport, ToolFacts},
    protocol::{Client, Era, Version},
};

mod lists;

pub(super) use lists::Cause;
pub use lists::Offered;

use lists::keep;

use super::{
    Health, Shared, UpstreamError,
    breaker::Breaker,
    changes::Changes,
    credential::Credential,
    error::Failure,
    fit::fit,
    health::Pulse,
    http::result_of,
    oauth,
    params::Ask,
    peer::Peer,
    peers::{Owner, Peers},
    rounds::{self, ROUNDS_MAX, Turn},
};

/// Longest wait for a free slot of `max_concurrency`.
const SLOT_WAIT: Duration = Duration::from_secs(10);

/// Everything about one configured server: its relationships, health, pinned tools.
pub(super) struct Connection {
    pub(super) account: AccountId,
    pub(super) server: Arc<Server>,
    pub(super) shared: Arc<Shared>,
    credential: Arc<Credential>,
    peers: Peers,
    changes: Arc<Changes>,
    breaker: Breaker,
    slots: Semaphore,
    pulse: Pulse,
    facts: ArcSwapOption<Facts>,
    scanning: AsyncMutex<()>,
    /// When and why the last scan failed, if it did.
    unread: Mutex<Option<(Instant, String)>>,
    offered: Mutex<Option<(u64, Instant, Arc<Offered>)>>,
    stop: CancellationToken,
}

/// A request on its way, fitted to whatever relationship it goes out on.
struct Job<'a> {
    ask: Ask<'a>,
    tool: Option<(&'a str, &'a Hash)>,
    client: &'a dyn Client,
    owner: Owner,
    sent: AtomicBool,
}

impl Connection {
    pub(super) fn new(
        account: AccountId,
        server: Arc<Server>,
        shared: Arc<Shared>,
    ) -> Result<Arc<Self>, UpstreamError> {
        let stop = shared.stop.child_token();
        let changes = Arc::new(Changes::new(account, server.id, shared.events.clone()));
        let credential = Arc::new(Credential::new(
            shared.store.clone(),
            shared.oauth_client(&server)?,
            account,
            server.id,
            server.auth.clone(),
        ));
        let peers = Peers::new(
            account,
            Arc::clone(&server),
            Arc::clone(&shared),
            Arc::clone(&credential),
            Arc::clone(&changes),
            stop.clone(),
        );
        let connection = Arc::new(Self {
            account,
            slots: Semaphore::new(server.settings.max_concurrency.max(1) as usize),
            server,
            shared,
            credential,
            peers,
            changes,
            breaker: Breaker::default(),
            pulse: Pulse::default(),
            facts: ArcSwapOption::empty(),
            scanning: AsyncMutex::new(()),
            unread: Mutex::new(None),
            offered: Mutex::new(None),
            stop: stop.clone(),
        });
        tokio::spawn(keep(Arc::downgrade(&connection), Arc::clone(&connection.changes), stop));
        Ok(connection)
    }

    /// Calls a tool as pinned under `definition`.
    pub(super) async fn call_tool(
        &self,
        name: &str,
        definition: &Hash,
        arguments: &RawValue,
        meta: Option<&RawValue>,
        owner: Owner,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, UpstreamError> {
        let job = Job {
            ask: Ask::tool(name, arguments, meta),
            tool: Some((name, definition)),
            client,
            owner,
            sent: AtomicBool::new(false),
        };
        fit(
            self.run(job, Duration::from_millis(self.server.settings.call_ms)).await?,
            self.server.settings.max_response_bytes,
        )
    }

    /// Reads what `params` name.
    pub(super) async fn read(
        &self,
        method: &str,
        params: &RawValue,
        meta: Option<&RawValue>,
        owner: Owner,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, UpstreamError> {
        let ask = Ask::other(method, Some(params))
            .ok_or_else(|| UpstreamError::Config(format!("the params of `{method}` are not an object")))?;
        let job = Job { ask: ask.with_meta(meta), tool: None, client, owner, sent: AtomicBool::new(false) };
        fit(
            self.run(job, Duration::from_millis(self.server.settings.call_ms)).await?,
            self.server.settings.max_response_bytes,
        )
    }

    /// Makes any other request.
    pub(super) async fn request(
        &self,
        method: &str,
        params: Option<&RawValue>,
        owner: Owner,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, UpstreamError> {
        if matches!(method, "resources/subscribe" | "resources/unsubscribe") {
            return self.watch(method, params).await;
        }
        let ask = Ask::other(method, params)
            .ok_or_else(|| UpstreamError::Config(format!("the params of `{method}` are not an object")))?;
        let job = Job { ask, tool: None, client, owner, sent: AtomicBool::new(false) };
        self.run(job, Duration::from_millis(self.server.settings.call_ms)).await
    }

    /// Everything a request passes: health, capacity, pin, deadline, cancellation. What rarely happens
    /// on the way is boxed, so that the future of an ordinary call stays small.
    async fn run(&self, mut job: Job<'_>, within: Duration) -> Result<Arc<RawValue>, UpstreamError> {
        if self.server.status == ServerStatus::Disabled {
            return Err(UpstreamError::Config(format!("server `{}` is disabled", self.server.name)));
        }
        let started = Instant::now();
        self.breaker.admit(started).map_err(UpstreamError::CircuitOpen)?;
        let probe = Probe(Some(&self.breaker));
        let cancelled = job.client.cancelled();
        let client_gone = cancelled.cancelled();
        let outcome = {
            let work = self.work(&mut job);
            tokio::select! {
                biased;
                outcome = work => Some(outcome),
                () = client_gone => None,
                () = tokio::time::sleep(within) => Some(Err(UpstreamError::Timeout { sent: true })),
            }
        };
        let outcome = match outcome {
            Some(Err(UpstreamError::Timeout { .. })) => {
                Err(UpstreamError::Timeout { sent: job.sent.load(Ordering::Acquire) })
            }
            Some(outcome) => outcome,
            None => Err(UpstreamError::Cancelled),
        };
        probe.done();
        self.note(&outcome, started);
        if let Err(error @ UpstreamError::NeedsAuth(_)) = &outcome {
            let why = self.explain(error);
            Box::pin(catalogue::note_failure(&self.shared.store, self.account, &self.server, &why)).await;
        }
        if let Err(UpstreamError::InsufficientScope(scopes)) = &outcome
            && matches!(self.server.auth, Auth::OAuth(_))
        {
            let noted = Box::pin(oauth::want(&self.shared.store, self.account, self.server.id, scopes)).await;
            if let Err(error) = noted {
                tracing::warn!(server = %self.server.name, %error, "wanted scopes could not be noted");
            }
        }
        outcome
    }

    fn note(&self, outcome: &Result<Arc<RawValue>, UpstreamError>, started: Instant) {
        match outcome {
            Ok(_) => {
                self.breaker.succeeded();
                self.pulse.ok(started.elapsed(), self.shared.store.now());
            }
            Err(error) if error.is_failure_of_server() => {
                self.breaker.failed(Instant::now());
                self.pulse.error(error.to_string());
            }
            // It answered, if only with an error.
            Err(UpstreamError::Rpc(_)) => self.breaker.succeeded(),
            Err(_) => self.breaker.abandoned(),
        }
    }

    async fn work(&self, job: &mut Job<'_>) -> Result<Arc<RawValue>, UpstreamError> {
        let _slot = match self.slots.try_acquire() {
            Ok(slot) => slot,
            Err(_) => tokio::time::timeout(SLOT_WAIT, self.slots.acquire())
                .await
                .ok()
                .and_then(Result::ok)
                .ok_or(UpstreamError::Busy(self.server.settings.max_concurrency))?,
        };
        for _ in 0..=ROUNDS_MAX {
            let (peer, result) = self.deliver(job).await?;
            let turn =
                if peer.version.era() == Era::Modern { rounds::turn(&result)? } else { legacy_turn(job, &result) };
            match turn {
                Turn::Complete => return Ok(result),
                Turn::InputRequired { requests, state } => {
                    let answers = Box::pin(rounds::answers(&self.server, job.client, requests)).await?;
                    job.ask.extra = vec![("inputResponses", answers)];
                    job.ask.extra.extend(state.map(|state| ("requestState", state)));
                }
                Turn::Task(task) => {
                    let following = rounds::follow(&peer, self.peers.side(), task, job.client, job.owner.key());
                    return Box::pin(following).await;
                }
            }
        }
        Err(UpstreamError::Protocol(format!("the server asked for input more than {ROUNDS_MAX} times")))
    }

    /// Sends the request and gets its result, opening or renewing what has to be.
    async fn deliver(&self, job: &mut Job<'_>) -> Result<(Arc<Peer>, Arc<RawValue>), UpstreamError> {
        let (mut reopened, mut renewed) = (false, false);
        loop {
            let generation = self.credential.generation();
            let (peer, sent) = match self.peers.get(&job.owner, job.client).await {
                Ok(peer) => {
                    let sent = self.send(&peer, job).await;
                    (Some(peer), sent)
                }
                Err(failure) => (None, Err(failure)),
            };
            match (sent, peer) {
                (Ok(result), Some(peer)) => return Ok((peer, result)),
                (Err(Failure::SessionGone), Some(peer)) if !reopened => {
                    reopened = true;
                    self.peers.lose(&peer);
                }
                (Err(Failure::Unauthorized), _) if !renewed => {
                    renewed = true;
                    Box::pin(self.credential.renew(generation)).await?;
                }
                (Err(failure), peer) => {
                    if let (Some(peer), Failure::Error(UpstreamError::Http(400 | 404 | 405))) = (peer, &failure) {
                        // It may have become another server; find out anew next time.
                        self.peers.lose(&peer);
                    }
                    return Err(failure.into());
                }
                (Ok(_), None) => return Err(UpstreamError::Timeout { sent: false }),
            }
        }
    }

    async fn send(&self, peer: &Arc<Peer>, job: &mut Job<'_>) -> Result<Arc<RawValue>, Failure> {
        let facts = match job.tool {
            None => None,
            Some((name, definition)) => Some(self.pinned(name, definition).await?),
        };
        if let Some(facts) = &facts
            && facts.task == TaskSupport::Required
            && peer.version == Version::V2025_11_25
            && job.ask.extra.is_empty()
        {
            job.ask.extra = vec![("task", splice::raw(json!({ "ttl": self.server.settings.call_ms }).to_string()))];
        }
        let headers = facts.as_ref().map_or(&[][..], |facts| &facts.headers);
        job.sent.store(true, Ordering::Release);
        let response = peer.send(self.peers.side(), &job.ask, headers, job.client, job.owner.key()).await?;
        Ok(result_of(response)?)
    }

    /// The facts of a tool, if it is what was pinned and what the caller was admitted for. Reads
    /// the server's list first whenever it may have changed.
    async fn pinned(&self, name: &str, definition: &Hash) -> Result<Arc<ToolFacts>, UpstreamError> {
        if self.changes.tools_stale() {
            // Boxed: a scan makes requests of its own.
            Box::pin(self.scan(Cause::Doubt)).await?;
        }
        let facts = match self.facts.load_full() {
            Some(facts) => facts,
            None => Box::pin(self.load_facts()).await?,
        };
        if let Some(tool) = self.callable(&facts, name, definition) {
            return Ok(tool);
        }
        // Somebody may have accepted it, perhaps on another node.
        let facts = Box::pin(self.load_facts()).await?;
        self.callable(&facts, name, definition).ok_or_else(|| UpstreamError::DefinitionChanged(name.to_owned()))
    }

    fn callable(&self, facts: &Facts, name: &str, definition: &Hash) -> Option<Arc<ToolFacts>> {
        let heeded = self.server.settings.pin != PinMode::Off;
        facts.get(name).filter(|tool| tool.hash == *definition && (tool.usable || !heeded)).cloned()
    }

    async fn load_facts(&self) -> Result<Arc<Facts>, UpstreamError> {
        let tools = self.shared.store.account(self.account).tools().await?;
        let facts = Arc::new(catalogue::facts(self.server.id, &tools));
        self.facts.store(Some(Arc::clone(&facts)));
        Ok(facts)
    }

    /// The store's tools changed without a scan: a person accepted one.
    pub(super) fn reload_facts(&self) {
        self.facts.store(None);
    }

    pub(super) fn health(&self) -> Health {
        let stderr = self.peers.stderr.text();
        Health {
            breaker: self.breaker.state(Instant::now()),
            failures: self.breaker.failures(),
            last_error: self.pulse.last_error(),
            last_ok_at: self.pulse.last_ok_at(),
            p50: self.pulse.p50(),
            protocol_versions: self.peers.versions(),
            sessions: self.peers.sessions(),
            stderr: (!stderr.is_empty()).then_some(stderr),
        }
    }

    pub(super) fn close(&self) {
        self.stop.cancel();
        self.peers.close();
    }
}

/// Gives a half-open breaker's slot back if the caller goes away in the middle.
struct Probe<'a>(Option<&'a Breaker>);

impl Probe<'_> {
    fn done(mut self) {
        self.0 = None;
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        if let Some(breaker) = self.0 {
            breaker.abandoned();
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

/// A legacy server answers a call made as a task with the task.
fn legacy_turn(job: &Job<'_>, result: &RawValue) -> Turn {
    #[derive(Deserialize)]
    struct Created {
        task: rounds::Task,
    }
    if !job.ask.extra.iter().any(|(name, _)| *name == "task") {
        return Turn::Complete;
    }
    // A server may also answer at once.
    serde_json::from_str::<Created>(result.get()).map_or(Turn::Complete, |created| Turn::Task(created.task))
}

/// Whose relationship a request of this credential belongs to.
pub(super) fn owner(who: &preloop_types::Principal, client: &dyn Client) -> Owner {
    let key: KeyId = who.key;
    Owner::Agent { key, run: who.session, conversation: client.conversation().map(Arc::from) }
}
