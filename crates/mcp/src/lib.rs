//! The MCP firewall: MCP to agents on one side, MCP to upstream servers on the other.
//!
//! - [`downstream`]: the endpoint agents speak to, in both eras of the protocol.
//! - [`protocol`]: the wire — envelopes, revisions, error codes, SSE. Knows no policy.

pub mod downstream;
pub mod protocol;
