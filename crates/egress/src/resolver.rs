use std::{
    fmt, io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures::{FutureExt, future::BoxFuture};
use hyper_util::client::legacy::connect::dns;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tower::{BoxError, Service};

use crate::{Refused, is_private};

/// Turns a name into addresses. The seam at which tests play a hostile name server.
pub trait Lookup: Send + Sync + fmt::Debug {
    /// Every address of `host`.
    fn lookup(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The system's resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemLookup;

impl Lookup for SystemLookup {
    fn lookup(&self, host: &str) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let host = host.to_owned();
        async move { Ok(tokio::net::lookup_host((host.as_str(), 0)).await?.map(|address| address.ip()).collect()) }
            .boxed()
    }
}

/// Resolves and checks in one step, so that the address checked is the address connected to.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    pub(crate) lookup: Arc<dyn Lookup>,
    pub(crate) allow_private: bool,
}

impl Guard {
    fn addresses(&self, host: &str) -> BoxFuture<'static, Result<vec::IntoIter<SocketAddr>, BoxError>> {
        let found = self.lookup.lookup(host);
        let (host, allow_private) = (host.to_owned(), self.allow_private);
        async move {
            let addresses = found.await?;
            // One private address among public ones is reason enough: which of them would be
            // tried first is for the name server to say.
            if let Some(&address) = addresses.iter().find(|address| !allow_private && is_private(**address)) {
                return Err(Refused::Private { host, address }.into());
            }
            let addresses: Vec<SocketAddr> = addresses.into_iter().map(|ip| (ip, 0).into()).collect();
            Ok(addresses.into_iter())
        }
        .boxed()
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let found = self.addresses(name.as_str());
        async move { Ok(Box::new(found.await?) as Addrs) }.boxed()
    }
}

impl Service<dns::Name> for Guard {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: dns::Name) -> Self::Future {
        self.addresses(name.as_str())
    }
}
