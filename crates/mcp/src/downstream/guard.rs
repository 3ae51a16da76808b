//! What is checked of a request before its body is read: where it wants to go, where it comes
//! from, what it brings and what it accepts.

use std::net::IpAddr;

use http::{HeaderMap, StatusCode, Uri, header};
use url::Url;

use super::options::Options;

/// Why a request is refused, and with which status.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) String);

/// The authority a request was sent to, if it is ours. A page that rebinds its own name to our
/// address is known by that name.
pub(super) fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri, options: &Options) -> Result<&'a str, Refusal> {
    let refuse = |what: String| Refusal(StatusCode::FORBIDDEN, what);
    let mut hosts = headers.get_all(header::HOST).iter();
    let authority = match (uri.authority(), hosts.next(), hosts.next()) {
        (_, _, Some(_)) => return Err(refuse("more than one `Host` header".to_owned())),
        (Some(authority), _, _) => authority.as_str(),
        (None, Some(host), None) => host.to_str().map_err(|_| refuse("the `Host` header cannot be read".to_owned()))?,
        (None, None, None) => return Err(refuse("the `Host` header is missing".to_owned())),
    };
    let name = name_of(authority);
    let configured = options.hosts.iter().any(|host| host.eq_ignore_ascii_case(name))
        || options
            .public_url
            .as_ref()
            .and_then(Url::host_str)
            .is_some_and(|host| host.trim_matches(['[', ']']).eq_ignore_ascii_case(name));
    let unrestricted = !options.loopback && options.hosts.is_empty() && options.public_url.is_none();
    if configured || unrestricted || (options.loopback && is_loopback(name)) {
        Ok(authority)
    } else {
        Err(refuse(format!("`{}` is not a name of this server; allow it in its settings", name.escape_debug())))
    }
}

/// The host of an authority, without port and brackets.
fn name_of(authority: &str) -> &str {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, rest)| rest);
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => authority.split_once(':').map_or(authority, |(name, _)| name),
    }
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Refuses what a page of another origin sends. Programs other than browsers send no `Origin`.
pub(super) fn origin(headers: &HeaderMap, authority: &str, options: &Options) -> Result<(), Refusal> {
    let refuse = |what: String| Err(Refusal(StatusCode::FORBIDDEN, what));
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else { return Ok(()) };
    if origins.next().is_some() {
        return refuse("more than one `Origin` header".to_owned());
    }
    let Ok(origin) = origin.to_str() else { return refuse("the `Origin` header cannot be read".to_owned()) };
    let own = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))
        .is_some_and(|rest| rest.eq_ignore_ascii_case(authority));
    let public = options.public_url.as_ref().is_some_and(|url| url.origin().ascii_serialization() == origin);
    let configured = options.origins.iter().any(|allowed| allowed.trim_end_matches('/').eq_ignore_ascii_case(origin));
    if own || public || configured {
        Ok(())
    } else {
        refuse(format!("origin `{}` is not allowed; allow it in the server's settings", origin.escape_debug()))
    }
}

/// The bearer credential, if there is exactly one.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return None };
    let (scheme, credential) = value.to_str().ok()?.split_once(' ')?;
    let credential = credential.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !credential.is_empty()).then_some(credential)
}

/// Only JSON is read.
pub(super) fn content_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = given.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        Ok(())
    } else {
        Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send `Content-Type: application/json`".to_owned()))
    }
}

/// What a client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accept {
    pub(super) json: bool,
    pub(super) events: bool,
}

impl Accept {
    /// Clients ought to list both kinds; one that says nothing, or `*/*`, reads both.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        if !headers.contains_key(header::ACCEPT) {
            return Self { json: true, events: true };
        }
        let mut accept = Self { json: false, events: false };
        let values = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
        for range in values.flat_map(|value| value.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default();
            if parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000")) {
                continue;
            }
            let is = |one: &str| media_type.eq_ignore_ascii_case(one);
            accept.json |= is("application/json") || is("application/*") || is("*/*");
            accept.events |= is("text/event-stream") || is("text/*") || is("*/*");
        }
        accept
    }

    pub(super) fn anything(self) -> Result<Self, Refusal> {
        if self.json || self.events { Ok(self) } else { Err(not_acceptable("application/json, text/event-stream")) }
    }

    pub(super) fn events(self) -> Result<(), Refusal> {
        if self.events { Ok(()) } else { Err(not_acceptable("text/event-stream")) }
    }
}

fn not_acceptable(wanted: &str) -> Refusal {
    Refusal(StatusCode::NOT_ACCEPTABLE, format!("send `Accept: {wanted}`"))
}
