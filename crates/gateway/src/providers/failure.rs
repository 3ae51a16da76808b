//! What a provider's refusal means: whose fault it is, whether trying again helps, and what the agent
//! is told.

use std::time::Duration;

use http::HeaderMap;
use preloop_egress::SendError;

use super::Profile;

mod told;
pub(super) use told::Told;

/// Kinds of failure, by what can be done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The gateway's credential was not accepted.
    Auth,
    /// The provider's account has no credit or quota left.
    BillingQuota,
    /// Too many calls or tokens for now.
    RateLimited,
    /// The provider has too much to do.
    Overloaded,
    /// The provider broke.
    ServerError,
    /// It took too long.
    Timeout,
    /// The request is wrong.
    InvalidRequest,
    /// The conversation is longer than the model's context.
    ContextTooLong,
    /// The provider does not want to answer this.
    ContentFiltered,
    /// The provider has no such model, or not for this account.
    ModelMissing,
    /// What came is no answer.
    Protocol,
}

impl Class {
    /// The spelling in records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Auth => "auth",
            Class::BillingQuota => "billing_quota",
            Class::RateLimited => "rate_limited",
            Class::Overloaded => "overloaded",
            Class::ServerError => "server_error",
            Class::Timeout => "timeout",
            Class::InvalidRequest => "invalid_request",
            Class::ContextTooLong => "context_too_long",
            Class::ContentFiltered => "content_filtered",
            Class::ModelMissing => "model_missing",
            Class::Protocol => "protocol",
        }
    }

    /// Whether the same request may succeed elsewhere. A prompt that was filtered is not carried to
    /// someone who may not filter it.
    pub const fn falls_back(self) -> bool {
        !matches!(self, Class::InvalidRequest | Class::ContentFiltered)
    }

    /// Whether the model's owner should hear of each one.
    pub const fn alerts(self) -> bool {
        matches!(self, Class::Auth | Class::BillingQuota | Class::ModelMissing | Class::Protocol)
    }

    /// Whether the agent caused it, so that the provider's own words are for it.
    const fn is_the_agents(self) -> bool {
        matches!(self, Class::InvalidRequest | Class::ContextTooLong | Class::ContentFiltered)
    }

    /// The stable code agents see.
    const fn code(self) -> &'static str {
        match self {
            Class::Auth => "upstream_auth_failed",
            Class::BillingQuota => "upstream_quota",
            Class::RateLimited => "upstream_rate_limited",
            Class::Overloaded | Class::ServerError | Class::Protocol => "upstream_unavailable",
            Class::Timeout => "upstream_timeout",
            Class::InvalidRequest => "upstream_invalid_request",
            // The word by which agents know that they have to shorten the conversation.
            Class::ContextTooLong => "context_length_exceeded",
            Class::ContentFiltered => "upstream_content_filtered",
            Class::ModelMissing => "upstream_model_missing",
        }
    }
}

/// Whether the same request may be sent to the same provider again, as long as nothing of an answer
/// came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// It would fail again, or be charged twice.
    No,
    /// One more time.
    Once,
    /// Yes.
    Yes,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub class: Class,
    /// Whether to try again.
    pub retry: Retry,
    /// How long to wait before.
    pub retry_after: Option<Duration>,
    /// Whether the provider may have seen the request; if not, it cost nothing.
    pub may_have_arrived: bool,
    /// The status the provider answered with, if it answered.
    pub provider_status: Option<u16>,
    /// The code the provider gave.
    pub provider_code: Option<String>,
    /// The HTTP status for the agent.
    pub status: u16,
    /// The stable code for the agent.
    pub code: &'static str,
    /// For the agent: bounded, without credentials and ids of the provider's account.
    pub message: String,
    /// Whether an agent of the same dialect may be shown the provider's body as it is.
    pub verbatim: bool,
}

/// Longer than this nobody waits within a request for a provider that asks for time: the agent is told instead.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(5);

impl Fault {
    /// Of an answer that is an error, which some providers send with a status of success.
    pub fn of_answer(provider: &Profile, status: u16, headers: &HeaderMap, body: &[u8]) -> Self {
        let told = Told::read(headers, body);
        // What an error under a status of success stands for, if it says so; else nobody knows what was done.
        let implied = if status < 300 { told.implied_status() } else { Some(status) };
        let status = implied.unwrap_or(502);
        let class = classify(status, &told);
        let retry_after = told.retry_after(headers);
        let message = match (&told.message, class) {
            (_, Class::Auth) => {
                format!("{} does not accept the credential of this model; its owner has to renew it", provider.title)
            }
            (_, Class::BillingQuota) => {
                format!("the credit or quota at {} is used up; the model's owner has to renew it", provider.title)
            }
            (Some(message), class) if class.is_the_agents() => told::clean(message),
            (Some(message), _) => format!("{}: {}", provider.title, told::clean(message)),
            (None, _) => format!("{} answered {status} without an explanation", provider.title),
        };
        Self {
            class,
            retry: retry(class, status, retry_after),
            retry_after,
            may_have_arrived: true,
            provider_status: implied,
            provider_code: told.code,
            status: agent_status(class, status),
            code: class.code(),
            message,
            verbatim: class.is_the_agents(),
        }
    }

