use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Once, PoisonError},
    time::Duration,
};

use reqwest::{Method, RequestBuilder, redirect};
use url::Url;

use crate::{LeanClient, Lookup, Refused, SystemLookup, resolver::Guard, url_check::check};

/// How the instance reaches the outside.
#[derive(Debug, Clone)]
pub struct EgressOptions {
    /// Whether anything at all may reach private addresses; each [`Policy`] must allow it too.
    pub allow_private_network: bool,
    /// Go through the proxy named by `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`. The proxy resolves
    /// names then, so it has to do the guarding of addresses.
    pub system_proxy: bool,
    /// Who resolves names.
    pub lookup: Arc<dyn Lookup>,
}

impl Default for EgressOptions {
    fn default() -> Self {
        Self { allow_private_network: false, system_proxy: false, lookup: Arc::new(SystemLookup) }
    }
}

/// What one kind of use may do. Equal policies share one client and its connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Policy {
    /// Private addresses may be reached, if the instance agrees.
    pub allow_private: bool,
    /// Longest wait for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Longest life of an unused connection.
    pub idle_timeout: Duration,
    /// What happens on a redirect.
    pub redirects: Redirects,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            allow_private: false,
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            redirects: Redirects::None,
        }
    }
}

/// What happens on a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Redirects {
    /// The redirect itself is the response.
    None,
    /// Up to three are followed, each checked like the first URL, never to another scheme.
    Few,
}

/// Makes guarded HTTP clients. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Egress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    options: EgressOptions,
    clients: Mutex<HashMap<Policy, Client>>,
    lean: Mutex<HashMap<Policy, LeanClient>>,
}

/// A guarded HTTP client. Cheap to clone; connections are pooled.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    allow_private: bool,
}

const REDIRECTS_MAX: usize = 3;

impl Egress {
    /// One per process.
    pub fn new(options: EgressOptions) -> Self {
        static PROVIDER: Once = Once::new();
        PROVIDER.call_once(|| {
            // Fails only where the binary has installed one before, which is as good.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        });
        Self(Arc::new(Shared { options, clients: Mutex::default(), lean: Mutex::default() }))
    }

    /// The client for `policy`, made on first use. Fails only if the system's certificate store
    /// cannot be read.
    pub fn client(&self, policy: Policy) -> Result<Client, reqwest::Error> {
        let mut clients = self.0.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&policy) {
            return Ok(client.clone());
        }
        let client = self.build(policy)?;
        clients.insert(policy, client.clone());
        Ok(client)
    }

    /// The lean client for `policy`, made on first use; it follows no redirects, whatever the
    /// policy says. Fails only if the system's certificate store cannot be read.
    pub fn lean(&self, policy: Policy) -> Result<LeanClient, rustls::Error> {
        let mut clients = self.0.lean.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&policy) {
            return Ok(client.clone());
        }
        let client = LeanClient::new(&self.0.options, policy, self.allows_private(policy.allow_private))?;
        clients.insert(policy, client.clone());
        Ok(client)
    }

    /// Whether `url` could be fetched, as far as the URL itself tells. For the moment a person
    /// saves it; the addresses behind a name are checked when connecting.
    pub fn check_url(&self, url: &str, allow_private: bool) -> Result<Url, Refused> {
        let parsed =
            Url::parse(url).map_err(|error| Refused::Syntax { url: url.to_owned(), reason: error.to_string() })?;
        check(&parsed, self.allows_private(allow_private))?;
        Ok(parsed)
    }

    fn allows_private(&self, wanted: bool) -> bool {
        wanted && self.0.options.allow_private_network
    }

    fn build(&self, policy: Policy) -> Result<Client, reqwest::Error> {
        let allow_private = self.allows_private(policy.allow_private);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("preloop/", env!("CARGO_PKG_VERSION")))
            .referer(false)
            .connect_timeout(policy.connect_timeout)
            .pool_idle_timeout(policy.idle_timeout)
            .tcp_nodelay(true)
            .redirect(match policy.redirects {
                Redirects::None => redirect::Policy::none(),
                Redirects::Few => follow_few(allow_private),
            })
            .dns_resolver(Guard { lookup: Arc::clone(&self.0.options.lookup), allow_private });
        if !self.0.options.system_proxy {
            builder = builder.no_proxy();
        }
        Ok(Client { inner: builder.build()?, allow_private })
    }
}

impl Client {
    /// Starts a request, if the URL is allowed.
    pub fn request(&self, method: Method, url: Url) -> Result<RequestBuilder, Refused> {
        check(&url, self.allow_private)?;
        Ok(self.inner.request(method, url))
    }

    /// Starts a GET, if the URL is allowed.
    pub fn get(&self, url: Url) -> Result<RequestBuilder, Refused> {
        self.request(Method::GET, url)
    }

    /// Starts a POST, if the URL is allowed.
    pub fn post(&self, url: Url) -> Result<RequestBuilder, Refused> {
        self.request(Method::POST, url)
    }
}

fn follow_few(allow_private: bool) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        let from = attempt.previous().last().map_or("", Url::scheme);
        match check_redirect(from, attempt.url(), allow_private) {
            Err(refused) => attempt.error(refused),
            Ok(()) if attempt.previous().len() > REDIRECTS_MAX => attempt.error("more than three redirects"),
            Ok(()) => attempt.follow(),
        }
    })
}

fn check_redirect(from: &str, to: &Url, allow_private: bool) -> Result<(), Refused> {
    check(to, allow_private)?;
    if from == to.scheme() {
        return Ok(());
    }
    Err(Refused::SchemeChange { from: from.to_owned(), to: to.scheme().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_may_not_lead_inside_or_to_another_scheme() {
        let to = |url: &str| check_redirect("https", &Url::parse(url).unwrap(), false);
        assert!(to("https://example.com/elsewhere").is_ok());
        assert!(matches!(to("https://169.254.169.254/latest/meta-data/"), Err(Refused::Private { .. })));
        assert!(matches!(to("https://[::ffff:a9fe:a9fe]/"), Err(Refused::Private { .. })));
        assert!(matches!(to("http://example.com/"), Err(Refused::SchemeChange { .. })));
        assert!(matches!(to("https://ann@example.com/"), Err(Refused::UserInfo)));
    }
}
