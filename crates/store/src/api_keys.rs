use preloop_types::{
    AccountId, Agent, AgentId, AgentState, Audience, CredentialKind, GrantId, Hash, KeyId, PermissionSet, Scope,
    SessionId, Timestamp, User, UserId,
};
use uuid::Uuid;

use crate::{
    Error, Result, Store, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, from_json, hash, json, micros, opt_from_json, opt_json, row, word},
};

/// An API key, or an access token: whatever a bearer may come with. The secret itself is never stored.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// Whose.
    pub account: AccountId,
    /// The person it belongs to.
    pub user: UserId,
    /// What kind of credential it is.
    pub kind: CredentialKind,
    /// What an access token was given out under.
    pub grant: Option<GrantId>,
    /// Who acts in the person's place.
    pub impersonator: Option<UserId>,
    /// Of a key: unique in the account among keys that are not revoked.
    pub name: String,
    /// SHA-256 of the secret.
    pub hash: Hash,
    /// The secret's first characters, for people.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// The managed agent it is bound to.
    pub agent: Option<Agent>,
    /// The agent run it is bound to.
    pub session: Option<SessionId>,
    /// The only tools it may see.
    pub allowed_tools: Option<Vec<String>>,
    /// The only servers whose tools it may see.
    pub allowed_servers: Option<Vec<String>>,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, give or take some seconds.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A key found by its secret's hash, with its owner.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundKey {
    /// The key.
    pub key: KeyRow,
    /// The person it belongs to.
    pub user: User,
    /// What their roles allow.
    pub permissions: PermissionSet,
    /// Where the key may be presented.
    pub audience: Audience,
    /// How the agent it is bound to stands.
    pub standing: AgentStanding,
}

/// How the agent that a credential is bound to stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentStanding {
    /// It is bound to none.
    Unbound,
    /// In this state, for this reason.
    Known(AgentState, Option<String>),
    /// It was removed.
    Removed,
}

row! {
    struct StoredKey {
        id: Uuid, account_id: Uuid, user_id: Uuid, kind: String, grant_id: Option<Uuid>, impersonator_id: Option<Uuid>,
        name: String, hash: Vec<u8>, prefix: String, scopes: String,
        agent_id: Option<Uuid>, agent_name: Option<String>, agent_kind: Option<String>, agent_tags: Option<String>,
        agent_state: Option<String>, agent_reason: Option<String>, session_id: Option<Uuid>, allowed_tools: Option<String>,
        allowed_servers: Option<String>, expires_at: Option<i64>, last_used_at: Option<i64>,
        revoked_at: Option<i64>, created_at: i64,
    }
}

/// Every key with the agent it is bound to.
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT k.*, a.name AS agent_name, a.kind AS agent_kind, a.tags AS agent_tags, a.state AS agent_state, \
             a.state_reason AS agent_reason FROM api_keys k \
             LEFT JOIN managed_agents a ON a.account_id = k.account_id AND a.id = k.agent_id ",
            $rest
        )
    };
}

impl StoredKey {
    fn standing(&self) -> Result<AgentStanding> {
        Ok(match (self.agent_id, &self.agent_state) {
            (None, _) => AgentStanding::Unbound,
            (Some(_), None) => AgentStanding::Removed,
            (Some(_), Some(state)) => AgentStanding::Known(word(AgentState::parse, state)?, self.agent_reason.clone()),
        })
    }

    fn agent(&self) -> Result<Option<Agent>> {
        let (Some(id), Some(name), Some(kind)) = (self.agent_id, &self.agent_name, &self.agent_kind) else {
            return Ok(None);
        };
        let tags = opt_from_json(self.agent_tags.as_deref())?.unwrap_or_default();
        Ok(Some(Agent { id: AgentId(id), name: name.clone(), kind: kind.clone(), tags }))
    }

    fn into_key(self) -> Result<KeyRow> {
        Ok(KeyRow {
            agent: self.agent()?,
            id: KeyId(self.id),
            account: AccountId(self.account_id),
            user: UserId(self.user_id),
            kind: word(CredentialKind::parse, &self.kind)?,
            grant: self.grant_id.map(GrantId),
            impersonator: self.impersonator_id.map(UserId),
            name: self.name,
            hash: hash(&self.hash)?,
            prefix: self.prefix,
            scopes: from_json(&self.scopes)?,
            session: self.session_id.map(SessionId),
            allowed_tools: opt_from_json(self.allowed_tools.as_deref())?,
            allowed_servers: opt_from_json(self.allowed_servers.as_deref())?,
            expires_at: self.expires_at.map(at),
            last_used_at: self.last_used_at.map(at),
            revoked_at: self.revoked_at.map(at),
            created_at: at(self.created_at),
        })
    }
}

