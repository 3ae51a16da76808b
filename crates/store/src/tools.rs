use preloop_types::{
    Hash, Timestamp, ToolId,
    config::{RawJson, Tool},
};
use uuid::Uuid;

use crate::{Result, Tx, View};

/// One definition a tool has had.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolVersion {
    /// Hash of the definition's canonical form.
    pub hash: Hash,
    /// The definition as the server sent it.
    pub definition: RawJson,
    /// When it was first seen.
    pub first_seen: Timestamp,
    /// When it was last seen.
    pub last_seen: Timestamp,
}

/// Something suspicious about a tool's definition.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Its id.
    pub id: Uuid,
    /// The tool.
    pub tool: ToolId,
    /// What kind of suspicion.
    pub kind: String,
    /// How bad.
    pub severity: String,
    /// For people.
    pub detail: String,
    /// `open`, `accepted`, …
    pub state: String,
}

impl View<'_> {
    /// Every tool, removed ones too, by exposed name.
    pub async fn tools(&mut self) -> Result<Vec<Tool>> {
        todo!()
    }
    /// One tool.
    pub async fn tool(&mut self, _id: ToolId) -> Result<Option<Tool>> {
        todo!()
    }
    /// The definitions a tool has had, newest first.
    pub async fn tool_versions(&mut self, _id: ToolId) -> Result<Vec<ToolVersion>> {
        todo!()
    }
    /// Findings about one tool, or all.
    pub async fn tool_findings(&mut self, _tool: Option<ToolId>) -> Result<Vec<Finding>> {
        todo!()
    }
}

impl Tx<'_> {
    /// Adds a tool.
    pub async fn insert_tool(&mut self, _tool: &Tool) -> Result<()> {
        todo!()
    }
    /// Replaces a tool's row.
    pub async fn update_tool(&mut self, _tool: &Tool) -> Result<()> {
        todo!()
    }
    /// Notes that a tool had this definition now.
    pub async fn record_tool_version(&mut self, _tool: ToolId, _hash: Hash, _definition: &RawJson) -> Result<()> {
        todo!()
    }
    /// Replaces the findings about a tool.
    pub async fn replace_findings(&mut self, _tool: ToolId, _findings: &[Finding]) -> Result<()> {
        todo!()
    }
}
