//! Listening, and ending in order.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, serve::ListenerExt};
use tokio::{net::TcpListener, task::JoinSet};
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{App, ServeError, ServerOptions, Welcome, api, layers, metrics, oauth, openapi, page, scim};

/// Longest wait for requests that are being answered when the instance is asked to end.
const GRACE: Duration = Duration::from_secs(15);

/// An instance that listens and does not answer yet.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    app: App,
    welcome: Option<Welcome>,
}

impl Server {
    /// Binds the address and opens the instance.
    pub async fn start(options: ServerOptions) -> Result<Self, ServeError> {
        let unusable = |source| ServeError::Listen { address: options.listen.to_string(), source };
        let listener = TcpListener::bind(options.listen).await.map_err(unusable)?;
        let address = listener.local_addr()?;
        let public_url = match &options.public_url {
            Some(url) => url.clone(),
            None => reachable(address)?,
        };
        options.warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
        let (app, welcome) = App::open(options, public_url).await?;
        Ok(Self { listener, address, app, welcome })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The instance.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// What the first owner needs, if they were made now. Shown once, by whoever starts the server.
    pub fn welcome(&self) -> Option<&Welcome> {
        self.welcome.as_ref()
    }

    /// Answers requests until `shutdown` fires, then ends in order: streams are ended, requests
    /// get some time, upstream programs are stopped, the database is closed.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServeError> {
        let Self { listener, app, .. } = self;
        let mut workers = JoinSet::new();
        app.spawn_workers(&mut workers);
        let service = router(&app).into_make_service_with_connect_info::<SocketAddr>();
        let listener = listener.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY cannot be set");
            }
        });
        let ending = {
            let (app, shutdown) = (app.clone(), shutdown.clone());
            async move {
                shutdown.cancelled().await;
                app.begin_shutdown();
            }
        };
        let serving = axum::serve(listener, service).with_graceful_shutdown(ending);
        let overdue = async {
            shutdown.cancelled().await;
            tokio::time::sleep(GRACE).await;
        };
        let served = tokio::select! {
            served = serving => served,
            () = overdue => {
                tracing::warn!("requests were still running after {}s and are cut off", GRACE.as_secs());
                Ok(())
            }
        };
        app.begin_shutdown();
        let drained = tokio::time::timeout(GRACE, async { while workers.join_next().await.is_some() {} });
        if drained.await.is_err() {
            tracing::warn!("workers were still running and are cut off");
            workers.abort_all();
        }
        app.close().await;
        Ok(served?)
    }
}

/// Runs an instance until `shutdown` fires.
pub async fn serve(options: ServerOptions, shutdown: CancellationToken) -> Result<(), ServeError> {
    Server::start(options).await?.run(shutdown).await
}

fn router(app: &App) -> Router {
    let (rest, document) = openapi::finish(api::router());
    let rest = rest
        .merge(page::router())
        .merge(oauth::router())
        .merge(scim::router())
        .merge(metrics::router())
        .with_state(app.clone())
        .merge(openapi::routes(&document));
    let rest = rest.method_not_allowed_fallback(openapi::wrong_method);
    let router = layers::bounded(rest).merge(app.mcp().router());
    let router = layers::outer(router.fallback(openapi::no_such_path), &app.options().allowed_origins);
    // Model traffic has an answer of its own for everything; what it does without costs it nothing.
    router.merge(layers::unbreakable(app.gateway().router()))
}

/// A URL by which this machine reaches itself.
fn reachable(address: SocketAddr) -> Result<Url, ServeError> {
    let host = match address.ip() {
        ip if ip.is_unspecified() => "localhost".to_owned(),
        ip if ip.is_ipv6() => format!("[{ip}]"),
        ip => ip.to_string(),
    };
    let url = format!("http://{host}:{}", address.port());
    url.parse().map_err(|_| ServeError::Options(format!("`{url}` is not a URL; set the public URL")))
}
