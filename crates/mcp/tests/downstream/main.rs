//! The MCP endpoint as an agent meets it: over HTTP, with a fake handler behind it.

mod app;
mod asking;
mod bridge;
mod door;
mod http_sse;
mod legacy;
mod listen;
mod modern;
mod streams;
