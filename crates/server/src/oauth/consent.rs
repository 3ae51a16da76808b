//! `/oauth/authorize`: the page on which a person lets a client act for them.
//!
//! Nothing is fetched, shown or answered before somebody signed in. A request that is wrong ends on a
//! page with a link, never in a redirect: anybody can register a client and make up a request that would
//! have this server send people wherever they like.

use axum::{
    extract::{Query, rejection::QueryRejection},
    response::Response,
};
use http::{HeaderValue, StatusCode, header};
use minijinja::context;
use preloop_identity::oauth::{Asked, AuthorizeParams, ClientKind, OAuthError, Unaskable, redirect_uri, scope};
use preloop_types::Audience;
use serde::Deserialize;

use super::request::Base;
use crate::page::{
    session::{PageSession, Posted, redirect},
    shell,
};

/// What the form sends: the request as it came, and the answer.
#[derive(Deserialize)]
pub(super) struct Answer {
    #[serde(flatten)]
    params: AuthorizeParams,
    #[serde(default)]
    decision: String,
}

pub(super) async fn ask(
    session: Result<PageSession, Response>,
    Base(base): Base,
    query: Result<Query<AuthorizeParams>, QueryRejection>,
) -> Response {
    let session = match session {
        Ok(session) => session,
        Err(sign_in_first) => return sign_in_first,
    };
    let Ok(Query(params)) = query else {
        let text = "A parameter occurs twice or cannot be read. Go back to the program that sent you here.";
        return session.message(StatusCode::BAD_REQUEST, "This request cannot be read", text);
    };
    match session.authorization().oauth.asked(&base, &params).await {
        Ok(asked) => page(&session, &params, &asked),
        Err(refused) => unaskable(&session, refused),
    }
}

pub(super) async fn answer(Base(base): Base, posted: Posted<Answer>) -> Response {
    let (session, Answer { params, decision }) = match posted.of_person() {
        Ok(posted) => posted,
        Err(sign_in_first) => return sign_in_first,
    };
    let oauth = &session.authorization().oauth;
    let asked = match oauth.asked(&base, &params).await {
        Ok(asked) => asked,
        Err(refused) => return unaskable(&session, refused),
    };
    match decision.as_str() {
        "allow" => match oauth.consent(session.who(), asked, Some(session.client.address.to_string())).await {
            Ok(to) => redirect(to.as_str()),
            Err(error) => unaskable(&session, error.into()),
        },
        "decline" => redirect(asked.declined().as_str()),
        _ => page(&session, &params, &asked),
    }
}

fn page(session: &PageSession, params: &AuthorizeParams, asked: &Asked) -> Response {
    let host = match &asked.client.kind {
        ClientKind::Document { host } => Some(host.as_str()),
        ClientKind::Registered | ClientKind::CommandLine => None,
    };
    let server = match &asked.audience {
        Audience::McpServer(slug) => Some(slug.as_str()),
        Audience::Mcp | Audience::Everything => None,
    };
    let meanings: Vec<&str> = asked.scopes.iter().map(|scope| scope::meaning(*scope)).collect();
    let fields: Vec<(String, String)> = fields(params);
    let mut response = session.page(
        StatusCode::OK,
        "consent.html",
        context! {
            title => "Allow access",
            client => asked.client.title(),
            host,
            server,
            meanings,
            fields,
            place => redirect_uri::place(&asked.redirect_uri),
            username => session.who().username.as_str(),
        },
    );
    shell::form_may_lead_to(&mut response, &redirect_uri::form_action(&asked.redirect_uri));
    never_in_a_frame(&mut response);
    response
}

/// The request's parameters, to be sent again with the answer.
fn fields(params: &AuthorizeParams) -> Vec<(String, String)> {
    let Ok(serde_json::Value::Object(members)) = serde_json::to_value(params) else { return Vec::new() };
    members.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect()
}

fn unaskable(session: &PageSession, refused: Unaskable) -> Response {
    let Unaskable { error: OAuthError { code, description }, back } = refused;
    let status = match StatusCode::from_u16(code.status()) {
        // Not something to sign in for with HTTP's own means.
        Ok(StatusCode::UNAUTHORIZED) | Err(_) => StatusCode::BAD_REQUEST,
        Ok(status) => status,
    };
    let place = back.as_ref().map(redirect_uri::place);
    let back = back.map(String::from);
    session.page(
        status,
        "refused.html",
        context! { title => "Access was not given", code => code.as_str(), description, back, place },
    )
}

/// As the shell's policy says already, for browsers that do not read it.
fn never_in_a_frame(response: &mut Response) {
    response.headers_mut().insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
}
