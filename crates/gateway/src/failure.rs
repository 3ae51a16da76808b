//! Why an agent gets no answer, in words its dialect's client understands.

use std::{borrow::Cow, time::Duration};

use preloop_govern::{ModelRefusal, ModelRefusalKind};
use serde_json::Value;

use crate::providers::{Fault, ProviderError};

/// Why an agent gets no answer.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The stable code.
    pub(crate) code: Cow<'static, str>,
    /// For the agent and its person.
    pub(crate) message: String,
    /// When it may succeed.
    pub(crate) retry_after: Option<Duration>,
    /// The field it is about.
    pub(crate) param: Option<String>,
    /// Facts for programs; null or an object.
    pub(crate) data: Value,
    /// The provider's own body, where the agent speaks its dialect and caused the failure itself.
    pub(crate) verbatim: Option<bytes::Bytes>,
}

impl Failure {
    pub(crate) fn new(status: u16, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        let (code, message) = (code.into(), message.into());
        Self { status, code, message, retry_after: None, param: None, data: Value::Null, verbatim: None }
    }
}

impl From<ModelRefusal> for Failure {
    fn from(refusal: ModelRefusal) -> Self {
        let ModelRefusal { kind, message, retry_after, data, .. } = refusal;
        Self { retry_after, data, ..Self::new(status(kind), kind.as_str(), message) }
    }
}

/// Clients try 408, 409, 429 and everything from 500 on again by themselves: what a rule of the house
/// refuses is none of these.
const fn status(kind: ModelRefusalKind) -> u16 {
    use ModelRefusalKind as Kind;
    match kind {
        Kind::ModelRequired
        | Kind::AmbiguousModel
        | Kind::InvalidBody
        | Kind::UnsupportedFeature
        | Kind::ContentBlocked => 400,
        Kind::ModelNotFound => 404,
        Kind::RateLimited => 429,
        Kind::CredentialsMissing => 502,
        Kind::Unavailable => 503,
        _ => 403,
    }
}

impl From<Fault> for Failure {
    fn from(fault: Fault) -> Self {
        Self { retry_after: fault.retry_after, ..Self::new(fault.status, fault.code, fault.message) }
    }
}

impl From<&ProviderError> for Failure {
    fn from(error: &ProviderError) -> Self {
        let message = match error {
            ProviderError::Unsupported { .. } => error.to_string(),
            // What exactly is for the model's owner, who finds it in the record.
            _ => "this model cannot be reached as it is configured; its owner finds the reason in the audit log"
                .to_owned(),
        };
        Self::new(error.status(), error.code(), message)
    }
}
