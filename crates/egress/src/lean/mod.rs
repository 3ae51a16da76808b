//! A client with nothing between the caller and the connection: for traffic whose bodies are
//! forwarded as they are, thousands of times a second.
//!
//! Requests carry their body as a list of slices, answers come as hyper's own body. Nothing is
//! decompressed, no redirect is followed, no header is added but `host` and `content-length`.
//! Addresses are guarded where connections are made, so a pooled connection costs no check.

mod body;
mod connect;

use std::{error::Error, sync::Arc, time::Duration};

use hyper::{Request, Response, body::Incoming};
use hyper_util::{
    client::legacy,
    rt::{TokioExecutor, TokioTimer},
};

pub use body::Chunks;
use connect::Connect;

use crate::{Policy, Refused, client::EgressOptions, refusal, resolver::Guard};

/// Unused connections kept for one host. More calls at a time than this open connections anew.
const IDLE_PER_HOST_MAX: usize = 512;
/// How often a silent HTTP/2 connection with requests under way is asked whether it lives.
const HTTP2_PING_EVERY: Duration = Duration::from_secs(20);
/// How long it may take to say so.
const HTTP2_PONG_WITHIN: Duration = Duration::from_secs(10);
/// What may be under way on one HTTP/2 stream before the reader has taken it.
const HTTP2_WINDOW_BYTES: u32 = 1024 * 1024;

/// A guarded HTTP client for the hot path. Cheap to clone; connections are pooled.
#[derive(Debug, Clone)]
pub struct LeanClient(legacy::Client<Connect, Chunks>);

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The guard refused the address.
    #[error("{0}")]
    Refused(#[source] Refused),
    /// No connection within [`Policy::connect_timeout`].
    #[error("no connection in time")]
    ConnectTimeout,
    /// No connection.
    #[error("cannot connect: {}", innermost(.0))]
    Connect(#[source] legacy::Error),
    /// The connection ended before an answer came.
    #[error("the connection ended before an answer came: {}", innermost(.0))]
    Interrupted(#[source] legacy::Error),
}

impl SendError {
    /// Whether the other side may have seen the request.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, SendError::Interrupted(_))
    }
}

impl LeanClient {
    pub(crate) fn new(options: &EgressOptions, policy: Policy, allow_private: bool) -> Result<Self, rustls::Error> {
        let guard = Guard { lookup: Arc::clone(&options.lookup), allow_private };
        let connect = Connect::new(guard, options.system_proxy, policy.connect_timeout)?;
        let client = legacy::Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(policy.idle_timeout)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http2_initial_stream_window_size(HTTP2_WINDOW_BYTES)
            .http2_initial_connection_window_size(16 * HTTP2_WINDOW_BYTES)
            .http2_keep_alive_interval(HTTP2_PING_EVERY)
            .http2_keep_alive_timeout(HTTP2_PONG_WITHIN)
            .build(connect);
        Ok(Self(client))
    }

    /// Sends `request`, whose URI is absolute, and waits for the head of the answer. The body
    /// follows as it arrives; dropping it ends the request.
    pub async fn send(&self, request: Request<Chunks>) -> Result<Response<Incoming>, SendError> {
        self.0.request(request).await.map_err(explain)
    }
}

fn explain(error: legacy::Error) -> SendError {
    if let Some(refused) = refusal(&error) {
        return SendError::Refused(refused.clone());
    }
    match error.is_connect() {
        true if connect::timed_out(&error) => SendError::ConnectTimeout,
        true => SendError::Connect(error),
        false => SendError::Interrupted(error),
    }
}

fn innermost(error: &dyn Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
