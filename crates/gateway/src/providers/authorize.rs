//! What a request still needs before it is let in: a signature, or a token that has to be fetched.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dashmap::DashMap;
use http::{HeaderValue, Request, header, request::Parts};
use http_body_util::{BodyExt, Limited};
use preloop_egress::{Chunks, LeanClient};
use preloop_types::Timestamp;
use serde::Deserialize;
use tokio::sync::Mutex;
use url::form_urlencoded;

use super::{Credential, ProviderError, ServiceAccount};

/// Finishes requests. Keeps access tokens until shortly before they end.
#[derive(Debug)]
pub struct Authorizer {
    client: LeanClient,
    tokens: DashMap<[u8; 32], Arc<Mutex<Option<Token>>>>,
}

#[derive(Debug, Clone)]
struct Token {
    bearer: HeaderValue,
    until: Timestamp,
}

/// A token is renewed so long before it ends.
const SKEW: Duration = Duration::from_mins(1);
/// Longest wait for a token.
const FETCH_WITHIN: Duration = Duration::from_secs(10);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Accounts whose tokens are kept; with more, those that ended are forgotten.
const ACCOUNTS_MAX: usize = 1024;

impl Authorizer {
    /// Tokens are fetched through `client`.
    pub fn new(client: LeanClient) -> Self {
        Self { client, tokens: DashMap::new() }
    }

    /// Makes `request` one that is let in. `body` is what will be sent, in pieces.
    pub async fn authorize(
        &self,
        credential: &Credential,
        request: &mut Parts,
        body: &[Bytes],
        now: Timestamp,
    ) -> Result<(), ProviderError> {
        match credential {
            Credential::InHeaders => Ok(()),
            Credential::Signature(signer) => signer.sign(request, body, now),
            Credential::ServiceAccount(account) => {
                request.headers.insert(header::AUTHORIZATION, self.token(account, now).await?);
                Ok(())
            }
        }
    }

    /// The account's token; fetched once, however many wait for it.
    async fn token(&self, account: &ServiceAccount, now: Timestamp) -> Result<HeaderValue, ProviderError> {
        let slot = Arc::clone(&self.tokens.entry(account.fingerprint()).or_default());
        let mut slot = slot.lock().await;
        if let Some(token) = slot.as_ref().filter(|token| now + SKEW < token.until) {
            return Ok(token.bearer.clone());
        }
        let token = self.fetch(account, now).await?;
        let bearer = token.bearer.clone();
        *slot = Some(token);
        drop(slot);
        if self.tokens.len() > ACCOUNTS_MAX {
            let lives = |token: &Option<Token>| token.as_ref().is_some_and(|token| now < token.until);
            self.tokens.retain(|_, slot| slot.try_lock().map_or(true, |token| lives(&token)));
        }
        Ok(bearer)
    }

    async fn fetch(&self, account: &ServiceAccount, now: Timestamp) -> Result<Token, ProviderError> {
        let uri = account.token_uri();
        let failed = |why: String, temporary| {
            let host = uri.split('/').nth(2).unwrap_or(uri).to_owned();
            ProviderError::Token { host, why, temporary }
        };
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
            .append_pair("assertion", &account.assertion(now)?)
            .finish();
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(Chunks::from(Bytes::from(form)))
            .map_err(|error| failed(error.to_string(), false))?;
        let exchange = async {
            let answer = self.client.send(request).await.map_err(|error| error.to_string())?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((status, body.map_err(|error| error.to_string())?.to_bytes()))
        };
        let exchanged = tokio::time::timeout(FETCH_WITHIN, exchange).await;
        let (status, body) = exchanged
            .unwrap_or_else(|_| Err(format!("no answer within {}s", FETCH_WITHIN.as_secs())))
            .map_err(|why: String| failed(why, true))?;
        if !status.is_success() {
            let told: Told = serde_json::from_slice(&body).unwrap_or_default();
            let why = format!("HTTP {}: {} {}", status.as_u16(), told.error, told.error_description);
            return Err(failed(why.trim_end().chars().take(300).collect(), status.is_server_error()));
        }
        let granted: Granted =
            serde_json::from_slice(&body).map_err(|_| failed("no token in its answer".into(), true))?;
        let bearer = HeaderValue::from_str(&format!("Bearer {}", granted.access_token));
        let mut bearer = bearer.map_err(|_| failed("its token cannot be sent in a header".into(), true))?;
        bearer.set_sensitive(true);
        Ok(Token { bearer, until: now + Duration::from_secs(granted.expires_in) })
    }
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
    #[serde(default = "an_hour")]
    expires_in: u64,
}

fn an_hour() -> u64 {
    3600
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Told {
    error: String,
    error_description: String,
}
