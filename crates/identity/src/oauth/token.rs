//! The token endpoint: codes and refresh tokens in, tokens out.

use std::time::Duration;

use preloop_store::{OAuthCode, RedeemedCode, Refreshed, Tx};
use preloop_types::{Audience, CredentialKind, GrantId, Hash, Scope};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use super::{ErrorCode, OAuth, OAuthError, Presented, device, pkce::Challenge, resource, scope};
use crate::tokens::{self, Lifetimes, NewGrant, Tokens};

/// The parameters of a request, besides those about the client.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TokenRequest {
    /// What is exchanged.
    pub grant_type: Option<String>,
    /// An authorization code.
    pub code: Option<SecretString>,
    /// Where the code was sent.
    pub redirect_uri: Option<String>,
    /// The secret behind the code's challenge.
    pub code_verifier: Option<SecretString>,
    /// A refresh token.
    pub refresh_token: Option<SecretString>,
    /// A device code.
    pub device_code: Option<SecretString>,
    /// No more than was granted.
    pub scope: Option<String>,
    /// What was granted (RFC 8707).
    pub resource: Option<String>,
}

/// Tokens, as a client is given them.
pub struct Given {
    access: SecretString,
    refresh: SecretString,
    expires_in: Duration,
    scopes: Vec<Scope>,
}

impl Given {
    /// The answer.
    pub fn to_json(&self) -> Value {
        json!({
            "access_token": self.access.expose_secret(),
            "token_type": "Bearer",
            "expires_in": self.expires_in.as_secs(),
            "refresh_token": self.refresh.expose_secret(),
            "scope": scope::text(&self.scopes),
        })
    }
}

impl From<Tokens> for Given {
    fn from(tokens: Tokens) -> Self {
        let Tokens { grant, access, refresh, expires_in } = tokens;
        Self { access, refresh, expires_in, scopes: grant.scopes }
    }
}

impl OAuth {
    /// Answers a request that reached this server at `base`.
    pub async fn token(&self, base: &Url, client: &Presented, request: TokenRequest) -> Result<Given, OAuthError> {
        match request.grant_type.as_deref() {
            Some("authorization_code") => self.exchange(base, client, request).await,
            Some("refresh_token") => self.refresh(base, client, request).await,
            Some(device::GRANT_TYPE) => self.device_token(client, request).await,
            Some(other) => {
                let other: String = other.chars().take(100).collect();
                let why = format!("`grant_type` `{}` is not offered", other.escape_debug());
                Err(OAuthError::new(ErrorCode::UnsupportedGrantType, why))
            }
            None => Err(OAuthError::request("`grant_type` is missing")),
        }
    }

    async fn exchange(&self, base: &Url, client: &Presented, request: TokenRequest) -> Result<Given, OAuthError> {
        let code = request.code.ok_or_else(|| OAuthError::request("`code` is missing"))?;
        let invalid = || OAuthError::grant("the code is unknown, used, over, or another client's");
        let hash = Hash::of(code.expose_secret());
        let account = self.store().account_of_oauth_code(&hash).await?.ok_or_else(invalid)?;
        let kept = self.store().account(account).oauth_code(&hash).await?.ok_or_else(invalid)?;
        // A client that does not say who it is, is the one that the code was given to, or has no use
        // for it.
        let id = client.id.clone().unwrap_or_else(|| kept.client_id.clone());
        self.authenticated(&id, client.secret.as_ref()).await?;
        if kept.grant.is_none() {
            check_code(&kept, &id, request.redirect_uri.as_deref(), request.code_verifier.as_ref())?;
            same_resource(base, request.resource.as_deref(), &kept.resource)?;
        }
        let exchanged = self.store().write(account, move |tx| Box::pin(async move { redeem(tx, hash, kept).await }));
        exchanged.await?.map(Given::from).ok_or_else(invalid)
    }

