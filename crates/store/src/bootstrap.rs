use preloop_types::{AccountId, Hash, KeyId, Scope, UserId};

/// Who the first account belongs to.
#[derive(Debug, Clone)]
pub struct NewOwner {
    /// Their name.
    pub username: String,
    /// Where mail goes.
    pub email: Option<String>,
    /// Display name.
    pub full_name: Option<String>,
    /// Their first API key.
    pub key: Option<NewKey>,
}

/// A key to be made for the owner.
#[derive(Debug, Clone)]
pub struct NewKey {
    /// Its name.
    pub name: String,
    /// SHA-256 of the secret.
    pub hash: Hash,
    /// The secret's first characters.
    pub prefix: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
}

/// The first account.
#[derive(Debug, Clone, Copy)]
pub struct Owner {
    /// The account.
    pub account: AccountId,
    /// Its owner.
    pub user: UserId,
    /// The owner's key, if one was asked for.
    pub key: Option<KeyId>,
}
