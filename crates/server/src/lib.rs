//! HTTP: REST, the approval page, the MCP endpoint; wires the other crates together.
