//! Documents of other servers: small, in time, and as JSON.

use std::time::Duration;

use preloop_egress::Refused;
use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;
use url::{Host, Url};

/// Largest document.
const DOCUMENT_MAX: usize = 256 * 1024;
/// Longest wait for all of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why a document could not be had. Safe to show: nothing of it is repeated but an OAuth error code.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{what}: {why}")]
pub struct FetchError {
    /// What was asked for.
    pub what: &'static str,
    /// Why there is none.
    pub why: String,
}

impl FetchError {
    pub(crate) fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self { what, why: why.into() }
    }

    pub(crate) fn refused(what: &'static str, refused: &Refused) -> Self {
        Self::new(what, refused.to_string())
    }
}

/// Sends a request and reads the JSON it answers with.
pub(crate) async fn json<T: DeserializeOwned>(request: RequestBuilder, what: &'static str) -> Result<T, FetchError> {
    let failed = |error: reqwest::Error| {
        let why = match &error {
            error if error.is_timeout() => "no answer in time",
            error if error.is_connect() => "cannot be reached",
            _ => "the exchange failed",
        };
        FetchError::new(what, why)
    };
    let response = request.timeout(ANSWER_WITHIN).send().await.map_err(failed)?;
    let status = response.status();
    let body = capped(response).await.map_err(failed)?;
    let body = body.ok_or_else(|| FetchError::new(what, format!("more than {DOCUMENT_MAX} bytes")))?;
    if !status.is_success() {
        return Err(FetchError::new(what, code(&body).unwrap_or_else(|| format!("HTTP status {}", status.as_u16()))));
    }
    // GitHub answers errors with 200.
    if let Some(code) = code(&body) {
        return Err(FetchError::new(what, code));
    }
    serde_json::from_slice(&body).map_err(|error| FetchError::new(what, format!("not what was expected: {error}")))
}

async fn capped(mut response: Response) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > DOCUMENT_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// The `error` of an OAuth answer; a short word, or nothing.
fn code(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Refused {
        error: String,
    }
    let error = serde_json::from_slice::<Refused>(body).ok()?.error;
    let is_code =
        error.len() <= 100 && error.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
    is_code.then_some(error)
}

/// Codes, secrets and tokens go over TLS, or stay on this machine.
pub(crate) fn is_secure(url: &Url) -> bool {
    let is_local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}
