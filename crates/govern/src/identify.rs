//! From a credential to a [`Principal`], in memory after first use.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use dashmap::DashMap;
use preloop_store::{AgentStanding, FoundKey, Store};
use preloop_types::{AccountId, AgentState, Hash, PermissionSet, Principal, Timestamp};

use crate::{Error, Result};

/// Why a credential was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum IdentifyError {
    /// It is unknown, revoked or its owner is not active. One answer for all: nothing is told
    /// about credentials that exist.
    #[error("the API key is not valid")]
    Unknown,
    /// It was valid once.
    #[error("the API key has expired")]
    Expired,
    /// It is in order, but the agent it is bound to is not active.
    #[error("{0}")]
    AgentHalted(String),
    /// It cannot be checked now.
    #[error(transparent)]
    Unavailable(#[from] Error),
}

/// Credentials seen lately, by their hash. Only valid ones are kept, so a flood of guesses does
/// not grow it.
#[derive(Default)]
pub(crate) struct Identities {
    known: DashMap<Hash, Known>,
    changes: AtomicU64,
    #[cfg(feature = "testing")]
    introduced: DashMap<Hash, Arc<Principal>>,
}

struct Known {
    principal: Arc<Principal>,
    expires_at: Option<Timestamp>,
}

impl Identities {
    pub(crate) async fn identify(&self, store: &Store, bearer: &str) -> Result<Arc<Principal>, IdentifyError> {
        let hash = Hash::of(bearer);
        #[cfg(feature = "testing")]
        if let Some(who) = self.introduced.get(&hash) {
            return Ok(who.clone());
        }
        if let Some(known) = self.known.get(&hash) {
            return match known.expires_at {
                Some(end) if end <= store.now() => Err(IdentifyError::Expired),
                _ => Ok(known.principal.clone()),
            };
        }
        let changes = self.changes.load(Ordering::Acquire);
        let found = store.find_key(&hash).await.map_err(Error::from)?.ok_or(IdentifyError::Unknown)?;
        let (id, expires_at) = (found.key.id, found.key.expires_at);
        let principal = Arc::new(active(found, store.now())?);
        store.touch_key(id);
        self.known.insert(hash, Known { principal: principal.clone(), expires_at });
        if self.changes.load(Ordering::Acquire) != changes {
            // A key changed while this one was read; the next call reads it again.
            self.known.remove(&hash);
        }
        Ok(principal)
    }

    /// Tests make up somebody no roles could make.
    #[cfg(feature = "testing")]
    pub(crate) fn introduce(&self, bearer: &str, who: Principal) {
        self.introduced.insert(Hash::of(bearer), Arc::new(who));
    }

    pub(crate) fn forget(&self, account: AccountId) {
        self.changes.fetch_add(1, Ordering::Release);
        self.known.retain(|_, known| known.principal.account != account);
    }

    pub(crate) fn forget_all(&self) {
        self.changes.fetch_add(1, Ordering::Release);
        self.known.clear();
    }
}

/// What whoever comes with a credential of an agent that is not active is told.
pub(crate) fn halted(name: &str, state: AgentState, reason: Option<&str>) -> String {
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let next = match state {
        AgentState::Decommissioned => {
            "it does not come back with this credential; ask an administrator to enroll it anew"
        }
        _ => "nothing it does is carried out until an administrator resumes it",
    };
    format!("agent `{name}` is {}{reason}: {next}", state.as_str())
}

/// The principal of a key that works now.
pub(crate) fn active(found: FoundKey, now: Timestamp) -> Result<Principal, IdentifyError> {
    let FoundKey { key, user, permissions, audience, standing } = found;
    if key.revoked_at.is_some() || !user.is_active {
        return Err(IdentifyError::Unknown);
    }
    if key.expires_at.is_some_and(|end| end <= now) {
        return Err(IdentifyError::Expired);
    }
    match standing {
        AgentStanding::Unbound | AgentStanding::Known(AgentState::Active, _) => {}
        AgentStanding::Removed => return Err(IdentifyError::Unknown),
        AgentStanding::Known(state, reason) => {
            let name = key.agent.as_ref().map_or("", |agent| &agent.name);
            return Err(IdentifyError::AgentHalted(halted(name, state, reason.as_deref())));
        }
    }
    let permissions =
        if key.impersonator.is_some() { permissions.without(PermissionSet::IN_PERSON) } else { permissions };
    Ok(Principal {
        account: key.account,
        user: user.id,
        username: user.username,
        key: key.credential(),
        key_name: key.name,
        credential: key.kind,
        scopes: key.scopes,
        permissions,
        audience,
        impersonator: key.impersonator,
        agent: key.agent,
        session: key.session,
        allowed_tools: key.allowed_tools,
        allowed_servers: key.allowed_servers,
    })
}
