//! `/api/v1/identity-providers`: where people may sign in with an identity they have elsewhere.

use preloop_types::{ProviderKind, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{DateTime, Update, Utc, Uuid};

/// An identity provider.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, spelled like this in the API")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct IdentityProvider {
    /// Its id.
    pub id: Uuid,
    /// Its name in URLs, unique in the instance.
    pub slug: String,
    /// What people see on the button.
    pub name: String,
    /// `oidc` or `github`.
    #[schema(value_type = String)]
    pub kind: ProviderKind,
    /// The issuer of its tokens, or of GitHub the address of its pages.
    pub issuer: String,
    /// Who we are to it.
    pub client_id: String,
    /// Always true: the secret itself is never shown.
    pub has_client_secret: bool,
    /// What is asked for.
    pub scopes: Vec<String>,
    /// The claim that holds a person's groups; `a.b` looks deeper.
    pub groups_claim: String,
    /// What groups lead to.
    pub groups: Vec<GroupMapping>,
    /// What everybody has who comes from there.
    #[schema(value_type = Option<String>)]
    pub default_role: Option<Role>,
    /// Only people whose verified address is in one of these domains; everybody when empty.
    pub allowed_domains: Vec<String>,
    /// Whether people who are not known yet are let in.
    pub create_users: bool,
    /// Whether it can be used.
    pub is_enabled: bool,
    /// Whether it may be on a private network.
    pub allow_private_network: bool,
    /// Where it has to send people back to: register this with it.
    pub redirect_uri: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

/// What being in a group elsewhere leads to here.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GroupMapping {
    /// The group, as the provider spells it; of GitHub an organization, or `organization/team`.
    pub group: String,
    /// The role its members have; never `owner`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub role: Option<Role>,
    /// The team its members are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<Uuid>,
}

/// Adds an identity provider.
#[derive(Clone, Deserialize, ToSchema)]
pub struct CreateIdentityProvider {
    /// Its name in URLs: `[a-z0-9-]{1,40}`, unique in the instance.
    pub slug: String,
    /// What people see on the button; the slug when absent.
    pub name: Option<String>,
    /// `oidc` (default) or `github`.
    #[schema(value_type = Option<String>)]
    pub kind: Option<ProviderKind>,
    /// The issuer; `https://github.com` for `github` when absent.
    pub issuer: Option<String>,
    /// Who we are to it.
    pub client_id: String,
    /// How we prove it; sealed, never shown again.
    pub client_secret: String,
    /// What is asked for; `openid profile email`, or of GitHub what tells address and organizations.
    pub scopes: Option<Vec<String>>,
    /// The claim that holds a person's groups; `groups` when absent.
    pub groups_claim: Option<String>,
    /// What groups lead to.
    #[serde(default)]
    pub groups: Vec<GroupMapping>,
    /// What everybody has who comes from there.
    #[schema(value_type = Option<String>)]
    pub default_role: Option<Role>,
    /// Only people whose verified address is in one of these domains.
    #[serde(default)]
    pub allowed_domains: Vec<String>,
    /// Whether people who are not known yet are let in; no when absent.
    pub create_users: Option<bool>,
    /// Whether it can be used; yes when absent.
    pub is_enabled: Option<bool>,
    /// Whether it may be on a private network; no when absent.
    pub allow_private_network: Option<bool>,
}

/// Changes an identity provider. What is absent stays.
#[derive(Clone, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct UpdateIdentityProvider {
    /// What people see on the button.
    pub name: Option<String>,
    /// The issuer.
    pub issuer: Option<String>,
    /// Who we are to it.
    pub client_id: Option<String>,
    /// How we prove it.
    pub client_secret: Option<String>,
    /// What is asked for.
    pub scopes: Option<Vec<String>>,
    /// The claim that holds a person's groups.
    pub groups_claim: Option<String>,
    /// What groups lead to.
    pub groups: Option<Vec<GroupMapping>>,
    /// What everybody has who comes from there.
    #[schema(value_type = Option<String>)]
    pub default_role: Update<Role>,
    /// Only people whose verified address is in one of these domains.
    pub allowed_domains: Option<Vec<String>>,
    /// Whether people who are not known yet are let in.
    pub create_users: Option<bool>,
    /// Whether it can be used.
    pub is_enabled: Option<bool>,
    /// Whether it may be on a private network.
    pub allow_private_network: Option<bool>,
}

/// Where anybody may sign in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SignInProvider {
    /// Its name in URLs.
    pub slug: String,
    /// What people see on the button.
    pub name: String,
    /// `oidc` or `github`.
    #[schema(value_type = String)]
    pub kind: ProviderKind,
    /// Where to send the browser.
    pub authorize_url: String,
}
