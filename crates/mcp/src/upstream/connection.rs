use std::{
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use preloop_types::{
    AccountId, Hash, KeyId,
    config::{PinMode, Server, ServerStatus},
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::{
    sync::{Mutex as AsyncMutex, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

use crate::{
    catalogue::{self, Facts, ScanReport, TaskSupport, ToolFacts},
    protocol::{Client, Era, Version},
};

use super::{
    Health, Shared, UpstreamError,
    breaker::Breaker,
    changes::Changes,
    credential::Credential,
    error::Failure,
    health::Pulse,
    http::result_of,
    members,
    params::Ask,
    peer::Peer,
    peers::{Owner, Peers},
    rounds::{self, ROUNDS_MAX, Turn},
};

/// Longest wait for a free slot of `max_concurrency`.
const SLOT_WAIT: Duration = Duration::from_secs(10);
/// Most items and bytes of one list that are read.
const LIST_ITEMS_MAX: usize = 2000;
const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;
const LIST_WAIT: Duration = Duration::from_mins(1);
const SESSION_IDLE: Duration = Duration::from_mins(10);
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long read lists are good where the server does not tell of changes.
const OFFERED_FOR: Duration = Duration::from_mins(1);

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

/// What a server offers besides tools; items as they came.
#[derive(Debug, Default)]
pub struct Offered {
    /// `resources/list`.
    pub resources: Vec<Arc<RawValue>>,
    /// `resources/templates/list`.
    pub templates: Vec<Arc<RawValue>>,
    /// `prompts/list`.
    pub prompts: Vec<Arc<RawValue>>,
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
        self.run(job, Duration::from_millis(self.server.settings.call_ms)).await
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

    /// Everything a request passes: health, capacity, pin, deadline, cancellation.
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
            catalogue::note_failure(&self.shared.store, self.account, &self.server, &self.explain(error)).await;
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
                    let answers = rounds::answers(&self.server, job.client, requests).await?;
                    job.ask.extra = vec![("inputResponses", answers)];
                    job.ask.extra.extend(state.map(|state| ("requestState", state)));
                }
                Turn::Task(task) => {
                    return rounds::follow(&peer, self.peers.side(), task, job.client, job.owner.key()).await;
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
                    self.credential.renew(generation).await?;
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
            job.ask.extra = vec![("task", members::raw(json!({ "ttl": self.server.settings.call_ms }).to_string()))];
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
            None => self.load_facts().await?,
        };
        if let Some(tool) = self.callable(&facts, name, definition) {
            return Ok(tool);
        }
        // Somebody may have accepted it, perhaps on another node.
        let facts = self.load_facts().await?;
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

    /// Reads the server's tools and pins them.
    pub(super) async fn scan(&self, cause: Cause) -> Result<ScanReport, UpstreamError> {
        let asked = Instant::now();
        let _one = self.scanning.lock().await;
        if cause == Cause::Doubt {
            if !self.changes.tools_stale() {
                return Ok(ScanReport::default());
            }
            // Whoever waited for a scan that failed does not try again one after the other.
            if let Some((at, why)) = &*self.unread.lock().unwrap_or_else(PoisonError::into_inner)
                && *at > asked
            {
                return Err(UpstreamError::Connect(why.clone()));
            }
        }
        if cause == Cause::Person {
            self.breaker.reset();
            self.peers.forgive();
        }
        self.changes.reading_tools();
        let scanned = self.scan_now().await;
        match &scanned {
            Ok(report) => {
                if report.changed_anything() {
                    self.changes.tools_changed();
                }
            }
            Err(error) => {
                self.changes.tools_unread();
                *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), error.to_string()));
                self.pulse.error(error.to_string());
                catalogue::note_failure(&self.shared.store, self.account, &self.server, &self.explain(error)).await;
            }
        }
        scanned
    }

    async fn scan_now(&self) -> Result<ScanReport, UpstreamError> {
        // The relationship first: whether tools are offered at all is said when it is made.
        let peer = self.control().await?;
        // Connecting casts doubt on the tools, which the list read now removes.
        self.changes.reading_tools();
        let listed =
            if peer.declares("/tools") { self.list("tools/list", "tools", Excess::Refuse).await? } else { Vec::new() };
        let report =
            catalogue::store_scan(&self.shared.store, self.account, &self.server, peer.facts.clone(), listed).await?;
        self.load_facts().await?;
        Ok(report)
    }

    fn explain(&self, error: &UpstreamError) -> (ServerStatus, String) {
        let status =
            if matches!(error, UpstreamError::NeedsAuth(_)) { ServerStatus::NeedsAuth } else { ServerStatus::Error };
        let mut text = error.to_string();
        if matches!(error, UpstreamError::Broken { .. } | UpstreamError::Connect(_))
            && let Some(line) = self.peers.stderr.last_line()
        {
            text = format!("{text}; its last words: {line}");
        }
        (status, text)
    }

    /// Our own relationship with the server.
    async fn control(&self) -> Result<Arc<Peer>, UpstreamError> {
        let nobody = Peers::nobody();
        let mut renewed = false;
        loop {
            let generation = self.credential.generation();
            let connecting = tokio::time::timeout(LIST_WAIT, self.peers.get(&Owner::Control, &nobody));
            match connecting.await.map_err(|_| UpstreamError::Timeout { sent: false })? {
                Ok(peer) => return Ok(peer),
                Err(Failure::Unauthorized) if !renewed => {
                    renewed = true;
                    self.credential.renew(generation).await?;
                }
                Err(failure) => return Err(failure.into()),
            }
        }
    }

    /// A list that others can do without: empty where the server refuses to give it, as many do
    /// with templates, which have no capability of their own.
    async fn list_some(&self, method: &str, member: &str) -> Result<Vec<Arc<RawValue>>, UpstreamError> {
        match self.list(method, member, Excess::Cut).await {
            Err(UpstreamError::Rpc(_)) => Ok(Vec::new()),
            listed => listed,
        }
    }

    /// All pages of a list.
    async fn list(&self, method: &str, member: &str, excess: Excess) -> Result<Vec<Arc<RawValue>>, UpstreamError> {
        let nobody = Peers::nobody();
        let mut items = Vec::new();
        let mut bytes = 0;
        let mut cursor: Option<Arc<RawValue>> = None;
        let until = Instant::now() + LIST_WAIT;
        for _ in 0..LIST_ITEMS_MAX {
            let ask = Ask::other(method, cursor.as_deref())
                .ok_or_else(|| UpstreamError::Protocol("a cursor that is not a string".to_owned()))?;
            let mut job = Job { ask, tool: None, client: &nobody, owner: Owner::Control, sent: AtomicBool::new(false) };
            let page = tokio::time::timeout_at(until, self.deliver(&mut job));
            let (_, page) = page.await.map_err(|_| UpstreamError::Timeout { sent: true })??;
            let next = read_page(method, member, &page, &mut items)?;
            bytes += page.get().len();
            if bytes > LIST_BYTES_MAX || items.len() > LIST_ITEMS_MAX {
                if excess == Excess::Cut {
                    tracing::warn!(server = %self.server.name, method, "the list is too long and was cut");
                    items.truncate(LIST_ITEMS_MAX);
                    return Ok(items);
                }
                return Err(UpstreamError::Protocol(format!(
                    "`{method}` gives more than {LIST_ITEMS_MAX} items or {LIST_BYTES_MAX} bytes"
                )));
            }
            match next {
                Some(next) => cursor = Some(members::raw(json!({ "cursor": next }).to_string())),
                None => return Ok(items),
            }
        }
        Err(UpstreamError::Protocol(format!("`{method}` has no last page")))
    }

    /// What the server offers besides tools; read again when it changed.
    pub(super) async fn offered(&self) -> Result<Arc<Offered>, UpstreamError> {
        let version = self.changes.lists();
        let known = self.offered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((read, until, offered)) = known
            && read == version
            && Instant::now() < until
        {
            return Ok(offered);
        }
        let started = Instant::now();
        self.breaker.admit(started).map_err(UpstreamError::CircuitOpen)?;
        let read = self.read_offered().await;
        match &read {
            Ok(_) => self.breaker.succeeded(),
            Err(error) if error.is_failure_of_server() => self.breaker.failed(Instant::now()),
            Err(_) => self.breaker.abandoned(),
        }
        let (offered, tells) = read?;
        let offered = Arc::new(offered);
        let good_for = if tells { OFFERED_FOR * 10 } else { OFFERED_FOR };
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((version, started + good_for, Arc::clone(&offered)));
        Ok(offered)
    }

    async fn read_offered(&self) -> Result<(Offered, bool), UpstreamError> {
        let peer = self.control().await?;
        let mut offered = Offered::default();
        if peer.declares("/resources") {
            offered.resources = self.list_some("resources/list", "resources").await?;
            offered.templates = self.list_some("resources/templates/list", "resourceTemplates").await?;
        }
        if peer.declares("/prompts") {
            offered.prompts = self.list_some("prompts/list", "prompts").await?;
        }
        let tells = |list: &str| !peer.declares(&format!("/{list}")) || peer.declares(&format!("/{list}/listChanged"));
        Ok((offered, tells("resources") && tells("prompts")))
    }

    async fn watch(&self, method: &str, params: Option<&RawValue>) -> Result<Arc<RawValue>, UpstreamError> {
        #[derive(Deserialize)]
        struct Resource {
            uri: String,
        }
        let params = params.map_or("null", RawValue::get);
        let Resource { uri } = serde_json::from_str(params)
            .map_err(|error| UpstreamError::Config(format!("the params of `{method}`: {error}")))?;
        let peer = self.control().await?;
        let forward = if method == "resources/subscribe" {
            self.peers.watched.add(&uri)?
        } else {
            self.peers.watched.remove(&uri)
        };
        // A modern server hears of it by the subscription that is opened anew.
        if forward && peer.version.era() == Era::Legacy {
            let params = members::raw(json!({ "uri": uri }).to_string());
            let ask = Ask::other(method, Some(&params)).ok_or_else(|| UpstreamError::Config("params".to_owned()))?;
            let nobody = Peers::nobody();
            let mut job = Job { ask, tool: None, client: &nobody, owner: Owner::Control, sent: AtomicBool::new(false) };
            let sent = tokio::time::timeout(LIST_WAIT, self.deliver(&mut job)).await;
            if let Err(error) = sent.map_err(|_| UpstreamError::Timeout { sent: true }).flatten() {
                if method == "resources/subscribe" {
                    self.peers.watched.remove(&uri);
                }
                return Err(error);
            }
        }
        Ok(members::raw("{}"))
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

/// What becomes of a list that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Excess {
    /// What cannot be pinned as a whole is not pinned.
    Refuse,
    /// The beginning is better than nothing.
    Cut,
}

/// Why a scan is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A person wants it.
    Person,
    /// It is time.
    Schedule,
    /// The tools may have changed; unnecessary if somebody else has looked since.
    Doubt,
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

fn read_page(
    method: &str,
    member: &str,
    page: &RawValue,
    items: &mut Vec<Arc<RawValue>>,
) -> Result<Option<String>, UpstreamError> {
    let odd = |what: String| UpstreamError::Protocol(format!("the answer to `{method}`: {what}"));
    let page = members::Members::of(page).ok_or_else(|| odd("not an object".to_owned()))?;
    let list = page.get(member).ok_or_else(|| odd(format!("no `{member}`")))?;
    let list: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(|error| odd(error.to_string()))?;
    items.extend(list.into_iter().map(|item| Arc::from(item.to_owned())));
    match page.get("nextCursor") {
        None => Ok(None),
        Some(next) => serde_json::from_str(next.get()).map_err(|error| odd(error.to_string())),
    }
}

/// Looks after a connection in the background: reads changed lists, ends idle sessions.
async fn keep(connection: Weak<Connection>, changes: Arc<Changes>, stop: CancellationToken) {
    let Some(every) = connection.upgrade().map(|connection| connection.shared.options.rescan_every) else { return };
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    let mut rescan = tokio::time::interval_at(Instant::now() + every, every);
    for timer in [&mut sweep, &mut rescan] {
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    }
    loop {
        let cause = tokio::select! {
            () = stop.cancelled() => return,
            () = changes.rescan_wanted() => {
                // Several notices in a row need one look.
                tokio::time::sleep(Duration::from_millis(100)).await;
                Some(Cause::Doubt)
            }
            _ = rescan.tick() => Some(Cause::Schedule),
            _ = sweep.tick() => None,
        };
        let Some(connection) = connection.upgrade() else { return };
        match cause {
            None => connection.peers.sweep(SESSION_IDLE),
            // Only a server in use is looked at; others are when they are used.
            Some(cause) if connection.peers.control().is_some() => {
                let scanned = tokio::select! {
                    scanned = connection.scan(cause) => scanned,
                    () = stop.cancelled() => return,
                };
                if let Err(error) = scanned {
                    tracing::warn!(server = %connection.server.name, %error, "could not read the tools");
                }
            }
            Some(_) => {}
        }
    }
}

/// Whose relationship a request of this credential belongs to.
pub(super) fn owner(who: &preloop_types::Principal, client: &dyn Client) -> Owner {
    let key: KeyId = who.key;
    Owner::Agent { key, run: who.session, conversation: client.conversation().map(Arc::from) }
}
