//! The REST API as commands call it: typed bodies in, typed answers or a [`Failure`] out.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use preloop_api_types::{Detail, ErrorBody};
use preloop_types::text::{one_line, shortened};
use reqwest::{Method, Request, RequestBuilder, Response, StatusCode, header};
use secrecy::{ExposeSecret, SecretString};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use crate::{
    cli::Global,
    credentials::{self, Credentials},
    failure::{Exit, Failure, Result},
    session,
};

/// Longest wait for an answer. Scans of slow servers are the slowest thing asked for.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Where the server is when nothing says otherwise.
const LOCAL: &str = "http://127.0.0.1:8000";

/// A signed-in client of one server.
pub(crate) struct Client {
    http: reqwest::Client,
    base: Url,
    token: Mutex<Option<SecretString>>,
    /// The token is a sign-in's from the credentials file: it can be renewed.
    renewable: bool,
}

impl Client {
    /// Finds server and credential: the flag, the environment, the credentials file, in this order.
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let kept = Credentials::read(&credentials::path()?)?;
        let base = match &global.url {
            Some(url) => url.clone(),
            None => parse_url(kept.default.as_deref().unwrap_or(LOCAL))?,
        };
        let credential = kept.of(&base);
        let token = match &global.token {
            Some(token) => Some(token.clone()),
            None => credential.and_then(|credential| credential.bearer()).map(SecretString::from),
        };
        if token.is_some() {
            protected(global, &base)?;
        }
        let renewable = global.token.is_none() && credential.is_some_and(|credential| credential.login.is_some());
        let http = reqwest::Client::builder()
            .user_agent(concat!("preloop-cli/", env!("CARGO_PKG_VERSION")))
            // A token must not follow a redirect to somebody else.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(Duration::from_secs(10))
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| Failure::new(Exit::Failure, format!("no HTTP client: {error}")))?;
        Ok(Self { http, base, token: Mutex::new(token), renewable })
    }

    /// A client of the same server with no credential.
    pub(crate) fn nobody(global: &Global) -> Result<Self> {
        let client = Self::new(global)?;
        protected(global, &client.base)?;
        Ok(Self { token: Mutex::default(), renewable: false, ..client })
    }

    /// The server.
    pub(crate) fn server(&self) -> &Url {
        &self.base
    }

    /// The server's URL, without a trailing slash.
    pub(crate) fn base(&self) -> &str {
        self.base.as_str().trim_end_matches('/')
    }

    /// Reads the credential anew, for those who run long enough to see it replaced.
    pub(crate) fn credential(&self, global: &Global) -> impl Fn() -> std::io::Result<String> + Send + Sync + 'static {
        let (given, base, http) = (global.token.clone(), self.base.clone(), self.http.clone());
        move || {
            if let Some(token) = &given {
                return Ok(token.expose_secret().to_owned());
            }
            let kept = credentials::path().and_then(|path| Credentials::read(&path)).map_err(std::io::Error::other)?;
            let missing = || std::io::Error::other(format!("there is no credential for `{base}`"));
            let credential = kept.of(&base).ok_or_else(missing)?;
            match &credential.login {
                Some(login) if login.is_over() => session::renewed_blocking(&http, &base, &login.access),
                _ => credential.bearer().map(str::to_owned).ok_or_else(missing),
            }
        }
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        json(self.send(self.request(Method::GET, path)?).await?).await
    }

    pub(crate) async fn list<Q: Serialize, T: DeserializeOwned>(&self, path: &str, query: &Q) -> Result<T> {
        json(self.send(self.request(Method::GET, path)?.query(query)).await?).await
    }

    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        json(self.send(self.request(Method::POST, path)?.json(body)).await?).await
    }

    pub(crate) async fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        json(self.send(self.request(Method::PUT, path)?.json(body)).await?).await
    }

    pub(crate) async fn patch<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T> {
        json(self.send(self.request(Method::PATCH, path)?.json(body)).await?).await
    }

    /// Sends a policy document with options as the query.
    pub(crate) async fn post_document<Q: Serialize, T: DeserializeOwned>(
        &self,
        path: &str,
        query: &Q,
        document: String,
    ) -> Result<T> {
        let request = self.request(Method::POST, path)?.query(query);
        let request = request.header(header::CONTENT_TYPE, "application/yaml").body(document);
        json(self.send(request).await?).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result {
        self.send(self.request(Method::DELETE, path)?).await.map(drop)
    }

    /// An answer to be read bit by bit, however long it takes.
    pub(crate) async fn stream<Q: Serialize>(&self, path: &str, query: &Q) -> Result<Response> {
        self.send(self.request(Method::GET, path)?.query(query).timeout(Duration::from_hours(24))).await
    }

    /// An error to show for an answer that broke off.
    pub(crate) fn broken(&self, error: reqwest::Error) -> Failure {
        self.unreachable(error)
    }

    /// A request to a path, signed in.
    pub(crate) fn request(&self, method: Method, path: &str) -> Result<RequestBuilder> {
        let url = format!("{}{path}", self.base());
        let url = parse_url(&url)?;
        let request = self.http.request(method, url);
        Ok(match self.token() {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        })
    }

    /// Sends a request; anything but success is a failure. Where the server does not know the token of a
    /// sign-in any more, it is renewed, once.
    pub(crate) async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let again = request.try_clone().filter(|_| self.renewable);
        let response = request.send().await.map_err(|error| self.unreachable(error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(again) = again.and_then(|again| again.build().ok())
            && let Some(again) = self.renewed(again).await?
        {
            let response = self.http.execute(again).await.map_err(|error| self.unreachable(error))?;
            return if response.status().is_success() { Ok(response) } else { Err(self.refused(response).await) };
        }
        Err(self.refused(response).await)
    }

    /// The same request with a renewed token; `None` if the sign-in is over.
    async fn renewed(&self, mut request: Request) -> Result<Option<Request>> {
        let Some(stale) = self.token() else { return Ok(None) };
        let Some(token) = session::renewed(&self.http, &self.base, stale.expose_secret()).await? else {
            return Ok(None);
        };
        let header = header::HeaderValue::try_from(format!("Bearer {token}"));
        let header = header.map_err(|_| Failure::new(Exit::Failure, "the server gave a token that cannot be sent"))?;
        request.headers_mut().insert(header::AUTHORIZATION, header);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(SecretString::from(token));
        Ok(Some(request))
    }

    fn token(&self) -> Option<SecretString> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sends a form to an OAuth endpoint; its answer, whatever it is.
    pub(crate) async fn form(&self, path: &str, form: &[(&str, &str)]) -> Result<Response> {
        let sent = self.http.post(parse_url(&format!("{}{path}", self.base()))?).form(form).send().await;
        sent.map_err(|error| self.unreachable(error))
    }

    fn unreachable(&self, error: reqwest::Error) -> Failure {
        let error = error.without_url();
        let why = std::iter::successors(std::error::Error::source(&error), |cause| cause.source())
            .last()
            .map_or_else(|| error.to_string(), ToString::to_string);
        Failure::new(Exit::Unreachable, format!("cannot reach the server at `{}`: {why}", self.base()))
            .help("is it running? `preloop serve` starts one; `--url` or PRELOOP_URL names another")
    }

    async fn refused(&self, response: Response) -> Failure {
        let status = response.status();
        let body = response.text().await.unwrap_or_default();
        let said = said(&body).unwrap_or_else(|| format!("the server at `{}` answered {status}", self.base()));
        match status {
            StatusCode::UNAUTHORIZED if self.token().is_none() => {
                Failure::new(Exit::Forbidden, format!("the server at `{}` wants a credential", self.base())).help(
                    "run `preloop login`, or set PRELOOP_TOKEN; the owner's first key was printed when the server \
                     first started",
                )
            }
            StatusCode::UNAUTHORIZED if self.renewable => {
                Failure::new(Exit::Forbidden, format!("you are not signed in to `{}` any more", self.base()))
                    .help("run `preloop login`")
            }
            StatusCode::UNAUTHORIZED => Failure::new(Exit::Forbidden, said).help(format!(
                "the token for `{}` is wrong, expired or revoked; PRELOOP_TOKEN sets another",
                self.base()
            )),
            StatusCode::FORBIDDEN => Failure::new(Exit::Forbidden, said),
            StatusCode::NOT_FOUND => Failure::new(Exit::NotFound, said),
            StatusCode::CONFLICT => Failure::new(Exit::Conflict, said),
            StatusCode::BAD_REQUEST if said.contains("already") => Failure::new(Exit::Conflict, said),
            status if status.is_redirection() => {
                Failure::new(Exit::Unreachable, format!("the server at `{}` answers with a redirect", self.base()))
                    .help("name its final address with `--url`")
            }
            _ => Failure::new(Exit::Failure, said),
        }
    }
}

/// Refuses to send a token where it could be read on its way.
fn protected(global: &Global, base: &Url) -> Result {
    if global.insecure_http || protects(base) {
        return Ok(());
    }
    Err(Failure::usage(format!("`{base}` is plain HTTP: the token could be read on its way"))
        .help("use https, or `--insecure-http` if the network between is yours"))
}

/// Whether a token may travel there: TLS, or not leaving this machine.
fn protects(url: &Url) -> bool {
    match url.host() {
        _ if url.scheme() == "https" => true,
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// What an error's body says, for people.
fn said(body: &str) -> Option<String> {
    let ErrorBody { detail } = serde_json::from_str(body).ok()?;
    let text = match detail {
        Detail::Text(text) => text,
        Detail::Fields(fields) => {
            let place = |loc: &[serde_json::Value]| {
                let parts =
                    loc.iter().skip(1).map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned));
                parts.collect::<Vec<_>>().join(".")
            };
            let fields = fields.iter().map(|field| format!("`{}`: {}", place(&field.loc), field.msg));
            fields.collect::<Vec<_>>().join("; ")
        }
        Detail::Object(facts) => {
            let message = facts.get("message").and_then(|message| message.as_str()).unwrap_or_default();
            let errors = facts.get("errors").and_then(|errors| errors.as_array()).into_iter().flatten();
            let errors = errors.map(|error| match error.as_str() {
                Some(text) => text.to_owned(),
                None => error.get("message").and_then(|text| text.as_str()).unwrap_or_default().to_owned(),
            });
            std::iter::once(message.to_owned()).chain(errors).collect::<Vec<_>>().join("\n  ")
        }
    };
    (!text.is_empty()).then(|| shortened(&text, 4_000).into_owned())
}

async fn json<T: DeserializeOwned>(response: Response) -> Result<T> {
    let url = one_line(response.url().path());
    let body = response.bytes().await.map_err(|error| {
        Failure::new(Exit::Unreachable, format!("the answer to `{url}` broke off: {}", error.without_url()))
    })?;
    // Deletions and the like answer with nothing.
    let body: &[u8] = if body.is_empty() { b"null" } else { &body };
    serde_json::from_slice(body).map_err(|error| {
        Failure::new(Exit::Failure, format!("the answer to `{url}` is not understood: {error}"))
            .help("is this a Preloop server of the same version? `preloop version` tells")
    })
}

/// Reads a server's URL.
pub(crate) fn parse_url(text: &str) -> Result<Url> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(url),
        Ok(_) => Err(Failure::usage(format!("`{text}` is not an http or https URL"))),
        Err(error) => Err(Failure::usage(format!("`{text}` is not a URL: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_travels_only_under_protection() {
        let safe = ["https://preloop.example", "http://127.0.0.1:8000", "http://[::1]:8000", "http://localhost:80"];
        let unsafe_ = ["http://preloop.example", "http://10.0.0.1", "http://127.0.0.1.evil.example"];
        assert!(safe.iter().all(|url| protects(&url.parse().unwrap())));
        assert!(!unsafe_.iter().any(|url| protects(&url.parse().unwrap())));
    }

    #[test]
    fn every_shape_of_error_reads_as_a_sentence() {
        assert_eq!(said(r#"{"detail":"server `x` not found"}"#).unwrap(), "server `x` not found");
        assert_eq!(
            said(r#"{"detail":[{"loc":["body","rules",0],"msg":"no","type":"value_error"}]}"#).unwrap(),
            "`rules.0`: no"
        );
        assert_eq!(
            said(r#"{"detail":{"message":"invalid policy","errors":["a",{"path":"$","message":"b"}]}}"#).unwrap(),
            "invalid policy\n  a\n  b"
        );
        assert_eq!(said("<html>"), None);
    }
}
