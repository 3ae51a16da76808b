//! What clients are told when something does not work.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderName, HeaderValue, StatusCode, header};
use preloop_api_types::{Detail, ErrorBody, FieldError, JsonObject};
use preloop_govern::config::ConfigError;
use preloop_mcp::upstream::UpstreamError;
use serde_json::Value;

/// Why an instance could not start or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The options do not make sense together.
    #[error("{0}")]
    Options(String),
    /// A file or directory cannot be used.
    #[error("cannot use `{path}`: {source}")]
    File {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on `{address}`: {source}")]
    Listen {
        /// Which.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] preloop_store::Error),
    /// Mail or webhooks cannot be set up.
    #[error("cannot set up notifications: {0}")]
    Notify(String),
    /// The first owner cannot be given a link.
    #[error("cannot set up signing in: {0}")]
    Identity(String),
    /// Outbound model traffic cannot be set up.
    #[error("model traffic cannot be set up: {0}")]
    Gateway(String),
    /// Spans cannot be sent.
    #[error(transparent)]
    Telemetry(#[from] preloop_telemetry::OtlpError),
    /// The listener failed.
    #[error("cannot serve: {0}")]
    Io(#[from] std::io::Error),
}

/// An answer that is not a success: `{"detail": …}`.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    detail: Detail,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

pub(crate) type ApiResult<T> = Result<Json<T>, ApiError>;

impl ApiError {
    pub(crate) fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: Detail::Text(detail.into()), header: None }
    }

    pub(crate) fn object(status: StatusCode, detail: Value) -> Self {
        let detail = match detail {
            Value::Object(members) => members,
            other => JsonObject::from_iter([("message".to_owned(), other)]),
        };
        Self { status, detail: Detail::Object(detail), header: None }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    pub(crate) fn not_found(what: &str) -> Self {
        let mut detail = format!("{what} not found");
        if let Some(first) = detail.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    pub(crate) fn unauthorized(detail: &str) -> Self {
        let challenge = (header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        Self { header: Some(Box::new(challenge)), ..Self::new(StatusCode::UNAUTHORIZED, detail) }
    }

    pub(crate) fn too_many(retry_after_seconds: u64) -> Self {
        let retry = (header::RETRY_AFTER, HeaderValue::from(retry_after_seconds));
        let detail = "Too many failed attempts; try again later";
        Self { header: Some(Box::new(retry)), ..Self::new(StatusCode::TOO_MANY_REQUESTS, detail) }
    }

    /// One field of the request is wrong. `path` is dotted: `rules.0.action`.
    pub(crate) fn field(place: &str, path: &str, message: impl Into<String>, kind: &str) -> Self {
        let segments = path.split(['.', '[', ']']).filter(|segment| !segment.is_empty());
        let loc = segments.map(|segment| segment.parse::<u64>().map_or_else(|_| Value::from(segment), Value::from));
        let loc = std::iter::once(Value::from(place)).chain(loc).collect();
        let error = FieldError { loc, msg: message.into(), kind: kind.to_owned() };
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, detail: Detail::Fields(vec![error]), header: None }
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// The failure in one sentence.
    pub(crate) fn message(&self) -> String {
        match &self.detail {
            Detail::Text(text) => text.clone(),
            Detail::Fields(fields) => fields.first().map(|field| field.msg.clone()).unwrap_or_default(),
            Detail::Object(members) => {
                members.get("message").and_then(Value::as_str).unwrap_or("the request failed").to_owned()
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(ErrorBody { detail: self.detail })).into_response();
        if let Some(header) = self.header {
            response.headers_mut().insert(header.0, header.1);
        }
        response
    }
}

impl From<ConfigError> for ApiError {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::NotFound(what) => Self::not_found(what),
            ConfigError::Invalid { field, message } => Self::field("body", &field, message, "value_error"),
            ConfigError::Refused(detail) => Self::bad_request(detail),
            ConfigError::Stale(detail) => Self::new(StatusCode::CONFLICT, detail),
            ConfigError::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, detail),
            ConfigError::Policy { errors, warnings } => {
                let errors: Vec<_> =
                    errors.iter().map(|problem| format!("{}: {}", problem.path, problem.message)).collect();
                Self::object(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    serde_json::json!({"message": "Failed to apply policy", "errors": errors, "warnings": warnings}),
                )
            }
            ConfigError::Store(error) => error.into(),
        }
    }
}

impl From<preloop_store::Error> for ApiError {
    fn from(error: preloop_store::Error) -> Self {
        use preloop_store::Error;
        match error {
            Error::NotFound => Self::new(StatusCode::NOT_FOUND, "Not found"),
            Error::Conflict(what) => Self::bad_request(format!("{what} already exists")),
            Error::Invalid(detail) => Self::bad_request(detail),
            Error::Busy | Error::Closed | Error::Full | Error::Aborted(_) => {
                tracing::warn!(%error, "the store refused a request");
                let again = (header::RETRY_AFTER, HeaderValue::from_static("1"));
                let detail = format!("Nothing was changed: {error}");
                Self { header: Some(Box::new(again)), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
            }
            error => {
                tracing::error!(%error, "the store failed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error; nothing was changed")
            }
        }
    }
}

impl From<preloop_identity::Error> for ApiError {
    fn from(error: preloop_identity::Error) -> Self {
        use preloop_identity::Error;
        match error {
            Error::WrongCredentials => Self::unauthorized("Incorrect username or password"),
            Error::WrongFactor => Self::unauthorized("The second factor is wrong, was used before, or is too old"),
            Error::WrongPassword => Self::bad_request("The current password is wrong"),
            Error::InvalidToken => {
                Self::bad_request("The token is not valid: it was used, has ended, or never existed")
            }
            Error::TooMany { retry_after } => Self::too_many(retry_after.as_secs().max(1)),
            Error::Busy => {
                let again = (header::RETRY_AFTER, HeaderValue::from_static("2"));
                let detail = "Too many people sign in right now; try again in a moment";
                Self { header: Some(Box::new(again)), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, detail) }
            }
            Error::Invalid { field, message } => Self::field("body", field, message, "value_error"),
            Error::Refused(detail) => Self::bad_request(detail),
            Error::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, detail),
            Error::NotFound(what) => Self::not_found(what),
            Error::Hashing(detail) => {
                tracing::error!(%detail, "a password cannot be hashed");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "Internal error; nothing was changed")
            }
            Error::Store(error) => error.into(),
        }
    }
}

