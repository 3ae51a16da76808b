use preloop_types::{AccountId, Agent, Hash, KeyId, Scope, SessionId, Timestamp, UserId};

use crate::{Result, Tx, User, View};

/// An API key. The secret itself is never stored.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRow {
    /// Its id.
    pub id: KeyId,
    /// Whose.
    pub account: AccountId,
    /// The person it belongs to.
    pub user: UserId,
    /// Unique in the account among keys that are not revoked.
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
}

impl View<'_> {
    /// Every key, newest first, revoked ones too.
    pub async fn keys(&mut self) -> Result<Vec<KeyRow>> {
        todo!()
    }
    /// One key.
    pub async fn key(&mut self, _id: KeyId) -> Result<Option<KeyRow>> {
        todo!()
    }
}

impl Tx<'_> {
    /// Adds a key.
    pub async fn insert_key(&mut self, _key: &KeyRow) -> Result<()> {
        todo!()
    }
    /// Revokes a key for good; false if it was already.
    pub async fn revoke_key(&mut self, _id: KeyId) -> Result<bool> {
        todo!()
    }
}
