use preloop_types::Timestamp;

/// Why a notice did not go out.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{reason}")]
pub struct SendError {
    /// For people; holds no secret.
    pub reason: String,
    /// What becomes of it.
    pub then: Then,
}

/// What becomes of a notice that did not go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Another attempt could end otherwise.
    Again,
    /// No attempt will.
    Never,
    /// The device is gone for good and is forgotten. Said only by whoever would know.
    Gone,
    /// It was not tried: not before then.
    NotBefore(Timestamp),
}

impl SendError {
    pub(crate) fn permanent(reason: String) -> Self {
        Self { reason, then: Then::Never }
    }

    pub(crate) fn temporary(reason: String) -> Self {
        Self { reason, then: Then::Again }
    }

    pub(crate) fn gone(reason: String) -> Self {
        Self { reason, then: Then::Gone }
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
    #[error("no HTTP client for notices: {0}")]
    Http(#[from] reqwest::Error),
    /// The instance key gives no key for Web Push.
    #[error("no key for Web Push could be derived from the instance key")]
    WebPush,
}
