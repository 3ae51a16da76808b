//! Resources: listed together, read where they live.

use std::{borrow::Cow, sync::Arc};

use dashmap::DashMap;
use preloop_types::{RESOURCES_READ, ServerId, config::Server};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{Asked, Firewall, route, tools};
use crate::splice::{self, Members};
use crate::{
    downstream::EndpointScope,
    protocol::{RpcError, Version, error},
    upstream::{Offered, UpstreamError},
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
    pub(super) async fn list_resources(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let rename = |server: &Server, item: &RawValue| qualify(asked.scope, server, item, "uri");
        self.list_offered(asked, RESOURCES_READ, "resources", |all| &all.resources, rename).await
    }

    pub(super) async fn list_resource_templates(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let rename = |server: &Server, item: &RawValue| qualify(asked.scope, server, item, "uriTemplate");
        self.list_offered(asked, RESOURCES_READ, "resourceTemplates", |all| &all.templates, rename).await
    }

    /// One page of what all servers offer of one kind that the caller may know of, because it may
    /// use `method`. A server that cannot be asked is left out: the others still work.
    pub(super) async fn list_offered(
        &self,
        asked: &Asked<'_>,
        method: &str,
        member: &str,
        kind: fn(&Offered) -> &Vec<Arc<RawValue>>,
        rename: impl Fn(&Server, &RawValue) -> String,
    ) -> Result<Arc<RawValue>, RpcError> {
        let page = asked.page()?;
        let servers = self.servers(asked, method).await?;
        let account = asked.who.account;
        let answers =
            servers.iter().map(|server| async move { (server, self.upstreams.offered(account, server).await) });
        let mut all = Vec::new();
        for (server, offered) in futures::future::join_all(answers).await {
            match offered {
                Ok(offered) => all.extend(kind(&offered).iter().map(|item| rename(server, item))),
                Err(error) => tracing::warn!(server = server.slug, %error, "left out of `{member}`"),
            }
        }
        tools::paginate(member, &all).into_iter().nth(page).ok_or_else(tools::bad_cursor)
    }

    pub(super) async fn read_resource(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let (server, uri) = self.resource(asked).await?;
        self.read(asked, &server, RESOURCES_READ, asked.params_with("uri", &uri)).await
    }

    pub(super) async fn subscribe(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let (server, uri) = self.resource(asked).await?;
        self.may_follow(asked, &server, &uri).await?;
        if !self.subscriptions.add(server.id, &uri) {
            return Ok(splice::raw("{}"));
        }
        let answer = self.pass(asked, &server, "resources/subscribe", asked.params_with("uri", &uri)).await;
        if answer.is_err() {
            self.subscriptions.remove(server.id, &uri);
        }
        answer
    }

    pub(super) async fn unsubscribe(&self, asked: &Asked<'_>) -> Result<Arc<RawValue>, RpcError> {
        let (server, uri) = self.resource(asked).await?;
        if !self.subscriptions.remove(server.id, &uri) {
            return Ok(splice::raw("{}"));
        }
        self.pass(asked, &server, "resources/unsubscribe", asked.params_with("uri", &uri)).await
    }

    /// The servers whose resources or prompts the caller may see: those it may use `method` of.
    pub(super) async fn servers(&self, asked: &Asked<'_>, method: &str) -> Result<Vec<Arc<Server>>, RpcError> {
        let snapshot = self.snapshot(asked.who).await?;
        Ok(route::servers(&snapshot, asked.who, asked.scope, method))
    }

    /// Where a URI leads. One without our prefix, from a result's link, leads to the server that
    /// lists it, or to the only one there is.
    async fn resource(&self, asked: &Asked<'_>) -> Result<(Arc<Server>, String), RpcError> {
        let UriParams { uri } = asked.params("`params` must hold the resource's `uri`")?;
        let servers = self.servers(asked, RESOURCES_READ).await?;
        if let Some((server, rest)) = route::split_uri(&servers, asked.scope, &uri) {
            return Ok((server, rest.to_owned()));
        }
        if let [only] = servers.as_slice() {
            return Ok((only.clone(), uri.into_owned()));
        }
        for server in &servers {
            let Ok(offered) = self.upstreams.offered(asked.who.account, server).await else { continue };
            if offered.resources.iter().any(|item| is_called(item, "uri", &uri)) {
                return Ok((server.clone(), uri.into_owned()));
            }
        }
        Err(not_found(asked.client.version(), &uri))
    }

    /// Hands a request that has no effect to its server, and the answer back as it came.
    pub(super) async fn pass(
        &self,
        asked: &Asked<'_>,
        server: &Arc<Server>,
        method: &str,
        params: Option<Arc<RawValue>>,
    ) -> Result<Arc<RawValue>, RpcError> {
        self.upstreams.request(server, asked.who, method, params, asked.client).await.map_err(|failure| match failure {
            UpstreamError::Rpc(error) => error,
            failure => {
                let facts = json!({"server": server.slug, "kind": failure.kind(), "retryable": failure.retryable()});
                RpcError::new(error::INTERNAL_ERROR, format!("server `{}`: {failure}", server.slug)).with_data(&facts)
            }
        })
    }
}

/// A listed item with its `member` qualified by the server.
fn qualify(scope: &EndpointScope, server: &Server, item: &RawValue, member: &str) -> String {
    rename(item, member, |uri| route::exposed_uri(scope, server, uri))
}

/// A listed item whose `member` is called otherwise.
pub(super) fn rename(item: &RawValue, member: &str, exposed: impl Fn(&str) -> String) -> String {
    let renamed = text_of(item, member)
        .and_then(|own| splice::replace(item, member, &json!(exposed(&own)).to_string()))
        .map(|renamed| renamed.get().to_owned());
    renamed.unwrap_or_else(|| item.get().to_owned())
}

/// Whether the item's `member` is the string `wanted`.
pub(super) fn is_called(item: &RawValue, member: &str, wanted: &str) -> bool {
    text_of(item, member).is_some_and(|own| own == wanted)
}

fn text_of(item: &RawValue, member: &str) -> Option<String> {
    Members::of(item)?.get(member).and_then(|own| serde_json::from_str(own.get()).ok())
}

fn not_found(version: Version, uri: &str) -> RpcError {
    let code = match version.era() {
        crate::protocol::Era::Legacy => error::RESOURCE_NOT_FOUND,
        crate::protocol::Era::Modern => error::INVALID_PARAMS,
    };
    RpcError::new(code, "Resource not found").with_data(&json!({"uri": uri}))
}
