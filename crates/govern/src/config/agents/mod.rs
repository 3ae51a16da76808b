//! Managed agents: enrolled by their first credential or run, suspended, resumed, decommissioned.
//!
//! A credential answers for its agent: one that is not active gets nothing done, from the next request
//! on, whatever it holds. Suspending ends its runs and revokes their tokens; its durable credentials
//! come back to life when it is resumed.

mod credentials;
mod enrollments;

use preloop_store::{AgentRow, KeyRow, SessionFilter, Tx};
use preloop_types::{
    Agent, AgentId, AgentState, KeyId, Principal, UserId,
    config::{RawJson, SubjectGovernance, SubjectRef},
};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    Config, ConfigError, NewAgent, Patch, Result, governance,
    keys::{self, Shown},
    limits,
    record::{Actor, What},
};
use crate::{identify::halted, sessions};
pub use credentials::NewCredential;
pub use enrollments::{EnrollmentChange, NewEnrollment};

/// Most managed agents of an account.
const AGENTS_MAX: usize = 5_000;
/// Longest reason.
const REASON_MAX: usize = 500;
/// Most runs ended in one change; who had more is told to repeat it.
const RUNS_MAX: u32 = 1_000;

/// A change of a managed agent; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct AgentChange {
    /// Its display name.
    pub name: Option<String>,
    /// The person who answers for it.
    pub owner: Patch<UserId>,
    /// Free labels.
    pub tags: Option<Vec<String>>,
    /// Where it goes in its life.
    pub lifecycle: Option<Lifecycle>,
    /// Why.
    pub reason: Option<String>,
}

/// A step in the life of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifecycle {
    /// Nothing it does is carried out until it is resumed.
    Suspend,
    /// Its durable credentials work again.
    Resume,
    /// It is gone for good; its credentials are revoked.
    Decommission,
    /// A decommissioned one may get credentials again.
    Reenroll,
}

/// An agent as its own installation names it.
pub(super) struct Seen<'a> {
    pub(super) source_type: &'a str,
    pub(super) source_id: &'a str,
    pub(super) name: &'a str,
}

/// An agent as the journal shows it.
#[derive(Serialize)]
struct Recorded<'a> {
    name: &'a str,
    kind: &'a str,
    enrolled_via: &'a str,
    tags: &'a [String],
    owner: Option<UserId>,
    state: AgentState,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "no_bindings")]
    model_bindings: &'a RawJson,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn no_bindings(bindings: &&RawJson) -> bool {
    bindings.0.get() == "[]"
}

impl<'a> From<&'a AgentRow> for Recorded<'a> {
    fn from(row: &'a AgentRow) -> Self {
        Self {
            name: &row.name,
            kind: &row.kind,
            enrolled_via: &row.enrolled_via,
            tags: &row.tags,
            owner: row.owner,
            state: row.state,
            reason: row.state_reason.as_deref(),
            model_bindings: &row.model_bindings,
        }
    }
}

impl Config {
    /// Changes a managed agent.
    pub async fn change_agent(&self, who: &Principal, id: AgentId, change: AgentChange) -> Result<AgentRow> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| Box::pin(async move { changed(tx, by, id, change).await })).await
    }

    /// Replaces the models an agent's configuration names: a JSON list, for people and onboarding.
    pub async fn bind_models(&self, who: &Principal, id: AgentId, bindings: Box<RawValue>) -> Result<AgentRow> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let mut row = tx.agent(id).await?.ok_or(ConfigError::NotFound("agent"))?;
                let old = row.clone();
                row.model_bindings = RawJson(bindings);
                save(tx, by, &old, &mut row).await?;
                Ok(row)
            })
        })
        .await
    }

    /// Removes a managed agent: its credentials are revoked, its runs ended, what narrowed it forgotten.
    pub async fn delete_agent(&self, who: &Principal, id: AgentId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let row = tx.agent(id).await?.ok_or(ConfigError::NotFound("agent"))?;
                stop(tx, by, id, "its agent was removed", |_| true).await?;
                governance::put(tx, by, SubjectRef::Agent(id), SubjectGovernance::default()).await?;
                tx.delete_agent(id).await?;
                let none = None::<&Recorded<'_>>;
                by.credential_changed(tx, What::ManagedAgent, (id.0, &row.name), Some(&Recorded::from(&row)), none);
                Ok(())
            })
        })
        .await
    }
}