impl From<preloop_govern::Error> for ApiError {
    fn from(error: preloop_govern::Error) -> Self {
        use preloop_govern::Error;
        match error {
            Error::NotFound(what) => Self::not_found(&what),
            Error::Forbidden(detail) => Self::new(StatusCode::FORBIDDEN, detail),
            Error::Invalid(detail) => Self::field("body", "", detail, "value_error"),
            Error::Form(problems) => {
                let errors: Vec<_> = problems
                    .iter()
                    .map(|problem| serde_json::json!({"path": problem.path, "message": problem.message}))
                    .collect();
                let detail = serde_json::json!({"message": "The answer does not fit the form", "errors": errors});
                Self::object(StatusCode::UNPROCESSABLE_ENTITY, detail)
            }
            Error::Conflict(detail) => Self::bad_request(detail),
            Error::Store(detail) => {
                tracing::error!(%detail, "the store failed");
                Self::new(StatusCode::SERVICE_UNAVAILABLE, "The store is not available; nothing was changed")
            }
        }
    }
}

/// An upstream that cannot be reached is not our failure: 502.
pub(crate) fn upstream(error: &UpstreamError) -> ApiError {
    ApiError::new(StatusCode::BAD_GATEWAY, format!("The MCP server could not be used: {error}"))
}
