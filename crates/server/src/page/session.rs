//! Who is signed in on a page.
//!
//! A browser's session is a cookie that holds an access token of kind `login`. Only pages read it: the REST API
//! takes credentials from the `Authorization` header alone, so no web page can make a browser call it. Every form
//! carries a token bound to a second cookie and to the session ([`Posted`] checks it), and has to come from our
//! own origin.
//!
//! A page takes a [`Guest`] (anybody), a [`PageSession`] (somebody signed in; others are sent to sign in first) or
//! a [`Posted`] form.

use std::{ops::Deref, sync::Arc};

use axum::{
    Form,
    body::{Body, Bytes},
    extract::{FromRequest, FromRequestParts, Request},
    response::{IntoResponse, Response},
};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header, request::Parts};
use minijinja::{Value, context};
use preloop_govern::IdentifyError;
use preloop_identity::{
    Client,
    tokens::{Lifetimes, Tokens},
};
use preloop_types::{AccountId, CredentialKind, Hash, Principal, UserId};
use secrecy::ExposeSecret;
use serde::de::DeserializeOwned;
use url::{Url, form_urlencoded};

use super::shell;
use crate::{App, caller::Via, error::ApiError};

/// Anybody who looks at a page, signed in or not.
pub(crate) struct Guest {
    app: App,
    /// What they look with, and from where.
    pub(crate) client: Client,
    session: Option<Session>,
    form_key: String,
    form_key_is_new: bool,
    attempt: Option<String>,
}

struct Session {
    who: Arc<Principal>,
    token: String,
}

/// Somebody who is signed in on a page.
pub(crate) struct PageSession {
    guest: Guest,
    who: Arc<Principal>,
}

/// A form that was filled in on our own page.
pub(crate) struct Posted<T> {
    /// Who sent it.
    pub(crate) guest: Guest,
    /// What it says.
    pub(crate) form: T,
}

impl Guest {
    /// Who is signed in.
    pub(crate) fn who(&self) -> Option<&Arc<Principal>> {
        self.session.as_ref().map(|session| &session.who)
    }

    /// What the forms of this guest carry in their field `csrf`.
    pub(crate) fn csrf(&self) -> String {
        let session = self.session.as_ref().map_or("", |session| &session.token);
        let token = Hash::of_parts(&[b"preloop/csrf/v1", self.form_key.as_bytes(), b"/", session.as_bytes()]);
        BASE64_URL_SAFE_NO_PAD.encode(token.0)
    }

    /// A page of ours; what it says needs no `csrf`.
    pub(crate) fn page(&self, status: StatusCode, template: &str, said: Value) -> Response {
        self.shown(shell::page(status, template, &self.csrf(), said))
    }

    /// A page that only says something.
    pub(crate) fn message(&self, status: StatusCode, title: &str, text: &str) -> Response {
        self.page(status, "message.html", context! { title, text })
    }

    /// Lets the browser keep what its forms are bound to.
    pub(crate) fn shown(&self, mut response: Response) -> Response {
        if self.form_key_is_new {
            let [_, form, _] = cookie_names(self.app.public_url());
            set_cookie(&mut response, self.app.public_url(), form, &self.form_key);
        }
        response
    }

    /// Signs somebody in who proved elsewhere who they are, and goes on to `next`, one of our own paths.
    pub(crate) async fn sign_in(
        &self,
        account: AccountId,
        user: UserId,
        via: &'static str,
        next: Option<&str>,
    ) -> Result<Response, ApiError> {
        let tokens = self.identity().sign_in_as(account, user, &self.client, via, Lifetimes::BROWSER).await?;
        Ok(self.signed_in(&tokens, next))
    }

    /// Keeps a session in the browser and goes on to `next`.
    pub(crate) fn signed_in(&self, tokens: &Tokens, next: Option<&str>) -> Response {
        let mut response = redirect(&self.destination(next));
        let [session, ..] = cookie_names(self.app.public_url());
        set_cookie(&mut response, self.app.public_url(), session, tokens.access.expose_secret());
        self.shown(response)
    }

    /// Forgets the session in the browser and goes on to `to`.
    pub(super) fn signed_out(&self, to: &str) -> Response {
        let mut response = redirect(to);
        let [session, ..] = cookie_names(self.app.public_url());
        set_cookie(&mut response, self.app.public_url(), session, "");
        response
    }

    /// What the browser keeps while it is at an identity provider.
    pub(super) fn attempt(&self) -> Option<&str> {
        self.attempt.as_deref()
    }

