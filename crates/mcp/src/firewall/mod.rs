//! What happens to an agent's request between the endpoint and the upstream servers.
//!
//! One module per group of methods. [`calls`] is the product: a `tools/call` is resolved, checked,
//! admitted by `preloop-govern` and, under its `Permit`, carried out. Lists show exactly what a
//! call would accept. Nothing here parses a transport or holds a connection.

mod arguments;
mod builtin;
mod calls;
mod changes;
mod completion;
mod elicit;
mod offers;
mod prompts;
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
use preloop_govern::{Executor, Governor, IdentifyError, Permit, Snapshot};
use preloop_types::{Principal, Scope, ToolRef};
use serde_json::value::RawValue;

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

    async fn snapshot(&self, who: &Principal) -> Result<Arc<Snapshot>, RpcError> {
        self.governor.snapshot(who.account).await.map_err(|error| {
            tracing::error!(account = %who.account, %error, "the configuration cannot be read");
            RpcError::new(error::INTERNAL_ERROR, "the configuration cannot be read now; try again")
        })
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
        let params = request.params.as_ref();
        match request.method.as_str() {
            "tools/call" => return self.call_tool(who, scope, params, &*client).await,
            "tools/list" => return self.list_tools(who, scope, params).await,
            _ => {}
        }
        if !(who.has_scope(Scope::McpRead) || who.has_scope(Scope::Admin)) {
            return Err(RpcError::new(error::INVALID_REQUEST, "this API key lacks the scope `mcp:read`"));
        }
        match request.method.as_str() {
            "resources/list" => self.list_resources(who, scope, params).await,
            "resources/templates/list" => self.list_resource_templates(who, scope, params).await,
            "resources/read" => self.read_resource(who, scope, params, &*client).await,
            "resources/subscribe" => self.subscribe(who, scope, params, &*client).await,
            "resources/unsubscribe" => self.unsubscribe(who, scope, params, &*client).await,
            "prompts/list" => self.list_prompts(who, scope, params).await,
            "prompts/get" => self.get_prompt(who, scope, params, &*client).await,
            "completion/complete" => self.complete(who, scope, params, &*client).await,
            "tasks/get" if tasks::wanted(&*client) => self.get_task(who, params, &*client).await,
            "tasks/update" if tasks::wanted(&*client) => self.update_task(who, params).await,
            "tasks/cancel" if tasks::wanted(&*client) => self.cancel_task(who, params).await,
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
    async fn identify(&self, bearer: &str) -> Result<Arc<Principal>, Unidentified> {
        self.governor.identify(bearer).await.map_err(|error| match error {
            IdentifyError::Unknown | IdentifyError::Expired => Unidentified::Invalid,
            IdentifyError::Unavailable(error) => Unidentified::Unavailable(error.to_string()),
        })
    }
}
