//! Providers of the whole instance that need no more than a client's id and secret.

use preloop_types::{IdentityProvider, ProviderId, ProviderKind, Timestamp};
use uuid::Uuid;

/// Google.
pub fn google(client_id: String) -> IdentityProvider {
    known("google", "Google", ProviderKind::Oidc, "https://accounts.google.com", client_id)
}

/// GitLab, theirs or one's own at `base_url`.
pub fn gitlab(client_id: String, base_url: &str) -> IdentityProvider {
    known("gitlab", "GitLab", ProviderKind::Oidc, base_url, client_id)
}

/// GitHub, theirs or an Enterprise Server at `base_url`.
pub fn github(client_id: String, base_url: &str) -> IdentityProvider {
    known("github", "GitHub", ProviderKind::Github, base_url, client_id)
}

fn known(slug: &str, name: &str, kind: ProviderKind, issuer: &str, client_id: String) -> IdentityProvider {
    let scopes: &[&str] = match kind {
        ProviderKind::Oidc => &["openid", "profile", "email"],
        ProviderKind::Github => &["read:user", "user:email"],
    };
    let began = Timestamp::from_micros(0);
    IdentityProvider {
        id: ProviderId(Uuid::nil()),
        account: None,
        slug: slug.to_owned(),
        name: name.to_owned(),
        kind,
        issuer: issuer.trim_end_matches('/').to_owned(),
        client_id,
        scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
        groups_claim: "groups".to_owned(),
        groups: Vec::new(),
        default_role: None,
        allowed_domains: Vec::new(),
        create_users: true,
        is_enabled: true,
        allow_private_network: true,
        created_at: began,
        updated_at: began,
    }
}
