//! What happens to an agent's request between the endpoint and the upstream servers.
//!
//! One module per group of methods. [`calls`] is the product: a `tools/call` is resolved, checked,
//! admitted by `preloop-govern` and, under its `Permit`, carried out. Lists show exactly what a
//! call would accept; [`reads`] governs resources and prompts the same way. Nothing here parses a transport or holds a connection.

mod arguments;
mod builtin;
mod calls;
mod changes;
mod completion;
mod elicit;
mod offers;
mod prompts;
mod reads;
mod replies;
mod resources;
mod results;
mod route;
mod tasks;
mod tools;
mod waiting;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::stream::BoxStream;
use preloop_govern::{Executor, Governor, IdentifyError, Permit, SessionRefused, SessionSignal, Snapshot};
use preloop_types::{Audience, PROMPTS_GET, Principal, RESOURCES_READ, ToolRef};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::splice;
use crate::{
    downstream::{Change, EndpointScope, Handler, Identify, Offer, Unidentified},
    protocol::{Client, Detached, Notification, Request, RpcError, Version, error},
    upstream::Upstreams,
};

/// The tools every agent has: how policy names them, and their definitions.
pub fn builtin_tools() -> impl Iterator<Item = (ToolRef, serde_json::Value)> {
    builtin::definitions().into_iter().map(|(name, definition)| (builtin::reference(name), definition))
}

/// The firewall. Share it with an [`Arc`].
pub struct Firewall {
    governor: Governor,
    upstreams: Upstreams,
    options: FirewallOptions,
    lists: tools::Lists,
    schemas: arguments::Schemas,
    subscriptions: resources::Subscriptions,
}

/// How the firewall behaves.
#[derive(Debug, Clone)]
pub struct FirewallOptions {
    /// How long a call that waits for a human is held before the agent is told to ask again.
    /// Most clients give a call up after 60 s.
    pub hold: Duration,
    /// How often a held call shows progress, where the client asked for it.
    pub beat: Duration,
}

impl Default for FirewallOptions {
    fn default() -> Self {
        Self { hold: Duration::from_secs(45), beat: Duration::from_secs(10) }
    }
}

impl Firewall {
    /// A firewall before `upstreams`, deciding through `governor`.
    pub fn new(governor: Governor, upstreams: Upstreams, options: FirewallOptions) -> Arc<Self> {
        let firewall = Arc::new(Self {
            governor,
            upstreams,
            options,
            lists: tools::Lists::default(),
            schemas: arguments::Schemas::default(),
            subscriptions: resources::Subscriptions::default(),
        });
        let executor: Arc<dyn Executor> = firewall.clone();
        firewall.governor.set_executor(Arc::downgrade(&executor));
        firewall
    }

    /// The caller as part of the run its request belongs to. The resolver is the one model calls go
    /// through, so that an agent's tools and models are seen together.
    async fn bind(&self, who: &Arc<Principal>, client: &dyn Client) -> (Arc<Principal>, Option<SessionRefused>) {
        let named = client_name(client);
        let signal = SessionSignal { explicit: client.run(), client: named.as_deref(), ..SessionSignal::default() };
        match self.governor.sessions().bind(who, &signal).await {
            Ok(bound) => (bound, None),
            Err(refused) => (who.clone(), Some(refused)),
        }
    }

    async fn snapshot(&self, who: &Principal) -> Result<Arc<Snapshot>, RpcError> {
        self.governor.snapshot(who.account).await.map_err(|error| {
            tracing::error!(account = %who.account, %error, "the configuration cannot be read");
            RpcError::new(error::INTERNAL_ERROR, "the configuration cannot be read now; try again")
        })
    }
}

/// What a client says of itself: `name/version`.
fn client_name(client: &dyn Client) -> Option<String> {
    let info = client.info();
    match (info.name.as_str(), info.version.as_str()) {
        ("", _) => None,
        (name, "") => Some(name.to_owned()),
        (name, version) => Some(format!("{name}/{version}")),
    }
}

