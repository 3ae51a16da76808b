use std::{fmt, io, net::IpAddr, sync::Arc};

use futures::{FutureExt, future::BoxFuture};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

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
pub(crate) struct Guard {
    pub(crate) lookup: Arc<dyn Lookup>,
    pub(crate) allow_private: bool,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let host = name.as_str().to_owned();
        let found = self.lookup.lookup(&host);
        let allow_private = self.allow_private;
        async move {
            let addresses = found.await?;
            // One private address among public ones is reason enough: which of them would be
            // tried first is for the name server to say.
            if let Some(&address) = addresses.iter().find(|address| !allow_private && is_private(**address)) {
                return Err(Refused::Private { host, address }.into());
            }
            let addresses: Addrs = Box::new(addresses.into_iter().map(|ip| (ip, 0).into()));
            Ok(addresses)
        }
        .boxed()
    }
}
