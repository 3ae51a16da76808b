//! Pages of links that people are sent or handed: setting a password, proving an address, joining.
//!
//! Opening one does nothing, whoever opens it; what its form posts does.

use axum::{Router, extract::Query, response::Response, routing::get};
use http::StatusCode;
use minijinja::{Value, context};
use preloop_identity::{Error, NewPerson};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    session::{Guest, Posted},
    sign_in::told,
};
use crate::{App, api::auth::forgotten};

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/forgot-password", get(forgot).post(send_link))
        .route("/set-password", get(new_password).post(set_password))
        .route("/verify-email", get(unverified).post(verify))
        .route("/register", get(newcomer).post(register))
        .route("/accept-invitation", get(invited).post(accept))
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
struct Address {
    email: String,
}

#[derive(Deserialize)]
struct NewPassword {
    token: String,
    password: SecretString,
    again: SecretString,
}

#[derive(Deserialize)]
struct Newcomer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    email: String,
    username: String,
    full_name: String,
    password: SecretString,
    again: SecretString,
}

impl Newcomer {
    fn person(&self) -> NewPerson {
        NewPerson {
            username: self.username.clone(),
            password: self.password.clone(),
            full_name: Some(self.full_name.clone()),
        }
    }
}

const DIFFERENT: &str = "The two passwords are not the same.";

// === A forgotten password ===

async fn forgot(guest: Guest) -> Response {
    let mail = guest.identity().options().mail;
    guest.page(StatusCode::OK, "forgot_password.html", context! { title => "Forgot your password?", mail })
}

async fn send_link(posted: Posted<Address>) -> Response {
    let Posted { guest, form } = posted;
    if let Err(error) = guest.identity().limit_requests(&form.email, &guest.client) {
        return failed(&guest, &error);
    }
    let text = format!("{}.", forgotten(&guest, form.email));
    guest.message(StatusCode::OK, "Look into your mail", &text)
}

async fn new_password(guest: Guest, Query(link): Query<Link>) -> Response {
    match guest.identity().password_link(&link.token).await {
        Ok(found) => guest.page(StatusCode::OK, "set_password.html", password_form(&found, &link.token, None)),
        Err(error) => failed(&guest, &error),
    }
}

async fn set_password(posted: Posted<NewPassword>) -> Response {
    let Posted { guest, form } = posted;
    let found = match guest.identity().password_link(&form.token).await {
        Ok(found) => found,
        Err(error) => return failed(&guest, &error),
    };
    let again = |status, problem: &str| {
        guest.page(status, "set_password.html", password_form(&found, &form.token, Some(problem)))
    };
    if form.password.expose_secret() != form.again.expose_secret() {
        return again(StatusCode::UNPROCESSABLE_ENTITY, DIFFERENT);
    }
    match guest.identity().set_password(&form.token, &form.password, &guest.client).await {
        Ok(user) => done(&guest, "Your password is set", &format!("You are `{}`. Sign in with it now.", user.username)),
        Err(error @ (Error::Invalid { .. } | Error::Busy)) => {
            let (status, problem) = told(&error);
            again(status, &problem)
        }
        Err(error) => failed(&guest, &error),
    }
}

fn password_form(found: &preloop_identity::PasswordLink, token: &str, problem: Option<&str>) -> Value {
    let title = if found.first { "Choose your password" } else { "Set a new password" };
    context! { title, username => &found.user.username, token, problem }
}

// === An address ===

async fn unverified(guest: Guest, Query(link): Query<Link>) -> Response {
    guest.page(StatusCode::OK, "verify_email.html", context! { title => "Confirm your address", token => link.token })
}

async fn verify(posted: Posted<Link>) -> Response {
    let Posted { guest, form } = posted;
    match guest.identity().verify_email(&form.token).await {
        Ok(user) => done(&guest, "Your address is confirmed", &format!("Mail for `{}` reaches you.", user.username)),
        Err(error) => failed(&guest, &error),
    }
}

// === Newcomers ===

async fn newcomer(guest: Guest) -> Response {
    if !guest.identity().options().registration {
        let text = "Registration is switched off on this server. Ask somebody who is here for an invitation.";
        return guest.message(StatusCode::FORBIDDEN, "Not open", text);
    }
    guest.page(StatusCode::OK, "join.html", joining("Make an account", "/register", None, None))
}

async fn register(posted: Posted<Newcomer>) -> Response {
    let Posted { guest, form } = posted;
    let again = |status, problem: &str| {
        guest.page(status, "join.html", joining("Make an account", "/register", Some(&form), Some(problem)))
    };
    if form.password.expose_secret() != form.again.expose_secret() {
        return again(StatusCode::UNPROCESSABLE_ENTITY, DIFFERENT);
    }
    match guest.identity().register(&form.email, form.person(), &guest.client).await {
        Ok(user) => done(&guest, "Your account is made", &format!("You are `{}`. Sign in now.", user.username)),
        Err(error) => {
            let (status, problem) = told(&error);
            again(status, &problem)
        }
    }
}

async fn invited(guest: Guest, Query(link): Query<Link>) -> Response {
    match guest.identity().invitation(&link.token).await {
        Ok(invitation) => {
            let said = joining("Join", "/accept-invitation", None, None);
            guest.page(StatusCode::OK, "join.html", context! { token => link.token, email => invitation.email, ..said })
        }
        Err(error) => failed(&guest, &error),
    }
}

async fn accept(posted: Posted<Newcomer>) -> Response {
    let Posted { guest, form } = posted;
    let invitation = match guest.identity().invitation(&form.token).await {
        Ok(invitation) => invitation,
        Err(error) => return failed(&guest, &error),
    };
    let again = |status, problem: &str| {
        let said = joining("Join", "/accept-invitation", Some(&form), Some(problem));
        guest.page(status, "join.html", context! { token => &form.token, email => &invitation.email, ..said })
    };
    if form.password.expose_secret() != form.again.expose_secret() {
        return again(StatusCode::UNPROCESSABLE_ENTITY, DIFFERENT);
    }
    match guest.identity().accept_invitation(&form.token, form.person(), &guest.client).await {
        Ok((account, user)) => match guest.sign_in(account, user.id, "invitation", None).await {
            Ok(response) => response,
            Err(_) => done(&guest, "You have joined", "Sign in with your new password."),
        },
        Err(Error::InvalidToken) => failed(&guest, &Error::InvalidToken),
        Err(error) => {
            let (status, problem) = told(&error);
            again(status, &problem)
        }
    }
}

fn joining(title: &str, action: &str, form: Option<&Newcomer>, problem: Option<&str>) -> Value {
    let text = |field: fn(&Newcomer) -> &str| form.map_or("", field).to_owned();
    context! {
        title, action, problem,
        email => text(|form| &form.email),
        username => text(|form| &form.username),
        full_name => text(|form| &form.full_name),
    }
}

fn done(guest: &Guest, title: &str, text: &str) -> Response {
    guest.page(StatusCode::OK, "message.html", context! { title, text, link => "/sign-in", label => "Sign in" })
}

fn failed(guest: &Guest, error: &Error) -> Response {
    let (status, text) = told(error);
    let title = if matches!(error, Error::InvalidToken) { "This link leads nowhere" } else { "This did not work" };
    guest.message(status, title, &text)
}
