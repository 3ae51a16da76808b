use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{CallId, Hash, ServerId, ToolId};

/// Which tool, exactly. Policy matches on (`server`, `name`), agents see `exposed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolRef {
    /// The tool's row; `None` for a built-in tool.
    pub id: Option<ToolId>,
    /// The server's row; `None` for a built-in tool.
    pub server_id: Option<ServerId>,
    /// The server's slug, or `builtin`.
    pub server: Arc<str>,
    /// The name the server gives it.
    pub name: Arc<str>,
    /// The name agents call it by.
    pub exposed: Arc<str>,
    /// The pinned definition's hash.
    pub definition: Hash,
}

/// What policy and records call the reading of a server's resources; its argument is `uri`.
pub const RESOURCES_READ: &str = "resources/read";
/// What policy and records call the rendering of a server's prompts; its arguments are `name` and
/// `arguments`.
pub const PROMPTS_GET: &str = "prompts/get";

/// Where the tools live that agents carry out themselves.
const AGENT: &str = "agent";

impl ToolRef {
    /// The reading of a server's resources or prompts: governed like a tool, named after `method`.
    pub fn read(method: &str, server_id: ServerId, server: &str) -> Self {
        let name: Arc<str> = method.into();
        Self {
            id: None,
            server_id: Some(server_id),
            server: server.into(),
            exposed: name.clone(),
            definition: Hash::of(method),
            name,
        }
    }

    /// A tool the agent itself carries out, after it asked: its shell, its editor.
    pub fn native(name: &str) -> Self {
        let name: Arc<str> = name.into();
        Self {
            id: None,
            server_id: None,
            server: AGENT.into(),
            exposed: name.clone(),
            definition: Hash::of(&*name),
            name,
        }
    }

    /// Whether the agent itself carries it out: nothing here can.
    pub fn is_native(&self) -> bool {
        self.server_id.is_none() && &*self.server == AGENT
    }

    /// Whether this stands for reading resources or prompts: no row describes it.
    pub fn is_read(&self) -> bool {
        self.id.is_none() && self.server_id.is_some()
    }
}

/// One tool call as the policy sees it.
#[derive(Debug, Clone)]
pub struct ToolCall {
    /// Joins every record about this call.
    pub id: CallId,
    /// The tool.
    pub tool: ToolRef,
    /// The arguments as they came, without an injected justification. Always a JSON object.
    pub arguments: Arc<RawValue>,
    /// The reason the agent gave.
    pub justification: Option<String>,
    /// What the client says of itself: `name/version`. Not trusted.
    pub client: Option<Arc<str>>,
}

/// How a call ended.
#[derive(Debug, Clone)]
pub struct CallOutcome {
    /// In one word.
    pub status: OutcomeStatus,
    /// The result or error as it came from upstream.
    pub payload: Option<Arc<RawValue>>,
    /// What went wrong, for people; never holds a secret.
    pub error: Option<String>,
}

/// How a call ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeStatus {
    /// The tool answered.
    Succeeded,
    /// The tool answered with `isError`, or upstream with a JSON-RPC error.
    Failed,
    /// Upstream could not be reached, or the call was never sent.
    NotSent,
    /// The call may or may not have taken effect.
    Unknown,
}

impl OutcomeStatus {
    /// The spelling used in the journal.
    pub const fn as_str(self) -> &'static str {
        match self {
            OutcomeStatus::Succeeded => "succeeded",
            OutcomeStatus::Failed => "failed",
            OutcomeStatus::NotSent => "not_sent",
            OutcomeStatus::Unknown => "unknown",
        }
    }
}
