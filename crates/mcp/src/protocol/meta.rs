//! The keys of `_meta` that the modern era reserves, and what a request says there.

use serde::Deserialize;
use serde_json::value::RawValue;

/// Revision of a request.
pub const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
/// Who makes a request.
pub const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
/// What the maker of a request can do.
pub const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// The least severe log message wanted for a request.
pub const LOG_LEVEL: &str = "io.modelcontextprotocol/logLevel";
/// Who answered.
pub const SERVER_INFO: &str = "io.modelcontextprotocol/serverInfo";
/// The listen request a notification belongs to.
pub const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// `params._meta` of a request, undecoded.
#[derive(Debug, Default, Deserialize)]
pub struct RequestMeta<'a> {
    /// [`PROTOCOL_VERSION`].
    #[serde(borrow, rename = "io.modelcontextprotocol/protocolVersion")]
    pub protocol_version: Option<&'a RawValue>,
    /// [`CLIENT_INFO`].
    #[serde(borrow, rename = "io.modelcontextprotocol/clientInfo")]
    pub client_info: Option<&'a RawValue>,
    /// [`CLIENT_CAPABILITIES`].
    #[serde(borrow, rename = "io.modelcontextprotocol/clientCapabilities")]
    pub client_capabilities: Option<&'a RawValue>,
    /// [`LOG_LEVEL`].
    #[serde(borrow, rename = "io.modelcontextprotocol/logLevel")]
    pub log_level: Option<&'a RawValue>,
    /// Where progress is wanted, the token to report it under.
    #[serde(borrow, rename = "progressToken")]
    pub progress_token: Option<&'a RawValue>,
}
