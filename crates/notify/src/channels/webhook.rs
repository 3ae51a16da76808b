//! A workflow's own webhook: a signed POST for each request.

use async_trait::async_trait;
use preloop_govern::{ApprovalNotice, Message};
use preloop_types::{ApprovalId, Timestamp};
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::{
    SendError,
    channel::{Channel, Parcel},
    http::Http,
    sign,
};

/// The kind of event in the body and in `X-Preloop-Event-Type`.
const EVENT: &str = "approval_request";

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
    actions: Option<Actions>,
}

/// `approve` and `decline` take a POST, `view` is the page for people.
#[derive(Serialize)]
struct Actions {
    approve: String,
    decline: String,
    view: String,
}

/// Where a webhook listens, and what it expects.
#[derive(Deserialize)]
struct Address {
    url: String,
    #[serde(default)]
    headers: Vec<(String, String)>,
    secret: Option<String>,
}

pub(super) struct Webhook(pub(super) Http);

#[async_trait]
impl Channel for Webhook {
    fn name(&self) -> &'static str {
        "webhook"
    }

    async fn send(&self, parcel: &Parcel<'_>) -> Result<(), SendError> {
        let (to, message): (Address, _) = parcel.open()?;
        let Message::Request(notice) = message else {
            return Err(SendError::permanent("a workflow's webhook is told of requests only".to_owned()));
        };
        let body = serde_json::to_vec(&body(&notice)?)
            .map_err(|error| SendError::permanent(format!("the webhook's body: {error}")))?;
        let headers = headers(&to, &notice, parcel, &body)?;
        self.0.post("the webhook", &to.url, headers, body).await?.judged("the webhook")
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
        actions: notice.link.as_deref().map(actions).transpose()?,
    })
}

fn actions(link: &str) -> Result<Actions, SendError> {
    Ok(Actions { approve: action(link, "approve")?, decline: action(link, "decline")?, view: link.to_owned() })
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
fn headers(to: &Address, notice: &ApprovalNotice, parcel: &Parcel<'_>, body: &[u8]) -> Result<HeaderMap, SendError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &to.headers {
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
        ("x-preloop-delivery-id", parcel.delivery.id.to_string()),
        ("x-preloop-attempt", parcel.delivery.attempt.to_string()),
    ];
    let signature = to.secret.as_deref();
    let signature = signature.map(|secret| ("x-preloop-signature", sign(secret.as_bytes(), parcel.at, body)));
    for (name, value) in ours.into_iter().chain(signature) {
        set(name, value).map_err(|_| SendError::permanent(format!("header `{name}` cannot be written")))?;
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(headers)
}
