//! Which run of an agent a request belongs to, from what the request says of itself. A pure function of
//! credential and signals: nothing a client sends can lead into another credential's run.

use preloop_types::{Principal, SessionId};

/// What a request says of the run it belongs to. Nothing of it is trusted.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionSignal<'a> {
    /// `X-Preloop-Session-Id`.
    pub explicit: Option<&'a str>,
    /// What the agent's own headers or body say.
    pub vendor: Option<VendorSession<'a>>,
    /// `prompt_cache_key`.
    pub cache_key: Option<&'a str>,
    /// What the client says of itself: `name/version`.
    pub client: Option<&'a str>,
}

/// What an agent of a known kind says of its run.
#[derive(Debug, Clone, Copy)]
pub struct VendorSession<'a> {
    /// Which kind: `claude_code`, `codex`, `opencode`, … Only heard from credentials of such an agent.
    pub kind: &'static str,
    /// What it calls the run.
    pub session: &'a str,
    /// What it calls the sub-agent within the run.
    pub agent: Option<&'a str>,
    /// The run this one is a part of.
    pub parent: Option<&'a str>,
}

/// A run of an agent, before it is known whether it is open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// The credential is bound to it.
    Pinned(SessionId),
    /// It is what these requests have in common.
    Of(Named),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    /// Whose it is and what it is called: begins with the principal.
    pub(super) identity: String,
    /// Length of the principal in it.
    pub(super) principal: usize,
    pub(super) source_id: Option<String>,
    /// The identity of the run it is a part of.
    pub(super) parent: Option<String>,
    /// Whether nothing but silence tells that it is over.
    pub(super) ends_by_silence: bool,
}

const ID_CHARS_MAX: usize = 128;

/// Ids of clients are short and plain, or they are not heard.
fn valid(id: Option<&str>) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b':' | b'-');
    id.filter(|id| !id.is_empty() && id.len() <= ID_CHARS_MAX && id.bytes().all(plain))
}

/// The first of these that is there: the credential's own run, the explicit id, the agent's own id, its
/// cache key; else everything of one principal is one run until it falls silent.
pub(super) fn identify(who: &Principal, signal: &SessionSignal<'_>) -> Identity {
    if let Some(pinned) = who.session {
        return Identity::Pinned(pinned);
    }
    let principal = principal(who);
    let named = |mark: &str, id: &str| {
        let mut identity = String::with_capacity(principal.len() + mark.len() + id.len() + 2);
        identity.extend([principal.as_str(), "/", mark, "/", id]);
        identity
    };
    let of = |identity: String, source_id: Option<String>, parent: Option<String>| {
        let ends_by_silence = source_id.is_none();
        Identity::Of(Named { identity, principal: principal.len(), source_id, parent, ends_by_silence })
    };
    if let Some(id) = valid(signal.explicit) {
        return of(named("x", id), Some(id.to_owned()), None);
    }
    let agent = who.agent.as_ref();
    let vendor = signal.vendor.filter(|vendor| agent.is_some_and(|agent| agent.kind == vendor.kind));
    if let Some(vendor) = vendor
        && let Some(session) = valid(Some(vendor.session))
    {
        if let Some(child) = valid(vendor.agent) {
            let id = format!("{session}:{child}");
            return of(named("v", &id), Some(id), Some(named("v", session)));
        }
        let parent = valid(vendor.parent).filter(|parent| *parent != session);
        return of(named("v", session), Some(session.to_owned()), parent.map(|parent| named("v", parent)));
    }
    if let Some(key) = valid(signal.cache_key).filter(|_| agent.is_some()) {
        return of(named("c", key), Some(key.to_owned()), None);
    }
    of(principal.clone(), None, None)
}

/// Who runs it, over all its runs.
pub(super) fn principal(who: &Principal) -> String {
    match &who.agent {
        Some(agent) => format!("agent:{}", agent.id),
        None => format!("key:{}", who.key),
    }
}

#[cfg(test)]
mod tests {
    use preloop_types::{AccountId, Agent, AgentId, KeyId, UserId};
    use uuid::Uuid;

    use super::*;

    fn caller(kind: Option<&str>) -> Principal {
        let id = Uuid::from_u128;
        Principal {
            account: AccountId(id(1)),
            user: UserId(id(2)),
            username: "ann".to_owned(),
            key: KeyId(id(3)),
            key_name: "laptop".to_owned(),
            credential: preloop_types::CredentialKind::ApiKey,
            permissions: preloop_types::PermissionSet::ALL,
            audience: preloop_types::Audience::Everything,
            impersonator: None,
            scopes: Vec::new(),
            agent: kind.map(|kind| Agent {
                id: AgentId(id(4)),
                name: kind.to_owned(),
                kind: kind.to_owned(),
                tags: Vec::new(),
            }),
            session: None,
            allowed_tools: None,
            allowed_servers: None,
        }
    }

