//! The MCP firewall: MCP to agents on one side, MCP to upstream servers on the other.
//!
//! - [`catalogue`]: the tools of upstream servers — named once, pinned, watched for change.
//! - [`downstream`]: the endpoint agents speak to, in both eras of the protocol.
//! - [`firewall`]: what happens to a request in between: nothing reaches a tool without a permit.
//! - [`protocol`]: the wire — envelopes, revisions, error codes, SSE. Knows no policy.
//! - [`stdio_bridge`]: the same endpoint for clients that can only start a process.
//! - [`upstream`]: connections to upstream servers, of either era and over any transport.

pub mod catalogue;
pub mod downstream;
pub mod firewall;
pub mod protocol;
mod splice;
pub mod stdio_bridge;
pub mod upstream;
