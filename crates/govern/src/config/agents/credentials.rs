//! Durable credentials of managed agents: API keys that are bound to them and to none of their runs.

use std::time::Duration;

use preloop_store::KeyRow;
use preloop_types::{AgentId, CredentialKind, KeyId, Principal, Scope};
use secrecy::SecretString;

use super::{active, key_of, keys, revoke};
use crate::config::{Config, ConfigError, MintedKey, Result, limits, record::Actor};

/// How long a credential lasts unless its maker says otherwise, in days.
const DAYS: u32 = 365;
/// The longest it can last, in days.
const DAYS_MAX: u32 = 3_650;

/// A credential to be made.
#[derive(Debug, Clone, Default)]
pub struct NewCredential {
    /// Unique among the account's keys that are not revoked.
    pub name: String,
    /// How long it lasts; 365 when absent.
    pub expires_in_days: Option<u32>,
    /// Of `mcp:read`, `mcp:write`, `gateway:invoke`; all when empty.
    pub scopes: Vec<String>,
}

impl Config {
    /// Makes a durable credential for a managed agent.
    pub async fn create_credential(
        &self,
        who: &Principal,
        agent: AgentId,
        new: NewCredential,
    ) -> Result<(KeyRow, SecretString)> {
        let by = Actor::from(who);
        let user = who.user;
        let scopes = keys::scopes(who, &new.scopes)?;
        if scopes.contains(&Scope::Admin) {
            return Err(ConfigError::Refused("an agent's credential never has scope `admin`".to_owned()));
        }
        let name = limits::name("name", &new.name)?;
        let days = new.expires_in_days.unwrap_or(DAYS);
        limits::range("expires_in_days", u64::from(days), 1, u64::from(DAYS_MAX))?;
        let minted = MintedKey::new();
        let (hash, prefix) = (minted.hash, minted.prefix);
        let row = self
            .change(who.account, move |tx| {
                Box::pin(async move {
                    let agent = tx.agent(agent).await?.ok_or(ConfigError::NotFound("agent"))?;
                    active(&agent)?;
                    let all = tx.keys().await?;
                    keys::room(&all, tx.now())?;
                    if all.iter().any(|key| key.revoked_at.is_none() && key.name == name) {
                        return Err(ConfigError::Refused(format!("an API key named `{name}` already exists")));
                    }
                    let row = KeyRow {
                        id: KeyId::new(tx.now()),
                        account: by.account,
                        user,
                        kind: CredentialKind::ApiKey,
                        grant: None,
                        impersonator: by.subject.impersonator,
                        name,
                        hash,
                        prefix,
                        scopes,
                        agent: Some(agent.as_agent()),
                        session: None,
                        allowed_tools: None,
                        allowed_servers: None,
                        expires_at: Some(tx.now() + Duration::from_secs(u64::from(days) * 86_400)),
                        last_used_at: None,
                        revoked_at: None,
                        created_at: tx.now(),
                    };
                    keys::insert(tx, by, &row).await?;
                    Ok(row)
                })
            })
            .await?;
        Ok((row, minted.secret))
    }

    /// Revokes a credential of a managed agent for good.
    pub async fn revoke_credential(&self, who: &Principal, agent: AgentId, id: KeyId) -> Result<KeyRow> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let key = key_of(tx, agent, id).await?;
                revoke(tx, by, &key).await?;
                key_of(tx, agent, id).await
            })
        })
        .await
    }
}
