//! `/api/v1/audit-logs`: the journal.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::{DateTime, Utc, Uuid};

/// One record of the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditRecord {
    /// Its place in the journal; orders records by time.
    pub id: String,
    /// The chain it is in: one per process that writes.
    pub chain: Uuid,
    /// Its place in the chain, from 1.
    pub seq: u64,
    /// When.
    pub timestamp: DateTime<Utc>,
    /// What happened: `call.intent`, `approval.voted`, `config.changed`, …
    pub action: String,
    /// The governed call it belongs to; joins every record about it.
    pub correlation_id: Option<Uuid>,
    /// The person.
    pub user_id: Option<Uuid>,
    /// Who acted in that person's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impersonator_user_id: Option<Uuid>,
    /// The credential.
    pub api_key_id: Option<Uuid>,
    /// The managed agent.
    pub managed_agent_id: Option<Uuid>,
    /// The agent run.
    pub runtime_session_id: Option<Uuid>,
    /// The facts.
    #[schema(value_type = Object)]
    pub details: serde_json::Value,
    /// Whether arguments or a result are kept beside it.
    pub has_payload: bool,
    /// Hash of the payload.
    pub payload_hash: Option<String>,
    /// Hash of the record before it.
    pub prev_hash: String,
    /// Hash of this record.
    pub row_hash: String,
}

/// Which records to list. Newest first.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ListAudit {
    /// Only these kinds, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<String>,
    /// Only records of this call.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Uuid>,
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<DateTime<Utc>>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<DateTime<Utc>>,
    /// At most this many (1 to 1000; 100 when absent).
    #[param(minimum = 1, maximum = 1000)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// Continue after this record: the last `id` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// What to export. Times are widened to whole checkpoints.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(default)]
pub struct ExportAudit {
    /// Not before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_date: Option<DateTime<Utc>>,
    /// Before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_date: Option<DateTime<Utc>>,
    /// With arguments and results in clear; otherwise only their hashes.
    pub payloads: bool,
}

/// Whether the journal is whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct VerifyResult {
    /// `ok` or `broken`.
    pub status: String,
    /// Chains that were checked.
    pub chains: u64,
    /// Records that were checked.
    pub checked_rows: u64,
    /// Signed checkpoints that were checked.
    pub checked_checkpoints: u64,
    /// Payloads whose hash was checked.
    pub checked_payloads: u64,
    /// Records that no checkpoint covers yet.
    pub unsealed_rows: u64,
    /// The key checkpoints are signed with, lower-case hex.
    pub public_key: Option<String>,
    /// The first thing that is wrong.
    pub first_break: Option<FirstBreak>,
}

/// The first thing that is wrong with a journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FirstBreak {
    /// The chain.
    pub chain: Option<Uuid>,
    /// The record.
    pub seq: Option<u64>,
    /// What.
    pub what: String,
}

/// One record, proven alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ProvenRecord {
    /// The record.
    pub record: AuditRecord,
    /// The arguments or the result kept beside it; secrets are hidden.
    pub payload: Option<serde_json::Value>,
    /// What proves it, for `preloop audit verify`; absent until a checkpoint covers it.
    #[schema(value_type = Option<Object>)]
    pub proof: Option<serde_json::Value>,
}

/// How much this process has written to the journal since it started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JournalProgress {
    /// Durable commits.
    pub commits: u64,
    /// Records in them.
    pub records: u64,
}
