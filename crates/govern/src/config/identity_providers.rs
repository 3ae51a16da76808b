//! Where an account's people may sign in with an identity they have elsewhere.

use preloop_store::{CLIENT_SECRET, SecretOwner, Tx};
use preloop_types::{GroupMapping, IdentityProvider, Principal, ProviderId, ProviderKind, Role};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use url::{Host, Url};

use super::{
    Config, ConfigError, Patch, Result, limits,
    record::{Actor, What},
};

/// What to change about a provider; to make one, what it shall be.
#[derive(Debug, Clone, Default)]
pub struct ProviderChange {
    /// Its name in URLs, unique in the instance; cannot be changed later.
    pub slug: Option<String>,
    /// What people see on the button.
    pub name: Option<String>,
    /// What it speaks; cannot be changed later.
    pub kind: Option<ProviderKind>,
    /// The issuer of its tokens, or of GitHub the address of its pages.
    pub issuer: Option<String>,
    /// Who we are to it.
    pub client_id: Option<String>,
    /// How we prove it.
    pub client_secret: Option<SecretString>,
    /// What is asked for.
    pub scopes: Option<Vec<String>>,
    /// The claim that holds a person's groups.
    pub groups_claim: Option<String>,
    /// What groups lead to.
    pub groups: Option<Vec<GroupMapping>>,
    /// What everybody has who comes from there.
    pub default_role: Patch<Role>,
    /// Only people whose verified address is in one of these domains.
    pub allowed_domains: Option<Vec<String>>,
    /// Whether people who are not known yet are let in.
    pub create_users: Option<bool>,
    /// Whether it can be used.
    pub is_enabled: Option<bool>,
    /// Whether it may be on a private network.
    pub allow_private_network: Option<bool>,
}

const PROVIDERS_MAX: usize = 50;
const SLUG_MAX: usize = 40;
const GITHUB: &str = "https://github.com";

impl Config {
    /// Adds an identity provider.
    pub async fn create_identity_provider(&self, who: &Principal, change: ProviderChange) -> Result<IdentityProvider> {
        let (by, options) = (Actor::from(who), self.options.clone());
        let account = who.account;
        self.change(account, move |tx| {
            Box::pin(async move {
                limits::room("identity providers", tx.identity_providers().await?.len(), PROVIDERS_MAX)?;
                let missing = |field: &str| ConfigError::invalid(field, "is missing");
                let kind = change.kind.unwrap_or(ProviderKind::Oidc);
                let (scopes, issuer) = match kind {
                    ProviderKind::Oidc => (vec!["openid", "profile", "email"], String::new()),
                    ProviderKind::Github => (vec!["read:user", "user:email", "read:org"], GITHUB.to_owned()),
                };
                let now = tx.now();
                let blank = IdentityProvider {
                    id: ProviderId::new(now),
                    account: Some(account),
                    slug: slug(change.slug.as_deref().ok_or_else(|| missing("slug"))?)?,
                    name: String::new(),
                    kind,
                    issuer,
                    client_id: String::new(),
                    scopes: scopes.into_iter().map(str::to_owned).collect(),
                    groups_claim: "groups".to_owned(),
                    groups: Vec::new(),
                    default_role: None,
                    allowed_domains: Vec::new(),
                    create_users: false,
                    is_enabled: true,
                    allow_private_network: false,
                    created_at: now,
                    updated_at: now,
                };
                let secret = change.client_secret.clone().ok_or_else(|| missing("client_secret"))?;
                let name = change.name.clone().unwrap_or_else(|| blank.slug.clone());
                let change = ProviderChange { name: Some(name), ..change };
                let provider = changed(tx, blank, change, options.allow_private_network).await?;
                if provider.client_id.is_empty() {
                    return Err(missing("client_id"));
                }
                tx.insert_identity_provider(&provider).await?;
                put_secret(tx, provider.id, &secret).await?;
                let named = (provider.id.0, provider.slug.as_str());
                by.changed(tx, What::IdentityProvider, named, None::<&IdentityProvider>, Some(&provider));
                Ok(provider)
            })
        })
        .await
    }

    /// Changes an identity provider. Who is signed in stays so.
    pub async fn update_identity_provider(
        &self,
        who: &Principal,
        id: ProviderId,
        change: ProviderChange,
    ) -> Result<IdentityProvider> {
        let (by, options) = (Actor::from(who), self.options.clone());
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                if change.slug.as_ref().is_some_and(|slug| *slug != old.slug)
                    || change.kind.is_some_and(|kind| kind != old.kind)
                {
                    return Err(ConfigError::Refused(
                        "`slug` and `kind` stay: people's identities hang on them; add another provider".to_owned(),
                    ));
                }
                let secret = change.client_secret.clone();
                let mut new = changed(tx, old.clone(), change, options.allow_private_network).await?;
                if new != old {
                    new.updated_at = tx.now();
                    tx.update_identity_provider(&new).await?;
                    by.changed(tx, What::IdentityProvider, (id.0, &new.slug), Some(&old), Some(&new));
                }
                if let Some(secret) = secret {
                    put_secret(tx, id, &secret).await?;
                    let replaced = json!({"client_secret": "replaced"});
                    by.changed(tx, What::IdentityProvider, (id.0, &new.slug), Some(&json!({})), Some(&replaced));
                }
                Ok(new)
            })
        })
        .await
    }

    /// Removes an identity provider. Its people stay, and have to be let in some other way.
    pub async fn delete_identity_provider(&self, who: &Principal, id: ProviderId) -> Result<()> {
        let by = Actor::from(who);
        self.change(who.account, move |tx| {
            Box::pin(async move {
                let old = find(tx, id).await?;
                tx.delete_identity_provider(id).await?;
                by.changed(tx, What::IdentityProvider, (id.0, &old.slug), Some(&old), None::<&IdentityProvider>);
                Ok(())
            })
        })
        .await
    }
}

