//! API keys: made here, shown once, kept as a hash.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use preloop_store::{KeyRow, Tx};
use preloop_types::{
    Agent, CredentialKind, Hash, KeyId, ModelPattern, Permission, Principal, Scope, Timestamp,
    config::{SubjectGovernance, SubjectRef},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use super::{
    Config, ConfigError, Result, agents, governance, limits,
    record::{Actor, What},
};

/// A key to be made.
#[derive(Debug, Clone, Default)]
pub struct NewApiKey {
    /// Unique among the account's keys that are not revoked.
    pub name: String,
    /// `mcp:read`, `mcp:write`, `gateway:invoke`, `admin`; all but the last when empty.
    pub scopes: Vec<String>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// The only tools it may see.
    pub allowed_tools: Option<Vec<String>>,
    /// The only servers whose tools it may see.
    pub allowed_servers: Option<Vec<String>>,
    /// The only models it may use; any when empty.
    pub allowed_models: Vec<String>,
    /// The managed agent it is for.
    pub agent: Option<NewAgent>,
}

/// A managed agent as a key is made for it. The agent of that name is meant where there is one.
#[derive(Debug, Clone, Default)]
pub struct NewAgent {
    /// Its display name.
    pub name: String,
    /// What kind of agent it is (`claude_code`, `codex`, …); `custom` when absent.
    pub kind: Option<String>,
    /// Free labels, for budgets and rules.
    pub tags: Vec<String>,
}

/// A new secret and what is kept of it.
pub struct MintedKey {
    /// `pl_` and 43 characters of 32 random bytes.
    pub secret: SecretString,
    /// What it is looked up by.
    pub hash: Hash,
    /// What people recognise it by.
    pub prefix: String,
}

impl MintedKey {
    /// A fresh secret.
    pub fn new() -> Self {
        Self::with_prefix(PREFIX)
    }

    /// A fresh secret that begins otherwise.
    pub fn with_prefix(prefix: &str) -> Self {
        let bytes: [u8; 32] = rand::random();
        Self::preset(SecretString::from(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
    }

    /// A secret chosen elsewhere.
    pub fn preset(secret: SecretString) -> Self {
        let text = secret.expose_secret();
        let (hash, prefix) = (Hash::of(text), text.chars().take(PREFIX_SHOWN).collect());
        Self { secret, hash, prefix }
    }
}

impl Default for MintedKey {
    fn default() -> Self {
        Self::new()
    }
}

const PREFIX: &str = "pl_";
const PREFIX_SHOWN: usize = 12;

/// A key as the journal shows it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    name: &'a str,
    prefix: &'a str,
    scopes: &'a [Scope],
    allowed_tools: &'a Option<Vec<String>>,
    allowed_servers: &'a Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    agent: &'a Option<Agent>,
    expires_at: Option<Timestamp>,
}

impl<'a> From<&'a KeyRow> for Shown<'a> {
    fn from(row: &'a KeyRow) -> Self {
        Shown {
            name: &row.name,
            prefix: &row.prefix,
            scopes: &row.scopes,
            allowed_tools: &row.allowed_tools,
            allowed_servers: &row.allowed_servers,
            agent: &row.agent,
            expires_at: row.expires_at,
        }
    }
}

impl Config {
    /// The keys the caller may see, newest first, revoked ones too: their own, and with
    /// `manage_api_keys` everybody's.
    pub async fn keys(&self, who: &Principal) -> Result<Vec<KeyRow>> {
        let mut keys = self.store.account(who.account).keys().await?;
        keys.retain(|key| may_touch(who, key));
        Ok(keys)
    }

    /// One of them.
    pub async fn key(&self, who: &Principal, id: KeyId) -> Result<KeyRow> {
        let key = self.store.account(who.account).key(id).await?;
        touchable(who, key)
    }

    /// Makes a key for the caller. It can do no more than the caller's own.
    pub async fn create_key(&self, who: &Principal, new: NewApiKey) -> Result<(KeyRow, SecretString)> {
        let by = Actor::from(who);
        let user = who.user;
        let scopes = scopes(who, &new.scopes)?;
        within("allowed_tools", who.allowed_tools.as_ref(), new.allowed_tools.as_ref())?;
        within("allowed_servers", who.allowed_servers.as_ref(), new.allowed_servers.as_ref())?;
        let name = limits::name("name", &new.name)?;
        for list in [&new.allowed_tools, &new.allowed_servers].into_iter().flatten() {
            limits::count("allowed_tools", list.len(), 1_000)?;
            list.iter().try_for_each(|name| limits::named("allowed_tools", name, 256).map(drop))?;
        }
        let allowed_models: Vec<_> = new.allowed_models.into_iter().map(ModelPattern).collect();
        limits::model_patterns("allowed_models", &allowed_models)?;
        let minted = MintedKey::new();
        let (hash, prefix) = (minted.hash, minted.prefix);
        let row = self
            .change(who.account, move |tx| {
                Box::pin(async move {
                    let keys = tx.keys().await?;
                    room(&keys, tx.now())?;
                    if keys.iter().any(|key| key.revoked_at.is_none() && key.name == name) {
                        return Err(ConfigError::Refused(format!("an API key named `{name}` already exists")));
                    }
                    if new.expires_at.is_some_and(|end| end <= tx.now()) {
                        return Err(ConfigError::invalid("expires_at", "is in the past"));
                    }
                    let agent = match &new.agent {
                        Some(agent) => Some(agents::bound(tx, by, user, agent).await?),
                        None => None,
                    };
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
                        agent,
                        session: None,
                        allowed_tools: new.allowed_tools,
                        allowed_servers: new.allowed_servers,
                        expires_at: new.expires_at,
                        last_used_at: None,
                        revoked_at: None,
                        created_at: tx.now(),
                    };
                    insert(tx, by, &row).await?;
                    if !allowed_models.is_empty() {
                        let governance = SubjectGovernance { allowed_models, ..SubjectGovernance::default() };
                        governance::put(tx, by, SubjectRef::Key(row.id), governance).await?;
                    }
                    Ok(row)
                })
            })
            .await?;
        Ok((row, minted.secret))
    }

    /// Revokes a key for good. What it is doing now ends with its next call. Not the caller's own:
    /// nobody locks themselves out by mistake.
    pub async fn revoke_key(&self, who: &Principal, id: KeyId) -> Result<()> {
        let by = Actor::from(who);
        if id == who.key {
            return Err(ConfigError::Refused("this is the key of this request; revoke it with another key".into()));
        }
        let who = who.clone();
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let row = touchable(&who, tx.key(id).await?)?;
                if tx.revoke_key(id).await? {
                    let shown = Shown::from(&row);
                    by.credential_changed(tx, What::ApiKey, (id.0, &row.name), Some(&shown), None::<&Shown<'_>>);
                }
                Ok(())
            })
        })
        .await
    }
}

