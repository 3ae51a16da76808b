//! OAuth 2.1 towards upstream servers: finding the authorization server, a person's consent with
//! PKCE, and keeping the token fresh.
//!
//! Everything that must survive a restart or be seen by another replica is a secret of the server:
//! `oauth.pending` (a sign-in under way), `oauth.wanted` (scopes the server asked for since), `oauth.grant` (whose tokens these are and how to renew
//! them), `access_token`, `refresh_token`.

mod discovery;
mod flow;
mod grant;

pub(super) use discovery::wanted_scopes;
pub use flow::OAuthClient;
pub(super) use flow::{begin, claim, finish, want};
pub(super) use grant::{Grant, refresh};

use serde::de::DeserializeOwned;
use url::Url;

use super::{
    UpstreamError,
    http::{read_capped, send_error},
};

/// Largest document an authorization server may answer with.
const DOCUMENT_MAX: usize = 256 * 1024;

/// Sends a request and reads the JSON it answers with.
async fn json<T: DeserializeOwned>(request: reqwest::RequestBuilder, what: &str) -> Result<T, UpstreamError> {
    let request = request.timeout(std::time::Duration::from_secs(20));
    let response = request.send().await.map_err(|error| send_error(&error))?;
    let status = response.status();
    let body = read_capped(response, DOCUMENT_MAX).await?;
    if !status.is_success() {
        // OAuth errors name a code that is safe to show; anything else in the body may not be.
        #[derive(serde::Deserialize)]
        struct Refused {
            error: String,
        }
        let code = serde_json::from_slice::<Refused>(&body).map(|refused| refused.error);
        let code = code.unwrap_or_else(|_| format!("HTTP status {}", status.as_u16()));
        return Err(UpstreamError::NeedsAuth(format!("{what}: {}", code.chars().take(100).collect::<String>())));
    }
    serde_json::from_slice(&body).map_err(|error| UpstreamError::NeedsAuth(format!("{what}: {error}")))
}

/// Tokens and codes go over TLS, or stay on this machine.
fn require_secure(url: &Url) -> Result<(), UpstreamError> {
    if preloop_egress::is_secure(url) {
        return Ok(());
    }
    Err(UpstreamError::NeedsAuth(format!("the authorization server's `{url}` does not use https")))
}
