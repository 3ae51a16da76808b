//! Tells agents when what they may see has changed.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream, stream::BoxStream};
use preloop_store::Event;
use preloop_types::{PROMPTS_GET, Principal, RESOURCES_READ, ServerId, config::Server};
use tokio::sync::broadcast::{self, error::RecvError};

use super::{Firewall, route};
use crate::{
    downstream::{Change, EndpointScope},
    upstream::{UpstreamChange, UpstreamEvent},
};

impl Firewall {
    /// What changes from now on for one caller at one endpoint.
    pub(super) fn watch(&self, who: &Arc<Principal>, scope: &EndpointScope) -> BoxStream<'static, Change> {
        let watch = Watch {
            governor: self.governor.clone(),
            who: who.clone(),
            scope: scope.clone(),
            store: self.governor.store().events(),
            upstream: self.upstreams.events(),
        };
        stream::unfold(watch, |mut watch| async move { watch.next().await.map(|changes| (changes, watch)) })
            .flat_map(stream::iter)
            .boxed()
    }
}

struct Watch {
    governor: preloop_govern::Governor,
    who: Arc<Principal>,
    scope: EndpointScope,
    store: broadcast::Receiver<Event>,
    upstream: broadcast::Receiver<UpstreamEvent>,
}

impl Watch {
    /// The next changes; `None` when the server ends.
    async fn next(&mut self) -> Option<Vec<Change>> {
        loop {
            let changes = tokio::select! {
                event = self.store.recv() => match event {
                    Ok(Event::ConfigChanged(account)) if account == self.who.account => everything(),
                    Ok(Event::Resync) | Err(RecvError::Lagged(_)) => everything(),
                    Ok(_) => Vec::new(),
                    Err(RecvError::Closed) => return None,
                },
                event = self.upstream.recv() => match event {
                    Ok(event) if event.account == self.who.account => self.of_server(event).await,
                    Ok(_) => Vec::new(),
                    Err(RecvError::Lagged(_)) => everything(),
                    Err(RecvError::Closed) => return None,
                },
            };
            if !changes.is_empty() {
                return Some(changes);
            }
        }
    }

    async fn of_server(&self, event: UpstreamEvent) -> Vec<Change> {
        let method = match event.change {
            // Which tools it had that this caller could see is not known any more.
            UpstreamChange::Tools => {
                return if self.reaches(event.server).await { vec![Change::Tools] } else { Vec::new() };
            }
            UpstreamChange::Prompts => PROMPTS_GET,
            UpstreamChange::Resources | UpstreamChange::ResourceUpdated(_) => RESOURCES_READ,
        };
        let Some(server) = self.visible(event.server, method).await else { return Vec::new() };
        vec![match event.change {
            UpstreamChange::Tools => Change::Tools,
            UpstreamChange::Prompts => Change::Prompts,
            UpstreamChange::Resources => Change::Resources,
            UpstreamChange::ResourceUpdated(uri) => Change::Resource(route::exposed_uri(&self.scope, &server, &uri)),
        }]
    }

    /// Whether the server is behind this endpoint.
    async fn reaches(&self, id: ServerId) -> bool {
        let EndpointScope::Server(slug) = &self.scope else { return true };
        let snapshot = self.governor.snapshot(self.who.account).await;
        snapshot.is_ok_and(|snapshot| snapshot.servers.get(&id).is_some_and(|server| server.slug == *slug))
    }

    async fn visible(&self, id: ServerId, method: &str) -> Option<Arc<Server>> {
        let snapshot = self.governor.snapshot(self.who.account).await.ok()?;
        let servers = route::servers(&snapshot, &self.who, &self.scope, method).into_iter();
        servers.map(|server| (server.id, server)).collect::<HashMap<_, _>>().remove(&id)
    }
}

/// What a change of the configuration may have changed.
fn everything() -> Vec<Change> {
    vec![Change::Tools, Change::Prompts, Change::Resources]
}
