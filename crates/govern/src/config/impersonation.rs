//! Acting in somebody's place, to see what they see.
//!
//! Whoever does it is in every record beside the person. They can decide nothing, call nothing, make
//! no credentials and go no further from there ([`PermissionSet::IN_PERSON`]).
//!
//! [`PermissionSet::IN_PERSON`]: preloop_types::PermissionSet::IN_PERSON

use std::time::Duration;

use preloop_store::{Grant, KeyRow, Tx};
use preloop_types::{
    AccountId, CredentialKind, Entry, EntryKind, GrantId, KeyId, Principal, Scope, Subject, User, UserId,
};
use secrecy::SecretString;
use serde_json::{json, value::to_raw_value};

use super::{Config, ConfigError, MintedKey, Result};

/// How long somebody's place is taken at most. It cannot be renewed.
pub const IMPERSONATION: Duration = Duration::from_hours(8);

/// A token to act in somebody's place.
pub struct Impersonation {
    /// Whose place.
    pub user: User,
    /// Their account.
    pub account: AccountId,
    /// The token: nowhere else.
    pub token: SecretString,
}

impl Config {
    /// Lets the caller, who looks after the instance, act in a person's place.
    pub async fn impersonate(&self, who: &Principal, user: UserId) -> Result<Impersonation> {
        if user == who.user {
            return Err(ConfigError::Refused("this is yourself".to_owned()));
        }
        let account = self.store.account_of(user).await?.ok_or(ConfigError::NotFound("user"))?;
        let minted = MintedKey::with_prefix("pla_");
        let (hash, prefix) = (minted.hash, minted.prefix);
        let (by, by_name) = (who.user, who.username.clone());
        let user = self
            .change(account, move |tx| {
                Box::pin(async move {
                    let now = tx.now();
                    let user = tx.user(user).await?.ok_or(ConfigError::NotFound("user"))?;
                    if !user.is_active {
                        return Err(ConfigError::Refused(format!("user `{}` is not active", user.username)));
                    }
                    let grant = Grant {
                        id: GrantId::new(now),
                        user: user.id,
                        kind: CredentialKind::Login,
                        client: format!("impersonation by {by_name}"),
                        client_id: None,
                        address: None,
                        scopes: vec![Scope::Admin],
                        resource: None,
                        impersonator: Some(by),
                        created_at: now,
                        last_used_at: now,
                        expires_at: now + IMPERSONATION,
                        ended_at: None,
                        end_reason: None,
                    };
                    tx.insert_grant(&grant).await?;
                    tx.insert_access_token(&KeyRow {
                        id: KeyId::new(now),
                        account,
                        user: user.id,
                        kind: grant.kind,
                        grant: Some(grant.id),
                        impersonator: grant.impersonator,
                        name: grant.client,
                        hash,
                        prefix,
                        scopes: grant.scopes,
                        agent: None,
                        session: None,
                        allowed_tools: None,
                        allowed_servers: None,
                        expires_at: Some(grant.expires_at),
                        last_used_at: None,
                        revoked_at: None,
                        created_at: now,
                    })
                    .await?;
                    let subject = Subject {
                        user: Some(user.id),
                        key: Some(KeyId(grant.id.0)),
                        impersonator: Some(by),
                        ..Subject::default()
                    };
                    record(tx, EntryKind::ImpersonationStarted, subject, user.id);
                    Ok(user)
                })
            })
            .await?;
        if account != who.account {
            // In the journal of whoever did it, too.
            let (subject, user) = (Subject::from(who), user.id);
            self.change(who.account, move |tx| {
                Box::pin(async move {
                    record(tx, EntryKind::ImpersonationStarted, subject, user);
                    Ok(())
                })
            })
            .await?;
        }
        Ok(Impersonation { user, account, token: minted.secret })
    }

    /// Ends it: the token of this request does nothing any more.
    pub async fn stop_impersonating(&self, who: &Principal) -> Result<()> {
        if who.impersonator.is_none() {
            return Err(ConfigError::Refused("nobody is acted for with this credential".to_owned()));
        }
        let (grant, subject, user) = (GrantId(who.key.0), Subject::from(who), who.user);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                if tx.end_grant(grant, "impersonation stopped").await? {
                    record(tx, EntryKind::ImpersonationStopped, subject, user);
                }
                Ok(())
            })
        })
        .await
    }
}

fn record(tx: &mut Tx<'_>, kind: EntryKind, subject: Subject, user: UserId) {
    let body = to_raw_value(&json!({ "user": user })).unwrap_or_default();
    let account = tx.account();
    tx.record(Entry { account, kind, call: None, subject, body, payload: None });
}
