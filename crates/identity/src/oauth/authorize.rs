//! A client's request for consent, and the person's answer.

use std::time::Duration;

use preloop_govern::config::MintedKey;
use preloop_store::OAuthCode;
use preloop_types::{Audience, Hash, Principal, Scope};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{Client, ErrorCode, OAuth, OAuthError, client::is_url, issuer, pkce::Challenge, resource, scope};

/// How long a code may take to come back.
const CODE_LASTS: Duration = Duration::from_mins(5);
/// Longest `state`: it goes into a URL.
const STATE_BYTES_MAX: usize = 4096;

/// The parameters of a request. Kept as they came: the page sends them back with the answer, and they
/// are checked again.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct AuthorizeParams {
    /// `code`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_type: Option<String>,
    /// Who asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Where the answer goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_uri: Option<String>,
    /// The client's own, given back untouched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// PKCE.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_challenge: Option<String>,
    /// PKCE; `S256`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_challenge_method: Option<String>,
    /// What for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Where (RFC 8707).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// `query`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_mode: Option<String>,
}

/// A request that a person can be asked about.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who asks.
    pub client: Client,
    /// Where the answer goes.
    pub redirect_uri: Url,
    /// What for.
    pub scopes: Vec<Scope>,
    /// Where.
    pub audience: Audience,
    state: Option<String>,
    challenge: Challenge,
    issuer: String,
}

/// A request that nobody is asked about.
#[derive(Debug, Clone)]
pub struct Unaskable {
    /// Why.
    pub error: OAuthError,
    /// Where the client is told, if it is known that it is the client's. Not by itself: whoever made
    /// up a request must not have this server send people to where they want them.
    pub back: Option<Url>,
}

impl From<OAuthError> for Unaskable {
    fn from(error: OAuthError) -> Self {
        Self { error, back: None }
    }
}

impl AuthorizeParams {
    /// Whether the client is known by a document that has to be fetched.
    pub fn needs_document(&self) -> bool {
        self.client_id.as_deref().is_some_and(is_url)
    }
}

impl Asked {
    /// Where the browser goes after the person declined.
    pub fn declined(&self) -> Url {
        let error = OAuthError::new(ErrorCode::AccessDenied, "the person declined");
        self.back(&[("error", error.code.as_str()), ("error_description", &error.description)])
    }

    fn back(&self, answer: &[(&str, &str)]) -> Url {
        back(&self.redirect_uri, self.state.as_deref(), &self.issuer, answer)
    }
}

/// The redirect URI with an answer, the client's `state`, and who answers (RFC 9207).
fn back(to: &Url, state: Option<&str>, issuer: &str, answer: &[(&str, &str)]) -> Url {
    let mut url = to.clone();
    {
        let mut query = url.query_pairs_mut();
        query.extend_pairs(answer);
        if let Some(state) = state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", issuer);
    }
    url
}

impl OAuth {
    /// Checks a request that reached this server at `base`.
    pub async fn asked(&self, base: &Url, params: &AuthorizeParams) -> Result<Asked, Unaskable> {
        let Some(id) = params.client_id.as_deref().filter(|id| !id.is_empty()) else {
            return Err(OAuthError::request("`client_id` is missing").into());
        };
        let client = self.client(id).await?;
        let redirect_uri = client.redirect_uri(params.redirect_uri.as_deref())?;
        let state = params.state.clone().filter(|state| state.len() <= STATE_BYTES_MAX);
        let issuer = issuer(base).to_owned();
        match (|| {
            if params.state.is_some() && state.is_none() {
                return Err(OAuthError::request(format!("`state` has more than {STATE_BYTES_MAX} bytes")));
            }
            if params.response_type.as_deref() != Some("code") {
                let why = "`response_type` must be `code`";
                return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, why));
            }
            if params.response_mode.as_deref().is_some_and(|mode| mode != "query") {
                return Err(OAuthError::request("`response_mode` must be `query`"));
            }
            let challenge =
                Challenge::parse(params.code_challenge.as_deref(), params.code_challenge_method.as_deref())?;
            let scopes = scope::requested(params.scope.as_deref())?;
            let audience = resource::audience(base, params.resource.as_deref(), &scopes)?;
            Ok((challenge, scopes, audience))
        })() {
            Ok((challenge, scopes, audience)) => {
                Ok(Asked { client, redirect_uri, scopes, audience, state, challenge, issuer })
            }
            Err(error) => {
                let answer = [("error", error.code.as_str()), ("error_description", &error.description)];
                let back = back(&redirect_uri, state.as_deref(), &issuer, &answer);
                Err(Unaskable { error, back: Some(back) })
            }
        }
    }

    /// A person consents: where their browser goes, with a code. Somebody who acts in another's place
    /// cannot.
    pub async fn consent(&self, who: &Principal, asked: Asked, address: Option<String>) -> Result<Url, OAuthError> {
        only_oneself(who)?;
        let (secret, now) = (MintedKey::with_prefix("plc_").secret, self.store().now());
        let code = OAuthCode {
            user: who.user,
            client_id: asked.client.id.clone(),
            client: asked.client.title(),
            redirect_uri: asked.redirect_uri.to_string(),
            challenge: asked.challenge.as_str().to_owned(),
            scopes: asked.scopes.clone(),
            resource: asked.audience.path(),
            address,
            expires_at: now + CODE_LASTS,
            grant: None,
        };
        let hash = Hash::of(secret.expose_secret());
        let kept = self.store().write(who.account, move |tx| {
            Box::pin(async move {
                tx.oauth_client_consented(&code.client_id).await?;
                tx.insert_oauth_code(&hash, &code).await
            })
        });
        kept.await?;
        Ok(asked.back(&[("code", secret.expose_secret())]))
    }
}

/// Consent is the person's own: not an agent's, and not of whoever acts in their place for a while.
pub(super) fn only_oneself(who: &Principal) -> Result<(), OAuthError> {
    if who.is_person() && who.impersonator.is_none() {
        return Ok(());
    }
    let why = "only the person can consent; an agent, or somebody who acts in their place, cannot";
    Err(OAuthError::new(ErrorCode::AccessDenied, why))
}
