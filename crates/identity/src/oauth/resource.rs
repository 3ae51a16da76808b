//! Resource indicators (RFC 8707): which part of this server tokens are for.

use preloop_types::{Audience, Scope};
use url::Url;

use super::{ErrorCode, OAuthError};

/// Reads `resource`. A client that names none gets tokens for the MCP endpoint, or for the whole server
/// where it asks for more than that endpoint takes.
pub fn audience(base: &Url, resource: Option<&str>, scopes: &[Scope]) -> Result<Audience, OAuthError> {
    let Some(resource) = resource.filter(|resource| !resource.is_empty()) else {
        let beyond = scopes.iter().any(|scope| !matches!(scope, Scope::McpRead | Scope::McpWrite));
        return Ok(if beyond { Audience::Everything } else { Audience::Mcp });
    };
    let refuse = || {
        let shown: String = resource.chars().take(200).collect();
        let why = format!("`{}` is not a resource of this server", shown.escape_debug());
        OAuthError::new(ErrorCode::InvalidTarget, why)
    };
    let named = Url::parse(resource).map_err(|_| refuse())?;
    let plain = named.username().is_empty() && named.password().is_none() && named.query().is_none();
    if named.origin() != base.origin() || !plain || named.fragment().is_some() {
        return Err(refuse());
    }
    let path = named.path().strip_prefix(base.path().trim_end_matches('/')).ok_or_else(refuse)?;
    if !path.is_empty() && !path.starts_with('/') {
        return Err(refuse());
    }
    Audience::of_resource(path).ok_or_else(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MCP: &[Scope] = &[Scope::McpRead];

    #[test]
    fn a_resource_of_this_server_is_known_in_any_spelling() {
        let of = |base: &str, resource: &str| audience(&base.parse().unwrap(), Some(resource), MCP).unwrap();
        let host = "https://preloop.example";
        assert_eq!(of(host, "https://preloop.example/mcp"), Audience::Mcp);
        assert_eq!(of(host, "https://preloop.example:443/mcp/v1/"), Audience::Mcp);
        assert_eq!(of(host, "HTTPS://Preloop.Example/mcp/v1"), Audience::Mcp);
        assert_eq!(of(host, "https://preloop.example"), Audience::Everything);
        assert_eq!(of(host, "https://preloop.example/mcp/v1/servers/git"), Audience::McpServer("git".to_owned()));
        assert_eq!(of("https://a.example/preloop/", "https://a.example/preloop/mcp"), Audience::Mcp);
    }

    #[test]
    fn a_resource_elsewhere_is_refused() {
        let base: Url = "https://preloop.example/".parse().unwrap();
        for bad in [
            "https://evil.example/mcp",
            "http://preloop.example/mcp",
            "https://preloop.example:8443/mcp",
            "https://preloop.example.evil.example/mcp",
            "https://ann@preloop.example/mcp",
            "https://preloop.example/mcp#x",
            "https://preloop.example/mcp?x",
            "https://preloop.example/api/v1",
            "https://preloop.example/mcp/../api/v1",
            "/mcp",
            "mcp",
        ] {
            assert_eq!(audience(&base, Some(bad), MCP).unwrap_err().code, ErrorCode::InvalidTarget, "{bad}");
        }
        let below: Url = "https://a.example/preloop".parse().unwrap();
        assert!(audience(&below, Some("https://a.example/mcp"), MCP).is_err());
        assert!(audience(&below, Some("https://a.example/preloopmcp"), MCP).is_err());
    }

    #[test]
    fn without_one_tokens_are_for_what_their_scopes_need() {
        let base: Url = "https://preloop.example/".parse().unwrap();
        assert_eq!(audience(&base, None, MCP).unwrap(), Audience::Mcp);
        assert_eq!(audience(&base, Some(""), MCP).unwrap(), Audience::Mcp);
        assert_eq!(audience(&base, None, &[Scope::McpRead, Scope::GatewayInvoke]).unwrap(), Audience::Everything);
    }
}
