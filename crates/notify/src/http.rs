//! Posts to addresses that people set, under guard and within a bounded time.

use std::time::Duration;

use preloop_egress::{Client, Egress, Policy};
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};
use serde::Serialize;
use url::Url;

use crate::{SendError, SettingsError};

/// Longest wait for a whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Most that is read of an answer.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A guarded HTTP client for notices.
#[derive(Clone)]
pub(crate) struct Http(Client);

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(egress: &Egress) -> Result<Self, SettingsError> {
        // Whether private addresses may be reached is the instance's choice alone.
        Ok(Self(egress.client(Policy { allow_private: true, ..Policy::default() })?))
    }

    /// Posts `body`. `what` names the receiver in errors; its URL may be a credential and stays out of them.
    pub(crate) async fn post(
        &self,
        what: &str,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
    ) -> Result<Answer, SendError> {
        let url = Url::parse(url).map_err(|error| SendError::permanent(format!("the URL of {what}: {error}")))?;
        let request = self.0.post(url).map_err(|refused| SendError::permanent(format!("{what}: {refused}")))?;
        answer(what, request.headers(headers).body(body)).await
    }

    /// Posts JSON.
    pub(crate) async fn post_json(
        &self,
        what: &str,
        url: &str,
        mut headers: HeaderMap,
        body: &impl Serialize,
    ) -> Result<Answer, SendError> {
        let body = serde_json::to_vec(body).map_err(|error| SendError::permanent(format!("the notice: {error}")))?;
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.post(what, url, headers, body).await
    }

    /// Reads JSON with a bearer token.
    pub(crate) async fn get_json(
        &self,
        what: &str,
        url: Url,
        token: &str,
        timeout: Duration,
    ) -> Result<serde_json::Value, SendError> {
        let request = self.0.get(url).map_err(|refused| SendError::permanent(format!("{what}: {refused}")))?;
        let answer = answer(what, request.bearer_auth(token).timeout(timeout)).await?;
        answer.judged(what)?;
        serde_json::from_slice(&answer.body).map_err(|_| SendError::permanent(format!("{what} did not answer JSON")))
    }
}

async fn answer(what: &str, request: reqwest::RequestBuilder) -> Result<Answer, SendError> {
    let lost = |error: reqwest::Error| SendError::temporary(format!("{what}: {}", explained(&error.without_url())));
    let exchange = async {
        let mut response = request.send().await.map_err(lost)?;
        let (status, mut body) = (response.status(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(lost)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok(Answer { status, body })
    };
    let late = |_| SendError::temporary(format!("{what} did not answer within {} s", TIMEOUT.as_secs()));
    tokio::time::timeout(TIMEOUT, exchange).await.map_err(late)?
}

impl Answer {
    /// Whether it was taken, and if not, whether another attempt makes sense.
    pub(crate) fn judged(&self, what: &str) -> Result<(), SendError> {
        let why = format!("{what} answered {}", self.status);
        match self.status {
            ok if ok.is_success() => Ok(()),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Err(SendError::temporary(why))
            }
            wrong if wrong.is_client_error() || wrong.is_redirection() => Err(SendError::permanent(why)),
            _ => Err(SendError::temporary(why)),
        }
    }
}

/// The error with its causes, which is where the reason is.
fn explained(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