async fn changed(tx: &mut Tx<'_>, by: Actor, id: AgentId, change: AgentChange) -> Result<AgentRow> {
    let mut row = tx.agent(id).await?.ok_or(ConfigError::NotFound("agent"))?;
    let old = row.clone();
    if let Some(name) = &change.name {
        row.name = limits::name("display_name", name)?;
        if tx.agent_named(&row.name).await?.is_some_and(|other| other.id != id) {
            return Err(ConfigError::Refused(format!("an agent named `{}` already exists", row.name)));
        }
    }
    if let Some(owner) = change.owner {
        if let Some(owner) = owner
            && tx.user(owner).await?.is_none_or(|user| !user.is_active)
        {
            return Err(ConfigError::invalid("owner_user_id", "there is no such active user in this account"));
        }
        row.owner = owner;
    }
    if let Some(labels) = &change.tags {
        row.tags = tags(labels)?;
    }
    if let Some(step) = change.lifecycle {
        let reason = change.reason.as_deref().map(|text| limits::text("reason", text, REASON_MAX)).transpose()?;
        step_to(tx, by, &mut row, step, reason.filter(|text| !text.trim().is_empty())).await?;
    }
    save(tx, by, &old, &mut row).await?;
    Ok(row)
}

/// Takes a step in an agent's life; one that was taken already changes nothing.
async fn step_to(
    tx: &mut Tx<'_>,
    by: Actor,
    row: &mut AgentRow,
    step: Lifecycle,
    reason: Option<String>,
) -> Result<()> {
    let state = match (step, row.state) {
        (Lifecycle::Suspend | Lifecycle::Resume, AgentState::Decommissioned) => {
            let message = format!("agent `{}` is decommissioned; re-enroll it first", row.name);
            return Err(ConfigError::Refused(message));
        }
        (Lifecycle::Suspend, _) => AgentState::Suspended,
        (Lifecycle::Reenroll, AgentState::Suspended) => {
            return Err(ConfigError::Refused(format!("agent `{}` is suspended; resume it", row.name)));
        }
        (Lifecycle::Resume | Lifecycle::Reenroll, _) => AgentState::Active,
        (Lifecycle::Decommission, _) => AgentState::Decommissioned,
    };
    if state == row.state {
        return Ok(());
    }
    match state {
        // Tokens of runs go with their runs; durable credentials wait for the agent to be resumed.
        AgentState::Suspended => stop(tx, by, row.id, "its agent was suspended", |key| key.session.is_some()).await?,
        AgentState::Decommissioned => stop(tx, by, row.id, "its agent was decommissioned", |_| true).await?,
        AgentState::Active => {}
    }
    row.state = state;
    row.state_reason = reason.filter(|_| state != AgentState::Active);
    row.state_changed_at = Some(tx.now());
    Ok(())
}

/// Ends the runs of an agent and revokes those of its keys that `revoked` says.
async fn stop(
    tx: &mut Tx<'_>,
    by: Actor,
    id: AgentId,
    reason: &str,
    revoked: impl Fn(&KeyRow) -> bool + Send,
) -> Result<()> {
    loop {
        let open = SessionFilter { ended: Some(false), agent: Some(id), limit: RUNS_MAX, ..SessionFilter::default() };
        let runs = tx.runtime_sessions(open).await?;
        for run in &runs {
            sessions::end(tx, run.id, by.subject, reason, false).await?;
        }
        if runs.len() < RUNS_MAX as usize {
            break;
        }
    }
    let keys = tx.keys().await?;
    let bound = |key: &&KeyRow| key.agent.as_ref().is_some_and(|agent| agent.id == id) && key.revoked_at.is_none();
    for key in keys.iter().filter(bound).filter(|key| revoked(key)) {
        revoke(tx, by, key).await?;
    }
    Ok(())
}

