//! Token revocation (RFC 7009).

use preloop_types::Hash;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{ErrorCode, OAuth, OAuthError, Presented};
use crate::tokens;

/// The parameters of a request, besides those about the client.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RevokeRequest {
    /// An access or refresh token.
    pub token: Option<SecretString>,
}

impl OAuth {
    /// Ends the grant that a token was given out under, and so every token of it. A token that is
    /// unknown, or over, is as good as revoked. API keys are not revoked here.
    pub async fn revoke(&self, client: &Presented, request: RevokeRequest) -> Result<(), OAuthError> {
        let token = request.token.ok_or_else(|| OAuthError::request("`token` is missing"))?;
        let found = self.store().grant_of_token(&Hash::of(token.expose_secret())).await?;
        let Some((account, grant)) = found else { return Ok(()) };
        let Some(grant) = self.store().account(account).grant(grant).await? else { return Ok(()) };
        if let Some(owner) = &grant.client_id {
            let id = client.id.as_deref().unwrap_or(owner);
            self.authenticated(id, client.secret.as_ref()).await?;
            if id != owner {
                return Err(OAuthError::new(ErrorCode::UnauthorizedClient, "the token is another client's"));
            }
        }
        let ended = self.store().write(account, move |tx| {
            Box::pin(async move {
                if tx.end_grant(grant.id, "revoked").await? {
                    tokens::note(tx, &grant, "revoked");
                }
                Ok(())
            })
        });
        Ok(ended.await?)
    }
}
