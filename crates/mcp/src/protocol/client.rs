use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::{LogLevel, RpcError, Version};

/// What a request can do towards the agent that made it, while it runs.
///
/// The downstream side implements it for every kind of agent connection, the upstream side only
/// calls it: so a server of either era can stand behind a client of either era.
#[async_trait]
pub trait Client: Send + Sync {
    /// The revision spoken on this leg.
    fn version(&self) -> Version;

    /// Who the agent says it is, and the capabilities it declared (a JSON object).
    fn info(&self) -> &ClientInfo;

    /// The progress token of this request, as it came.
    fn progress_token(&self) -> Option<&RawValue>;

    /// The least severe log message the agent wants to see; `None` when it did not say.
    fn log_level(&self) -> Option<LogLevel> {
        None
    }

    /// Names the conversation this request is part of: the session of the legacy era. `None`
    /// where requests stand alone.
    fn conversation(&self) -> Option<&str> {
        None
    }

    /// What the agent says its run is called (`X-Preloop-Session-Id`). Not trusted; conversations
    /// come and go within a run.
    fn run(&self) -> Option<&str> {
        None
    }

    /// Arguments repeated in `Mcp-Param-*` headers, decoded: lower-case name after the prefix,
    /// value. Whoever knows the tool's schema compares them with the arguments.
    fn param_headers(&self) -> &[(String, String)] {
        &[]
    }

    /// Fires when the agent gave the request up (`notifications/cancelled`, or in the modern era
    /// a closed response stream).
    fn cancelled(&self) -> CancellationToken;

    /// Sends a notification on this request's stream. Dropped where there is none.
    fn notify(&self, method: &str, params: Option<Arc<RawValue>>);

    /// Puts requests from upstream (`elicitation/create`, `sampling/createMessage`,
    /// `roots/list`) to the agent and waits for the answers: one request each in the legacy era,
    /// one `input_required` result in the modern one. Keys name the requests and come back.
    /// An answer may be missing; what that means is upstream's to say.
    async fn ask(&self, requests: BTreeMap<String, InputRequest>) -> Result<InputResponses, AskError>;
}

/// What a client says of itself. Not trusted.
#[derive(Debug, Clone, Default)]
pub struct ClientInfo {
    /// `clientInfo.name`.
    pub name: String,
    /// `clientInfo.version`.
    pub version: String,
    /// `capabilities` as declared; an empty object when none were.
    pub capabilities: serde_json::Map<String, serde_json::Value>,
}

/// A request from upstream to the agent.
#[derive(Debug, Clone)]
pub struct InputRequest {
    /// `elicitation/create`, `sampling/createMessage` or `roots/list`.
    pub method: String,
    /// Its params as they came.
    pub params: Option<Arc<RawValue>>,
}

/// The agent's answers, by the key of the request.
pub type InputResponses = BTreeMap<String, Result<Arc<RawValue>, RpcError>>;

/// Why the agent could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// The agent did not declare the capability, or has no stream to be asked on.
    #[error("the client cannot be asked: {0}")]
    Unsupported(String),
    /// The agent went away or did not answer in time.
    #[error("the client did not answer")]
    Gone,
}

/// A request nobody waits for: an approved call carried out after its agent went away.
#[derive(Debug, Default)]
pub struct Detached {
    info: ClientInfo,
}

#[async_trait]
impl Client for Detached {
    fn version(&self) -> Version {
        Version::NEWEST_LEGACY
    }

    fn info(&self) -> &ClientInfo {
        &self.info
    }

    fn progress_token(&self) -> Option<&RawValue> {
        None
    }

    fn cancelled(&self) -> CancellationToken {
        CancellationToken::new()
    }

    fn notify(&self, _method: &str, _params: Option<Arc<RawValue>>) {}

    async fn ask(&self, _requests: BTreeMap<String, InputRequest>) -> Result<InputResponses, AskError> {
        Err(AskError::Unsupported("nobody is connected".to_owned()))
    }
}
