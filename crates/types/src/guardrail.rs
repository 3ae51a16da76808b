//! What is looked for in model traffic.

use serde::{Deserialize, Serialize};

/// Checks of what agents say to models and models answer. No rules, no checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Guardrails {
    /// Every rule is applied; the strictest action that follows is taken.
    pub rules: Vec<GuardrailRule>,
    /// Longest time one check may take, in milliseconds.
    pub deadline_ms: u32,
    /// What happens to a message that could not be checked in time.
    pub on_timeout: OnTimeout,
}

impl Default for Guardrails {
    fn default() -> Self {
        Self { rules: Vec::new(), deadline_ms: 100, on_timeout: OnTimeout::Deny }
    }
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardrailRule {
    /// What people call it.
    pub name: String,
    /// Which way the messages go that are checked.
    #[serde(default)]
    pub on: GuardrailSide,
    /// What is looked for; any of them.
    pub detect: Vec<Detector>,
    /// What happens when it is found.
    pub action: GuardrailAction,
    /// Who is asked, where the action is `ask`; the account's default workflow when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflow: Option<String>,
}

/// Which way a message goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailSide {
    /// From agent to model.
    Request,
    /// From model to agent.
    Response,
    /// Either.
    #[default]
    Both,
}

/// What is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// Credentials that can be recognised: keys of well-known services, private keys, tokens, passwords in
    /// assignments and URLs.
    Secrets,
    /// E-mail addresses.
    Email,
    /// Telephone numbers with a country code.
    Phone,
    /// Numbers of payment cards, by their check digit.
    PaymentCard,
    /// Bank account numbers (IBAN), by their check digits.
    Iban,
    /// US social security numbers.
    Ssn,
    /// These words, whatever their case.
    Words(Vec<String>),
    /// A regular expression.
    Pattern(String),
}

/// What happens when something is found, from the mildest to the strictest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardrailAction {
    /// The message passes, and somebody is told.
    Notify,
    /// What was found is replaced by `[REDACTED]`.
    Redact,
    /// The message waits for a person.
    Ask,
    /// The message is refused.
    Deny,
}

/// What happens to a message that could not be checked in time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnTimeout {
    /// It is refused.
    #[default]
    Deny,
    /// It passes.
    Allow,
}