async fn revoke(tx: &mut Tx<'_>, by: Actor, key: &KeyRow) -> Result<()> {
    if tx.revoke_key(key.id).await? {
        let shown = Shown::from(key);
        by.credential_changed(tx, What::ApiKey, (key.id.0, &key.name), Some(&shown), None::<&Shown<'_>>);
    }
    Ok(())
}

async fn save(tx: &mut Tx<'_>, by: Actor, old: &AgentRow, row: &mut AgentRow) -> Result<()> {
    if old == row {
        return Ok(());
    }
    row.updated_at = tx.now();
    tx.update_agent(row).await?;
    let (old, new) = (Recorded::from(old), Recorded::from(&*row));
    by.credential_changed(tx, What::ManagedAgent, (row.id.0, &row.name), Some(&old), Some(&new));
    Ok(())
}

fn tags(labels: &[String]) -> Result<Vec<String>> {
    limits::count("tags", labels.len(), limits::ITEMS_MAX)?;
    let mut tags = labels.iter().map(|tag| limits::name("tags", tag)).collect::<Result<Vec<_>>>()?;
    tags.sort();
    tags.dedup();
    Ok(tags)
}

// === Enrolled by a credential or a run ===

/// The agent a key is made for: the one of that name, as it is described now, or a new one.
pub(super) async fn bound(tx: &mut Tx<'_>, by: Actor, owner: UserId, new: &NewAgent) -> Result<Agent> {
    let name = limits::name("agent.name", &new.name)?;
    let kind = limits::name("agent.kind", new.kind.as_deref().unwrap_or("custom"))?;
    let labels = tags(&new.tags)?;
    if let Some(known) = tx.agent_named(&name).await? {
        active(&known)?;
        let mut row = known.clone();
        if new.kind.is_some() {
            row.kind = kind;
        }
        if !labels.is_empty() {
            row.tags = labels;
        }
        save(tx, by, &known, &mut row).await?;
        return Ok(row.as_agent());
    }
    let seen = Seen { source_type: &kind, source_id: &name, name: &name };
    Ok(enroll(tx, by, owner, &seen, None, ("api_key", labels)).await?.as_agent())
}

/// The agent that a run belongs to: the one its installation calls so, else the one of that name, else a
/// new one.
pub(super) async fn seen(
    tx: &mut Tx<'_>,
    by: Actor,
    owner: UserId,
    seen: &Seen<'_>,
    reference: Option<&str>,
) -> Result<Agent> {
    let known = match tx.agent_of_source(seen.source_type, seen.source_id).await? {
        Some(known) => Some(known),
        None => tx.agent_named(seen.name).await?,
    };
    let Some(known) = known else {
        return Ok(enroll(tx, by, owner, seen, reference, ("runtime_token", Vec::new())).await?.as_agent());
    };
    active(&known)?;
    let mut row = known.clone();
    row.last_seen_at = tx.now();
    row.reference = reference.map(str::to_owned).or(row.reference);
    if row.reference != known.reference || row.last_seen_at != known.last_seen_at {
        tx.update_agent(&row).await?;
    }
    Ok(row.as_agent())
}

async fn enroll(
    tx: &mut Tx<'_>,
    by: Actor,
    owner: UserId,
    seen: &Seen<'_>,
    reference: Option<&str>,
    (via, tags): (&str, Vec<String>),
) -> Result<AgentRow> {
    limits::room("managed agents", tx.agents().await?.len(), AGENTS_MAX)?;
    let now = tx.now();
    let id = AgentId::new(now);
    // Another agent's installation may call itself so: then this one is known by its own id.
    let taken = tx.agent_of_source(seen.source_type, seen.source_id).await?.is_some();
    let row = AgentRow {
        id,
        account: by.account,
        name: seen.name.to_owned(),
        kind: seen.source_type.to_owned(),
        source_type: seen.source_type.to_owned(),
        source_id: if taken { id.to_string() } else { seen.source_id.to_owned() },
        reference: reference.map(str::to_owned),
        enrolled_via: via.to_owned(),
        tags,
        owner: Some(owner),
        state: AgentState::Active,
        state_reason: None,
        state_changed_at: None,
        model_bindings: RawJson(RawValue::from_string("[]".to_owned()).unwrap_or_default()),
        last_seen_at: now,
        created_at: now,
        updated_at: now,
    };
    tx.insert_agent(&row).await?;
    let none = None::<&Recorded<'_>>;
    by.credential_changed(tx, What::ManagedAgent, (id.0, &row.name), none, Some(&Recorded::from(&row)));
    Ok(row)
}

/// Whether an agent may get credentials.
fn active(row: &AgentRow) -> Result<()> {
    if row.state == AgentState::Active {
        return Ok(());
    }
    Err(ConfigError::Forbidden(halted(&row.name, row.state, row.state_reason.as_deref())))
}

/// The key of an agent, revoked or not.
async fn key_of(tx: &mut Tx<'_>, agent: AgentId, id: KeyId) -> Result<KeyRow> {
    let key = tx.key(id).await?.filter(|key| key.agent.as_ref().is_some_and(|bound| bound.id == agent));
    key.ok_or(ConfigError::NotFound("credential"))
}
