//! A reverse proxy that does nothing but forward: what any server in the path costs at least. The
//! tests also put it in front of Preloop for clients that cannot be given a credential.

use std::{net::SocketAddr, sync::Arc};

use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{HOST, HeaderName, HeaderValue, ORIGIN},
    service::service_fn,
};
use tokio::sync::Mutex;

use crate::http::{Body, Connection, Error, Server, full};

/// Where a proxy forwards to.
#[derive(Debug, Clone)]
pub struct Target {
    /// The server behind it.
    pub addr: SocketAddr,
    /// Replaces the path of every request, where given.
    pub path: Option<String>,
    /// Put into every request.
    pub headers: HeaderMap,
}

/// A running proxy. Each client connection has one connection of its own behind it.
pub struct Proxy(Server);

impl Proxy {
    /// Starts it on `port` (0 picks a free one).
    pub async fn start(port: u16, target: Target) -> std::io::Result<Self> {
        let target = Arc::new(target);
        let server = Server::start(port, move || {
            let target = target.clone();
            let upstream = Arc::new(Mutex::new(Connection::new(target.addr)));
            service_fn(move |request| forward(target.clone(), upstream.clone(), request))
        });
        Ok(Self(server.await?))
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr()
    }
}

async fn forward(
    target: Arc<Target>,
    upstream: Arc<Mutex<Connection>>,
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Error> {
    if let Some(path) = &target.path {
        *request.uri_mut() = path.parse::<Uri>()?;
    }
    for name in [HOST, ORIGIN] {
        redirect(request.headers_mut(), &name, target.addr.port());
    }
    request.headers_mut().extend(target.headers.clone());
    let request = request.map(|body| body.map_err(Error::from).boxed_unsync());
    match upstream.lock().await.send(request).await {
        Ok(response) => Ok(response.map(|body| body.map_err(Error::from).boxed_unsync())),
        Err(error) => {
            let mut response = Response::new(full(error.to_string()));
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(response)
        }
    }
}

/// A caller that means this proxy means the server behind it. Any other host is passed on for that
/// server to judge.
fn redirect(headers: &mut HeaderMap, name: &HeaderName, port: u16) {
    let Some(meant) = headers.get(name).and_then(|meant| meant.to_str().ok()) else { return };
    let Some((host, _)) = meant.rsplit_once(':') else { return };
    if ["127.0.0.1", "localhost"].contains(&host.trim_start_matches("http://"))
        && let Ok(redirected) = HeaderValue::from_str(&format!("{host}:{port}"))
    {
        headers.insert(name, redirected);
    }
}