async fn find(tx: &mut Tx<'_>, id: ProviderId) -> Result<IdentityProvider> {
    tx.identity_provider(id).await?.ok_or(ConfigError::NotFound("identity provider"))
}

async fn put_secret(tx: &mut Tx<'_>, id: ProviderId, secret: &SecretString) -> Result<()> {
    let text = secret.expose_secret();
    if text.is_empty() || text.len() > limits::SECRET_MAX || text.chars().any(char::is_control) {
        return Err(ConfigError::invalid("client_secret", "is empty, too long, or holds a control character"));
    }
    Ok(tx.put_secret(SecretOwner::IdentityProvider(id), CLIENT_SECRET, secret).await?)
}

async fn changed(
    tx: &mut Tx<'_>,
    mut provider: IdentityProvider,
    change: ProviderChange,
    private_networks: bool,
) -> Result<IdentityProvider> {
    if let Some(name) = change.name {
        provider.name = limits::name("name", &name)?;
    }
    if let Some(allow) = change.allow_private_network {
        if allow && !private_networks {
            let message = "this instance reaches no private networks; start it with `--allow-private-network true`";
            return Err(ConfigError::invalid("allow_private_network", message));
        }
        provider.allow_private_network = allow;
    }
    if let Some(issuer) = change.issuer {
        provider.issuer = limits::url("issuer", issuer.trim_end_matches('/'))?;
    }
    check_issuer(&provider.issuer)?;
    if let Some(client_id) = change.client_id {
        provider.client_id = limits::named("client_id", &client_id, limits::URL_MAX)?;
    }
    if let Some(scopes) = change.scopes {
        limits::count("scopes", scopes.len(), limits::ITEMS_MAX)?;
        provider.scopes = scopes.iter().map(|scope| limits::name("scopes", scope)).collect::<Result<_>>()?;
    }
    if provider.kind == ProviderKind::Oidc && !provider.scopes.iter().any(|scope| scope == "openid") {
        return Err(ConfigError::invalid("scopes", "lack `openid`, without which no provider says who came"));
    }
    if let Some(claim) = change.groups_claim {
        provider.groups_claim = limits::name("groups_claim", &claim)?;
    }
    if let Some(groups) = change.groups {
        limits::count("groups", groups.len(), limits::ITEMS_MAX)?;
        for mapping in &groups {
            check_mapping(tx, mapping).await?;
        }
        provider.groups = groups;
    }
    if let Some(role) = change.default_role {
        check_role("default_role", role)?;
        provider.default_role = role;
    }
    if let Some(domains) = change.allowed_domains {
        limits::count("allowed_domains", domains.len(), limits::ITEMS_MAX)?;
        let domain = |domain: &String| Ok(limits::name("allowed_domains", domain)?.trim_start_matches('@').to_owned());
        provider.allowed_domains = domains.iter().map(domain).collect::<Result<_>>()?;
    }
    provider.create_users = change.create_users.unwrap_or(provider.create_users);
    provider.is_enabled = change.is_enabled.unwrap_or(provider.is_enabled);
    Ok(provider)
}

/// Codes and tokens come from there: over TLS, or from this machine.
fn check_issuer(issuer: &str) -> Result<()> {
    let url = Url::parse(issuer).map_err(|_| ConfigError::invalid("issuer", "is missing or no URL"))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if url.scheme() != "https" && !local {
        return Err(ConfigError::invalid("issuer", format!("`{issuer}` does not use https")));
    }
    if url.query().is_some() {
        return Err(ConfigError::invalid("issuer", "has a query, which an issuer cannot"));
    }
    Ok(())
}

async fn check_mapping(tx: &mut Tx<'_>, mapping: &GroupMapping) -> Result<()> {
    limits::named("groups", &mapping.group, 256)?;
    check_role("groups", mapping.role)?;
    match mapping.team {
        None if mapping.role.is_none() => {
            Err(ConfigError::invalid("groups", format!("`{}` leads to neither a role nor a team", mapping.group)))
        }
        Some(team) if tx.team(team).await?.is_none() => {
            Err(ConfigError::invalid("groups", format!("there is no team `{team}`")))
        }
        _ => Ok(()),
    }
}

/// Owners are made by owners, never by what somebody is called elsewhere.
fn check_role(field: &str, role: Option<Role>) -> Result<()> {
    if role == Some(Role::Owner) {
        return Err(ConfigError::invalid(field, "nobody becomes owner through a provider; the widest role is `admin`"));
    }
    Ok(())
}

fn slug(value: &str) -> Result<String> {
    let value = limits::named("slug", value, SLUG_MAX)?;
    if value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
        return Ok(value);
    }
    Err(ConfigError::invalid("slug", format!("`{value}` holds more than lower-case letters, digits and `-`")))
}
