//! Who asks: clients that registered, clients that are known by a document at a URL, and our own
//! command line.

use preloop_store::OAuthClient;
use preloop_types::{
    Hash,
    text::{one_line, shortened},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use super::{DocumentError, ErrorCode, OAuth, OAuthError, redirect_uri};

/// The `client_id` of our own command line. It only ever uses the device flow.
pub const COMMAND_LINE: &str = "preloop-cli";

/// How long a name may be that people are shown.
const NAME_BYTES_MAX: usize = 100;

/// A client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// Its `client_id`.
    pub id: String,
    /// How it is known.
    pub kind: ClientKind,
    /// What it calls itself. Nobody checked that.
    pub name: Option<String>,
    /// Where it may have browsers sent back to.
    pub redirect_uris: Vec<String>,
    /// SHA-256 of its secret, if it has one.
    pub secret_hash: Option<Hash>,
}

/// How a client is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientKind {
    /// It registered itself; anybody can.
    Registered,
    /// By a document at its id, which is a URL on this host.
    Document {
        /// The host.
        host: String,
    },
    /// It is ours.
    CommandLine,
}

/// What a client says about itself at the token endpoint.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Presented {
    /// `client_id`.
    #[serde(rename = "client_id")]
    pub id: Option<String>,
    /// `client_secret`.
    #[serde(rename = "client_secret")]
    pub secret: Option<SecretString>,
}

impl Client {
    /// What people are told it is.
    pub fn title(&self) -> String {
        match (&self.name, &self.kind) {
            (Some(name), _) => name.clone(),
            (None, ClientKind::Document { host }) => host.clone(),
            (None, _) => "A program without a name".to_owned(),
        }
    }

    /// Where a browser is sent back to, if that was registered; the only one there is, where the client
    /// names none.
    pub fn redirect_uri(&self, asked: Option<&str>) -> Result<Url, OAuthError> {
        let uri = match (asked, &self.redirect_uris[..]) {
            (Some(asked), registered) if redirect_uri::is_registered(registered, asked) => asked,
            (Some(_), _) => return Err(OAuthError::request("`redirect_uri` is not one the client registered")),
            (None, [only]) => only,
            (None, _) => return Err(OAuthError::request("`redirect_uri` is missing")),
        };
        redirect_uri::check(uri).map_err(OAuthError::request)
    }

    fn command_line() -> Self {
        Self {
            id: COMMAND_LINE.to_owned(),
            kind: ClientKind::CommandLine,
            name: Some("Preloop command line".to_owned()),
            redirect_uris: Vec::new(),
            secret_hash: None,
        }
    }
}

impl From<OAuthClient> for Client {
    fn from(row: OAuthClient) -> Self {
        Self {
            id: row.id,
            kind: ClientKind::Registered,
            name: row.name,
            redirect_uris: row.redirect_uris,
            secret_hash: row.secret_hash,
        }
    }
}

/// A name as people may be shown it.
pub(super) fn shown_name(name: &str) -> Option<String> {
    let name = one_line(name.trim());
    (!name.is_empty()).then(|| shortened(&name, NAME_BYTES_MAX).into_owned())
}

/// Whether an id is the URL of a document.
pub(super) fn is_url(id: &str) -> bool {
    id.starts_with("https://") || id.starts_with("http://")
}

impl OAuth {
    /// The client of that id.
    pub async fn client(&self, id: &str) -> Result<Client, OAuthError> {
        let unknown = |why: &str| OAuthError::new(ErrorCode::InvalidClient, why);
        if id == COMMAND_LINE {
            return Ok(Client::command_line());
        }
        if is_url(id) {
            return self.documents.client(id, self.store().now()).await.map_err(|error| match error {
                DocumentError::Unreachable(why) => OAuthError::new(ErrorCode::TemporarilyUnavailable, why),
                DocumentError::Invalid(why) => unknown(&why),
            });
        }
        match self.store().oauth_client(id).await? {
            Some(row) => Ok(row.into()),
            None => Err(unknown("the client is not registered here (any more); register it again")),
        }
    }

    /// The client that presents itself, if it proves who it is. A client known by a document is not
    /// looked up again: it has no secret, and what it presents is bound to its id.
    pub(super) async fn authenticated(&self, id: &str, secret: Option<&SecretString>) -> Result<(), OAuthError> {
        let expected = if is_url(id) { None } else { self.client(id).await?.secret_hash };
        let given = secret.map(ExposeSecret::expose_secret).filter(|secret| !secret.is_empty());
        match (expected, given) {
            (None, None) => Ok(()),
            (Some(hash), Some(secret)) if hash == Hash::of(secret) => Ok(()),
            (None, Some(_)) => Err(OAuthError::new(ErrorCode::InvalidClient, "the client has no secret")),
            (Some(_), _) => Err(OAuthError::new(ErrorCode::InvalidClient, "the client secret is wrong or missing")),
        }
    }
}
