use std::time::Duration;

use preloop_egress::Refused;

use crate::protocol::RpcError;

/// Why an upstream server gave no result.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Its URL may not be reached.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be reached, or its process not started.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// It did not answer in time.
    #[error("no answer in time")]
    Timeout {
        /// Whether it may have seen the request.
        sent: bool,
    },
    /// The connection broke, or its process ended, before the answer came.
    #[error("the connection broke: {why}")]
    Broken {
        /// What happened.
        why: String,
        /// Whether it may have seen the request.
        sent: bool,
    },
    /// It answered with something MCP does not allow.
    #[error("not valid MCP: {0}")]
    Protocol(String),
    /// It answered with this HTTP status.
    #[error("HTTP status {0}")]
    Http(u16),
    /// It answered with a JSON-RPC error.
    #[error(transparent)]
    Rpc(RpcError),
    /// It failed too often lately and is left alone for a while.
    #[error("failing repeatedly; tried again in {} s", .0.as_secs().max(1))]
    CircuitOpen(Duration),
    /// Too many calls to it are running.
    #[error("all of its {0} slots are busy: raise `max_concurrency` or try later")]
    Busy(u32),
    /// Its answer is larger than the server's `max_response_bytes` and cannot be shortened to that.
    #[error("the answer is larger than {0} bytes: raise `max_response_bytes` if that is intended")]
    TooLarge(u64),
    /// It wants credentials that are missing or were refused.
    #[error("needs authorization: {0}")]
    NeedsAuth(String),
    /// It wants scopes that nobody granted yet; a person who signs in again is asked for them.
    #[error("needs the further scopes `{0}`: sign in with OAuth again to grant them")]
    InsufficientScope(String),
    /// The agent gave the request up.
    #[error("cancelled by the client")]
    Cancelled,
    /// The tool is not, or no longer, what was pinned. Nothing was sent.
    #[error("the definition of tool `{0}` is not the pinned one: review and accept the change")]
    DefinitionChanged(String),
    /// Its configuration cannot work.
    #[error("{0}")]
    Config(String),
    /// Our own store failed. Nothing was sent.
    #[error("store: {0}")]
    Store(#[from] preloop_store::Error),
}

impl UpstreamError {
    /// One word for programs: `connect`, `timeout`, `http_502`, …
    pub fn kind(&self) -> String {
        match self {
            Self::Refused(_) => "refused",
            Self::Connect(_) => "connect",
            Self::Timeout { .. } => "timeout",
            Self::Broken { .. } => "connection_lost",
            Self::Protocol(_) => "protocol",
            Self::Http(status) => return format!("http_{status}"),
            Self::Rpc(_) => "error",
            Self::CircuitOpen(_) => "circuit_open",
            Self::Busy(_) => "busy",
            Self::TooLarge(_) => "too_large",
            Self::NeedsAuth(_) => "needs_auth",
            Self::InsufficientScope(_) => "insufficient_scope",
            Self::Cancelled => "cancelled",
            Self::DefinitionChanged(_) => "definition_changed",
            Self::Config(_) => "config",
            Self::Store(_) => "store",
        }
        .to_owned()
    }

    /// Whether the same request may do better later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Connect(_)
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::CircuitOpen(_)
            | Self::Busy(_)
            | Self::Store(_) => true,
            Self::Http(status) => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    /// Whether the server may have seen the request, and so acted on it.
    pub fn sent(&self) -> bool {
        match self {
            Self::Timeout { sent } | Self::Broken { sent, .. } => *sent,
            Self::Protocol(_) | Self::Http(_) | Self::Rpc(_) | Self::TooLarge(_) | Self::Cancelled => true,
            Self::Refused(_)
            | Self::Connect(_)
            | Self::CircuitOpen(_)
            | Self::Busy(_)
            | Self::NeedsAuth(_)
            | Self::InsufficientScope(_)
            | Self::DefinitionChanged(_)
            | Self::Config(_)
            | Self::Store(_) => false,
        }
    }

    /// Whether it speaks of the server's health, as opposed to this one request.
    pub(super) fn is_failure_of_server(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Timeout { .. } | Self::Broken { .. } | Self::Protocol(_) => true,
            Self::Http(status) => *status >= 500,
            _ => false,
        }
    }
}

/// What stops a request on one connection: an error for the caller, or a reason to renew
/// something and send it again.
#[derive(Debug)]
pub(super) enum Failure {
    /// For the caller.
    Error(UpstreamError),
    /// The session is unknown to the server; the request was not carried out.
    SessionGone,
    /// The credential was refused; the request was not carried out.
    Unauthorized,
}

impl From<UpstreamError> for Failure {
    fn from(error: UpstreamError) -> Self {
        Self::Error(error)
    }
}

impl From<Failure> for UpstreamError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Error(error) => error,
            Failure::SessionGone => UpstreamError::Broken { why: "the session is gone".to_owned(), sent: false },
            Failure::Unauthorized => UpstreamError::NeedsAuth("the server refused the credential".to_owned()),
        }
    }
}
