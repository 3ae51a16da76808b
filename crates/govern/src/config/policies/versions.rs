//! What the policy was: versions, their names, going back to one.

use std::time::Duration;

use preloop_policy::{diff::Diff, document::Document};
use preloop_store::{NewPolicyVersion, PolicyCounts, PolicyVersion};
use preloop_types::{Principal, Timestamp};
use serde::Serialize;
use uuid::Uuid;

use super::{Applied, ApplyRequest, OwnedRows};
use crate::config::{
    Config, ConfigError, Result, limits,
    record::{Actor, What},
};

/// Longest name of a version.
const TAG_MAX: usize = 64;

#[derive(Serialize)]
struct Tagged {
    tag: Option<String>,
}

#[derive(Serialize)]
struct Pruned {
    versions: u64,
}

impl Config {
    /// Every version, newest first, without its document.
    pub async fn policy_versions(&self, who: &Principal) -> Result<Vec<PolicyVersion>> {
        Ok(self.store.account(who.account).policy_versions().await?)
    }

    /// One version with its document.
    pub async fn policy_version(&self, who: &Principal, id: Uuid) -> Result<PolicyVersion> {
        let version = self.store.account(who.account).policy_version(id).await?;
        version.ok_or(ConfigError::NotFound("policy version"))
    }

    /// Names a version; another one of that name loses it. `None` takes the name away.
    pub async fn tag_policy_version(&self, who: &Principal, id: Uuid, tag: Option<String>) -> Result<PolicyVersion> {
        check_tag(tag.as_deref())?;
        let before = self.policy_version(who, id).await?;
        let by = Actor::from(who);
        let wanted = tag.clone();
        self.change(who.account, move |tx| {
            Box::pin(async move {
                if !tx.tag_policy_version(id, wanted.as_deref()).await? {
                    return Err(ConfigError::NotFound("policy version"));
                }
                let (old, new) = (Tagged { tag: before.tag }, Tagged { tag: wanted });
                by.changed(tx, What::Policy, (id, &format!("version {}", before.number)), Some(&old), Some(&new));
                Ok(())
            })
        })
        .await?;
        self.policy_version(who, id).await
    }

    /// Removes a version that is not in force.
    pub async fn delete_policy_version(&self, who: &Principal, id: Uuid) -> Result<()> {
        let version = self.policy_version(who, id).await?;
        let in_force = || ConfigError::Refused("the version in force cannot be deleted".into());
        if version.active {
            return Err(in_force());
        }
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                if !tx.delete_policy_version(id).await? {
                    return Err(in_force());
                }
                let old = Tagged { tag: version.tag };
                by.changed(tx, What::Policy, (id, &format!("version {}", version.number)), Some(&old), None::<&Tagged>);
                Ok(())
            })
        })
        .await
    }

    /// Removes versions older than `older_than`, but not the one in force, the newest `keep`, and,
    /// with `keep_tagged`, those with a name. How many.
    pub async fn prune_policy_versions(
        &self,
        who: &Principal,
        older_than: Duration,
        keep: u32,
        keep_tagged: bool,
    ) -> Result<u64> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let before = Timestamp::from_micros(
                    tx.now().micros().saturating_sub(i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX)),
                );
                let removed = tx.prune_policy_versions(before, keep, keep_tagged).await?;
                if removed > 0 {
                    let old = Pruned { versions: removed };
                    by.changed(tx, What::Policy, (Uuid::nil(), "old versions"), Some(&old), None::<&Pruned>);
                }
                Ok(removed)
            })
        })
        .await
    }

    /// Goes back to a version: what it does not name is removed, secrets stay as they are. With
    /// `preview_only` nothing is written.
    pub async fn rollback_policy(
        &self,
        who: &Principal,
        id: Uuid,
        preview_only: bool,
    ) -> Result<(Diff, Option<Applied>)> {
        let version = self.policy_version(who, id).await?;
        let diff = self.diff_policy(who, &version.yaml, true).await?;
        if preview_only {
            return Ok((diff, None));
        }
        let request = ApplyRequest {
            text: version.yaml,
            prune: true,
            skip_missing_servers: false,
            description: Some(format!("back to version {}", version.number)),
            ..ApplyRequest::default()
        };
        let applied = self.apply_policy(who, request).await?;
        Ok((diff, Some(applied)))
    }

    /// Keeps the configuration as it is now as a version, which is the one in force.
    pub async fn keep_policy_version(
        &self,
        who: &Principal,
        description: Option<String>,
        tag: Option<String>,
    ) -> Result<PolicyVersion> {
        check_tag(tag.as_deref())?;
        if let Some(description) = &description {
            limits::text("description", description, limits::TEXT_MAX)?;
        }
        let (by, user) = (Actor::from(who), who.user);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let rows = OwnedRows::read(tx).await?;
                let document = Document::from_rows(&rows.borrow(), "policy", tx.now());
                let version = NewPolicyVersion {
                    yaml: document.to_yaml(None),
                    description,
                    tag,
                    active: true,
                    created_by: Some(user),
                    counts: counts(&document),
                };
                let version = tx.insert_policy_version(&version).await?;
                let new = Tagged { tag: version.tag.clone() };
                let name = format!("version {}", version.number);
                by.changed(tx, What::Policy, (version.id, &name), None::<&Tagged>, Some(&new));
                Ok(version)
            })
        })
        .await
    }
}

/// How much a document holds.
pub(super) fn counts(document: &Document) -> PolicyCounts {
    let count = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
    PolicyCounts {
        servers: count(document.mcp_servers.len()),
        workflows: count(document.approval_workflows.len()),
        tools: count(document.tools.len()),
    }
}

fn check_tag(tag: Option<&str>) -> Result<()> {
    let fits = |tag: &str| {
        (1..=TAG_MAX).contains(&tag.len()) && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    if tag.is_some_and(|tag| !fits(tag)) {
        let message = format!("is not 1 to {TAG_MAX} letters, digits, `.`, `_` or `-`");
        return Err(ConfigError::invalid("tag", message));
    }
    Ok(())
}
