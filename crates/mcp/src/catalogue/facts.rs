use std::{collections::HashMap, sync::Arc};

use preloop_types::{
    Hash, ServerId,
    config::{PinState, Tool},
};

use super::{HeaderParam, definition::Definition, header};

/// What has to be known of a server's tools to call them, by upstream name.
pub type Facts = HashMap<String, Arc<ToolFacts>>;

/// What has to be known of a tool to call it. Taken from its pinned definition.
#[derive(Debug, PartialEq, Eq)]
pub struct ToolFacts {
    /// The pinned definition's hash.
    pub hash: Hash,
    /// Neither drifted, quarantined nor removed.
    pub usable: bool,
    /// Arguments repeated in headers.
    pub headers: Vec<HeaderParam>,
    /// Whether it runs as a task (2025-11-25).
    pub task: TaskSupport,
}

/// Whether a tool runs as a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskSupport {
    /// It must not, or its server does not say.
    Forbidden,
    /// It may.
    Optional,
    /// It must.
    Required,
}

/// The facts about `server`'s tools among `tools`.
pub fn facts(server: ServerId, tools: &[Tool]) -> Facts {
    tools
        .iter()
        .filter(|tool| tool.server_id == server)
        .filter_map(|tool| {
            let definition = Definition::read(&tool.definition.0).ok()?;
            let task = match definition.execution.task_support.as_deref() {
                Some("required") => TaskSupport::Required,
                Some("optional") => TaskSupport::Optional,
                _ => TaskSupport::Forbidden,
            };
            let facts = ToolFacts {
                hash: tool.pinned_hash,
                usable: tool.pin == PinState::Pinned && tool.removed_at.is_none(),
                headers: header::annotated(&definition.input_schema).ok()?,
                task,
            };
            Some((tool.upstream_name.clone(), Arc::new(facts)))
        })
        .collect()
}