/// One request of an agent: who asks, where, for what. Scopes of the credential were checked at
/// the endpoint.
struct Asked<'a> {
    /// Who asks; for what is governed, bound to the run it is part of.
    who: &'a Arc<Principal>,
    /// Why the caller may do nothing now, if so.
    barred: Option<&'a SessionRefused>,
    scope: &'a EndpointScope,
    params: Option<&'a Arc<RawValue>>,
    client: &'a dyn Client,
}

impl<'a> Asked<'a> {
    /// Its params; `missing` says what they must hold.
    fn params<T: Deserialize<'a>>(&self, missing: &str) -> Result<T, RpcError> {
        let invalid = |why: String| RpcError::new(error::INVALID_PARAMS, why);
        let params = self.params.ok_or_else(|| invalid(missing.to_owned()))?;
        serde_json::from_str(params.get()).map_err(|bad| invalid(format!("{missing}: {bad}")))
    }

    /// Its params with one member replaced.
    fn params_with(&self, member: &str, value: &str) -> Option<Arc<RawValue>> {
        self.params.and_then(|params| splice::replace(params, member, &json!(value).to_string()))
    }
}

#[async_trait]
impl Handler for Firewall {
    async fn handle(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        request: Request,
        client: Arc<dyn Client>,
    ) -> Result<Arc<RawValue>, RpcError> {
        let (who, barred) = match request.method.as_str() {
            "tools/call" | "tasks/get" | RESOURCES_READ | PROMPTS_GET => self.bind(who, &*client).await,
            _ => (who.clone(), None),
        };
        let asked =
            Asked { who: &who, barred: barred.as_ref(), scope, params: request.params.as_ref(), client: &*client };
        match request.method.as_str() {
            "tools/call" => self.call_tool(&asked).await,
            "tools/list" => self.list_tools(&asked).await,
            "resources/list" => self.list_resources(&asked).await,
            "resources/templates/list" => self.list_resource_templates(&asked).await,
            "resources/read" => self.read_resource(&asked).await,
            "resources/subscribe" => self.subscribe(&asked).await,
            "resources/unsubscribe" => self.unsubscribe(&asked).await,
            "prompts/list" => self.list_prompts(&asked).await,
            "prompts/get" => self.get_prompt(&asked).await,
            "completion/complete" => self.complete(&asked).await,
            "tasks/get" if tasks::wanted(&*client) => self.get_task(&asked).await,
            "tasks/update" if tasks::wanted(&*client) => self.update_task(&asked).await,
            "tasks/cancel" if tasks::wanted(&*client) => self.cancel_task(&asked).await,
            method => Err(RpcError::new(error::METHOD_NOT_FOUND, format!("method `{method}` is not known"))),
        }
    }

    async fn capabilities(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        version: Version,
    ) -> Result<Offer, RpcError> {
        self.offer(who, scope, version).await
    }

    fn notified(&self, _who: &Arc<Principal>, _scope: &EndpointScope, _notification: Notification) {
        // A change of roots is not relayed: servers that may see roots ask for them when they need them.
    }

    fn changes(&self, who: &Arc<Principal>, scope: &EndpointScope) -> BoxStream<'static, Change> {
        self.watch(who, scope)
    }
}

#[async_trait]
impl Executor for Firewall {
    async fn execute(&self, permit: Permit) {
        let call = permit.call().id;
        if let Err(error) = self.carry_out(permit, None, &Detached::default()).await {
            tracing::info!(%call, %error, "an approved call ended in an error");
        }
    }
}

/// Accepts the credentials `preloop-govern` knows.
#[async_trait]
impl Identify for Firewall {
    async fn identify(&self, bearer: &str, path: &str) -> Result<Arc<Principal>, Unidentified> {
        self.governor.identify_at(bearer, &Audience::of_path(path)).await.map_err(|error| match error {
            IdentifyError::AgentHalted(why) => Unidentified::Halted(why),
            IdentifyError::Unknown | IdentifyError::Expired => Unidentified::Invalid,
            IdentifyError::Unavailable(error) => Unidentified::Unavailable(error.to_string()),
        })
    }
}
