//! Runs of agents: which one a request belongs to, and their end.
//!
//! A run is a row. It is written when its first request comes, before that request is answered, and found
//! in memory from then on; when it was last active is written now and then. A run that ended stays ended:
//! a credential that outlives it begins another, unless whoever ended it blocked that.

mod signal;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicI64, AtomicU64, Ordering},
};

use dashmap::DashMap;
use preloop_store::{ApprovalFilter, ApprovalStatus, NewSession, Opened, Tx};
use preloop_types::{AccountId, Entry, EntryKind, Principal, SessionId, Subject, Timestamp};
use serde_json::{json, value::to_raw_value};
use signal::{Identity, Named, identify};
pub use signal::{SessionSignal, VendorSession};
use tokio_util::sync::CancellationToken;

use crate::{Error, Governor, ModelRefusalKind, Result};

/// Runs used less lately than this are forgotten, and read again when they are used.
const FORGOTTEN_AFTER_US: i64 = 3_600_000_000;

/// How often a run is read that may have ended while it was read.
const TRIES: u32 = 8;

/// Why a request belongs to no run.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SessionRefused {
    /// The credential is bound to a run that was ended.
    #[error("this agent session was ended by a person; a new one has to be started")]
    Ended,
    /// Whoever ended its last run blocked others.
    #[error("this agent is suspended: its last session was ended with a block; a person can lift it")]
    Blocked,
    /// It cannot be told now.
    #[error(transparent)]
    Unavailable(#[from] Error),
}

impl SessionRefused {
    /// As the refusal of a model call.
    pub const fn kind(&self) -> ModelRefusalKind {
        match self {
            SessionRefused::Ended => ModelRefusalKind::SessionEnded,
            SessionRefused::Blocked => ModelRefusalKind::AgentSuspended,
            SessionRefused::Unavailable(_) => ModelRefusalKind::Unavailable,
        }
    }
}

/// Runs that were used lately.
#[derive(Default)]
pub(crate) struct Runs {
    named: DashMap<(AccountId, String), Arc<Live>>,
    pinned: DashMap<SessionId, Arc<Live>>,
    /// What stops the calls of each run that is known to be open.
    stops: DashMap<SessionId, (Stop, Timestamp)>,
    /// Counts ends, so that what was read before one is not kept after it.
    ends: AtomicU64,
}

/// Stops the calls of a run. Each of them holds one.
#[derive(Clone, Default)]
pub(crate) struct Stop {
    pub(crate) token: CancellationToken,
    held: Arc<()>,
}

impl Stop {
    /// Whether a call holds it besides whoever keeps it.
    pub(crate) fn is_held(&self) -> bool {
        Arc::strong_count(&self.held) > 1
    }
}

struct Live {
    id: SessionId,
    account: AccountId,
    last_activity: AtomicI64,
    /// The last credential seen with it, and the same bound to this run.
    bound: Mutex<Option<(Arc<Principal>, Arc<Principal>)>>,
}

/// Runs of agents.
#[derive(Clone, Copy)]
pub struct Sessions<'g> {
    governor: &'g Governor,
}

impl Governor {
    /// Runs of agents.
    pub fn sessions(&self) -> Sessions<'_> {
        Sessions { governor: self }
    }
}

