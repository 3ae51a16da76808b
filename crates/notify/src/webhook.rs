//! Tells a webhook of a request.

use std::time::Duration;

use preloop_egress::{Client, Egress, Policy};
use preloop_govern::ApprovalNotice;
use preloop_types::{ApprovalId, Timestamp};
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
};
use serde::Serialize;
use serde_json::Value;
use url::Url;

use crate::{SendError, SettingsError, sign};

/// The kind of event in the body and in `X-Preloop-Event-Type`.
const EVENT: &str = "approval_request";

/// Longest wait for the whole exchange.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the receiver is sent.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    request_id: ApprovalId,
    tool_name: &'a str,
    server: &'a str,
    tool_args: &'a Value,
    agent_reasoning: Option<&'a str>,
    requester: &'a str,
    reason: &'a str,
    workflow: &'a str,
    status: &'static str,
    requested_at: Timestamp,
    expires_at: Timestamp,
    actions: Actions,
}

/// `approve` and `decline` take a POST, `view` is the page for people.
#[derive(Serialize)]
struct Actions {
    approve: String,
    decline: String,
    view: String,
}

/// What tells one attempt from another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attempt<'a> {
    /// The same in every attempt.
    pub(crate) delivery: &'a str,
    /// From 1.
    pub(crate) number: u32,
    /// Signed, so that a receiver can refuse a replay.
    pub(crate) at: Timestamp,
}

/// Where a webhook listens, and what it expects.
pub(crate) struct Endpoint<'a> {
    pub(crate) url: &'a str,
    pub(crate) headers: &'a [(String, String)],
    pub(crate) secret: Option<&'a str>,
}

#[derive(Clone)]
pub(crate) struct Poster(Client);

impl Poster {
    pub(crate) fn new(egress: &Egress) -> Result<Self, SettingsError> {
        // Whether private addresses may be reached is the instance's choice alone.
        Ok(Self(egress.client(Policy { allow_private: true, ..Policy::default() })?))
    }

    pub(crate) async fn send(
        &self,
        to: Endpoint<'_>,
        notice: &ApprovalNotice,
        attempt: Attempt<'_>,
    ) -> Result<(), SendError> {
        let url = Url::parse(to.url).map_err(|error| SendError::permanent(format!("the webhook's URL: {error}")))?;
        let body = serde_json::to_vec(&body(notice)?)
            .map_err(|error| SendError::permanent(format!("the webhook's body: {error}")))?;
        let headers = headers(&to, notice, attempt, &body)?;
        let request = self.0.post(url).map_err(|refused| SendError::permanent(refused.to_string()))?;
        let answer = request.headers(headers).body(body).timeout(TIMEOUT).send().await;
        // A URL may carry a credential, so it stays out of the error.
        judge(answer.map_err(|error| SendError::temporary(explained(&error.without_url())))?.status())
    }
}

fn judge(status: StatusCode) -> Result<(), SendError> {
    let why = format!("the webhook answered {status}");
    match status {
        ok if ok.is_success() => Ok(()),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Err(SendError::temporary(why))
        }
        wrong if wrong.is_client_error() || wrong.is_redirection() => Err(SendError::permanent(why)),
        _ => Err(SendError::temporary(why)),
    }
}

fn body(notice: &ApprovalNotice) -> Result<Body<'_>, SendError> {
    Ok(Body {
        kind: EVENT,
        request_id: notice.request,
        tool_name: &notice.tool,
        server: &notice.server,
        tool_args: &notice.arguments,
        agent_reasoning: notice.justification.as_deref(),
        requester: &notice.requester,
        reason: &notice.reason,
        workflow: &notice.workflow,
        status: "pending",
        requested_at: notice.requested_at,
        expires_at: notice.expires_at,
        actions: Actions {
            approve: action(&notice.link, "approve")?,
            decline: action(&notice.link, "decline")?,
            view: notice.link.clone(),
        },
    })
}

/// The page's URL with one more segment before its token.
fn action(link: &str, verb: &str) -> Result<String, SendError> {
    let mut url = Url::parse(link).map_err(|error| SendError::permanent(format!("the approval link: {error}")))?;
    if let Ok(mut path) = url.path_segments_mut() {
        path.push(verb);
    }
    Ok(url.into())
}

/// The channel's own headers first, so that ours always hold.
fn headers(
    to: &Endpoint<'_>,
    notice: &ApprovalNotice,
    attempt: Attempt<'_>,
    body: &[u8],
) -> Result<HeaderMap, SendError> {
    let mut headers = HeaderMap::new();
    for (name, value) in to.headers {
        let header = HeaderName::try_from(name.as_str())
            .map_err(|_| SendError::permanent(format!("`{}` is not a header's name", name.escape_debug())))?;
        let mut value = HeaderValue::try_from(value.as_str())
            .map_err(|_| SendError::permanent(format!("the value of header `{header}` is not allowed in HTTP")))?;
        value.set_sensitive(true);
        headers.insert(header, value);
    }
    let mut set = |name: &'static str, value: String| {
        let value = HeaderValue::try_from(value);
        value.map(|value| headers.insert(HeaderName::from_static(name), value))
    };
    let ours = [
        ("x-preloop-event-id", notice.request.to_string()),
        ("x-preloop-event-type", EVENT.to_owned()),
        ("x-preloop-delivery-id", attempt.delivery.to_owned()),
        ("x-preloop-attempt", attempt.number.to_string()),
    ];
    let signature = to.secret.map(|secret| ("x-preloop-signature", sign(secret.as_bytes(), attempt.at, body)));
    for (name, value) in ours.into_iter().chain(signature) {
        set(name, value).map_err(|_| SendError::permanent(format!("header `{name}` cannot be written")))?;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}

/// The error with its causes, which is where the reason is.
fn explained(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
