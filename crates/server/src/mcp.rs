//! The MCP side of the instance: the endpoint agents speak to, the firewall behind it, and the
//! upstream servers behind that.

use std::sync::Arc;

use axum::Router;
use http::{HeaderMap, Uri};
use preloop_egress::Egress;
use preloop_govern::Governor;
use preloop_mcp::{
    downstream::{self, Downstream, Options, ServerInfo},
    firewall::{Firewall, FirewallOptions},
    upstream::{UpstreamOptions, Upstreams},
};
use preloop_store::Store;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::ServerOptions;

/// The MCP side of an instance.
pub(crate) struct Mcp {
    firewall: Arc<Firewall>,
    upstreams: Upstreams,
    store: Store,
    options: Options,
}

impl Mcp {
    pub(crate) fn new(
        governor: &Governor,
        egress: &Egress,
        options: &ServerOptions,
        public_url: &Url,
        shutdown: &CancellationToken,
    ) -> Self {
        let upstreams = Upstreams::new(
            governor.store().clone(),
            egress.clone(),
            UpstreamOptions {
                working_directory: Some(options.data_dir.display().to_string()),
                ..UpstreamOptions::default()
            },
        );
        let firewall = Firewall::new(governor.clone(), upstreams.clone(), FirewallOptions::default());
        let info = ServerInfo {
            name: "preloop".to_owned(),
            title: "Preloop".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let clock = governor.store().clone();
        let options = Options {
            // Only a URL somebody chose is one that clients must use.
            public_url: options.public_url.is_some().then(|| public_url.clone()),
            loopback: options.listen.ip().is_loopback(),
            hosts: options.allowed_hosts.clone(),
            origins: options.allowed_origins.clone(),
            shutdown: shutdown.clone(),
            ..Options::new(info, Arc::new(move || clock.now()))
        };
        Self { firewall, upstreams, store: governor.store().clone(), options }
    }

    /// The endpoint's routes.
    pub(crate) fn router(&self) -> Router {
        downstream::router(Downstream {
            handler: self.firewall.clone(),
            identify: self.firewall.clone(),
            sessions: Arc::new(self.store.clone()),
            options: self.options.clone(),
        })
    }

    /// Where the sender of a request reaches this server; why not, if it was sent to another name.
    pub(crate) fn base(&self, headers: &HeaderMap, uri: &Uri) -> Result<String, String> {
        self.options.base(headers, uri)
    }

    /// The upstream servers.
    pub(crate) fn upstreams(&self) -> &Upstreams {
        &self.upstreams
    }

    /// Ends upstream connections and programs.
    pub(crate) async fn shutdown(&self) {
        self.upstreams.shutdown().await;
    }
}
