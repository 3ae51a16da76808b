//! Managed agents and the onboarding of their installations.

use preloop_types::{
    AccountId, Agent, AgentId, AgentState, EnrollmentId, EnrollmentStatus, NativeApprovals, Timestamp, UserId,
    config::RawJson,
};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, from_json, json, micros, row, word},
};

/// A managed agent: the durable identity behind its credentials and runs.
#[derive(Debug, Clone, PartialEq)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// Whose.
    pub account: AccountId,
    /// Its display name.
    pub name: String,
    /// What kind of agent it is.
    pub kind: String,
    /// With `source_id`: what its own installation calls it. Unique in the account.
    pub source_type: String,
    /// See `source_type`.
    pub source_id: String,
    /// For people: where it runs.
    pub reference: Option<String>,
    /// How it came to be known: `api_key`, `runtime_token`, `api`.
    pub enrolled_via: String,
    /// Free labels.
    pub tags: Vec<String>,
    /// The person who answers for it.
    pub owner: Option<UserId>,
    /// Where it is in its life.
    pub state: AgentState,
    /// Why.
    pub state_reason: Option<String>,
    /// Since when.
    pub state_changed_at: Option<Timestamp>,
    /// The models its configuration names, as a JSON list.
    pub model_bindings: RawJson,
    /// When it was last heard of, give or take some seconds.
    pub last_seen_at: Timestamp,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// When its row last changed.
    pub updated_at: Timestamp,
}

/// One onboarding of an agent's installation.
#[derive(Debug, Clone, PartialEq)]
pub struct EnrollmentRow {
    /// Its id.
    pub id: EnrollmentId,
    /// Which agent's.
    pub agent: AgentId,
    /// What was done: `cli`, `manual`, … .
    pub enrollment_type: String,
    /// Which adapter did it.
    pub adapter_key: Option<String>,
    /// How far it is.
    pub status: EnrollmentStatus,
    /// The file it rewrote.
    pub target_path: Option<String>,
    /// What was found, written, kept and checked, as a JSON object without secrets.
    pub details: RawJson,
    /// Whether what was there before can be put back.
    pub restore_available: bool,
    /// When it was applied.
    pub applied_at: Option<Timestamp>,
    /// When it was checked.
    pub validated_at: Option<Timestamp>,
    /// When it was undone.
    pub restored_at: Option<Timestamp>,
    /// When it was announced.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

row! {
    struct StoredAgent {
        id: Uuid, account_id: Uuid, name: String, kind: String, source_type: String, source_id: String,
        reference: Option<String>, enrolled_via: String, tags: String, owner_id: Option<Uuid>, state: String,
        state_reason: Option<String>, state_changed_at: Option<i64>, model_bindings: String, last_seen_at: i64,
        used_at: Option<i64>, active_at: Option<i64>, created_at: i64, updated_at: i64,
    }
}

row! {
    struct StoredEnrollment {
        id: Uuid, agent_id: Uuid, enrollment_type: String, adapter_key: Option<String>, status: String,
        target_path: Option<String>, details: String, restore_available: bool, applied_at: Option<i64>,
        validated_at: Option<i64>, restored_at: Option<i64>, created_at: i64, updated_at: i64,
    }
}

/// Credentials and runs note when they are used; an agent was seen when any of them was.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT a.*, \
             (SELECT MAX(k.last_used_at) FROM api_keys k WHERE k.account_id = a.account_id AND k.agent_id = a.id) \
             AS used_at, \
             (SELECT MAX(s.last_activity_at) FROM runtime_sessions s \
             WHERE s.account_id = a.account_id AND s.agent_id = a.id) AS active_at \
             FROM managed_agents a WHERE a.account_id = $1",
            $rest
        )
    };
}

