use preloop_types::{ChangeId, Timestamp, UserId};
use uuid::Uuid;

use crate::{
    Error, Result, Sealer, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, row, unsigned},
};

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
    /// What is in it.
    pub counts: PolicyCounts,
}

/// How much a version holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicyCounts {
    /// Servers.
    pub servers: u32,
    /// Approval workflows.
    pub workflows: u32,
    /// Tool configurations.
    pub tools: u32,
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
    /// What is in it.
    pub counts: PolicyCounts,
}

row! {
    struct VersionRow {
        id: Uuid, number: i64, yaml: Option<Vec<u8>>, description: Option<String>, tag: Option<String>, active: bool,
        created_by: Option<Uuid>, created_at: i64, servers: i64, workflows: i64, tools: i64,
    }
}

fn count(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn context(id: Uuid) -> String {
    format!("policy/{id}")
}

impl VersionRow {
    fn into_version(self, sealer: Option<&Sealer>) -> Result<PolicyVersion> {
        let yaml = match (self.yaml, sealer) {
            (Some(sealed), Some(sealer)) => {
                String::from_utf8(sealer.open(&context(self.id), &sealed)?).map_err(|_| Error::Unsealable)?
            }
            _ => String::new(),
        };
        Ok(PolicyVersion {
            id: self.id,
            number: unsigned(self.number)?,
            yaml,
            description: self.description,
            tag: self.tag,
            active: self.active,
            created_by: self.created_by.map(UserId),
            created_at: at(self.created_at),
            counts: PolicyCounts {
                servers: count(self.servers),
                workflows: count(self.workflows),
                tools: count(self.tools),
            },
        })
    }
}

impl View<'_> {
    /// Every version, newest first, without the documents.
    pub async fn policy_versions(&mut self) -> Result<Vec<PolicyVersion>> {
        let account = self.account().0;
        let sql = "SELECT id, number, NULLIF(yaml, yaml) AS yaml, description, tag, active, created_by, created_at, \
                   servers, workflows, tools FROM policy_versions WHERE account_id = $1 ORDER BY number DESC";
        let rows = fetch_all!(self.conn, VersionRow, sql, account)?;
        rows.into_iter().map(|row| row.into_version(None)).collect()
    }

    /// One version with its document.
    pub async fn policy_version(&mut self, id: Uuid) -> Result<Option<PolicyVersion>> {
        let account = self.account().0;
        let sql = "SELECT * FROM policy_versions WHERE account_id = $1 AND id = $2";
        let Some(row) = fetch_optional!(self.conn, VersionRow, sql, account, id)? else { return Ok(None) };
        let sealer = self.sealer().await?;
        row.into_version(Some(&sealer)).map(Some)
    }
}

impl Tx<'_> {
    /// Gives a version a tag, which moves here from one that has it, or takes its tag away. Whether
    /// there is such a version.
    pub async fn tag_policy_version(&mut self, id: Uuid, tag: Option<&str>) -> Result<bool> {
        let account = self.account().0;
        if let Some(tag) = tag {
            let sql = "UPDATE policy_versions SET tag = NULL WHERE account_id = $1 AND tag = $2";
            execute!(self.conn, sql, account, tag)?;
        }
        let sql = "UPDATE policy_versions SET tag = $3 WHERE account_id = $1 AND id = $2";
        Ok(execute!(self.conn, sql, account, id, tag)? > 0)
    }

    /// Removes a version, unless it is in force. Whether it was there and is gone.
    pub async fn delete_policy_version(&mut self, id: Uuid) -> Result<bool> {
        let account = self.account().0;
        let sql = "DELETE FROM policy_versions WHERE account_id = $1 AND id = $2 AND NOT active";
        Ok(execute!(self.conn, sql, account, id)? > 0)
    }

    /// Removes versions made before `before`, but not the one in force, the newest `keep`, and,
    /// with `keep_tagged`, those with a tag. How many.
    pub async fn prune_policy_versions(&mut self, before: Timestamp, keep: u32, keep_tagged: bool) -> Result<u64> {
        let account = self.account().0;
        let sql = "DELETE FROM policy_versions WHERE account_id = $1 AND NOT active AND created_at < $2 \
                   AND (tag IS NULL OR NOT $4) AND number <= \
                   (SELECT COALESCE(MAX(number), 0) FROM policy_versions WHERE account_id = $1) - $3";
        Ok(execute!(self.conn, sql, account, before.micros(), i64::from(keep), keep_tagged)?)
    }

    /// Adds a version under the next number.
    pub async fn insert_policy_version(&mut self, version: &NewPolicyVersion) -> Result<PolicyVersion> {
        let (account, now) = (self.account().0, self.now());
        // Of writers that add a version together one gets past this row at a time.
        execute!(self.conn, "UPDATE accounts SET created_at = created_at WHERE id = $1", account)?;
        if let Some(tag) = &version.tag {
            let sql = "UPDATE policy_versions SET tag = NULL WHERE account_id = $1 AND tag = $2";
            execute!(self.conn, sql, account, &tag[..])?;
        }
        if version.active {
            let sql = "UPDATE policy_versions SET active = FALSE WHERE account_id = $1 AND active";
            execute!(self.conn, sql, account)?;
        }
        let sql = "SELECT COALESCE(MAX(number), 0) FROM policy_versions WHERE account_id = $1";
        let number = fetch_optional!(self.conn, (i64,), sql, account)?.map_or(1, |(last,)| last + 1);
        let NewPolicyVersion { yaml, description, tag, active, created_by, counts } = version.clone();
        let id = ChangeId::new(now).0;
        let sealed = self.sealer().await?.seal(&context(id), yaml.as_bytes());
        let sql = "INSERT INTO policy_versions \
                   (account_id, id, number, yaml, description, tag, active, created_by, created_at, servers, workflows, \
                   tools) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        execute!(
            self.conn,
            sql,
            account,
            id,
            number,
            sealed,
            description.as_deref(),
            tag.as_deref(),
            active,
            created_by.map(|id| id.0),
            now.micros(),
            i64::from(counts.servers),
            i64::from(counts.workflows),
            i64::from(counts.tools)
        )?;
        let number = unsigned(number)?;
        Ok(PolicyVersion { id, number, yaml, description, tag, active, created_by, created_at: now, counts })
    }
}
