use super::{Knob, Profile};

/// Why a model cannot be asked as it is configured. For its owner; an agent learns the code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProviderError {
    /// Nobody of that name.
    #[error("`{0}` is not a provider Preloop knows; `openai-compatible` with an endpoint reaches most others")]
    Unknown(String),
    /// A credential that was not given.
    #[error("the model has no secret `{name}`, which `{provider}` needs")]
    MissingSecret {
        /// The provider.
        provider: &'static str,
        /// The secret.
        name: &'static str,
    },
    /// A credential that cannot be what it should be. The text never repeats it.
    #[error("the secret `{name}` cannot be used: {why}")]
    BadSecret {
        /// The secret.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A setting that is missing, unknown or senseless.
    #[error("the setting `{name}` {why}")]
    Setting {
        /// The setting.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A model name that could lead elsewhere in the provider's API.
    #[error("`{0}` cannot be part of a URL's path: use letters, digits and `-._:@~/`")]
    Identifier(String),
    /// The provider has no such thing.
    #[error("`{provider}` has no `{what}`")]
    Unsupported {
        /// The provider.
        provider: &'static str,
        /// What was asked for.
        what: String,
    },
    /// A token could not be fetched.
    #[error("no access token from `{host}`: {why}")]
    Token {
        /// Who issues it.
        host: String,
        /// What went wrong.
        why: String,
        /// Whether another try may help.
        temporary: bool,
    },
}

impl ProviderError {
    pub(super) fn setting(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Setting { name: name.into(), why: why.into() }
    }

    pub(super) fn unknown(what: &str, profile: &Profile, name: &str, known: &[Knob]) -> Self {
        let names: Vec<_> = known.iter().map(|knob| format!("`{}`", knob.name)).collect();
        let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Self::setting(name, format!("is not a {what} of `{}`, which knows {names}", profile.name))
    }

    /// The stable code agents see.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MissingSecret { .. } | Self::BadSecret { .. } => "upstream_credentials_missing",
            Self::Token { temporary: false, .. } => "upstream_credentials_expired",
            Self::Token { temporary: true, .. } => "upstream_unavailable",
            Self::Unsupported { .. } => "unsupported_feature",
            Self::Unknown(_) | Self::Setting { .. } | Self::Identifier(_) => "model_misconfigured",
        }
    }

    /// The HTTP status agents see.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Unsupported { .. } => 400,
            _ => 502,
        }
    }
}