impl Sessions<'_> {
    /// The run a request belongs to. In memory but for the first request of a run on this node.
    pub async fn of(&self, who: &Arc<Principal>, signal: &SessionSignal<'_>) -> Result<SessionId, SessionRefused> {
        Ok(self.live(who, signal).await?.id)
    }

    /// `who` bound to the run the request belongs to: what it does is recorded as part of it.
    pub async fn bind(
        &self,
        who: &Arc<Principal>,
        signal: &SessionSignal<'_>,
    ) -> Result<Arc<Principal>, SessionRefused> {
        let live = self.live(who, signal).await?;
        let mut bound = live.bound.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((from, to)) = &*bound
            && Arc::ptr_eq(from, who)
        {
            return Ok(to.clone());
        }
        let to = Arc::new(Principal { session: Some(live.id), ..Principal::clone(who) });
        *bound = Some((who.clone(), to.clone()));
        Ok(to)
    }

    /// Ends a run for good and stops its calls; false if it was over. `block` keeps whoever ran it from
    /// beginning another.
    pub async fn end(&self, account: AccountId, id: SessionId, by: Subject, reason: &str, block: bool) -> Result<bool> {
        let why = reason.to_owned();
        let ended =
            self.governor.store().write(account, move |tx| Box::pin(async move { end(tx, id, by, &why, block).await }));
        let ended = ended.await?;
        if ended {
            self.cancel_approvals(account, id, by).await?;
        }
        Ok(ended)
    }

    /// What a run still asked for nobody waits for any more, and must not be carried out.
    async fn cancel_approvals(&self, account: AccountId, id: SessionId, by: Subject) -> Result<()> {
        let approvals = self.governor.approvals();
        let mut filter =
            ApprovalFilter { status: vec![ApprovalStatus::Pending], limit: 1000, ..ApprovalFilter::default() };
        loop {
            let pending = approvals.list(account, filter.clone()).await?;
            let found = pending.len();
            let of_this = pending.iter().filter(|approval| approval.requester.session == Some(id));
            for approval in of_this {
                approvals.cancel(account, by, approval.id, "the agent session that asked was ended").await?;
            }
            if found < filter.limit as usize {
                return Ok(());
            }
            filter.skip += filter.limit;
        }
    }

    /// Lets whoever ran this begin another; false if nothing kept them from it.
    pub async fn unblock(&self, account: AccountId, id: SessionId, by: Subject) -> Result<bool> {
        let unblocked = self.governor.store().write(account, move |tx| {
            Box::pin(async move {
                let unblocked = tx.unblock_session(id).await?;
                if unblocked {
                    record(tx, EntryKind::SessionUnblocked, Subject { session: Some(id), ..by }, &json!({}));
                }
                Ok(unblocked)
            })
        });
        Ok(unblocked.await?)
    }

    async fn live(&self, who: &Arc<Principal>, signal: &SessionSignal<'_>) -> Result<Arc<Live>, SessionRefused> {
        let identity = identify(who, signal);
        for _ in 0..TRIES {
            let now = self.governor.now();
            let live = match &identity {
                Identity::Pinned(id) => self.pinned(who, *id, now).await?,
                Identity::Of(named) => self.named(who, named.clone(), signal, now).await?,
            };
            if let Some(live) = live {
                return Ok(live);
            }
        }
        Err(SessionRefused::Unavailable(Error::Conflict("sessions end faster than they can be read".to_owned())))
    }

    /// `None`: a run ended while this one was read.
    async fn pinned(
        &self,
        who: &Principal,
        id: SessionId,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, SessionRefused> {
        let runs = &self.governor.inner().sessions;
        if let Some(live) = runs.pinned.get(&id).map(|live| live.clone()) {
            live.touch(now);
            return Ok(Some(live));
        }
        let ends = runs.ends.load(Ordering::Acquire);
        let session = self.governor.store().account(who.account).runtime_session(id).await.map_err(Error::from)?;
        if session.is_some_and(|session| session.ended_at.is_some()) {
            return Err(SessionRefused::Ended);
        }
        let live = runs.know(who.account, id, now);
        runs.pinned.insert(id, live.clone());
        Ok(runs.unless_ended(live, ends))
    }

    async fn named(
        &self,
        who: &Principal,
        named: Named,
        signal: &SessionSignal<'_>,
        now: Timestamp,
    ) -> Result<Option<Arc<Live>>, SessionRefused> {
        let runs = &self.governor.inner().sessions;
        let snapshot = self.governor.snapshot(who.account).await?;
        let minutes = i64::from(snapshot.model_settings.session_idle_minutes);
        let idle_since = (named.ends_by_silence && minutes > 0)
            .then(|| Timestamp::from_micros(now.micros().saturating_sub(minutes * 60_000_000)));
        let place = (who.account, named.identity);
        if let Some(live) = runs.named.get(&place).map(|live| live.clone())
            && idle_since.is_none_or(|since| live.last_activity() >= since)
        {
            live.touch(now);
            return Ok(Some(live));
        }
        let (account, identity) = place;
        let ends = runs.ends.load(Ordering::Acquire);
        let principal = identity[..named.principal].to_owned();
        let rows = self.governor.store().account(account);
        let open = rows.session_of(identity.clone(), principal.clone()).await.map_err(Error::from)?;
        if let Some(open) = open.filter(|open| idle_since.is_none_or(|since| open.last_activity_at >= since)) {
            return Ok(runs.keep((account, identity), open.id, ends, now));
        }
        let new = NewSession {
            source_type: who.agent.as_ref().map_or("api_key", |agent| &agent.kind).to_owned(),
            source_id: named.source_id,
            principal,
            user: who.user,
            key: who.key,
            agent: who.agent.as_ref().map(|agent| agent.id),
            parent: named.parent,
            client: signal.client.map(str::to_owned),
            idle_since,
            identity: identity.clone(),
        };
        let subject = Subject { session: None, ..Subject::from(who) };
        let opened = self.governor.store().write(account, move |tx| {
            Box::pin(async move {
                let opened = tx.begin_session(&new).await?;
                if let Opened::Begun(id) = opened {
                    let body = json!({
                        "source_type": new.source_type,
                        "source_id": new.source_id,
                        "client": new.client,
                    });
                    record(tx, EntryKind::SessionStarted, Subject { session: Some(id), ..subject }, &body);
                }
                Ok(opened)
            })
        });
        let id = match opened.await.map_err(Error::from)? {
            Opened::Begun(id) | Opened::Open(id) => id,
            Opened::Blocked => return Err(SessionRefused::Blocked),
        };
        Ok(runs.keep((account, identity), id, ends, now))
    }
}

