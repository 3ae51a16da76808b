use serde::Deserialize;
use url::Url;

use preloop_egress::Client;

use super::{UpstreamError, json, require_secure};

/// An authorization server and what it needs to know about the server it protects.
#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub(super) issuer: String,
    pub(super) authorization_endpoint: Url,
    pub(super) token_endpoint: Url,
    pub(super) registration_endpoint: Option<Url>,
    /// Canonical URI of the MCP server (RFC 8707).
    pub(super) resource: String,
    pub(super) scopes: Vec<String>,
    /// Whether its answers carry `iss` (RFC 9207).
    pub(super) names_itself: bool,
    /// Whether it takes the URL of a client's metadata for the client's id.
    pub(super) reads_client_metadata: bool,
}

/// RFC 9728.
#[derive(Deserialize)]
#[expect(clippy::struct_field_names, reason = "the field's own word")]
struct Resource {
    resource: Option<String>,
    #[serde(default)]
    authorization_servers: Vec<String>,
    #[serde(default)]
    scopes_supported: Vec<String>,
}

/// RFC 8414, and `OpenID` Connect discovery, which agrees with it in these.
#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    authorization_endpoint: Url,
    token_endpoint: Url,
    registration_endpoint: Option<Url>,
    #[serde(default)]
    code_challenge_methods_supported: Vec<String>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
}

/// Finds the authorization server of the MCP server at `url`, from its challenge (the
/// `WWW-Authenticate` of a 401, may be empty) or the well-known places.
pub(super) async fn discover(client: &Client, url: &Url, challenge: &str) -> Result<Provider, UpstreamError> {
    let resource = protected_resource(client, url, challenge).await?;
    let issuer = match resource.as_ref().and_then(|resource| resource.authorization_servers.first()) {
        Some(issuer) => issuer.clone(),
        // Before 2025-06-18 the server was its own authorization server.
        None => url.origin().ascii_serialization(),
    };
    let metadata = authorization_server(client, &issuer).await?;
    if !metadata.code_challenge_methods_supported.iter().any(|method| method == "S256") {
        return Err(UpstreamError::NeedsAuth(format!("authorization server `{issuer}` does not support PKCE (S256)")));
    }
    for endpoint in [
        Some(&metadata.authorization_endpoint),
        Some(&metadata.token_endpoint),
        metadata.registration_endpoint.as_ref(),
    ] {
        endpoint.map_or(Ok(()), require_secure)?;
    }
    let scopes = match parameter(challenge, "scope") {
        Some(scope) => scope.split_whitespace().map(str::to_owned).collect(),
        None => resource.as_ref().map(|resource| resource.scopes_supported.clone()).unwrap_or_default(),
    };
    Ok(Provider {
        issuer: metadata.issuer,
        authorization_endpoint: metadata.authorization_endpoint,
        token_endpoint: metadata.token_endpoint,
        registration_endpoint: metadata.registration_endpoint,
        resource: resource.and_then(|resource| resource.resource).unwrap_or_else(|| canonical(url)),
        scopes,
        names_itself: metadata.authorization_response_iss_parameter_supported,
        reads_client_metadata: metadata.client_id_metadata_document_supported,
    })
}

async fn protected_resource(client: &Client, url: &Url, challenge: &str) -> Result<Option<Resource>, UpstreamError> {
    let named = parameter(challenge, "resource_metadata").and_then(|text| Url::parse(&text).ok());
    let places = named.into_iter().chain(well_known(url, "oauth-protected-resource", false));
    for place in places {
        require_secure(&place)?;
        let Ok(found) = json::<Resource>(client.get(place)?, "protected resource metadata").await else { continue };
        // A document about another resource would make us ask for tokens good there.
        let about_us = match found.resource.as_deref().map(Url::parse) {
            None => true,
            Some(Ok(resource)) => {
                resource.origin() == url.origin() && url.path().starts_with(resource.path().trim_end_matches('/'))
            }
            Some(Err(_)) => false,
        };
        if !about_us {
            return Err(UpstreamError::NeedsAuth(
                "the server's resource metadata is about another resource".to_owned(),
            ));
        }
        return Ok(Some(found));
    }
    Ok(None)
}

