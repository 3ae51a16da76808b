//! `OpenID` Connect Core 1.0 with Discovery 1.0: the code flow with PKCE, for any issuer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use jsonwebtoken::jwk::JwkSet;
use preloop_egress::is_secure;
use preloop_types::{IdentityProvider, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::Url;

use super::{Attempt, Identified, Sso, SsoError, unavailable, unbelievable, verify};
use crate::fetch::{self, FetchError};

/// How long what a provider says of itself is believed.
const BELIEVED_FOR: Duration = Duration::from_hours(1);
/// Keys are not asked for more often, whatever tokens name.
const ASK_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// Most issuers that are remembered.
const ISSUERS_MAX: usize = 256;

/// What providers said of themselves lately, by issuer.
#[derive(Default)]
pub(super) struct Documents(Mutex<HashMap<String, Arc<Document>>>);

/// What one provider says of itself.
pub(super) struct Document {
    metadata: Metadata,
    keys: JwkSet,
    read_at: Timestamp,
}

/// The members of the discovery document that are used.
#[derive(Debug, Clone, Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    userinfo_endpoint: Option<Url>,
    jwks_uri: Url,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

#[derive(Deserialize)]
struct TokenAnswer {
    id_token: String,
    access_token: SecretString,
}

impl Sso {
    pub(super) async fn oidc_authorize(&self, provider: &IdentityProvider, attempt: &Attempt) -> Result<Url, SsoError> {
        let document = self.document(provider, false).await?;
        let mut url = document.metadata.authorization_endpoint.clone();
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", &self.callback(provider))
            .append_pair("scope", &provider.scopes.join(" "))
            .append_pair("state", &attempt.state())
            .append_pair("nonce", &attempt.nonce())
            .append_pair("code_challenge", &attempt.challenge())
            .append_pair("code_challenge_method", "S256");
        Ok(url)
    }

    /// Holds the `iss` a browser came back with against the provider's own (RFC 9207): a code of one
    /// provider is never taken to another.
    pub(super) async fn oidc_check_issuer(
        &self,
        provider: &IdentityProvider,
        iss: Option<&str>,
    ) -> Result<(), SsoError> {
        let metadata = &self.document(provider, false).await?.metadata;
        match iss {
            Some(iss) if iss != metadata.issuer => Err(unbelievable(provider, "the answer names another issuer")),
            None if metadata.authorization_response_iss_parameter_supported => {
                Err(unbelievable(provider, "the answer does not name its issuer"))
            }
            _ => Ok(()),
        }
    }

    pub(super) async fn oidc_identify(
        &self,
        provider: &IdentityProvider,
        secret: &SecretString,
        attempt: &Attempt,
        code: &str,
    ) -> Result<Identified, SsoError> {
        let document = self.document(provider, false).await?;
        let answer = self.exchange(provider, &document.metadata, secret, attempt, code).await?;
        let (now, issuer) = (self.0.store.now(), &document.metadata.issuer);
        let expected = verify::Expected { issuer, audience: &provider.client_id, nonce: &attempt.nonce(), now };
        let mut claims = match verify::id_token(&answer.id_token, &document.keys, &expected) {
            // The provider may have new keys.
            Err(verify::Problem::UnknownKey) => {
                let fresh = self.document(provider, true).await?;
                verify::id_token(&answer.id_token, &fresh.keys, &expected)
            }
            verified => verified,
        }
        .map_err(|problem| unbelievable(provider, problem.to_string()))?;
        if let Some(endpoint) = &document.metadata.userinfo_endpoint {
            let more = self.userinfo(provider, endpoint, &answer.access_token).await?;
            // Only the signed token says who it is; the rest may be added.
            if more.get("sub") != claims.get("sub") {
                return Err(unbelievable(provider, "its user information is about somebody else"));
            }
            for (name, value) in more {
                claims.entry(name).or_insert(value);
            }
        }
        identified(provider, &claims)
    }

    async fn exchange(
        &self,
        provider: &IdentityProvider,
        metadata: &Metadata,
        secret: &SecretString,
        attempt: &Attempt,
        code: &str,
    ) -> Result<TokenAnswer, SsoError> {
        const WHAT: &str = "token endpoint";
        let (callback, verifier) = (self.callback(provider), attempt.verifier());
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &callback),
            ("code_verifier", &verifier),
        ];
        let request = self.client(provider)?.post(metadata.token_endpoint.clone());
        let mut request = request.map_err(|refused| unavailable(provider, FetchError::refused(WHAT, &refused)))?;
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let takes = |method: &str| methods.iter().any(|known| known == method);
        // Basic is what a provider takes that does not say.
        if takes("client_secret_post") && !takes("client_secret_basic") {
            form.extend([("client_id", provider.client_id.as_str()), ("client_secret", secret.expose_secret())]);
        } else {
            let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
            request = request.basic_auth(encoded(&provider.client_id), Some(encoded(secret.expose_secret())));
        }
        fetch::json(request.form(&form), WHAT).await.map_err(|error| unavailable(provider, error))
    }

    async fn userinfo(
        &self,
        provider: &IdentityProvider,
        endpoint: &Url,
        token: &SecretString,
    ) -> Result<Map<String, Value>, SsoError> {
        const WHAT: &str = "user information";
        let request = self.client(provider)?.get(endpoint.clone());
        let request = request.map_err(|refused| unavailable(provider, FetchError::refused(WHAT, &refused)))?;
        let request = request.bearer_auth(token.expose_secret());
        fetch::json(request, WHAT).await.map_err(|error| unavailable(provider, error))
    }

    /// What the provider says of itself; read again when that was long ago, or `fresh` is wanted and
    /// that is not a minute old.
    async fn document(&self, provider: &IdentityProvider, fresh: bool) -> Result<Arc<Document>, SsoError> {
        let now = self.0.store.now();
        let believed_for = if fresh { ASK_AGAIN_AFTER } else { BELIEVED_FOR };
        let known = self.0.documents.0.lock().await.get(&provider.issuer).cloned();
        if let Some(known) = known.filter(|known| now.since(known.read_at) < believed_for) {
            return Ok(known);
        }
        let read = Arc::new(self.read_document(provider, now).await?);
        let mut all = self.0.documents.0.lock().await;
        if all.len() >= ISSUERS_MAX {
            all.clear();
        }
        all.insert(provider.issuer.clone(), read.clone());
        Ok(read)
    }

    async fn read_document(&self, provider: &IdentityProvider, now: Timestamp) -> Result<Document, SsoError> {
        const WHAT: &str = "discovery";
        let failed = |why: String| unavailable(provider, FetchError::new(WHAT, why));
        let issuer = provider.issuer.trim_end_matches('/');
        let url = Url::parse(&format!("{issuer}/.well-known/openid-configuration"));
        let url = url.map_err(|error| failed(error.to_string()))?;
        let metadata: Metadata = self.get(provider, url, WHAT).await?;
        // Or a page that lies at the same place could speak for another issuer.
        if metadata.issuer.trim_end_matches('/') != issuer {
            return Err(failed(format!("it says that its issuer is `{}`", metadata.issuer)));
        }
        let endpoints =
            [Some(&metadata.authorization_endpoint), Some(&metadata.token_endpoint), Some(&metadata.jwks_uri)];
        for endpoint in endpoints.into_iter().chain([metadata.userinfo_endpoint.as_ref()]).flatten() {
            if !is_secure(endpoint) {
                return Err(failed(format!("`{endpoint}` does not use https")));
            }
        }
        let keys = self.get(provider, metadata.jwks_uri.clone(), "signing keys").await?;
        Ok(Document { metadata, keys, read_at: now })
    }

    pub(super) async fn get<T: serde::de::DeserializeOwned>(
        &self,
        provider: &IdentityProvider,
        url: Url,
        what: &'static str,
    ) -> Result<T, SsoError> {
        let request = self.client(provider)?.get(url);
        let request = request.map_err(|refused| unavailable(provider, FetchError::refused(what, &refused)))?;
        fetch::json(request, what).await.map_err(|error| unavailable(provider, error))
    }
}

fn identified(provider: &IdentityProvider, claims: &Map<String, Value>) -> Result<Identified, SsoError> {
    let text = |name: &str| claims.get(name)?.as_str().map(str::to_owned).filter(|text| !text.is_empty());
    let subject = text("sub").filter(|subject| subject.len() <= 255);
    Ok(Identified {
        subject: subject.ok_or_else(|| unbelievable(provider, "it has no usable `sub`"))?,
        username: text("preferred_username").or_else(|| text("nickname")),
        email: text("email"),
        // Some providers spell it as a text.
        email_verified: matches!(claims.get("email_verified"), Some(Value::Bool(true)))
            || claims.get("email_verified").and_then(Value::as_str) == Some("true"),
        full_name: text("name"),
        groups: groups(claims, &provider.groups_claim),
    })
}

/// The groups in a claim, which may lie deeper: Keycloak keeps roles in `realm_access.roles`.
fn groups(claims: &Map<String, Value>, claim: &str) -> Vec<String> {
    let found = claims.get(claim).or_else(|| {
        let mut path = claim.split('.');
        let first = claims.get(path.next()?)?;
        path.try_fold(first, |value, name| value.get(name))
    });
    match found {
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    }
}
