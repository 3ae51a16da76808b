//! `/account`: what one can change about how one signs in.

use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{StatusCode, header};
use minijinja::{Value, context};
use preloop_identity::Error;
use preloop_types::{GrantId, PasskeyId, Subject, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::{
    session::{PageSession, Posted},
    sign_in::told,
};
use crate::App;

pub(super) fn router() -> Router<App> {
    Router::new()
        .route("/account", get(show))
        .route("/account/password", post(change_password))
        .route("/account/sessions", post(end_session))
        .route("/account/totp", post(enrol_totp))
        .route("/account/totp/confirm", post(confirm_totp))
        .route("/account/totp/remove", post(remove_totp))
        .route("/account/recovery-codes", post(new_recovery_codes))
        .route("/account/passkeys/options", post(ask_passkey))
        .route("/account/passkeys", post(add_passkey))
        .route("/account/passkeys/remove", post(remove_passkey))
        .route("/pages/passkeys.js", get(script))
}

#[derive(Deserialize)]
struct Password {
    #[serde(default)]
    password: SecretString,
}

#[derive(Deserialize)]
struct NewPassword {
    #[serde(default)]
    password: SecretString,
    new_password: SecretString,
}

#[derive(Deserialize)]
struct One<Id> {
    id: Id,
    #[serde(default)]
    password: SecretString,
}

#[derive(Deserialize)]
struct Confirmation {
    secret: String,
    uri: String,
    code: String,
}

#[derive(Deserialize)]
struct Passkey {
    name: String,
    credential: String,
}

async fn show(session: PageSession) -> Response {
    page(&session, StatusCode::OK, context! {}).await
}

async fn change_password(posted: Posted<NewPassword>) -> Result<Response, Response> {
    let (session, form) = posted.of_person()?;
    let (identity, who) = (session.identity(), session.who());
    let changed = identity.change_password(who, &form.password, &form.new_password, &session.client).await;
    Ok(after(&session, changed, "Your password is changed. Wherever else you were signed in, you no longer are.").await)
}

async fn end_session(posted: Posted<One<GrantId>>) -> Result<Response, Response> {
    let (session, form) = posted.of_person()?;
    let who = session.who();
    if who.impersonator.is_some() {
        let refused: Result<(), _> = Err(Error::Forbidden("only the person themselves can do this".to_owned()));
        return Ok(after(&session, refused, "").await);
    }
    let ended = session.identity().end(who.account, Subject::from(&**who), who.user, form.id, "revoked").await;
    Ok(after(&session, ended, "That session has ended.").await)
}

async fn enrol_totp(posted: Posted<Password>) -> Result<Response, Response> {
    let (session, form) = posted.of_person()?;
    match session.identity().enrol_totp(session.who(), &form.password, &session.client).await {
        Ok(new) => Ok(totp(&session, StatusCode::OK, new.secret.expose_secret(), new.uri.expose_secret(), None)),
        Err(error) => Ok(after(&session, Err::<(), _>(error), "").await),
    }
}

async fn confirm_totp(posted: Posted<Confirmation>) -> Result<Response, Response> {
    let (session, form) = posted.of_person()?;
    match session.identity().confirm_totp(session.who(), &form.code, &session.client).await {
        Ok(codes) => Ok(codes_or_account(&session, &codes, "Your authenticator app is added.").await),
        Err(error) => {
            let (status, problem) = told(&error);
            let uri = if form.uri.starts_with("otpauth://") { &form.uri } else { "" };
            Ok(totp(&session, status, &form.secret, uri, Some(&problem)))
        }
    }
}

async fn remove_totp(posted: Posted<Password>) -> Result<Response, Response> {
    let (session, form) = posted.of_person()?;
    let removed = session.identity().remove_totp(session.who(), &form.password, &session.client).await;
    Ok(after(&session, removed, "The authenticator app is removed.").await)
}

async fn new_recovery_codes(posted: Posted<Password>) -> Result<Response, Response> {
    let (session, form) = posted.of_person()?;
    match session.identity().new_recovery_codes(session.who(), &form.password, &session.client).await {
        Ok(codes) => Ok(codes_or_account(&session, &codes, "").await),
        Err(error) => Ok(after(&session, Err::<(), _>(error), "").await),
    }
}

/// For the page's script.
async fn ask_passkey(posted: Posted<Password>) -> Result<Response, Response> {
    let (session, form) = posted.of_person()?;
    let asked = session.identity().new_passkey(session.who(), &form.password, &session.client).await;
    Ok(for_script(asked))
}

async fn add_passkey(posted: Posted<Passkey>) -> Result<Response, Response> {
    let (session, form) = posted.of_person()?;
    match session.identity().add_passkey(session.who(), &form.name, &form.credential).await {
        Ok((_, codes)) => Ok(codes_or_account(&session, &codes, "Your passkey is added.").await),
        Err(error) => Ok(after(&session, Err::<(), _>(error), "").await),
    }
}

async fn remove_passkey(posted: Posted<One<PasskeyId>>) -> Result<Response, Response> {
    let (session, form) = posted.of_person()?;
    let removed = session.identity().remove_passkey(session.who(), form.id, &form.password, &session.client).await;
    Ok(after(&session, removed, "The passkey is removed.").await)
}

async fn script() -> Response {
    const SCRIPT: &str = include_str!("people/passkeys.js");
    let headers = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, SCRIPT).into_response()
}

