//! The MCP endpoint as an agent meets it: over HTTP, with a fake handler behind it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what does not work fails the test")]

mod app;
mod asking;
mod bridge;
mod door;
mod http_sse;
mod kept;
mod legacy;
mod listen;
mod modern;
mod streams;