    fn named(who: &Principal, signal: SessionSignal<'_>) -> Named {
        match identify(who, &signal) {
            Identity::Of(named) => named,
            Identity::Pinned(_) => panic!("it is pinned"),
        }
    }

    fn vendor<'a>(kind: &'static str, session: &'a str) -> SessionSignal<'a> {
        let vendor = VendorSession { kind, session, agent: None, parent: None };
        SessionSignal { vendor: Some(vendor), cache_key: Some("cache"), ..SessionSignal::default() }
    }

    #[test]
    fn the_first_signal_that_is_there_names_the_run() {
        let agent = caller(Some("claude_code"));
        let all = SessionSignal { explicit: Some("mine"), ..vendor("claude_code", "s1") };
        let pinned = SessionId(Uuid::from_u128(9));

        let bound = Principal { session: Some(pinned), ..agent.clone() };
        assert_eq!(identify(&bound, &all), Identity::Pinned(pinned));
        assert_eq!(named(&agent, all).source_id.as_deref(), Some("mine"));
        assert_eq!(named(&agent, vendor("claude_code", "s1")).source_id.as_deref(), Some("s1"));
        let cached = SessionSignal { vendor: None, ..vendor("claude_code", "s1") };
        assert_eq!(named(&agent, cached).source_id.as_deref(), Some("cache"));
        let silent = named(&agent, SessionSignal::default());
        assert_eq!((silent.source_id, silent.ends_by_silence), (None, true));
    }

    #[test]
    fn an_agents_own_headers_are_heard_only_from_such_an_agent() {
        assert_eq!(named(&caller(Some("codex")), vendor("claude_code", "s1")).source_id.as_deref(), Some("cache"));
        // Nor does a plain key say what only agents say.
        assert_eq!(named(&caller(None), vendor("claude_code", "s1")).source_id, None);
        let explicit = SessionSignal { explicit: Some("mine"), ..SessionSignal::default() };
        assert_eq!(named(&caller(None), explicit).source_id.as_deref(), Some("mine"));
    }

    #[test]
    fn a_hostile_id_is_not_heard() {
        let long = "a".repeat(129);
        for id in ["", "a b", "../x", "a/b", "ü", "a\n", "x'; DROP TABLE", long.as_str()] {
            let signal = SessionSignal { explicit: Some(id), ..SessionSignal::default() };
            assert_eq!(named(&caller(None), signal).source_id, None, "{id}");
        }
        assert!(valid(Some(&"a".repeat(128))).is_some());
    }

    #[test]
    fn no_id_leads_into_another_credentials_run() {
        let signal = SessionSignal { explicit: Some("same"), ..SessionSignal::default() };
        let one = caller(None);
        let two = Principal { key: KeyId(Uuid::from_u128(7)), ..caller(None) };
        assert_ne!(named(&one, signal).identity, named(&two, signal).identity);
        // Ids hold no slash, so that one kind of signal cannot be taken for another.
        let cached = SessionSignal { cache_key: Some("same"), ..SessionSignal::default() };
        let agent = caller(Some("codex"));
        let runs = [named(&agent, signal), named(&agent, cached), named(&agent, vendor("codex", "same"))];
        assert!(runs[0].identity != runs[1].identity && runs[1].identity != runs[2].identity);
    }

    #[test]
    fn a_sub_agent_is_a_run_within_its_parents() {
        let agent = caller(Some("claude_code"));
        let child = VendorSession { kind: "claude_code", session: "s1", agent: Some("explore"), parent: None };
        let child = named(&agent, SessionSignal { vendor: Some(child), ..SessionSignal::default() });
        let parent = named(&agent, vendor("claude_code", "s1"));
        assert_eq!((child.source_id.as_deref(), child.parent), (Some("s1:explore"), Some(parent.identity)));

        let agent = caller(Some("opencode"));
        let fork = VendorSession { kind: "opencode", session: "s2", agent: None, parent: Some("s1") };
        let fork = named(&agent, SessionSignal { vendor: Some(fork), ..SessionSignal::default() });
        assert_eq!(fork.parent, Some(named(&agent, vendor("opencode", "s1")).identity));
        let own = VendorSession { kind: "opencode", session: "s2", agent: None, parent: Some("s2") };
        assert_eq!(named(&agent, SessionSignal { vendor: Some(own), ..SessionSignal::default() }).parent, None);
    }
}
