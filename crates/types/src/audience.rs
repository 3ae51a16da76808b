/// Which part of this server a credential may be presented to (RFC 8707). An access token that was
/// given out for one MCP server is refused at another, at the model gateway and by the REST API.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Audience {
    /// All of it: API keys, and people who signed in.
    #[default]
    Everything,
    /// The MCP endpoint, and so the endpoint of every server behind it.
    Mcp,
    /// The MCP endpoint of the server with this slug.
    McpServer(String),
}

impl Audience {
    /// The part a request to `path` is for.
    pub fn of_path(path: &str) -> Self {
        match path.trim_end_matches('/') {
            "/mcp" | "/mcp/v1" | "/mcp/v1/sse" | "/mcp/v1/messages" => Self::Mcp,
            path => match path.strip_prefix("/mcp/v1/servers/") {
                Some(slug) if !slug.is_empty() && !slug.contains('/') => Self::McpServer(slug.to_owned()),
                _ => Self::Everything,
            },
        }
    }

    /// The part whose resource identifier has this path, if one has.
    pub fn of_resource(path: &str) -> Option<Self> {
        match Self::of_path(path) {
            Self::Everything if !path.trim_matches('/').is_empty() => None,
            audience => Some(audience),
        }
    }

    /// The path of its resource identifier.
    pub fn path(&self) -> String {
        match self {
            Self::Everything => "/".to_owned(),
            Self::Mcp => "/mcp/v1".to_owned(),
            Self::McpServer(slug) => format!("/mcp/v1/servers/{slug}"),
        }
    }

    /// Whether a credential for this may be presented to `place`.
    pub fn includes(&self, place: &Self) -> bool {
        match self {
            Self::Everything => true,
            Self::Mcp => matches!(place, Self::Mcp | Self::McpServer(_)),
            Self::McpServer(_) => self == place,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_reaches_what_it_is_for_and_nothing_else() {
        let reaches = |resource: &str, path: &str| {
            Audience::of_resource(resource).is_some_and(|audience| audience.includes(&Audience::of_path(path)))
        };
        for path in ["/mcp", "/mcp/", "/mcp/v1", "/mcp/v1/sse", "/mcp/v1/messages", "/mcp/v1/servers/files"] {
            assert!(reaches("/", path) && reaches("/mcp", path) && reaches("/mcp/v1", path), "{path}");
        }
        assert!(reaches("/mcp/v1/servers/files", "/mcp/v1/servers/files/"));
        for path in ["/mcp", "/mcp/v1", "/mcp/v1/servers/mail", "/mcp/v1/servers/FILES", "/api/v1/tools"] {
            assert!(!reaches("/mcp/v1/servers/files", path), "{path}");
        }
        for path in ["/api/v1/tools", "/openai/v1/chat/completions", "/mcpx", "/mcp/v1/servers/a/b", "/"] {
            assert!(!reaches("/mcp", path) && reaches("/", path), "{path}");
        }
        for unknown in ["/api/v1", "/mcp/v2", "/mcp/v1/servers/", "/mcp/v1/servers/a/b"] {
            assert_eq!(Audience::of_resource(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn a_resource_is_found_again_by_its_path() {
        for audience in [Audience::Everything, Audience::Mcp, Audience::McpServer("files".to_owned())] {
            assert_eq!(Audience::of_resource(&audience.path()), Some(audience));
        }
    }
}
