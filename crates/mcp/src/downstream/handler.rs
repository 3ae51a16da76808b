use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;
use preloop_types::Principal;
use serde_json::{Map, Value, value::RawValue};

use crate::protocol::{Client, Notification, Request, RpcError, Version};

/// What answers the requests that reach the endpoint: the firewall.
///
/// `initialize`, `server/discover`, `ping`, `logging/setLevel` and `subscriptions/listen` are
/// answered by the endpoint itself and never get here.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// Answers one request. Results and errors are those of any revision: what the modern era
    /// demands of every result (`resultType`, cache hints, `serverInfo`) is added on the way out
    /// and taken away for legacy clients.
    ///
    /// The future is never dropped half way: when the agent goes away it is carried on without
    /// one, and [`Client::cancelled`] says whether the agent gave the request up.
    ///
    /// `resources/subscribe` and `resources/unsubscribe` come in pairs, one pair per subscriber
    /// and resource, in both eras (a modern `subscriptions/listen` is turned into them).
    async fn handle(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        request: Request,
        client: Arc<dyn Client>,
    ) -> Result<Arc<RawValue>, RpcError>;

    /// What can be offered to this principal in this revision.
    async fn capabilities(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        version: Version,
    ) -> Result<Offer, RpcError>;

    /// Takes note of a notification from the agent that is not about one of its requests
    /// (`notifications/roots/list_changed`).
    fn notified(&self, who: &Arc<Principal>, scope: &EndpointScope, notification: Notification);

    /// What changes from now on for this principal. Ends only when the account does.
    fn changes(&self, who: &Arc<Principal>, scope: &EndpointScope) -> BoxStream<'static, Change>;
}

/// Which part of the account a URL shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum EndpointScope {
    /// Every server the principal may see, under exposed names.
    All,
    /// One server by slug, under its own names.
    Server(String),
}

/// What a server offers, as `initialize` and `server/discover` tell it.
#[derive(Debug, Clone, Default)]
pub struct Offer {
    /// `ServerCapabilities`.
    pub capabilities: Map<String, Value>,
    /// Guidance for the model.
    pub instructions: Option<String>,
}

impl Offer {
    /// Whether `capabilities.{group}.{flag}` is true.
    pub(super) fn has(&self, group: &str, flag: &str) -> bool {
        self.capabilities.get(group).and_then(|group| group.get(flag)) == Some(&Value::Bool(true))
    }
}

/// Something an agent may want to know.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Change {
    /// The visible tools are others.
    Tools,
    /// The visible prompts are others.
    Prompts,
    /// The visible resources are others.
    Resources,
    /// The resource of this URI, as exposed, has other contents.
    Resource(String),
}

impl Change {
    /// The notification that tells it.
    pub(super) const fn method(&self) -> &'static str {
        match self {
            Change::Tools => "notifications/tools/list_changed",
            Change::Prompts => "notifications/prompts/list_changed",
            Change::Resources => "notifications/resources/list_changed",
            Change::Resource(_) => "notifications/resources/updated",
        }
    }
}

/// Turns a bearer credential into a principal.
#[async_trait]
pub trait Identify: Send + Sync + 'static {
    /// Whose credential `bearer` is. One that is not for the endpoint at `path` is nobody's there.
    async fn identify(&self, bearer: &str, path: &str) -> Result<Arc<Principal>, Unidentified>;
}

/// Why a credential names nobody.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unidentified {
    /// Nobody's, revoked or expired.
    #[error("the credential is not valid")]
    Invalid,
    /// In order, but its agent is not active: why, for whoever holds it.
    #[error("{0}")]
    Halted(String),
    /// It could not be looked up; the request is refused, and worth repeating later.
    #[error("credentials cannot be checked now: {0}")]
    Unavailable(String),
}
