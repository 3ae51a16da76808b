//! Resources: listed together, read where they live.

use std::{borrow::Cow, sync::Arc};

use dashmap::DashMap;
use preloop_types::{Principal, ServerId, config::Server};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Firewall, route, tools};
use crate::{
    downstream::EndpointScope,
    protocol::{Client, RpcError, Version, error},
    upstream::{
        Offered,
        members::{self, Members},
    },
};

/// How many agents subscribed to which resource; upstream is asked once.
#[derive(Default)]
pub(super) struct Subscriptions {
    counts: DashMap<(ServerId, String), usize>,
}

impl Subscriptions {
    /// Whether this is the first.
    fn add(&self, server: ServerId, uri: &str) -> bool {
        let mut count = self.counts.entry((server, uri.to_owned())).or_default();
        *count += 1;
        *count == 1
    }

    /// Whether this was the last.
    fn remove(&self, server: ServerId, uri: &str) -> bool {
        let key = (server, uri.to_owned());
        let Some(mut count) = self.counts.get_mut(&key) else { return false };
        *count -= 1;
        let last = *count == 0;
        drop(count);
        last && self.counts.remove_if(&key, |_, count| *count == 0).is_some()
    }
}

#[derive(Deserialize)]
struct UriParams<'a> {
    #[serde(borrow)]
    uri: Cow<'a, str>,
}

impl Firewall {
    pub(super) async fn list_resources(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
    ) -> Result<Arc<RawValue>, RpcError> {
        let rename = |server: &Server, item: &RawValue| qualify(scope, server, item, "uri");
        self.list_offered(who, scope, params, (|all| &all.resources, "resources"), rename).await
    }

    pub(super) async fn list_resource_templates(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
    ) -> Result<Arc<RawValue>, RpcError> {
        let rename = |server: &Server, item: &RawValue| qualify(scope, server, item, "uriTemplate");
        self.list_offered(who, scope, params, (|all| &all.templates, "resourceTemplates"), rename).await
    }

    /// One page of what all visible servers offer of one kind. A server that cannot be asked is
    /// left out: the others still work.
    pub(super) async fn list_offered(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
        (kind, member): (fn(&Offered) -> &Vec<Arc<RawValue>>, &str),
        rename: impl Fn(&Server, &RawValue) -> String,
    ) -> Result<Arc<RawValue>, RpcError> {
        let page = tools::page_of(params)?;
        let snapshot = self.snapshot(who).await?;
        let servers = route::servers(&snapshot, who, scope);
        let asked = servers.iter().map(|server| async move { (server, self.upstreams.offered(who.account, server).await) });
        let mut all = Vec::new();
        for (server, offered) in futures::future::join_all(asked).await {
            match offered {
                Ok(offered) => all.extend(kind(&offered).iter().map(|item| rename(server, item))),
                Err(error) => tracing::warn!(server = server.slug, %error, "left out of `{member}`"),
            }
        }
        let pages = tools::paginate(member, &all);
        pages.into_iter().nth(page).ok_or_else(|| RpcError::new(error::INVALID_PARAMS, "unknown cursor"))
    }

    pub(super) async fn read_resource(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, RpcError> {
        self.on_resource(who, scope, params, client, "resources/read").await
    }

    pub(super) async fn subscribe(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, RpcError> {
        let (server, uri) = self.resource(who, scope, params, client).await?;
        if self.subscriptions.add(server.id, &uri) {
            let asked = self.ask_about(&server, &uri, who, params, client, "resources/subscribe").await;
            if asked.is_err() {
                self.subscriptions.remove(server.id, &uri);
            }
            return asked;
        }
        Ok(members::raw("{}"))
    }

    pub(super) async fn unsubscribe(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
        client: &dyn Client,
    ) -> Result<Arc<RawValue>, RpcError> {
        let (server, uri) = self.resource(who, scope, params, client).await?;
        if self.subscriptions.remove(server.id, &uri) {
            return self.ask_about(&server, &uri, who, params, client, "resources/unsubscribe").await;
        }
        Ok(members::raw("{}"))
    }

    async fn on_resource(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
        client: &dyn Client,
        method: &str,
    ) -> Result<Arc<RawValue>, RpcError> {
        let (server, uri) = self.resource(who, scope, params, client).await?;
        self.ask_about(&server, &uri, who, params, client, method).await
    }

    async fn ask_about(
        &self,
        server: &Arc<Server>,
        uri: &str,
        who: &Arc<Principal>,
        params: Option<&Arc<RawValue>>,
        client: &dyn Client,
        method: &str,
    ) -> Result<Arc<RawValue>, RpcError> {
        let params = params.and_then(|params| members::replace(params, "uri", &json!(uri).to_string()));
        self.pass(server, who, method, params, client).await
    }

    /// Where a URI leads. One without our prefix, from a result's link, leads to the server that
    /// lists it, or to the only one there is.
    async fn resource(
        &self,
        who: &Arc<Principal>,
        scope: &EndpointScope,
        params: Option<&Arc<RawValue>>,
        client: &dyn Client,
    ) -> Result<(Arc<Server>, String), RpcError> {
        let uri: UriParams<'_> = params
            .and_then(|params| serde_json::from_str(params.get()).ok())
            .ok_or_else(|| RpcError::new(error::INVALID_PARAMS, "`params.uri` is missing"))?;
        let uri = uri.uri;
        let snapshot = self.snapshot(who).await?;
        let servers = route::servers(&snapshot, who, scope);
        if *scope == EndpointScope::All
            && let Some((server, rest)) = route::split_uri(&servers, &uri)
        {
            return Ok((server, rest.to_owned()));
        }
        if let [only] = servers.as_slice() {
            return Ok((only.clone(), uri.into_owned()));
        }
        for server in &servers {
            let Ok(offered) = self.upstreams.offered(who.account, server).await else { continue };
            if offered.resources.iter().any(|item| is_called(item, "uri", &uri)) {
                return Ok((server.clone(), uri.into_owned()));
            }
        }
        Err(not_found(client.version(), &uri))
    }
}

/// A listed item with its `member` qualified by the server.
fn qualify(scope: &EndpointScope, server: &Server, item: &RawValue, member: &str) -> String {
    let original = Members::of(item).and_then(|members| members.get(member).map(RawValue::get).map(str::to_owned));
    let original: Option<String> = original.and_then(|raw| serde_json::from_str(&raw).ok());
    match (scope, original) {
        (EndpointScope::All, Some(uri)) => {
            let exposed = json!(route::exposed_uri(scope, server, &uri)).to_string();
            members::replace(item, member, &exposed).map_or_else(|| item.get().to_owned(), |item| item.get().to_owned())
        }
        _ => item.get().to_owned(),
    }
}

/// Whether the item's `member` is the string `wanted`.
pub(super) fn is_called(item: &RawValue, member: &str, wanted: &str) -> bool {
    Members::of(item)
        .and_then(|members| members.get(member).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok()))
        .is_some_and(|name| name == wanted)
}

fn not_found(version: Version, uri: &str) -> RpcError {
    let code = match version.era() {
        crate::protocol::Era::Legacy => error::RESOURCE_NOT_FOUND,
        crate::protocol::Era::Modern => error::INVALID_PARAMS,
    };
    RpcError::new(code, "Resource not found").with_data(&json!({"uri": uri}))
}
