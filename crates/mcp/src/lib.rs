//! The MCP firewall: MCP to agents on one side, MCP to upstream servers on the other.
//!
//! - [`protocol`]: the wire — envelopes, revisions, error codes, SSE. Knows no policy.

pub mod protocol;
