//! `/api/v1/policies`: the account's configuration as one document.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, Page, Utc, Uuid};

/// A policy document sent as JSON: YAML text inside JSON, or the document itself as the body of
/// type `application/yaml`.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
pub struct PolicyText {
    /// The document, YAML or JSON.
    #[serde(alias = "yaml", alias = "content")]
    pub policy: String,
}

/// A policy document sent as a form.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[expect(clippy::struct_excessive_bools, reason = "independent switches of one request")]
pub struct PolicyUpload {
    /// The document, YAML or JSON.
    #[schema(value_type = String, format = Binary)]
    pub file: String,
    /// Do everything but write.
    #[serde(default)]
    pub dry_run: bool,
    /// Replace `${NAME}` by the server's environment variables that the operator listed.
    #[serde(default = "yes")]
    pub resolve_env: bool,
    /// Leave out tools whose server does not exist.
    #[serde(default)]
    pub skip_missing_servers: bool,
    /// Remove what the document does not name.
    #[serde(default)]
    pub prune: bool,
}

fn yes() -> bool {
    true
}

/// How to apply a document.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ApplyOptions {
    /// Do everything but write.
    pub dry_run: bool,
    /// Remove what the document does not name.
    pub prune: bool,
    /// Leave out tools whose server does not exist.
    pub skip_missing_servers: bool,
    /// Replace `${NAME}` by the server's environment variables that the operator listed
    /// (true when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve_env: Option<bool>,
    /// Kept with the version this makes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// How to validate a document.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ValidateOptions {
    /// Also check names against the account (true when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub check_server_references: Option<bool>,
}

/// How to compare a document with the account.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct DiffOptions {
    /// Say what applying with `prune` would do.
    pub prune: bool,
}

/// What is wrong with a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Validation {
    /// Whether it can be applied.
    pub is_valid: bool,
    /// Why not.
    pub errors: Vec<PolicyError>,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// One thing wrong with a document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyError {
    /// Where: `$.tools[0].approval_workflow`.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// The offending value.
    pub value: Option<serde_json::Value>,
    /// Its line, from 1.
    pub line: Option<u32>,
    /// Its column, from 1.
    pub column: Option<u32>,
    /// What to do about it.
    pub help: Option<String>,
}

/// What applying a document would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDiff {
    /// Whether anything would.
    pub has_changes: bool,
    /// What.
    pub changes: Vec<PolicyChange>,
    /// `1 addition(s), 1 modification(s)` or `No changes`.
    pub summary: String,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyChange {
    /// Where: `$.tools[name=refund]`.
    pub path: String,
    /// `add`, `remove` or `modify`.
    pub operation: String,
    /// What is there now.
    pub old_value: Option<serde_json::Value>,
    /// What would be.
    pub new_value: Option<serde_json::Value>,
}

/// What applying a document did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyImportResult {
    /// Whether it was applied, or could be.
    pub success: bool,
    /// Nothing was written.
    pub dry_run: bool,
    /// The document's name.
    pub policy_name: String,
    /// Servers added.
    pub mcp_servers_created: u32,
    /// Servers changed.
    pub mcp_servers_updated: u32,
    /// Workflows added.
    pub policies_created: u32,
    /// Workflows changed.
    pub policies_updated: u32,
    /// Tool configurations added.
    pub tools_created: u32,
    /// Tool configurations changed.
    pub tools_updated: u32,
    /// Tools left out because their server does not exist.
    pub tools_skipped: u32,
    /// Servers, workflows and tool configurations removed.
    pub removed: u32,
    /// The version this made.
    pub version_number: Option<u32>,
    /// What a person should look at.
    pub warnings: Vec<String>,
    /// Why it was not applied.
    pub errors: Vec<String>,
}

/// How to export.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ExportOptions {
    /// `yaml` (when absent) or `json`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The document's name; `Exported Policy` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_name: Option<String>,
    /// Include servers (true when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub include_mcp_servers: Option<bool>,
}

/// How to lint a document.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct LintOptions {
    /// Also say what would get further than under the policy in force (true when absent).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_active: Option<bool>,
    /// As if applied with `prune`.
    pub prune: bool,
}

/// What is odd about a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyLint {
    /// In the order of the document.
    pub findings: Vec<LintFinding>,
}

/// One thing that is odd.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LintFinding {
    /// Its kind, in one word: `conflict`, `shadowed`, `unreachable`, `never_matches`, `always_fails`,
    /// `never_asked`, `widening`, `argument`, `unknown_tool`.
    pub code: String,
    /// `error` or `warning`.
    pub severity: String,
    /// Where: `$.tools.0.conditions.1`.
    pub path: String,
    /// What.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
    /// Where in the text, from 1.
    pub line: Option<u32>,
    /// From 1, in characters.
    pub column: Option<u32>,
}

/// Which recorded calls to decide anew.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ReplayOptions {
    /// Calls from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<DateTime<Utc>>,
    /// Calls before then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<DateTime<Utc>>,
    /// At most so many (1 to 1,000,000; 100,000 when absent), the newest.
    #[param(minimum = 1, maximum = 1_000_000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// As if applied with `prune`.
    pub prune: bool,
}