impl Live {
    fn last_activity(&self) -> Timestamp {
        Timestamp::from_micros(self.last_activity.load(Ordering::Relaxed))
    }

    fn touch(&self, now: Timestamp) {
        self.last_activity.fetch_max(now.micros(), Ordering::Relaxed);
    }
}

impl Runs {
    fn know(&self, account: AccountId, id: SessionId, now: Timestamp) -> Arc<Live> {
        self.stops.entry(id).or_insert_with(|| (Stop::default(), now)).1 = now;
        let last_activity = AtomicI64::new(now.micros());
        Arc::new(Live { id, account, last_activity, bound: Mutex::default() })
    }

    fn keep(&self, place: (AccountId, String), id: SessionId, ends: u64, now: Timestamp) -> Option<Arc<Live>> {
        let live = self.know(place.0, id, now);
        self.named.insert(place, live.clone());
        self.unless_ended(live, ends)
    }

    /// Keeps what was read, unless a run ended meanwhile: it may have been this one.
    fn unless_ended(&self, live: Arc<Live>, ends: u64) -> Option<Arc<Live>> {
        if self.ends.load(Ordering::Acquire) == ends {
            return Some(live);
        }
        self.forget(live.id);
        None
    }

    /// The next request reads it anew.
    fn forget(&self, id: SessionId) {
        self.named.retain(|_, live| live.id != id);
        self.pinned.remove(&id);
        self.stops.remove_if(&id, |_, (stop, _)| Arc::strong_count(&stop.held) == 1);
    }

    /// What stops the calls of an open run; `None` if it is over.
    pub(crate) fn stop_of(&self, id: SessionId, now: Timestamp) -> Option<Stop> {
        let mut known = self.stops.get_mut(&id)?;
        known.1 = now;
        Some(known.0.clone()).filter(|stop| !stop.token.is_cancelled())
    }

    /// A run ended, or its principal was blocked or unblocked: everything of the account is looked up
    /// again.
    pub(crate) fn ended(&self, account: AccountId, id: SessionId) {
        self.ends.fetch_add(1, Ordering::AcqRel);
        self.named.retain(|(of, _), _| *of != account);
        self.pinned.retain(|_, live| live.account != account);
        if let Some((_, (stop, _))) = self.stops.remove(&id) {
            stop.token.cancel();
        }
    }

    /// Messages may have been lost: everything is looked up again.
    pub(crate) fn forget_all(&self) {
        self.named.clear();
        self.pinned.clear();
    }

    /// Forgets what was not used lately. What stops its calls is kept while there are any.
    pub(crate) fn sweep(&self, now: Timestamp) {
        let since = Timestamp::from_micros(now.micros().saturating_sub(FORGOTTEN_AFTER_US));
        self.named.retain(|_, live| live.last_activity() >= since);
        self.pinned.retain(|_, live| live.last_activity() >= since);
        self.stops.retain(|_, (stop, used)| Arc::strong_count(&stop.held) > 1 || *used >= since);
    }
}

/// Ends a run for good, with its record; false if it was over.
pub(crate) async fn end(
    tx: &mut Tx<'_>,
    id: SessionId,
    by: Subject,
    reason: &str,
    block: bool,
) -> Result<bool, preloop_store::Error> {
    let ended = tx.end_session(id, reason, block).await?;
    if ended {
        let body = json!({ "reason": reason, "block": block });
        record(tx, EntryKind::SessionEnded, Subject { session: Some(id), ..by }, &body);
    }
    Ok(ended)
}

fn record(tx: &mut Tx<'_>, kind: EntryKind, subject: Subject, body: &serde_json::Value) {
    let account = tx.account();
    let body = to_raw_value(body).unwrap_or_default();
    tx.record(Entry { account, kind, call: None, subject, body, payload: None });
}
