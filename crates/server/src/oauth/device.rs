//! `/device`: the page on which a person signs in the command line that shows them a code.

use axum::{
    extract::{Query, rejection::QueryRejection},
    response::Response,
};
use http::StatusCode;
use minijinja::context;
use preloop_identity::oauth::WaitingDevice;
use serde::Deserialize;

use crate::page::session::{PageSession, Posted};

/// The code, from the link that the command line prints or from the form.
#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Typed {
    user_code: String,
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(default)]
    user_code: String,
    #[serde(default)]
    decision: String,
}

pub(super) async fn ask(
    session: Result<PageSession, Response>,
    query: Result<Query<Typed>, QueryRejection>,
) -> Response {
    let session = match session {
        Ok(session) => session,
        Err(sign_in_first) => return sign_in_first,
    };
    let Query(typed) = query.unwrap_or_default();
    if typed.user_code.is_empty() {
        return form(&session, StatusCode::OK, "", None);
    }
    match found(&session, &typed.user_code).await {
        Ok(device) => confirm(&session, &typed.user_code, &device),
        Err(refused) => refused,
    }
}

pub(super) async fn answer(posted: Posted<Answer>) -> Response {
    let (session, Answer { user_code, decision }) = match posted.of_person() {
        Ok(posted) => posted,
        Err(sign_in_first) => return sign_in_first,
    };
    let device = match found(&session, &user_code).await {
        Ok(device) => device,
        Err(refused) => return refused,
    };
    let approved = match decision.as_str() {
        "allow" => true,
        "decline" => false,
        _ => return confirm(&session, &user_code, &device),
    };
    match session.authorization().oauth.answer_device(session.who(), &device, approved).await {
        Ok(true) if approved => {
            session.message(StatusCode::OK, "Signed in", "Go back to your terminal. You can close this window.")
        }
        Ok(true) => {
            let text = "The command line was not signed in. If you did not start it, somebody else may have: do not \
                        type codes that you are sent.";
            session.message(StatusCode::OK, "Declined", text)
        }
        Ok(false) => no_such_code(&session, &user_code),
        Err(error) => session.message(StatusCode::FORBIDDEN, "Nothing was changed", &error.description),
    }
}

/// The command line that waits for this code. Wrong codes count as guesses.
async fn found(session: &PageSession, user_code: &str) -> Result<WaitingDevice, Response> {
    let (address, now) = (session.client.address, session.store().now());
    if session.throttle().check(address, now).is_err() {
        let problem = "Too many codes were wrong. Wait a minute and try again.";
        return Err(form(session, StatusCode::TOO_MANY_REQUESTS, "", Some(problem)));
    }
    match session.authorization().oauth.waiting_device(user_code).await {
        Ok(Some(device)) => Ok(device),
        Ok(None) => {
            session.throttle().wrong(address, user_code, now);
            Err(no_such_code(session, user_code))
        }
        Err(error) => Err(session.message(StatusCode::SERVICE_UNAVAILABLE, "Nothing was changed", &error.description)),
    }
}

fn no_such_code(session: &PageSession, user_code: &str) -> Response {
    let problem = "That code is wrong, was used, or is too old. Look at your terminal, or run `preloop login` again.";
    form(session, StatusCode::NOT_FOUND, user_code, Some(problem))
}

fn form(session: &PageSession, status: StatusCode, user_code: &str, problem: Option<&str>) -> Response {
    session.page(status, "device.html", context! { title => "Sign in a command line", user_code, problem })
}

fn confirm(session: &PageSession, user_code: &str, device: &WaitingDevice) -> Response {
    session.page(
        StatusCode::OK,
        "device.html",
        context! {
            title => "Sign in a command line",
            user_code,
            client => device.client.as_str(),
            address => device.address.as_deref(),
            username => session.who().username.as_str(),
        },
    )
}
