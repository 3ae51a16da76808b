use preloop_types::{
    AgentId, KeyId, WorkflowId,
    config::{AccountModelSettings, Capture, Defaults, OnUnpriced, RuleAction, SubjectGovernance, SubjectRef},
};
use uuid::Uuid;

use crate::{
    Error, Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, from_json, json, micros, row, small, word},
};

row! {
    struct DefaultsRow {
        unknown_tools: String, require_approval_for_new_tools: bool, default_workflow_id: Option<Uuid>,
        new_tools_since: Option<i64>,
    }
}

row! {
    struct ModelSettingsRow {
        allowed_models: String, on_unpriced: String, capture: String,
        session_idle_minutes: i64, guardrails: String,
    }
}

fn columns(subject: SubjectRef) -> (&'static str, Uuid) {
    match subject {
        SubjectRef::Agent(id) => ("agent", id.0),
        SubjectRef::Key(id) => ("key", id.0),
    }
}

impl View<'_> {
    /// What happens to tools nothing else speaks about.
    pub async fn defaults(&mut self) -> Result<Defaults> {
        let account = self.account().0;
        let sql = "SELECT * FROM account_defaults WHERE account_id = $1";
        let Some(row) = fetch_optional!(self.conn, DefaultsRow, sql, account)? else { return Ok(Defaults::default()) };
        Ok(Defaults {
            unknown_tools: word(RuleAction::parse, &row.unknown_tools)?,
            require_approval_for_new_tools: row.require_approval_for_new_tools,
            default_workflow: row.default_workflow_id.map(WorkflowId),
            new_tools_since: row.new_tools_since.map(at),
        })
    }

    /// What holds for all model traffic of the account.
    pub async fn model_settings(&mut self) -> Result<AccountModelSettings> {
        let account = self.account().0;
        let sql = "SELECT * FROM account_models WHERE account_id = $1";
        let row = fetch_optional!(self.conn, ModelSettingsRow, sql, account)?;
        let Some(row) = row else { return Ok(AccountModelSettings::default()) };
        Ok(AccountModelSettings {
            allowed_models: from_json(&row.allowed_models)?,
            on_unpriced: word(OnUnpriced::parse, &row.on_unpriced)?,
            capture: word(Capture::parse, &row.capture)?,
            session_idle_minutes: small(row.session_idle_minutes)?,
            guardrails: from_json(&row.guardrails)?,
        })
    }

    /// Rules and switches of agents and keys.
    pub async fn subject_governance(&mut self) -> Result<Vec<(SubjectRef, SubjectGovernance)>> {
        let account = self.account().0;
        let sql = "SELECT subject_type, subject_id, rules FROM subject_governance WHERE account_id = $1 \
                   ORDER BY subject_type, subject_id";
        let rows = fetch_all!(self.conn, (String, Uuid, String), sql, account)?;
        let read = |(kind, id, rules): (String, Uuid, String)| {
            let subject = match kind.as_str() {
                "agent" => SubjectRef::Agent(AgentId(id)),
                "key" => SubjectRef::Key(KeyId(id)),
                _ => return Err(Error::Damaged(format!("unknown subject `{kind}`"))),
            };
            Ok((subject, from_json(&rules)?))
        };
        rows.into_iter().map(read).collect()
    }
}

impl Tx<'_> {
    /// Replaces the defaults.
    pub async fn put_defaults(&mut self, defaults: &Defaults) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        let sql = "INSERT INTO account_defaults \
                   (account_id, unknown_tools, require_approval_for_new_tools, default_workflow_id, new_tools_since) \
                   VALUES ($1, $2, $3, $4, $5) ON CONFLICT (account_id) DO UPDATE SET \
                   unknown_tools = excluded.unknown_tools, \
                   require_approval_for_new_tools = excluded.require_approval_for_new_tools, \
                   default_workflow_id = excluded.default_workflow_id, new_tools_since = excluded.new_tools_since";
        execute!(
            self.conn,
            sql,
            account,
            defaults.unknown_tools.as_str(),
            defaults.require_approval_for_new_tools,
            defaults.default_workflow.map(|id| id.0),
            micros(defaults.new_tools_since)
        )?;
        Ok(())
    }

    /// Replaces what holds for all model traffic of the account.
    pub async fn put_model_settings(&mut self, settings: &AccountModelSettings) -> Result<()> {
        self.config_changed();
        let account = self.account().0;
        let sql = "INSERT INTO account_models \
                   (account_id, allowed_models, on_unpriced, capture, session_idle_minutes, guardrails) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (account_id) DO UPDATE SET \
                   allowed_models = excluded.allowed_models, \
                   on_unpriced = excluded.on_unpriced, capture = excluded.capture, \
                   session_idle_minutes = excluded.session_idle_minutes, guardrails = excluded.guardrails";
        execute!(
            self.conn,
            sql,
            account,
            json(&settings.allowed_models)?,
            settings.on_unpriced.as_str(),
            settings.capture.as_str(),
            i64::from(settings.session_idle_minutes),
            json(&settings.guardrails)?
        )?;
        Ok(())
    }

    /// Replaces the rules and switches of one subject; empty ones are forgotten.
    pub async fn put_subject_governance(&mut self, subject: SubjectRef, rules: &SubjectGovernance) -> Result<()> {
        self.config_changed();
        let (account, (kind, id)) = (self.account().0, columns(subject));
        // Agents have no rows of their own yet; keys have.
        if let SubjectRef::Key(key) = subject {
            self.key(key).await?.ok_or(Error::NotFound)?;
        }
        if *rules == SubjectGovernance::default() {
            let sql = "DELETE FROM subject_governance WHERE account_id = $1 AND subject_type = $2 AND subject_id = $3";
            execute!(self.conn, sql, account, kind, id)?;
            return Ok(());
        }
        let sql = "INSERT INTO subject_governance (account_id, subject_type, subject_id, rules) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (account_id, subject_type, subject_id) DO UPDATE SET rules = excluded.rules";
        execute!(self.conn, sql, account, kind, id, json(rules)?)?;
        Ok(())
    }
}
