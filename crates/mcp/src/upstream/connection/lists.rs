//! What a server offers, and keeping up with it: tools are read and pinned anew whenever they may
//! have changed, other lists when somebody wants them.

use std::{
    sync::{Arc, PoisonError, Weak, atomic::AtomicBool},
    time::Duration,
};

use preloop_types::config::ServerStatus;
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::splice::{self, Members};
use crate::{
    catalogue::{self, ScanReport},
    protocol::Era,
};

use super::{
    super::{
        UpstreamError,
        changes::Changes,
        error::Failure,
        params::Ask,
        peer::Peer,
        peers::{Owner, Peers},
    },
    Connection, Job,
};

/// Most items and bytes of one list that are read.
const LIST_ITEMS_MAX: usize = 2000;
const LIST_BYTES_MAX: usize = 8 * 1024 * 1024;
const SESSION_IDLE: Duration = Duration::from_mins(10);
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// How long read lists are good where the server does not tell of changes.
const OFFERED_FOR: Duration = Duration::from_mins(1);

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
pub(in super::super) enum Cause {
    /// A person wants it.
    Person,
    /// It is time.
    Schedule,
    /// The tools may have changed; unnecessary if somebody else has looked since.
    Doubt,
}

impl Connection {
    /// Reads the server's tools and pins them.
    pub(in super::super) async fn scan(&self, cause: Cause) -> Result<ScanReport, UpstreamError> {
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

    pub(super) fn explain(&self, error: &UpstreamError) -> (ServerStatus, String) {
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
            let connecting =
                tokio::time::timeout(self.shared.options.list_wait, self.peers.get(&Owner::Control, &nobody));
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
        let until = Instant::now() + self.shared.options.list_wait;
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
                Some(next) => cursor = Some(splice::raw(json!({ "cursor": next }).to_string())),
                None => return Ok(items),
            }
        }
        Err(UpstreamError::Protocol(format!("`{method}` has no last page")))
    }

    /// What the server offers besides tools; read again when it changed.
    pub(in super::super) async fn offered(&self) -> Result<Arc<Offered>, UpstreamError> {
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

    pub(super) async fn watch(&self, method: &str, params: Option<&RawValue>) -> Result<Arc<RawValue>, UpstreamError> {
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
            let params = splice::raw(json!({ "uri": uri }).to_string());
            let ask = Ask::other(method, Some(&params)).ok_or_else(|| UpstreamError::Config("params".to_owned()))?;
            let nobody = Peers::nobody();
            let mut job = Job { ask, tool: None, client: &nobody, owner: Owner::Control, sent: AtomicBool::new(false) };
            let sent = tokio::time::timeout(self.shared.options.list_wait, self.deliver(&mut job)).await;
            if let Err(error) = sent.map_err(|_| UpstreamError::Timeout { sent: true }).flatten() {
                if method == "resources/subscribe" {
                    self.peers.watched.remove(&uri);
                }
                return Err(error);
            }
        }
        Ok(splice::raw("{}"))
    }
}

fn read_page(
    method: &str,
    member: &str,
    page: &RawValue,
    items: &mut Vec<Arc<RawValue>>,
) -> Result<Option<String>, UpstreamError> {
    let odd = |what: String| UpstreamError::Protocol(format!("the answer to `{method}`: {what}"));
    let page = Members::of(page).ok_or_else(|| odd("not an object".to_owned()))?;
    let list = page.get(member).ok_or_else(|| odd(format!("no `{member}`")))?;
    let list: Vec<&RawValue> = serde_json::from_str(list.get()).map_err(|error| odd(error.to_string()))?;
    items.extend(list.into_iter().map(|item| Arc::from(item.to_owned())));
    match page.get("nextCursor") {
        None => Ok(None),
        Some(next) => serde_json::from_str(next.get()).map_err(|error| odd(error.to_string())),
    }
}

/// Looks after a connection in the background: reads changed lists, ends idle sessions.
pub(super) async fn keep(connection: Weak<Connection>, changes: Arc<Changes>, stop: CancellationToken) {
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
