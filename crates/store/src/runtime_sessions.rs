//! Runs of agents, from their first request to their last.

use std::sync::PoisonError;

use preloop_types::{AccountId, AgentId, KeyId, SessionId, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Result, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, row},
};

/// One run of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuntimeSession {
    /// Its id.
    pub id: SessionId,
    /// What its requests have in common; holds whose they are, so that nobody's id adopts another's.
    pub identity: String,
    /// What kind of agent said so: `claude_code`, `codex`, …; `api_key` where nothing was said.
    pub source_type: String,
    /// What the agent itself calls the run.
    pub source_id: Option<String>,
    /// Who runs it, over all its runs: `agent:<id>` or `key:<id>`.
    pub principal: String,
    /// The person.
    pub user: UserId,
    /// The credential it began with.
    pub key: KeyId,
    /// The managed agent.
    pub agent: Option<AgentId>,
    /// The run it is a part of.
    pub parent: Option<SessionId>,
    /// What the client said of itself.
    pub client: Option<String>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was last active, give or take some seconds.
    pub last_activity_at: Timestamp,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why.
    pub end_reason: Option<String>,
    /// Whether its principal may not begin another.
    pub blocked: bool,
}

/// What a run begins with.
#[derive(Debug, Clone)]
pub struct NewSession {
    /// What its requests have in common.
    pub identity: String,
    /// What kind of agent said so.
    pub source_type: String,
    /// What the agent itself calls the run.
    pub source_id: Option<String>,
    /// Who runs it.
    pub principal: String,
    /// The person.
    pub user: UserId,
    /// The credential.
    pub key: KeyId,
    /// The managed agent.
    pub agent: Option<AgentId>,
    /// The run it is a part of, by its identity.
    pub parent: Option<String>,
    /// What the client says of itself.
    pub client: Option<String>,
    /// Runs that were last active before this are over, and another one begins.
    pub idle_since: Option<Timestamp>,
}

/// What opening a run came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// It was open already.
    Open(SessionId),
    /// It begins with this.
    Begun(SessionId),
    /// Its principal may not begin another.
    Blocked,
}

/// Which runs to list.
#[derive(Debug, Clone, Default)]
pub struct SessionFilter {
    /// Those that ended, or those that did not.
    pub ended: Option<bool>,
    /// Of this kind of agent.
    pub source_type: Option<String>,
    /// Of this agent.
    pub agent: Option<AgentId>,
    /// Of this key.
    pub key: Option<KeyId>,
    /// Active at this time or after.
    pub since: Option<Timestamp>,
    /// Begun before this time.
    pub until: Option<Timestamp>,
    /// Whose ids or client hold this text.
    pub query: Option<String>,
    /// Only what follows this one, in the order of the list.
    pub after: Option<(Timestamp, SessionId)>,
    /// How many, at most 1000; 100 when zero.
    pub limit: u32,
}

row! {
    struct SessionRow {
        id: Uuid, identity: String, source_type: String, source_id: Option<String>, principal: String, user_id: Uuid,
        key_id: Uuid, agent_id: Option<Uuid>, parent_id: Option<Uuid>, client: Option<String>, started_at: i64,
        last_activity_at: i64, ended_at: Option<i64>, end_reason: Option<String>, blocked: bool,
    }
}

impl SessionRow {
    fn into_session(self) -> RuntimeSession {
        RuntimeSession {
            id: SessionId(self.id),
            identity: self.identity,
            source_type: self.source_type,
            source_id: self.source_id,
            principal: self.principal,
            user: UserId(self.user_id),
            key: KeyId(self.key_id),
            agent: self.agent_id.map(AgentId),
            parent: self.parent_id.map(SessionId),
            client: self.client,
            started_at: at(self.started_at),
            last_activity_at: at(self.last_activity_at),
            ended_at: self.ended_at.map(at),
            end_reason: self.end_reason,
            blocked: self.blocked,
        }
    }
}

impl View<'_> {
    /// Runs of agents, those that were active last first.
    pub async fn runtime_sessions(&mut self, filter: SessionFilter) -> Result<Vec<RuntimeSession>> {
        let sql = "SELECT * FROM runtime_sessions WHERE account_id = $1 AND ($2 IS NULL OR (ended_at IS NOT NULL) = $2) \
                   AND ($3 IS NULL OR source_type = $3) AND ($4 IS NULL OR agent_id = $4) \
                   AND ($5 IS NULL OR key_id = $5) AND last_activity_at >= $6 AND started_at < $7 \
                   AND ($8 IS NULL OR LOWER(source_id) LIKE $8 ESCAPE '\\' OR LOWER(client) LIKE $8 ESCAPE '\\') \
                   AND (last_activity_at, id) < ($9, $10) ORDER BY last_activity_at DESC, id DESC LIMIT $11";
        let account = self.account().0;
        let query = filter.query.map(|text| {
            let text = text.to_lowercase().replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
            format!("%{text}%")
        });
        let (after, after_id) = filter.after.map_or((i64::MAX, Uuid::max()), |(at, id)| (at.micros(), id.0));
        let limit = if filter.limit == 0 { 100 } else { i64::from(filter.limit.min(1000)) };
        let rows = fetch_all!(
            self.conn,
            SessionRow,
            sql,
            account,
            filter.ended,
            filter.source_type.clone(),
            filter.agent.map(|id| id.0),
            filter.key.map(|id| id.0),
            filter.since.map_or(i64::MIN, Timestamp::micros),
            filter.until.map_or(i64::MAX, Timestamp::micros),
            query.clone(),
            after,
            after_id,
            limit
        )?;
        Ok(rows.into_iter().map(SessionRow::into_session).collect())
    }

    /// One run of an agent.
    pub async fn runtime_session(&mut self, id: SessionId) -> Result<Option<RuntimeSession>> {
        let account = self.account().0;
        let sql = "SELECT * FROM runtime_sessions WHERE account_id = $1 AND id = $2";
        Ok(fetch_optional!(self.conn, SessionRow, sql, account, id.0)?.map(SessionRow::into_session))
    }

    /// The open run of this identity, unless its principal may not have one.
    pub async fn session_of(&mut self, identity: String, principal: String) -> Result<Option<RuntimeSession>> {
        if self.is_blocked(&principal).await? { Ok(None) } else { self.open_session(&identity).await }
    }

    async fn is_blocked(&mut self, principal: &str) -> Result<bool> {
        let account = self.account().0;
        let sql = "SELECT COUNT(*) FROM runtime_sessions WHERE account_id = $1 AND principal = $2 AND blocked";
        Ok(fetch_optional!(self.conn, (i64,), sql, account, principal)?.is_some_and(|(count,)| count > 0))
    }

    /// The open run of this identity.
    async fn open_session(&mut self, identity: &str) -> Result<Option<RuntimeSession>> {
        let account = self.account().0;
        let sql = "SELECT * FROM runtime_sessions WHERE account_id = $1 AND identity = $2 AND ended_at IS NULL";
        Ok(fetch_optional!(self.conn, SessionRow, sql, account, identity)?.map(SessionRow::into_session))
    }
}

