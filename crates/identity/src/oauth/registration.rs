//! Dynamic client registration (RFC 7591). Anybody can register, so a registration grants nothing; the
//! person who consents decides.

use preloop_govern::config::MintedKey;
use preloop_store::OAuthClient;
use preloop_types::Hash;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ErrorCode, OAuth, OAuthError, client::shown_name, redirect_uri};

const REDIRECT_URIS_MAX: usize = 20;
/// Most clients there may be. Unused ones go after a day.
const CLIENTS_MAX: u32 = 10_000;

const GRANT_TYPES: [&str; 2] = ["authorization_code", "refresh_token"];

/// What a client says about itself. Members that mean nothing here are passed over.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RegistrationRequest {
    redirect_uris: Vec<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    token_endpoint_auth_method: Option<String>,
    client_name: Option<String>,
    client_uri: Option<String>,
}

/// A client as it is registered now, with its secret.
pub struct Registered {
    client: OAuthClient,
    secret: Option<SecretString>,
}

impl RegistrationRequest {
    /// Whether such a client may be registered. A client that does not say how it proves who it is
    /// has no secret: those that run on people's machines cannot keep one.
    fn check(self) -> Result<Self, OAuthError> {
        let refuse = |why: String| Err(OAuthError::new(ErrorCode::InvalidClientMetadata, why));
        if self.redirect_uris.is_empty() || self.redirect_uris.len() > REDIRECT_URIS_MAX {
            let why = format!("`redirect_uris` must name 1 to {REDIRECT_URIS_MAX} URIs");
            return Err(OAuthError::new(ErrorCode::InvalidRedirectUri, why));
        }
        for uri in &self.redirect_uris {
            redirect_uri::check(uri).map_err(|why| OAuthError::new(ErrorCode::InvalidRedirectUri, why))?;
        }
        let names = |list: &Option<Vec<String>>, word: &str| {
            list.as_ref().is_none_or(|list| list.iter().any(|one| one == word))
        };
        if !names(&self.grant_types, "authorization_code") {
            return refuse("`grant_types` must name `authorization_code`".to_owned());
        }
        if !names(&self.response_types, "code") {
            return refuse("`response_types` must name `code`".to_owned());
        }
        match self.token_endpoint_auth_method.as_deref() {
            None | Some("none" | "client_secret_post" | "client_secret_basic") => Ok(self),
            Some(_) => refuse(
                "`token_endpoint_auth_method` must be `none`, `client_secret_post` or `client_secret_basic`".to_owned(),
            ),
        }
    }
}

impl Registered {
    /// The answer.
    pub fn to_json(&self) -> Value {
        let client = &self.client;
        let mut answer = json!({
            "client_id": client.id,
            "client_id_issued_at": client.created_at.micros() / 1_000_000,
            "redirect_uris": client.redirect_uris,
            "grant_types": GRANT_TYPES,
            "response_types": ["code"],
            "token_endpoint_auth_method": client.auth_method,
        });
        if let Some(name) = &client.name {
            answer["client_name"] = json!(name);
        }
        if let Some(uri) = &client.uri {
            answer["client_uri"] = json!(uri);
        }
        if let Some(secret) = &self.secret {
            answer["client_secret"] = json!(secret.expose_secret());
            answer["client_secret_expires_at"] = json!(0);
        }
        answer
    }
}

impl OAuth {
    /// Registers a client.
    pub async fn register(&self, request: RegistrationRequest) -> Result<Registered, OAuthError> {
        let request = request.check()?;
        let auth_method = request.token_endpoint_auth_method.unwrap_or_else(|| "none".to_owned());
        let secret = (auth_method != "none").then(|| MintedKey::with_prefix("pls_").secret);
        let is_page = |uri: &String| uri.len() <= 2048 && (uri.starts_with("https://") || uri.starts_with("http://"));
        let client = OAuthClient {
            id: MintedKey::with_prefix("plc_client_").secret.expose_secret().to_owned(),
            secret_hash: secret.as_ref().map(|secret| Hash::of(secret.expose_secret())),
            auth_method,
            name: request.client_name.as_deref().and_then(shown_name),
            uri: request.client_uri.filter(is_page),
            redirect_uris: request.redirect_uris,
            created_at: self.store().now(),
            consented_at: None,
        };
        if self.store().insert_oauth_client(client.clone(), CLIENTS_MAX).await? {
            Ok(Registered { client, secret })
        } else {
            let why = "too many clients are registered; unused ones are forgotten after a day";
            Err(OAuthError::new(ErrorCode::TemporarilyUnavailable, why))
        }
    }
}
