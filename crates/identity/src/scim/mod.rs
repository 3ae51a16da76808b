//! SCIM 2.0 (RFC 7643, 7644): a directory keeps people and teams here as they are there.
//!
//! Only the protocol: what a request means, and what an answer looks like. A change of a part is
//! applied to the whole resource as the directory sees it ([`patch`]), so that there is one way in.

mod filter;
mod patch;
mod resource;

pub use filter::Filter;
pub use patch::{PatchRequest, patch};
pub use resource::{GroupResource, UserResource, group_json, list_json, schemas, service_provider_config, user_json};
pub use resource::{resource_types, settle_name, wanted_group, wanted_user};

/// Why a request cannot be carried out, with the words of RFC 7644, section 3.12.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScimError {
    /// The filter is not one that is understood.
    #[error("the filter is not understood: {0}; use `attribute eq \"value\"`")]
    InvalidFilter(String),
    /// The path of an operation leads nowhere.
    #[error("the path `{0}` is not understood")]
    InvalidPath(String),
    /// A value is missing or of the wrong kind.
    #[error("{0}")]
    InvalidValue(String),
    /// The body is not what it should be.
    #[error("{0}")]
    InvalidSyntax(String),
}

impl ScimError {
    /// `scimType`.
    pub const fn kind(&self) -> &'static str {
        match self {
            ScimError::InvalidFilter(_) => "invalidFilter",
            ScimError::InvalidPath(_) => "invalidPath",
            ScimError::InvalidValue(_) => "invalidValue",
            ScimError::InvalidSyntax(_) => "invalidSyntax",
        }
    }
}
