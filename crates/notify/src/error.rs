/// Why a notice did not go out.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    /// For people; holds no secret.
    pub reason: String,
    /// Whether another attempt could end otherwise.
    pub retryable: bool,
}

impl SendError {
    pub(crate) fn permanent(reason: String) -> Self {
        Self { reason, retryable: false }
    }

    pub(crate) fn temporary(reason: String) -> Self {
        Self { reason, retryable: true }
    }
}

/// Why the channels cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The sender is not a mail address.
    #[error("`{0}` is not a sender (`SMTP_FROM` is `name@example.com` or `Name <name@example.com>`): {1}")]
    From(String, lettre::address::AddressError),
    /// The SMTP server's name or its TLS is wrong.
    #[error("the SMTP server's settings: {0}")]
    Smtp(#[from] lettre::transport::smtp::Error),
    /// The system's certificates cannot be read.
    #[error("no HTTP client for webhooks: {0}")]
    Http(#[from] reqwest::Error),
}