    /// Of a request that got no answer.
    pub fn of_send(provider: &Profile, error: &SendError) -> Self {
        let (class, retry) = match error {
            SendError::Refused(_) => (Class::Protocol, Retry::No),
            SendError::ConnectTimeout => (Class::Timeout, Retry::Yes),
            SendError::Connect(_) | SendError::Interrupted(_) => (Class::ServerError, Retry::Yes),
        };
        let message = match error {
            // Where an endpoint leads is for its owner to know.
            SendError::Refused(_) => format!("the endpoint of this model at {} may not be reached", provider.title),
            SendError::ConnectTimeout | SendError::Connect(_) => format!("{} cannot be reached", provider.title),
            SendError::Interrupted(_) => format!("{} ended the connection without an answer", provider.title),
        };
        Self { retry, may_have_arrived: error.may_have_arrived(), ..Self::plain(class, message) }
    }

    /// Of an answer that did not begin, or did not go on, in time.
    pub fn of_waiting(provider: &Profile, waited: Duration, begun: bool) -> Self {
        let what = if begun { "sent nothing more for" } else { "did not answer within" };
        let message = format!("{} {what} {}s", provider.title, waited.as_secs());
        let retry = if begun { Retry::No } else { Retry::Once };
        Self { retry, ..Self::plain(Class::Timeout, message) }
    }

    /// Of an answer that cannot be read. `why` never repeats it.
    pub fn of_protocol(provider: &Profile, why: &str) -> Self {
        Self { retry: Retry::Once, ..Self::plain(Class::Protocol, format!("{}: {why}", provider.title)) }
    }

    fn plain(class: Class, message: String) -> Self {
        Self {
            class,
            retry: Retry::No,
            retry_after: None,
            may_have_arrived: true,
            provider_status: None,
            provider_code: None,
            status: agent_status(class, 502),
            code: class.code(),
            message,
            verbatim: false,
        }
    }
}

fn classify(status: u16, told: &Told) -> Class {
    match status {
        300..=399 => Class::Protocol,
        402 => Class::BillingQuota,
        403 | 429 if told.is_about_money() => Class::BillingQuota,
        401 | 403 => Class::Auth,
        404 | 405 | 501 => Class::ModelMissing,
        408 | 504 => Class::Timeout,
        413 => Class::ContextTooLong,
        429 if told.says(&["modelnotready"]) => Class::Overloaded,
        429 => Class::RateLimited,
        400..=499 if status != 409 && status != 424 => classify_request(told),
        503 | 529 => Class::Overloaded,
        _ if told.says(&["overloaded"]) => Class::Overloaded,
        _ => Class::ServerError,
    }
}

/// What 400 and its like mean.
fn classify_request(told: &Told) -> Class {
    const AUTH: &[&str] =
        &["api_key_invalid", "api key not valid", "accessdenied", "expiredtoken", "unrecognizedclient"];
    const LENGTH: &[&str] = &[
        "context_length",
        "context length",
        "context window",
        "maximum context",
        "prompt is too long",
        "input is too long",
        "maximum number of tokens",
        "too many tokens",
    ];
    const FILTER: &[&str] = &["content_filter", "content_policy", "responsibleai", "content management policy"];
    const MODEL: &[&str] = &[
        "model_not_found",
        "deploymentnotfound",
        "resourcenotfound",
        "on-demand throughput isn",
        "model identifier is invalid",
        "model does not exist",
        "not a valid model",
    ];
    if told.says(AUTH) {
        Class::Auth
    } else if told.is_about_money() {
        Class::BillingQuota
    } else if told.says(&["throttling"]) {
        Class::RateLimited
    } else if told.says(LENGTH) {
        Class::ContextTooLong
    } else if told.says(FILTER) {
        Class::ContentFiltered
    } else if told.says(MODEL) {
        Class::ModelMissing
    } else {
        Class::InvalidRequest
    }
}

fn retry(class: Class, status: u16, retry_after: Option<Duration>) -> Retry {
    match class {
        _ if retry_after.is_some_and(|wait| wait > RETRY_AFTER_MAX) => Retry::No,
        Class::RateLimited | Class::Overloaded | Class::ServerError => Retry::Yes,
        Class::Timeout | Class::Protocol if !(300..400).contains(&status) => Retry::Once,
        _ => Retry::No,
    }
}

fn agent_status(class: Class, status: u16) -> u16 {
    match class {
        // Never 401: the agent would log its user out.
        Class::Auth | Class::ServerError | Class::Protocol => 502,
        Class::BillingQuota if status == 429 => 429,
        Class::BillingQuota => 402,
        Class::RateLimited => 429,
        Class::Overloaded => 503,
        Class::Timeout => 504,
        Class::ModelMissing => 404,
        Class::InvalidRequest | Class::ContextTooLong | Class::ContentFiltered if (400..500).contains(&status) => {
            status
        }
        Class::InvalidRequest | Class::ContextTooLong | Class::ContentFiltered => 400,
    }
}