impl StoredAgent {
    fn into_agent(self) -> Result<AgentRow> {
        let seen = self.used_at.into_iter().chain(self.active_at).fold(self.last_seen_at, i64::max);
        Ok(AgentRow {
            id: AgentId(self.id),
            account: AccountId(self.account_id),
            name: self.name,
            kind: self.kind,
            source_type: self.source_type,
            source_id: self.source_id,
            reference: self.reference,
            enrolled_via: self.enrolled_via,
            tags: from_json(&self.tags)?,
            owner: self.owner_id.map(UserId),
            state: word(AgentState::parse, &self.state)?,
            state_reason: self.state_reason,
            state_changed_at: self.state_changed_at.map(at),
            model_bindings: raw(self.model_bindings)?,
            last_seen_at: at(seen),
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

impl StoredEnrollment {
    fn into_enrollment(self) -> Result<EnrollmentRow> {
        Ok(EnrollmentRow {
            id: EnrollmentId(self.id),
            agent: AgentId(self.agent_id),
            enrollment_type: self.enrollment_type,
            adapter_key: self.adapter_key,
            status: word(EnrollmentStatus::parse, &self.status)?,
            target_path: self.target_path,
            details: raw(self.details)?,
            restore_available: self.restore_available,
            applied_at: self.applied_at.map(at),
            validated_at: self.validated_at.map(at),
            restored_at: self.restored_at.map(at),
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
        })
    }
}

fn raw(text: String) -> Result<RawJson> {
    let raw = RawValue::from_string(text).map_err(|error| Error::Damaged(format!("unreadable JSON: {error}")))?;
    Ok(RawJson(raw))
}

impl AgentRow {
    /// The agent as rules see it.
    pub fn as_agent(&self) -> Agent {
        Agent { id: self.id, name: self.name.clone(), kind: self.kind.clone(), tags: self.tags.clone() }
    }
}

impl View<'_> {
    /// Every managed agent, by name.
    pub async fn agents(&mut self) -> Result<Vec<AgentRow>> {
        let account = self.account().0;
        let sql = select!(" ORDER BY a.name, a.id");
        fetch_all!(self.conn, StoredAgent, sql, account)?.into_iter().map(StoredAgent::into_agent).collect()
    }

    /// One managed agent.
    pub async fn agent(&mut self, id: AgentId) -> Result<Option<AgentRow>> {
        let account = self.account().0;
        let sql = select!(" AND a.id = $2");
        fetch_optional!(self.conn, StoredAgent, sql, account, id.0)?.map(StoredAgent::into_agent).transpose()
    }

    /// The managed agent that its own installation calls so.
    pub async fn agent_of_source(&mut self, source_type: &str, source_id: &str) -> Result<Option<AgentRow>> {
        let account = self.account().0;
        let sql = select!(" AND a.source_type = $2 AND a.source_id = $3");
        let found = fetch_optional!(self.conn, StoredAgent, sql, account, source_type, source_id)?;
        found.map(StoredAgent::into_agent).transpose()
    }

    /// The managed agent of that name, the oldest if there are several.
    pub async fn agent_named(&mut self, name: &str) -> Result<Option<AgentRow>> {
        let account = self.account().0;
        let sql = select!(" AND a.name = $2 ORDER BY a.created_at, a.id LIMIT 1");
        fetch_optional!(self.conn, StoredAgent, sql, account, name)?.map(StoredAgent::into_agent).transpose()
    }

    /// The onboardings of an agent, newest first.
    pub async fn enrollments(&mut self, agent: AgentId) -> Result<Vec<EnrollmentRow>> {
        let account = self.account().0;
        let sql = "SELECT * FROM agent_enrollments WHERE account_id = $1 AND agent_id = $2 \
                   ORDER BY created_at DESC, id DESC";
        let rows = fetch_all!(self.conn, StoredEnrollment, sql, account, agent.0)?;
        rows.into_iter().map(StoredEnrollment::into_enrollment).collect()
    }

    /// Whether agents' own tools need a person where no rule speaks about them.
    pub async fn native_tool_approvals(&mut self) -> Result<NativeApprovals> {
        let account = self.account().0;
        let sql = "SELECT native_tool_approvals FROM account_defaults WHERE account_id = $1";
        let found = fetch_optional!(self.conn, (String,), sql, account)?;
        found.map_or(Ok(NativeApprovals::Enforce), |(text,)| word(NativeApprovals::parse, &text))
    }
}

impl Tx<'_> {
    /// Adds a managed agent.
    pub async fn insert_agent(&mut self, agent: &AgentRow) -> Result<()> {
        let sql = "INSERT INTO managed_agents (account_id, id, name, kind, source_type, source_id, reference, \
                   enrolled_via, tags, owner_id, state, state_reason, state_changed_at, model_bindings, last_seen_at, \
                   created_at, updated_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)";
        self.put_agent(sql, agent).await.map(drop)
    }

    /// Replaces what can change of a managed agent.
    pub async fn update_agent(&mut self, agent: &AgentRow) -> Result<()> {
        let sql = "UPDATE managed_agents SET name = $3, kind = $4, source_type = $5, source_id = $6, reference = $7, \
                   enrolled_via = $8, tags = $9, owner_id = $10, state = $11, state_reason = $12, \
                   state_changed_at = $13, model_bindings = $14, last_seen_at = $15, created_at = $16, \
                   updated_at = $17 WHERE account_id = $1 AND id = $2";
        found(self.put_agent(sql, agent).await?)
    }

    async fn put_agent(&mut self, sql: &'static str, agent: &AgentRow) -> Result<u64> {
        // What rules see of an agent is kept with its credentials.
        self.keys_changed();
        let account = self.account();
        if agent.account != account {
            return Err(Error::NotFound);
        }
        execute!(
            self.conn,
            sql,
            account.0,
            agent.id.0,
            &agent.name[..],
            &agent.kind[..],
            &agent.source_type[..],
            &agent.source_id[..],
            agent.reference.as_deref(),
            &agent.enrolled_via[..],
            json(&agent.tags)?,
            agent.owner.map(|id| id.0),
            agent.state.as_str(),
            agent.state_reason.as_deref(),
            micros(agent.state_changed_at),
            agent.model_bindings.0.get(),
            agent.last_seen_at.micros(),
            agent.created_at.micros(),
            agent.updated_at.micros()
        )
    }

    /// Removes a managed agent with its onboardings. Its keys stay, and no longer work.
    pub async fn delete_agent(&mut self, id: AgentId) -> Result<()> {
        self.keys_changed();
        let account = self.account().0;
        let sql = "DELETE FROM managed_agents WHERE account_id = $1 AND id = $2";
        found(execute!(self.conn, sql, account, id.0)?)
    }

    /// Adds an onboarding.
    pub async fn insert_enrollment(&mut self, enrollment: &EnrollmentRow) -> Result<()> {
        let sql = "INSERT INTO agent_enrollments (account_id, id, agent_id, enrollment_type, adapter_key, status, \
                   target_path, details, restore_available, applied_at, validated_at, restored_at, created_at, \
                   updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
        self.put_enrollment(sql, enrollment).await.map(drop)
    }

    /// Replaces what can change of an onboarding.
    pub async fn update_enrollment(&mut self, enrollment: &EnrollmentRow) -> Result<()> {
        let sql = "UPDATE agent_enrollments SET enrollment_type = $4, adapter_key = $5, status = $6, target_path = $7, \
                   details = $8, restore_available = $9, applied_at = $10, validated_at = $11, restored_at = $12, \
                   created_at = $13, updated_at = $14 WHERE account_id = $1 AND id = $2 AND agent_id = $3";
        found(self.put_enrollment(sql, enrollment).await?)
    }

    async fn put_enrollment(&mut self, sql: &'static str, enrollment: &EnrollmentRow) -> Result<u64> {
        let account = self.account().0;
        execute!(
            self.conn,
            sql,
            account,
            enrollment.id.0,
            enrollment.agent.0,
            &enrollment.enrollment_type[..],
            enrollment.adapter_key.as_deref(),
            enrollment.status.as_str(),
            enrollment.target_path.as_deref(),
            enrollment.details.0.get(),
            enrollment.restore_available,
            micros(enrollment.applied_at),
            micros(enrollment.validated_at),
            micros(enrollment.restored_at),
            enrollment.created_at.micros(),
            enrollment.updated_at.micros()
        )
    }

    /// Sets whether agents' own tools need a person where no rule speaks about them.
    pub async fn put_native_tool_approvals(&mut self, value: NativeApprovals) -> Result<()> {
        // The rest of the row is written as it is, so that there is one.
        let defaults = self.defaults().await?;
        self.put_defaults(&defaults).await?;
        let account = self.account().0;
        let sql = "UPDATE account_defaults SET native_tool_approvals = $2 WHERE account_id = $1";
        found(execute!(self.conn, sql, account, value.as_str())?)
    }
}