pub(super) async fn token_endpoint(client: &Client, issuer: &str) -> Result<Url, UpstreamError> {
    Ok(authorization_server(client, issuer).await?.token_endpoint)
}

async fn authorization_server(client: &Client, issuer: &str) -> Result<Metadata, UpstreamError> {
    let url = Url::parse(issuer)
        .map_err(|_| UpstreamError::NeedsAuth(format!("authorization server `{issuer}` is not a URL")))?;
    require_secure(&url)?;
    let mut places = well_known(&url, "oauth-authorization-server", true);
    places.extend(well_known(&url, "openid-configuration", true));
    if let Ok(appended) = Url::parse(&format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))) {
        places.push(appended);
    }
    for place in places {
        let Ok(found) = json::<Metadata>(client.get(place)?, "authorization server metadata").await else { continue };
        if found.issuer.trim_end_matches('/') != issuer.trim_end_matches('/') {
            return Err(UpstreamError::NeedsAuth(format!(
                "authorization server `{issuer}` calls itself `{}`",
                found.issuer
            )));
        }
        return Ok(found);
    }
    Err(UpstreamError::NeedsAuth(format!("no metadata of authorization server `{issuer}` was found")))
}

/// The well-known places of a document about `url`: with its path inserted, then without, unless
/// the path matters.
fn well_known(url: &Url, name: &str, exact: bool) -> Vec<Url> {
    let mut places = Vec::new();
    let path = url.path().trim_end_matches('/');
    let paths = if path.is_empty() {
        vec![""]
    } else if exact {
        vec![path]
    } else {
        vec![path, ""]
    };
    for path in paths {
        let mut place = url.clone();
        place.set_query(None);
        place.set_fragment(None);
        place.set_path(&format!("/.well-known/{name}{path}"));
        places.push(place);
    }
    places
}

fn canonical(url: &Url) -> String {
    let mut url = url.clone();
    url.set_fragment(None);
    url.set_query(None);
    url.as_str().trim_end_matches('/').to_owned()
}

/// The scopes a server wants beyond those granted, if that is why it refused (RFC 6750, section 3.1).
pub(crate) fn wanted_scopes(headers: &http::HeaderMap) -> Option<String> {
    let challenges = headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
    let refused = |challenge: &&str| parameter(challenge, "error").as_deref() == Some("insufficient_scope");
    let scopes = parameter(challenges.into_iter().find(refused)?, "scope")?;
    // Shown to people and kept: as short and plain as scopes are.
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\' | b'`') || byte == b' ';
    (!scopes.trim().is_empty() && scopes.len() <= 1_000 && scopes.bytes().all(plain)).then_some(scopes)
}

/// A parameter of a `Bearer` challenge.
fn parameter(challenge: &str, name: &str) -> Option<String> {
    let rest = challenge.trim_start();
    let rest = rest.get(..6).filter(|scheme| scheme.eq_ignore_ascii_case("bearer")).map(|_| &rest[6..])?;
    let at = rest
        .match_indices(name)
        .find(|(at, _)| rest[..*at].ends_with([' ', ',']) && rest[at + name.len()..].trim_start().starts_with('='))?;
    let value = rest[at.0 + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next().map(str::to_owned),
        None => value.split([',', ' ']).next().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let challenge = r#"Bearer error="invalid_token", resource_metadata="https://x/.well-known/a", scope="a b""#;
        assert_eq!(parameter(challenge, "resource_metadata").as_deref(), Some("https://x/.well-known/a"));
        assert_eq!(parameter(challenge, "scope").as_deref(), Some("a b"));
        assert_eq!(parameter("Basic realm=\"x\"", "scope"), None);
        assert_eq!(parameter("", "scope"), None);
        assert_eq!(parameter("Bearer scope=mcp", "scope").as_deref(), Some("mcp"));
    }

    #[test]
    fn well_known_places_insert_the_path() {
        let url = Url::parse("https://x.example/mcp/v1?a=b").unwrap();
        let places: Vec<String> = well_known(&url, "n", false).into_iter().map(String::from).collect();
        assert_eq!(places, ["https://x.example/.well-known/n/mcp/v1", "https://x.example/.well-known/n"]);
        assert_eq!(canonical(&url), "https://x.example/mcp/v1");
    }
}