/// What a policy would decide otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyReplay {
    /// Recorded calls that a policy decided.
    pub calls: u64,
    /// Those that would be decided as they were.
    pub unchanged: u64,
    /// Those that would not.
    pub changed: u64,
    /// Of the changed: more would pass.
    pub loosened: u64,
    /// Of the changed: less would pass.
    pub tightened: u64,
    /// Those whose arguments are erased.
    pub erased: u64,
    /// Of the erased: those that cannot be decided without them.
    pub undecidable: u64,
    /// Records that are no decisions of a policy, by reason.
    pub left_out: BTreeMap<String, u64>,
    /// When the first of the calls was made.
    pub since: Option<DateTime<Utc>>,
    /// When the last of the calls was made.
    pub until: Option<DateTime<Utc>>,
    /// By `server/tool`.
    pub tools: BTreeMap<String, ReplayedTool>,
    /// Who would have been asked, by workflow.
    pub asked: BTreeMap<String, ReplayedWorkflow>,
    /// Changes one by one, at most 1,000.
    pub changes: Vec<ReplayedCall>,
}

/// Calls of one tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayedTool {
    /// How many.
    pub calls: u64,
    /// How many would be decided otherwise.
    pub changed: u64,
    /// As it was.
    pub before: ReplayedVerdicts,
    /// As it would be.
    pub after: ReplayedVerdicts,
    /// How many cannot be decided anew.
    pub undecidable: u64,
}

/// How many calls came to which decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayedVerdicts {
    /// Carried out.
    pub allow: u64,
    /// Put before a person.
    pub require_approval: u64,
    /// Refused.
    pub deny: u64,
}

/// What a workflow's approvers would have been asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReplayedWorkflow {
    /// Who may decide; the account's owner when empty.
    pub approvers: Vec<String>,
    /// About how many calls.
    pub calls: u64,
    /// Of those, about how many nobody was asked then.
    pub newly: u64,
}

/// One call that would be decided otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReplayedCall {
    /// The call; its arguments are in the journal.
    pub call: Uuid,
    /// When it was made.
    pub at: DateTime<Utc>,
    /// `server/tool`.
    pub tool: String,
    /// The credential's name.
    pub key: String,
    /// Whose credential, where known.
    pub user: Option<String>,
    /// What was decided: `allow`, `deny` or `require_approval`.
    pub before: String,
    /// Why.
    pub before_reason: String,
    /// What would be.
    pub after: String,
    /// Why.
    pub after_reason: String,
    /// The rule that would decide, from 1.
    pub rule: Option<u32>,
    /// The workflow that would ask.
    pub workflow: Option<String>,
    /// Whom it would ask; the account's owner when empty.
    pub approvers: Vec<String>,
}

/// What to write a policy for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GeneratePolicy {
    /// In a person's words.
    pub prompt: String,
    /// Show the model the configuration as it is, without secrets (true when absent).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub include_current_config: Option<bool>,
}

/// Which calls to write a policy for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct GeneratePolicyFromAudit {
    /// Calls from then on: a time or a day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<String>,
    /// Calls before then: a time, or a day that is included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<String>,
    /// Calls to use instead of those on record: a JSON array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_logs_json: Option<String>,
}

/// A policy that a model wrote. It is valid, and not applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GeneratedPolicy {
    /// The document.
    pub yaml: String,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// Keeps the configuration as it is now as a version.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct KeepVersion {
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A name; it moves here from a version that has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
}

/// Which versions to list.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ListVersions {
    /// At most this many (1 to 1000; 100 when absent), newest first.
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Leave out this many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offset: Option<u32>,
    /// Each with its document.
    pub include_snapshots: bool,
}

impl From<ListVersions> for Page {
    fn from(list: ListVersions) -> Self {
        Page { limit: Some(list.limit.unwrap_or(100)), skip: list.offset }
    }
}

/// Versions of the account's policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyVersions {
    /// Newest first.
    pub versions: Vec<PolicyVersion>,
    /// How many there are.
    pub total: u32,
}

/// The account's policy as it was after one apply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyVersion {
    /// Its id.
    pub id: Uuid,
    /// Counts up from 1.
    pub version_number: u32,
    /// A name that moves from version to version.
    pub tag: Option<String>,
    /// Why it was made.
    pub description: Option<String>,
    /// Whether it is the newest applied.
    pub is_active: bool,
    /// Servers in it.
    pub mcp_servers_count: u32,
    /// Approval workflows in it.
    pub policies_count: u32,
    /// Tool configurations in it.
    pub tools_count: u32,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// Who made it.
    pub created_by_user_id: Option<Uuid>,
    /// The document; only when one version is asked for, or `include_snapshots`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
}

/// Goes back to a version.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct Rollback {
    /// Only say what would change.
    pub preview_only: bool,
}

/// What going back changed, or would change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RollbackResult {
    /// Whether it was done, or could be.
    pub success: bool,
    /// What changed.
    pub diff: Option<PolicyDiff>,
    /// Why it was not done.
    pub error: Option<String>,
}

/// A name for a version.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct VersionTag {
    /// 1 to 64 letters, digits, `.`, `_` or `-`; moves here from a version that has it.
    pub tag: String,
}

/// Which versions go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default)]
pub struct PruneVersions {
    /// Those made so many days ago or longer.
    pub older_than_days: u32,
    /// But not those with a name.
    pub keep_tagged: bool,
    /// And not the newest of them all.
    pub keep_count: u32,
}

impl Default for PruneVersions {
    fn default() -> Self {
        Self { older_than_days: 90, keep_tagged: true, keep_count: 10 }
    }
}

/// How many versions went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PrunedVersions {
    /// How many.
    pub deleted_count: u64,
}
