use preloop_types::{ToolConfigId, config::ToolConfig};

use crate::{Result, Tx, View};

impl View<'_> {
    /// Every tool configuration with its rules in order.
    pub async fn tool_configs(&mut self) -> Result<Vec<ToolConfig>> {
        todo!()
    }
    /// One tool configuration.
    pub async fn tool_config(&mut self, _id: ToolConfigId) -> Result<Option<ToolConfig>> {
        todo!()
    }
}

impl Tx<'_> {
    /// Adds a configuration with its rules.
    pub async fn insert_tool_config(&mut self, _config: &ToolConfig) -> Result<()> {
        todo!()
    }
    /// Replaces a configuration and its rules.
    pub async fn update_tool_config(&mut self, _config: &ToolConfig) -> Result<()> {
        todo!()
    }
    /// Removes a configuration and its rules.
    pub async fn delete_tool_config(&mut self, _id: ToolConfigId) -> Result<()> {
        todo!()
    }
}
