//! Signing in with an identity somebody has elsewhere: `OpenID` Connect at any issuer, and GitHub.
//!
//! - [`attempt`]: a browser goes to the provider and comes back; what must survive the journey is in
//!   its cookie, so that any node can take it up.
//! - [`oidc`], [`github`]: what the provider says of who came back, checked.
//! - [`people`]: who that is here, and what their groups make of them.

mod attempt;
mod github;
pub mod known;
mod oidc;
mod people;
mod verify;

use std::sync::Arc;

use preloop_egress::{Egress, Policy};
use preloop_store::Store;
use preloop_types::{IdentityProvider, ProviderKind};
use secrecy::SecretString;
use url::Url;

pub use attempt::Attempt;
pub use people::{Return, SignedIn};

use crate::fetch::FetchError;
use oidc::Documents;

/// Why somebody could not sign in through a provider. For them to read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SsoError {
    /// There is no such provider, or it is switched off.
    #[error("there is no identity provider `{0}` to sign in with")]
    NoProvider(String),
    /// The journey did not begin in this browser, or too long ago.
    #[error("this sign-in was not begun in this browser, or more than ten minutes ago; begin again")]
    NotBegun,
    /// The person, or the provider, said no.
    #[error("{provider} did not sign you in: {why}")]
    Declined {
        /// Which.
        provider: String,
        /// Its code.
        why: String,
    },
    /// What the provider says cannot be believed.
    #[error("{provider} sent an identity that cannot be believed: {why}")]
    Unbelievable {
        /// Which.
        provider: String,
        /// Why not.
        why: String,
    },
    /// The provider cannot be reached or does not do what it should.
    #[error("{provider} cannot be asked now: {why}")]
    Unavailable {
        /// Which.
        provider: String,
        /// Why.
        why: FetchError,
    },
    /// The provider is fine, and the person is not let in.
    #[error("{0}")]
    NotLetIn(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] preloop_store::Error),
}

/// Who somebody is at a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identified {
    /// Never given to anybody else there.
    pub subject: String,
    /// What they are called there.
    pub username: Option<String>,
    /// Where mail goes.
    pub email: Option<String>,
    /// Whether the provider knows that it does.
    pub email_verified: bool,
    /// Display name.
    pub full_name: Option<String>,
    /// The groups they are in.
    pub groups: Vec<String>,
}

/// What single sign-on must know of its surroundings.
#[derive(Clone)]
pub struct SsoOptions {
    /// Base of this instance's URLs, without a trailing slash.
    pub public_url: String,
    /// Providers of the whole instance, with their client secrets.
    pub providers: Vec<(IdentityProvider, SecretString)>,
    /// Whether those may make new accounts.
    pub registration: bool,
}

/// Signing in through providers. Cheap to clone.
#[derive(Clone)]
pub struct Sso(Arc<Inner>);

struct Inner {
    store: Store,
    egress: Egress,
    options: SsoOptions,
    documents: Documents,
}

impl Sso {
    /// Through the providers of `options` and those that accounts added.
    pub fn new(store: Store, egress: Egress, options: SsoOptions) -> Self {
        Self(Arc::new(Inner { store, egress, options, documents: Documents::default() }))
    }

    /// What people may choose from: providers that can be used, by name.
    pub async fn providers(&self) -> Result<Vec<IdentityProvider>, SsoError> {
        let own = self.0.options.providers.iter().map(|(provider, _)| provider.clone());
        let mut all: Vec<_> = own.chain(self.0.store.identity_providers().await?).collect();
        all.retain(|provider| provider.is_enabled);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// Where to send the browser, and what to keep in its cookie.
    pub async fn begin(&self, slug: &str, next: &str) -> Result<(Url, String), SsoError> {
        let (provider, _) = self.provider(slug).await?;
        let attempt = Attempt::new(slug, next, self.0.store.now());
        let to = match provider.kind {
            ProviderKind::Oidc => self.oidc_authorize(&provider, &attempt).await?,
            ProviderKind::Github => self.github_authorize(&provider, &attempt)?,
        };
        Ok((to, attempt.to_cookie()))
    }

    /// Who came back with `code`, as the provider tells.
    async fn identify(
        &self,
        provider: &IdentityProvider,
        secret: &SecretString,
        attempt: &Attempt,
        code: &str,
    ) -> Result<Identified, SsoError> {
        match provider.kind {
            ProviderKind::Oidc => self.oidc_identify(provider, secret, attempt, code).await,
            ProviderKind::Github => self.github_identify(provider, secret, attempt, code).await,
        }
    }

    async fn provider(&self, slug: &str) -> Result<(IdentityProvider, SecretString), SsoError> {
        let own = self.0.options.providers.iter().find(|(provider, _)| provider.slug == slug);
        let found = match own {
            Some(found) => Some(found.clone()),
            None => self.0.store.identity_provider_by_slug(slug).await?,
        };
        found.filter(|(provider, _)| provider.is_enabled).ok_or_else(|| SsoError::NoProvider(slug.to_owned()))
    }

    /// Where the provider sends the browser back to.
    pub fn callback(&self, provider: &IdentityProvider) -> String {
        format!("{}/api/v1/auth/oauth/{}/callback", self.0.options.public_url, provider.slug)
    }

    fn client(&self, provider: &IdentityProvider) -> Result<preloop_egress::Client, SsoError> {
        let policy = Policy { allow_private: provider.allow_private_network, ..Policy::default() };
        self.0
            .egress
            .client(policy)
            .map_err(|error| unavailable(provider, FetchError::new("client", error.to_string())))
    }
}

fn unavailable(provider: &IdentityProvider, why: FetchError) -> SsoError {
    SsoError::Unavailable { provider: provider.name.clone(), why }
}

fn unbelievable(provider: &IdentityProvider, why: impl Into<String>) -> SsoError {
    SsoError::Unbelievable { provider: provider.name.clone(), why: why.into() }
}
