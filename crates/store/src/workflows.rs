use preloop_types::{WorkflowId, config::Workflow};

use crate::{Result, Tx, View};

impl View<'_> {
    /// Every workflow that is not deleted, by name.
    pub async fn workflows(&mut self) -> Result<Vec<Workflow>> {
        todo!()
    }
    /// One workflow, deleted or not.
    pub async fn workflow(&mut self, _id: WorkflowId) -> Result<Option<Workflow>> {
        todo!()
    }
}

impl Tx<'_> {
    /// Adds a workflow. If it is the default, no other is any more.
    pub async fn insert_workflow(&mut self, _workflow: &Workflow) -> Result<()> {
        todo!()
    }
    /// Replaces a workflow's row. If it is the default, no other is any more.
    pub async fn update_workflow(&mut self, _workflow: &Workflow) -> Result<()> {
        todo!()
    }
    /// Hides a workflow; its history stays.
    pub async fn delete_workflow(&mut self, _id: WorkflowId) -> Result<()> {
        todo!()
    }
}
