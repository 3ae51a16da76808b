use std::collections::BTreeMap;

use preloop_types::{
    AccountId, CredentialKind, Entry, EntryKind, Hash, KeyId, Role, Scope, Subject, User, UserId, WorkflowId,
    config::{Channels, Workflow},
};
use serde_json::{Value, json, value::to_raw_value};

use crate::{
    Error, KeyRow, Result, Store, Tx,
    db::{execute, fetch_optional},
};

/// What every account begins with.
const DEFAULT_WORKFLOW: &str = "Default Approval Workflow";
const DEFAULT_TIMEOUT_SECONDS: u32 = 300;

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

impl Store {
    /// Makes the first account with its owner, default workflow and, if asked for, key; `None` if there
    /// is an account already.
    pub async fn bootstrap(&self, owner: NewOwner) -> Result<Option<Owner>> {
        let account = AccountId::new(self.now());
        self.write(account, move |tx| {
            Box::pin(async move {
                if !tx.is_first_account().await? {
                    return Ok(None);
                }
                let made = tx.make_account(owner).await?;
                // Whoever the instance was made for looks after it.
                tx.set_superuser(made.user, true).await?;
                Ok(Some(made))
            })
        })
        .await
    }

    /// Makes a further account with its owner, default workflow and, if asked for, key.
    pub async fn create_account(&self, owner: NewOwner) -> Result<Owner> {
        let account = AccountId::new(self.now());
        self.write(account, move |tx| Box::pin(async move { tx.make_account(owner).await })).await
    }
}

impl Tx<'_> {
    /// Whether there is no account yet. Holds until this work is committed.
    async fn is_first_account(&mut self) -> Result<bool> {
        // Of nodes that start together one gets past this row at a time.
        execute!(self.conn, "UPDATE instance SET created_at = created_at WHERE id = 1")?;
        Ok(fetch_optional!(self.conn, (i64,), "SELECT created_at FROM accounts LIMIT 1")?.is_none())
    }

    /// Makes the account this work is about, with its owner, default workflow and, if asked for, key.
    pub async fn make_account(&mut self, owner: NewOwner) -> Result<Owner> {
        if owner.username.trim().is_empty() {
            return Err(Error::Invalid("the owner needs a `username`".to_owned()));
        }
        let (account, now) = (self.account(), self.now());
        let user = UserId::new(now);
        let data_key = self.vault().new_account_key(account);
        let sql = "INSERT INTO accounts (id, owner_id, data_key, created_at) VALUES ($1, $2, $3, $4)";
        execute!(self.conn, sql, account.0, user.0, data_key, now.micros())?;

        let NewOwner { username, email, full_name, key } = owner;
        self.insert_user(&User { email, full_name, ..User::new(user, username, now) }).await?;
        self.grant_user_role(user, Role::Owner, None).await?;
        let workflow = Workflow {
            id: WorkflowId::new(now),
            name: DEFAULT_WORKFLOW.to_owned(),
            description: None,
            timeout_seconds: DEFAULT_TIMEOUT_SECONDS,
            require_reason: false,
            is_default: true,
            async_approval: false,
            approvals_required: 1,
            settings: preloop_types::config::WorkflowSettings::default(),
            approvers: vec![user],
            channels: Channels::default(),
            extra: BTreeMap::new(),
            created_at: now,
            updated_at: now,
            deleted_at: None,
        };
        self.insert_workflow(&workflow).await?;
        let made = |what, id: &dyn std::fmt::Display| json!({ "config_type": what, "action": "created", "id": id.to_string() });
        self.note(EntryKind::ConfigChanged, user, &made("account", &account))?;
        self.note(EntryKind::ConfigChanged, user, &made("user", &user))?;
        self.note(EntryKind::ConfigChanged, user, &made("approval_workflow", &workflow.id))?;

        let mut key_id = None;
        if let Some(NewKey { name, hash, prefix, scopes }) = key {
            let id = *key_id.insert(KeyId::new(now));
            let body = json!({ "action": "created", "id": id, "name": name, "prefix": prefix, "scopes": scopes });
            self.insert_key(&KeyRow {
                id,
                account,
                user,
                kind: CredentialKind::ApiKey,
                grant: None,
                impersonator: None,
                name,
                hash,
                prefix,
                scopes,
                agent: None,
                session: None,
                allowed_tools: None,
                allowed_servers: None,
                expires_at: None,
                last_used_at: None,
                revoked_at: None,
                created_at: now,
            })
            .await?;
            self.note(EntryKind::KeyChanged, user, &body)?;
        }
        Ok(Owner { account, user, key: key_id })
    }

    fn note(&mut self, kind: EntryKind, user: UserId, body: &Value) -> Result<()> {
        let body = to_raw_value(body).map_err(|error| Error::Invalid(error.to_string()))?;
        let subject = Subject { user: Some(user), ..Subject::default() };
        self.record(Entry { account: self.account(), kind, call: None, subject, body, payload: None });
        Ok(())
    }
}
