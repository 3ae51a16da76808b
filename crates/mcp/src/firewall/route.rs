//! Which server a name or URI leads to, for one caller at one endpoint.

use std::sync::Arc;

use preloop_govern::{CatalogueTool, Snapshot};
use preloop_types::{Principal, ToolRef, config::Server};

use crate::downstream::EndpointScope;

/// Between a server's slug and what it qualifies, in names.
const SEPARATOR: &str = "__";

/// The tool a caller means by `name` at this endpoint, if it may know of it.
pub(super) fn tool<'s>(
    snapshot: &'s Snapshot,
    who: &Principal,
    scope: &EndpointScope,
    name: &str,
) -> Option<&'s Arc<CatalogueTool>> {
    let tool = match scope {
        EndpointScope::All => snapshot.tools.get(name),
        EndpointScope::Server(slug) => snapshot.tools_by_server.get(slug)?.get(name),
    };
    tool.filter(|tool| snapshot.is_visible(who, tool))
}

/// The servers whose resources (`resources/read`) or prompts (`prompts/get`) a caller may see
/// here, by slug. One bound to single tools sees those only where they are among its tools.
pub(super) fn servers(snapshot: &Snapshot, who: &Principal, scope: &EndpointScope, method: &str) -> Vec<Arc<Server>> {
    let visible =
        |server: &&Arc<Server>| snapshot.ruleset.visible(who, &ToolRef::read(method, server.id, &server.slug));
    let mut servers: Vec<_> = snapshot.servers.values().filter(visible).cloned().collect();
    if let EndpointScope::Server(slug) = scope {
        servers.retain(|server| server.slug == *slug);
    }
    servers.sort_by(|a, b| a.slug.cmp(&b.slug));
    servers
}

/// What a prompt of `server` is called here.
pub(super) fn exposed_name(scope: &EndpointScope, server: &Server, name: &str) -> String {
    match scope {
        EndpointScope::All => format!("{}{SEPARATOR}{name}", server.slug),
        EndpointScope::Server(_) => name.to_owned(),
    }
}

/// What a resource of `server` is called here.
pub(super) fn exposed_uri(scope: &EndpointScope, server: &Server, uri: &str) -> String {
    match scope {
        EndpointScope::All => format!("mcp+{}:{uri}", server.slug),
        EndpointScope::Server(_) => uri.to_owned(),
    }
}

/// The server and the name it knows, of a name as it is called here.
pub(super) fn split_name<'n>(
    servers: &[Arc<Server>],
    scope: &EndpointScope,
    name: &'n str,
) -> Option<(Arc<Server>, &'n str)> {
    let (slug, rest) = name.split_once(SEPARATOR).filter(|_| *scope == EndpointScope::All)?;
    servers.iter().find(|server| server.slug == slug).map(|server| (server.clone(), rest))
}

/// The server and the URI it knows, of a URI as it is called here.
pub(super) fn split_uri<'u>(
    servers: &[Arc<Server>],
    scope: &EndpointScope,
    uri: &'u str,
) -> Option<(Arc<Server>, &'u str)> {
    let qualified = uri.strip_prefix("mcp+").filter(|_| *scope == EndpointScope::All)?;
    let (slug, rest) = qualified.split_once(':')?;
    servers.iter().find(|server| server.slug == slug).map(|server| (server.clone(), rest))
}
