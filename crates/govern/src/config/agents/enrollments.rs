//! What onboarding did to an agent's installation, so that it can be checked and undone.

use preloop_store::EnrollmentRow;
use preloop_types::{AgentId, EnrollmentId, EnrollmentStatus, Principal, Timestamp, config::RawJson, redact::redact};
use serde_json::{Value, value::to_raw_value};

use crate::config::{Config, ConfigError, JsonObject, Result, limits, record::Actor};

/// Most onboardings kept of one agent.
const ENROLLMENTS_MAX: usize = 500;
const PATH_MAX: usize = 1_024;

/// An onboarding to be noted.
#[derive(Debug, Clone, Default)]
pub struct NewEnrollment {
    /// What was done: `cli`, `manual`, … .
    pub enrollment_type: String,
    /// Which adapter did it.
    pub adapter_key: Option<String>,
    /// How far it is; `pending` when absent.
    pub status: Option<EnrollmentStatus>,
    /// The file it rewrote.
    pub target_path: Option<String>,
    /// `discovered_config`, `managed_config`, `backup_metadata`, `validation_result`; secrets are hidden before
    /// anything is kept.
    pub details: JsonObject,
    /// Whether what was there before can be put back.
    pub restore_available: bool,
    /// When it was applied.
    pub applied_at: Option<Timestamp>,
}

/// How an onboarding went on.
#[derive(Debug, Clone)]
pub struct EnrollmentChange {
    /// How far it is now.
    pub status: EnrollmentStatus,
    /// What replaces the details of the same names.
    pub details: JsonObject,
}

impl Config {
    /// Notes an onboarding of an agent.
    pub async fn create_enrollment(
        &self,
        who: &Principal,
        agent: AgentId,
        new: NewEnrollment,
    ) -> Result<EnrollmentRow> {
        let by = Actor::from(who);
        let enrollment_type = limits::named("enrollment_type", &new.enrollment_type, 64)?;
        let adapter_key = new.adapter_key.map(|key| limits::named("adapter_key", &key, 64)).transpose()?;
        let target_path =
            new.target_path.map(|path| limits::named("target_config_path", &path, PATH_MAX)).transpose()?;
        let details = kept(new.details)?;
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let name = tx.agent(agent).await?.ok_or(ConfigError::NotFound("agent"))?.name;
                limits::room("onboardings of one agent", tx.enrollments(agent).await?.len(), ENROLLMENTS_MAX)?;
                let now = tx.now();
                let row = EnrollmentRow {
                    id: EnrollmentId::new(now),
                    agent,
                    enrollment_type,
                    adapter_key,
                    status: new.status.unwrap_or(EnrollmentStatus::Pending),
                    target_path,
                    details,
                    restore_available: new.restore_available,
                    applied_at: new.applied_at,
                    validated_at: None,
                    restored_at: None,
                    created_at: now,
                    updated_at: now,
                };
                tx.insert_enrollment(&row).await?;
                by.enrolled(tx, &name, &row);
                Ok(row)
            })
        })
        .await
    }

    /// Notes how an onboarding went on.
    pub async fn change_enrollment(
        &self,
        who: &Principal,
        agent: AgentId,
        id: EnrollmentId,
        change: EnrollmentChange,
    ) -> Result<EnrollmentRow> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let name = tx.agent(agent).await?.ok_or(ConfigError::NotFound("agent"))?.name;
                let all = tx.enrollments(agent).await?;
                let mut row = all.into_iter().find(|row| row.id == id).ok_or(ConfigError::NotFound("enrollment"))?;
                let mut details: JsonObject = serde_json::from_str(row.details.0.get()).unwrap_or_default();
                details.extend(change.details);
                row.details = kept(details)?;
                row.status = change.status;
                let now = tx.now();
                match change.status {
                    EnrollmentStatus::Applied => row.applied_at = Some(now),
                    EnrollmentStatus::Validated | EnrollmentStatus::Failed => row.validated_at = Some(now),
                    EnrollmentStatus::Restored => {
                        row.restored_at = Some(now);
                        row.restore_available = false;
                    }
                    EnrollmentStatus::Pending => {}
                }
                row.updated_at = now;
                tx.update_enrollment(&row).await?;
                by.enrolled(tx, &name, &row);
                Ok(row)
            })
        })
        .await
    }
}

/// Details as they are kept: without secrets, not too large.
fn kept(details: JsonObject) -> Result<RawJson> {
    let mut details = Value::Object(details);
    redact(&mut details);
    let raw = to_raw_value(&details).unwrap_or_default();
    if raw.get().len() > limits::JSON_BYTES_MAX {
        let message = format!("is larger than {} bytes", limits::JSON_BYTES_MAX);
        return Err(ConfigError::invalid("discovered_config", message));
    }
    Ok(RawJson(raw))
}

impl Actor {
    fn enrolled(self, tx: &mut preloop_store::Tx<'_>, agent: &str, row: &EnrollmentRow) {
        let shown = serde_json::json!({
            "agent": row.agent, "enrollment_type": row.enrollment_type, "adapter_key": row.adapter_key,
            "status": row.status, "target_path": row.target_path,
        });
        self.changed(tx, crate::config::record::What::Enrollment, (row.id.0, agent), None::<&Value>, Some(&shown));
    }
}
