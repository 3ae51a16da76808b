//! The sessions of this process, and how they outlive it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use dashmap::DashMap;
use preloop_types::{AccountId, KeyId, Principal, Timestamp};

use super::{
    handler::Handler,
    options::Options,
    session::{Hello, Session},
};
use crate::protocol::{ClientInfo, Version};

/// Where sessions are kept so that a restart does not force clients to initialize again.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Keeps a new session.
    async fn put(&self, session: &SessionRecord) -> Result<(), SessionStoreError>;
    /// Finds one of this account.
    async fn get(&self, account: AccountId, id: &str) -> Result<Option<SessionRecord>, SessionStoreError>;
    /// Notes that it is in use, sooner or later.
    fn touch(&self, account: AccountId, id: &str);
    /// Forgets it.
    async fn delete(&self, account: AccountId, id: &str) -> Result<(), SessionStoreError>;
    /// Forgets every session last used before that time.
    async fn delete_idle(&self, before: Timestamp) -> Result<(), SessionStoreError>;
}

/// A session as it is kept.
#[derive(Debug, Clone)]
pub struct SessionRecord {
    /// 128 random bits, base64url.
    pub id: String,
    /// Whose it is.
    pub account: AccountId,
    /// The credential that opened it.
    pub key: KeyId,
    /// What the client said of itself.
    pub info: ClientInfo,
    /// The revision agreed on.
    pub version: Version,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was last used.
    pub last_seen: Timestamp,
}

/// Sessions cannot be kept or found now.
#[derive(Debug, Clone, thiserror::Error)]
#[error("sessions cannot be reached: {0}")]
pub struct SessionStoreError(pub String);

/// Keeps nothing: sessions end with the process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Forgetful;

#[async_trait]
impl SessionStore for Forgetful {
    async fn put(&self, _session: &SessionRecord) -> Result<(), SessionStoreError> {
        Ok(())
    }

    async fn get(&self, _account: AccountId, _id: &str) -> Result<Option<SessionRecord>, SessionStoreError> {
        Ok(None)
    }

    fn touch(&self, _account: AccountId, _id: &str) {}

    async fn delete(&self, _account: AccountId, _id: &str) -> Result<(), SessionStoreError> {
        Ok(())
    }

    async fn delete_idle(&self, _before: Timestamp) -> Result<(), SessionStoreError> {
        Ok(())
    }
}

/// How often the store hears that a session is in use, and how often idle ones are looked for.
const TOUCH_EVERY: Duration = Duration::from_mins(1);
const SWEEP_EVERY: Duration = Duration::from_secs(30);

/// Every live session.
pub(super) struct Sessions {
    live: DashMap<String, Arc<Session>>,
    store: Arc<dyn SessionStore>,
    handler: Arc<dyn Handler>,
    options: Arc<Options>,
    swept_at: AtomicI64,
}

impl Sessions {
    pub(super) fn new(store: Arc<dyn SessionStore>, handler: Arc<dyn Handler>, options: Arc<Options>) -> Self {
        Self { live: DashMap::new(), store, handler, options, swept_at: AtomicI64::new(0) }
    }

    /// Opens a session that a restart survives.
    pub(super) async fn open(&self, who: &Principal, hello: Hello) -> Arc<Session> {
        let session = self.open_passing(who);
        let now = session.last_seen();
        let record = SessionRecord {
            id: session.id.clone(),
            account: session.account,
            key: session.key,
            info: (*hello.info).clone(),
            version: hello.version,
            created_at: now,
            last_seen: now,
        };
        session.greet(hello);
        if let Err(error) = self.store.put(&record).await {
            tracing::warn!(%error, "an MCP session will not survive a restart");
        }
        session
    }

    /// Opens a session that lasts as long as its connection.
    pub(super) fn open_passing(&self, who: &Principal) -> Arc<Session> {
        let now = (self.options.now)();
        self.sweep(now);
        self.make_room(who);
        let id = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        self.insert(Session::new(id, who.account, who.key, self.options.shutdown.child_token(), now))
    }

    fn insert(&self, session: Session) -> Arc<Session> {
        let session = Arc::new(session);
        self.live.insert(session.id.clone(), Arc::clone(&session));
        session
    }