    /// Lets the browser keep that; nothing when empty.
    pub(super) fn keep_attempt(&self, response: &mut Response, attempt: &str) {
        let [.., kept] = cookie_names(self.app.public_url());
        set_cookie(response, self.app.public_url(), kept, attempt);
    }

    /// Where to go after signing in: `next` if it is a path of ours, else the page about oneself.
    pub(super) fn destination(&self, next: Option<&str>) -> String {
        next.and_then(|next| own_path(self.app.public_url(), next)).unwrap_or_else(|| "/account".to_owned())
    }
}

impl Deref for Guest {
    type Target = App;

    fn deref(&self) -> &App {
        &self.app
    }
}

impl PageSession {
    /// Who is signed in.
    pub(crate) fn who(&self) -> &Arc<Principal> {
        &self.who
    }
}

impl Deref for PageSession {
    type Target = Guest;

    fn deref(&self) -> &Guest {
        &self.guest
    }
}

impl FromRequestParts<App> for Guest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let [session, form, attempt] = cookie_names(app.public_url());
        let Ok(Via(client)) = Via::from_request_parts(parts, app).await;
        let session = match cookie(&parts.headers, session) {
            Some(token) => session_of(app, token).await?,
            None => None,
        };
        let kept = cookie(&parts.headers, form).filter(|key| key.len() == 43);
        Ok(Self {
            app: app.clone(),
            client,
            session,
            attempt: cookie(&parts.headers, attempt).map(str::to_owned),
            form_key_is_new: kept.is_none(),
            form_key: kept.map_or_else(|| BASE64_URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()), str::to_owned),
        })
    }
}

impl FromRequestParts<App> for PageSession {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let guest = Guest::from_request_parts(parts, app).await?;
        if let Some(who) = guest.who().cloned() {
            return Ok(Self { guest, who });
        }
        // What was sent to a page is lost; where it came from is not.
        let there = parts.uri.path_and_query().filter(|_| parts.method == Method::GET);
        let mut to = "/sign-in".to_owned();
        if let Some(there) = there {
            let next: String = form_urlencoded::byte_serialize(there.as_str().as_bytes()).collect();
            to = format!("{to}?next={next}");
        }
        Err(redirect(&to))
    }
}

impl<T: DeserializeOwned> FromRequest<App> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let guest = Guest::from_request_parts(&mut parts, app).await?;
        let foreign = || {
            let text = "The form came from another web page, or was open for too long. Nothing was changed. Go back, \
                        reload the page and try again.";
            guest.message(StatusCode::FORBIDDEN, "This form cannot be used", text)
        };
        if !from_own_page(&parts.headers, app.public_url()) {
            return Err(foreign());
        }
        let body = Bytes::from_request(Request::from_parts(parts.clone(), body), app).await;
        let body = body.map_err(IntoResponse::into_response)?;
        let token = form_urlencoded::parse(&body).find(|(name, _)| name == "csrf").map(|(_, token)| token);
        let expected = guest.csrf();
        if guest.form_key_is_new || token.is_none_or(|token| Hash::of(token.as_bytes()) != Hash::of(&expected)) {
            return Err(foreign());
        }
        let form = Form::<T>::from_request(Request::from_parts(parts, Body::from(body)), app).await;
        if let Ok(Form(form)) = form {
            return Ok(Self { guest, form });
        }
        let text = "Something is missing in the form. Nothing was changed. Go back and try again.";
        Err(guest.message(StatusCode::BAD_REQUEST, "This form is not complete", text))
    }
}

impl<T> Posted<T> {
    /// The form of somebody who has to be signed in.
    #[expect(clippy::result_large_err, reason = "the error is the answer, as everywhere in a page")]
    pub(crate) fn of_person(self) -> Result<(PageSession, T), Response> {
        match self.guest.who().cloned() {
            Some(who) => Ok((PageSession { guest: self.guest, who }, self.form)),
            None => Err(redirect("/sign-in")),
        }
    }
}

