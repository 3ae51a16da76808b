//! A browser on its way to an identity provider, and back.

use axum::{
    Router,
    extract::{Path, Query},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header};
use preloop_identity::sso::{Return, SsoError};
use serde::Deserialize;

use super::session::{Guest, own_path};
use crate::App;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/api/v1/auth/oauth/{provider}/authorize", get(authorize))
        .route("/api/v1/auth/oauth/{provider}/callback", get(callback))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

#[derive(Deserialize)]
struct Back {
    code: Option<String>,
    #[serde(default)]
    state: String,
    iss: Option<String>,
    error: Option<String>,
}

async fn authorize(guest: Guest, Path(provider): Path<String>, Query(asked): Query<Asked>) -> Response {
    let next = own_path(guest.public_url(), &asked.next).unwrap_or_default();
    match guest.sso().begin(&provider, &next).await {
        Ok((to, cookie)) => {
            let Ok(location) = HeaderValue::from_str(to.as_str()) else {
                return refused(&guest, &SsoError::NoProvider(provider));
            };
            let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response();
            guest.keep_attempt(&mut response, &cookie);
            response
        }
        Err(error) => refused(&guest, &error),
    }
}

async fn callback(guest: Guest, Path(provider): Path<String>, Query(back): Query<Back>) -> Response {
    let back = Return {
        code: back.code.as_deref(),
        state: &back.state,
        iss: back.iss.as_deref(),
        error: back.error.as_deref(),
        cookie: guest.attempt().unwrap_or_default(),
    };
    let mut response = match guest.sso().finish(&provider, back).await {
        Ok(who) => match guest.sign_in(who.account, who.user, "sso", Some(&who.next)).await {
            Ok(response) => response,
            Err(error) => error.into_response(),
        },
        Err(error) => refused(&guest, &error),
    };
    // It was for this one journey.
    guest.keep_attempt(&mut response, "");
    response
}

fn refused(guest: &Guest, error: &SsoError) -> Response {
    let status = match error {
        SsoError::NoProvider(_) => StatusCode::NOT_FOUND,
        SsoError::NotBegun => StatusCode::BAD_REQUEST,
        SsoError::Declined { .. } | SsoError::Unbelievable { .. } | SsoError::NotLetIn(_) => StatusCode::FORBIDDEN,
        SsoError::Unavailable { .. } => StatusCode::BAD_GATEWAY,
        SsoError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let text = match error {
        SsoError::Store(error) => {
            tracing::warn!(%error, "a sign-in could not be finished");
            "The sign-in could not be written down. Nothing was changed; try again in a moment.".to_owned()
        }
        error => format!("You are not signed in: {error}."),
    };
    guest.message(status, "Not signed in", &text)
}