    /// The session of this id, if it is this principal's: another's is as good as none.
    pub(super) async fn find(&self, id: &str, who: &Principal) -> Result<Option<Arc<Session>>, SessionStoreError> {
        let now = (self.options.now)();
        let live = self.live.get(id).map(|entry| Arc::clone(&entry));
        let session = match live {
            Some(session) => session,
            None => match self.restore(id, who, now).await? {
                Some(session) => session,
                None => return Ok(None),
            },
        };
        if !session.belongs_to(who) {
            return Ok(None);
        }
        if self.is_idle(&session, now) {
            self.end(&session);
            return Ok(None);
        }
        self.touch(&session, now);
        Ok(Some(session))
    }

    async fn restore(
        &self,
        id: &str,
        who: &Principal,
        now: Timestamp,
    ) -> Result<Option<Arc<Session>>, SessionStoreError> {
        let Some(record) = self.store.get(who.account, id).await? else { return Ok(None) };
        if record.account != who.account || record.key != who.key {
            return Ok(None);
        }
        if now.since(record.last_seen) > self.options.limits.session_idle {
            self.forget(who.account, id.to_owned());
            return Ok(None);
        }
        let fresh = || {
            let ended = self.options.shutdown.child_token();
            let session = Session::new(record.id, record.account, record.key, ended, record.last_seen);
            session.greet(Hello { version: record.version, info: Arc::new(record.info) });
            Arc::new(session)
        };
        // Two requests may get here at once; both must end up with the same session.
        Ok(Some(Arc::clone(&self.live.entry(id.to_owned()).or_insert_with(fresh))))
    }

    fn touch(&self, session: &Session, now: Timestamp) {
        let before = session.last_seen();
        session.seen(now);
        // Whole minutes, so that no second time stamp is needed.
        let minute = |at: Timestamp| at.micros() / i64::try_from(TOUCH_EVERY.as_micros()).unwrap_or(i64::MAX);
        if minute(before) != minute(now) {
            self.store.touch(session.account, &session.id);
        }
    }

    /// Ends a session for good.
    pub(super) fn end(&self, session: &Session) {
        self.live.remove(&session.id);
        session.end(&self.handler);
        self.forget(session.account, session.id.clone());
    }

    fn forget(&self, account: AccountId, id: String) {
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            if let Err(error) = store.delete(account, &id).await {
                tracing::debug!(%error, "an ended MCP session was not forgotten");
            }
        });
    }

    fn is_idle(&self, session: &Session, now: Timestamp) -> bool {
        now.since(session.last_seen()) > self.options.limits.session_idle && !session.is_busy()
    }

    /// Ends sessions nobody used for long.
    fn sweep(&self, now: Timestamp) {
        let before = self.swept_at.load(Ordering::Relaxed);
        if now.since(Timestamp::from_micros(before)) < SWEEP_EVERY
            || self.swept_at.compare_exchange(before, now.micros(), Ordering::Relaxed, Ordering::Relaxed).is_err()
        {
            return;
        }
        let idle: Vec<_> =
            self.live.iter().filter(|entry| self.is_idle(entry, now)).map(|entry| Arc::clone(&entry)).collect();
        for session in idle {
            self.end(&session);
        }
        let (store, before) = (Arc::clone(&self.store), earlier(now, self.options.limits.session_idle));
        tokio::spawn(async move {
            if let Err(error) = store.delete_idle(before).await {
                tracing::debug!(%error, "idle MCP sessions were not forgotten");
            }
        });
    }

    /// Ends the sessions of this credential that were idle longest, until one more may be opened.
    fn make_room(&self, who: &Principal) {
        let mut own: Vec<_> =
            self.live.iter().filter(|entry| entry.belongs_to(who)).map(|entry| Arc::clone(&entry)).collect();
        let surplus = (own.len() + 1).saturating_sub(self.options.limits.sessions_per_key);
        if surplus > 0 {
            own.sort_by_key(|session| (session.is_busy(), session.last_seen()));
            for session in own.iter().take(surplus) {
                self.end(session);
            }
        }
    }
}

fn earlier(now: Timestamp, by: Duration) -> Timestamp {
    Timestamp::from_micros(now.micros().saturating_sub(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}