impl KeyRow {
    /// What its bearer is known by, in records and approvals: access tokens come and go, their grant stays.
    pub fn credential(&self) -> KeyId {
        self.grant.map_or(self.id, |grant| KeyId(grant.0))
    }
}

impl Store {
    /// The key of that hash, revoked and expired ones too, with its owner. Unscoped: a credential
    /// comes before the account is known.
    pub async fn find_key(&self, hash: &Hash) -> Result<Option<FoundKey>> {
        let mut reader = self.reader().await?;
        let mut conn = reader.conn();
        let sql = select!("WHERE k.hash = $1");
        let Some(key) = fetch_optional!(conn, StoredKey, sql, &hash.0[..])? else { return Ok(None) };
        let standing = key.standing()?;
        let key = key.into_key()?;
        let mut view = View::new(conn, key.account, self.vault());
        let user = view.user(key.user).await?;
        let user = user.ok_or_else(|| Error::Damaged("a key without its owner".to_owned()))?;
        let permissions = view.permissions_of(&user).await?;
        let audience = view.audience_of(key.grant).await?;
        Ok(Some(FoundKey { key, user, permissions, audience, standing }))
    }
}

impl View<'_> {
    /// Every key, newest first, revoked ones too; no access tokens.
    pub async fn keys(&mut self) -> Result<Vec<KeyRow>> {
        let account = self.account().0;
        let sql = select!("WHERE k.account_id = $1 AND k.kind = 'api_key' ORDER BY k.created_at DESC, k.id DESC");
        fetch_all!(self.conn, StoredKey, sql, account)?.into_iter().map(StoredKey::into_key).collect()
    }

    /// The credential known by that id, a key or a grant, with its owner.
    pub async fn credential(&mut self, id: KeyId) -> Result<Option<FoundKey>> {
        let (key, standing) = match self.stored_key(id).await? {
            Some(key) => {
                let standing = key.standing()?;
                (key.into_key()?, standing)
            }
            None => match self.grant(GrantId(id.0)).await? {
                Some(grant) => (grant.as_key(self.account()), AgentStanding::Unbound),
                None => return Ok(None),
            },
        };
        let Some(user) = self.user(key.user).await? else { return Ok(None) };
        let permissions = self.permissions_of(&user).await?;
        let audience = self.audience_of(key.grant).await?;
        Ok(Some(FoundKey { key, user, permissions, audience, standing }))
    }

    /// One key.
    pub async fn key(&mut self, id: KeyId) -> Result<Option<KeyRow>> {
        self.stored_key(id).await?.map(StoredKey::into_key).transpose()
    }

    async fn stored_key(&mut self, id: KeyId) -> Result<Option<StoredKey>> {
        let account = self.account().0;
        let sql = select!("WHERE k.account_id = $1 AND k.id = $2");
        fetch_optional!(self.conn, StoredKey, sql, account, id.0)
    }
}

impl Tx<'_> {
    /// Adds a key. The agent it is bound to has a row already.
    pub async fn insert_key(&mut self, key: &KeyRow) -> Result<()> {
        self.keys_changed();
        self.put_key(key).await
    }

    pub(crate) async fn put_key(&mut self, key: &KeyRow) -> Result<()> {
        let account = self.account();
        if key.account != account {
            return Err(Error::NotFound);
        }
        let sql = "INSERT INTO api_keys (account_id, id, user_id, kind, grant_id, impersonator_id, name, hash, prefix, \
                   scopes, agent_id, session_id, allowed_tools, allowed_servers, expires_at, last_used_at, revoked_at, \
                   created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)";
        execute!(
            self.conn,
            sql,
            account.0,
            key.id.0,
            key.user.0,
            key.kind.as_str(),
            key.grant.map(|id| id.0),
            key.impersonator.map(|id| id.0),
            &key.name[..],
            &key.hash.0[..],
            &key.prefix[..],
            json(&key.scopes)?,
            key.agent.as_ref().map(|agent| agent.id.0),
            key.session.map(|id| id.0),
            opt_json(key.allowed_tools.as_ref())?,
            opt_json(key.allowed_servers.as_ref())?,
            micros(key.expires_at),
            micros(key.last_used_at),
            micros(key.revoked_at),
            key.created_at.micros()
        )?;
        Ok(())
    }

    /// Revokes a key for good; false if it was already.
    pub async fn revoke_key(&mut self, id: KeyId) -> Result<bool> {
        self.keys_changed();
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE api_keys SET revoked_at = $3 WHERE account_id = $1 AND id = $2 AND revoked_at IS NULL";
        if execute!(self.conn, sql, account, id.0, now)? > 0 {
            return Ok(true);
        }
        self.key(id).await?.map(|_| false).ok_or(Error::NotFound)
    }
}