impl Tx<'_> {
    /// Finds the open run of an identity or begins one. One that was silent for too long ended when it
    /// was last active.
    pub async fn begin_session(&mut self, new: &NewSession) -> Result<Opened> {
        let (account, now) = (self.account().0, self.now());
        if let Some(idle_since) = new.idle_since {
            let sql = "UPDATE runtime_sessions SET ended_at = last_activity_at, end_reason = 'idle' \
                       WHERE account_id = $1 AND identity = $2 AND ended_at IS NULL AND last_activity_at < $3";
            execute!(self.conn, sql, account, &new.identity[..], idle_since.micros())?;
        }
        if self.is_blocked(&new.principal).await? {
            return Ok(Opened::Blocked);
        }
        let parent = match &new.parent {
            None => None,
            Some(identity) => self.open_session(identity).await?.map(|session| session.id.0),
        };
        let id = SessionId::new(now);
        let sql = "INSERT INTO runtime_sessions (id, account_id, identity, source_type, source_id, principal, user_id, \
                   key_id, agent_id, parent_id, client, started_at, last_activity_at, ended_at, end_reason, blocked) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $12, NULL, NULL, $13) \
                   ON CONFLICT (account_id, identity) WHERE ended_at IS NULL DO NOTHING";
        let begun = execute!(
            self.conn,
            sql,
            id.0,
            account,
            &new.identity[..],
            &new.source_type[..],
            new.source_id.as_deref(),
            &new.principal[..],
            new.user.0,
            new.key.0,
            new.agent.map(|id| id.0),
            parent,
            new.client.as_deref(),
            now.micros(),
            false
        )?;
        if begun > 0 {
            return Ok(Opened::Begun(id));
        }
        let open = self.open_session(&new.identity).await?.ok_or(crate::Error::Busy)?;
        Ok(Opened::Open(open.id))
    }

    /// Ends a run for good; false if it was over. `block` keeps its principal from beginning another.
    pub async fn end_session(&mut self, id: SessionId, reason: &str, block: bool) -> Result<bool> {
        let (account, now) = (self.account().0, self.now().micros());
        self.emit(crate::Event::SessionEnded { account: self.account(), id });
        let sql = "UPDATE runtime_sessions SET ended_at = $3, end_reason = $4, blocked = $5 \
                   WHERE account_id = $1 AND id = $2 AND ended_at IS NULL";
        if execute!(self.conn, sql, account, id.0, now, reason, block)? > 0 {
            return Ok(true);
        }
        self.runtime_session(id).await?.map(|_| false).ok_or(crate::Error::NotFound)
    }

    /// Lets whoever ran this begin another again; false if nothing kept them from it.
    pub async fn unblock_session(&mut self, id: SessionId) -> Result<bool> {
        let account = self.account().0;
        self.emit(crate::Event::SessionEnded { account: self.account(), id });
        let session = self.runtime_session(id).await?.ok_or(crate::Error::NotFound)?;
        let sql = "UPDATE runtime_sessions SET blocked = $3 WHERE account_id = $1 AND principal = $2 AND blocked";
        Ok(execute!(self.conn, sql, account, &session.principal[..], false)? > 0)
    }

    pub(crate) async fn touch_sessions(&mut self, sessions: Vec<((AccountId, SessionId), Timestamp)>) -> Result<()> {
        for ((account, id), at) in sessions {
            let sql = "UPDATE runtime_sessions SET last_activity_at = $3 \
                       WHERE account_id = $1 AND id = $2 AND last_activity_at < $3 AND ended_at IS NULL";
            execute!(self.conn, sql, account.0, id.0, at.micros())?;
        }
        Ok(())
    }
}

impl Store {
    /// Notes that a run was active now; written some seconds later, in bulk.
    pub fn touch_runtime_session(&self, account: AccountId, id: SessionId) {
        let mut runs = self.touches().runs.lock().unwrap_or_else(PoisonError::into_inner);
        if runs.len() < crate::store::TOUCHES_MAX {
            runs.insert((account, id), self.now());
        }
    }
}
