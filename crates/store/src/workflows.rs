use preloop_types::{WorkflowId, config::Workflow};
use uuid::Uuid;

use crate::{
    Result, Tx, View,
    db::{at, execute, fetch_all, fetch_optional, found, from_json, json, micros, row, small},
};

row! {
    struct WorkflowRow {
        id: Uuid, name: String, description: Option<String>, timeout_seconds: i64, require_reason: bool,
        is_default: bool, async_approval: bool, approvals_required: i64, approvers: String, channels: String,
        extra: String, settings: String, created_at: i64, updated_at: i64, deleted_at: Option<i64>,
    }
}

impl WorkflowRow {
    fn into_workflow(self) -> Result<Workflow> {
        Ok(Workflow {
            id: WorkflowId(self.id),
            name: self.name,
            description: self.description,
            timeout_seconds: small(self.timeout_seconds)?,
            require_reason: self.require_reason,
            is_default: self.is_default,
            async_approval: self.async_approval,
            approvals_required: small(self.approvals_required)?,
            approvers: from_json(&self.approvers)?,
            settings: from_json(&self.settings)?,
            channels: from_json(&self.channels)?,
            extra: from_json(&self.extra)?,
            created_at: at(self.created_at),
            updated_at: at(self.updated_at),
            deleted_at: self.deleted_at.map(at),
        })
    }
}

impl View<'_> {
    /// Every workflow that is not deleted, by name.
    pub async fn workflows(&mut self) -> Result<Vec<Workflow>> {
        let account = self.account().0;
        let sql = "SELECT * FROM workflows WHERE account_id = $1 AND deleted_at IS NULL ORDER BY name";
        fetch_all!(self.conn, WorkflowRow, sql, account)?.into_iter().map(WorkflowRow::into_workflow).collect()
    }

    /// One workflow, deleted or not.
    pub async fn workflow(&mut self, id: WorkflowId) -> Result<Option<Workflow>> {
        let account = self.account().0;
        let sql = "SELECT * FROM workflows WHERE account_id = $1 AND id = $2";
        fetch_optional!(self.conn, WorkflowRow, sql, account, id.0)?.map(WorkflowRow::into_workflow).transpose()
    }
}

impl Tx<'_> {
    /// Adds a workflow. If it is the default, no other is any more.
    pub async fn insert_workflow(&mut self, workflow: &Workflow) -> Result<()> {
        let sql = "INSERT INTO workflows (account_id, id, name, description, timeout_seconds, require_reason, \
                   is_default, async_approval, approvals_required, approvers, channels, extra, created_at, updated_at, \
                   deleted_at, settings) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)";
        self.put_workflow(sql, workflow).await.map(drop)
    }

    /// Replaces the row of a workflow that is not deleted. If it is the default, no other is any more.
    pub async fn update_workflow(&mut self, workflow: &Workflow) -> Result<()> {
        let sql = "UPDATE workflows SET name = $3, description = $4, timeout_seconds = $5, require_reason = $6, \
                   is_default = $7, async_approval = $8, approvals_required = $9, approvers = $10, channels = $11, \
                   extra = $12, created_at = $13, updated_at = $14, deleted_at = $15, settings = $16 \
                   WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL";
        found(self.put_workflow(sql, workflow).await?)
    }

    /// Hides a workflow; its history stays, its secrets go.
    pub async fn delete_workflow(&mut self, id: WorkflowId) -> Result<()> {
        self.config_changed();
        let (account, now) = (self.account().0, self.now().micros());
        let sql = "UPDATE workflows SET deleted_at = $3, is_default = FALSE \
                   WHERE account_id = $1 AND id = $2 AND deleted_at IS NULL";
        found(execute!(self.conn, sql, account, id.0, now)?)?;
        self.delete_secrets(crate::SecretOwner::Workflow(id)).await
    }

    async fn put_workflow(&mut self, sql: &'static str, workflow: &Workflow) -> Result<u64> {
        self.config_changed();
        let account = self.account().0;
        if workflow.is_default && workflow.deleted_at.is_none() {
            let sql = "UPDATE workflows SET is_default = FALSE WHERE account_id = $1 AND id <> $2 AND is_default";
            execute!(self.conn, sql, account, workflow.id.0)?;
        }
        execute!(
            self.conn,
            sql,
            account,
            workflow.id.0,
            &workflow.name[..],
            workflow.description.as_deref(),
            i64::from(workflow.timeout_seconds),
            workflow.require_reason,
            workflow.is_default,
            workflow.async_approval,
            i64::from(workflow.approvals_required),
            json(&workflow.approvers)?,
            json(&workflow.channels)?,
            json(&workflow.extra)?,
            workflow.created_at.micros(),
            workflow.updated_at.micros(),
            micros(workflow.deleted_at),
            json(&workflow.settings)?
        )
    }
}
