//! The OAuth 2.1 authorization server: how a client that knows nothing but this server's URL comes to
//! act for a person who consents.
//!
//! The client registers ([`OAuth::register`], RFC 7591) or names a document about itself
//! ([client id metadata documents](https://datatracker.ietf.org/doc/draft-ietf-oauth-client-id-metadata-document/)),
//! sends its person's browser here ([`OAuth::asked`]), gets a code once they consented
//! ([`OAuth::consent`]) and exchanges it for tokens ([`OAuth::token`]). The command line has no browser
//! to send and shows a code to type instead (RFC 8628, [`OAuth::begin_device`]).
//!
//! What is refused here on principle: anything without PKCE (S256), redirect URIs that were not
//! registered whole, tokens for no or another server's resource (RFC 8707), administration for any
//! client but our own command line, and consent without asking: it is not remembered, because public
//! clients cannot prove that they are the ones it was given to.

mod authorize;
pub mod client;
mod device;
mod document;
mod error;
mod metadata;
mod pkce;
pub mod redirect_uri;
mod registration;
mod resource;
mod revoke;
pub mod scope;
mod token;

use std::sync::Arc;

use preloop_egress::{Egress, Policy};
use preloop_store::Store;
use url::Url;

pub use authorize::{Asked, AuthorizeParams, Unaskable};
pub use client::{Client, ClientKind, Presented};
pub use device::{DEVICE_PATH, DeviceAnswer, DeviceRequest, WaitingDevice};
pub use document::{DocumentError, Documents};
pub use error::{ErrorCode, OAuthError};
pub use metadata::server_metadata;
pub use registration::{Registered, RegistrationRequest};
pub use resource::audience;
pub use revoke::RevokeRequest;
pub use token::{Given, TokenRequest};

/// The authorization server. Cheap to clone.
#[derive(Clone)]
pub struct OAuth {
    store: Store,
    documents: Arc<Documents>,
}

impl OAuth {
    /// The authorization server of `store`'s people. Documents about clients are fetched through
    /// `egress`; over plain HTTP from this machine only where it may reach private networks at all.
    pub fn new(store: Store, egress: &Egress, allow_private_network: bool) -> Self {
        let policy = Policy { allow_private: allow_private_network, ..Policy::default() };
        let documents = Documents::new(egress.clone(), policy);
        Self { store, documents: Arc::new(documents) }
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }
}

/// `base` with `path` behind it.
fn at(base: &Url, path: &str) -> String {
    format!("{}{path}", issuer(base))
}

/// The issuer identifier: where clients reach this server, without a trailing slash.
pub fn issuer(base: &Url) -> &str {
    base.as_str().trim_end_matches('/')
}
