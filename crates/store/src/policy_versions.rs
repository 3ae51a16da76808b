use preloop_types::{Timestamp, UserId};
use uuid::Uuid;

use crate::{Result, Tx, View};

/// A snapshot of the policy, before it has a number.
#[derive(Clone)]
pub struct NewPolicyVersion {
    /// The document; sealed in the row.
    pub yaml: String,
    /// For people.
    pub description: Option<String>,
    /// Unique in the account; moves here from a version that has it.
    pub tag: Option<String>,
    /// Whether this is the policy in force; then no other is.
    pub active: bool,
    /// Who made it.
    pub created_by: Option<UserId>,
}

/// A snapshot of the policy.
#[derive(Clone)]
pub struct PolicyVersion {
    /// Its id.
    pub id: Uuid,
    /// Counts up from 1 in the account.
    pub number: u64,
    /// The document; empty in listings.
    pub yaml: String,
    /// For people.
    pub description: Option<String>,
    /// Unique in the account.
    pub tag: Option<String>,
    /// Whether this is the policy in force.
    pub active: bool,
    /// Who made it.
    pub created_by: Option<UserId>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl View<'_> {
    /// Every version, newest first, without the documents.
    pub async fn policy_versions(&mut self) -> Result<Vec<PolicyVersion>> {
        todo!()
    }
    /// One version with its document.
    pub async fn policy_version(&mut self, _id: Uuid) -> Result<Option<PolicyVersion>> {
        todo!()
    }
}

impl Tx<'_> {
    /// Adds a version.
    pub async fn insert_policy_version(&mut self, _version: &NewPolicyVersion) -> Result<PolicyVersion> {
        todo!()
    }
}
