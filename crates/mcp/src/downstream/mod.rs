//! The MCP endpoint agents speak to, in both eras of the protocol.
//!
//! [`router`] serves streamable HTTP of every revision (and HTTP+SSE) and hands what is not the
//! endpoint's own business to a [`Handler`]. It knows transports, sessions, streams and who
//! calls; it decides nothing: policy lives behind the handler.
//!
//! Each request that reaches the handler is an exchange: what passes between the request and its
//! agent while it runs. A legacy exchange speaks on streams that outlive their connection; a
//! modern one ends its response with a question and is taken up again by the request that brings
//! the answer.

mod asking;
mod endpoint;
mod exchange;
mod guard;
mod handler;
mod http_sse;
mod legacy;
mod listen;
mod metadata;
mod modern;
mod options;
mod outgoing;
mod params;
mod parking;
mod persist;
mod replies;
mod request_state;
mod running;
mod session;
mod sessions;
mod stream;

use std::sync::Arc;

pub use handler::{Change, EndpointScope, Handler, Identify, Offer, Unidentified};
pub use options::{Limits, Now, Options, ServerInfo};
pub use sessions::{Forgetful, SessionRecord, SessionStore, SessionStoreError};
pub(crate) use stream::on_one_line;

/// What the endpoint is made of.
pub struct Downstream {
    /// Answers requests.
    pub handler: Arc<dyn Handler>,
    /// Knows credentials.
    pub identify: Arc<dyn Identify>,
    /// Keeps sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// How to behave.
    pub options: Options,
}

/// The endpoint's routes: `/mcp`, `/mcp/v1`, `/mcp/v1/servers/{slug}` and, if wanted,
/// `/mcp/v1/sse` with `/mcp/v1/messages`. Must not be nested: clients are told these paths.
pub fn router(downstream: Downstream) -> axum::Router {
    endpoint::router(downstream)
}
