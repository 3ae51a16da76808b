//! `/sign-in` and `/sign-out`: a name and a password, then a second factor, without a script.

use axum::{
    Router,
    extract::Query,
    response::Response,
    routing::{get, post},
};
use http::StatusCode;
use minijinja::context;
use preloop_identity::{Error, Method, Step, tokens::Lifetimes};
use preloop_types::{GrantId, IdentityProvider, Subject};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::form_urlencoded;

use super::{
    account::for_script,
    session::{Guest, Posted, is_plain_loopback, own_path, redirect},
    shell,
};
use crate::App;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/sign-in", get(ask).post(check))
        .route("/sign-in/code", post(check_code))
        .route("/sign-out", post(sign_out))
        .route("/sign-in/passkey/options", post(ask_passkey))
        .route("/sign-in/passkey", post(check_passkey))
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    next: String,
}

#[expect(clippy::struct_field_names, reason = "the names of the form's fields")]
#[derive(Deserialize)]
struct Password {
    #[serde(default)]
    next: String,
    username: String,
    password: SecretString,
}

#[expect(clippy::struct_field_names, reason = "the names of the form's fields")]
#[derive(Deserialize)]
struct Code {
    #[serde(default)]
    next: String,
    token: SecretString,
    code: String,
}

/// What the script sends to be asked.
#[derive(Deserialize)]
struct Waiting {
    token: Option<SecretString>,
}

#[derive(Deserialize)]
struct Answered {
    #[serde(default)]
    next: String,
    token: Option<SecretString>,
    credential: String,
}

#[derive(Deserialize)]
struct Nothing {}

async fn ask(guest: Guest, Query(asked): Query<Asked>) -> Response {
    if guest.who().is_some() {
        return redirect(&guest.destination(Some(&asked.next)));
    }
    form(&guest, StatusCode::OK, "", &asked.next, None).await
}

async fn check(posted: Posted<Password>) -> Response {
    let Posted { guest, form: sent } = posted;
    let checked = guest.identity().sign_in(&sent.username, &sent.password, &guest.client, Lifetimes::BROWSER).await;
    match checked {
        Ok(Step::Done(tokens)) => guest.signed_in(&tokens, Some(&sent.next)),
        Ok(Step::SecondFactor(asked)) => {
            second_factor(&guest, StatusCode::OK, &asked.token, &asked.methods, &sent.next, None)
        }
        Err(error) => {
            let (status, problem) = told(&error);
            form(&guest, status, &sent.username, &sent.next, Some(&problem)).await
        }
    }
}

async fn check_code(posted: Posted<Code>) -> Response {
    let Posted { guest, form: sent } = posted;
    let code = sent.code.trim();
    match guest.identity().second_factor(&sent.token, code, &guest.client, Lifetimes::BROWSER).await {
        Ok(tokens) => guest.signed_in(&tokens, Some(&sent.next)),
        Err(Error::WrongFactor) => {
            let problem = "That code is wrong, was used before, or is too old. Wait for the next one.";
            second_factor(&guest, StatusCode::UNAUTHORIZED, &sent.token, &[Method::Totp], &sent.next, Some(problem))
        }
        Err(Error::InvalidToken) => {
            let problem = "This took too long, or too many codes were wrong. Sign in again.";
            form(&guest, StatusCode::UNAUTHORIZED, "", &sent.next, Some(problem)).await
        }
        Err(error) => {
            let (status, problem) = told(&error);
            second_factor(&guest, status, &sent.token, &[Method::Totp], &sent.next, Some(&problem))
        }
    }
}

async fn sign_out(posted: Posted<Nothing>) -> Response {
    let guest = posted.guest;
    if let Some(who) = guest.who() {
        let ended =
            guest.identity().end(who.account, Subject::from(&**who), who.user, GrantId(who.key.0), "signed_out").await;
        if let Err(error) = ended {
            let (status, problem) = told(&error);
            return guest.message(status, "You are still signed in", &problem);
        }
    }
    guest.signed_out("/sign-in")
}

/// For the page's script.
async fn ask_passkey(posted: Posted<Waiting>) -> Response {
    let Posted { guest, form: sent } = posted;
    for_script(guest.identity().ask_passkey(sent.token.as_ref(), &guest.client).await)
}