/// Goes on to one of our own pages, with a `GET`.
pub(crate) fn redirect(to: &str) -> Response {
    let location = HeaderValue::from_str(to).unwrap_or_else(|_| HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

async fn session_of(app: &App, token: &str) -> Result<Option<Session>, Response> {
    match app.governor().identify(token).await {
        // API keys and clients' tokens are no browser's session.
        Ok(who) if who.credential == CredentialKind::Login => Ok(Some(Session { who, token: token.to_owned() })),
        Ok(_) | Err(IdentifyError::Unknown | IdentifyError::Expired | IdentifyError::AgentHalted(_)) => Ok(None),
        Err(IdentifyError::Unavailable(error)) => Err(ApiError::from(error).into_response()),
    }
}

/// The names of the session's cookie, of the forms', and of a journey to an identity provider. `__Host-` keeps other hosts and plain HTTP from setting
/// them; a browser takes such a cookie only over HTTPS, so on this machine they go without.
fn cookie_names(public_url: &Url) -> [&'static str; 3] {
    if is_plain_loopback(public_url) {
        ["preloop", "preloop-form", "preloop-sso"]
    } else {
        ["__Host-preloop", "__Host-preloop-form", "__Host-preloop-sso"]
    }
}

/// Whether people reach this instance on their own machine, unencrypted.
pub(super) fn is_plain_loopback(public_url: &Url) -> bool {
    let loopback = match public_url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    public_url.scheme() == "http" && loopback
}

fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(found, _)| *found == name).map(|(_, value)| value).filter(|value| !value.is_empty())
}

/// Sets a cookie until the browser is closed; an empty one is forgotten at once.
fn set_cookie(response: &mut Response, public_url: &Url, name: &str, value: &str) {
    let secure = if is_plain_loopback(public_url) { "" } else { "; Secure" };
    let over = if value.is_empty() { "; Max-Age=0" } else { "" };
    let line = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{over}");
    if let Ok(line) = HeaderValue::from_str(&line) {
        response.headers_mut().append(header::SET_COOKIE, line);
    }
}

/// Whether a form came from one of our own pages, as far as the browser says.
fn from_own_page(headers: &HeaderMap, public_url: &Url) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text("origin") else { return true };
    let host = text("host").unwrap_or_default();
    origin == public_url.origin().ascii_serialization()
        || (!host.is_empty() && origin.split_once("://").is_some_and(|(_, origin)| origin == host))
}

/// `path` if it leads to a page of ours, whatever a browser makes of it.
pub(crate) fn own_path(public_url: &Url, path: &str) -> Option<String> {
    let plain = path.starts_with('/') && !path.contains(|c: char| c.is_control() || c == '\\') && path.len() <= 4_096;
    let url = public_url.join(path).ok().filter(|url| plain && url.origin() == public_url.origin())?;
    let path = url.path();
    // A path of `//host` would be a host to the browser.
    (!path.starts_with("//")).then(|| match url.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_paths_are_gone_to() {
        let ours: Url = "https://preloop.example/".parse().unwrap();
        for (path, there) in [
            ("/oauth/authorize?client_id=a%20b&x=1", Some("/oauth/authorize?client_id=a%20b&x=1")),
            ("/", Some("/")),
            ("/a/../b#c", Some("/b")),
            ("//evil.example/", None),
            ("/\\evil.example", None),
            ("/\t/evil.example", None),
            ("/..//evil.example", None),
            ("https://evil.example/", None),
            ("https:evil.example", None),
            ("javascript:alert(1)", None),
            ("account", None),
            ("", None),
        ] {
            assert_eq!(own_path(&ours, path).as_deref(), there, "{path}");
        }
    }

    #[test]
    fn cookies_are_bound_to_the_host_unless_it_is_this_machine() {
        let names = |url: &str| cookie_names(&url.parse().unwrap())[0];
        assert_eq!(names("https://preloop.example"), "__Host-preloop");
        assert_eq!(names("http://192.168.1.7:8000"), "__Host-preloop");
        assert_eq!(names("https://localhost"), "__Host-preloop");
        for local in ["http://localhost:8000", "http://127.0.0.1", "http://[::1]:1"] {
            assert_eq!(names(local), "preloop", "{local}");
        }
    }

    #[test]
    fn forms_of_other_pages_are_known_by_their_origin() {
        let ours: Url = "https://preloop.example".parse().unwrap();
        let own = |lines: &[(&'static str, &'static str)]| {
            let headers = lines
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_static(value)));
            from_own_page(&headers.collect(), &ours)
        };
        assert!(own(&[("sec-fetch-site", "same-origin"), ("origin", "https://preloop.example")]));
        assert!(own(&[("origin", "https://preloop.example")]));
        assert!(own(&[("origin", "http://127.0.0.1:8000"), ("host", "127.0.0.1:8000")]));
        assert!(own(&[]));
        assert!(!own(&[("sec-fetch-site", "same-site")]));
        assert!(!own(&[("sec-fetch-site", "cross-site"), ("origin", "https://preloop.example")]));
        assert!(!own(&[("origin", "null")]));
        assert!(!own(&[("origin", "https://preloop.example.evil.example"), ("host", "preloop.example")]));
    }
}
