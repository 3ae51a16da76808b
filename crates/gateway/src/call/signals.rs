//! What a request says of the agent's run, as each agent really says it.

use http::HeaderMap;
use preloop_dialects::{Dialect, scan::Facts};
use preloop_govern::{SessionSignal, VendorSession};

/// Reads the signals of a request. None of them is trusted here.
pub(super) fn session_signal<'r>(
    dialect: Dialect,
    headers: &'r HeaderMap,
    facts: &'r Facts,
    client: Option<&'r str>,
) -> SessionSignal<'r> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    SessionSignal {
        explicit: header("x-preloop-session-id"),
        vendor: vendor(dialect, header, facts),
        cache_key: facts.hints.cache_key.as_deref(),
        client,
    }
}

fn vendor<'r>(
    dialect: Dialect,
    header: impl Fn(&str) -> Option<&'r str>,
    facts: &'r Facts,
) -> Option<VendorSession<'r>> {
    let of = |kind, session, agent, parent| VendorSession { kind, session, agent, parent };
    if let Some(session) = header("x-claude-code-session-id") {
        return Some(of("claude_code", session, header("x-claude-code-agent-id"), None));
    }
    if dialect == Dialect::Responses
        && let Some(session) = header("session-id").or_else(|| header("session_id")).or_else(|| header("thread-id"))
    {
        return Some(of("codex", session, None, None));
    }
    if let Some(session) = header("x-session-id").or_else(|| header("x-session-affinity")) {
        return Some(of("opencode", session, None, header("x-parent-session-id")));
    }
    // Claude Code's older way: `user_<hash>_account_<id>_session_<id>`.
    let session = facts.hints.user_id.as_deref()?.rsplit_once("_session_")?.1;
    Some(of("claude_code", session, None, None))
}

/// What the client says of itself: the first product of its `User-Agent`.
pub(super) fn client(headers: &HeaderMap) -> Option<&str> {
    let agent = headers.get(http::header::USER_AGENT)?.to_str().ok()?;
    let product = agent.split([' ', '(']).next()?;
    (!product.is_empty() && product.len() <= 128).then_some(product)
}