async fn check_passkey(posted: Posted<Answered>) -> Response {
    let Posted { guest, form: sent } = posted;
    let identity = guest.identity();
    let (waiting, client) = (sent.token.as_ref(), &guest.client);
    match identity.sign_in_with_passkey(waiting, &sent.credential, client, Lifetimes::BROWSER).await {
        Ok(tokens) => guest.signed_in(&tokens, Some(&sent.next)),
        Err(Error::WrongFactor) => {
            let problem = "That passkey is not known here, or it took too long. Sign in again.";
            form(&guest, StatusCode::UNAUTHORIZED, "", &sent.next, Some(problem)).await
        }
        Err(error) => {
            let (status, problem) = told(&error);
            form(&guest, status, "", &sent.next, Some(&problem)).await
        }
    }
}

async fn form(guest: &Guest, status: StatusCode, username: &str, next: &str, problem: Option<&str>) -> Response {
    let public_url = guest.public_url();
    let next = own_path(public_url, next).unwrap_or_default();
    let unsafe_ = public_url.scheme() == "http" && !is_plain_loopback(public_url);
    let registration = guest.identity().options().registration;
    let providers = guest.sso().providers().await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the identity providers cannot be read");
        Vec::new()
    });
    let there: String = form_urlencoded::byte_serialize(next.as_bytes()).collect();
    let button = |provider: &IdentityProvider| {
        context! { name => &provider.name, href => format!("/api/v1/auth/oauth/{}/authorize?next={there}", provider.slug) }
    };
    let providers: Vec<_> = providers.iter().map(button).collect();
    let mut page = guest.page(
        status,
        "sign_in.html",
        context! {
            title => "Sign in", username, next => &next, problem, unsafe => unsafe_, registration, providers,
            passkeys => true,
        },
    );
    leads_on(&mut page, &next);
    page
}

fn second_factor(
    guest: &Guest,
    status: StatusCode,
    token: &SecretString,
    methods: &[Method],
    next: &str,
    problem: Option<&str>,
) -> Response {
    let code = methods.iter().any(|method| *method != Method::Passkey);
    let passkeys = methods.contains(&Method::Passkey);
    let mut page = guest.page(
        status,
        "second_factor.html",
        context! { title => "One more step", token => token.expose_secret(), code, passkeys, next, problem },
    );
    leads_on(&mut page, next);
    page
}

/// Signing in may be on the way to a client, whose address is the end of this form's redirects.
fn leads_on(page: &mut Response, next: &str) {
    if next.starts_with("/oauth/") {
        shell::may_lead_elsewhere(page);
    }
}

/// What went wrong, for the person who signs in.
pub(super) fn told(error: &Error) -> (StatusCode, String) {
    match error {
        Error::WrongCredentials => (StatusCode::UNAUTHORIZED, "The username or the password is wrong.".to_owned()),
        Error::TooMany { retry_after } => {
            let minutes = retry_after.as_secs().div_ceil(60);
            let text = format!(
                "Too many attempts. Wait {minutes} min and try again, or set a new password with a link from your mail."
            );
            (StatusCode::TOO_MANY_REQUESTS, text)
        }
        Error::InvalidToken => (StatusCode::NOT_FOUND, "The link was used, has ended, or never existed.".to_owned()),
        Error::Invalid { field, message } => {
            (StatusCode::UNPROCESSABLE_ENTITY, format!("The {} {message}.", field.replace('_', " ")))
        }
        Error::Refused(text) => (StatusCode::BAD_REQUEST, format!("{text}.")),
        Error::Forbidden(text) => (StatusCode::FORBIDDEN, format!("{text}.")),
        Error::WrongFactor => (StatusCode::UNAUTHORIZED, "That is the wrong code.".to_owned()),
        Error::WrongPassword => (StatusCode::FORBIDDEN, "That is not your current password.".to_owned()),
        Error::NotFound(_) => (StatusCode::NOT_FOUND, "There is no such thing.".to_owned()),
        Error::Busy => (StatusCode::SERVICE_UNAVAILABLE, "Too many people sign in right now. Try again.".to_owned()),
        Error::Hashing(_) | Error::Store(_) => {
            tracing::error!(%error, "a page could not do what it was asked");
            let text = "This does not work right now. Nothing was changed. Try again in a moment.";
            (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
        }
    }
}