/// The key, if it is one that people make and the caller's business.
fn touchable(who: &Principal, key: Option<KeyRow>) -> Result<KeyRow> {
    let key = key.filter(|key| key.kind == CredentialKind::ApiKey).ok_or(ConfigError::NotFound("API key"))?;
    if may_touch(who, &key) { Ok(key) } else { Err(ConfigError::lacks(Permission::ManageApiKeys)) }
}

/// One's own keys are one's own business.
fn may_touch(who: &Principal, key: &KeyRow) -> bool {
    key.user == who.user || who.may(Permission::ManageApiKeys)
}

/// Whoever holds a narrowed key makes no wider one.
fn within(field: &str, own: Option<&Vec<String>>, wanted: Option<&Vec<String>>) -> Result<()> {
    let Some(own) = own else { return Ok(()) };
    match wanted {
        Some(wanted) if wanted.iter().all(|name| own.contains(name)) => Ok(()),
        _ => Err(ConfigError::invalid(field, "reaches further than your own credential does")),
    }
}

/// Adds a key and its record. Not for whoever acts in somebody's place: a key would outlive that.
pub(super) async fn insert(tx: &mut Tx<'_>, by: Actor, row: &KeyRow) -> Result<()> {
    if by.subject.impersonator.is_some() {
        return Err(ConfigError::Forbidden("credentials cannot be made in somebody else's place".to_owned()));
    }
    tx.insert_key(row).await?;
    let shown = Shown::from(row);
    by.credential_changed(tx, What::ApiKey, (row.id.0, &row.name), None::<&Shown<'_>>, Some(&shown));
    Ok(())
}

/// There is room for one more key among those that still work.
pub(super) fn room(keys: &[KeyRow], now: Timestamp) -> Result<()> {
    let works = |key: &&KeyRow| key.revoked_at.is_none() && key.expires_at.is_none_or(|end| end > now);
    limits::room("API keys", keys.iter().filter(works).count(), limits::KEYS_MAX)
}

pub(super) fn scopes(who: &Principal, words: &[String]) -> Result<Vec<Scope>> {
    if words.is_empty() {
        return Ok(Scope::AGENT.to_vec());
    }
    let mut scopes = Vec::new();
    for word in words {
        let scope = Scope::parse(word).ok_or_else(|| {
            ConfigError::Refused(format!(
                "scope `{word}` is not one of `mcp:read`, `mcp:write`, `gateway:invoke`, `admin`, `push_proxy`, `scim`"
            ))
        })?;
        if !who.has_scope(Scope::Admin) && !who.has_scope(scope) {
            return Err(ConfigError::Forbidden(format!("your own credential does not have scope `{word}`")));
        }
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}
