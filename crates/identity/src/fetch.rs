//! Documents of other servers: small, in time, and as JSON.

use std::time::Duration;

use preloop_egress::{ReadError, Refused, read_capped};
use reqwest::RequestBuilder;
use serde::de::DeserializeOwned;

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
    let body = read_capped(response, DOCUMENT_MAX).await.map_err(|error| match error {
        ReadError::Broken(error) => failed(error),
        ReadError::TooLarge(_) => FetchError::new(what, error.to_string()),
    })?;
    if !status.is_success() {
        return Err(FetchError::new(what, code(&body).unwrap_or_else(|| format!("HTTP status {}", status.as_u16()))));
    }
    // GitHub answers errors with 200.
    if let Some(code) = code(&body) {
        return Err(FetchError::new(what, code));
    }
    serde_json::from_slice(&body).map_err(|error| FetchError::new(what, format!("not what was expected: {error}")))
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
