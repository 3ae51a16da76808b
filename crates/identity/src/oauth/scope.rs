//! What a client may ask for, and what people are told it means.

use preloop_types::Scope;

use super::{ErrorCode, OAuthError};

/// What any client may ask for. Administration is not among it.
pub const OFFERED: [Scope; 3] = [Scope::McpRead, Scope::McpWrite, Scope::GatewayInvoke];

/// What a client gets that names nothing.
const DEFAULT: [Scope; 2] = [Scope::McpRead, Scope::McpWrite];

/// What the first-party command line gets: whatever its person may do.
pub const COMMAND_LINE: [Scope; 4] = [Scope::Admin, Scope::McpRead, Scope::McpWrite, Scope::GatewayInvoke];

/// Reads `scope` of a client that is not ours. Words we do not know (`openid`, `offline_access`) are
/// passed over; what is granted is said in the answer.
pub fn requested(scope: Option<&str>) -> Result<Vec<Scope>, OAuthError> {
    let words: Vec<&str> = scope.unwrap_or_default().split_ascii_whitespace().collect();
    if words.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    let known: Vec<Scope> = words.iter().filter_map(|word| Scope::parse(word)).collect();
    let refuse = |why: &str| OAuthError::new(ErrorCode::InvalidScope, why);
    if known.iter().any(|scope| !OFFERED.contains(scope)) {
        return Err(refuse("a client may not administer; ask for `mcp:read`, `mcp:write` or `gateway:invoke`"));
    }
    let asked: Vec<Scope> = OFFERED.into_iter().filter(|scope| known.contains(scope)).collect();
    if asked.is_empty() {
        return Err(refuse("none of the scopes is known; ask for `mcp:read`, `mcp:write` or `gateway:invoke`"));
    }
    Ok(asked)
}

/// Reads `scope` of a refresh: no more than `granted`.
pub(crate) fn narrowed(scope: Option<&str>, granted: &[Scope]) -> Result<Vec<Scope>, OAuthError> {
    let words: Vec<&str> = scope.unwrap_or_default().split_ascii_whitespace().collect();
    let asked: Vec<Scope> = granted.iter().copied().filter(|scope| words.contains(&scope.as_str())).collect();
    let known = words.iter().filter_map(|word| Scope::parse(word));
    match asked.is_empty() {
        _ if words.is_empty() => Ok(granted.to_vec()),
        false if known.into_iter().all(|scope| granted.contains(&scope)) => Ok(asked),
        _ => Err(OAuthError::new(ErrorCode::InvalidScope, "that is more than was granted")),
    }
}

/// The value of `scope`.
pub fn text(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(" ")
}

/// What a scope means, for the person who is asked.
pub const fn meaning(scope: Scope) -> &'static str {
    match scope {
        Scope::McpRead => "See the tools, prompts and resources that you may use",
        Scope::McpWrite => "Call those tools in your name, as your organization's policies allow",
        Scope::GatewayInvoke => "Call models in your name; what they cost counts towards your budgets",
        Scope::Admin => "Everything you may do yourself: change settings, decide requests, read the journal",
        Scope::Approvals => "See the requests that wait for you, and decide them",
        Scope::PushProxy => "Hand messages to phones through this instance",
        Scope::Scim => "Keep people and teams as a directory has them",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_what_it_asks_for_and_never_administration() {
        assert_eq!(requested(None).unwrap(), DEFAULT);
        assert_eq!(requested(Some("")).unwrap(), DEFAULT);
        assert_eq!(requested(Some("mcp:write openid mcp:read")).unwrap(), DEFAULT);
        assert_eq!(requested(Some("gateway:invoke")).unwrap(), [Scope::GatewayInvoke]);
        for bad in ["admin", "mcp:read admin", "openid profile", "MCP:READ"] {
            assert_eq!(requested(Some(bad)).unwrap_err().code, ErrorCode::InvalidScope, "{bad}");
        }
    }

    #[test]
    fn a_refresh_gets_no_more_than_was_granted() {
        let granted = [Scope::McpRead, Scope::McpWrite];
        assert_eq!(narrowed(None, &granted).unwrap(), granted);
        assert_eq!(narrowed(Some("mcp:read"), &granted).unwrap(), [Scope::McpRead]);
        assert_eq!(narrowed(Some("mcp:read offline_access"), &granted).unwrap(), [Scope::McpRead]);
        assert!(narrowed(Some("mcp:read admin"), &granted).is_err());
        assert!(narrowed(Some("gateway:invoke"), &granted).is_err());
    }
}
