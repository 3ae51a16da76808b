//! The credential of a request, wherever its dialect's clients put it.

use http::{HeaderMap, header::AUTHORIZATION};
use preloop_dialects::Dialect;

/// The credential, if the request carries one where `dialect`'s clients put theirs.
pub(crate) fn credential<'r>(dialect: Dialect, headers: &'r HeaderMap, query: Option<&'r str>) -> Option<&'r str> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let found = match dialect {
        Dialect::Messages => header("x-api-key").or_else(|| authorization(headers)),
        Dialect::Gemini => header("x-goog-api-key")
            .or_else(|| key_in(query?))
            .or_else(|| header("api-key"))
            .or_else(|| authorization(headers)),
        _ => authorization(headers).or_else(|| header("api-key")).or_else(|| header("x-api-key")),
    };
    found.map(str::trim).filter(|credential| !credential.is_empty())
}

fn authorization(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token),
        // Some Gemini clients send it bare.
        None => Some(value),
        Some(_) => None,
    }
}

fn key_in(query: &str) -> Option<&str> {
    query.split('&').find_map(|pair| pair.strip_prefix("key="))
}
