//! Tells agents when what they may see has changed.

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, stream, stream::BoxStream};
use preloop_store::Event;
use preloop_types::{Principal, ServerId, config::Server};
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
        let Some(server) = self.visible(event.server).await else { return Vec::new() };
        vec![match event.change {
            UpstreamChange::Tools => Change::Tools,
            UpstreamChange::Prompts => Change::Prompts,
            UpstreamChange::Resources => Change::Resources,
            UpstreamChange::ResourceUpdated(uri) => Change::Resource(route::exposed_uri(&self.scope, &server, &uri)),
        }]
    }

    async fn visible(&self, id: ServerId) -> Option<Arc<Server>> {
        let snapshot = self.governor.snapshot(self.who.account).await.ok()?;
        let servers = route::servers(&snapshot, &self.who, &self.scope).into_iter();
        servers.map(|server| (server.id, server)).collect::<HashMap<_, _>>().remove(&id)
    }
}

/// What a change of the configuration may have changed.
fn everything() -> Vec<Change> {
    vec![Change::Tools, Change::Prompts, Change::Resources]
}
