//! Error codes of JSON-RPC and MCP.

/// Not JSON.
pub const PARSE_ERROR: i64 = -32700;
/// Not a JSON-RPC message.
pub const INVALID_REQUEST: i64 = -32600;
/// No such method.
pub const METHOD_NOT_FOUND: i64 = -32601;
/// Params of the wrong shape; in the modern era also a resource that does not exist.
pub const INVALID_PARAMS: i64 = -32602;
/// Our own failure.
pub const INTERNAL_ERROR: i64 = -32603;
/// No or bad credentials (HTTP 401).
pub const UNAUTHENTICATED: i64 = -32001;
/// A resource that does not exist, in the legacy era.
pub const RESOURCE_NOT_FOUND: i64 = -32002;
/// A read that the policy refuses, or that waits for a person; the data says which.
pub const GOVERNED: i64 = -32003;
/// Modern era: mirrored headers disagree with the body.
pub const HEADER_MISMATCH: i64 = -32020;
/// Modern era: the client lacks a capability the request needs.
pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
/// Modern era: unsupported protocol version.
pub const UNSUPPORTED_VERSION: i64 = -32022;
/// A request its maker gave up.
pub const REQUEST_CANCELLED: i64 = -32800;