/// What a page's script asked for, or why it does not get it.
pub(super) fn for_script(asked: preloop_identity::Result<serde_json::Value>) -> Response {
    match asked {
        Ok(options) => axum::Json(options).into_response(),
        Err(error) => {
            let (status, detail) = told(&error);
            (status, axum::Json(serde_json::json!({ "detail": detail }))).into_response()
        }
    }
}

/// The page again, with what came of something.
async fn after<T>(session: &PageSession, came: preloop_identity::Result<T>, notice: &str) -> Response {
    match came {
        Ok(_) => page(session, StatusCode::OK, context! { notice }).await,
        Err(error) => {
            let (status, problem) = told(&error);
            page(session, status, context! { problem }).await
        }
    }
}

async fn codes_or_account(session: &PageSession, codes: &[SecretString], notice: &str) -> Response {
    if codes.is_empty() {
        return page(session, StatusCode::OK, context! { notice }).await;
    }
    let codes: Vec<String> = codes.iter().map(|code| code.expose_secret().to_owned()).collect();
    session.page(StatusCode::OK, "recovery_codes.html", context! { title => "Your recovery codes", codes, notice })
}

fn totp(session: &PageSession, status: StatusCode, secret: &str, uri: &str, problem: Option<&str>) -> Response {
    session.page(status, "totp.html", context! { title => "Add an authenticator app", secret, uri, problem })
}

async fn page(session: &PageSession, status: StatusCode, said: Value) -> Response {
    match facts(session).await {
        Ok(facts) => session.page(status, "account.html", context! { ..said, ..facts }),
        Err(error) => {
            let (status, text) = told(&error);
            session.message(status, "Your account cannot be shown", &text)
        }
    }
}

async fn facts(session: &PageSession) -> preloop_identity::Result<Value> {
    let who = session.who();
    let data = session.store().account(who.account);
    let user = data.user(who.user).await?.ok_or(Error::NotFound("user"))?;
    let factors = session.identity().factors(who).await?;
    let grants = data.grants_of(who.user, session.store().now()).await?;
    let sessions: Vec<Value> = grants
        .iter()
        .map(|grant| {
            let (client, address) = (grant.client.as_str(), grant.address.as_deref());
            let current = grant.id.0 == who.key.0;
            context! { id => grant.id.to_string(), client, address, current, since => day(grant.created_at) }
        })
        .collect();
    let passkeys: Vec<Value> = factors
        .passkeys
        .iter()
        .map(|key| context! { id => key.id.to_string(), name => key.name.as_str(), since => day(key.created_at) })
        .collect();
    Ok(context! {
        title => "Your account",
        username => user.username,
        email => user.email,
        verified => user.email_verified,
        totp => factors.totp.map(day),
        recovery_codes => factors.recovery_codes,
        sessions,
        passkeys,
    })
}

fn day(at: Timestamp) -> String {
    at.to_datetime().format("%-d %B %Y").to_string()
}