    async fn refresh(&self, base: &Url, client: &Presented, request: TokenRequest) -> Result<Given, OAuthError> {
        let token = request.refresh_token.ok_or_else(|| OAuthError::request("`refresh_token` is missing"))?;
        let invalid = || OAuthError::grant("the refresh token is unknown, used, over, or another client's");
        let hash = Hash::of(token.expose_secret());
        let (account, grant) = self.store().grant_of_token(&hash).await?.ok_or_else(invalid)?;
        let grant = self.store().account(account).grant(grant).await?.ok_or_else(invalid)?;
        // Sign-ins at a browser have no client, and are not renewed here.
        let owner = grant.client_id.clone().ok_or_else(invalid)?;
        let id = client.id.as_deref().unwrap_or(&owner);
        self.authenticated(id, client.secret.as_ref()).await?;
        if id != owner {
            return Err(invalid());
        }
        if let Some(resource) = &grant.resource {
            same_resource(base, request.resource.as_deref(), resource)?;
        }
        let scopes = scope::narrowed(request.scope.as_deref(), &grant.scopes)?;
        let renewed = self.store().write(account, move |tx| {
            Box::pin(async move {
                match tx.use_refresh_token(&hash).await? {
                    Refreshed::Used(mut grant) if tokens::works(tx, &grant).await? => {
                        grant.scopes = scopes;
                        tokens::give(tx, grant, Lifetimes::CLIENT).await.map(Some)
                    }
                    Refreshed::Reused(grant) => {
                        tokens::note(tx, &grant, "reused");
                        Ok(None)
                    }
                    Refreshed::Used(_) | Refreshed::JustUsed | Refreshed::Invalid => Ok(None),
                }
            })
        });
        renewed.await?.map(Given::from).ok_or_else(invalid)
    }
}

/// Whether a code is presented by whom it was given to. A client of OAuth 2.1 proper does not repeat
/// its redirect URI, for which PKCE stands in; one that does has to be right.
fn check_code(
    code: &OAuthCode,
    client: &str,
    redirect_uri: Option<&str>,
    verifier: Option<&SecretString>,
) -> Result<(), OAuthError> {
    if code.client_id != client {
        return Err(OAuthError::grant("the code is unknown, used, over, or another client's"));
    }
    // As the URL parser spells it, which is how it was kept.
    let same =
        |uri: &str| uri == code.redirect_uri || Url::parse(uri).is_ok_and(|uri| uri.as_str() == code.redirect_uri);
    if redirect_uri.is_some_and(|uri| !same(uri)) {
        return Err(OAuthError::grant("`redirect_uri` is not the one the code was sent to"));
    }
    let verifier = verifier.ok_or_else(|| OAuthError::request("`code_verifier` is missing"))?;
    if !Challenge::kept(code.challenge.clone()).is_met_by(verifier.expose_secret()) {
        return Err(OAuthError::grant("`code_verifier` is not the secret behind the code's challenge"));
    }
    Ok(())
}

/// Whether the resource named now is the one that was consented to.
fn same_resource(base: &Url, asked: Option<&str>, granted: &str) -> Result<(), OAuthError> {
    let Some(asked) = asked.filter(|asked| !asked.is_empty()) else { return Ok(()) };
    if Some(resource::audience(base, Some(asked), &[])?) == Audience::of_resource(granted) {
        return Ok(());
    }
    Err(OAuthError::new(ErrorCode::InvalidTarget, "`resource` is not the one that was consented to"))
}

/// Uses a code up. One that was used before was stolen, by whoever brings it or whoever used it first:
/// what it gave ends.
async fn redeem(tx: &mut Tx<'_>, hash: Hash, code: OAuthCode) -> Result<Option<Tokens>, preloop_store::Error> {
    let id = GrantId::new(tx.now());
    match tx.redeem_oauth_code(&hash, id).await? {
        RedeemedCode::Now if tx.user(code.user).await?.is_some_and(|user| user.is_active) => {
            let new = NewGrant {
                user: code.user,
                kind: CredentialKind::OAuth,
                client: code.client,
                client_id: Some(code.client_id),
                address: code.address,
                scopes: code.scopes,
                resource: Some(code.resource),
                impersonator: None,
                lifetimes: Lifetimes::CLIENT,
            };
            tokens::open_as(tx, id, new).await.map(Some)
        }
        RedeemedCode::Before(grant) => {
            if let Some(grant) = tx.grant(grant).await?
                && tx.end_grant(grant.id, "code_reused").await?
            {
                tokens::note(tx, &grant, "code_reused");
            }
            Ok(None)
        }
        RedeemedCode::Now | RedeemedCode::Not => Ok(None),
    }
}
