//! Which headers pass: of an agent's request to a provider, and of its answer back.

use http::{HeaderMap, HeaderValue, header};
use preloop_dialects::Dialect;
use secrecy::{ExposeSecret, SecretString};

use super::{Delivery, Outgoing, ProviderError, Secrets};

const USER_AGENT: HeaderValue = HeaderValue::from_static(concat!("preloop/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const IDENTITY: HeaderValue = HeaderValue::from_static("identity");

/// What an agent may tell a provider of its own dialect.
const fn passing(dialect: Dialect) -> &'static [&'static str] {
    match dialect {
        Dialect::Chat | Dialect::Responses => &["openai-beta"],
        Dialect::Messages => &["anthropic-version", "anthropic-beta"],
        Dialect::Gemini => &["x-goog-api-client", "x-server-timeout"],
        Dialect::Converse => &[],
    }
}

/// The headers every request has, with what passes of the agent's.
pub(super) fn request(call: &Outgoing<'_>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(10);
    headers.insert(header::CONTENT_TYPE, JSON);
    headers.insert(header::ACCEPT, if call.delivery == Delivery::Events { EVENTS } else { JSON });
    // Answers are relayed as they come, so they must not come compressed.
    headers.insert(header::ACCEPT_ENCODING, IDENTITY);
    headers.insert(header::USER_AGENT, USER_AGENT);
    if let Some(agent) = call.agent_headers {
        for &name in passing(call.dialect) {
            for value in agent.get_all(name) {
                headers.append(name, value.clone());
            }
        }
    }
    headers
}

/// A secret as a header's value, which no log shows.
pub(super) fn secret(name: &'static str, before: &str, secret: &SecretString) -> Result<HeaderValue, ProviderError> {
    let secret = secret.expose_secret().trim();
    let value = if before.is_empty() {
        HeaderValue::from_str(secret)
    } else {
        HeaderValue::from_str(&format!("{before}{secret}"))
    };
    let unusable = |_| ProviderError::BadSecret { name, why: "it holds characters that no header may hold" };
    let mut value = value.map_err(unusable)?;
    value.set_sensitive(true);
    Ok(value)
}

/// The secret `name`, if it was given.
pub(super) fn given<'a>(secrets: &'a Secrets, name: &str) -> Option<&'a SecretString> {
    secrets.get(name).filter(|secret| !secret.expose_secret().trim().is_empty())
}

/// The headers of a provider's answer that an agent is told: the type, when to come again, and how
/// much of a rate limit is left.
pub fn answer_headers(answer: &HeaderMap) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    for (name, value) in answer {
        let text = name.as_str();
        if *name == header::CONTENT_TYPE
            || *name == header::RETRY_AFTER
            || text == "retry-after-ms"
            || text.starts_with("x-ratelimit-")
            || text.starts_with("anthropic-ratelimit-")
        {
            headers.append(name.clone(), value.clone());
        }
    }
    headers
}

/// The provider's own name of a request, for its support to find it.
pub fn upstream_id(answer: &HeaderMap) -> Option<&str> {
    ["x-request-id", "request-id", "x-amzn-requestid", "apim-request-id", "x-goog-request-id"]
        .into_iter()
        .find_map(|name| answer.get(name))
        .and_then(|value| value.to_str().ok())
}
