//! Short-lived credentials of one run of an agent.

use std::time::Duration;

use preloop_store::{KeyRow, NewSession, Opened};
use preloop_types::config::{SubjectGovernance, SubjectRef};
use preloop_types::{CredentialKind, Entry, EntryKind, KeyId, ModelPattern, Principal, Scope, SessionId, Subject};
use secrecy::SecretString;
use serde_json::value::to_raw_value;

use super::{
    Config, ConfigError, MintedKey, Result,
    agents::{self, Seen},
    governance, keys, limits,
    record::{Actor, What},
};

/// A token to be made, with the run it is for.
#[derive(Debug, Clone, Default)]
pub struct NewSessionToken {
    /// What kind of agent: `claude_code`, `codex`, `custom`, … .
    pub source_type: String,
    /// What the agent calls the run.
    pub source_id: String,
    /// For people: where it runs.
    pub reference: Option<String>,
    /// What the managed agent's installation calls the agent, over all its runs; its name when absent.
    pub agent_id: Option<String>,
    /// The managed agent's name; its kind when absent.
    pub agent_name: Option<String>,
    /// How long the token lasts.
    pub lifetime: Duration,
    /// Of `mcp:read`, `mcp:write`, `gateway:invoke`; all when empty.
    pub scopes: Vec<String>,
    /// The only tools it may see.
    pub allowed_tools: Option<Vec<String>>,
    /// The only servers whose tools it may see.
    pub allowed_servers: Option<Vec<String>>,
    /// The only models it may use; any when empty.
    pub allowed_models: Vec<String>,
}

/// A token as it was made.
pub struct SessionToken {
    /// The key behind it.
    pub key: KeyRow,
    /// The token itself: nowhere else.
    pub secret: SecretString,
    /// The run it is bound to.
    pub session: SessionId,
}

const SOURCE_TYPE_MAX: usize = 64;
const SOURCE_ID_MAX: usize = 255;

impl Config {
    /// Makes a token for a run of an agent: the open one of that name, or a new one. It is never for a
    /// person: it cannot administer anything.
    pub async fn create_session_token(&self, who: &Principal, new: NewSessionToken) -> Result<SessionToken> {
        let by = Actor::from(who);
        let user = who.user;
        let scopes = keys::scopes(who, &new.scopes)?;
        if scopes.contains(&Scope::Admin) {
            return Err(ConfigError::Refused("a token of an agent's run never has scope `admin`".to_owned()));
        }
        let source_type = limits::named("session_source_type", &new.source_type, SOURCE_TYPE_MAX)?;
        let source_id = limits::named("session_source_id", &new.source_id, SOURCE_ID_MAX)?;
        let reference = new.reference.as_deref().filter(|text| !text.is_empty());
        let reference = reference.map(|text| limits::named("session_reference", text, SOURCE_ID_MAX)).transpose()?;
        let agent_name = new.agent_name.unwrap_or_else(|| source_type.clone());
        let agent_name = limits::name("runtime_principal_name", &agent_name)?;
        let agent_id = new.agent_id.as_deref().unwrap_or(&agent_name);
        let agent_id = limits::named("runtime_principal_id", agent_id, SOURCE_ID_MAX)?;
        let allowed_models: Vec<_> = new.allowed_models.into_iter().map(ModelPattern).collect();
        let minted = MintedKey::new();
        let (hash, prefix) = (minted.hash, minted.prefix);
        let (key, session) = self
            .change(who.account, move |tx| {
                Box::pin(async move {
                    let all = tx.keys().await?;
                    keys::room(&all, tx.now())?;
                    let seen = Seen { source_type: &source_type, source_id: &agent_id, name: &agent_name };
                    let agent = agents::seen(tx, by, user, &seen, reference.as_deref()).await?;
                    let id = KeyId::new(tx.now());
                    let principal = format!("agent:{}", agent.id);
                    let opened = tx
                        .begin_session(&NewSession {
                            // As if the agent itself named the run in each request.
                            identity: format!("{principal}/x/{source_id}"),
                            source_type: source_type.clone(),
                            source_id: Some(source_id.clone()),
                            principal,
                            user,
                            key: id,
                            agent: Some(agent.id),
                            parent: None,
                            client: reference.clone(),
                            idle_since: None,
                        })
                        .await?;
                    let subject = Subject { agent: Some(agent.id), ..by.subject };
                    let session = match opened {
                        Opened::Open(session) => session,
                        Opened::Begun(session) => {
                            let body = serde_json::json!({
                                "source_type": source_type, "source_id": source_id, "client": reference,
                            });
                            tx.record(Entry {
                                account: by.account,
                                kind: EntryKind::SessionStarted,
                                call: None,
                                subject: Subject { session: Some(session), ..subject },
                                body: to_raw_value(&body).unwrap_or_default(),
                                payload: None,
                            });
                            session
                        }
                        Opened::Blocked => {
                            return Err(ConfigError::Forbidden(format!(
                                "agent `{}` is suspended: its last session was ended with a block; unblock it first",
                                agent.name
                            )));
                        }
                    };
                    let row = KeyRow {
                        id,
                        account: by.account,
                        user,
                        kind: CredentialKind::ApiKey,
                        grant: None,
                        impersonator: by.subject.impersonator,
                        name: format!("session {id}"),
                        hash,
                        prefix,
                        scopes,
                        agent: Some(agent),
                        session: Some(session),
                        allowed_tools: new.allowed_tools,
                        allowed_servers: new.allowed_servers,
                        expires_at: Some(tx.now() + new.lifetime),
                        last_used_at: None,
                        revoked_at: None,
                        created_at: tx.now(),
                    };
                    keys::insert(tx, by, &row).await?;
                    if !allowed_models.is_empty() {
                        let governance = SubjectGovernance { allowed_models, ..SubjectGovernance::default() };
                        governance::put(tx, by, SubjectRef::Key(id), governance).await?;
                    }
                    Ok((row, session))
                })
            })
            .await?;
        Ok(SessionToken { key, secret: minted.secret, session })
    }

    /// Revokes every credential that is bound to a run.
    pub async fn revoke_session_keys(&self, who: &Principal, session: SessionId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let keys = tx.keys().await?;
                for key in keys.iter().filter(|key| key.session == Some(session) && key.revoked_at.is_none()) {
                    tx.revoke_key(key.id).await?;
                    let shown = keys::Shown::from(key);
                    let (id, name) = (key.id.0, &key.name[..]);
                    by.credential_changed(tx, What::ApiKey, (id, name), Some(&shown), None::<&keys::Shown<'_>>);
                }
                Ok(())
            })
        })
        .await
    }
}
