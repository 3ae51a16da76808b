use std::{collections::BTreeMap, time::Duration};

use preloop_egress::Client;
use preloop_store::{SecretOwner, Store, Tx};
use preloop_types::{AccountId, ServerId, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{UpstreamError, json};

const GRANT: &str = "oauth.grant";
const ACCESS: &str = "access_token";
const REFRESH: &str = "refresh_token";

/// Whose tokens a server's tokens are, and how to renew them.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(super) issuer: String,
    pub(super) token_endpoint: Url,
    pub(super) registration: Registration,
    pub(super) resource: String,
    pub(crate) expires_at: Option<Timestamp>,
}

/// Who we are to an authorization server.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Registration {
    pub(super) client_id: String,
    pub(super) client_secret: Option<String>,
    /// For which redirect a registered client is good.
    pub(super) redirect_uri: Option<String>,
}

/// What a token endpoint answers.
#[derive(Deserialize)]
pub(super) struct TokenResponse {
    access_token: SecretString,
    refresh_token: Option<SecretString>,
    expires_in: Option<u64>,
    token_type: String,
}

/// An access token as it is used.
pub(crate) struct Tokens {
    pub(crate) access_token: SecretString,
    pub(crate) expires_at: Option<Timestamp>,
    refresh_token: Option<SecretString>,
}

impl Grant {
    pub(crate) fn read(secrets: &BTreeMap<String, SecretString>) -> Option<Self> {
        serde_json::from_str(secrets.get(GRANT)?.expose_secret()).ok()
    }

    /// Asks the token endpoint; `form` says what for.
    pub(super) async fn request(
        &self,
        client: &Client,
        form: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<Tokens, UpstreamError> {
        let mut form: Vec<(&str, &str)> = form.to_vec();
        form.push(("client_id", &self.registration.client_id));
        form.push(("resource", &self.resource));
        if let Some(secret) = &self.registration.client_secret {
            form.push(("client_secret", secret));
        }
        let request = client.post(self.token_endpoint.clone())?.form(&form);
        let response: TokenResponse = json(request, "the authorization server gives no token").await?;
        if !response.token_type.eq_ignore_ascii_case("bearer") {
            return Err(UpstreamError::NeedsAuth(format!("tokens of type `{}` cannot be used", response.token_type)));
        }
        Ok(Tokens {
            access_token: response.access_token,
            refresh_token: response.refresh_token,
            expires_at: response.expires_in.map(|seconds| now + Duration::from_secs(seconds.min(u64::from(u32::MAX)))),
        })
    }

    /// Keeps new tokens, in one transaction with whatever else `tx` does.
    pub(super) async fn keep(
        mut self,
        tx: &mut Tx<'_>,
        server: ServerId,
        tokens: &Tokens,
    ) -> Result<(), preloop_store::Error> {
        let owner = SecretOwner::Server(server);
        self.expires_at = tokens.expires_at;
        let grant = serde_json::to_string(&self).map_err(|error| preloop_store::Error::Invalid(error.to_string()))?;
        tx.put_secret(owner, GRANT, &grant.into()).await?;
        tx.put_secret(owner, ACCESS, &tokens.access_token).await?;
        if let Some(refresh) = &tokens.refresh_token {
            tx.put_secret(owner, REFRESH, refresh).await?;
        }
        Ok(())
    }
}

/// Gets a new access token. Callers see to it that a server is refreshed once at a time here;
/// another replica may still have been faster, which shows in the store.
pub(crate) async fn refresh(
    store: &Store,
    client: &Client,
    account: AccountId,
    server: ServerId,
) -> Result<Tokens, UpstreamError> {
    let sign_in = || UpstreamError::NeedsAuth("the sign-in has ended: sign in with OAuth again".to_owned());
    let before = store.account(account).secrets(SecretOwner::Server(server)).await?;
    let grant = Grant::read(&before).ok_or_else(sign_in)?;
    let refresh_token = before.get(REFRESH).ok_or_else(sign_in)?.clone();
    let form = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
    let tokens = match grant.request(client, &form, store.now()).await {
        Ok(tokens) => tokens,
        Err(UpstreamError::NeedsAuth(_)) => {
            let after = store.account(account).secrets(SecretOwner::Server(server)).await?;
            return renewed_elsewhere(&before, &after).ok_or_else(sign_in);
        }
        Err(error) => return Err(error),
    };
    let kept = Tokens {
        access_token: tokens.access_token.clone(),
        expires_at: tokens.expires_at,
        refresh_token: tokens.refresh_token.clone(),
    };
    store.write(account, move |tx| Box::pin(async move { grant.keep(tx, server, &kept).await })).await?;
    Ok(tokens)
}

fn renewed_elsewhere(
    before: &BTreeMap<String, SecretString>,
    after: &BTreeMap<String, SecretString>,
) -> Option<Tokens> {
    let token = after.get(ACCESS)?;
    if before.get(ACCESS).map(ExposeSecret::expose_secret) == Some(token.expose_secret()) {
        return None;
    }
    Some(Tokens { access_token: token.clone(), refresh_token: None, expires_at: Grant::read(after)?.expires_at })
}
