use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use preloop_store::{SecretOwner, Store};
use preloop_types::{AccountId, ServerId, Timestamp, config::Auth};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::{UpstreamError, oauth};

/// How long before its end a token is replaced.
const REFRESH_AHEAD: Duration = Duration::from_mins(1);

/// How we prove who we are to one server: the headers every request to it carries.
pub(super) struct Credential {
    store: Store,
    client: preloop_egress::Client,
    account: AccountId,
    server: ServerId,
    auth: Auth,
    held: ArcSwapOption<Held>,
    generation: AtomicU64,
    /// One renewal at a time: refresh tokens may be good for a single use.
    renewing: Mutex<()>,
}

struct Held {
    headers: Arc<HeaderMap>,
    expires_at: Option<Timestamp>,
}

impl Credential {
    /// `client` is the one for talking to authorization servers.
    pub(super) fn new(
        store: Store,
        client: preloop_egress::Client,
        account: AccountId,
        server: ServerId,
        auth: Auth,
    ) -> Self {
        Self {
            store,
            client,
            account,
            server,
            auth,
            held: ArcSwapOption::empty(),
            generation: AtomicU64::new(0),
            renewing: Mutex::new(()),
        }
    }

    /// The headers to send now.
    pub(super) async fn headers(&self) -> Result<Arc<HeaderMap>, UpstreamError> {
        if let Some(held) = &*self.held.load()
            && !self.is_expiring(held)
        {
            return Ok(Arc::clone(&held.headers));
        }
        Box::pin(self.renewed_headers()).await
    }

    async fn renewed_headers(&self) -> Result<Arc<HeaderMap>, UpstreamError> {
        let _one = self.renewing.lock().await;
        let held = match self.held.load_full() {
            Some(held) => held,
            None => self.load().await?,
        };
        if !self.is_expiring(&held) {
            return Ok(Arc::clone(&held.headers));
        }
        Ok(Arc::clone(&self.refresh().await?.headers))
    }

    /// Tells this credential from the one that replaces it.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The server refused the credential of `generation`: gets another one, or says that a person
    /// has to.
    pub(super) async fn renew(&self, generation: u64) -> Result<(), UpstreamError> {
        let _one = self.renewing.lock().await;
        if self.generation() != generation {
            return Ok(());
        }
        if matches!(self.auth, Auth::OAuth(_)) {
            self.refresh().await?;
            return Ok(());
        }
        // Somebody may have replaced the secret since it was read.
        let refused = self.held.load_full();
        let now = self.load().await?;
        if refused.is_some_and(|refused| refused.headers == now.headers) {
            let what = if matches!(self.auth, Auth::None) {
                "sign in with OAuth or add a token"
            } else {
                "replace the secret"
            };
            return Err(UpstreamError::NeedsAuth(format!("the server refused the credential: {what}")));
        }
        Ok(())
    }

    fn is_expiring(&self, held: &Held) -> bool {
        held.expires_at.is_some_and(|end| self.store.now() + REFRESH_AHEAD >= end)
    }

    async fn load(&self) -> Result<Arc<Held>, UpstreamError> {
        let secrets = match self.auth {
            Auth::None => BTreeMap::new(),
            _ => self.store.account(self.account).secrets(SecretOwner::Server(self.server)).await?,
        };
        let expires_at = oauth::Grant::read(&secrets).and_then(|grant| grant.expires_at);
        Ok(self.hold(headers(&self.auth, &secrets)?, expires_at))
    }

    async fn refresh(&self) -> Result<Arc<Held>, UpstreamError> {
        let tokens = oauth::refresh(&self.store, &self.client, self.account, self.server).await?;
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, bearer(&tokens.access_token)?);
        Ok(self.hold(headers, tokens.expires_at))
    }

    fn hold(&self, headers: HeaderMap, expires_at: Option<Timestamp>) -> Arc<Held> {
        let held = Arc::new(Held { headers: Arc::new(headers), expires_at });
        self.held.store(Some(Arc::clone(&held)));
        self.generation.fetch_add(1, Ordering::AcqRel);
        held
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("server", &self.server).finish_non_exhaustive()
    }
}

fn headers(auth: &Auth, secrets: &BTreeMap<String, SecretString>) -> Result<HeaderMap, UpstreamError> {
    let secret = |name: &str| {
        secrets.get(name).ok_or_else(|| UpstreamError::NeedsAuth(format!("secret `{name}` of the server is not set")))
    };
    let mut headers = HeaderMap::new();
    match auth {
        Auth::None => {}
        Auth::Bearer => drop(headers.insert(header::AUTHORIZATION, bearer(secret("token")?)?)),
        Auth::ApiKey { header } => drop(headers.insert(header_name(header)?, value(secret("api_key")?)?)),
        Auth::Header { names } => {
            for name in names {
                headers.insert(header_name(name)?, value(secret(&format!("header.{name}"))?)?);
            }
        }
        Auth::OAuth(_) => match secrets.get("access_token") {
            Some(token) => drop(headers.insert(header::AUTHORIZATION, bearer(token)?)),
            None => return Err(UpstreamError::NeedsAuth("sign in with OAuth first".to_owned())),
        },
    }
    Ok(headers)
}

fn header_name(name: &str) -> Result<HeaderName, UpstreamError> {
    name.parse().map_err(|_| UpstreamError::Config(format!("`{name}` is not a header name")))
}

fn bearer(token: &SecretString) -> Result<HeaderValue, UpstreamError> {
    value(&format!("Bearer {}", token.expose_secret()).into())
}

fn value(secret: &SecretString) -> Result<HeaderValue, UpstreamError> {
    let mut value = HeaderValue::from_str(secret.expose_secret())
        .map_err(|_| UpstreamError::Config("a secret holds characters a header cannot carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}
