//! Making a connection: the address is checked, then reached directly or through a proxy, then TLS.

use std::{
    error::Error,
    io,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use rustls::{ClientConfig, crypto::aws_lc_rs};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tower::{BoxError, Service};
use url::Url;

use crate::{
    Refused,
    resolver::Guard,
    url_check::{cause, check},
};

/// How long a connection may be silent before the system asks the other side.
const TCP_KEEPALIVE: Duration = Duration::from_mins(1);

/// Makes guarded connections.
#[derive(Debug, Clone)]
pub(crate) struct Connect {
    route: HttpsConnector<Route>,
    allow_private: bool,
    timeout: Duration,
}

/// The plain connection under HTTP or TLS.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    direct: HttpConnector<Guard>,
    proxies: Option<Arc<Matcher>>,
}

/// The connection took too long.
#[derive(Debug, thiserror::Error)]
#[error("no connection in time")]
struct TimedOut;

/// Whether time was what was lacking, be it ours or the system's.
pub(super) fn timed_out(error: &(dyn Error + 'static)) -> bool {
    let system = cause::<io::Error>(error).is_some_and(|error| error.kind() == io::ErrorKind::TimedOut);
    system || cause::<TimedOut>(error).is_some()
}

impl Connect {
    pub(crate) fn new(guard: Guard, system_proxy: bool, timeout: Duration) -> Result<Self, rustls::Error> {
        let allow_private = guard.allow_private;
        let tls = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_platform_verifier()?
            .with_no_client_auth();
        let mut direct = HttpConnector::new_with_resolver(guard);
        direct.enforce_http(false);
        direct.set_nodelay(true);
        direct.set_keepalive(Some(TCP_KEEPALIVE));
        direct.set_connect_timeout(Some(timeout));
        let proxies = system_proxy.then(|| Arc::new(Matcher::from_env()));
        let route = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_all_versions()
            .wrap_connector(Route { direct, proxies });
        Ok(Self { route, allow_private, timeout })
    }
}

impl Service<Uri> for Connect {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.route.poll_ready(cx)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let checked = checked(&to, self.allow_private);
        let connecting = self.route.call(to);
        let timeout = self.timeout;
        Box::pin(async move {
            checked?;
            tokio::time::timeout(timeout, connecting).await.map_err(|_| TimedOut)?
        })
    }
}

/// Literal addresses never meet the resolver, so they are judged here.
fn checked(to: &Uri, allow_private: bool) -> Result<(), Refused> {
    let text = to.to_string();
    let url = Url::parse(&text).map_err(|error| Refused::Syntax { url: text, reason: error.to_string() })?;
    check(&url, allow_private)
}

impl Service<Uri> for Route {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.direct.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let Some(proxy) = self.proxies.as_ref().and_then(|proxies| proxies.intercept(&to)) else {
            let connecting = self.direct.call(to);
            return Box::pin(async move { Ok(connecting.await?) });
        };
        if proxy.uri().scheme_str() != Some("http") {
            let error = format!("the proxy `{}` is not an `http://` URL", proxy.uri());
            return Box::pin(async move { Err(error.into()) });
        }
        // The proxy is the operator's choice, so it may be private; where it leads is its to guard.
        let mut tunnel = Tunnel::new(proxy.uri().clone(), HttpConnector::new());
        if let Some(credential) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credential.clone());
        }
        Box::pin(async move { Ok(tunnel.call(to).await?) })
    }
}
