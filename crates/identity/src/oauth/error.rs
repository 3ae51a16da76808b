use std::fmt;

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $status:literal;)*) => {
        /// What kind of error it is, in the words of the specifications.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$doc])* $variant,)*
        }

        impl ErrorCode {
            /// The value of `error`.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// The HTTP status it is answered with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }
        }
    };
}

codes! {
    /// A parameter is missing, doubled or malformed (RFC 6749).
    InvalidRequest = "invalid_request", 400;
    /// The client is unknown, or did not prove who it is (RFC 6749).
    InvalidClient = "invalid_client", 401;
    /// A code or refresh token is unknown, used, over, or another client's (RFC 6749).
    InvalidGrant = "invalid_grant", 400;
    /// The client may not do this (RFC 6749).
    UnauthorizedClient = "unauthorized_client", 400;
    /// The person said no (RFC 6749).
    AccessDenied = "access_denied", 400;
    /// Only codes are given out (RFC 6749).
    UnsupportedResponseType = "unsupported_response_type", 400;
    /// There is no such way to get a token (RFC 6749).
    UnsupportedGrantType = "unsupported_grant_type", 400;
    /// A scope nobody may have, or more than was granted (RFC 6749).
    InvalidScope = "invalid_scope", 400;
    /// Not a resource of this server, or not the one the grant is for (RFC 8707).
    InvalidTarget = "invalid_target", 400;
    /// A redirect URI that must not be registered (RFC 7591).
    InvalidRedirectUri = "invalid_redirect_uri", 400;
    /// A client that must not be registered like this (RFC 7591).
    InvalidClientMetadata = "invalid_client_metadata", 400;
    /// The person has not answered yet (RFC 8628).
    AuthorizationPending = "authorization_pending", 400;
    /// As before, and the client asks too often (RFC 8628).
    SlowDown = "slow_down", 400;
    /// The device code is over (RFC 8628).
    ExpiredToken = "expired_token", 400;
    /// Nothing was changed; worth another try (RFC 6749).
    TemporarilyUnavailable = "temporarily_unavailable", 503;
    /// Something failed here (RFC 6749).
    ServerError = "server_error", 500;
}

/// An error as OAuth endpoints tell it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {description}")]
pub struct OAuthError {
    /// For programs.
    pub code: ErrorCode,
    /// For the people who write them.
    pub description: String,
}

impl OAuthError {
    /// An error with a sentence about it.
    pub fn new(code: ErrorCode, description: impl Into<String>) -> Self {
        Self { code, description: description.into() }
    }

    pub(crate) fn request(description: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, description)
    }

    pub(crate) fn grant(description: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidGrant, description)
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<preloop_store::Error> for OAuthError {
    fn from(error: preloop_store::Error) -> Self {
        use preloop_store::Error;
        match error {
            Error::Busy | Error::Closed | Error::Full | Error::Aborted(_) => {
                tracing::warn!(%error, "the store refused an OAuth request");
                Self::new(ErrorCode::TemporarilyUnavailable, "nothing was changed; try again in a moment")
            }
            error => {
                tracing::error!(%error, "the store failed an OAuth request");
                Self::new(ErrorCode::ServerError, "internal error; nothing was changed")
            }
        }
    }
}
